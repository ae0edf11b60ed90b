"""Judging: a trained model against its data, each number beside the real-against-real floor and a trivial
generator.

The same measurement is made three times: of the generated samples, of real samples (the floor) and of the
trivial generator's samples, always against the same real samples and with the same counts. The last two are
cached.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from mulligan import asked, partners
from mulligan.data import Progress, cache
from mulligan.data.source import Source, Split, conditions
from mulligan.data.source import evenly as rows_evenly
from mulligan.data.toy import ToySource
from mulligan.errors import Mistake
from mulligan.metrics import features
from mulligan.metrics.card import Better, Card, Result
from mulligan.metrics.class_shares import class_shares
from mulligan.metrics.features import Digits, Extractor
from mulligan.metrics.frechet import frechet_distance
from mulligan.metrics.kernel import kernel_distance
from mulligan.metrics.memorisation import memorisation_ratio
from mulligan.metrics.modes import label_modes, point_modes
from mulligan.metrics.prdc import K, prdc
from mulligan.metrics.wasserstein import wasserstein_1
from mulligan.rundir import RunDir

FEATURES = "features.safetensors"
VERSION = 2  # of what is cached; raise it when a metric, an extractor or a baseline changes
AT_ONCE = 1000  # samples generated or fetched at a time
PRDC_N = 5000  # precision and the like: their cost grows with the square of the samples
COPIES_N = 2000  # samples whose nearest training sample is sought: enough for a median
TAUGHT = ", which G learned from"  # on the card: such a judge is a player
TRIVIAL = {"image": "mean image + pixel noise", "points": "one Gaussian"}


class Generates(Protocol):
    """What is judged; `mulligan.model.Model` is one."""

    directory: Path
    config: dict[str, Any]
    round: int
    ema: bool

    def source(self) -> Source: ...

    @property
    def given(self) -> tuple[str, ...]:
        """Keys of a batch that say what to make."""

    @property
    def taught_by(self) -> tuple[str, ...]:
        """Names of extractors that it learned from."""

    def generate(self, n: int, *, seed: int = 0, given: dict[str, Tensor] | None = None) -> dict[str, Tensor]: ...

    def discriminate(self, x: Tensor, c: Tensor) -> Tensor | None:
        """D's logits (N,) on x told c; None if no D is told."""


class Score(NamedTuple):
    """What one metric found."""

    metric: str  # with its settings, for the card
    value: float
    better: Better
    spread: float | None = None
    most: int | None = None  # samples that it uses of those it is given; None: all


@dataclass(frozen=True)
class Reference:
    """The real side of an evaluation, as features.

    Attributes:
        real: (n, d), of the split that judges.
        other: (n, d), of another split, for the floor.
        train: (m, d), what a copying generator would copy.
        trivial: (n, d), of the trivial generator.
    """

    real: Tensor
    other: Tensor
    train: Tensor
    trivial: Tensor


def evaluate(
    model: Generates,
    *,
    n: int = 10_000,
    split: str = "test",
    seed: int = 0,
    judge: str | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Judge a model by what its data is, and append a line to its run's metrics.jsonl.

    Args:
        model: what `mulligan.load` returns.
        n: samples of each kind; capped at what the splits hold.
        split: the real samples to judge by: test or held_out.
        seed: of the generated samples.
        judge: digits, features, pixels, points or the path of Inception's weights; None: by the data.
        progress: told what is being done.

    Raises:
        ValueError: the data are gone or too few, or the judge does not suit them.
    """
    started = time.monotonic()
    source = model.source()
    extractor = features.pick(source, judge)
    n = capped(source, n, split)
    reference, floor, trivial = _reference(source, extractor, n, split, progress)

    def made(extractor: Extractor, n: int, given: dict[str, Tensor]) -> Tensor:
        return extract(extractor, samples(model, n, seed, given), n, "judging samples", progress)

    fake = made(extractor, n, conditions(source.splits[split], model.given, n))
    card = partial(
        Card,
        extractor=extractor.name + (TAUGHT if extractor.name in model.taught_by else ""),
        extractor_hash=extractor.hash,
        resize=extractor.resize,
        reference=f"{source.fingerprint}/{split}",
        weights="EMA" if model.ema else "raw",
        seed=seed,
    )
    baseline = TRIVIAL[source.signals["x"].kind]
    results = []
    for name, score in measure(source, extractor, reference, fake).items():
        used = min(n, score.most or n)
        about = card(metric=score.metric, n_real=used, n_fake=used)
        baselines = {baseline: trivial[name]}
        results.append(Result(name, score.value, floor[name], baselines, score.better, about, score.spread))
    if key := next((key for key in asked.KEYS if key in model.given), None):
        trial = asked.Trial(
            key, source, split, extractor, reference.train, reference.real, fake, made, model.discriminate, card
        )
        results += trial.results()
    if "input" in model.given:
        made_for = conditions(source.splits[split], model.given, min(n, partners.MOST))
        pictures = torch.cat(list(samples(model, min(n, partners.MOST), seed, made_for)))
        results += partners.results(source, split, pictures, card)
    _record(model, results, split, time.monotonic() - started)
    return results


def measure(source: Source, extractor: Extractor, reference: Reference, fake: Tensor) -> dict[str, Score]:
    """Every metric that the data allow, of features fake (n, d) against the reference."""
    if not torch.isfinite(fake).all():
        raise Mistake("the samples hold NaN or infinite numbers: training has diverged; train again")
    real = reference.real
    distance = extractor.distance
    kernel = kernel_distance(real, fake)
    four = prdc(evenly(real, PRDC_N), evenly(fake, PRDC_N))
    scores = {
        distance: Score(distance, frechet_distance(real, fake), "lower"),
        distance.replace("F", "K", 1): Score(
            "kernel distance, 20 subsets of at most 1000", kernel.mean, "lower", kernel.spread
        ),
    }
    for name, value in four._asdict().items():
        scores[name] = Score(f"{name} (k = {K})", value, "higher", most=PRDC_N)
    if isinstance(extractor, Digits):
        scores |= _digit_scores(source, extractor, fake)
    if source.signals["x"].kind == "points":
        scores |= _point_scores(source, real, fake)
    if not isinstance(source, ToySource):
        name = f"memorisation ratio, {len(reference.train)} training samples"
        with suppress(ValueError):  # real data that are copies of each other: there is nothing to compare with
            value = memorisation_ratio(fake[:COPIES_N], reference.train, real[:COPIES_N])
            scores["memorisation ratio"] = Score(name, value, "target", most=COPIES_N)
    return scores


def _digit_scores(source: Source, extractor: Digits, fake: Tensor) -> dict[str, Score]:
    """One channel: the smallest and largest share of a digit; three: modes of 1,000 and KL."""
    labels = extractor.labels(fake)
    if source.signals["x"].shape[0] == 3:
        drawn = source.train.labels()
        assert drawn is not None
        shares = torch.from_numpy(np.bincount(drawn, minlength=1000) / len(drawn))
        found = label_modes(labels, shares)
        return {
            f"modes of {found.total}": Score("modes hit, by the digit judge", found.hit, "higher"),
            "KL over modes": Score("KL over modes, by the digit judge", found.kl, "lower"),
        }
    shares = class_shares(labels, 10)
    return {
        "smallest digit share": Score("smallest digit share", float(shares.min()), "target"),
        "largest digit share": Score("largest digit share", float(shares.max()), "target"),
    }


def _point_scores(source: Source, real: Tensor, fake: Tensor) -> dict[str, Score]:
    """Wasserstein-1 a column, and the modes of a mixture with little overlap."""
    columns = [wasserstein_1(real[:, i], fake[:, i]) for i in range(real.shape[1])]
    name = "W1" if len(columns) == 1 else "W1 (mean of columns)"
    scores = {name: Score(name, sum(columns) / len(columns), "lower")}
    if isinstance(source, ToySource) and len(source.modes) > 2:
        modes, weights = torch.from_numpy(source.modes), torch.from_numpy(source.weights)
        found = point_modes(fake, modes, source.sigma, weights)
        scores |= {
            f"modes of {found.total}": Score("modes hit within 3 sigma", found.hit, "higher"),
            "within 3 sigma": Score("within 3 sigma", found.good, "higher"),
            "KL over modes": Score("KL over modes", found.kl, "lower"),
        }
    return scores


def _record(model: Generates, results: list[Result], split: str, seconds: float) -> None:
    """A line in the run's metrics.jsonl; a model that ships with mulligan keeps no record."""
    run = RunDir(model.directory)
    if run.checkpoints.is_dir():
        run.metrics(
            round=model.round,
            split=split,
            seconds=round(seconds, 1),
            metrics=[result.to_json() for result in results],
        )


# --- the real side ---------------------------------------------------------------------------------------


def capped(source: Source, n: int, split: str) -> int:
    """n, or what the splits hold: both sides of the floor must have as many samples as the model."""
    if split not in ("test", "held_out"):
        raise Mistake(f"--split {split}: judge by data that did not train; use test or held_out")
    n = min(n, len(source.test), len(source.held_out))
    if n <= K:
        raise Mistake(f"{source.name} leaves {n} samples to judge by; more than {K} are needed: add data")
    return n


def _reference(
    source: Source, extractor: Extractor, n: int, split: str, progress: Progress | None
) -> tuple[Reference, dict[str, float], dict[str, float]]:
    """The real features, the floor and the trivial generator's scores, from the cache if possible."""

    def make(place: Path) -> dict[str, Any]:
        reference = _extract_reference(source, extractor, n, split, progress)
        floor = measure(source, extractor, reference, reference.other)
        trivial = measure(source, extractor, reference, reference.trivial)
        # written by our own hand: safetensors reports a full disk as an error of its own kind
        (place / FEATURES).write_bytes(to_bytes({k: v.contiguous() for k, v in vars(reference).items()}))
        return {"floor": _values(floor), "trivial": _values(trivial)}

    judge = f"{extractor.name}-{extractor.hash}-{extractor.resize}"
    key = f"judge-{VERSION}-{source.fingerprint}-{split}-{judge}-{n}"
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in key)
    try:
        place = cache.stored(name, make)
        try:
            tensors = load_file(place / FEATURES)
        except (SafetensorError, OSError):  # damaged: made again
            cache.discard(place)
            place = cache.stored(name, make)
            tensors = load_file(place / FEATURES)
    except cache.CacheError:
        # Nowhere to keep it: it is made each time.
        reference = _extract_reference(source, extractor, n, split, progress)
        floor = measure(source, extractor, reference, reference.other)
        return reference, _values(floor), _values(measure(source, extractor, reference, reference.trivial))
    known = cache.meta(place)
    return Reference(**tensors), known["floor"], known["trivial"]


def _values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


def _extract_reference(
    source: Source, extractor: Extractor, n: int, split: str, progress: Progress | None
) -> Reference:
    other = "held_out" if split == "test" else "test"
    pool = min(len(source.train), extractor.pool // extractor.passes(source))
    return Reference(
        real=extract(extractor, real_samples(source.splits[split], n), n, "judging real data", progress),
        other=extract(extractor, real_samples(source.splits[other], n), n, "measuring the floor", progress),
        train=extract(extractor, real_samples(source.train, pool), pool, "judging training data", progress),
        trivial=extract(extractor, trivial_samples(source, n), n, "measuring a trivial generator", progress),
    )


def extract(
    extractor: Extractor, parts: Iterator[Tensor], n: int, doing: str, progress: Progress | None = None
) -> Tensor:
    """Features (n, d) of samples that come in parts."""
    done, made = 0, []
    for part in parts:
        made.append(extractor(part))
        done += len(part)
        if progress:
            progress(doing, done, n)
    return torch.cat(made)


def samples(model: Generates, n: int, seed: int, given: dict[str, Tensor]) -> Iterator[Tensor]:
    """n samples of a model in parts, images as they would be saved; the same n and seed, the same samples.

    Where the model is told what to make, it is told of the real samples that judge it.
    """
    for i, start in enumerate(range(0, n, AT_ONCE)):
        part = {k: v[start : start + AT_ONCE] for k, v in given.items()}
        # Each part has a seed of its own, which no part of another small seed shares.
        made = model.generate(min(AT_ONCE, n - start), seed=seed * 1_000_003 + i, given=part)
        x = next(iter(made.values()))
        yield features.to_8_bit(x) if x.ndim == 4 else x


def evenly(x: Tensor, n: int) -> Tensor:
    """At most n rows of x, spread over all: the first half of MNIST's test digits is by tidier writers."""
    return x if len(x) <= n else x[torch.linspace(0, len(x) - 1, n).round().long()]


def real_samples(split: Split, n: int) -> Iterator[Tensor]:
    """n samples of a split in parts: all, or an even spread, since data may be sorted by class."""
    index = rows_evenly(split, n)
    for start in range(0, n, AT_ONCE):
        yield split.fetch(index[start : start + AT_ONCE])["x"]


def trivial_samples(source: Source, n: int) -> Iterator[Tensor]:
    """n samples of a generator that learned two moments: of each pixel by itself, or of points altogether."""
    data = torch.cat(list(real_samples(source.train, min(len(source.train), 10_000))))
    generator = torch.Generator().manual_seed(0)
    mean = data.mean(0)
    if data.ndim == 2:
        centred = (data - mean).double() / max(1, len(data) - 1) ** 0.5
        _, s, directions = torch.linalg.svd(centred, full_matrices=False)
        root = (s[:, None] * directions).float()
    for start in range(0, n, AT_ONCE):
        size = min(AT_ONCE, n - start)
        if data.ndim == 2:
            yield mean + torch.randn(size, len(root), generator=generator) @ root
        else:
            noise = torch.randn(size, *mean.shape, generator=generator)
            yield features.to_8_bit(mean + data.std(0) * noise)
