"""Wasserstein-1 distance in one dimension: the area between two distribution functions."""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.errors import Mistake


def wasserstein_1(x: Tensor, y: Tensor) -> float:
    """∫ |F_x − F_y| of samples x (N,) and y (M,), in their own unit; N and M may differ.

    Raises:
        ValueError: an empty set.
    """
    if not len(x) or not len(y):
        raise Mistake("a Wasserstein distance needs at least 1 sample a set; raise n")
    x, y = x.double().sort().values, y.double().sort().values
    places = torch.cat([x, y]).sort().values
    left = places[:-1].contiguous()
    f_x = torch.searchsorted(x, left, right=True) / len(x)
    f_y = torch.searchsorted(y, left, right=True) / len(y)
    return float(((f_x.double() - f_y.double()).abs() * places.diff()).sum())
