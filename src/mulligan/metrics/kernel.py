"""Kernel distance: the unbiased squared maximum mean discrepancy with a cubic kernel, mean over subsets.

Bińkowski et al. 2018, "Demystifying MMD GANs" (https://arxiv.org/abs/1801.01401), which calls it KID on the
features of Inception: k(x, y) = (x·y / d + 1)³. It has no bias from the sample size, and may come out below
0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mulligan.errors import Mistake


class KernelDistance(NamedTuple):
    """Mean over the subsets, and the standard deviation between them."""

    mean: float
    spread: float


def kernel_distance(
    real: Tensor, fake: Tensor, *, subsets: int = 20, size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Kernel distance of features real (N, d) and fake (M, d); 0 in expectation for equal distributions.

    Args:
        real: features of real samples.
        fake: features of generated ones.
        subsets: how often to draw.
        size: samples a subset; capped at N and M.
        seed: of the draws.

    Raises:
        ValueError: fewer than two samples.
    """
    size = min(size, len(real), len(fake))
    if size < 2:
        raise Mistake(f"a kernel distance needs at least 2 samples a set, not {size}; raise n")
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([
        mmd2(real[_draw(len(real), size, generator)], fake[_draw(len(fake), size, generator)])
        for _ in range(subsets)
    ])  # fmt: skip
    return KernelDistance(float(values.mean()), float(values.std(correction=0)))


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased estimate of MMD² between x (n, d) and y (n, d): eq. 4 of the paper, without the
    diagonals.
    """
    n, m = len(x), len(y)
    xx, yy, xy = cubic(x, x), cubic(y, y), cubic(x, y)
    # Sums in float64, for they nearly cancel.
    within_x = (_sum(xx) - _sum(xx.diagonal())) / (n * (n - 1))
    within_y = (_sum(yy) - _sum(yy.diagonal())) / (m * (m - 1))
    return within_x + within_y - 2 * _sum(xy) / (n * m)


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """(x·y / d + 1)³ for each pair, (n, m)."""
    k = torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1])
    return k * k * k  # pow is ten times slower


def _sum(x: Tensor) -> Tensor:
    return x.sum(dtype=torch.float64)


def _draw(n: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator)[:size]
