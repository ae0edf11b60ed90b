"""wallpapers and painting: Debian's packages, fetched and read within limits, and who is in which split.

With small packages made here, and an apt-get and a dpkg-deb that lay them; the real ones are asked where there are any.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan import data
from mulligan.data import debian, painting, photos, wallpapers
from mulligan.data.source import Source
from mulligan.data.unpaired import Unpaired
from mulligan.signals import Signal

FEW = {"train": 60, "held_out": 20, "test": 20}
PACKAGES = (*wallpapers.PACKAGES, painting.PACKAGE)


@pytest.fixture(autouse=True)
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some crops instead of thousands."""
    monkeypatch.setattr(wallpapers, "COUNTS", FEW)
    monkeypatch.setattr(painting, "COUNTS", {"train": 30, "held_out": 10, "test": 10})
    monkeypatch.setattr(photos, "BATCH", 40)
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


NAMES = [name for names in wallpapers.PHOTOS.values() for name in names]
RED = {name: 40 + 5 * i for i, name in enumerate(NAMES)}  # of the stripes of a photo; their green is 200


def striped(name: str) -> Image.Image:
    """A photo whose crops say whose they are."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[:, np.arange(400) // 20 % 2 == 0] = RED[name], 200, 0
    return Image.fromarray(picture)


def blocked() -> Image.Image:
    """A painting with another grey in each of its blocks."""
    rows, columns = painting.BLOCKS
    greys = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns) * 10
    return Image.fromarray(np.repeat(greys[..., None], 3, 2)).resize(
        (painting.WIDTH, painting.HEIGHT), Image.Resampling.NEAREST
    )


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=100, subsampling=0)
    return file.getvalue()


def packed(place: Path, content: dict[str, bytes]) -> Path:
    """A tar of files as dpkg-deb writes it, with some that no one asked for."""
    with tarfile.open(place, "w") as archive:
        for name, data_ in {"./../evil": b"evil", "./usr/share/doc/copyright": b"GPL", **content}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data_)
            archive.addfile(member, io.BytesIO(data_))
        link = tarfile.TarInfo("./etc/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return place


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that lays down the package asked for and a dpkg-deb that reads it, alone on the path; their folder."""
    if sys.platform == "win32":
        pytest.skip("the apt-get of this test is a shell script")
    folder = tmp_path / "packs"
    folder.mkdir()
    for package in PACKAGES:
        pictures = {path: blocked() if path == painting.FILE else striped(path) for path in package.wanted}
        packed(folder / package.name, {f"./{path}": jpeg(picture) for path, picture in pictures.items()})
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in (("apt-get", f"/bin/cp '{folder}'/$3 ./$3_1_all.deb"), ("dpkg-deb", '/bin/cat "$2"')):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    read = photos.read
    monkeypatch.setattr(photos, "read", lambda name: striped(name) if name in RED else read(name))
    return programs


def levels(split: data.source.Split, key: str = "x") -> np.ndarray:
    """uint8 (N, 3, H, W)"""
    x = split.fetch(np.arange(len(split)))[key]
    return ((x + 1) * 127.5).round().to(torch.uint8).numpy()


def shown(split: data.source.Split, key: str = "x") -> set[str]:
    """The photos whose crops are in a split."""
    red, green, _ = levels(split, key).mean((2, 3)).T
    return {min(RED, key=lambda name: abs(RED[name] - level)) for level in 200 * red / green}


# --- wallpapers ---------------------------------------------------------------------------------------------


def test_whole_photos_are_held_out(apt: Path) -> None:
    source = data.open_source("wallpapers", size=40)
    assert source.signals == {"x": Signal("image", (3, 40, 40))}
    assert {name: len(split) for name, split in source.splits.items()} == FEW
    for name, split in source.splits.items():
        found = shown(split)
        assert found <= set(wallpapers.PHOTOS[name]), name
        assert len(found) >= 4
    assert "GPL-2+" in source.card.credit and "Aitzol Berasategi" in source.card.credit


def test_every_photo_is_in_one_split() -> None:
    assert len(NAMES) == len(set(NAMES)) == 32
    assert {path for package in wallpapers.PACKAGES for path in package.wanted} < set(NAMES)
    assert not set(wallpapers.TRAIN) & {*photos.PHOTOS["held_out"], *photos.PHOTOS["test"]}


def test_fetched_once_and_cut_once_for_each_size(apt: Path, tmp_path: Path) -> None:
    first = data.open_source("wallpapers")
    for program in apt.iterdir():
        program.unlink()
    assert data.open_source("wallpapers").fingerprint == first.fingerprint
    assert data.open_source("wallpapers", size=24).train.fetch(np.arange(2))["x"].shape == (2, 3, 24, 24)
    kept = {place.name.rsplit("-", 1)[0] for place in (tmp_path / "cache").iterdir()}
    assert kept == {f"debian-{package.name}" for package in wallpapers.PACKAGES} | {"wallpapers-64", "wallpapers-24"}


def test_nothing_is_laid_but_what_was_asked_for(apt: Path, tmp_path: Path) -> None:
    laid = debian.files(wallpapers.PACKAGES[2], "wallpapers")
    place = tmp_path / "cache" / "debian-lomiri-wallpapers-20.04-1"
    assert sorted(os.listdir(place)) == ["Kleiber_by_Lukas_Baubkus.jpg", "meta.json"]
    assert list(laid.values()) == [place / "Kleiber_by_Lukas_Baubkus.jpg"]
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_lost_is_fetched_again(apt: Path) -> None:
    package = wallpapers.PACKAGES[2]
    (laid,) = debian.files(package, "wallpapers").values()
    whole = laid.read_bytes()
    laid.unlink()
    assert next(iter(debian.files(package, "wallpapers").values())).read_bytes() == whole


@pytest.mark.parametrize(
    ("program", "script", "says"),
    [
        ("apt-get", "", "wallpapers is fetched from Debian by apt-get, which is not there"),
        ("dpkg-deb", "", "wallpapers is fetched from Debian by dpkg-deb, which is not there"),
        ("apt-get", "echo 'W: slow' >&2; echo 'E: Unable to locate package x' >&2; exit 100", "cannot fetch mate-"),
        ("apt-get", "echo 'E: Unable to locate package x' >&2; exit 100", "(Unable to locate package x): try again"),
        ("apt-get", "exit 3", "(status 3): try again with a network that reaches Debian"),
        ("dpkg-deb", "echo 'dpkg-deb: error: no archive' >&2; exit 2", "dpkg-deb cannot read mate-backgrounds_1_"),
        ("dpkg-deb", "/bin/cat \"${2%mate*}\"../../packs/lomiri-wallpapers-20.04", "has no usr/share/backgrounds/mate"),
        ("dpkg-deb", "echo nonsense", "mate-backgrounds_1_all.deb is no archive of files"),
    ],
)  # fmt: skip
def test_what_fails_leaves_nothing(
    program: str, script: str, says: str, apt: Path, tmp_path: Path, mulligan: Command
) -> None:
    (apt / program).unlink() if not script else (apt / program).write_text(f"#!/bin/sh\n{script}\n")
    assert says in mulligan("data", "get", "wallpapers").mistake()
    left = tmp_path / "cache"
    assert not left.exists() or os.listdir(left) == []


def test_a_package_beyond_the_limits(apt: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command) -> None:
    monkeypatch.setattr(debian, "MAX_FILES", 2)
    assert "unpacks to more than 2 files" in mulligan("data", "get", "wallpapers").mistake()


def test_apt_that_hangs(apt: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command) -> None:
    (apt / "apt-get").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(debian, "SECONDS", 1)
    assert "(no answer in 1 s)" in mulligan("data", "get", "wallpapers").mistake()


def test_on_the_command_line(apt: Path, mulligan: Command) -> None:
    said = mulligan("data", "check", "wallpapers", "--size", "32")
    assert said.status == 0 and "train 60, held_out 20, test 20" in said.out


# --- painting -----------------------------------------------------------------------------------------------


def test_two_domains(apt: Path) -> None:
    source = data.open_source("painting", size=40)
    image = Signal("image", (3, 40, 40))
    assert source.signals == {"x": image, "x2": image}
    assert {name: len(split) for name, split in source.splits.items()} == FEW, "as long as the larger domain"
    for name, split in source.splits.items():
        assert isinstance(split, Unpaired)
        assert shown(split, "x2") <= set(wallpapers.PHOTOS[name])
    assert "test only, not for pictures that are published" in source.card.credit
    assert "30 of the painting and 60 of photos" in source.notes[0]


def test_no_two_splits_share_a_block(apt: Path) -> None:
    source = data.open_source("painting", size=16)
    blocks = {"held_out": painting.HELD_OUT, "test": painting.TEST}
    held_back = {5 * row + column for places in blocks.values() for row, column in places}
    mine = {name: {5 * row + column for row, column in places} for name, places in blocks.items()}
    mine["train"] = set(range(20)) - held_back
    for name, split in source.splits.items():
        x = levels(split)
        grey = (x.mean((1, 2, 3)) / 10).round().astype(int)
        assert set(grey) <= mine[name], name
        assert np.abs(x - 10.0 * grey[:, None, None, None]).max() < 4, "no square lies in two blocks"


def test_rows_of_both(apt: Path) -> None:
    source = data.open_source("painting", size=16)
    assert isinstance(source.train, Unpaired)
    both = source.train.split
    assert isinstance(both, painting.Chained) and len(both) == 90
    index = np.array([70, 3, 89, 0, 29, 30])
    mixed = both.fetch(index)["x"]
    for i, row in enumerate(index):
        assert torch.equal(mixed[i], both.fetch(np.array([row]))["x"][0])


def test_the_same_every_time(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.open_source("painting", size=16).fingerprint
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "other"))
    assert data.open_source("painting", size=16).fingerprint == first


def test_described_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows = {row["name"]: row for row in data.describe()}
    assert rows["wallpapers"]["counts"] == rows["painting"]["counts"] == wallpapers.COUNTS
    assert rows["wallpapers"]["licence"] == wallpapers.CARD.licence
    assert rows["painting"]["licence"] == painting.CARD.licence


# --- Debian itself ------------------------------------------------------------------------------------------


def debian_or_skip(name: str) -> Source:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("no Debian: apt-get or dpkg-deb is not there")
    try:
        return data.open_source(name)
    except ValueError as error:
        if "cannot fetch" not in str(error):
            raise
        pytest.skip(f"Debian cannot be reached: {error}")


def test_a_package_of_debian() -> None:
    """The smallest of them, 11 MB."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("no Debian: apt-get or dpkg-deb is not there")
    try:
        (laid,) = debian.files(wallpapers.PACKAGES[2], "wallpapers").values()
    except ValueError as error:
        pytest.skip(f"Debian cannot be reached: {error}")
    with Image.open(laid) as photo:
        assert photo.size == (6028, 3391)


@pytest.mark.slow
def test_all_packages_of_debian() -> None:
    source = debian_or_skip("painting")
    for split in source.splits.values():
        for key in ("x", "x2"):
            x = levels(split, key)
            assert x.shape[1:] == (3, 64, 64) and x.std() > 30
        assert min(map(photos.texture, levels(split, "x2"))) >= photos.LEAST
