"""Emoji: the reader of the package, and npm in every mood, with a small package made here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan import data
from mulligan.data import emoji
from mulligan.data import npm as npm_module

CATEGORIES = ("Flags", "Food & Drink", "Component")


def png(colour: tuple[int, int, int]) -> bytes:
    """A square of a colour in the middle of a transparent sprite."""
    sprite = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    sprite.paste((*colour, 255), (16, 16, 48, 48))
    file = io.BytesIO()
    sprite.save(file, "PNG")
    return file.getvalue()


def table(n: int = 30) -> list[dict[str, str]]:
    return [{"category": CATEGORIES[i % 3], "short_name": f"name-{i}", "image": f"{i:04x}.png"} for i in range(n)]


def files(n: int = 30) -> dict[str, bytes]:
    """A package as npm packs it: also skin-toned copies, which the table does not list by themselves."""
    pictures = {f"package/img/google/64/{i:04x}.png": png((8 * i, 100, 200)) for i in range(n)}
    return {
        "package/package.json": b"{}",
        "package/img/google/sheets/64.png": png((0, 0, 0)),
        **pictures,
        "package/img/google/64/0001-1f3fb.png": png((1, 2, 3)),
        "package/emoji.json": json.dumps(table(n)).encode(),
    }


def write(pack: Path, content: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(pack, "w:gz") as archive:
        for name, body in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        for member in more:
            archive.addfile(member)
    return pack


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program npm, alone on the path, that lays the small package down; its file, for a test to change."""
    if sys.platform == "win32":
        pytest.skip("the npm of this test is a shell script")
    pack = write(tmp_path / "small.tgz", files())
    sha512 = base64.b64encode(hashlib.sha512(pack.read_bytes()).digest()).decode()
    monkeypatch.setattr(emoji, "PACKAGE", emoji.PACKAGE._replace(sha512=sha512))
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n/bin/cp {pack} emoji.tgz\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def test_a_package_becomes_a_folder_of_categories(tmp_path: Path) -> None:
    emoji.unpack(write(tmp_path / "a.tgz", files()), tmp_path / "emoji")
    found = sorted(str(p.relative_to(tmp_path / "emoji")) for p in (tmp_path / "emoji").rglob("*.png"))
    assert found == sorted(f"{e['category']}/{e['short_name']}.png" for e in table() if e["category"] != "Component")
    assert (tmp_path / "emoji" / "Flags" / "name-3.png").read_bytes() == png((24, 100, 200))


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    evil = {**files(), "../evil.png": b"evil", "/tmp/evil.png": b"evil", "package/img/google/64/../../x.png": b"evil"}
    link = tarfile.TarInfo("package/img/google/64/link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (tmp_path / "in").mkdir()
    emoji.unpack(write(tmp_path / "in" / "a.tgz", evil, link), tmp_path / "in" / "emoji")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(
        ["a.tgz", *(f"{e['short_name']}.png" for e in table() if e["category"] != "Component")]
    )


@pytest.mark.parametrize(("key", "word"), [("category", "../up"), ("short_name", "a/b"), ("short_name", "C:x")])
def test_words_that_are_paths_are_refused(key: str, word: str, tmp_path: Path) -> None:
    rows = table()
    rows[4][key] = word
    pack = write(tmp_path / "a.tgz", {**files(), "package/emoji.json": json.dumps(rows).encode()})
    with pytest.raises(ValueError, match="cannot name a file"):
        emoji.unpack(pack, tmp_path / "emoji")


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 20), ("MAX_BYTES", 1000)])
def test_limits(limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm_module, limit, value)
    with pytest.raises(ValueError, match="unpacks to more than"):
        emoji.unpack(write(tmp_path / "a.tgz", files()), tmp_path / "emoji")
    assert not (tmp_path / "emoji").exists()


def test_emoji_from_npm(npm: Path) -> None:
    source = data.open_source("emoji")
    assert source.signals["x"].shape == (3, 64, 64)
    assert source.signals["y"].names == ("Flags", "Food & Drink")
    assert sum(len(split) for split in source.splits.values()) == 20
    sprite = source.train.fetch(np.array([0]))["x"][0]
    assert (sprite[:, 0, 0] == 1).all()  # transparent parts are laid on white
    assert source.card.licence == "Apache-2.0"
    assert source.card.credit.startswith(
        "Noto Emoji (emoji-datasource-google@16.0.0), Google; Apache-2.0; laid on white"
    )
    npm.unlink()  # the next time nothing is fetched
    transparent = data.open_source("emoji", size=16, alpha=True).train.fetch(np.arange(2))["x"]
    assert transparent.shape == (2, 4, 16, 16)
    assert torch.equal(transparent[:, 3, 0, 0], torch.tensor([-1.0, -1.0]))


def test_described_as_it_is(npm: Path) -> None:
    (row,) = [row for row in data.describe() if row["name"] == "emoji"]
    source = data.open_source("emoji")
    assert row["kind"].startswith(str(source.signals["x"]))
    assert row["licence"] == source.card.licence


def test_npm_that_is_not_there(npm: Path, mulligan: Command) -> None:
    npm.unlink()
    assert "install Node.js" in mulligan("data", "get", "emoji").mistake()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo 'npm warn old' >&2; echo 'npm error code ENOTFOUND' >&2; exit 1",
            "(ENOTFOUND): try again with a network",
        ),
        ("echo 'npm ERR! code E404' >&2; exit 1", "(E404)"),
        ("exit 3", "(status 3)"),
    ],
)
def test_npm_that_fails(script: str, says: str, npm: Path, mulligan: Command) -> None:
    npm.write_text(f"#!/bin/sh\n{script}\n")
    assert says in mulligan("data", "get", "emoji").mistake()
    assert os.listdir(os.environ["MULLIGAN_CACHE"]) == []


def test_npm_that_takes_too_long(npm: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    npm.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    monkeypatch.setattr(npm_module, "SECONDS", 0.2)
    assert "(no answer in 0.2 s)" in mulligan("data", "get", "emoji").mistake()


def test_another_package_is_refused(npm: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "PACKAGE", emoji.PACKAGE._replace(sha512="another"))
    assert "another emoji-datasource-google@16.0.0" in mulligan("data", "get", "emoji").mistake()
    assert os.listdir(os.environ["MULLIGAN_CACHE"]) == []
