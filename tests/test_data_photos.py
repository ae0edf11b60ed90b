"""photos: crops of photos that only their split has, the flat ones left out, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan import data
from mulligan.data import packaged, photos
from mulligan.data.source import ArraySplit, content_keys
from mulligan.signals import Signal

FEW = {"train": 40, "held_out": 20, "test": 20}


@pytest.fixture(autouse=True)
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 crops instead of thousands."""
    monkeypatch.setattr(photos, "COUNTS", FEW)
    monkeypatch.setattr(photos, "BATCH", 25)
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


def levels(split: data.source.Split) -> np.ndarray:
    """uint8 (N, 3, H, W)"""
    x = split.fetch(np.arange(len(split)))["x"]
    return ((x + 1) * 127.5).round().to(torch.uint8).numpy()


def test_crops() -> None:
    source = data.open_source("photos")
    assert source.signals == {"x": Signal("image", (3, 64, 64))}
    assert {name: len(split) for name, split in source.splits.items()} == FEW
    x = source.train.fetch(np.arange(40))["x"]
    assert x.shape == (40, 3, 64, 64) and x.dtype == torch.float32
    assert -1 <= x.min() < -0.9 and 0.9 < x.max() <= 1
    assert isinstance(source.train, ArraySplit) and isinstance(source.train.arrays["x"], np.memmap)
    crops = np.concatenate([levels(split) for split in source.splits.values()])
    assert min(map(photos.texture, crops)) >= photos.LEAST
    assert len(set(content_keys(crops))) == 80
    assert "CC BY 2.0" in source.card.credit


def test_each_split_is_cut_from_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With photos of stripes in one colour each, so that a crop says whose it is, and one that is flat."""
    names = [name for found in photos.PHOTOS.values() for name in found]
    red = {name: 40 + 10 * i for i, name in enumerate(names)}
    flat = photos.PHOTOS["train"][0]

    def striped(name: str) -> Image.Image:
        picture = np.zeros((70, 90, 3), np.uint8)
        picture[:, np.arange(90) // 10 % 2 == 0 if name != flat else slice(None)] = red[name], 200, 0
        return Image.fromarray(picture)

    monkeypatch.setattr(photos, "read", striped)
    for name, split in data.open_source("photos", size=40).splits.items():
        r, g, _ = levels(split).mean((2, 3)).T
        found = {min(red, key=lambda name: abs(red[name] - level)) for level in 200 * r / g}
        assert found <= set(photos.PHOTOS[name]) - {flat}, name


def test_texture() -> None:
    flat = np.full((3, 64, 64), 77, np.uint8)
    assert photos.texture(flat) == 0
    ramp = np.broadcast_to(np.arange(0, 128, 2, dtype=np.uint8), (3, 64, 64))
    assert photos.texture(ramp) == pytest.approx(2.0, abs=0.01), "4 levels a step of 2 px across, none down"
    noise = np.random.RandomState(0).randint(0, 256, (3, 128, 128)).astype(np.uint8)
    assert photos.texture(noise) > photos.LEAST


def test_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.open_source("photos").fingerprint
    assert data.open_source("photos").fingerprint == first
    assert data.open_source("photos", size=32).fingerprint != first
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "other"))
    assert data.open_source("photos").fingerprint == first


@pytest.mark.parametrize("file", ["x.npy", "meta.json"])
def test_a_damaged_entry_is_cut_anew(file: str, tmp_path: Path) -> None:
    first = data.open_source("photos").fingerprint
    (damaged,) = tmp_path.glob(f"cache/photos-64-*/{file}")
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert data.open_source("photos").fingerprint == first


def test_on_the_command_line(mulligan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said = mulligan("data", "check", "photos", "--size", "32")
    assert said.status == 0 and "image 3x32x32" in said.out
    assert "train 40, held_out 20, test 20" in said.out
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    assert mulligan("data", "check", "photos", "--size", "32").status == 0, "cut already"
    assert 'pip install "mulligan[photos]"' in mulligan("data", "get", "photos").mistake()


def test_described_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (row,) = [row for row in data.describe() if row["name"] == "photos"]
    assert row["counts"] == photos.COUNTS
    assert row["licence"] == photos.CARD.licence
