"""Judges pictures that were made from the inputs of test pairs, beside two ways that draw nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mulligan.data.source import Source, evenly
from mulligan.data.unpaired import columns
from mulligan.metrics.features import EfficientNet, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from mulligan.metrics.translation import histogram_intersection, l1, sharpness
from mulligan.sheet import sheet, tile
from runner import Contestant, Metrics

N = 400
L1, SHARP, COLOURS = "L1 distance", "sharpness", "histogram intersection"
FD = "FD (EfficientNet-Lite0)"
Recovers = Callable[[Tensor], float]  # of pictures made, how much of their inputs is seen in them


class Judge:
    """Of pictures (N, 3, H, W) made for an even spread of test pairs.

    Args:
        source: of pairs.
        recovered: what else is measured, by name.
    """

    def __init__(self, source: Source, **recovered: Recovers) -> None:
        self.source, self.features = source, EfficientNet()
        self.rows = source.test.fetch(evenly(source.test, min(N, len(source.test))))
        self.true, self.more = self.rows["x"], recovered
        self.real = gaussian(self.features(self.true))

    def __call__(self, x: Tensor) -> Metrics:
        x = to_8_bit(x)
        if not bool(x.isfinite().all()):
            return {L1: math.inf, SHARP: 0.0, COLOURS: 0.0, FD: math.inf, **dict.fromkeys(self.more, 0.0)}
        return {
            L1: l1(x, self.true),
            SHARP: sharpness(x, self.true),
            COLOURS: sum(histogram_intersection(x, self.true)) / 3,
            FD: gaussian_distance(self.real, gaussian(self.features(x))),
            **{name: found(x) for name, found in self.more.items()},
        }

    def contestant(self, c: Contestant) -> Metrics:
        return self(c.generate(len(self.true)))

    def references(self) -> dict[str, Metrics]:
        """The training picture whose input is nearest, the mean picture; of real pictures the floor of FD."""
        x, given = (torch.cat(list(columns(self.source.train, key))) for key in ("x", "input"))
        nearest = torch.cdist(small(self.rows["input"]), small(given)).argmin(1)
        trivial = {"nearest neighbour": x[nearest], "mean picture": x.mean(0).expand_as(self.true)}
        scores = {name: self(made) for name, made in trivial.items()}
        scores["real"] = {FD: self.floor(), **{name: found(self.true) for name, found in self.more.items()}}
        return {m: {name: s[m] for name, s in scores.items() if m in s} for m in scores["mean picture"]}

    def floor(self) -> float:
        """FD of as many real pictures of another split."""
        other = self.source.held_out.fetch(evenly(self.source.held_out, len(self.true)))["x"]
        return gaussian_distance(self.real, gaussian(self.features(other)))


def small(x: Tensor) -> Tensor:
    """Inputs at 16 px, flat."""
    return adaptive_avg_pool2d(x, 16).flatten(1)


def draw(contestants: Sequence[Contestant], n: int, file: Path) -> None:
    """Of n test pairs what was given, what is true, and what each contestant made of it."""
    test = contestants[0].source.test
    rows = test.fetch(evenly(test, n))
    made = {"given": rows["input"], "true": rows["x"]}
    for c in contestants:
        with c.shown():
            made[c.case.name] = c.generate(n)
    draw_columns(made, file)


def draw_columns(made: Mapping[str, Tensor], file: Path, side_by_side: int = 1) -> None:
    """A row an image of what was made of it, by name; so many rows side by side."""
    n = min(map(len, made.values()))
    rows = [[tile(x[i].expand(3, -1, -1), name) for name, x in made.items()] for i in range(n)]
    whole = range(0, n - n % side_by_side, side_by_side)
    sheet([[one for row in rows[i : i + side_by_side] for one in row] for i in whole]).save(file)
