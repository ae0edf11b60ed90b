"""Nearest neighbours among features, in chunks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

PAIRS = 10_000_000  # distances held at a time: 40 MB


def chunks(x: Tensor, y: Tensor, pairs: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Rows of x (N, d) and their distances to all of y (M, d): (rows, (rows, M)), in order."""
    # Products of centred features lose fewer digits than of features far from the origin.
    centre = y.mean(0)
    x, y = x - centre, y - centre
    step = max(1, (pairs or PAIRS) // max(1, len(y)))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, torch.cdist(x[rows], y)


def nearest(x: Tensor, y: Tensor, pairs: int | None = None) -> Tensor:
    """The distance (N,) of each row of x (N, d) to its nearest in y (M, d)."""
    return torch.cat([distance.amin(1) for _, distance in chunks(x, y, pairs)])


def kth_radius(x: Tensor, k: int, pairs: int | None = None) -> Tensor:
    """The distance (N,) of each row of x (N, d) to its k-th nearest other row."""
    radii = []
    for rows, distance in chunks(x, x, pairs):
        # Oneself is no neighbour, whatever rounding makes of the distance 0.
        distance[torch.arange(len(distance)), torch.arange(rows.start, rows.stop)] = torch.inf
        radii.append(distance.topk(k, dim=1, largest=False, sorted=False).values.amax(1))
    return torch.cat(radii)
