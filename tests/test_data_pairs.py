"""Pairs of images: folders of partners, halves of files, what is computed; how a layout is found; what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from conftest import Command
from mulligan.data import open_source
from mulligan.data.layout import find_layout
from mulligan.data.source import Source
from mulligan.data.tasks.edges import edges
from mulligan.layers.lab import to_lab
from mulligan.signals import LIGHTNESS

Pixels = NDArray[np.uint8]


def picture(i: int, width: int = 16, height: int = 16) -> Pixels:
    """A colour of its own, and a little noise."""
    rng = np.random.default_rng(i)
    return (rng.integers(40, 200, 3) + rng.integers(-20, 20, (height, width, 3))).astype(np.uint8)


def put(folder: Path, name: str, pixels: Pixels) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def partners(root: Path, n: int = 30, *, names: tuple[str, str] = ("maps", "photos")) -> None:
    """In the second folder the negative of what is in the first, under the same name with another suffix."""
    for i in range(n):
        put(root / names[0], f"{i:02d}.png", picture(i))
        put(root / names[1], f"{i:02d}.bmp", 255 - picture(i))


def everything(source: Source) -> dict[str, Tensor]:
    parts = [split.fetch(np.arange(len(split))) for split in source.splits.values()]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


# --- folders ------------------------------------------------------------------------------------------------


def test_files_of_equal_names_are_pairs(tmp_path: Path) -> None:
    partners(tmp_path)
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    rows = everything(source)
    assert len(rows["x"]) == 30 and set(rows) == {"x", "input"} == set(source.signals)
    assert torch.allclose(rows["x"], -rows["input"], atol=1e-6), "each beside its own"
    turned = everything(open_source(str(tmp_path), size=16, pair="photos:maps"))
    assert torch.equal(turned["x"].sort(0).values, rows["input"].sort(0).values)
    assert any("30 pairs, from maps to photos" in note for note in source.notes)


def test_no_image_of_a_pair_is_in_two_splits(tmp_path: Path) -> None:
    """Alone the two images of a pair might fall apart; together they do not."""
    partners(tmp_path, 60)
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    found = [
        {row.numpy().tobytes() for key in ("x", "input") for row in split.fetch(np.arange(len(split)))[key]}
        for split in source.splits.values()
    ]
    assert all(found) and not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])


def test_what_has_no_partner_is_told_and_left_out(tmp_path: Path, mulligan: Command) -> None:
    partners(tmp_path)
    put(tmp_path / "maps", "alone.png", picture(99))
    put(tmp_path / "maps", "wide.png", picture(98, width=32))
    put(tmp_path / "photos", "wide.png", picture(97))
    put(tmp_path / "maps", "small.png", picture(96, 8, 8))
    put(tmp_path / "photos", "small.png", picture(95, 24, 24))
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    assert len(everything(source)["x"]) == 31, "partners of another size but the same shape are pairs"
    assert any("no partner and are left out (1): maps/alone.png (not in photos)." in note for note in source.notes)
    assert any("maps/wide.png (32 x 16 and 16 x 16)" in note for note in source.notes)
    told = mulligan("data", "check", tmp_path, "--pair", "maps:photos", "--size", 16).out
    assert "without a partner are left out: 1" in told and "pairs are left out for their shape: 1" in told


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("strangers", "of 60 of a and 60 of b, 0 have a partner of the same name"),
        ("odd", "partners are of unequal shape"),
    ],
)
def test_a_paired_system_is_refused_what_are_no_pairs(tmp_path: Path, mulligan: Command, root: str, says: str) -> None:
    for i in range(60):
        put(tmp_path / "strangers" / "a", f"a{i}.png", picture(i))
        put(tmp_path / "strangers" / "b", f"b{i}.png", picture(100 + i))
        put(tmp_path / "odd" / "a", f"{i}.png", picture(i, width=30))
        put(tmp_path / "odd" / "b", f"{i}.png", picture(100 + i))
    words = ("train", "pix2pix", "--data", tmp_path / root, "--size", 16, "--patch", 16, "--rounds", 1)
    assert says in mulligan(*words).mistake()


def test_pairs_as_two_domains_share_no_pair(tmp_path: Path) -> None:
    partners(tmp_path, 80)
    source = open_source(str(tmp_path), size=16, pair="maps:photos", unpaired=True)
    rows = source.train.fetch(np.arange(len(source.train)))
    assert set(rows) == {"x", "x2"} == set(source.signals)
    levels = {key: ((images + 1) * 127.5).round().to(torch.uint8) for key, images in rows.items()}
    seen = {row.numpy().tobytes() for row in levels["x"]}
    partners_of_x2 = {(255 - row).numpy().tobytes() for row in levels["x2"]}
    assert not seen & partners_of_x2
    whole = open_source(str(tmp_path), size=16, pair="maps:photos").train.fetch(np.arange(40))
    paired = [((whole[key] + 1) * 127.5).round().to(torch.uint8)[0] for key in ("x", "input")]
    assert torch.equal(paired[0], 255 - paired[1]), "what would be found"


def test_a_few_equal_names_are_chance_where_no_pairs_are_asked_for(tmp_path: Path) -> None:
    for i in range(60):
        put(tmp_path / "horses", f"IMG_{i}.png", picture(i))
        put(tmp_path / "zebras", f"IMG_{i + 50}.png", picture(100 + i))
    source = open_source(str(tmp_path), size=16, pair="horses:zebras", unpaired=True)
    assert sum(source.facts["domains"].values()) > 80, "all of training, not ten pairs taken apart"
    assert len(everything(open_source(str(tmp_path), size=16, pair="horses:zebras"))["x"]) == 10


def test_pairs_that_share_an_image_are_in_one_split(tmp_path: Path) -> None:
    for i in range(60):
        put(tmp_path / "maps", f"{i}.png", picture(i))
        put(tmp_path / "photos", f"{i}.png", picture(100 + i % 6))
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    found = [
        {row.numpy().tobytes() for row in split.fetch(np.arange(len(split)))["x"]} for split in source.splits.values()
    ]
    assert all(found) and not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])


def test_the_first_pairs_alone(tmp_path: Path) -> None:
    partners(tmp_path)
    whole = open_source(str(tmp_path), size=16, pair="maps:photos")
    few = open_source(str(tmp_path), size=16, pair="maps:photos", limit=4)
    assert len(few.train) == 4 and len(few.test) == len(whole.test)
    assert torch.equal(few.train.fetch(np.arange(4))["x"], whole.train.fetch(np.arange(4))["x"])


# --- halves of files ----------------------------------------------------------------------------------------


def test_two_images_in_each_file(tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path, f"{i}.png", np.concatenate([picture(i), 255 - picture(i)], 1))
    source = open_source(str(tmp_path), size=16, pair="left:right")
    rows = everything(source)
    assert rows["x"].shape == rows["input"].shape == (12, 3, 16, 16)
    assert torch.allclose(rows["x"], -rows["input"], atol=1e-6)
    turned = everything(open_source(str(tmp_path), size=16, pair="right:left"))
    assert torch.equal(turned["x"], rows["input"])


def test_halves_are_of_folders(mulligan: Command) -> None:
    said = mulligan("train", "pix2pix", "--data", "mnist", "--pair", "left:right").mistake()
    assert "mnist is no folder of images, whose halves could be pairs" in said


# --- layouts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folders", "pair"),
    [
        (("A", "B"), "A:B"),
        (("trainA", "trainB", "testA", "testB"), "A:B"),
        (("training_A", "validation_A", "training_B", "validation_B"), "A:B"),
        (("trains", "valleys"), "trains:valleys"),
        (("TRAINS", "VALLEYS"), "TRAINS:VALLEYS"),
        (("TRAINA", "TRAINB", "TEST_A", "TEST_B"), "A:B"),
        (("photos", "labels"), "labels:photos"),
        (("train/sketches", "train/pictures", "val/sketches", "val/pictures"), "sketches:pictures"),
        (("summer", "winter"), "summer:winter"),
        (("cats", "dogs", "birds"), None),
        (("all",), None),
    ],
)
def test_folders_by_their_names(tmp_path: Path, folders: tuple[str, ...], pair: str | None) -> None:
    for n, folder in enumerate(folders):
        for i in range(3):
            put(tmp_path / folder, f"{i}.png", picture(10 * n + i))
    found = find_layout(tmp_path, "mine")
    assert (found and found.pair) == pair


def test_partners_in_folders_of_train_and_test(tmp_path: Path) -> None:
    """The same name in trainA and testA is two images."""
    for i in range(8):
        for part in ("train", "test"):
            number = i + 50 * (part == "test")
            put(tmp_path / f"{part}A", f"{i}.png", picture(number))
            put(tmp_path / f"{part}B", f"{i}.png", 255 - picture(number))
    rows = everything(open_source(str(tmp_path), size=16, pair="A:B"))
    assert len(rows["x"]) == 16
    assert torch.allclose(rows["x"], -rows["input"], atol=1e-6)


def test_two_images_side_by_side_are_seen(tmp_path: Path, mulligan: Command) -> None:
    for i in range(6):
        put(tmp_path, f"{i}.png", np.concatenate([picture(i), 255 - picture(i)], 1))
    found = find_layout(tmp_path, "mine")
    assert found is not None and found.pair == "left:right"
    assert "two images side by side" in mulligan("data", "check", tmp_path).out
    put(tmp_path, "square.png", picture(9))
    assert find_layout(tmp_path, "mine") is None


# --- what is computed ---------------------------------------------------------------------------------------


def test_lines_are_where_brightness_changes() -> None:
    """One pixel wide, along both sides' border, whole, and nowhere else."""
    x = torch.full((1, 3, 24, 24), -0.8)
    x[:, :, 6:18, 6:18] = 0.8
    line = edges(x)[0, 0] < 0
    inner = torch.zeros(24, 24, dtype=torch.bool)
    inner[4:20, 4:20] = True
    inner[8:16, 8:16] = False
    assert line.any() and not (line & ~inner).any()
    assert (line[10, :12].sum(), line[10, 12:].sum(), line[:12, 10].sum()) == (1, 1, 1)
    assert ((edges(-x)[0, 0] < 0) & inner).sum() == line.sum(), "which side is bright does not count"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lines_of_any_channels(channels: int) -> None:
    drawn = edges(torch.rand(2, channels, 8, 12) * 2 - 1)
    assert drawn.shape == (2, 1, 8, 12)
    assert set(drawn.unique().tolist()) <= {-1.0, 1.0}


def test_a_slow_change_is_no_line() -> None:
    assert (edges(torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)) == 1).all()


def test_grey_to_colour(pictures: Path) -> None:
    source = open_source(str(pictures), task="colour")
    assert source.signals["input"].names == (LIGHTNESS,)
    rows = source.test.fetch(np.arange(3))
    assert torch.equal(rows["input"], to_lab(rows["x"])[:, :1])


def test_maps_keep_their_colours(tmp_path: Path) -> None:
    """At another size too, where a photo's are mixed; and taken apart."""
    rng = np.random.default_rng(0)
    palette = np.array([[255, 0, 0], [0, 200, 0], [10, 10, 30]], np.uint8)
    for i in range(60):
        put(tmp_path / "labels", f"{i}.png", palette[rng.integers(0, 3, (30, 30))])
        put(tmp_path / "photos", f"{i}.png", picture(i, 30, 30))
    source = open_source(str(tmp_path), size=16, pair="labels:photos", task="labels")
    assert source.signals["input"].names == ("#00c800", "#0a0a1e", "#ff0000")
    assert len(colours_of(everything(source)["input"])) == 3
    apart = open_source(str(tmp_path), size=16, pair="labels:photos", task="labels", unpaired=True)
    assert len(colours_of(everything(apart)["x2"])) == 3 and "input" not in apart.signals


def colours_of(x: torch.Tensor) -> torch.Tensor:
    return ((x + 1) * 127.5).round().movedim(1, -1).flatten(0, 2).unique(dim=0)


def test_photos_are_no_maps(tmp_path: Path, mulligan: Command) -> None:
    rng = np.random.default_rng(0)
    for i in range(8):
        for folder in ("labels", "photos"):
            put(tmp_path / folder, f"{i}.png", rng.integers(0, 256, (30, 30, 3)).astype(np.uint8))
    said = mulligan("train", "pix2pix", "--data", tmp_path, "--task", "labels", "--size", 16).mistake()
    assert "have more than 256 colours, so they are no maps of labels; save them as PNG" in said
    said = mulligan("train", "pix2pix", "--data", "mnist", "--task", "labels").mistake()
    assert "--task labels: mnist has no pairs; add --pair MAPS:PICTURES" in said


def test_of_two_files_that_differ_by_their_suffix_the_first_is_taken(tmp_path: Path) -> None:
    partners(tmp_path)
    put(tmp_path / "photos", "03.png", picture(77))
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    rows = everything(source)
    assert len(rows["x"]) == 30 and torch.allclose(rows["x"], -rows["input"], atol=1e-6)
    assert any("(1 are left out): photos/03.png." in note for note in source.notes)


def test_taking_pairs_apart_computes_no_input_of_what_is_seen_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from mulligan.data import computed

    seen: list[int] = []
    fetch = computed.Computed.fetch
    monkeypatch.setattr(computed.Computed, "fetch", lambda self, index: seen.append(len(index)) or fetch(self, index))
    source = open_source("mnist", task="blurred", unpaired=True)
    assert not seen
    source.train.fetch(np.arange(10))
    assert seen == [10]


# --- before training ----------------------------------------------------------------------------------------


def test_check_shows_what_a_system_of_pairs_would_get(tmp_path: Path, mulligan: Command) -> None:
    for i in range(40):
        if i != 3:
            put(tmp_path / "data/maps", f"im {i}.png", picture(i))
        if i not in (5, 6):
            size = (32, 48) if i in (7, 8) else (32, 32)
            put(tmp_path / "data/photos", f"im {i}.png", picture(100 + i, *size))
    lacking = [(3, "photos", "maps"), (5, "maps", "photos"), (6, "maps", "photos")]
    told = json.loads(mulligan("data", "check", tmp_path / "data", "--json").out)
    assert told["pairs"]["total"] == 35 and told["counts"]["total"] == 77, "and of images without pairs"
    assert told["single"] == {f"{own}/im {i}.png": other for i, own, other in lacking}
    assert told["unequal"].keys() == {"maps/im 7.png", "maps/im 8.png"}
    out = mulligan("data", "check", tmp_path / "data").out
    without = ", ".join(f"{own}/im {i}.png (not in {other})" for i, own, other in lacking)
    assert f"no partner 3: {without}\n" in out
    assert "pairs      train " in out and "unequal    2: maps/im 7.png (" in out


def test_check_finds_maps_of_labels_as_training_does(tmp_path: Path, mulligan: Command) -> None:
    rng = np.random.default_rng(0)
    for i in range(30):
        put(tmp_path / "data/labels", f"{i}.png", np.array([[0] * 3, [90] * 3], np.uint8)[rng.integers(0, 2, (16, 16))])
        put(tmp_path / "data/photos", f"{i}.png", picture(i))
    answer = mulligan("data", "check", tmp_path / "data", "--task", "labels")
    assert answer.status == 0 and "Maps of 2 labels" in answer.out


def test_that_there_are_no_pairs_comes_first(tmp_path: Path, mulligan: Command) -> None:
    for i in range(12):
        put(tmp_path / "data/A", f"a{i}.png", picture(i))
        put(tmp_path / "data/B", f"b{i}.png", picture(50 + i))
    said = mulligan("train", "pix2pix", "--data", tmp_path / "data", "--rounds", "1").mistake()
    assert "of 12 of A and 12 of B, 0 have a partner of the same name" in said and "--pair" not in said


def test_an_image_beside_the_folders_is_told(tmp_path: Path, mulligan: Command) -> None:
    for i in range(12):
        for folder in ("A", "B"):
            put(tmp_path / "data" / folder, f"{i}.png", picture(i + 50 * (folder == "B")))
    put(tmp_path / "data", "readme.png", picture(99))
    for words in (("pix2pix",), ("cyclegan",), ("pix2pix", "--pair", "A:B")):
        said = mulligan("train", *words, "--data", tmp_path / "data", "--rounds", "1").mistake()
        assert "which are no classes then: move them" in said
