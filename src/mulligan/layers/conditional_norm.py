"""BatchNorm that a condition scales and shifts (Dumoulin et al. 2017, 1610.07629; in GANs Miyato & Koyama 2018).

Differs: the papers' classes share nothing; here each adds to a gain and a bias that all have, so that these learn from
every sample. What can be reached is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mulligan.signals import Signal


class Told(nn.Module):
    """A layer that sees the condition too, where there is one: (x, *c) -> y."""


class Chain(nn.Sequential):
    """Layers in a row; those that are `Told` are handed the condition."""

    def forward(self, x: Tensor, *c: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, *c) if isinstance(layer, Told) else layer(x)
        return x


class ConditionalNorm(Told):
    """(x (N, C, H, W), c) -> (N, C, H, W): (1 + γ_c) BatchNorm(x) + β_c, where γ and β start at 0.

    A class has its own γ_c and β_c (C,); of tags those that are true add theirs.
    """

    def __init__(self, channels: int, told: Signal) -> None:
        super().__init__()
        n = told.n_classes if told.kind == "label" else told.shape[0]
        assert n is not None, told
        self.norm = nn.BatchNorm2d(channels)
        self.gain = nn.Parameter(torch.zeros(n, channels))
        self.bias = nn.Parameter(torch.zeros(n, channels))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h: Tensor = self.norm(x)
        gain, bias = (rows(table, c)[:, :, None, None].to(h.dtype) for table in (self.gain, self.bias))
        return torch.addcmul(bias, h, 1 + gain)


def rows(table: Tensor, c: Tensor) -> Tensor:
    """(N, d) of a table (n, d): the row of each label (N,), or the sum of the rows of the tags (N, n) that are true."""
    return c.to(table.dtype) @ table if c.is_floating_point() else embedding(c, table)
