"""Which split a pair of images is in: pairs that share an image are in one, and when they cannot be, it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import Command
from mulligan.data import Fit, open_source
from mulligan.data.components import together
from mulligan.data.source import Source
from test_data_pairs import Pixels, everything, partners, picture, put


def splits_of(source: Source, key: str = "x") -> list[set[bytes]]:
    """The distinct images of train, held_out and test."""
    return [{row.numpy().tobytes() for row in s.fetch(np.arange(len(s)))[key]} for s in source.splits.values()]


def disjoint(found: list[set[bytes]]) -> bool:
    return all(found) and not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])


def empty(width: int = 16, height: int = 16) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize("pair", ["masks:photos", "photos:masks"])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_empty_masks_bind_no_pairs(tmp_path: Path, pair: str, fit: Fit) -> None:
    """Whatever edges are laid around them. Of their photos, two that are the same stay together."""
    for i in range(40):
        put(tmp_path / "masks", f"{i}.png", picture(i, 24) if i % 8 == 0 else empty(24))
        put(tmp_path / "photos", f"{i}.png", picture(100 + i // 2, 24))
    source = open_source(str(tmp_path), size=16, pair=pair, fit=fit)
    assert len(everything(source)["x"]) == 40
    assert disjoint(splits_of(source, "x" if pair == "masks:photos" else "input"))
    assert not disjoint(splits_of(source, "input" if pair == "masks:photos" else "x")), "empty ones are everywhere"
    assert any("In 35 of 40 pairs an image is of one colour all over, such as masks/1.png" in n for n in source.notes)


@pytest.mark.parametrize("pair", ["maps:photos", "photos:maps"])
def test_pairs_that_all_share_an_image_are_refused(tmp_path: Path, mulligan: Command, pair: str) -> None:
    for i in range(30):
        put(tmp_path / "maps", f"{i:02d}.png", picture(0))
        put(tmp_path / "photos", f"{i:02d}.png", picture(100 + i))
    said = mulligan("train", "pix2pix", "--data", tmp_path, "--pair", pair, "--size", 16, "--patch", 16).mistake()
    assert f"--pair {pair}: 30 pairs cannot be split into train, held_out and test: all of them share images" in said
    assert "(maps/00.png is in 30 of them)" in said


def test_pairs_of_two_groups_are_refused(tmp_path: Path, mulligan: Command) -> None:
    for i in range(30):
        put(tmp_path / "maps", f"{i:02d}.png", picture(i % 2))
        put(tmp_path / "photos", f"{i:02d}.png", picture(100 + i))
    said = mulligan("data", "check", tmp_path, "--pair", "maps:photos", "--size", 16).out
    assert "two groups of them share images" in said and "is in 15 of them" in said


def test_two_pairs_are_too_few(tmp_path: Path) -> None:
    partners(tmp_path, 2)
    with pytest.raises(ValueError, match="2 pairs are too few for train, held_out and test: add some, 3 are the least"):
        open_source(str(tmp_path), size=16, pair="maps:photos")


@pytest.mark.parametrize("shared", range(8))
def test_most_pairs_in_one_split_are_told(tmp_path: Path, shared: int) -> None:
    """They are for training, whatever their content."""
    for i in range(30):
        put(tmp_path / "maps", f"{i:02d}.png", picture(200 + shared if i < 20 else i))
        put(tmp_path / "photos", f"{i:02d}.png", picture(100 + i))
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    assert disjoint(splits_of(source)) and disjoint(splits_of(source, "input"))
    counts = ", ".join(f"{name} {len(split)}" for name, split in source.splits.items())
    what = "20 of 30 pairs share images, directly or by others between them (maps/00.png is in 20 of them)"
    assert f"{what}, so all of them are in train: {counts}." in source.notes
    assert len(source.train) >= 20


def test_pairs_without_flat_images_are_split_as_they_were(tmp_path: Path) -> None:
    """And runs of before go on."""
    partners(tmp_path, 60)
    source = open_source(str(tmp_path), size=16, pair="maps:photos")
    assert [len(split) for split in source.splits.values()] == [48, 8, 4]
    assert source.fingerprint == "c4124f62c150e012"


def test_what_is_together_by_others() -> None:
    a, b, c, d, e, f, g = (bytes([i]) * 16 for i in range(7))
    keys = together([(a, b), (c, d), (d, b), (e, f), (c,), (g,)])
    assert keys[0] == keys[1] == keys[2] == keys[4] and len({keys[0], keys[3], keys[5]}) == 3


# --- halves of files ----------------------------------------------------------------------------------------


def beside(root: Path, name: str, left: Pixels, right: Pixels) -> None:
    put(root, name, np.concatenate([left, right], 1))


@pytest.mark.parametrize("pair", ["left:right", "right:left"])
def test_files_that_share_a_half_are_in_one_split(tmp_path: Path, pair: str) -> None:
    """The left ones all differ; of the right ones each is in five files."""
    for i in range(60):
        beside(tmp_path, f"{i:02d}.png", picture(i), picture(100 + i // 5))
    source = open_source(str(tmp_path), size=16, pair=pair)
    assert len(everything(source)["x"]) == 60
    assert disjoint(splits_of(source)) and disjoint(splits_of(source, "input"))


def test_empty_halves_bind_no_files(tmp_path: Path) -> None:
    for i in range(60):
        beside(tmp_path, f"{i:02d}.png", empty(24) if i % 6 else picture(i, 24), picture(100 + i, 24))
    source = open_source(str(tmp_path), size=16, pair="left:right", fit="pad")
    assert disjoint(splits_of(source))
    assert any("In 50 of 60 pairs" in note and "the left half of 01.png" in note for note in source.notes)


def test_files_that_all_share_a_half_are_refused(tmp_path: Path, mulligan: Command) -> None:
    for i in range(12):
        beside(tmp_path, f"{i:02d}.png", picture(i), picture(100))
    words = ("train", "pix2pix", "--data", tmp_path, "--size", 16, "--patch", 16)
    for pair in ("left:right", "right:left"):
        said = mulligan(*words, "--pair", pair).mistake()
        assert f"--pair {pair}: 12 pairs cannot be split" in said
        assert "(the right half of 00.png is in 12 of them)" in said


def test_most_files_in_one_split_are_told(tmp_path: Path) -> None:
    for i in range(30):
        beside(tmp_path, f"{i:02d}.png", picture(i), picture(100 + i if i < 10 else 200))
    source = open_source(str(tmp_path), size=16, pair="left:right")
    again = open_source(str(tmp_path), size=16, pair="left:right")
    assert any(note.startswith("20 of 30 pairs share images") and "in train: train 2" in note for note in source.notes)
    assert source.notes == again.notes, "from the cache"


def halves(root: Path, n: int) -> None:
    for i in range(n):
        beside(root, f"{i:02d}.png", picture(i), picture(100 + i))


def test_a_file_of_another_shape_is_not_cut_in_two(tmp_path: Path, mulligan: Command) -> None:
    """Whose size is a pixel off is of the same shape."""
    halves(tmp_path, 27)
    put(tmp_path, "near.png", picture(50, 65, 32))
    put(tmp_path, "square.png", picture(51, 16, 16))
    put(tmp_path, "wider.png", picture(52, 48, 16))
    source = open_source(str(tmp_path), size=16, pair="left:right")
    assert len(everything(source)["x"]) == 28
    assert source.facts["unequal"] == {"square.png": "16 x 16", "wider.png": "48 x 16"}
    what = "Files of another shape than 32 x 16 that are left out (2): square.png (16 x 16), wider.png (48 x 16)."
    assert what in source.notes
    assert what in mulligan("data", "check", tmp_path, "--pair", "left:right", "--size", 16).out


def test_files_that_are_no_two_images_are_refused(tmp_path: Path, mulligan: Command) -> None:
    for i in range(6):
        put(tmp_path, f"{i}.png", picture(i))
    words = ("train", "pix2pix", "--data", tmp_path, "--pair", "right:left", "--size", 16, "--patch", 16)
    said = mulligan(*words).mistake()
    assert "--pair right:left: " in said
    assert "has 6 of 6 files that are not two images side by side, such as 0.png (16 x 16)" in said
    halves(tmp_path / "wide", 7)
    assert len(everything(open_source(str(tmp_path / "wide"), size=16, pair="left:right"))["x"]) == 7


def test_files_of_many_shapes_are_refused(tmp_path: Path) -> None:
    for i in range(6):
        put(tmp_path, f"{i}.png", picture(i, 32 + 4 * i, 16))
    with pytest.raises(ValueError, match="files are of many shapes, 1 of the most common; bring them to one"):
        open_source(str(tmp_path), size=16, pair="left:right")
