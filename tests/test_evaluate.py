"""Judging as a whole: of models that are real data, noise, copies or broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.evaluate import Result, evaluate
from mulligan.metrics.features import make as make_extractor
from mulligan.quick import Quick
from mulligan.signals import Signal
from mulligan.tables import compare, compare_table, shown, table


class Fake:
    """A model that makes what it is told to."""

    given: tuple[str, ...] = ()
    taught_by: tuple[str, ...] = ()

    def __init__(self, directory: Path, source: Source, make: Callable[[int, int], Tensor], ema: bool = True) -> None:
        self.directory, self._source, self.make, self.ema = directory, source, make, ema
        self.config: dict[str, Any] = {}
        self.round = 500
        (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text("{}")

    def source(self) -> Source:
        return self._source

    def generate(self, n: int, *, seed: int = 0, given: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return {"x": self.make(n, seed)}

    def discriminate(self, x: Tensor, c: Tensor) -> Tensor | None:
        return None


def real(source: Source) -> Callable[[int, int], Tensor]:
    """A perfect generator: draws from training data."""

    def make(n: int, seed: int) -> Tensor:
        rows = np.random.default_rng(seed).integers(0, len(source.train), n)
        return source.train.fetch(rows)["x"]

    return make


def noise(source: Source) -> Callable[[int, int], Tensor]:
    def make(n: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = [s or 1 for s in source.signals["x"].shape]
        return torch.randn(n, *shape, generator=generator).clamp(-1, 1)

    return make


def by_name(results: list[Result]) -> dict[str, Result]:
    return {result.name: result for result in results}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def mnist() -> Source:
    """MNIST with few training digits, so that judging them all takes a second."""
    source = open_source("mnist")
    assert isinstance(source.train, ArraySplit)
    source.train = ArraySplit(source.train.arrays, source.train.rows[:3000])
    source.fingerprint = "few"
    return source


@pytest.fixture(scope="module")
def pictures() -> Source:
    x = np.random.default_rng(0).integers(0, 256, (300, 3, 16, 16), dtype=np.uint8)
    splits = {
        name: ArraySplit({"x": x}, rows)
        for name, rows in zip(("train", "held_out", "test"), np.array_split(np.arange(300), 3), strict=True)
    }
    card = DataCard("made here", "CC0", "nobody", "none")
    signals = {"x": Signal("image", (3, 16, 16))}
    return Source(name="mine", signals=signals, fingerprint="pictures", card=card, **splits)


# --- by what the data is ---


def test_digits(tmp_path: Path, mnist: Source) -> None:
    results = by_name(evaluate(Fake(tmp_path, mnist, real(mnist)), n=600))
    assert list(results) == [
        "FD (digit judge)", "KD (digit judge)", "precision", "recall", "density", "coverage",
        "smallest digit share", "largest digit share", "memorisation ratio",
    ]  # fmt: skip
    distance = results["FD (digit judge)"]
    trivial = distance.baselines["mean image + pixel noise"]
    assert distance.value < 2.5 * distance.floor
    assert distance.value < trivial / 20
    assert results["smallest digit share"].value > 0.05
    assert results["largest digit share"].value < 0.15
    # Draws from the training data are copies, and the ratio says so.
    assert results["memorisation ratio"].value < 0.1
    assert results["memorisation ratio"].floor == pytest.approx(1, abs=0.2)
    assert distance.card.reference == "few/test"
    assert (distance.card.n_real, distance.card.n_fake, distance.card.weights) == (600, 600, "EMA")


def test_stacked_digits(tmp_path: Path) -> None:
    source = open_source("stacked")
    triples = source.train.stacks[:2000]  # type: ignore[attr-defined]
    source.train.stacks = triples  # type: ignore[attr-defined]
    results = by_name(evaluate(Fake(tmp_path, source, real(source)), n=300))
    assert 200 < results["modes of 1000"].value <= 300
    assert results["KL over modes"].value > 0


def test_grid(tmp_path: Path) -> None:
    source = open_source("grid")
    results = by_name(evaluate(Fake(tmp_path, source, real(source)), n=700))
    assert results["modes of 25"].value == 25
    assert results["within 3 sigma"].value > 0.97
    assert results["within 3 sigma"].baselines["one Gaussian"] < 0.2
    assert results["W1 (mean of columns)"].value < 0.2
    assert "memorisation ratio" not in results
    worse = by_name(evaluate(Fake(tmp_path, source, noise(source)), n=700))
    for name in ("FD (points)", "W1 (mean of columns)", "KL over modes"):
        assert worse[name].value > results[name].value


def test_density_in_one_dimension(tmp_path: Path) -> None:
    source = open_source("density")
    make = real(source)
    results = by_name(evaluate(Fake(tmp_path, source, lambda n, seed: make(n, seed) + 0.5), n=700))
    assert results["W1"].value == pytest.approx(0.5, abs=0.12)
    assert results["W1"].floor < 0.15


def test_any_pictures(tmp_path: Path, pictures: Source) -> None:
    results = by_name(evaluate(Fake(tmp_path, pictures, real(pictures)), n=50, judge="pixels"))
    assert results["FD (8x8 pixels)"].card.n_real == 50
    assert math.isfinite(results["memorisation ratio"].value)


# --- honesty ---


def test_a_judge_that_taught_the_generator_is_told_and_not_compared(tmp_path: Path, pictures: Source) -> None:
    model = Fake(tmp_path, pictures, real(pictures))
    other = by_name(evaluate(model, n=50, judge="pixels"))["FD (8x8 pixels)"].card
    model.taught_by = ("8x8 pixels",)
    card = by_name(evaluate(model, n=50, judge="pixels"))["FD (8x8 pixels)"].card
    assert card.extractor == "8x8 pixels, which G learned from"
    assert card.differences(other) == ["extractor: 8x8 pixels, which G learned from and 8x8 pixels"]


def test_the_real_data_itself_is_at_distance_zero(tmp_path: Path, pictures: Source) -> None:
    model = Fake(tmp_path, pictures, lambda n, seed: pictures.test.fetch(np.arange(n))["x"])
    results = by_name(evaluate(model, n=100))
    distance = results["FD (EfficientNet-Lite0)"]
    assert distance.value == pytest.approx(0, abs=1e-3 * distance.floor)
    assert results["precision"].value == results["recall"].value == results["coverage"].value == 1


def test_samples_are_capped_at_what_the_splits_hold(tmp_path: Path, pictures: Source) -> None:
    results = evaluate(Fake(tmp_path, pictures, real(pictures)), n=10_000, judge="pixels")
    assert {result.card.n_fake for result in results} == {100}


def test_the_same_seed_gives_the_same_numbers_from_the_cache(tmp_path: Path, pictures: Source) -> None:
    model = Fake(tmp_path, pictures, noise(pictures))
    first, second = (evaluate(model, n=60, judge="pixels", seed=3) for _ in range(2))
    assert first == second
    assert evaluate(model, n=60, judge="pixels", seed=4) != first


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, pictures: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Fake(tmp_path / "run", pictures, noise(pictures))
    usual = evaluate(model, n=60, judge="pixels")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "file"))
    assert evaluate(model, n=60, judge="pixels") == usual


def test_a_diverged_generator_is_refused(tmp_path: Path, pictures: Source) -> None:
    model = Fake(tmp_path, pictures, lambda n, seed: torch.full((n, 3, 16, 16), math.nan))
    with pytest.raises(ValueError, match="diverged"):
        evaluate(model, n=50, judge="pixels")


def test_judging_by_training_data_is_refused(tmp_path: Path, pictures: Source) -> None:
    with pytest.raises(ValueError, match="did not train"):
        evaluate(Fake(tmp_path, pictures, real(pictures)), split="train")


def test_too_little_data_is_refused(tmp_path: Path, pictures: Source) -> None:
    assert isinstance(pictures.test, ArraySplit)
    few = Source(
        name="few", signals=pictures.signals, train=pictures.train, held_out=pictures.held_out,
        test=ArraySplit(pictures.test.arrays, pictures.test.rows[:3]), fingerprint="f", card=pictures.card,
    )  # fmt: skip
    with pytest.raises(ValueError, match="leaves 3 samples"):
        evaluate(Fake(tmp_path, few, real(few)))


# --- the record, and comparing ---


@pytest.fixture
def two_runs(tmp_path: Path, pictures: Source) -> list[Path]:
    evaluate(Fake(tmp_path / "a", pictures, real(pictures)), n=60, judge="pixels")
    evaluate(Fake(tmp_path / "b", pictures, noise(pictures)), n=60, judge="pixels", seed=5)
    return [tmp_path / "a", tmp_path / "b"]


def test_an_evaluation_is_a_line_of_the_run(two_runs: list[Path]) -> None:
    (line,) = (two_runs[0] / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["round"], record["split"]) == (500, "test")
    assert record["metrics"][0]["card"]["metric"] == "FD (8x8 pixels)"
    assert set(record["metrics"][0]) == {"name", "value", "floor", "baseline", "better", "card"}


def test_a_shipped_model_keeps_no_record(tmp_path: Path, pictures: Source) -> None:
    model = Fake(tmp_path, pictures, real(pictures))
    (tmp_path / "checkpoints").rmdir()
    evaluate(model, n=50, judge="pixels")
    assert not (tmp_path / "metrics.jsonl").exists()


def test_compare_puts_runs_side_by_side(two_runs: list[Path]) -> None:
    rows = compare(two_runs)
    assert rows[0].name == "FD (8x8 pixels)"
    a, b = (rows[0].values[str(run)] for run in two_runs)
    assert a < b
    lines = compare_table(rows)
    assert len(lines) == len(rows) + 1
    assert " *" in lines[1]


def test_compare_refuses_unlike_cards_and_names_the_field(two_runs: list[Path], pictures: Source) -> None:
    evaluate(Fake(two_runs[1], pictures, noise(pictures)), n=50, judge="pixels")
    with pytest.raises(ValueError, match="n_real: 60 and 50") as caught:
        compare(two_runs)
    assert "\n" not in str(caught.value)
    evaluate(Fake(two_runs[1], pictures, noise(pictures), ema=False), n=60, judge="pixels")
    with pytest.raises(ValueError, match="weights: EMA and raw"):
        compare(two_runs)


def test_compare_names_a_run_that_was_not_evaluated(two_runs: list[Path]) -> None:
    (two_runs[1] / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match="mulligan evaluate"):
        compare(two_runs)


def test_the_table_is_plain_and_aligned(tmp_path: Path, pictures: Source) -> None:
    lines = table(evaluate(Fake(tmp_path, pictures, real(pictures)), n=50, judge="pixels"))
    assert lines[0].split() == ["value", "real", "data", "mean", "image", "+", "pixel", "noise", "better"]
    assert lines[1].startswith("FD (8x8 pixels)")
    assert len({line.rstrip()[-6:].strip() for line in lines[1:]} & {"lower", "higher"}) == 2
    assert shown(1234.56) == "1235"
    assert shown(0.000123456) == "0.0001235"
    assert shown(math.inf) == "inf"


# --- at every look ---


def test_quick_tells_real_from_noise(mnist: Source) -> None:
    quick = Quick(mnist, n=500)
    assert quick.name == "FD (digit judge)"
    make = real(mnist)
    floor = quick.floor
    assert quick(lambda n: make(n, 0)) < 2 * floor
    assert quick(lambda n: noise(mnist)(n, 0)) > 20 * floor
    assert quick(lambda n: torch.full((n, 1, 28, 28), math.nan)) == math.inf


def test_quick_sees_every_source(pictures: Source) -> None:
    quick = Quick(pictures)
    assert quick.name == "FD (EfficientNet-Lite0)"
    assert quick.n == 100
    assert quick(lambda n: real(pictures)(n, 0)) > 0
    assert Quick(open_source("density")).n == 2000


def test_quick_bears_a_split_of_one(pictures: Source) -> None:
    assert isinstance(pictures.test, ArraySplit)
    one = Source(
        name="one", signals=pictures.signals, train=pictures.train, test=pictures.test, fingerprint="f",
        held_out=ArraySplit(pictures.test.arrays, pictures.test.rows[:1]), card=pictures.card,
    )  # fmt: skip
    assert math.isfinite(Quick(one, make_extractor("pixels"))(lambda n: real(one)(n, 0)))
