"""Folders of images: every kind of file, every kind of mistake, made with real files."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan import data
from mulligan.data import cache, decoding, folder, images
from mulligan.data.source import Source

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


def noise(w: int = 24, h: int = 24, channels: int = 3) -> Image.Image:
    array = RNG.integers(0, 256, (h, w, channels), dtype=np.uint8)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


def fill(place: Path, n: int = 5, **size: int) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        noise(**size).save(place / f"good{i}.png")
    return place


def everything(source: Source) -> dict[str, torch.Tensor]:
    parts = [s.fetch(np.arange(len(s))) for s in source.splits.values()]
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def one(image: Image.Image, tmp_path: Path, name: str, alpha: bool = False, **options: object) -> np.ndarray:
    """What the loader makes of one saved image: uint8 (C, 16, 16)."""
    file = tmp_path / name
    image.save(file, **options)
    with images.quiet():
        return images.load(file, size=16, fit="crop", alpha=alpha)


# --- kinds of image -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "gif", "bmp"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    flat = Image.new("RGB", (40, 30), (200, 100, 50))
    array = one(flat, tmp_path, f"a.{suffix}")
    assert array.shape == (3, 16, 16)
    assert np.abs(array.astype(int) - np.array([200, 100, 50])[:, None, None]).max() <= 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_modes_as_png(mode: str, tmp_path: Path) -> None:
    white = (
        Image.fromarray(np.full((16, 16), 65535, np.uint16))
        if mode == "I;16"
        else Image.new("RGB", (16, 16), "white").convert(mode)
    )
    assert white.mode == mode
    assert (one(white, tmp_path, "a.png") == 255).all()


def test_cmyk_jpeg(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), "red").convert("CMYK")
    array = one(red, tmp_path, "a.jpg")
    assert array[0].min() > 240
    assert array[1:].max() < 15


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    array = one(Image.fromarray(ramp), tmp_path, "a.png")
    assert (array[0].ravel() == np.arange(256)).all()
    assert images.is_grey(array)


def test_transparency_is_laid_on_white_or_kept(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 8, 16))
    array = one(picture, tmp_path, "a.png")
    assert (array[:, :, 8:] == 255).all()
    assert (array[:, :, :8] == np.array([0, 0, 255])[:, None, None]).all()
    kept = one(picture, tmp_path, "b.png", alpha=True)
    assert kept.shape == (4, 16, 16)
    assert (kept[3, :, 8:] == 0).all()
    assert (kept[3, :, :8] == 255).all()


def test_transparent_colours_do_not_bleed(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 30, 64))
    visible = one(picture, tmp_path, "a.png", alpha=True)
    assert visible[0][visible[3] > 8].max() < 10  # the invisible red stays invisible


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.paste(1, (0, 0, 8, 16))
    array = one(picture, tmp_path, "a.gif", transparency=0)
    assert array[:, 0, 0].tolist() == [0, 255, 0]
    assert array[:, 0, 12].tolist() == [255, 255, 255]


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation(turn: int, tmp_path: Path) -> None:
    upright = Image.new("RGB", (16, 16), "black")
    upright.paste((255, 255, 255), (0, 0, 8, 8))
    upright.paste((255, 0, 0), (8, 0, 16, 8))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes the tag's own
    stored = upright if turn == 1 else upright.transpose(Image.Transpose(back[turn]))
    exif = Image.Exif()
    exif[0x0112] = turn
    array = one(stored, tmp_path, "a.png", exif=exif)
    assert (array == np.asarray(upright).transpose(2, 0, 1)).all()


def test_broken_exif_does_not_lose_the_image(tmp_path: Path) -> None:
    assert one(noise(), tmp_path, "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff").shape == (3, 16, 16)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    for suffix, extra in (("gif", {}), ("webp", {"lossless": True})):
        array = one(frames[0], tmp_path, f"a.{suffix}", save_all=True, append_images=frames[1:], **extra)
        assert array[:, 5, 5].tolist() == [255, 0, 0]


def test_fit() -> None:
    wide = Image.new("RGB", (48, 16), "black")
    wide.paste((255, 0, 0), (16, 0, 32, 16))
    crop, pad, stretch = (images.planes(images.resize(wide, 16, f)) for f in ("crop", "pad", "stretch"))
    assert (crop == np.array([255, 0, 0])[:, None, None]).all()
    assert (pad[:, :5] == 255).all()
    assert (pad[:, 11:] == 255).all()
    assert pad[:, 8, 1].max() <= 3
    assert pad[0, 8, 8] >= 250
    assert stretch[:, 8, 1].max() <= 3
    assert stretch[0, 8, 8] >= 250


def test_resizing_is_exact_where_it_can_be() -> None:
    picture = noise(16, 16)
    assert (images.planes(images.resize(picture, 16, "crop")) == images.planes(picture)).all()
    for size in (7, 16, 50):
        for fit in ("crop", "pad", "stretch"):
            flat = images.resize(Image.new("RGB", (31, 31), (1, 128, 254)), size, fit)
            assert flat.size == (size, size)
            assert flat.getcolors() == [(size * size, (1, 128, 254))]
    checker = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    small = np.asarray(images.resize(checker, 16, "crop")).astype(int)
    assert np.abs(small[2:-2, 2:-2] - 127).max() < 8  # antialiased: fine detail becomes its mean


def test_very_thin_images() -> None:
    for fit in ("crop", "pad", "stretch"):
        assert images.resize(noise(1, 3000), 16, fit).size == (16, 16)


# --- a folder -----------------------------------------------------------------------------------------------


def test_classes_are_sorted_folders(tmp_path: Path) -> None:
    for i, name in enumerate(("b", "a", "c")):
        place = tmp_path / "d" / name / ("deep" if i else "")
        fill(place, 0)
        for j in range(12):
            Image.new("RGB", (8, 8), (j, 10 * ord(name) % 256, 0)).save(place / f"{j}.png")
    source = data.open_source(str(tmp_path / "d"))
    assert source.signals["y"].names == ("a", "b", "c")
    batch = everything(source)
    green = ((batch["x"][:, 1, 0, 0] + 1) * 127.5).round()
    for label, name in enumerate("abc"):
        assert (green[batch["y"] == label] == 10 * ord(name) % 256).all()
    assert sorted(np.bincount(batch["y"])) == [12, 12, 12]


def test_the_first_rows_of_a_split_are_of_all_classes(tmp_path: Path) -> None:
    for name in "ab":
        fill(tmp_path / "d" / name, 60, w=8, h=8)
    train = data.open_source(str(tmp_path / "d")).train
    assert set(train.fetch(np.arange(20))["y"].tolist()) == {0, 1}


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path / "flat")
    fill(tmp_path / "alone" / "images")
    fill(tmp_path / "mixed")
    fill(tmp_path / "mixed" / "more")
    for name in ("train", "test"):
        fill(tmp_path / "pooled" / name)
    for name in ("flat", "alone", "mixed", "pooled"):
        assert "y" not in data.open_source(str(tmp_path / name)).signals
    for name in ("train/cat", "train/dog", "test/cat"):
        fill(tmp_path / "nested" / name)
    source = data.open_source(str(tmp_path / "nested"))
    assert source.signals["y"].names == ("cat", "dog")
    assert any("Pooled: test, train" in note for note in source.notes)
    assert any("beside folders" in note for note in data.open_source(str(tmp_path / "mixed")).notes)


@pytest.mark.parametrize(("side", "size"), [(3, 4), (5, 4), (8, 8), (28, 24), (31, 24), (64, 64), (500, 64)])
def test_default_size(side: int, size: int) -> None:
    assert decoding.default_size(side) == size


def test_channels(tmp_path: Path) -> None:
    fill(tmp_path / "grey", channels=1)
    noise(channels=1).convert("RGB").save(tmp_path / "grey" / "as-rgb.png")
    noise(channels=1).save(tmp_path / "grey" / "palette.gif")
    assert data.open_source(str(tmp_path / "grey")).signals["x"].shape == (1, 24, 24)
    noise().save(tmp_path / "grey" / "colour.png")
    assert data.open_source(str(tmp_path / "grey")).signals["x"].shape == (3, 24, 24)
    assert data.open_source(str(tmp_path / "grey"), alpha=True).signals["x"].shape == (4, 24, 24)


def test_pixels_survive_the_cache(tmp_path: Path) -> None:
    place = fill(tmp_path / "d", 20)
    source = data.open_source(str(place), size=24)
    originals = {np.asarray(Image.open(f)).transpose(2, 0, 1).tobytes() for f in place.iterdir()}
    x = everything(source)["x"]
    assert {((row + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for row in x} == originals


def test_duplicates_share_a_split_and_none_is_empty(tmp_path: Path) -> None:
    place = fill(tmp_path / "d", 6)
    for i in range(6):
        (place / f"copy{i}.png").write_bytes((place / f"good{i}.png").read_bytes())
        Image.open(place / f"good{i}.png").save(place / f"copy{i}.bmp")  # the same pixels in another format
    source = data.open_source(str(place))
    parts = [{r.numpy().tobytes() for r in s.fetch(np.arange(len(s)))["x"]} for s in source.splits.values()]
    assert all(parts)
    assert sum(map(len, parts)) == 6
    assert sum(len(s) for s in source.splits.values()) == 18


def test_the_second_time_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, seen = fill(tmp_path / "d"), []
    first = data.open_source(str(place), progress=lambda doing, done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    monkeypatch.setattr(decoding, "load", None)
    second = data.open_source(str(place))
    assert second.fingerprint == first.fingerprint
    assert second.notes == first.notes


def test_a_changed_folder_is_decoded_anew_and_the_old_entry_goes(tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    first = data.open_source(str(place)).fingerprint
    noise().save(place / "new.png")
    assert data.open_source(str(place)).fingerprint != first
    assert len(list((tmp_path / "cache").iterdir())) == 1
    data.open_source(str(place), size=8)
    assert len(list((tmp_path / "cache").iterdir())) == 2  # another size is no outdated one


def test_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    data.open_source(str(place))
    (entry,) = (tmp_path / "cache").iterdir()
    for name, content in (("x.npy", b"\x93NUMPY"), ("y.npy", b""), ("meta.json", b"{")):
        (entry / name).write_bytes(content)
        assert len(everything(data.open_source(str(place)))["x"]) == 5


# --- what goes wrong ----------------------------------------------------------------------------------------


def huge_png(path: Path, side: int = 40_000) -> None:
    """A whole, small PNG whose header announces side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def complaint(place: Path | str, **options: object) -> str:
    """The one line that opening answers with."""
    with pytest.raises(ValueError) as info:
        data.open_source(str(place), **options)
    text = str(info.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("side", [40_000, 15_000, 11_000])
def test_an_image_beyond_the_limit_is_refused_by_its_header(side: int, tmp_path: Path) -> None:
    huge_png(fill(tmp_path / "d") / "huge.png", side)
    text = complaint(tmp_path / "d")
    assert "huge.png" in text
    assert "100 megapixels" in text
    assert data.check(str(tmp_path / "d")).stops
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 100)
    assert "take it out" in complaint(fill(tmp_path / "d"))


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_FILES", 3)
    assert "more than 3 images" in complaint(fill(tmp_path / "d"))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp"])
def test_a_truncated_file_is_named_skipped_and_counted(suffix: str, tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    noise(64, 64).save(place / f"cut.{suffix}")
    whole = (place / f"cut.{suffix}").read_bytes()
    (place / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    source = data.open_source(str(place))
    assert sum(len(s) for s in source.splits.values()) == 5
    note = next(n for n in source.notes if "skipped" in n)
    assert note.startswith("1 of 6 files")
    assert f"cut.{suffix}" in note
    report = data.check(str(place))
    assert list(report.unreadable) == [f"cut.{suffix}"]
    assert not report.stops


def test_files_that_only_pretend(tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    (place / "empty.png").write_bytes(b"")
    (place / "text.jpg").write_text("no image")
    noise().save(place / "tiff.png", format="TIFF")  # a format that is not decoded, whatever its name
    source = data.open_source(str(place))
    assert list(source.facts["unreadable"]) == ["empty.png", "text.jpg", "tiff.png"]
    assert "text.jpg (not a PNG, JPEG, WebP, GIF or BMP)" in " ".join(source.notes)


def test_missing_and_unfit_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "photos")
    assert "did you mean photos?" in complaint(tmp_path / "photo")
    assert "'nowhere'" in complaint(tmp_path / "nowhere" / "deep" / "er")
    monkeypatch.chdir(tmp_path)
    assert "did you mean photos?" in complaint("photoes")
    assert "does not exist" in complaint("./qqq")
    noise().save("single.png")
    assert "no known kind" in complaint("single.png")
    with pytest.raises(ValueError, match="did you mean"):
        data.check("photoes")


def test_empty_and_text_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is empty" in complaint(tmp_path / "empty")
    (tmp_path / "text").mkdir()
    for i in range(3):
        (tmp_path / "text" / f"{i}.txt").write_text("words")
    assert "no images, only 3 .txt" in complaint(tmp_path / "text")
    assert data.check(str(tmp_path / "text")).stops
    assert "holds one image" in complaint(fill(tmp_path / "one", 1))
    (tmp_path / "one" / "bad.png").write_bytes(b"")
    assert "1 of 2 images can be read" in complaint(tmp_path / "one")


def test_hidden_and_foreign_files_are_left_aside(tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    for name in (".hidden.png", "__MACOSX/x.png", ".git/x.png"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"")
    (place / "notes.txt").write_text("x")
    source = data.open_source(str(place))
    assert source.facts["unreadable"] == {}
    assert "1 .txt" in " ".join(source.notes)


@pytest.mark.skipif(os.name == "nt", reason="names are always text there")
def test_names_that_are_not_text(tmp_path: Path) -> None:
    place = fill(tmp_path / "d")
    try:
        (Path(os.fsdecode(os.fsencode(place) + b"/\xff\xfe\n.png"))).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes no such names")
    text = " ".join(data.open_source(str(place)).notes)
    assert text.isprintable()
    text.encode("utf-8")


@pytest.fixture
def small_files() -> Iterator[None]:
    """The operating system refuses files beyond 20 kB, as a full disk would."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_refuses_in_the_middle(tmp_path: Path) -> None:
    place = fill(tmp_path / "d", 30)
    before = {f: f.read_bytes() for f in place.iterdir()}
    text = complaint(place)
    assert str(tmp_path / "cache") in text
    assert "MULLIGAN_CACHE" in text
    assert list((tmp_path / "cache").iterdir()) == []
    assert {f: f.read_bytes() for f in place.iterdir()} == before


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = fill(tmp_path / "d")

    def full(self: cache.ArrayWriter, row: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.ArrayWriter, "append", full)
    assert "No space left on device" in complaint(place)
    assert data.check(str(place)).stops
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    assert len(data.open_source(str(place)).train)


# --- check --------------------------------------------------------------------------------------------------


def test_a_report_of_a_good_folder(tmp_path: Path) -> None:
    for name in "ab":
        fill(tmp_path / "d" / name, 300, w=8, h=8)
    report = data.check(str(tmp_path / "d"), conditional=True)
    assert not report.stops
    assert report.warnings == []
    assert report.counts["total"] == 600
    assert report.classes == {"a": 300, "b": 300}
    assert report.sizes == {"8 x 8": 600}
    assert report.modes == {"RGB": 600}
    assert (report.exact_duplicates, report.near_duplicates) == (0, 0)
    assert json.loads(json.dumps(report.to_json()))["stops"] is False
    assert report.lines()[-1].endswith("is fine")


def test_one_class_stops_a_conditional_system(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "only")
    assert not data.check(str(tmp_path / "d")).stops
    report = data.check(str(tmp_path / "d"), conditional=True)
    assert "at least two" in report.problems[0]
    (tmp_path / "d" / "other").mkdir()
    for i in range(3):
        (tmp_path / "d" / "other" / f"{i}.png").write_bytes(b"")  # the second class cannot be read
    report = data.check(str(tmp_path / "d"), conditional=True)
    assert report.stops
    assert any("empty: other" in w for w in report.warnings)


def test_everything_that_hurts(tmp_path: Path) -> None:
    place = fill(tmp_path / "d" / "many", 33, w=90, h=20)
    fill(tmp_path / "d" / "few", 2, w=10, h=10)
    noise(channels=1).save(place / "grey.png")
    for i in range(4):
        (place / f"copy{i}.png").write_bytes((place / "good0.png").read_bytes())
    (place / "bad.jpg").write_bytes(b"")
    report = data.check(str(tmp_path / "d"), size=64)
    text = " ".join(report.warnings)
    for part in (
        "are few",
        "largest class",
        "exact duplicates",
        "cannot be read",
        "are grey",
        "blown up",
        "width over height",
    ):
        assert part in text
    assert report.exact_duplicates == 4
    assert report.lines()[-1].endswith("has weak points")


def smooth(seed: int) -> Image.Image:
    """A picture with shapes large enough to survive recompression."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)


def test_near_duplicates_are_found(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for i in range(20):
        smooth(i).save(tmp_path / "d" / f"{i}.png")
    for i in range(5):
        smooth(i).save(tmp_path / "d" / f"{i}-again.jpg", quality=80)
    smooth(7).resize((200, 200), Image.Resampling.BICUBIC).save(tmp_path / "d" / "larger.png")
    report = data.check(str(tmp_path / "d"))
    assert (report.exact_duplicates, report.near_duplicates) == (0, 6)
    assert any("near duplicates" in w for w in report.warnings)


def test_simple_shapes_are_not_near_duplicates_by_chance(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for i in range(50):
        Image.new("RGB", (16, 16), (5 * i, 5 * i, 128)).save(tmp_path / "d" / f"{i}.png")
    assert data.check(str(tmp_path / "d")).near_duplicates == 0


def test_identical_images_stop(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), "red").save(tmp_path / "d" / f"{i}.png")
    report = data.check(str(tmp_path / "d"))
    assert "are the same" in report.problems[0]


def test_check_of_a_built_in_source() -> None:
    report = data.check("grid", conditional=True)
    assert not report.stops
    assert len(report.classes) == 25
    assert report.warnings == []
