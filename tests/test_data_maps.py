"""Maps of labels: what is one, what its labels are, and that they reach the network as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import Command
from mulligan.data import open_source
from test_data_pairs import Pixels, colours_of, everything, picture, put
from translated import Run

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


# --- 16 bits ------------------------------------------------------------------------------------------------


def deep(root: Path, name: str, values: NDArray[np.int64]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint16))
    assert image.mode == "I;16"
    image.save(root / name)
    return root / name


def indices(i: int, n: int = 128) -> NDArray[np.int64]:
    return np.random.default_rng(i).integers(0, n, (30, 30))


def maps_beside_photos(root: Path, **made: NDArray[np.int64]) -> Path:
    for i in range(8):
        deep(root / "labels", f"{i}.png", made.get(f"_{i}", indices(i)))
        put(root / "photos", f"{i}.png", picture(i, 30, 30))
    return root


def test_labels_in_sixteen_bits_stay_what_they_are(tmp_path: Path) -> None:
    source = open_source(str(maps_beside_photos(tmp_path / "16")), size=16, pair="labels:photos", task="labels")
    assert source.signals["input"].names == tuple(f"#{bytes([i] * 3).hex()}" for i in range(128))
    for i in range(8):
        put(tmp_path / "8/labels", f"{i}.png", indices(i).astype(np.uint8))
        put(tmp_path / "8/photos", f"{i}.png", picture(i, 30, 30))
        deep(tmp_path / "stretched/labels", f"{i}.png", indices(i) * 257)
        put(tmp_path / "stretched/photos", f"{i}.png", picture(i, 30, 30))
    for same in ("8", "stretched"):
        rows = everything(open_source(str(tmp_path / same), size=16, pair="labels:photos", task="labels"))
        assert (rows["input"] == everything(source)["input"]).all()


def test_a_map_in_sixteen_bits_beside_a_photo_in_sixteen(tmp_path: Path) -> None:
    for i in range(8):
        photo = np.random.default_rng(100 + i).integers(0, 65536, (30, 30))
        deep(tmp_path, f"{i}.png", np.concatenate([photo, indices(i)], 1))
    source = open_source(str(tmp_path), size=30, pair="right:left", task="labels")
    assert len(source.signals["input"].names) == 128
    assert everything(source)["x"].std() > 0.5, "a photo's values go up to 65,535"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.arange(900).reshape(30, 30), "3.png: 900 labels are more than 256 colours, so it is no map of labels"),
        (indices(3) + 900, "3.png: 16-bit labels up to 1,027 do not fit in 8 bits; number them from 0 to 255"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, mulligan: Command, values: NDArray[np.int64], says: str
) -> None:
    maps_beside_photos(tmp_path, _3=values)
    words = ("train", "pix2pix", "--data", tmp_path, "--pair", "labels:photos", "--size", 16, "--patch", 16)
    assert says in mulligan(*words, "--task", "labels").mistake()
    assert open_source(str(tmp_path), size=16, pair="labels:photos"), "as pictures they will do"


def test_maps_of_one_label_are_refused(tmp_path: Path, mulligan: Command) -> None:
    maps_beside_photos(tmp_path, **{f"_{i}": np.full((30, 30), 7) for i in range(8)})
    words = ("train", "pix2pix", "--data", tmp_path, "--pair", "labels:photos", "--size", 16, "--patch", 16)
    said = mulligan(*words, "--task", "labels").mistake()
    assert "Maps of 1 label, #070707, are all that" in said and "nothing to learn from" in said


def test_a_map_in_sixteen_bits_is_applied_as_it_is(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", "--task", "labels")
    file = deep(tmp_path, "a.png", np.full((16, 16), 200))
    assert "#c8c8c8 at (0, 0) is none of the" in mulligan("apply", run, file, "-o", tmp_path / "b.png").mistake()
    file = deep(tmp_path, "a.png", np.full((16, 16), 1000))
    assert "16-bit labels up to 1,000" in mulligan("apply", run, file, "-o", tmp_path / "b.png").mistake()
