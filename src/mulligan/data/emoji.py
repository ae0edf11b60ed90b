"""Noto emoji as sprites of 64 px: an npm package, fetched once into the cache and read from there as a folder.

Pictures come without their skin-toned copies, which would put near copies of training pictures into the other splits.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mulligan.data import Fit, Progress, cache, npm
from mulligan.data.folder import open_folder
from mulligan.data.source import DataCard, Source
from mulligan.errors import Mistake

PACKAGE = npm.Package(
    "emoji-datasource-google@16.0.0",
    "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
    74,
)
ENTRY = "noto-emoji-16.0.0-1"  # in the cache; the last number is of the form that `unpack` gives it
TABLE = "package/emoji.json"
PICTURES = "package/img/google/64/"
NO_PICTURES = ("Component",)  # plain swatches of skin colour
NAME = re.compile(r"[\w&+ -]+")  # of a category or an emoji: no path, no drive
CARD = DataCard(origin=f"Noto Emoji ({PACKAGE.name})", licence="Apache-2.0", authors="Google", changes="none")


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
    pack = npm.fetch(PACKAGE, place, "emoji", progress)
    unpack(pack, place / "emoji")
    pack.unlink()
    return {"source": "emoji", "package": PACKAGE.name, "credit": CARD.credit}


def unpack(pack: Path, folder: Path) -> None:
    """Lay a package's pictures into `folder`/CATEGORY/NAME.png.

    Of the archive only regular files in their known places are read; where they are written follows from two words
    of its table, which hold no path.

    Raises:
        ValueError: it is larger than the limits, or a word is odd.
    """
    found = npm.read(pack, lambda name: name == TABLE or _is_picture(name), "emoji")
    for entry in json.loads(found[TABLE]):
        category, name = str(entry["category"]), str(entry["short_name"])
        if category in NO_PICTURES:
            continue
        for word in (category, name):
            if not NAME.fullmatch(word):
                raise Mistake(
                    f"emoji: {word[:40]!r} in {PACKAGE.name} cannot name a file: see `npm config get registry`"
                )
        file = folder / category / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(found[PICTURES + entry["image"]])


def _is_picture(name: str) -> bool:
    return name.startswith(PICTURES) and name.endswith(".png")
