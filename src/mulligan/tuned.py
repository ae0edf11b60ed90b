"""For each system the options that suit a CPU and the minutes that people give it, for grey and for colour images.

The papers' own are for GPUs and days. docs/log.md has the short trainings that chose among two to four learning rates
for each system, judged on held-out images; what is not named here is as in the paper.
"""

from __future__ import annotations

from typing import Any

from mulligan import auto
from mulligan.data.source import Source

Options = dict[str, Any]

PAIR: Options = {"width": 32}  # DCGAN's networks at half their width play twice as many rounds
GROWING: Options = {"width": 16, "z_dim": 64}
# A third of the paper's units and batch: five times as many rounds, without which its games do not begin.
PERCEPTRON: Options = {"batch": 32, "g_width": 400, "d_width": 80}

# sngan's rates and hidden layer; the names' own loss needs no more weight than the paper's.
NAMING: Options = {
    **PAIR,
    "batch": 64,
    "z_dim": 64,
    "d_norm": "spectral",
    "d_hidden": 128,
    "dropout": 0.0,
    "beta1": 0.0,
}

# Half the paper's widths: of those tried on digits the soonest in which G cared for its label; in colour the only ones.
TOLD_PERCEPTRON: Options = {"batch": 64, "width": 0.5, "g_dropout": 0.0, "optimizer": "adam", "lr": 1e-3}

# A batch of 4 and half the blocks are many more images a second; the paper's rate is for two hundred epochs.
CYCLE: Options = {"batch": 4, "g_width": 16, "d_width": 16, "blocks": 3, "lr": 1e-3}

GREY: dict[str, Options] = {
    "acgan": {**NAMING, "lr": 3e-3},
    "cgan": TOLD_PERCEPTRON,
    "cyclegan": CYCLE,
    "dcgan": {**PAIR, "lr": 8e-3},
    "dragan": {**PAIR, "lr": 4e-3},
    "gan": {**PERCEPTRON, "lr": 0.1},
    "lsgan": {**PAIR, "lr": 1e-3},
    "pokegan": {**PAIR, "lr": 2e-3},
    "progan": {**GROWING, "lr": 4e-3},
    "projection": auto.GREY,
    "r3gan": auto.COLOUR,
    "sngan": auto.GREY,
    "wgan": {**PAIR, "lr": 2e-3},
    "wgan_gp": {**PAIR, "lr": 3e-3},
}
COLOUR: dict[str, Options] = {
    "acgan": {**NAMING, "lr": 1e-3},
    "cgan": TOLD_PERCEPTRON,
    "cyclegan": CYCLE,
    "dcgan": {**PAIR, "lr": 1e-3},
    "dragan": {**PAIR, "lr": 1e-3},
    "gan": {**PERCEPTRON, "lr": 0.03},
    "lsgan": {**PAIR, "lr": 2e-3},
    "pokegan": {**PAIR, "lr": 2e-3},
    "progan": {**GROWING, "lr": 8e-3},
    "projection": {**auto.GREY, "lr": 1e-3},
    "r3gan": auto.COLOUR,
    "sngan": {**auto.GREY, "lr": 1e-3},
    "stylegan2": {"lr": 4e-3},
    "wgan": {**PAIR, "lr": 2e-3},
    "wgan_gp": {**PAIR, "lr": 5e-3},
}


def options(system: str, *, grey: bool) -> Options:
    """Of a system on images; none where nothing was tried."""
    return dict((GREY if grey else COLOUR).get(system, {}))


def suited(system: str, source: Source) -> Options:
    """Of a system on a source of images."""
    return options(system, grey=source.signals["x"].shape[0] in (1, 2))
