"""Maxout (Goodfellow et al. 2013, 1302.4389): a unit is the largest of several linear pieces."""

from __future__ import annotations

from torch import Tensor, nn


class Maxout(nn.Module):
    """x (N, d_in) -> (N, d_out), each unit the maximum of `pieces` linear functions of x."""

    def __init__(self, d_in: int, d_out: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        units: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
        return units
