"""Does a class-conditional GAN draw the digit that was asked for?

Three systems on MNIST, that of 2014 with three times the seconds of the others, and what each number is to be read
against: acgan whose training labels were shuffled, so that a label says nothing of its image, and a dcgan that is told
nothing. The digit judge, which took no part, reads what was drawn; what acgan's own D reads stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from asked import ACCURACY, DIVERSITY, FD, OWN, Judge, references
from mulligan import pictures, tuned
from mulligan.arrays import to_uint8
from mulligan.data import open_source
from mulligan.data.source import ArraySplit, Source, fingerprint
from mulligan.sheet import Tile, sheet
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 60.0
SLOWER = {"cgan": 180.0}  # the networks of 2014 begin late
SEEDS = (0, 1, 2)
MARKS = (0.25, 0.5, 0.75, 1.0)
BARS = {"cgan": 0.9, "acgan": 0.97, "projection": 0.97}  # accuracy
VARIOUS = 0.6  # of real data
CHANCE = 0.1
SHUFFLED, UNTOLD = "acgan, labels shuffled", "dcgan, told nothing"
# name: system, data
CONTESTANTS = {
    **{system: (system, "mnist") for system in BARS},
    UNTOLD: ("dcgan", "mnist"),
    SHUFFLED: ("acgan", "shuffled"),
}


def opens(name: str) -> Source:
    """MNIST; with the labels of its training images in another order where `name` is `shuffled`."""
    source = open_source("mnist")
    if name == "mnist":
        return source
    train = source.train
    assert isinstance(train, ArraySplit)
    y = train.arrays["y"].copy()
    y[train.rows] = np.random.RandomState(0).permutation(y[train.rows])
    changed = fingerprint([source.fingerprint.encode(), y.tobytes()])
    return replace(source, train=ArraySplit({**train.arrays, "y": y}, train.rows), fingerprint=changed)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    return Judge(source)


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for name, least in BARS.items():
        end = find(summary, name)["end"]
        right, various = (end[metric]["values"] for metric in (ACCURACY, DIVERSITY))
        found.append((f"{name}: {ACCURACY} at least {least:.0%}, every seed ({told(right)})", min(right) >= least))
        words = f"{name}: {DIVERSITY} at least {VARIOUS:g} of real data's, every seed ({told(various)})"
        found.append((words, min(various) >= VARIOUS))
    for name in (UNTOLD, SHUFFLED):
        right = find(summary, name)["end"][ACCURACY]
        words = f"{name}: {ACCURACY} by chance, {CHANCE:g} within 0.05, mean over seeds ({told(right['values'])})"
        found.append((words, abs(right["mean"] - CHANCE) <= 0.05))
    return found


def told(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def asked_for(contestants: list[Contestant], folder: Path) -> None:
    """What each made from the first seed: 0 to 9 were asked for, in this order."""
    case, source = contestants[0].case, contestants[0].source
    if case.seed != SEEDS[0]:
        return
    judged, rows = Judge(source), []
    for c in contestants:
        with c.shown():
            rows.append([Tile(pictures.grid(to_uint8(judged.asked(c)[:40]), 10).convert("RGBA"), c.case.name)])
    sheet(rows).quantize(16).save(folder / f"conditional-{case.data}.png")


QUESTION = Question(
    name="conditional",
    asks="Does a class-conditional GAN draw the digit that was asked for?",
    cases=tuple(
        Case(name, system, data, seed, SLOWER.get(name, SECONDS), tuned.options(system, grey=True), MARKS)
        for seed in SEEDS
        for name, (system, data) in CONTESTANTS.items()
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(
        Chart(ACCURACY, ((CHANCE, "chance"), (0.97, "bar"))),
        Chart(DIVERSITY, ((VARIOUS, "bar"),), title="distance between samples of a class, by that of real ones"),
        Chart(FD, log=True),
        Chart(OWN, title="accuracy as acgan's own D reads it"),
    ),
    bars=bars,
    after=asked_for,
)

if __name__ == "__main__":
    main(QUESTION)
