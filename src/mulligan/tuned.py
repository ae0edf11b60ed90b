"""For each system the options that suit a CPU and the minutes that people give it, for grey and for colour images.

The papers' own are for GPUs and days. docs/log.md has the short trainings that chose among two to four learning rates
for each system, judged on held-out images; what is not named here is as in the paper.
"""

from __future__ import annotations

from typing import Any

from mulligan import auto
from mulligan.data.source import Source

Options = dict[str, Any]

# DCGAN's networks for images of 28 and 32 px, half as wide: they play twice as many rounds
PAIR: Options = {"width": 32}
GREY: dict[str, Options] = {
    "dcgan": {**PAIR, "lr": 8e-3},
    "sngan": auto.GREY,
    "r3gan": auto.COLOUR,
}
COLOUR: dict[str, Options] = {
    "dcgan": {**PAIR, "lr": 1e-3},
    "sngan": auto.GREY,
    "r3gan": auto.COLOUR,
}


def options(system: str, *, grey: bool) -> Options:
    """Of a system on images; none where nothing was tried."""
    return dict((GREY if grey else COLOUR).get(system, {}))


def suited(system: str, source: Source) -> Options:
    """Of a system on a source of images."""
    return options(system, grey=source.signals["x"].shape[0] in (1, 2))
