"""Maps of labels: what is one, what its labels are, and that they reach the network as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mulligan.data import open_source
from test_data_pairs import Pixels, colours_of, everything, picture, put

PALETTE = np.array([[255, 0, 0], [0, 200, 0], [10, 10, 30], [250, 250, 250]], np.uint8)
LABELS = ("#0a0a1e", "#00c800", "#fafafa", "#ff0000")


def drawn(i: int, side: int = 30) -> Pixels:
    """Of four colours, mixed pixel by pixel."""
    return PALETTE[np.random.default_rng(i).integers(0, 4, (side, side))]


@pytest.mark.parametrize("pair", ["labels:drawings", "1:0"])
def test_pictures_of_few_colours_are_no_maps(tmp_path: Path, pair: str) -> None:
    """They are scaled as pictures are, whose pixels mix; the maps beside them keep their colours."""
    for i in range(8):
        put(tmp_path / "labels", f"{i}.png", drawn(i))
        put(tmp_path / "drawings", f"{i}.png", drawn(100 + i))
    rows = everything(open_source(str(tmp_path), size=16, pair=pair, task="labels"))
    assert len(colours_of(rows["input"])) == 4 < 100 < len(colours_of(rows["x"]))
    plain = everything(open_source(str(tmp_path), size=16, pair="labels:drawings"))
    seen = [{row.numpy().tobytes() for row in found["x"]} for found in (rows, plain)]
    assert seen[0] == seen[1] and len(colours_of(plain["input"])) > 100


@pytest.mark.parametrize("pair", ["left:right", "right:left"])
def test_of_two_halves_the_given_one_is_a_map(tmp_path: Path, pair: str) -> None:
    for i in range(8):
        put(tmp_path, f"{i}.png", np.concatenate([drawn(i), drawn(100 + i)], 1))
    source = open_source(str(tmp_path), size=16, pair=pair, task="labels")
    rows = everything(source)
    assert set(source.signals["input"].names) == set(LABELS)
    assert len(colours_of(rows["input"])) == 4 < 100 < len(colours_of(rows["x"]))


def test_maps_of_many_grey_labels_keep_them(tmp_path: Path) -> None:
    for i in range(8):
        put(tmp_path / "labels", f"{i}.png", 4 * np.random.default_rng(i).integers(0, 60, (30, 30)).astype(np.uint8))
        put(tmp_path / "photos", f"{i}.png", picture(i, 30, 30))
    source = open_source(str(tmp_path), size=16, pair="labels:photos", task="labels")
    assert source.signals["input"].names == tuple(f"#{bytes([4 * i] * 3).hex()}" for i in range(60))
