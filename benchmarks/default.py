"""Is the default twice as good as a tuned DCGAN on MNIST after five minutes?

`mulligan train auto` against `dcgan` of the same width on the same loop, precision and moving average;
DCGAN's learning rate is the best that default_lr.py found.
"""

from __future__ import annotations

import default_lr
import digits
from mulligan import auto
from mulligan.data import open_source
from runner import Case, Chart, Json, Question, find, main

SECONDS = 300.0
SEEDS = (0, 1, 2)
FACTOR = 2.0
SHARES = (0.06, 0.14)  # of a digit, at least and at most


def bars(summary: Json) -> list[tuple[str, bool]]:
    ours, theirs = (find(summary, name)["end"] for name in ("default", "dcgan"))
    factor = theirs[digits.FD]["mean"] / ours[digits.FD]["mean"]
    low, high = min(ours[digits.LEAST]["values"]), max(ours[digits.MOST]["values"])
    return [
        (f"distance lower than dcgan's by a factor of {FACTOR:g}: it is {factor:.2f}", factor >= FACTOR),
        (
            f"every digit's share between 6 % and 14 %: {100 * low:.1f} % to {100 * high:.1f} %",
            SHARES[0] <= low and high <= SHARES[1],
        ),
        ("no run of the default lost", find(summary, "default")["lost"] == 0),
    ]


def question() -> Question:
    choice = auto.choose(open_source("mnist"))
    dcgan = {"width": default_lr.WIDTH, "lr": default_lr.best()}
    contestants = (("default", choice.system, choice.options), ("dcgan", "dcgan", dcgan))
    return Question(
        name="default",
        asks="Is the default twice as good as a tuned DCGAN on MNIST after five minutes?",
        cases=tuple(
            Case(name, system, "mnist", seed, SECONDS, config) for seed in SEEDS for name, system, config in contestants
        ),
        judge=digits.judge,
        references=digits.references,
        charts=(
            Chart(digits.FD, log=True),
            Chart(digits.LEAST, ((SHARES[0], "bar"),)),
            Chart(digits.MOST, ((SHARES[1], "bar"),)),
        ),
        bars=bars,
        lost=digits.collapsed,
        threads=1,
    )


if __name__ == "__main__":
    main(question())
