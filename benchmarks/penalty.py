"""R1 + R2 exactly, by double backward, or by finite differences: which gives R3GAN more in equal time?"""

from __future__ import annotations

from collections.abc import Callable

import digits
import grid
from mulligan.data.source import Source
from runner import Case, Chart, Contestant, Metrics, Question, main

SECONDS = 30.0
SEEDS = (0, 1, 2)
CONFIG = {"grid": {}, "mnist": {"network": "plain", "width": 32, "batch": 64, "lr": 1e-3, "gamma": 1.0}}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    return digits.judge(source) if source.name == "mnist" else grid.judge(source)


def references(source: Source) -> dict[str, Metrics]:
    return digits.references(source) if source.name == "mnist" else grid.references(source)


QUESTION = Question(
    name="penalty",
    asks="R1 + R2 by double backward or by finite differences: which gives more in equal time?",
    cases=tuple(
        Case(form, "r3gan", data, seed, SECONDS, {**config, "penalty": form})
        for data, config in CONFIG.items()
        for seed in SEEDS
        for form in ("finite", "exact")
    ),
    judge=judge,
    references=references,
    charts=(
        Chart(grid.GOOD, title="share of samples within 3 sigma of a mode"),
        Chart(digits.FD, log=True),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
