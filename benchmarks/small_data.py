"""With few images D learns them by heart: what is augmentation of all that D sees worth then, and what does it cost
where there are many?

300 and 10,000 characters of 32 px, 200,000 images shown, whatever time they take.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from frechet import Distance
from mulligan.data import open_source
from mulligan.data.source import Head, Source
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.metrics.features import EfficientNet
from mulligan.metrics.memorisation import memorisation_ratio
from runner import Contestant, Json, Metrics

SIZE = 32
IMAGES = 200_000
SECONDS = 180.0  # about what they take
SEEDS = (0, 1, 2)
COUNTS = {"few": 300, "many": 10_000}
STRENGTHS = ("none", "fixed", "adaptive")
CONFIG: Json = {"network": "plain", "width": 16, "batch": 64, "lr": 1e-3}
N = 2_000
FD, COPIES = "FD (EfficientNet-Lite0, 64 px)", "memorisation ratio"


def opens(name: str) -> Source:
    """`few` and `many` characters: the same test images."""
    return open_source("characters", size=SIZE, limit=COUNTS[name])


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """Against test images; how near samples are to the training images, by how near held-out images are to them."""
    extractor = EfficientNet(64)
    distance = Distance(extractor, source.test, N)
    train = extractor(torch.cat(list(real_samples(Head(source.train, min(len(source.train), 2_000)), 2_000))))
    held_out = extractor(torch.cat(list(real_samples(source.held_out, N))))

    def measure(c: Contestant) -> Metrics:
        apart, features = distance(c.generate(N))
        return {FD: apart, COPIES: memorisation_ratio(features, train, held_out)}

    return measure


def references(source: Source) -> dict[str, Metrics]:
    distance = Distance(EfficientNet(64), source.test, N)
    real = torch.cat(list(real_samples(source.held_out, N)))
    return {FD: {"real data": distance(real)[0], "trivial": distance(torch.cat(list(trivial_samples(source, N))))[0]}}
