"""The built-in sources: exact content, disjoint splits, closed forms, the cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan import data
from mulligan.data import cache, mnist, stacked, toy
from mulligan.data.source import content_keys, rows_of, split_by_content


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(shared_cache))


def everything(split: data.source.Split) -> dict[str, torch.Tensor]:
    return split.fetch(np.arange(len(split)))


def test_importing_the_package_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, mulligan.data as d; d.describe(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_mnist_is_the_original_bit_for_bit() -> None:
    for part, (_, length, digest) in zip(mnist.unpack(mnist.PACKED.read_bytes()), mnist.PARTS, strict=True):
        assert len(part) == length
        assert hashlib.sha256(part).hexdigest() == digest


def test_a_damaged_pack_is_refused() -> None:
    packed = bytearray(mnist.PACKED.read_bytes())
    with pytest.raises(ValueError, match="damaged"):
        mnist.unpack(bytes(packed[:5000]))
    packed[40] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        mnist.unpack(bytes(packed))


def test_content_that_is_not_the_original_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "PARTS", (*mnist.PARTS[:3], ("t10k-labels", 10_008, 64 * "0")))
    with pytest.raises(ValueError, match=r"damaged \(t10k-labels has another checksum"):
        mnist.unpack(mnist.PACKED.read_bytes())


def test_mnist_splits_and_ranges() -> None:
    source = data.open_source("mnist")
    assert {k: len(s) for k, s in source.splits.items()} == {
        "train": 50_000,
        "held_out": 10_000,
        "test": 10_000,
    }
    batch = source.train.fetch(np.array([0, 1, 2]))
    assert batch["x"].shape == (3, 1, 28, 28)
    assert batch["x"].dtype == torch.float32
    assert (batch["x"].min(), batch["x"].max()) == (-1, 1)
    assert batch["y"].tolist() == [5, 0, 4]  # the first three digits of the training file
    assert source.test.fetch(np.array([0, 1]))["y"].tolist() == [7, 2]
    assert source.signals["x"].shape == (1, 28, 28)
    assert source.signals["y"].n_classes == 10
    assert "CC BY-SA 3.0" in source.card.credit


def test_mnist_is_memory_mapped_and_returns_the_pixels() -> None:
    split = data.open_source("mnist").train
    assert isinstance(split, data.source.ArraySplit)
    assert isinstance(split.arrays["x"], np.memmap)
    pixels = np.frombuffer(mnist.unpack(mnist.PACKED.read_bytes())[0], np.uint8, 784, 16 + 784)
    again = (split.fetch(np.array([1]))["x"] + 1) * 127.5
    assert torch.equal(again.round().to(torch.uint8).flatten(), torch.from_numpy(pixels.copy()))


def test_mnist_falls_back_to_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    fingerprint = data.open_source("mnist").fingerprint
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "file"))
    source = data.open_source("mnist")
    assert "in memory" in source.notes[0]
    assert source.fingerprint == fingerprint
    assert source.train.fetch(np.array([0]))["y"].item() == 5


def test_a_cut_cache_entry_is_made_anew() -> None:
    x = mnist.cached() / "x.npy"
    with x.open("r+b") as file:
        file.truncate(1000)
    assert data.open_source("mnist").train.fetch(np.array([0]))["y"].item() == 5
    assert x.stat().st_size == 128 + 70_000 * 784


def test_stacked_is_three_digits_of_the_same_split() -> None:
    source = data.open_source("stacked")
    digits = data.open_source("mnist")
    rows = stacked.stacks("held_out")[:50]
    batch = source.held_out.fetch(np.arange(50))
    assert batch["x"].shape == (50, 3, 28, 28)
    for channel, place in enumerate((100, 10, 1)):
        one = digits.held_out.fetch(rows[:, channel] - 50_000)
        assert torch.equal(batch["x"][:, channel], one["x"][:, 0])
        assert torch.equal(batch["y"] // place % 10, one["y"])
    labels = source.train.labels()
    assert labels is not None
    assert len(np.unique(labels)) == 1000
    low, high = stacked.stacks("test").min(), stacked.stacks("test").max()
    assert (low, high) == (60_000, 69_999)


@pytest.mark.parametrize("name", ["density", "ring", "grid"])
def test_toys_are_their_mixtures(name: str) -> None:
    source = data.open_source(name)
    assert isinstance(source, toy.ToySource)
    batch = everything(source.train)
    x, y = batch["x"].double().numpy(), batch["y"].numpy()
    assert batch["x"].dtype == torch.float32
    for k, mode in enumerate(source.modes):
        mine = x[y == k]
        error = source.sigma / np.sqrt(len(mine))
        assert np.abs(mine.mean(0) - mode).max() < 5 * error
        assert mine.std(0) == pytest.approx(source.sigma, rel=0.05)
    assert np.bincount(y) / len(y) == pytest.approx(source.weights, abs=0.01)
    assert x.std() == pytest.approx(1.0, abs=0.15)  # numbers that suit networks


def test_literature_forms() -> None:
    grid, ring = toy.open_grid(), toy.open_ring()
    assert sorted(np.unique(np.round(grid.modes * np.sqrt(8), 9))) == [-4, -2, 0, 2, 4]
    assert grid.sigma * np.sqrt(8) == pytest.approx(0.05)
    assert np.hypot(*ring.modes.T) * np.sqrt(2) == pytest.approx(2.0)
    assert (len(grid.modes), len(ring.modes)) == (25, 8)


def test_density_integrates_to_one_and_agrees_with_the_samples() -> None:
    source = toy.open_density()
    x = np.linspace(-6, 6, 12_001)
    p = source.density(x)
    assert p.sum() * 0.001 == pytest.approx(1.0, abs=1e-6)
    closed = 0.4 * np.exp(-2.0) + 0.6 * np.exp(-2.0)  # at 0, two sigma from either mean
    assert source.density(np.zeros(1)) == pytest.approx(closed / np.sqrt(2 * np.pi) / 0.5)
    counts, edges = np.histogram(everything(source.test)["x"].numpy(), 30, (-2.5, 2.5))
    expected = source.density((edges[1:] + edges[:-1]) / 2) * (edges[1] - edges[0]) * 10_000
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 5).all()


def test_density_in_two_dimensions() -> None:
    source = toy.open_ring()
    line = np.linspace(-2, 2, 801)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    assert source.density(grid).sum() * 0.005**2 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", ["density", "ring", "grid"])
def test_toys_are_the_same_twice_and_their_splits_differ(name: str) -> None:
    one, two = data.open_source(name), data.open_source(name)
    assert one.fingerprint == two.fingerprint
    assert torch.equal(everything(one.train)["x"], everything(two.train)["x"])
    keys = [set(content_keys(everything(s)["x"].numpy())) for s in one.splits.values()]
    # In one dimension float32 leaves so few numbers that some come twice; never a whole point of two.
    shared = max(len(keys[0] & keys[1]), len(keys[0] & keys[2]))
    assert shared == 0 if name != "density" else shared < 300


def test_splits_follow_content() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (2000, 3), dtype=np.uint8)
    rows[1000:] = rows[:1000]
    split, notes = split_by_content(content_keys(rows))
    assert (split[1000:] == split[:1000]).all()
    assert not notes
    shares = np.bincount(split) / len(split)
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.04)
    fewer, _ = split_by_content(content_keys(rows[:700]))
    assert (fewer == split[:700]).all()  # a row keeps its split when others come


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_no_split_is_empty(n: int) -> None:
    rows = np.arange(n, dtype=np.uint8)[:, None].repeat(2, 0)
    split, notes = split_by_content(content_keys(rows))
    members = rows_of(split)
    assert all(len(index) for index in members.values())
    assert bool(notes) == (n < 3)
    if n >= 3:
        assert sorted(np.concatenate(list(members.values()))) == list(range(2 * n))


def test_get_lays_npy_files_into_the_cache() -> None:
    place = data.get("ring")
    assert np.load(place / "test-x.npy").shape == (10_000, 2)
    assert np.load(data.get("mnist") / "y.npy")[:3].tolist() == [5, 0, 4]
    with pytest.raises(ValueError, match="did you mean ring"):
        data.get("rinq")


MADE_ELSEWHERE = {"captions", "characters", "emoji", "emoji3"}  # drawn or fetched: their own tests look at fewer


def test_names_and_describe_agree_with_the_sources() -> None:
    for row in data.describe():
        if row["name"] in MADE_ELSEWHERE:
            continue
        source = data.open_source(row["name"])
        assert row["counts"] == {k: len(s) for k, s in source.splits.items()}
        assert row["kind"].startswith(str(source.signals["x"]))
        assert row["licence"] == source.card.licence
    assert [row["name"] for row in data.describe()] == data.names()


# --- the first so many ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "stacked", "ring"])
def test_limit_keeps_the_first_of_train_alone(name: str) -> None:
    whole, few = data.open_source(name), data.open_source(name, limit=300)
    assert (len(few.train), len(few.held_out), len(few.test)) == (300, len(whole.held_out), len(whole.test))
    first = whole.train.fetch(np.arange(300))
    assert all(torch.equal(rows, first[key]) for key, rows in everything(few.train).items())
    labels = few.train.labels()
    assert labels is None or labels.tolist() == first["y"].tolist()
    assert few.fingerprint not in (whole.fingerprint, data.open_source(name, limit=301).fingerprint)
    assert few.notes[-1].startswith("Training sees the first 300 of ")


def test_limit_is_reported_by_check() -> None:
    report = data.check("ring", limit=300)
    assert report.counts == {"train": 300, "held_out": 10_000, "test": 10_000, "total": 20_300}
    assert any("first 300 of 100,000" in note for note in report.notes)
    assert any("300 points to train on are few" in warning for warning in report.warnings)


# --- the cache ----------------------------------------------------------------------------------------------


def fill(place: Path) -> dict[str, int]:
    np.save(place / "a.npy", np.arange(3))
    return {"n": 3}


def test_an_entry_is_made_once() -> None:
    calls = []

    def make(place: Path) -> dict[str, int]:
        calls.append(place)
        return fill(place)

    assert cache.stored("once", make) == cache.stored("once", make)
    assert len(calls) == 1
    assert cache.meta(cache.folder() / "once") == {"n": 3}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_nothing_half_written_remains(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))

    def make(place: Path) -> dict[str, int]:
        fill(place)
        raise error("no")

    with pytest.raises(cache.CacheError if error is OSError else error):
        cache.stored("half", make)
    assert list(tmp_path.iterdir()) == []


def test_remains_without_a_mark_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "a.npy").write_text("rubbish")
    assert np.load(cache.stored("entry", fill) / "a.npy").tolist() == [0, 1, 2]


def test_outdated_and_abandoned_entries_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    cache.stored("photos-1", fill, family="photos-")
    cache.stored("other-1", fill)
    for name, age in (("x.1.partial", 2 * cache.STALE_SECONDS), ("x.2.partial", 0)):
        (tmp_path / name).mkdir()
        stamp = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (stamp, stamp))
    cache.stored("photos-2", fill, family="photos-")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other-1", "photos-2", "x.2.partial"]


def test_two_processes_fill_the_same_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))

    def make(place: Path) -> dict[str, int]:
        (tmp_path / "same").mkdir()  # the other one settles while this one works
        fill(tmp_path / "same")
        (tmp_path / "same" / cache.META).write_text(json.dumps({"n": 4}))
        return fill(place)

    assert cache.meta(cache.stored("same", make)) == {"n": 4}
    assert [p.name for p in tmp_path.iterdir()] == ["same"]


def test_the_writer_leaves_a_plain_npy_file(tmp_path: Path) -> None:
    with cache.ArrayWriter(tmp_path / "a.npy", (2, 3), np.uint8) as writer:
        for i in range(1234):
            writer.append(np.full((2, 3), i % 256, np.uint8))
    loaded = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert loaded.shape == (1234, 2, 3)
    assert loaded[300, 0, 0] == 44


def test_the_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MULLIGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.folder() == tmp_path / "mulligan"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache.folder() == tmp_path / "mulligan" / "cache"


# --- what the user may get wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("mnits", {}, "did you mean mnist"),
        ("qqqq", {}, "there are: captions, characters, density, earth, emoji, emoji3, grid, mnist, painting, photos,"),
        ("hf:owner/name", {}, "download it and give the folder"),
        ("a\0b", {}, "there is no source"),
        ("./" + 5000 * "a", {}, "no path"),
        ("mnist", {"size": 0}, "--size 0: between 4 and 2048"),
        ("mnist", {"fit": "corp"}, "did you mean crop"),
        ("mnist", {"alpha": True}, "no transparency"),
        ("ring", {"limit": 1}, "--limit 1: train on 2 samples at least"),
        ("mnist", {"limit": 50_001}, "--limit 50001: mnist has 50,000 samples to train on"),
        ("grid", {"size": 64}, "points, not images"),
        ("ring", {"alpha": True}, "points, not images"),
    ],
)
def test_mistakes_get_one_line(spec: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says) as info:
        data.open_source(spec, **options)
    assert "\n" not in str(info.value)
