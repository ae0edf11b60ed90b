"""What the benchmarks on MNIST share: the shipped digit judge on 10,000 test images, or held-out ones to choose by."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from frechet import Distance
from mulligan.data.source import Source
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.metrics.class_shares import class_shares
from mulligan.metrics.features import Digits
from runner import Contestant, Metrics

N = 10_000
FD, LEAST, MOST = "FD (digit judge)", "smallest digit share", "largest digit share"


class Judge:
    """Compares images (N, 1, 28, 28) with those of a split, as `mulligan evaluate` does."""

    def __init__(self, source: Source, split: str = "test") -> None:
        self.digits = Digits()
        self.distance = Distance(self.digits, source.splits[split], N)

    def __call__(self, x: Tensor) -> Metrics:
        distance, features = self.distance(x)
        if math.isinf(distance):
            return {FD: math.inf, LEAST: 0.0, MOST: 1.0}
        shares = class_shares(self.digits.labels(features), 10)
        return {FD: distance, LEAST: float(shares.min()), MOST: float(shares.max())}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against = Judge(source)
    return lambda c: against(c.generate(N))


def chooser(source: Source) -> Callable[[Contestant], Metrics]:
    """For benchmarks that choose a setting: the test images are for those that report."""
    against = Judge(source, "held_out")
    return lambda c: against(c.generate(N))


def references(source: Source) -> dict[str, Metrics]:
    """Real images of another split, and a generator that learned each pixel's mean and spread."""
    against = Judge(source)
    real = against(torch.cat(list(real_samples(source.held_out, N))))
    return {
        FD: {"real data": real[FD], "trivial": against(torch.cat(list(trivial_samples(source, N))))[FD]},
        LEAST: {"real data": real[LEAST]},
        MOST: {"real data": real[MOST]},
    }


def collapsed(metrics: Metrics) -> bool:
    """A lost game: a digit that the generator no longer makes, or samples that are not numbers."""
    return not metrics[FD] < float("inf") or metrics[LEAST] < 0.01
