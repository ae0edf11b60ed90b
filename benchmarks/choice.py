"""Which system and setting should `mulligan train auto` take? A race over kinds of data and seeds.

Judged by distance to held-out data, since something is chosen here. Data differ in scale, so contestants are ranked by
the ratio of their distance to the best one's in the same race, over all races; and a choice must not lose a game.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import default_lr
import digits
from characters import open_characters
from frechet import Distance
from mulligan import auto
from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.data.toy import ToySource
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.metrics.class_shares import class_shares
from mulligan.metrics.features import Digits, pick
from mulligan.metrics.modes import label_modes
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS_IMAGES, SECONDS_POINTS = 120.0, 40.0
SEEDS = (0, 1, 2)
N = 2_000
IMAGES, POINTS = ("mnist", "stacked", "characters"), ("ring", "grid")
FD, STRAY = "distance (FD)", "share of mass out of place"
MODES = "modes of 1000"

# each contestant with the best settings that the trials of docs/log.md found for it
PICTURES: dict[str, Json] = {
    "sngan": auto.GREY,
    "dcgan": {"width": default_lr.WIDTH, "lr": default_lr.best()},
    "r3gan": auto.COLOUR,
}
PLANE: dict[str, Json] = {
    "r3gan": auto.POINTS,
    "gan": {"decay_images": 1_000_000},
    "sngan": {"g_width": 64, "d_width": 64, "z_dim": 2, "n_dis": 1, "lr": 1e-3, "decay_images": 1_000_000},
}


def opens(name: str) -> Source:
    return open_characters() if name == "characters" else open_source(name)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    if isinstance(source, ToySource):
        return lambda c: {STRAY: out_of_place(source, c.generate(N))}
    measure = distance(source)
    return lambda c: measure(c.generate(N))


def out_of_place(source: ToySource, x: Tensor) -> float:
    """How much of a sample's mass must move for the data's: total variation over the modes, within 3 sigma of
    each, and everywhere else."""
    away, index = torch.cdist(x.double(), torch.from_numpy(source.modes)).min(1)
    good = away <= 3 * source.sigma
    k = len(source.modes)
    ours = torch.cat([index[good].bincount(minlength=k), (~good).sum()[None]]).double() / len(x)
    within = 1 - math.exp(-4.5)  # of a Gaussian on a plane within 3 sigma
    theirs = torch.cat([torch.from_numpy(source.weights) * within, torch.tensor([1 - within])])
    return float((ours - theirs).abs().sum() / 2)


def distance(source: Source) -> Callable[[Tensor], Metrics]:
    """FD to held-out images, and what tells a collapse where the judge reads digits."""
    extractor = pick(source, quick=True)
    from_real = Distance(extractor, source.held_out, N)

    def measure(x: Tensor) -> Metrics:
        apart, features = from_real(x)
        metrics = {FD: apart}
        if isinstance(extractor, Digits) and math.isfinite(apart):
            labels = extractor.labels(features)
            if source.name == "mnist":
                metrics[digits.LEAST] = float(class_shares(labels, 10).min())
            else:
                metrics[MODES] = float(label_modes(labels, torch.full((1000,), 1e-3)).hit)
        return metrics

    return measure


def references(source: Source) -> dict[str, Metrics]:
    if isinstance(source, ToySource):
        real = source.test.fetch(np.arange(N))["x"]
        return {STRAY: {"real data": out_of_place(source, real)}}
    measure = distance(source)
    real = torch.cat(list(real_samples(source.test, min(N, len(source.test)))))
    return {FD: {"real data": measure(real)[FD], "trivial": measure(torch.cat(list(trivial_samples(source, N))))[FD]}}


def lost(metrics: Metrics) -> bool:
    """A collapse: a digit, or half of the stacked ones, no longer made, or half of the plane's mass astray."""
    return (
        not math.isfinite(metrics.get(FD, 0.0))
        or metrics.get(digits.LEAST, 1.0) < 0.01
        or metrics.get(MODES, 1000.0) < 500
        or metrics.get(STRAY, 0.0) > 0.5
    )


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for kind, data, contestants, metric in (("images", IMAGES, PICTURES, FD), ("points", POINTS, PLANE, STRAY)):
        choice = {d: auto.choose(opens(d)).system for d in data}
        default = behind(summary, choice, tuple(contestants), metric)
        alone = {name: behind(summary, dict.fromkeys(data, name), tuple(contestants), metric) for name in contestants}
        told = ", ".join(f"{name} {value:.2f}" for name, value in alone.items())
        words = f"{kind}: auto is {default:.2f} times as far from the data as the best of each race ({told})"
        found += [(words, default <= min(alone.values()))]
        games_lost = {d: find(summary, name, d)["lost"] for d, name in choice.items()}
        found += [(f"{kind}: auto's games lost: {games_lost}", not any(games_lost.values()))]
    return found


def behind(summary: Json, choice: dict[str, str], contestants: tuple[str, ...], metric: str) -> float:
    """The geometric mean over races of the distance of the data's choice by the best contestant's; infinite if a game
    broke off."""
    ratios = []
    for d, name in choice.items():
        ends = {other: find(summary, other, d)["end"] for other in contestants}
        if not ends[name] or len(ends[name][metric]["values"]) < len(SEEDS):
            return math.inf
        for i in range(len(SEEDS)):
            race = [e[metric]["values"][i] for e in ends.values() if e and i < len(e[metric]["values"])]
            ratios.append(ends[name][metric]["values"][i] / min(race))
    return statistics.geometric_mean(ratios)


QUESTION = Question(
    name="choice",
    asks="Which system and setting should be the default, over kinds of data and seeds?",
    cases=tuple(
        Case(system, system, data, seed, seconds, config, marks)
        for sources, contestants, seconds, marks in (
            (IMAGES, PICTURES, SECONDS_IMAGES, (1 / 3, 2 / 3, 1.0)),
            (POINTS, PLANE, SECONDS_POINTS, (0.5, 1.0)),
        )
        for data in sources
        for seed in SEEDS
        for system, config in contestants.items()
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(Chart(FD, log=True), Chart(STRAY, log=True)),
    bars=bars,
    lost=lost,
)

if __name__ == "__main__":
    main(QUESTION)
