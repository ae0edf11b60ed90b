"""Is the saturating loss slower, as the paper says? `gan` on MNIST with both losses, from the same weights.

The paper's argument (section 3): early on D rejects samples with high confidence, log(1 - D(G(z))) saturates, and G's
gradient fades. On one number Adam hides it (density.py), since it divides a gradient by its own size; here both
players learn by the paper's own SGD.
"""

from __future__ import annotations

import digits
from runner import Case, Chart, Json, Question, find, main

SECONDS = 30.0
SEEDS = (0, 1, 2)
LOSSES = ("nonsaturating", "saturating")


def bars(summary: Json) -> list[tuple[str, bool]]:
    fast, slow = (find(summary, loss)["course"] for loss in LOSSES)
    behind = sum(
        b > a
        for early, late in zip(fast, slow, strict=True)
        for a, b in zip(*(m["metrics"][digits.FD]["values"] for m in (early, late)), strict=True)
    )
    n = len(fast) * len(SEEDS)
    return [(f"the saturating loss is behind at {behind} of {n} measurements", behind > n / 2)]


QUESTION = Question(
    name="saturating",
    asks="Is the saturating loss slower?",
    cases=tuple(Case(loss, "gan", "mnist", seed, SECONDS, {"loss": loss}, ema=0) for seed in SEEDS for loss in LOSSES),
    judge=digits.judge,
    references=digits.references,
    charts=(Chart(digits.FD, log=True),),
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
