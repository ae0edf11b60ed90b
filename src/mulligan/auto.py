"""`auto`: the system and settings that measurement found best for what the data is.

benchmarks/default.py holds the race that decided, and its results.
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


def choose(source: Source) -> Choice:
    """The default system for a source."""
    signal = source.signals["x"]
    if signal.kind == "points":
        return Choice("r3gan", {}, "points")
    return Choice(
        "sngan",
        {
            "network": "plain",
            "lr": 1e-3,
            "g_width": 32,
            "d_width": 32,
            "n_dis": 1,
            "beta1": 0.5,
            "beta2": 0.99,
        },
        "images",
    )
