"""What are R3GAN's two steps worth, pairs and a second penalty? {GAN, RpGAN} x {R1, R1 + R2}, on 25 Gaussians and on
two stacked digits (100 modes), with penalties exact and by finite differences.

The stacked digits have two channels, red and green of `stacked` (Metz et al. 2016), so that a judge of digits reads
which of the 100 modes a sample is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor

import grid
from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.data.stacked import open_stacked
from mulligan.evaluate import real_samples
from mulligan.metrics.features import Digits, to_8_bit
from mulligan.metrics.modes import label_modes
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SEEDS = (0, 1, 2)
SECONDS = {"grid": 20.0, "two digits": 25.0}
CONFIG: dict[str, Json] = {
    "grid": {"burn_in": 500_000},
    "two digits": {"network": "plain", "width": 16, "batch": 64, "lr": 2e-3, "gamma": 1.0},
}
LOSSES = {"GAN": "minimax", "RpGAN": "relativistic"}
PENALTIES = {"R1": False, "R1+R2": True}
FORMS = ("exact", "finite")
N = 2_000
HIT, KL = "modes of 100", "KL over 100 modes"


def opens(name: str) -> Source:
    return open_stacked(n=2) if name == "two digits" else open_source(name)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    if source.signals["x"].kind == "points":
        return grid.judge(source)
    digits = Digits()
    return lambda c: hundred(digits, c.generate(N))


def hundred(digits: Digits, x: Tensor) -> Metrics:
    """Modes that samples (N, 2, 28, 28) reach, and how evenly; none where they are no numbers."""
    features = digits(to_8_bit(x))
    if not bool(features.isfinite().all()):
        return {HIT: 0.0, KL: float("inf")}
    found = label_modes(digits.labels(features), torch.full((100,), 0.01))
    return {HIT: float(found.hit), KL: found.kl}


def references(source: Source) -> dict[str, Metrics]:
    if source.signals["x"].kind == "points":
        real = grid.modes(source, source.test.fetch(np.arange(grid.N))["x"])
    else:
        real = hundred(Digits(), torch.cat(list(real_samples(source.test, N))))
    return {metric: {"real data": value} for metric, value in real.items()}


def name(loss: str, penalty: str, form: str) -> str:
    return f"{loss}, {penalty}" + ("" if form == "exact" else ", finite")


def bars(summary: Json) -> list[tuple[str, bool]]:
    """What the paper says, read off our runs: nothing is at stake here but the order."""
    found = []
    for data, metric in (("grid", grid.KL), ("two digits", KL)):
        full, bare = (find(summary, each, data)["end"][metric]["mean"] for each in ("RpGAN, R1+R2", "GAN, R1"))
        found.append((f"{data}: {metric} of RpGAN with R1+R2 below GAN's with R1: {full:.3g}, {bare:.3g}", full < bare))
    return found


QUESTION = Question(
    name="two_by_two",
    asks="What are R3GAN's two steps worth: pairs of real and fake, and a penalty on fakes too?",
    cases=tuple(
        Case(
            name(loss, penalty, form),
            "r3gan",
            data,
            seed,
            SECONDS[data],
            {**CONFIG[data], "loss": LOSSES[loss], "r2": PENALTIES[penalty], "penalty": form},
            (0.25, 0.5, 0.75, 1.0),
        )
        for data in SECONDS
        for seed in SEEDS
        for form, loss, penalty in product(FORMS, LOSSES, PENALTIES)
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(
        Chart(grid.MODES, title="modes hit, of 25"),
        Chart(grid.GOOD, title="share of samples within 3 sigma of a mode"),
        Chart(grid.KL, log=True, title="KL of the samples over modes (nats)"),
        Chart(HIT, title="modes hit, of 100"),
        Chart(KL, log=True, title="KL of the samples over modes (nats)"),
    ),
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
