"""emoji3: three vendors' packages and the words, joined; with small packages made here, and an npm that lays them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan import data
from mulligan.data import emoji3
from mulligan.data.source import content_keys, split_by_content
from mulligan.data.words import sentence
from test_data_emoji import write

N = 60
LONG = 7  # an emoji with more keywords than there is room for
CODES = [f"{i:04x}" for i in range(N)]
ALIKE = (("google", 3, 21), ("fluent", 21, 40))  # a vendor draws two emoji alike
COLOURS = {"google": (0, 250), "twitter": (100, 250), "fluent": (200, 250)}  # red and green; blue is the emoji's


def picture(vendor: str, i: int) -> bytes:
    """A square of a vendor's and an emoji's colour in the middle of a transparent sprite, larger at Microsoft."""
    same = {(name, later): first for name, first, later in ALIKE}
    side, kind = (256, "WEBP") if vendor == "fluent" else (64, "PNG")
    sprite = Image.new("RGBA", (side, side), (255, 0, 0, 0))
    colour = (*COLOURS[vendor], 4 * same.get((vendor, i), i), 255)
    sprite.paste(colour, (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    file = io.BytesIO()
    sprite.save(file, kind, lossless=True)
    return file.getvalue()


def keywords(i: int) -> list[str]:
    return [f"key{k}" for k in range(40)] if i == LONG else [f"only{i}", "all"]


def packages() -> dict[str, dict[str, bytes]]:
    """By package what is in it: one emoji is written with fe0f by some, and each package has emoji of its own."""
    table = [{"hexcode": code.upper(), "label": f"Name {i}", "tags": keywords(i)} for i, code in enumerate(CODES)]
    table[5]["hexcode"] = "0005-FE0F"
    table[6].pop("tags")
    table.append({"hexcode": "1F3FB", "label": "light skin tone"})
    found = {emoji3.WORDS.name: {"package/en/data.json": json.dumps(table).encode()}}
    for name, vendor in emoji3.VENDORS.items():
        drawn = {f"{vendor.pictures}{code}{vendor.suffix}": picture(name, i) for i, code in enumerate(CODES)}
        drawn[f"{vendor.pictures}{name}{vendor.suffix}"] = b"named by no code"
        drawn[f"{vendor.pictures}../../evil{vendor.suffix}"] = b"evil"
        drawn[f"{vendor.pictures}0001-1f3fb{vendor.suffix}"] = picture(name, 1)  # skin-toned
        found[vendor.package.name] = drawn
    twitter = emoji3.VENDORS["twitter"]
    five = found[twitter.package.name].pop(f"{twitter.pictures}0005.png")
    found[twitter.package.name][f"{twitter.pictures}0005-fe0f.png"] = five
    del found[twitter.package.name][f"{twitter.pictures}0009.png"]
    return found


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program npm, alone on the path, that lays down the package asked for; its file, for a test to change."""
    if sys.platform == "win32":
        pytest.skip("the npm of this test is a shell script")
    (tmp_path / "packs").mkdir()
    lines, sums = [], {}
    for name, content in packages().items():
        pack = write(tmp_path / "packs" / f"{name.replace('/', '-')}.tgz", content)
        sums[name] = base64.b64encode(hashlib.sha512(pack.read_bytes()).digest()).decode()
        lines.append(f"{shlex.quote(name)}) /bin/cp {shlex.quote(str(pack))} . ;;")
    vendors = {
        name: vendor._replace(package=vendor.package._replace(sha512=sums[vendor.package.name]))
        for name, vendor in emoji3.VENDORS.items()
    }
    monkeypatch.setattr(emoji3, "VENDORS", vendors)
    monkeypatch.setattr(emoji3, "WORDS", emoji3.WORDS._replace(sha512=sums[emoji3.WORDS.name]))
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncase "$2" in\n' + "\n".join(lines) + "\nesac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def numbers(split: data.source.Split) -> tuple[np.ndarray, np.ndarray]:
    """Which vendor and which emoji each row of a split shows, read from the colours in its middle."""
    x = split.fetch(np.arange(len(split)))["x"][:, :3, 32, 32]
    red, _, blue = ((x + 1) * 127.5).round().int().numpy().T
    return red // 100, blue // 4


def test_the_pictures_of_an_emoji_stand_together(npm: Path) -> None:
    source = data.open_source("emoji3")
    assert source.signals["x"].shape == (3, 64, 64)
    assert source.signals["y"].names == ("fluent", "google", "twitter")
    assert sum(len(split) for split in source.splits.values()) == 3 * (N - 1), "twitter lacks one"
    places: dict[int, set[str]] = {}
    for name, split in source.splits.items():
        red, emoji = numbers(split)
        rows = split.fetch(np.arange(len(split)))
        assert np.array_equal(red, np.array([2, 0, 1])[rows["y"]]), "the label is the vendor"
        assert (np.bincount(rows["y"]) * 3 == len(split)).all()
        for i in emoji:
            places.setdefault(int(i), set()).add(name)
        assert (rows["x"][:, :, 0, 0] == 1).all()  # transparent parts are laid on white
    assert sorted(places) == [i for i in range(N) if i != 9]
    assert all(len(found) == 1 for found in places.values())


def test_what_a_vendor_draws_alike_is_in_one_split(npm: Path) -> None:
    """Of 3 and 21 one picture is the same, of 21 and 40 another: none of the three may be apart from the others."""
    source = data.open_source("emoji3")
    by_code = dict(zip(CODES, split_by_content(content_keys(np.array(CODES, np.bytes_)))[0], strict=True))
    assert len({by_code[CODES[i]] for i in (3, 21, 40)}) > 1, "their codes alone would part them"
    homes: dict[int, str] = {}
    for name, split in source.splits.items():
        red, emoji = numbers(split)
        homes |= dict.fromkeys(emoji[red == 1].tolist(), name)  # as Twitter draws them, all differ
    assert homes[3] == homes[21] == homes[40]
    keys = [set(content_keys(s.fetch(np.arange(len(s)))["x"].numpy())) for s in source.splits.values()]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_alike_through_others() -> None:
    assert emoji3.alike([[b"a", b"b", b"c", b"c", b"e"], [b"1", b"2", b"3", b"1", b"5"]]) == [0, 1, 0, 0, 4]
    assert emoji3.alike([[b"a", b"b"]]) == [0, 1]


def test_sentences_have_the_words_that_training_has(npm: Path) -> None:
    source = data.open_source("emoji3")
    text = source.signals["text"]
    said: dict[str, dict[int, str]] = {}
    for name, split in source.splits.items():
        rows = split.fetch(np.arange(len(split)))["text"].tolist()
        said[name] = dict(zip(numbers(split)[1], (sentence(row, text) for row in rows), strict=True))
    assert said["train"][LONG] == f"name {LONG} " + " ".join(keywords(LONG)[:14])
    assert text.shape == (emoji3.LONGEST,) == (16,)
    plain = said["train"].keys() - {LONG, 6, 3, 21, 40}
    assert len(plain) > 30 and all(said["train"][i] == f"name {i} only{i} all" for i in plain)
    for name in ("held_out", "test"):
        assert {words for i, words in said[name].items() if i != 6} == {"name all"}, "what is only theirs is left out"
    assert set(text.names) == {word for words in said["train"].values() for word in words.split()}


def test_it_is_fetched_once(npm: Path, mulligan: Command) -> None:
    first = data.open_source("emoji3")
    npm.unlink()
    assert data.open_source("emoji3").fingerprint == first.fingerprint
    transparent = data.open_source("emoji3", size=16, alpha=True).train.fetch(np.arange(2))["x"]
    assert transparent.shape == (2, 4, 16, 16)
    assert torch.equal(transparent[:, 3, 0, 0], torch.tensor([-1.0, -1.0]))
    place = mulligan("data", "get", "emoji3")
    assert place.status == 0
    assert np.load(Path(place.out.strip()) / "train-text.npy").shape == (len(first.train), *first.signals["text"].shape)


def test_what_is_lost_is_fetched_again(npm: Path, tmp_path: Path) -> None:
    first = data.open_source("emoji3").fingerprint
    lost = tmp_path / "cache" / emoji3.ENTRY / "emoji3" / "google" / "0020.png"
    lost.unlink()
    assert data.open_source("emoji3").fingerprint == first
    assert lost.exists()


def test_described_as_it_is(npm: Path) -> None:
    (row,) = [row for row in data.describe() if row["name"] == "emoji3"]
    source = data.open_source("emoji3")
    assert row["kind"].startswith(str(source.signals["x"]))
    assert row["licence"] == source.card.licence
    assert source.card.credit == (
        "Noto Emoji / Twemoji / Fluent Emoji / words by Emojibase, Google / Twitter, Inc and other contributors / "
        "Microsoft Corporation / Miles Johnson; Apache-2.0 / CC BY 4.0 / MIT / MIT; laid on white, resized to 64 px"
    )


def test_nothing_is_written_outside(npm: Path, tmp_path: Path) -> None:
    data.open_source("emoji3")
    entry = tmp_path / "cache" / emoji3.ENTRY
    written = {str(p.relative_to(entry)) for p in entry.rglob("*") if p.is_file()}
    codes = [code for code in CODES if code != "0009"]
    pictures = {f"emoji3/{n}/{code}{v.suffix}" for n, v in emoji3.VENDORS.items() for code in codes}
    assert written == pictures | {"sentences.json", "meta.json"}
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("", "emoji3 is fetched by npm, which is not there: install Node.js"),
        ("case \"$2\" in *twitter*) echo 'npm error code E404' >&2; exit 1 ;; esac", "twitter@16.0.0 (E404)"),
    ],
    ids=["no npm", "a package is gone"],
)
def test_npm_that_fails_leaves_nothing(script: str, says: str, npm: Path, mulligan: Command) -> None:
    if script:
        npm.write_text(npm.read_text().replace("#!/bin/sh", f"#!/bin/sh\n{script}"))
    else:
        npm.unlink()
    assert says in mulligan("data", "get", "emoji3").mistake()
    left = Path(os.environ["MULLIGAN_CACHE"])
    assert not left.exists() or os.listdir(left) == []


def test_a_pillow_that_reads_no_webp_is_named(npm: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.data.images.FORMATS", ("PNG",))
    said = mulligan("data", "get", "emoji3").mistake()
    assert (
        "Pillow cannot read fluent/0000.webp (not a PNG," in said and "install a Pillow that reads PNG and WebP" in said
    )
