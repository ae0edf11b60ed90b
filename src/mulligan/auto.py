"""`auto`: the system and settings that measurement found best for what the data is.

docs/log.md has the trials that found them, benchmarks/choice.py the race over kinds of data that chose among them;
benchmarks/default.py races the choice for images against a tuned DCGAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mulligan.data.source import Source


@dataclass(frozen=True)
class Choice:
    """A system, the options in which it departs from its paper, and why."""

    system: str
    options: dict[str, Any] = field(default_factory=dict)
    why: str = ""


# Grey images. A learning rate far above the paper's, β1 = 0, one step of D for each of G, and a hidden layer in D that
# sees the whole image: docs/log.md has the runs that chose them.
GREY: dict[str, Any] = {
    "network": "plain",
    "batch": 64,
    "z_dim": 64,
    "g_width": 32,
    "d_width": 32,
    "d_hidden": 128,
    "n_dis": 1,
    "lr": 3e-3,
    "beta2": 0.99,
}
# Colour images. Slower than the other at first, but drawn characters left that one without a start for a minute or two.
COLOUR: dict[str, Any] = {"network": "plain", "width": 32, "batch": 64, "lr": 1e-3}
# Points: schedules that end after the samples that a laptop plays in a minute.
POINTS: dict[str, Any] = {"burn_in": 1_000_000}


def choose(source: Source) -> Choice:
    """The default system for a source."""
    x = source.signals["x"]
    if x.kind == "points":
        return Choice("r3gan", POINTS, "finds narrow modes that lie far apart, and keeps them")
    if x.shape[0] in (1, 2):  # with or without transparency
        return Choice("sngan", GREY, "keeps improving where BatchNorm in D flattens out")
    return Choice("r3gan", COLOUR, "starts on every seed, and its penalties keep D from running away")
