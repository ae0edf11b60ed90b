"""One of the things that a system makes, seen small: what it is like in the data, and how far samples are from that.

Distances are between small copies of images (points: coordinates over their spread): no network took part that a
player could please, and it costs next to nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mulligan.data.source import Source, Split, evenly, in_parts
from mulligan.game import Batch
from mulligan.metrics.distances import nearest
from mulligan.referee.history import LEAST_CHANCE
from mulligan.referee.modes import Modes

SIDE = 14  # of the small copies, in px
KNOWN = 2_000  # training samples among which neighbours are looked for
KNOWN_NUMBERS = 200_000_000  # of those, before they are made small
Numbers = dict[str, float]


class View:
    """What is seen of one key of a batch.

    Args:
        source: the data.
        key: of what is made.
        n: samples that will be looked at.
        labelled: whether the labels, if there are any, are those of what is made under this key.

    Attributes:
        spread: the mean distance of two real samples.
        usual: of unseen real data, the median distance to the nearest training sample.
        modes: of the training data.
        belongs: of each sample, its mode at the last measurement.
    """

    def __init__(self, source: Source, key: str, n: int, *, labelled: bool) -> None:
        self.key, signal = key, source.signals[key]
        known = min(len(source.train), KNOWN, max(64, KNOWN_NUMBERS // signal.size))
        train, y = self._read(source.train, known)
        self.scale = _spreads(train) if signal.kind == "points" else torch.ones(1)
        self.train = train / self.scale
        self.held_out = self._read(source.held_out, min(n, len(source.held_out)))[0] / self.scale
        self.modes = Modes(self.train, y if labelled else None, source.signals.get("y"), n)
        self.real = self.train[np.linspace(0, known - 1, min(n, known)).astype(int)]
        # exactly: of what is all the same, matrix products leave some rounding that looks like a difference
        self.spread = max(_between(self.real, self.real, exactly=True), 1e-9)
        self.usual = float(nearest(self.held_out, self.train).median())
        self.belongs: Tensor | None = None

    def seen(self, made: Batch) -> Tensor:
        """(N, d): small copies of what was made."""
        return _small(made[self.key]) / self.scale

    def distances(self, fake: Tensor) -> Numbers:
        within, across = _between(fake, fake), _between(fake, self.real)
        found = {
            "diversity": within / self.spread,
            # the energy distance (Székely & Rizzo 2013), as a share of how far real samples are from each other
            "distance": (2 * across - within - self.spread) / self.spread,
        }
        if self.usual > 0:
            found["nearest"] = float(nearest(fake, self.train).median()) / self.usual
        return found

    def course(self, fake: Tensor) -> tuple[Numbers, list[str]]:
        """How many modes have samples, how many samples changed their mode since the last time, and who is missing."""
        belongs = self.modes.read(fake)
        missing = self.modes.missing(belongs)
        found = {"modes": 1 - len(missing) / max(1, self.modes.expected)}
        if self.belongs is not None:
            found["swing"] = float((belongs != self.belongs).float().mean())
            # samples that go from kind to kind at random would have 1
            if (chance := 1 - float(self.modes.real.square().sum())) > LEAST_CHANCE:
                found["circling"] = found["swing"] / chance
        self.belongs = belongs
        return found, missing

    def moved(self, one: Tensor, other: Tensor) -> float:
        """How far samples moved, over the distance of two real ones."""
        return float((one - other).norm(dim=1).mean()) / self.spread

    def _read(self, split: Split, n: int) -> tuple[Tensor, Tensor | None]:
        """Small copies of an even spread of n samples, and their labels where they have some."""
        parts, labels = [], []
        for index in in_parts(evenly(split, n), 100):
            rows = split.fetch(index)
            parts.append(_small(rows[self.key]))
            labels.append(rows.get("y"))
        known = [y for y in labels if y is not None]
        return torch.cat(parts), torch.cat(known) if len(known) == len(parts) else None


def _small(x: Tensor) -> Tensor:
    """(N, d): points as they are, images as small copies."""
    if x.dim() == 2:
        return x.float()
    h, w = (min(SIDE, n) for n in x.shape[2:])
    return adaptive_avg_pool2d(x.float(), (h, w)).flatten(1)


def _spreads(x: Tensor) -> Tensor:
    """By coordinate of points (N, d), its deviation; infinite, so that it does not count, where all are equal."""
    return torch.where(x.amax(0) > x.amin(0), x.double().std(0), torch.inf).float()


def _between(x: Tensor, y: Tensor, *, exactly: bool = False) -> float:
    """The mean distance between a row of x and one of y; of the same rows, between two different ones."""
    way = "donot_use_mm_for_euclid_dist" if exactly else "use_mm_for_euclid_dist_if_necessary"
    total = torch.cdist(x, y, compute_mode=way).sum()
    pairs = len(x) * (len(x) - 1) if x is y else len(x) * len(y)
    return float(total) / max(1, pairs)
