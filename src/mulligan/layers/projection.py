"""The projection that a conditional D ends in: how well an image's features go with what D is told."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """<V(c), φ> / sqrt(d) for features φ (N, d) and a condition c: logits (N,) (Miyato & Koyama 2018, eq. 3).

    `reader` is V: it turns c into (N, d). Divided as in StyleGAN2-ADA, so that the term starts small in any width. c
    may have k N rows, k conditions for each φ: then the logits are (k N,).
    """

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, features: Tensor, c: Tensor) -> Tensor:
        v = self.reader(c)
        features = features.repeat(len(v) // len(features), 1)
        with torch.autocast(features.device.type, enabled=False):
            match: Tensor = (v.float() * features.float()).sum(1) / math.sqrt(features.shape[1])
        return match
