"""The four numbers by which systems of images are compared, and what to read them against.

`evaluate` measures more of one trained run; this measures contestants of a race, again and again, in seconds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mulligan.data.source import Source
from mulligan.evaluate import capped, extract, real_samples, trivial_samples
from mulligan.metrics import features
from mulligan.metrics.card import Card
from mulligan.metrics.features import to_8_bit
from mulligan.metrics.frechet import Gaussian, gaussian, gaussian_distance
from mulligan.metrics.prdc import K, prdc
from mulligan.pca import pca_samples

REAL, TRIVIAL, PCA = "real data", "trivial", "PCA-Gaussian"
REACH = ("precision", "recall", "coverage")
Metrics = dict[str, float]


class Judge:
    """Compares images with the test split of a source, in the features that suit it.

    Args:
        source: of images.
        n: images of each side, at most; as many as the splits hold.

    Attributes:
        distance: what its Fréchet distance is called.
    """

    def __init__(self, source: Source, n: int = 1_000) -> None:
        self.source, self.extractor = source, features.pick(source)
        self.n = capped(source, n, "test")
        self.distance = self.extractor.distance
        self.real = extract(self.extractor, real_samples(source.test, self.n), self.n, "")
        self.moments: Gaussian = gaussian(self.real)

    def __call__(self, x: Tensor) -> Metrics:
        """Fréchet distance, precision, recall and coverage of images x (n, C, H, W) in [-1, 1]."""
        found = self.extractor(to_8_bit(x))
        if not torch.isfinite(found).all():
            return {self.distance: math.inf, **dict.fromkeys(REACH, 0.0)}
        four = prdc(self.real, found, k=K)._asdict()
        return {self.distance: gaussian_distance(self.moments, gaussian(found)), **{name: four[name] for name in REACH}}

    def references(self) -> dict[str, Metrics]:
        """For each metric: of other real images, of pixels each by itself, and of a Gaussian on the components."""
        sides = {
            REAL: real_samples(self.source.held_out, self.n),
            TRIVIAL: trivial_samples(self.source, self.n),
            PCA: pca_samples(self.source, self.n),
        }
        scores = {name: self(torch.cat(list(parts))) for name, parts in sides.items()}
        return {metric: {name: score[metric] for name, score in scores.items()} for metric in (self.distance, *REACH)}

    def card(self, metric: str, *, seed: int) -> Card:
        """What a metric of it was measured with."""
        return Card(
            metric=metric if metric == self.distance else f"{metric} (k = {K})",
            extractor=self.extractor.name,
            extractor_hash=self.extractor.hash,
            resize=self.extractor.resize,
            n_real=self.n,
            n_fake=self.n,
            reference=f"{self.source.fingerprint}/test",
            seed=seed,
        )
