"""Do tied layers make pairs? CoGAN on MNIST's digits and their edges, and on digits and their negatives, beside the
same two GANs that share z and nothing else.

The paper's measure: the image of the first domain through the known map, held against that of the second; the share of
pixels that agree, here both above or both below the middle. Pairs of black images would agree too, so it is read
beside the coverage of the digits, as a share of what the untied GAN of the first domain covers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from grid import beside
from mulligan import pictures
from mulligan.arrays import to_uint8
from mulligan.data import open_source
from mulligan.data.source import Source, Split
from mulligan.data.tasks.dilation import dilation
from mulligan.data.tasks.negative import negative
from mulligan.metrics.features import Digits, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from mulligan.metrics.prdc import prdc
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = {"edges": 150.0, "negative": 60.0}  # edges take their time (docs/log.md)
SEEDS = (0, 1, 2)
CONTESTANTS: tuple[tuple[str, Json], ...] = (
    ("cogan", {}),
    ("independent", {"g_shared": 0, "d_shared": 0}),
)
N = 5_000
SHOWN = 48  # pairs in the picture
AGREE, COVERAGE = "share of pixels that agree", "coverage of the digits"
FIRST, SECOND = "FD of x (digit judge)", "FD of x2 (digit judge)"
ENOUGH, COVERED = 0.93, 0.8  # the bars

Map = Callable[[Tensor], Tensor]
TASKS = {"edges": "dilation", "negative": "negative"}
MAPS: dict[str, Map] = {"edges": dilation, "negative": negative}
# of x2, for the judge, which was trained on digits: a negative can be turned back into one, edges cannot
BACK: dict[str, Map] = {"edges": lambda x: x, "negative": negative}


def opens(task: str) -> Source:
    """MNIST in two halves, under the name of what was done to the second."""
    return replace(open_source("mnist", task=TASKS[task], unpaired=True), name=task)


def agreement(known: Map, x: Tensor, x2: Tensor) -> float:
    """Of images x (N, 1, H, W) through the known map and of x2, the share of pixels on the same side of the middle."""
    return float(((known(x) > 0) == (x2 > 0)).double().mean())


class Judge:
    """Judges pairs against real images of both domains."""

    def __init__(self, source: Source, real: dict[str, Tensor]) -> None:
        self.known, self.back, self.digits = MAPS[source.name], BACK[source.name], Digits()
        self.features = self._features(real)
        self.gaussians = [gaussian(features) for features in self.features]

    def __call__(self, made: dict[str, Tensor]) -> Metrics:
        made = {key: to_8_bit(x) for key, x in made.items()}
        found = self._features(made)
        if not all(bool(features.isfinite().all()) for features in found):
            return {AGREE: 0.0, COVERAGE: 0.0, FIRST: math.inf, SECOND: math.inf}
        first, second = (
            gaussian_distance(real, gaussian(fake)) for real, fake in zip(self.gaussians, found, strict=True)
        )
        return {
            AGREE: agreement(self.known, made["x"], made["x2"]),
            COVERAGE: prdc(self.features[0], found[0]).coverage,
            FIRST: first,
            SECOND: second,
        }

    def _features(self, both: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.digits(both["x"]), self.digits(self.back(both["x2"]))


def reals(split: Split) -> dict[str, Tensor]:
    """At most N of x and of x2, each from the whole split."""
    index = np.linspace(0, len(split) - 1, min(N, len(split))).round().astype(np.int64)
    rows = split.fetch(index)
    return {key: rows[key] for key in ("x", "x2")}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against = Judge(source, reals(source.test))
    return lambda c: against(c.make(N))


def references(source: Source) -> dict[str, Metrics]:
    """Other real images: x beside an x2 of nobody's, and beside its own through the known map."""
    against = Judge(source, reals(source.test))
    other = reals(source.held_out)
    strangers = against(other)
    true = against({"x": other["x"], "x2": against.known(other["x"])})
    found = {AGREE: {"random pairs of real images": strangers[AGREE], "true pairs": true[AGREE]}}
    return found | {metric: {"real images": strangers[metric]} for metric in (COVERAGE, FIRST, SECOND)}


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for task in MAPS:
        tied, alone = (find(summary, name, task)["end"] for name in ("cogan", "independent"))
        agree = tied[AGREE]["mean"]
        ratio = tied[COVERAGE]["mean"] / alone[COVERAGE]["mean"]
        found += [
            (f"{task}: {agree:.3f} of the pixels of cogan's pairs agree, at least {ENOUGH}", agree >= ENOUGH),
            (f"{task}: cogan covers {ratio:.2f} of what the untied GAN does, at least {COVERED}", ratio >= COVERED),
        ]
    return found


def side_by_side(contestants: list[Contestant], folder: Path) -> None:
    """The first seed's pairs, in one picture for each task."""
    case = contestants[0].case
    if case.seed != SEEDS[0]:
        return
    shown = []
    for c in contestants:
        with c.shown():
            shown.append(pictures.grid(to_uint8(pictures.side_by_side(c.make(SHOWN))), 6))
    beside(shown, [c.case.name for c in contestants]).save(folder / f"cogan-{case.data}.png")


QUESTION = Question(
    name="cogan",
    asks="Do tied layers make pairs, without a pair in the data?",
    cases=tuple(
        Case(name, "cogan", task, seed, SECONDS[task], config)
        for task in MAPS
        for seed in SEEDS
        for name, config in CONTESTANTS
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(
        Chart(AGREE, ((ENOUGH, "bar"),)),
        Chart(COVERAGE),
        Chart(FIRST, log=True),
        Chart(SECOND, log=True),
    ),
    bars=bars,
    after=side_by_side,
)

if __name__ == "__main__":
    main(QUESTION)
