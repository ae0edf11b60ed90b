"""Judges pictures that were made from the inputs of test pairs, beside two ways that draw nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from mulligan.data.source import Source, evenly
from mulligan.metrics.features import EfficientNet, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from mulligan.metrics.translation import l1, sharpness
from mulligan.partners import colours, mean_picture, nearest_partner
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
            COLOURS: colours(x, self.true),
            FD: gaussian_distance(self.real, gaussian(self.features(x))),
            **{name: found(x) for name, found in self.more.items()},
        }

    def contestant(self, c: Contestant) -> Metrics:
        return self(c.generate(len(self.true)))

    def references(self) -> dict[str, Metrics]:
        """The training picture whose input is nearest, the mean picture; of real pictures the floor of FD."""
        n = len(self.source.train)
        trivial = {
            "nearest neighbour": nearest_partner(self.source, self.rows["input"], n),
            "mean picture": mean_picture(self.source, n).expand_as(self.true),
        }
        scores = {name: self(made) for name, made in trivial.items()}
        scores["real"] = {FD: self.floor(), **{name: found(self.true) for name, found in self.more.items()}}
        return {m: {name: s[m] for name, s in scores.items() if m in s} for m in scores["mean picture"]}

    def floor(self) -> float:
        """FD of as many real pictures of another split."""
        other = self.source.held_out.fetch(evenly(self.source.held_out, len(self.true)))["x"]
        return gaussian_distance(self.real, gaussian(self.features(other)))


def draw_pairs(contestants: Sequence[Contestant], n: int, file: Path) -> None:
    """Of n test pairs what was given, what is true, and what each contestant made of it."""
    test = contestants[0].source.test
    rows = test.fetch(evenly(test, n))
    draw(contestants, {"given": rows["input"], "true": rows["x"]}, file)


def draw(
    contestants: Sequence[Contestant],
    shown: Mapping[str, Tensor],
    file: Path,
    made_by: Callable[[Contestant], Tensor] | None = None,
    side_by_side: int = 1,
) -> None:
    """A row an image: what is shown of it, by name, and what each contestant makes of it.

    Args:
        contestants: of a race that is over.
        shown: (n, C, H, W) by name.
        file: of the picture.
        made_by: what a contestant makes of these n images; default: of n test images.
        side_by_side: so many rows.
    """
    n = len(next(iter(shown.values())))
    made = dict(shown)
    for c in contestants:
        with c.shown():
            made[c.case.name] = c.generate(n) if made_by is None else made_by(c)
    rows = [[tile(x[i].expand(3, -1, -1), name) for name, x in made.items()] for i in range(n)]
    whole = range(0, n - n % side_by_side, side_by_side)
    sheet([[one for row in rows[i : i + side_by_side] for one in row] for i in whole]).save(file)
