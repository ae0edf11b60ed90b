"""Does growing from small images to large ones pay? ProGAN's networks grown, and the same at the full side throughout.

Judged as in the paper, by the sliced Wasserstein distance of patches at each scale, on characters of 64 px.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from grid import samples_beside
from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.metrics.sliced_wasserstein import patch_distances
from runner import Case, Chart, Contestant, Json, Metrics, Question, main

SECONDS = 200.0
SEEDS = (0, 1, 2)
SIZE, LEVELS = 64, (64, 32, 16)
NETWORKS: Json = {"width": 16, "z_dim": 64}
CONTESTANTS: tuple[tuple[str, Json], ...] = (("growing", {}), ("fixed", {"grow": False}))
N, PATCHES, DIRECTIONS = 1_000, 64, 128  # the paper's 8,192, 128 and 512 would take minutes a measurement
MEAN = "mean distance of patches x 1000"


def level(side: int) -> str:
    return f"of {side} px x 1000"


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """Against test images: at each scale, and the mean of the scales."""
    real = torch.cat(list(real_samples(source.test, N)))
    return lambda c: distances(real, c.generate(N))


def distances(real: Tensor, fake: Tensor) -> Metrics:
    found = patch_distances(real, fake, patches=PATCHES, directions=DIRECTIONS)
    return {MEAN: 1000 * statistics.mean(found.values()), **{level(side): 1000 * v for side, v in found.items()}}


def references(source: Source) -> dict[str, Metrics]:
    test = torch.cat(list(real_samples(source.test, N)))
    real = distances(test, torch.cat(list(real_samples(source.held_out, N))))
    trivial = distances(test, torch.cat(list(trivial_samples(source, N))))
    return {metric: {"real data": real[metric], "trivial": trivial[metric]} for metric in real}


def side_by_side(contestants: list[Contestant], folder: Path) -> None:
    """What each made from the first seed."""
    if contestants[0].case.seed == SEEDS[0]:
        samples_beside(contestants).quantize(128).save(folder / "growing-samples.png")


QUESTION = Question(
    name="growing",
    asks="Growing from small images, or the full side from the start: which is nearer to the data in equal time?",
    cases=tuple(
        Case(name, "progan", "characters", seed, SECONDS, {**NETWORKS, **config}, tuple(i / 8 for i in range(1, 9)))
        for seed in SEEDS
        for name, config in CONTESTANTS
    ),
    opens=partial(open_source, size=SIZE),
    judge=judge,
    references=references,
    charts=(Chart(MEAN, log=True), *(Chart(level(side), log=True) for side in LEVELS)),
    after=side_by_side,
)

if __name__ == "__main__":
    main(QUESTION)
