"""Class shares: how often a judge sees each class among the samples."""

from __future__ import annotations

from torch import Tensor


def class_shares(labels: Tensor, n_classes: int) -> Tensor:
    """The share (K,) of each class among labels (N,) in 0..K-1; they sum to 1."""
    return labels.bincount(minlength=n_classes).float() / len(labels)
