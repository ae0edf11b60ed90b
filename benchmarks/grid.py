"""Does R3GAN reach all 25 modes of the grid, and hold to them? The GAN of 2014 beside it, same seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from mulligan import pictures
from mulligan.data.source import Source
from mulligan.data.toy import ToySource
from mulligan.metrics.modes import point_modes
from mulligan.plot import font
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 110.0
# gan's learning rates fall over about what it sees in this time, as r3gan's do by default
CONTESTANTS: tuple[tuple[str, Json], ...] = (("r3gan", {}), ("gan", {"decay_images": 2_000_000}))
SEEDS = (0, 1, 2, 3, 4)
N = 10_000
MODES, GOOD, KL = "modes of 25", "within 3 sigma", "KL over modes"


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """Modes hit by one good sample of N, the share of good ones, and how evenly they fall."""
    return lambda c: modes(source, c.generate(N))


def modes(source: Source, x: torch.Tensor) -> Metrics:
    assert isinstance(source, ToySource)
    found = point_modes(x, torch.from_numpy(source.modes), source.sigma, torch.from_numpy(source.weights))
    return {MODES: float(found.hit), GOOD: found.good, KL: found.kl}


def references(source: Source) -> dict[str, Metrics]:
    real = modes(source, source.test.fetch(np.arange(len(source.test)))["x"])
    return {GOOD: {"real data": real[GOOD]}}


def bars(summary: Json) -> list[tuple[str, bool]]:
    end = find(summary, "r3gan")["end"]
    return [
        ("r3gan: 25 of 25 modes, every seed", min(end[MODES]["values"]) == 25),
        ("r3gan: at least 90 % within 3 sigma, every seed", min(end[GOOD]["values"]) >= 0.9),
    ]


def scatter(contestants: list[Contestant], folder: Path) -> None:
    """What each made from the first seed, side by side."""
    if contestants[0].case.seed != SEEDS[0]:
        return
    real = contestants[0].source.test.fetch(np.arange(5000))["x"]
    shown = []
    for c in contestants:
        with c.shown():
            shown.append(pictures.scatter(c.generate(5000), real))
    sheet = beside(shown, [c.case.name for c in contestants])
    sheet.save(folder / "grid.png")


def samples_beside(contestants: list[Contestant]) -> Image.Image:
    """36 samples of each contestant in a race of images, none chosen."""
    shown = []
    for c in contestants:
        with c.shown():
            shown.append(pictures.look_grid(c.generate(36)))
    return beside(shown, [c.case.name for c in contestants])


def beside(shown: list[Image.Image], names: list[str]) -> Image.Image:
    """Pictures of one size in a row, each under its name."""
    width, height = shown[0].size
    sheet = Image.new("RGB", (width * len(shown), height + 40), "white")
    for i, (picture, name) in enumerate(zip(shown, names, strict=True)):
        sheet.paste(picture, (i * width, 40))
        ImageDraw.Draw(sheet).text((i * width + width / 2, 28), name, "black", font(30), anchor="mm")
    return sheet


QUESTION = Question(
    name="grid",
    asks="Does R3GAN reach all 25 modes of the grid, and hold to them?",
    cases=tuple(
        Case(system, system, "grid", seed, SECONDS, options, marks=tuple(i / 10 for i in range(1, 11)))
        for seed in SEEDS
        for system, options in CONTESTANTS
    ),
    judge=judge,
    references=references,
    charts=(
        Chart(MODES, ((25.0, "all"),), title="modes hit, of 25"),
        Chart(GOOD, ((0.9, "bar"),), title="share of samples within 3 sigma of a mode"),
        Chart(KL, log=True, title="KL of the samples over modes (nats)"),
    ),
    bars=bars,
    after=scatter,
)

if __name__ == "__main__":
    main(QUESTION)
