"""Fréchet distance between two sets of features, each taken as a Gaussian.

Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6 (https://arxiv.org/abs/1706.08500):
d² = |m_1 − m_2|² + tr(S_1 + S_2 − 2 (S_1 S_2)^½). It is "FID" only with the features of the original
Inception.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mulligan.errors import Mistake


class Gaussian(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of a set of features, float64."""

    mean: Tensor
    cov: Tensor


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Squared Fréchet distance of features real (N, d) and fake (M, d); 0 for equal moments.

    With fewer samples than dimensions the trace comes from the (N, M) products of the samples: quicker, and
    exact where covariances are singular.

    Raises:
        ValueError: fewer than two samples, or features that are not finite.
    """
    n, m, d = len(real), len(fake), real.shape[1]
    if n * m >= d * d:
        return gaussian_distance(gaussian(real), gaussian(fake))
    (mean_r, r), (mean_f, f) = _centred(real), _centred(fake)
    # S_1 = r'r and S_2 = f'f: the eigenvalues of S_1 S_2 are the squared singular values of r f'.
    cross = torch.linalg.svdvals(r @ f.T).sum()
    spread = r.square().sum() + f.square().sum() - 2 * cross
    return float((mean_r - mean_f).square().sum() + spread)


def gaussian(features: Tensor) -> Gaussian:
    """The moments of features (N, d).

    Raises:
        ValueError: fewer than two samples, or features that are not finite.
    """
    mean, centred = _centred(features)
    return Gaussian(mean, centred.T @ centred)


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Fréchet distance of two Gaussians, whatever the ranks of their covariances."""
    # S_1 = R R': S_1 S_2 has the eigenvalues of the symmetric R' S_2 R, which eigvalsh finds safely.
    root = _root(a.cov)
    inner = root.T @ b.cov @ root
    eigenvalues = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0)
    spread = a.cov.trace() + b.cov.trace() - 2 * eigenvalues.sqrt().sum()
    return float((a.mean - b.mean).square().sum() + spread)


def _root(cov: Tensor) -> Tensor:
    """R with R R' = cov: Cholesky's, or the eigenvectors' where cov is singular (a collapsed generator)."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(cov)
    if not failed:
        return root
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp(min=0).sqrt()
    return root


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and x with x'x the unbiased covariance; float64."""
    n = len(features)
    if n < 2:
        raise Mistake(f"a Fréchet distance needs at least 2 samples a set, not {n}; raise n")
    if not torch.isfinite(features).all():
        raise Mistake("features hold NaN or infinite numbers; look at the samples: training has diverged")
    features = features.double()
    mean = features.mean(0)
    return mean, (features - mean) / (n - 1) ** 0.5
