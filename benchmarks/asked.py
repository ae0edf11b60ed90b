"""What the benchmarks on labels share: are samples of what was asked for, how various, how near to the data?

The digit judge reads them, which took no part in training; of images of several channels it reads each by itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from frechet import Distance
from mulligan.data.source import Source, evenly
from mulligan.metrics.agreement import diversity_ratio
from mulligan.metrics.features import Digits, to_8_bit
from mulligan.observe import generate
from mulligan.race import AT_ONCE, SAMPLE_SEED
from runner import Contestant, Metrics

N = 5_000
ACCURACY, DIVERSITY, FD = "accuracy", "diversity within a class", "FD (digit judge)"
OWN = "accuracy by its own D"


class Judge:
    """Measures a contestant on N samples, each class asked equally often, against N images of a split."""

    def __init__(self, source: Source, split: str = "test") -> None:
        real = source.splits[split].fetch(evenly(source.splits[split], N))
        self.real, self.classes = real["x"].flatten(1), real["y"]
        self.places = 10 ** torch.arange(source.signals["x"].shape[0] or 1)
        self.y = torch.arange(N) % source.signals["y"].n_classes
        self.digits = Digits()
        self.distance = Distance(self.digits, source.splits[split], N)

    def __call__(self, c: Contestant) -> Metrics:
        x = self.asked(c)
        own = {OWN: float((c.system.D(x)[1].argmax(1) == self.y).float().mean())} if c.case.system == "acgan" else {}
        return {**self.measure(x, self.y), **own}

    def asked(self, c: Contestant) -> Tensor:
        """Samples, asked for by their classes; one that is told nothing is asked in vain."""
        given = {"y": self.y} if c.system.given else {}
        return generate(c.system, N, seed=SAMPLE_SEED, at_once=AT_ONCE, given=given)["x"]

    def measure(self, x: Tensor, y: Tensor) -> Metrics:
        """Images x (N, C, 28, 28) that should be of classes y; the worst of each where x are no numbers."""
        distance, features = self.distance(x)
        if math.isinf(distance):
            return {ACCURACY: 0.0, DIVERSITY: 0.0, FD: math.inf}
        read = self.digits.labels(features)
        right = read[:, None] // self.places % 10 == y[:, None] // self.places % 10  # digit by digit
        various = diversity_ratio(to_8_bit(x).flatten(1), self.real, y, self.classes)
        return {ACCURACY: float(right.float().mean()), DIVERSITY: various, FD: distance}


def references(source: Source) -> dict[str, Metrics]:
    """Real images of another split."""
    real = source.held_out.fetch(evenly(source.held_out, N))
    return {metric: {"real data": value} for metric, value in Judge(source).measure(real["x"], real["y"]).items()}
