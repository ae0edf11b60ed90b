"""What the perceptrons of 2014 share: float32, weights from a uniform range, images as flat pixels in [0, 1]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def full_precision(device: torch.device) -> torch.autocast:
    """Inside, all is float32: by SGD without any normalisation MNIST collapsed in bfloat16 (docs/log.md)."""
    return torch.autocast(device.type, enabled=False)


class Float32(nn.Sequential):
    """Layers one after the other, in full precision."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out


class Pixels(nn.Module):
    """x (N, ...) in [-1, 1] -> (N, d) in [0, 1], the reference's range: in [-1, 1] D's gradients are several times as
    large, and blow up.
    """

    def forward(self, x: Tensor) -> Tensor:
        return ((x + 1) / 2).flatten(1)


class Picture(nn.Module):
    """h (N, d) -> x (N, *shape) in [-1, 1], by a sigmoid."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Tensor:
        return (2 * torch.sigmoid(h) - 1).view(-1, *self.shape)


def uniform(n: int, d: int, device: torch.device) -> Tensor:
    """z (n, d) in [-√3, √3]: of mean 0 and variance 1, as in the code of the 2014 GAN."""
    return (torch.rand(n, d, device=device) * 2 - 1) * math.sqrt(3)


def init_uniform(network: nn.Module, bound: float) -> None:
    """Weights U(-bound, bound), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def start_at_mean(G: nn.Module, images: Any) -> None:
    """The bias of G's last layer starts at the logit of each pixel's mean brightness in a split of images.

    As in the reference down to 1e-7: a pixel that is always black stays so, where a looser limit lets G wander off.
    """
    *_, last = (layer for layer in G.modules() if isinstance(layer, nn.Linear))
    n = min(len(images), 50_000)  # as many as the reference has
    rows = np.linspace(0, len(images) - 1, n).round().astype(np.int64)
    total = torch.zeros(last.out_features, dtype=torch.float64)
    for part in np.array_split(rows, math.ceil(n / 1000)):
        total += images.fetch(part)["x"].flatten(1).double().sum(0)
    mean = ((total / n + 1) / 2).clamp(1e-7, 1 - 1e-7)
    last.bias.copy_(torch.logit(mean))
