"""Does a critic's estimate follow the Wasserstein-1 distance, as WGAN promises? In one dimension the distance is known.

The estimate E[f(x)] - E[f(G(z))] and the distance of the same samples at moments of a training on `density`, and how
their ranks agree over all moments of a training.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mulligan.data.source import Source
from mulligan.game import Typical
from mulligan.metrics.wasserstein import wasserstein_1
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 20.0
SEEDS = (0, 1, 2)
N = 10_000
ESTIMATE, TRUE = "the critic's estimate", "Wasserstein-1 distance"
# many steps of the critic for one of G: the promise is one for a critic that has learned its best
CONTESTANTS: tuple[tuple[str, Json], ...] = (
    ("wgan", {"n_critic": 100, "lr": 1e-4, "clip": 0.05, "z_dim": 2}),
    ("wgan_gp", {"n_critic": 50, "lr": 1e-4, "z_dim": 2}),
)
BAR = 0.9


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    real = source.test.fetch(np.arange(N))["x"]

    def measure(c: Contestant) -> Metrics:
        fake = c.generate(N)
        return {ESTIMATE: estimate(c, real, fake), TRUE: wasserstein_1(real[:, 0], fake[:, 0])}

    return measure


def estimate(c: Contestant, real: Tensor, fake: Tensor) -> float:
    assert isinstance(c.system, Typical)
    return float(c.system.discriminate(real).mean() - c.system.discriminate(fake).mean())


def references(source: Source) -> dict[str, Metrics]:
    real, other = (split.fetch(np.arange(N))["x"] for split in (source.test, source.held_out))
    return {TRUE: {"real data": wasserstein_1(real[:, 0], other[:, 0])}}


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's: the correlation of ranks (no ties among measured numbers)."""
    ranks = torch.tensor([a, b], dtype=torch.float64).argsort(1).argsort(1).double()
    return float(torch.corrcoef(ranks)[0, 1])


def correlations(contestant: Json) -> list[float]:
    """Of each seed, over the moments that it reached."""
    found = []
    for seed in contestant["seeds"]:
        reached = [moment for moment in contestant["course"] if seed in moment["seeds"]]
        estimates, distances = (
            [m["metrics"][metric]["values"][m["seeds"].index(seed)] for m in reached] for metric in (ESTIMATE, TRUE)
        )
        found.append(rank_correlation(estimates, distances))
    return found


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for name, _ in CONTESTANTS:
        each = correlations(find(summary, name))
        told = ", ".join(f"{value:.3f}" for value in each)
        found.append((f"{name}: rank correlation of estimate and distance at least {BAR}: {told}", min(each) >= BAR))
    return found


QUESTION = Question(
    name="critic",
    asks="Does a critic's estimate follow the true Wasserstein-1 distance?",
    cases=tuple(
        # from when the critic has learned its first best; of G itself, for the critic never met its average
        Case(name, name, "density", seed, SECONDS, config, tuple(i / 20 for i in range(4, 21)), ema=0)
        for seed in SEEDS
        for name, config in CONTESTANTS
    ),
    judge=judge,
    references=references,
    charts=(Chart(ESTIMATE), Chart(TRUE, log=True)),
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
