"""Modes: how many the samples reach, how tightly, and how evenly.

The protocol of VEEGAN (https://arxiv.org/abs/1705.07761) and PacGAN (https://arxiv.org/abs/1712.04086): a
point is good within 3 standard deviations of its nearest mode, a mode is hit by one good sample, and KL is
that of the samples' histogram over modes against the data's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Modes(NamedTuple):
    """Modes hit, their number, the share of good samples, and KL(samples || data) in nats over the modes."""

    hit: int
    total: int
    good: float
    kl: float


def point_modes(x: Tensor, modes: Tensor, sigma: float, shares: Tensor | None = None, reach: float = 3.0) -> Modes:
    """Modes of points x (N, D) for a mixture of Gaussians at modes (K, D) of standard deviation sigma.

    KL is of the good samples against shares (K,), equal ones if None; inf if no sample is good.
    """
    distance, index = torch.cdist(x.double(), modes.double()).min(1)
    good = distance <= reach * sigma
    counts = index[good].bincount(minlength=len(modes))
    shares = torch.full((len(modes),), 1 / len(modes)) if shares is None else shares
    return Modes(int((counts > 0).sum()), len(modes), float(good.double().mean()), kl(counts, shares))


def label_modes(labels: Tensor, shares: Tensor) -> Modes:
    """Modes of classified samples: labels (N,) in 0..K-1, against the data's shares (K,); every sample is
    good.
    """
    counts = labels.bincount(minlength=len(shares))
    return Modes(int((counts > 0).sum()), len(shares), 1.0, kl(counts, shares))


def kl(counts: Tensor, shares: Tensor) -> float:
    """KL divergence in nats of a histogram (K,) from shares (K,); inf where a share is 0 and a count is
    not.
    """
    if counts.sum() == 0:
        return float("inf")
    p, q = counts.double() / counts.sum(), shares.double()
    return float(torch.where(p > 0, p * (p / q).log(), 0.0).sum())
