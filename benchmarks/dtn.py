"""What keeps the digit when no pair is known? DTN's ablations, from digits on photographs to digits.

The digit judge, which never saw a translated image, reads what is made of test digits on photographs that training
never saw. Beside DTN stand its own parts left out, what the judge reads of the input itself, and f, which was taught
digits on photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.layers.colours import grey
from mulligan.metrics.features import Digits, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from pairs import draw
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 100.0
SIZE, N, PICTURES = 32, 1_000, 10
SEEDS = (0, 1, 2)
READ, FD, F = "digits read", "FD (digit judge)", "read by f"
WAYS: dict[str, Json] = {
    "DTN": {},
    "no TID": {"tid_weight": 0.0},
    "no CONST": {"const_weight": 0.0},
    "neither": {"tid_weight": 0.0, "const_weight": 0.0},
    "no D": {"adv_weight": 0.0},
    "f not in G": {"f_in_g": False},
}
CHANCE = 0.1


class Judge:
    """Of what is made of test images on photographs."""

    def __init__(self, source: Source) -> None:
        self.rows = source.test.fetch(evenly(source.test, N))
        self.digits = Digits()
        self.real = gaussian(self.digits(self.rows["x"]))

    def __call__(self, x: torch.Tensor) -> Metrics:
        found = self.digits(to_8_bit(x))
        if not bool(found.isfinite().all()):
            return {READ: 0.0, FD: math.inf}
        right = (self.digits.labels(found) == self.rows["y2"]).double().mean()
        return {READ: float(right), FD: gaussian_distance(self.real, gaussian(found))}

    def contestant(self, c: Contestant) -> Metrics:
        system = c.system
        named = system.name(system.f(self.rows["x2"])).argmax(1)  # type: ignore[operator]
        return {**self(c.generate(N)), F: float((named == self.rows["y2"]).double().mean())}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    return Judge(source).contestant


def references(source: Source) -> dict[str, Metrics]:
    against = Judge(source)
    own = against(grey(against.rows["x2"]))
    other = source.held_out.fetch(evenly(source.held_out, N))["x"]
    floor = gaussian_distance(against.real, gaussian(against.digits(other)))
    return {READ: {"input itself": own[READ], "chance": CHANCE}, FD: {"input itself": own[FD], "real": floor}}


def bars(summary: Json) -> list[tuple[str, bool]]:
    full, no_tid, no_const, neither, no_d, _ = (find(summary, way)["end"][READ]["mean"] for way in WAYS)
    words = f"{READ}: DTN {full:.3f} > no TID {no_tid:.3f} >> no CONST {no_const:.3f} > chance, as in the paper"
    parts = f"{READ}: DTN {full:.3f}, without D {no_d:.3f}, with neither CONST nor TID {neither:.3f}"
    return [
        (words, full > no_tid > no_const + 0.1 > CHANCE + 0.1),
        (f"{parts}: each far below", max(no_d, neither) < full - 0.2),
    ]


def drawn(contestants: list[Contestant], folder: Path) -> None:
    if contestants[0].case.seed != SEEDS[0]:
        return
    test = contestants[0].source.test
    given = {"given": test.fetch(evenly(test, PICTURES))["x2"]}
    draw(contestants, given, folder / "dtn-digits.png", side_by_side=2)


QUESTION = Question(
    name="dtn",
    asks="What keeps the digit when no pair is known?",
    cases=tuple(
        Case(way, "dtn", "mnist", seed, SECONDS, config, (0.4, 0.6, 0.8, 1.0))
        for seed in SEEDS
        for way, config in WAYS.items()
    ),
    opens=lambda name: open_source(name, size=SIZE, task="on_photos"),
    judge=judge,
    references=references,
    charts=(Chart(READ), Chart(FD)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
