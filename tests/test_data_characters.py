"""Drawn characters: every tag is true and visible, nothing depends on order, no split shares a picture."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Command
from mulligan import data
from mulligan.data import characters
from mulligan.data.characters import EYE_COLOURS, EYES, GLASSES, HAIR, HAIR_COLOURS, TAGS
from mulligan.data.source import Source, content_keys
from mulligan.signals import Signal, match

ROWS = characters.ROWS
FEW = {"train": (0, 24), "held_out": (24, 30), "test": (30, 36)}


@pytest.fixture(autouse=True)
def few(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 characters instead of thousands, drawn once for all tests."""
    monkeypatch.setattr(characters, "ROWS", FEW)
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.getbasetemp() / "characters"))


def everything(source: Source) -> dict[str, torch.Tensor]:
    parts = [split.fetch(np.arange(len(split))) for split in source.splits.values()]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def pictures(x: torch.Tensor) -> np.ndarray:
    return ((x + 1) * 127.5).round().to(torch.uint8).numpy()


def test_pictures_and_tags() -> None:
    source = data.open_source("characters")
    batch = everything(source)
    assert batch["x"].shape == (36, 3, 64, 64)
    assert (batch["x"].min() < -0.8) and (batch["x"].max() == 1)
    assert batch["tags"].dtype == torch.float32
    assert set(batch["tags"].unique().tolist()) == {0.0, 1.0}
    assert source.signals["tags"] == Signal("tags", (len(TAGS),), (0, 1), names=TAGS, exclusive=characters.EXCLUSIVE)
    assert source.card.credit.startswith('"Adventurer", Lisa Wischofsky; CC BY 4.0; modified')
    for group in (HAIR_COLOURS, EYE_COLOURS):
        columns = [TAGS.index(tag) for tag in group]
        assert (batch["tags"][:, columns].sum(1) == 1).all()


def test_the_tags_of_a_row_are_those_of_its_picture() -> None:
    batch = everything(data.open_source("characters"))
    draw = characters.drawer(64)
    for number in (31, 4, 17):  # in any order
        options, true = characters.character(number)
        assert (draw(options) == pictures(batch["x"])[number]).all()
        assert {tag for tag, on in zip(TAGS, batch["tags"][number], strict=True) if on} == set(true)


def test_every_tag_is_drawn_often() -> None:
    tags = [characters.character(number)[1] for number in range(3000)]
    for tag in TAGS:
        assert sum(tag in true for true in tags) > 150, tag
    assert sum("glasses" in true for true in tags) / 3000 == pytest.approx(1 / 3, abs=0.03)


def test_the_first_characters_have_every_part_among_them() -> None:
    """So that a change of any part changes the name of the cache's entry."""
    drawn = [characters.character(number)[0] for number in range(300)]
    for option, parts in (
        ("hairVariant", HAIR),
        ("hairColor", HAIR_COLOURS.values()),
        ("eyesVariant", EYES),
        ("eyesColor", EYE_COLOURS.values()),
        ("skinColor", characters.SKIN),
        ("eyebrowsVariant", characters.EYEBROWS),
        ("mouthVariant", characters.MOUTHS),
    ):
        assert {each[option] for each in drawn} == set(parts)


def options(**changed: Any) -> dict[str, Any]:
    """A face with nothing over its eyes, upright and as small as any, changed."""
    bare = {**characters.character(0)[0], "rotate": 0, "scale": characters.ZOOM[0]}
    return {**bare, "hairVariant": "short01", "glassesVariant": [], "eyebrowsVariant": "variant10", **changed}


def iris(draw: Callable[[dict[str, Any]], np.ndarray], **changed: Any) -> int:
    """Pixels that the colour of the eyes decides."""
    red, blue = (draw(options(eyesColor=colour, **changed)).astype(int) for colour in ("#ff0000", "#0000ff"))
    return int((np.abs(red - blue).max(0) > 64).sum())


def test_hair_glasses_and_eyebrows_never_hide_the_eyes() -> None:
    draw = characters.drawer(64)
    for eyes in EYES:
        whole = iris(draw, eyesVariant=eyes)
        assert whole >= 16, eyes
        for part, variants in (
            ("hairVariant", HAIR),
            ("glassesVariant", [[glasses] for glasses in GLASSES if glasses]),
            ("eyebrowsVariant", characters.EYEBROWS),
        ):
            for variant in variants:
                assert iris(draw, eyesVariant=eyes, **{part: variant}) >= 0.9 * whole, (eyes, variant)


@pytest.mark.parametrize("hair", HAIR)
def test_hair_shows_its_colour_even_when_small(hair: str) -> None:
    draw = characters.drawer(32)
    for colour in HAIR_COLOURS.values():
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])[:, None, None]
        near = np.abs(draw(options(hairVariant=hair, hairColor=colour)).astype(int) - wanted).max(0) < 12
        assert near.sum() >= 30, colour


def test_lookalikes_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    once = characters.character
    monkeypatch.setattr(characters, "character", lambda number: once(number // 2))
    batch = everything(data.open_source("characters", size=16))
    assert len(set(content_keys(pictures(batch["x"])))) == 36


def test_the_size_is_drawn_not_resized() -> None:
    small = everything(data.open_source("characters", size=24))
    assert small["x"].shape == (36, 3, 24, 24)
    assert torch.equal(small["tags"], everything(data.open_source("characters"))["tags"])
    assert data.open_source("characters", size=24).fingerprint != data.open_source("characters").fingerprint


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    once = characters.character

    def interrupted(number: int) -> Any:
        if number == 20:
            raise KeyboardInterrupt
        return once(number)

    with monkeypatch.context() as patch:
        patch.setattr(characters, "character", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.open_source("characters")
    assert list(tmp_path.iterdir()) == []
    assert len(data.open_source("characters").train) == 24


@pytest.mark.parametrize("file", ["x.npy", "tags.npy", "meta.json"])
def test_a_damaged_entry_is_drawn_anew(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    whole = everything(data.open_source("characters", size=8))["x"]
    (damaged,) = tmp_path.glob(f"*/{file}")
    damaged.write_bytes(damaged.read_bytes()[:150])
    assert torch.equal(everything(data.open_source("characters", size=8))["x"], whole)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command) -> None:
    data.open_source("characters")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    data.open_source("characters")  # drawn already
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    said = mulligan("data", "get", "characters").mistake()
    assert "resvg_py" in said and 'pip install "mulligan[characters]"' in said


def test_the_packages_are_those_of_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert tuple(project["project"]["optional-dependencies"]["characters"]) == characters.PACKAGES


def test_described_as_it_is() -> None:
    (row,) = [row for row in data.describe() if row["name"] == "characters"]
    source = data.open_source("characters")
    assert row["counts"] == {name: high - low for name, (low, high) in ROWS.items()}
    assert row["kind"] == f"{source.signals['x']}, {len(TAGS)} tags"
    assert row["licence"] == source.card.licence


def test_on_the_command_line(mulligan: Command) -> None:
    place = Path(mulligan("data", "get", "characters").out.strip())
    assert np.load(place / "x.npy").shape == (36, 3, 64, 64)
    said = mulligan("data", "check", "characters").out
    assert re.search(r"^tags +black hair: \d+, brown hair: ", said, re.MULTILINE)
    assert "counts     train 24, held_out 6, test 6, total 36" in said
    assert "no transparency" in mulligan("train", "dcgan", "--data", "characters", "--alpha").mistake()


def test_tags_meet_a_need() -> None:
    needs = {"tags": (Signal("tags", (None,), (0, 1)),)}
    match(needs, data.open_source("characters").signals, system="any", source="characters")
    with pytest.raises(ValueError, match=r"needs tags .*--data characters supplies them"):
        match(needs, data.open_source("ring").signals, system="any", source="ring")
