"""What does the 2014 paper's own GAN reach on MNIST by the paper's own measure?

System `gan` as it comes: maxout, dropout and SGD (Goodfellow et al. 2014), no moving average.
Measured by the paper's protocol (table 1): kernels on 10,000 samples, their width chosen on validation images, the mean
log-likelihood of the test images. The paper reports 225 ± 2, its error over test images alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mulligan.data.source import Source, Split
from mulligan.metrics.parzen import VALIDATION, parzen
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 900.0
SEEDS = (0, 1, 2)
N = 10_000
MARKS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
PAPER = 225.0
LL, ERROR, SIGMA, EPOCHS = "log-likelihood", "error over test images", "sigma", "epochs"


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    measure = protocol(source)

    def of(c: Contestant) -> Metrics:
        return {**measure(c.generate(N)), EPOCHS: c.loop.progress.images / len(source.train)}

    return of


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
    """Reported, not required: the distance from the paper."""
    end = find(summary, "gan")["end"]
    off = end[LL]["mean"] - PAPER
    return [(f"reported: {off:+.1f} from the paper's 225 ± 2, after {end[EPOCHS]['mean']:.1f} epochs", True)]


QUESTION = Question(
    name="parzen",
    asks="What does the 2014 paper's own GAN reach on MNIST by the paper's own measure?",
    cases=tuple(
        Case("gan", "gan", "mnist", seed, SECONDS, marks=MARKS, ema=0, precision="fp32")  # as the paper's code
        for seed in SEEDS
    ),
    judge=judge,
    references=references,
    charts=(
        Chart(LL, ((PAPER, "the paper's 225"),), title="Parzen log-likelihood of the test images (nats)"),
        Chart(EPOCHS),
    ),
    bars=bars,
    threads=1,
)

if __name__ == "__main__":
    main(QUESTION)
