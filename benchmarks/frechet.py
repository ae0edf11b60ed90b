"""The Fréchet distance of images to real ones, as `mulligan evaluate` measures it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mulligan.data.source import Split
from mulligan.evaluate import real_samples
from mulligan.metrics.features import Extractor, to_8_bit
from mulligan.metrics.frechet import Gaussian, gaussian, gaussian_distance


class Distance:
    """To n images of a split at most, in the features of an extractor."""

    def __init__(self, extractor: Extractor, split: Split, n: int) -> None:
        self.extractor = extractor
        self.real: Gaussian = gaussian(extractor(torch.cat(list(real_samples(split, min(n, len(split)))))))

    def __call__(self, x: Tensor) -> tuple[float, Tensor]:
        """(the distance, the features) of images x (N, C, H, W); it is infinite where x is not all numbers."""
        features = self.extractor(to_8_bit(x))
        if not torch.isfinite(features).all():
            return math.inf, features
        return gaussian_distance(self.real, gaussian(features)), features
