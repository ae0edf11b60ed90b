"""Written samples: exact pixels, honest metadata, nothing overwritten."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan import pictures, samples
from mulligan.arrays import to_uint8, user_units
from mulligan.signals import Signal

GREY = Signal("image", (1, 28, 28))
COLOUR = Signal("image", (3, 64, 48))
POINTS = Signal("points", (2,), None, names=("length", "width"), offset=(10.0, -1.0), scale=(2.0, 0.5))
MADE_BY = {"model": "ab12cd34", "seed": 7}


def images(n: int, signal: Signal, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *signal.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_bytes_are_rounded_and_clamped() -> None:
    x = torch.tensor([-1.0, 1.0, 0.0, -0.999, 1.7, -9.0, float("nan"), float("inf")]).reshape(1, 1, 2, 4)
    assert to_uint8(x).ravel().tolist() == [0, 255, 128, 0, 255, 0, 0, 255]
    every = torch.arange(256.0).reshape(1, 1, 16, 16)  # bytes -> [-1, 1] -> bytes is the identity
    assert (to_uint8(every / 127.5 - 1).ravel() == np.arange(256)).all()


@pytest.mark.parametrize(
    ("n", "aspect", "columns"),
    [(64, 1.0, 8), (1, 1.0, 1), (10, 1.0, 5), (7, 1.0, 3), (12, 1.0, 4), (8, 2.0, 2)],
)
def test_grids_are_about_square(n: int, aspect: float, columns: int) -> None:
    assert pictures._columns(n, aspect) == columns


def test_grid_holds_every_pixel_of_every_tile() -> None:
    x = images(6, GREY)
    picture = np.asarray(pictures.grid(to_uint8(x), columns=3))
    side, step = 56, 56 + pictures.GAP
    assert picture.shape == (2 * step - pictures.GAP, 3 * step - pictures.GAP)
    for i, tile in enumerate(to_uint8(x)[..., 0]):
        top, left = (i // 3) * step, (i % 3) * step
        assert (picture[top : top + side : 2, left : left + side : 2] == tile).all()
        assert (picture[top + 1 : top + side : 2, left + 1 : left + side : 2] == tile).all()
    assert (picture[side : side + pictures.GAP] == picture[0, side]).all()


def test_a_grid_too_large_to_look_at_is_refused() -> None:
    with pytest.raises(ValueError, match="take fewer"):
        pictures.grid(np.zeros((50_000, 56, 56, 1), np.uint8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_png_of_each_number_of_channels(tmp_path: Path, channels: int, mode: str) -> None:
    signal = Signal("image", (channels, 64, 64))
    out = samples.write(images(4, signal), signal, tmp_path / "deep/er/grid.png", provenance=MADE_BY)
    with Image.open(out) as picture:
        assert picture.mode == mode
        assert picture.size == (130, 130)


def test_png_says_what_it_is(tmp_path: Path) -> None:
    out = samples.write(images(1, GREY), GREY, tmp_path / "a.png", provenance={**MADE_BY, "data": "Zoë"})
    with Image.open(out) as picture:
        assert "Synthetic" in picture.info["Description"]
        assert "ab12cd34" in picture.info["Description"]
        assert picture.info["Software"].startswith("mulligan ")
    told = samples.read_provenance(out)
    assert told is not None
    assert (told["synthetic"], told["model"], told["seed"], told["data"]) == (True, "ab12cd34", 7, "Zoë")


def test_folder_has_a_file_a_sample(tmp_path: Path) -> None:
    x = images(3, COLOUR)
    out = samples.write(x, COLOUR, tmp_path / "many", provenance=MADE_BY)
    assert sorted(p.name for p in out.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    for i, pixels in enumerate(to_uint8(x)):
        with Image.open(out / f"{i:05d}.png") as picture:
            assert (np.asarray(picture) == pixels).all()
        told = samples.read_provenance(out / f"{i:05d}.png")
        assert told is not None
        assert (told["index"], told["seed"]) == (i, 7)


def test_npz_of_images_and_points(tmp_path: Path) -> None:
    x = images(5, COLOUR)
    out = samples.write(x, COLOUR, tmp_path / "x.npz", provenance=MADE_BY)
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["samples"].dtype == np.uint8
        assert (arrays["samples"] == to_uint8(x)).all()
        assert json.loads(str(arrays["provenance"]))["model"] == "ab12cd34"
    out = samples.write(torch.tensor([[0.0, 0.0], [1.0, -2.0]]), POINTS, tmp_path / "p.npz", provenance=MADE_BY)
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["samples"].dtype == np.float32
        assert arrays["samples"].tolist() == [[10.0, -1.0], [12.0, -2.0]]
    assert samples.read_provenance(out) is not None


def test_csv_is_read_back_exactly(tmp_path: Path) -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    out = samples.write(x, POINTS, tmp_path / "p.csv", provenance=MADE_BY)
    lines = out.read_text().splitlines()
    assert lines[1] == "length,width"
    assert samples.read_provenance(out)["seed"] == 7  # type: ignore[index]
    back = np.loadtxt(out, delimiter=",", comments="#", skiprows=2, dtype=np.float32)
    assert (back == user_units(x, POINTS)).all()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_points_as_picture(tmp_path: Path, d: int) -> None:
    signal = Signal("points", (d,), None)
    x = torch.randn(200, d)
    x[0] = float("nan")
    out = samples.write(x, signal, tmp_path / "p.png", provenance=MADE_BY)
    with Image.open(out) as picture:
        assert len(picture.getcolors(1 << 20)) > 20


def test_scatter_shows_points_where_they_are() -> None:
    fake, real = np.array([[0.5, 0.5]]), np.array([[-1.0, -1.0], [1.0, 1.0]])
    picture = np.asarray(pictures.scatter(fake, real, limits=(-1.0, 1.0, -1.0, 1.0))).astype(int)
    blue = picture[60:890, 95:930, 2] - picture[60:890, 95:930, 0] > 60
    y, x = (v.mean() for v in np.nonzero(blue))
    assert abs((x + 95) / 2 - (46 + 0.75 * 420)) < 1
    assert abs((y + 60) / 2 - (448 - 0.75 * 420)) < 1


@pytest.mark.parametrize("real", [None, torch.randn(30, 2)])
def test_scatter_of_hopeless_points(real: torch.Tensor | None) -> None:
    pictures.scatter(torch.full((10, 2), float("nan")), real)
    pictures.scatter(torch.zeros(10, 2), real)
    pictures.scatter(torch.zeros(10, 2), torch.tensor([[3e11, 1.0], [3e11, 1.0]]))


def test_look_grid_puts_reals_beside() -> None:
    x = images(4, GREY)
    alone, beside = pictures.look_grid(x), pictures.look_grid(x, x)
    assert beside.width == 2 * alone.width + 12
    assert pictures.look_grid(torch.randn(40, 1), torch.randn(40, 1)).size == (1120, 640)


def test_walk_is_a_gif_with_its_provenance(tmp_path: Path) -> None:
    out = samples.write_walk(images(5, COLOUR), tmp_path / "walk.gif", MADE_BY)
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (5, (96, 128), 0)
    assert samples.read_provenance(out)["model"] == "ab12cd34"  # type: ignore[index]


def test_walk_of_grids_and_of_points(tmp_path: Path) -> None:
    grids = torch.stack([images(4, GREY, seed) for seed in range(3)])
    with Image.open(samples.write_walk(grids, tmp_path / "a.gif", MADE_BY)) as gif:
        assert (gif.n_frames, gif.size) == (3, (114, 114))
    with Image.open(samples.write_walk(torch.randn(3, 50, 2), tmp_path / "b.gif", MADE_BY)) as gif:
        assert gif.n_frames == 3
    with Image.open(samples.write_walk(torch.randn(3, 50, 1), tmp_path / "c.gif", MADE_BY)) as gif:
        assert gif.n_frames == 3
    with pytest.raises(ValueError, match=r"\.gif"):
        samples.write_walk(grids, tmp_path / "a.mp4", MADE_BY)


@pytest.mark.parametrize("name", ["a.png", "a.npz", "folder"])
def test_nothing_is_overwritten_unless_asked(tmp_path: Path, name: str) -> None:
    x = images(2, GREY)
    out = samples.write(x, GREY, tmp_path / name, provenance=MADE_BY)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match="exists; choose another name"):
        samples.write(images(2, GREY, 1), GREY, out, provenance=MADE_BY)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    samples.write(images(2, GREY, 1), GREY, out, provenance=MADE_BY, overwrite=True)
    assert before != {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="other files"):
        samples.write(images(2, GREY), GREY, tmp_path, provenance=MADE_BY, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(("name", "signal"), [("a.jpg", GREY), ("a.csv", GREY), ("a.mp4", GREY), ("a", POINTS)])
def test_what_cannot_be_written_is_refused_in_one_line(tmp_path: Path, name: str, signal: Signal) -> None:
    with pytest.raises(ValueError, match=r"use \.png") as error:
        samples.write(torch.zeros(2, *signal.shape), signal, tmp_path / name, provenance=MADE_BY)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match="No space left"):
        samples.write(images(2, GREY), GREY, tmp_path / "a.npz", provenance=MADE_BY)
    assert not os.listdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        samples.write(images(2, GREY), GREY, tmp_path / "file" / "a.png", provenance=MADE_BY)
