"""Do samples stand in for data? A 1-NN classifier of real test digits, fed with digits that a generator was asked for.

The test of DCGAN's appendix (Radford et al. 2015) at the scale of a CPU: the classifier knows N samples and the labels
they were asked for, and is tested on the 10,000 test digits, by exact nearest neighbours among pixels. Beside it N real
training digits, and as many draws around the mean digit of a class with each pixel's own deviation. Samples that show
another digit than asked, or that are alike, or blurred, cost it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import chart
from mulligan import tuned
from mulligan.data.source import Source, evenly
from mulligan.metrics.features import to_8_bit
from mulligan.metrics.nearest_neighbour import one_nn_error
from mulligan.observe import generate
from mulligan.race import AT_ONCE, SAMPLE_SEED
from runner import Case, Contestant, Json, Metrics, Question, find, main

SECONDS = {"dcgan": 90.0, "acgan": 90.0, "cgan": 180.0}  # the networks of 2014 begin late
SEEDS = (0, 1, 2)
SIZES = (1_000, 10_000, 50_000)  # N
CONTESTANTS: dict[str, Json] = {
    "dcgan": {**tuned.options("dcgan", grey=True), "condition": "y"},
    "acgan": tuned.options("acgan", grey=True),
    "cgan": tuned.options("cgan", grey=True),
}
REAL, TRIVIAL = "real digits", "class mean + noise"


def error(n: int) -> str:
    """The metric's name."""
    return f"1-NN error, N = {n:,}"


class Test:
    """Measures N labelled images for each N: rows spread evenly over all of them, as over the training data."""

    def __init__(self, source: Source) -> None:
        self.n = min(max(SIZES), len(source.train))
        self.real = source.train.fetch(evenly(source.train, self.n))
        self.test = source.test.fetch(np.arange(len(source.test)))

    def __call__(self, x: Tensor) -> Metrics:
        """Of images (n, 1, H, W), made for the labels of the training digits, in their order."""
        x = to_8_bit(x).flatten(1)
        if not bool(x.isfinite().all()):
            return {error(n): math.inf for n in SIZES}
        test, found = self.test["x"].flatten(1), {}
        for n in SIZES:
            rows = torch.linspace(0, self.n - 1, n).round().long()
            found[error(n)] = one_nn_error(x[rows], self.real["y"][rows], test, self.test["y"])
        return found


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    test = Test(source)

    def judged(c: Contestant) -> Metrics:
        given = {"y": test.real["y"]}
        return test(generate(c.system, test.n, seed=SAMPLE_SEED, at_once=AT_ONCE, given=given)["x"])

    return judged


def references(source: Source) -> dict[str, Metrics]:
    test = Test(source)
    real, trivial = test(test.real["x"]), test(mean_and_noise(test.real["x"], test.real["y"]))
    return {metric: {REAL: real[metric], TRIVIAL: trivial[metric]} for metric in real}


def mean_and_noise(x: Tensor, y: Tensor) -> Tensor:
    """For each image (N, ...) of class y (N,) its class's mean, with noise of each pixel's deviation in the class."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    made = torch.empty_like(x)
    for label in torch.arange(int(y.max()) + 1):
        own = y == label
        made[own] = x[own].mean(0) + x[own].std(0) * noise[own]
    return made


def bars(summary: Json) -> list[tuple[str, bool]]:
    known = summary["references"]["mnist"]
    found = []
    for name in CONTESTANTS:
        end = find(summary, name)["end"]
        worst, trivial = max(end[error(10_000)]["values"]), known[error(10_000)][TRIVIAL]
        words = f"{name}: {error(10_000)} below that of {TRIVIAL}, every seed: {worst:.1%}, {trivial:.1%}"
        found.append((words, worst < trivial))
        times = " and ".join(f"{end[error(n)]['mean'] / known[error(n)][REAL]:.2f} at {n:,}" for n in SIZES)
        found.append((f"reported: {name}'s error by that of as many {REAL}: {times}", True))
    return found


def picture(summary: Json) -> Image.Image:
    """The error over N."""
    x = np.log10(SIZES)
    courses = [
        chart.Course(c["name"], x, np.array([c["end"][error(n)]["values"] for n in SIZES]).T)
        for c in summary["contestants"]
        if c["end"]
    ]
    known = summary["references"]["mnist"]
    courses += [chart.Course(name, x, np.array([[known[error(n)][name] for n in SIZES]])) for name in (REAL, TRIVIAL)]
    x_name = "log10 N, labelled samples"
    panel = chart.Panel("1-NN error on 10,000 test digits", courses, log=True, x_name=x_name, x_from=None)
    times = ", ".join(f"{name} {seconds:g} s" for name, seconds in SECONDS.items())
    about = f"{len(SEEDS)} seeds; trained {times} of one thread; mean and range; {'; '.join(summary['machines'])}"
    return chart.picture(summary["asks"], about, [panel])


QUESTION = Question(
    name="nearest_neighbour",
    asks="Do samples stand in for data? A 1-NN classifier of test digits, fed with samples.",
    cases=tuple(
        Case(name, name, "mnist", seed, SECONDS[name], config, marks=(1.0,))
        for seed in SEEDS
        for name, config in CONTESTANTS.items()
    ),
    judge=judge,
    references=references,
    charts=(),
    picture=picture,
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
