"""A linear probe: classes read from an extractor's features, by linear discriminant analysis.

Each class is a Gaussian, all of one covariance, so that the log odds are linear in the features and nothing has to be
optimised (Fisher 1936; Hastie, Tibshirani & Friedman 2009, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHRINKAGE = 0.1  # of the covariance, towards as much variance in every direction


@dataclass(frozen=True)
class Probe:
    """Logits of classes (N, K): features (N, d) @ weight (d, K) + bias (K,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return features @ self.weight + self.bias


def fit(features: Tensor, labels: Tensor, n_classes: int) -> Probe:
    """The probe of features (N, d) and labels (N,) from 0 to n_classes - 1, each of which occurs."""
    counts = torch.bincount(labels, minlength=n_classes)
    assert bool((counts > 0).all()), "a class without samples has no mean"
    means = torch.zeros(n_classes, features.shape[1]).index_add_(0, labels, features) / counts[:, None]
    rest = features - means[labels]
    covariance = rest.T @ rest / max(1, len(features) - n_classes)
    even = covariance.diagonal().mean().clamp_min(1e-8) * torch.eye(len(covariance))
    weight = torch.linalg.solve(torch.lerp(covariance, even, SHRINKAGE), means.T)
    prior = (counts / counts.sum()).log()
    return Probe(weight, prior - 0.5 * (means * weight.T).sum(1))


def log_odds(logits: Tensor) -> Tensor:
    """Of each class (N, K) against all others together: over 0 where it is more likely than not."""
    p = logits.double().softmax(1).clamp(1e-12, 1 - 1e-12)
    return (p.log() - (1 - p).log()).to(logits.dtype)
