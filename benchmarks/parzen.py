"""What do the 2014 papers' own GANs reach on MNIST by the papers' own measure?

Systems `gan` as it comes: maxout, dropout and SGD (Goodfellow et al. 2014), and `cgan` (Mirza & Osindero 2014) with the
widths and the batch of `mulligan.tuned`, in a fifth of the time; no moving average.
Measured by the first paper's protocol (table 1): kernels on 10,000 samples, for the second 1,000 of each digit, their
width chosen on validation images, the mean log-likelihood of the test images. The papers report 225 ± 2 and 132 ± 1.8,
their errors over test images alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mulligan import tuned
from mulligan.data.source import Source, Split
from mulligan.metrics.parzen import VALIDATION, parzen
from mulligan.observe import generate
from mulligan.race import AT_ONCE, SAMPLE_SEED
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = {"gan": 900.0, "cgan": 180.0}
SEEDS = (0, 1, 2)
N = 10_000
MARKS = {"gan": (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0), "cgan": (0.25, 0.5, 0.75, 1.0)}
CONFIG: dict[str, Json] = {"gan": {}, "cgan": tuned.options("cgan", grey=True)}
PAPER = {"gan": (225.0, "225 ± 2"), "cgan": (132.0, "132 ± 1.8")}
LL, ERROR, SIGMA, EPOCHS = "log-likelihood", "error over test images", "sigma", "epochs"


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    measure = protocol(source)

    def of(c: Contestant) -> Metrics:
        return {**measure(drawn(c)), EPOCHS: c.loop.progress.images / len(source.train)}

    return of


def drawn(c: Contestant) -> Tensor:
    """N samples; of a system that is told the digit equally many of each."""
    given = {key: torch.arange(10).repeat_interleave(N // 10) for key in c.system.given}
    return generate(c.system, N, seed=SAMPLE_SEED, at_once=AT_ONCE, given=given)["x"]


def protocol(source: Source) -> Callable[[Tensor], Metrics]:
    """The measure of N samples in [-1, 1]."""
    validation, test = pixels(source.held_out, VALIDATION), pixels(source.test, N)

    def measure(x: Tensor) -> Metrics:
        found = parzen(unit(x), validation, test)
        return {LL: found.mean, ERROR: found.error, SIGMA: found.sigma}

    return measure


def pixels(split: Split, n: int) -> Tensor:
    """The first n images as (n, D) in [0, 1]."""
    return unit(split.fetch(np.arange(n))["x"])


def unit(x: Tensor) -> Tensor:
    """(N, D), with [-1, 1] brought to [0, 1]."""
    return (x.flatten(1) + 1) / 2


def references(source: Source) -> dict[str, Metrics]:
    """Kernels on training images, and on samples of one full Gaussian fitted to them."""
    measure = protocol(source)
    train = source.train.fetch(np.arange(len(source.train)))["x"]
    flat = train.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    noise = torch.randn(N, flat.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gaussian = flat.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T
    return {
        LL: {
            "training images as kernels": measure(train[:N])[LL],
            "one full Gaussian": measure(gaussian.float())[LL],
        }
    }


def bars(summary: Json) -> list[tuple[str, bool]]:
    """Reported, not required: the distance from the papers."""
    found = []
    for name, (paper, words) in PAPER.items():
        end = find(summary, name)["end"]
        off, epochs = end[LL]["mean"] - paper, end[EPOCHS]["mean"]
        found.append((f"reported: {name} {off:+.1f} from its paper's {words}, after {epochs:.1f} epochs", True))
    return found


QUESTION = Question(
    name="parzen",
    asks="What do the 2014 papers' own GANs reach on MNIST by the papers' own measure?",
    cases=tuple(
        Case(name, name, "mnist", seed, SECONDS[name], CONFIG[name], MARKS[name], ema=0, precision="fp32")
        for name in SECONDS
        for seed in SEEDS
    ),
    judge=judge,
    references=references,
    charts=(
        Chart(
            LL,
            tuple((value, f"{name}: the paper's {value:g}") for name, (value, _) in PAPER.items()),
            title="Parzen log-likelihood of the test images (nats)",
        ),
        Chart(EPOCHS),
    ),
    bars=bars,
    threads=1,
)

if __name__ == "__main__":
    main(QUESTION)
