"""Which learning rate suits DCGAN on MNIST? The default must beat a tuned opponent (default.py)."""

from __future__ import annotations

import json

import digits
from runner import RESULTS, Case, Chart, Question, main

SECONDS = 120.0
WIDTH = 32
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)


def best() -> float:
    """The rate that gave the lowest distance.

    Raises:
        FileNotFoundError: it was not measured yet.
    """
    summary = json.loads((RESULTS / "default_lr.json").read_text())
    ended = [c for c in summary["contestants"] if c["end"]]
    return float(min(ended, key=lambda c: c["end"][digits.FD]["mean"])["config"]["lr"])


QUESTION = Question(
    name="default_lr",
    asks="Which learning rate suits DCGAN on MNIST?",
    cases=tuple(
        Case(f"dcgan-{lr:g}", "dcgan", "mnist", 0, SECONDS, {"width": WIDTH, "lr": lr}, (1.0,)) for lr in RATES
    ),
    judge=digits.chooser,
    references=digits.references,
    charts=(Chart(digits.FD, log=True),),
    lost=digits.collapsed,
    threads=1,
)

if __name__ == "__main__":
    main(QUESTION)
