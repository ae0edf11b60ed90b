"""PatchGAN: a discriminator that judges every patch of an image by itself (Isola et al. 2017, section 3.2.2).

It is a convolution with few layers: each logit sees a square of the image, its receptive field, and nothing else. With
k strided layers of kernel 4 that is 16, 34, 70, 142, 286 ... px for k = 1, 2, 3, 4, 5 ...; a 1x1 kernel sees a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from mulligan.errors import Mistake
from mulligan.networks.dcgan import Norm, init_normal

FIELDS = {9 * (1 << k) - 2: k for k in range(1, 9)}  # px: strided layers; the last, 2302, covers the largest image
Patch = Literal["1", "16", "34", "70", "142", "286", "image"]  # as an option: a field, or the smallest that covers
WIDEST = 8  # times `width`: no layer has more channels


def whole(size: int) -> int:
    """The smallest receptive field that covers an image of this side."""
    return next(field for field in FIELDS if field >= size)


def field_of(patch: Patch, size: int) -> int:
    """The receptive field that an option names, for images of this side.

    Raises:
        ValueError: nothing is left of them behind its layers.
    """
    field = whole(size) if patch == "image" else int(patch)
    left = size if field == 1 else size // 2 ** FIELDS[field] - 2
    if left < 1:
        most = max([1, *(f for f, k in FIELDS.items() if size // 2**k > 2)])
        take = f"{most} or image" if whole(size) <= most else str(most)
        raise Mistake(f"--patch {field}: images of {size} px are too small for it; take {take}")
    return field


class PatchDiscriminator(nn.Module):
    """x (N, C, H, W), c (N, C', H, W) ... -> logits (N, 1, h, w): images and what they are said to go with.

    Args:
        channels: of all that it is shown together.
        width: channels of the first layer, doubled at each one.
        field: side of the receptive field: 1, or a key of FIELDS.
        norm: of all layers but the first and the last; None: none, as penalties on gradients ask.
        init: of the weights.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        field: int,
        norm: Norm | None = nn.BatchNorm2d,
        init: Callable[[nn.Module], None] = init_normal,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_pixel if field == 1 else _patch)(channels, width, field, norm))
        self.apply(init)

    def forward(self, *shown: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat(shown, 1))
        return logits


def _pixel(channels: int, width: int, field: int, norm: Norm | None) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2),
        *_normalised(width, 2 * width, norm, kernel=1, stride=1, padding=0),
        nn.Conv2d(2 * width, 1, 1),
    ]  # fmt: skip


def _patch(channels: int, width: int, field: int, norm: Norm | None) -> list[nn.Module]:
    strided = FIELDS[field]
    widths = [width * min(2**i, WIDEST) for i in range(strided + 1)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += _normalised(a, b, norm, kernel=4, stride=2 if i + 1 < strided else 1, padding=1)
    return [*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1)]


def _normalised(a: int, b: int, norm: Norm | None, *, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.Conv2d(a, b, kernel, stride, padding, bias=norm is None)
    return [conv, *([] if norm is None else [norm(b)]), nn.LeakyReLU(0.2)]


def whole_logits(logits: Tensor) -> Tensor:
    """One number an image, (N,): the mean over its patches."""
    return logits.flatten(1).mean(1)
