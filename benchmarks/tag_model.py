"""Does a conditional GAN find all the answers where several are right? CGAN's second experiment, on drawn characters.

The condition is an image's features, the sample the vector of a tag; an image has three to five tags, each right (see
the task `tag_vectors`). Of 100 samples for each test image, read as the nearest tag by the cosine as in the paper:
recall, the share of the image's tags that at least one sample is; precision, the share of samples that are one of them.
A regressor of the same data under squared error has one answer an image, and it lies between the tags; with Gaussian
noise of its errors' covariance it hits all tags, and others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mulligan.data import open_source
from mulligan.data.source import Source, Split, evenly
from mulligan.data.tasks.tag_vectors import tag_vectors
from mulligan.networks.mlp import mlp
from mulligan.observe import generate
from mulligan.race import AT_ONCE, SAMPLE_SEED
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 60.0
SEEDS = (0, 1, 2)
CONFIG: Json = {
    "width": 0.25,
    "g_dropout": 0.0,
    "d_dropout": 0.0,
    "optimizer": "adam",
    "lr": 3e-4,
    "gamma": 2.0,
}
IMAGES, SAMPLES = 500, 100  # of the test split; for each
RECALL, PRECISION, COSINE = "recall of an image's tags", "precision of samples", "cosine to the nearest tag"
GAN, REGRESSOR, NOISY, CHANCE, REAL = "cgan", "regressor", "regressor with noise", "random tags", "the image's own tags"
REGRESSOR_SECONDS = 30.0


def opens(name: str) -> Source:
    return open_source(name, size=32, task="tag_vectors")


class Test:
    """Measures samples (IMAGES * SAMPLES, D), the samples of an image one after the other."""

    def __init__(self, split: Split, names: int) -> None:
        rows = split.fetch(evenly(split, IMAGES))  # each of another image, for an image has few rows
        self.features = rows["features"].repeat_interleave(SAMPLES, 0)
        self.tags = rows["tags"] > 0
        self.vectors = nn.functional.normalize(torch.from_numpy(tag_vectors(names)), dim=1)

    def __call__(self, x: Tensor) -> Metrics:
        if not bool(x.isfinite().all()):
            return {RECALL: 0.0, PRECISION: 0.0, COSINE: math.nan}
        cosine, nearest = (nn.functional.normalize(x, dim=1) @ self.vectors.T).max(1)
        nearest = nearest.view(IMAGES, SAMPLES)
        hit = torch.zeros_like(self.tags).scatter(1, nearest, True)
        return {
            RECALL: float(((hit & self.tags).sum(1) / self.tags.sum(1)).mean()),
            PRECISION: float(self.tags.gather(1, nearest).double().mean()),
            COSINE: float(cosine.mean()),
        }


def test_of(source: Source) -> Test:
    return Test(source.test, len(source.signals["tags"].names))


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    test = test_of(source)

    def judged(c: Contestant) -> Metrics:
        given = {"features": test.features}
        return test(generate(c.system, len(test.features), seed=SAMPLE_SEED, at_once=AT_ONCE, given=given)["x"])

    return judged


# --- what it is read against -----------------------------------------------------------------------------------


def references(source: Source) -> dict[str, Metrics]:
    test = test_of(source)
    torch.manual_seed(0)
    net = regressor(source.train)
    with torch.no_grad():
        answers = net(test.features)
        rows = source.held_out.fetch(evenly(source.held_out, 5_000))
        errors = rows["x"] - net(rows["features"])
    noise = torch.distributions.MultivariateNormal(errors.mean(0), torch.cov(errors.T)).sample((len(answers),))
    own = torch.multinomial(test.tags.repeat_interleave(SAMPLES, 0).float(), 1).flatten()
    found = {
        REGRESSOR: test(answers),
        NOISY: test(answers + noise),
        CHANCE: test(rows["x"][torch.randint(len(rows["x"]), (len(answers),))]),  # as often as they are in the data
        REAL: test(test.vectors[own]),
    }
    return {metric: {name: one[metric] for name, one in found.items()} for metric in (RECALL, PRECISION, COSINE)}


def regressor(train: Split) -> nn.Module:
    """Features -> the vector of a tag, by least squares: two hidden layers of 500, half a minute of Adam."""
    row = train.fetch(np.arange(1))
    net = mlp(row["features"].shape[1], row["x"].shape[1], 500, 2)
    optimizer, random = torch.optim.Adam(net.parameters(), 3e-4), np.random.default_rng(0)
    start = time.process_time()
    while time.process_time() - start < REGRESSOR_SECONDS:
        batch = train.fetch(random.integers(len(train), size=100))
        loss = (net(batch["features"]) - batch["x"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def bars(summary: Json) -> list[tuple[str, bool]]:
    end, known = find(summary, GAN)["end"], summary["references"]["characters"]
    recall, precision = (min(end[metric]["values"]) for metric in (RECALL, PRECISION))
    alone, noisy = known[RECALL][REGRESSOR], known[PRECISION][NOISY]
    return [
        (f"{RECALL} at least 0.9, every seed: {recall:.2f}; the regressor's {alone:.2f}", recall >= 0.9),
        (f"{PRECISION} at least 0.8, every seed: {precision:.2f}; with noise {noisy:.2f}", precision >= 0.8),
    ]


QUESTION = Question(
    name="tag_model",
    asks="Does a conditional GAN find all the answers where several are right?",
    cases=tuple(Case(GAN, "cgan", "characters", seed, SECONDS, CONFIG) for seed in SEEDS),
    opens=opens,
    judge=judge,
    references=references,
    charts=(
        Chart(RECALL, title="share of an image's tags that one of 100 samples is"),
        Chart(PRECISION, title="share of samples that are a tag of the image"),
        Chart(COSINE),
    ),
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
