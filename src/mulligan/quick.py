"""The live Fréchet distance: quick, of few samples, for looks during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mulligan.data.source import Source, Split
from mulligan.evaluate import extract, real_samples
from mulligan.metrics import features
from mulligan.metrics.features import Extractor
from mulligan.metrics.frechet import Gaussian, frechet_distance, gaussian, gaussian_distance


class Quick:
    """A Fréchet distance for looks during training, against held-out data; the real side is kept.

    Its few samples bias it upwards, always equally: read its course and its floor, not its value.

    Args:
        source: the data.
        extractor: makes the features; None: a quick one that suits the data.
        n: samples of each side, at most; None: what the extractor judges in about a second.
        split: the real side.
    """

    def __init__(
        self,
        source: Source,
        extractor: Extractor | None = None,
        *,
        n: int | None = None,
        split: str = "held_out",
    ) -> None:
        self.extractor = extractor or features.pick(source, quick=True)
        self.source = source
        # A split of one image is taken twice: a point is a Gaussian too.
        quick = self.extractor.quick // self.extractor.passes(source)
        # no more than train has either: the floor must not be measured on repetitions
        self.n = max(2, min(n or quick, len(source.splits[split]), len(source.train)))
        real = self._real(source.splits[split])
        self.real: Gaussian = gaussian(real)
        # With fewer samples than features the distance is quicker from the features themselves.
        self.few = real if self.n < real.shape[1] else None
        self.name = self.extractor.distance

    def __call__(self, generate: Callable[[int], Tensor]) -> float:
        """Fréchet distance of what `generate(n)` makes: images (n, C, H, W) in [-1, 1], or points (n, D).

        It is inf if a sample is not finite.
        """
        x = generate(self.n)
        fake = self.extractor(features.to_8_bit(x) if x.ndim == 4 else x)
        if not torch.isfinite(fake).all():
            return math.inf
        if self.few is not None:
            return frechet_distance(self.few, fake)
        return gaussian_distance(self.real, gaussian(fake))

    @cached_property
    def floor(self) -> float:
        """The same of training data in place of generated samples."""
        return self(lambda n: torch.cat(list(real_samples(self.source.train, n))))

    def _real(self, split: Split) -> Tensor:
        return extract(self.extractor, real_samples(split, self.n), self.n, "")
