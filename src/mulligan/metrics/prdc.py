"""Precision, recall, density and coverage: how real the samples are, and how much of the data they reach.

Precision and recall: Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991), eq. 1-2. Density and
coverage: Naeem et al. 2020 (https://arxiv.org/abs/2002.09797), eq. 3-4. Balls about each sample reach to its
k-th neighbour.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mulligan.errors import Mistake
from mulligan.metrics.distances import chunks, kth_radius

K = 5  # the neighbour that a ball reaches to, in Naeem et al.


class PRDC(NamedTuple):
    """All higher is better; density may exceed 1, the others lie in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, *, k: int = K, pairs: int | None = None) -> PRDC:
    """Precision, recall, density and coverage of features fake (M, d) against real (N, d).

    Args:
        real: features of real samples.
        fake: features of generated ones.
        k: the neighbour that a ball reaches to.
        pairs: distances to hold at a time.

    Raises:
        ValueError: a set has no more than k samples.
    """
    if min(len(real), len(fake)) <= k:
        few = min(len(real), len(fake))
        raise Mistake(f"precision and recall need more than k = {k} samples a set, not {few}; raise n")
    real_radius, fake_radius = kth_radius(real, k, pairs), kth_radius(fake, k, pairs)
    in_balls = torch.zeros(len(fake))  # of how many real balls each fake is inside
    recalled, covered = 0, 0
    for rows, distance in chunks(real, fake, pairs):
        inside = distance <= real_radius[rows, None]
        in_balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distance <= fake_radius).any(1).sum())
    return PRDC(
        precision=float((in_balls > 0).float().mean()),
        recall=recalled / len(real),
        density=float(in_balls.mean()) / k,
        coverage=covered / len(real),
    )
