"""Noto emoji as sprites of 64 px: an npm package, fetched once into the cache and read from there as a folder.

Pictures come without their skin-toned copies, which would put near copies of training pictures into the other splits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mulligan.data import Fit, Progress, cache
from mulligan.data.folder import open_folder
from mulligan.data.source import DataCard, Source
from mulligan.errors import Mistake

PACKAGE = "emoji-datasource-google@16.0.0"
SHA512 = "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="  # as npm has it
ENTRY = "noto-emoji-16.0.0-1"  # in the cache; the last number is of the form that `unpack` gives it
TABLE = "package/emoji.json"
PICTURES = "package/img/google/64/"
NO_PICTURES = ("Component",)  # plain swatches of skin colour
NAME = re.compile(r"[\w&+ -]+")  # of a category or an emoji: no path, no drive
MAX_FILES, MAX_BYTES = 10_000, 256 * 2**20  # of the package, unpacked: three times what it holds
FETCHING = "fetching emoji, 74 MB"
SECONDS = 900  # for npm
CARD = DataCard(origin=f"Noto Emoji ({PACKAGE})", licence="Apache-2.0", authors="Google", changes="none")


def open_emoji(*, size: int | None, fit: Fit, alpha: bool, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1] laid on white, (N, 4, 64, 64) with alpha, or of side `size`; y: the category.

    Raises:
        ValueError: the package is not there yet and npm is missing or has no network.
    """
    place = cache.stored(ENTRY, partial(_make, progress=progress), family="noto-emoji-")
    source = open_folder(place / "emoji", name="emoji", size=size, fit=fit, alpha=alpha, progress=progress)
    resized = source.card.changes
    return replace(source, card=replace(CARD, changes=resized if alpha else f"laid on white, {resized}"))


def _make(place: Path, *, progress: Progress | None) -> dict[str, Any]:
    pack = _fetch(place, progress)
    unpack(pack, place / "emoji")
    pack.unlink()
    return {"source": "emoji", "package": PACKAGE, "credit": CARD.credit}


def _fetch(place: Path, progress: Progress | None) -> Path:
    """The package's .tgz, fetched into `place` by npm and checked."""
    npm = shutil.which("npm")
    if npm is None:
        raise Mistake("emoji is fetched by npm, which is not there: install Node.js, or give a folder of images")
    if progress is not None:
        progress(FETCHING, 0, 1)
    words = [npm, "pack", PACKAGE, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
    try:
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
        why = _error(done.stderr) if done.returncode else ""
    except subprocess.TimeoutExpired:
        why = f"no answer in {SECONDS} s"
    except OSError as error:
        why = str(error)
    if progress is not None:
        progress(FETCHING, 1, 1)
    if why:
        raise Mistake(
            f"emoji: npm cannot fetch {PACKAGE} ({why}): try again with a network that reaches npm's registry"
        )
    (pack,) = place.glob("*.tgz")
    if base64.b64encode(hashlib.sha512(pack.read_bytes()).digest()).decode() != SHA512:
        raise Mistake(f"emoji: npm fetched another {PACKAGE} than was published: see `npm config get registry`")
    return pack


def _error(said: str) -> str:
    """npm's error in a few words: `ENOTFOUND`, or its first line."""
    lines = re.findall(r"^npm (?:error|ERR!) (.+)", said, re.MULTILINE)
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    return (code or next(iter(lines), "no reason given"))[:100]


def unpack(pack: Path, folder: Path) -> None:
    """Lay a package's pictures into `folder`/CATEGORY/NAME.png.

    Of the archive only regular files in their known places are read; where they are written follows from two words
    of its table, which hold no path.

    Raises:
        ValueError: it is larger than the limits, or a word is odd.
    """
    found = _read(pack)
    for entry in json.loads(found[TABLE]):
        category, name = str(entry["category"]), str(entry["short_name"])
        if category in NO_PICTURES:
            continue
        for word in (category, name):
            if not NAME.fullmatch(word):
                raise Mistake(f"emoji: {word[:40]!r} in {PACKAGE} cannot name a file: see `npm config get registry`")
        file = folder / category / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(found[PICTURES + entry["image"]])


def _read(pack: Path) -> dict[str, bytes]:
    """The table and the pictures of a package, by their names in it."""
    found: dict[str, bytes] = {}
    n_bytes = 0
    with tarfile.open(pack, "r|gz") as archive:
        for n_files, member in enumerate(archive, 1):
            n_bytes += member.size
            if n_files > MAX_FILES or n_bytes > MAX_BYTES:
                raise Mistake(f"emoji: {pack.name} unpacks to more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes")
            wanted = member.name == TABLE or (member.name.startswith(PICTURES) and member.name.endswith(".png"))
            content = archive.extractfile(member) if wanted and member.isreg() else None
            if content is not None:
                found[member.name] = content.read()
    return found
