"""Minibatch standard deviation (Karras et al. 2018, 1710.10196, section 3): D sees how much a batch varies.

A generator that makes one picture again and again is caught by it. A logit is then no longer a function of its sample
alone: real samples and fakes must pass through D apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8  # the root's slope at 0 is infinite


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """x (N, C, H, W) -> (N, C + 1, H, W): beside x a map of one number, the same for all samples of a group.

    The number is the standard deviation over the group, of each channel at each place, averaged over both.

    Args:
        x: D's last maps.
        group: samples in a group. A batch that does not divide so is split into equal groups that are larger, at
            the most into one: 16 of 4, but 14 into two of 7, and 3 or 13 into one.
    """
    n = len(x)
    groups = next(g for g in range(max(1, n // group), 0, -1) if n % g == 0)
    grouped = x.float().reshape(groups, n // groups, *x.shape[1:])
    # not torch's `var`, which over a dimension that is not the last takes forty times as long
    variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)
    deviation = (variance + EPSILON).sqrt().mean((1, 2, 3)).repeat_interleave(n // groups)
    return torch.cat([x, deviation.to(x.dtype).view(n, 1, 1, 1).expand(n, 1, *x.shape[2:])], 1)
