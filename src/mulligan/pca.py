"""A Gaussian on the data's principal components: what a generator without a game reaches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.data.source import Source
from mulligan.evaluate import AT_ONCE, real_samples
from mulligan.metrics.features import to_8_bit

N = 5_000  # training images whose moments it takes
COMPONENTS = 256


class PCAGaussian:
    """x = m + Σ_i s_i z_i v_i with z ~ N(0, I): m the mean, v_i the directions of greatest variance s_i².

    Its mean is the data's, and so is its covariance on the directions kept; elsewhere it has none.

    Attributes:
        mean: (d,).
        deviations: (k,) s, descending.
        directions: (k, d) v, orthonormal rows.
    """

    def __init__(self, x: Tensor, k: int = COMPONENTS) -> None:
        """Fit to x (N, ...); k directions at most, and no more than N - 1 or d."""
        self.shape = x.shape[1:]
        flat = x.flatten(1).double()
        n, d = flat.shape
        self.mean = flat.mean(0)
        centred = (flat - self.mean) / max(1, n - 1) ** 0.5
        k = min(k, n - 1, d)
        if d <= n:
            variances, vectors = torch.linalg.eigh(centred.T @ centred)
            directions = vectors.T
        else:  # X'X and XX' share their eigenvalues; v = X'u / s
            variances, vectors = torch.linalg.eigh(centred @ centred.T)
            directions = vectors.T @ centred
        best = variances.argsort(descending=True)[:k]
        self.deviations = variances[best].clamp(min=0).sqrt()
        self.directions = torch.nn.functional.normalize(directions[best], dim=1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n samples (n, ...), float32."""
        z = torch.randn(n, len(self.deviations), generator=generator, dtype=torch.float64)
        x: Tensor = self.mean + (z * self.deviations) @ self.directions
        return x.float().reshape(n, *self.shape)


def pca_samples(source: Source, n: int) -> Iterator[Tensor]:
    """n images of the Gaussian fitted to a source's training pixels, in parts, as they would be saved."""
    gaussian = PCAGaussian(torch.cat(list(real_samples(source.train, min(len(source.train), N)))))
    generator = torch.Generator().manual_seed(0)
    for start in range(0, n, AT_ONCE):
        yield to_8_bit(gaussian.sample(min(AT_ONCE, n - start), generator))
