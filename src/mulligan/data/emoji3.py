"""Emoji as three vendors draw them, each with its name and keywords: pictures of a thousand things, and words for them.

Noto Emoji of Google, Twemoji of Twitter and Fluent Emoji of Microsoft (as 3D renders) come as npm packages, the words
as another, by Emojibase. Emoji that all of them have are taken, without skin-toned copies. The three pictures of an
emoji are in one split, and so are emoji that a vendor draws alike, such as its families.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mulligan.data import Fit, Progress, cache, emoji, npm
from mulligan.data.folder import open_folder
from mulligan.data.source import ArraySplit, DataCard, Source, array_splits, content_keys, fingerprint, split_by_content
from mulligan.data.words import numbered, text_signal
from mulligan.errors import Mistake


class Vendor(NamedTuple):
    """A package and where its pictures lie in it, named by their code points."""

    package: npm.Package
    pictures: str
    suffix: str


VENDORS = {
    "fluent": Vendor(
        npm.Package(
            "@lobehub/fluent-emoji-3d@1.1.0",
            "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
            16,
        ),
        "package/assets/",
        ".webp",
    ),
    "google": Vendor(emoji.PACKAGE, emoji.PICTURES, ".png"),
    "twitter": Vendor(
        npm.Package(
            "emoji-datasource-twitter@16.0.0",
            "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
            62,
        ),
        "package/img/twitter/64/",
        ".png",
    ),
}
WORDS = npm.Package(
    "emojibase-data@17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    7,
)
TABLE = "package/en/data.json"
ENTRY = "vendors-emoji-16.0.0-1"  # in the cache; the last number is of the form that `_make` gives it
SENTENCES = "sentences.json"
CODE = re.compile(r"[0-9a-f]+(-[0-9a-f]+)*")  # names a file: no path
PLAIN = "fe0f"  # says that an emoji is to be in colour; some write it, some do not
LONGEST = 16  # words of a sentence: of 1,852 this shortens 61, whose keywords are many
CARD = DataCard(
    origin="Noto Emoji / Twemoji / Fluent Emoji / words by Emojibase",
    licence="Apache-2.0 / CC BY 4.0 / MIT / MIT",
    authors="Google / Twitter, Inc and other contributors / Microsoft Corporation / Miles Johnson",
    changes="none",
)


def open_emoji3(*, size: int | None, fit: Fit, alpha: bool, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1] laid on white, (N, 4, 64, 64) with alpha, or of side `size`; y: the vendor; text:
    word numbers (N, 16) of "name, keyword, keyword", of the words that training has.

    Raises:
        ValueError: a package is not there yet and npm is missing or has no network.
    """
    place, sentences = cache.opened(ENTRY, partial(_make, progress=progress), _load, family="vendors-emoji-")
    folder = open_folder(place, name="emoji3", size=size, fit=fit, alpha=alpha, progress=progress)
    for file, why in folder.facts["unreadable"].items():
        raise Mistake(f"emoji3: Pillow cannot read {file} ({why}): install a Pillow that reads PNG and WebP")
    assert isinstance(folder.train, ArraySplit)
    looks = content_keys(folder.train.arrays["x"])
    n = len(sentences)
    assert len(looks) == n * len(VENDORS), "the emoji of one vendor after those of another"
    group = alike([looks[start : start + n] for start in range(0, len(looks), n)])
    keys = content_keys(np.array(list(sentences), np.bytes_))
    split, _ = split_by_content([keys[first] for first in group])
    said = list(sentences.values())
    signal = text_signal((said[i] for i in np.flatnonzero(split == 0)), longest=LONGEST)
    text = np.tile(numbered(said, signal), (len(VENDORS), 1))
    resized = folder.card.changes
    return replace(
        folder,
        signals={**folder.signals, "text": signal},
        **array_splits({**folder.train.arrays, "text": text}, np.tile(split, len(VENDORS))),
        fingerprint=fingerprint([folder.fingerprint.encode(), text.tobytes(), split.tobytes()]),
        card=replace(CARD, changes=resized if alpha else f"laid on white, {resized}"),
    )


def alike(looks: Sequence[Sequence[bytes]]) -> list[int]:
    """For each emoji the number of the first that it cannot be kept apart from: some vendor draws both, or others
    between them, alike.

    Args:
        looks: of each vendor the content key of each emoji.
    """
    earlier = list(range(len(looks[0])))

    def first(i: int) -> int:
        while earlier[i] != i:
            i = earlier[i]
        return i

    for keys in looks:
        seen: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            a, b = sorted((first(i), first(seen.setdefault(key, i))))
            earlier[b] = a
    return [first(i) for i in range(len(earlier))]


# --- the cache ----------------------------------------------------------------------------------------------


def _make(place: Path, *, progress: Progress | None) -> dict[str, Any]:
    """VENDOR/CODE.png or .webp, and the sentences by code."""
    sentences = _described(_taken(WORDS, place, lambda name: name == TABLE, progress)[TABLE])
    drawn = {name: _drawn(vendor, place, progress) for name, vendor in VENDORS.items()}
    codes = sorted(sentences.keys() & set.intersection(*(set(pictures) for pictures in drawn.values())))
    for name, pictures in drawn.items():
        folder = place / "emoji3" / name
        folder.mkdir(parents=True)
        for code in codes:
            (folder / f"{code}{VENDORS[name].suffix}").write_bytes(pictures[code])
    (place / SENTENCES).write_text(json.dumps({code: sentences[code] for code in codes}), encoding="utf-8")
    packages = [WORDS.name, *(vendor.package.name for vendor in VENDORS.values())]
    return {"source": "emoji3", "packages": packages, "credit": CARD.credit}


def _taken(
    package: npm.Package, place: Path, wanted: Callable[[str], bool], progress: Progress | None
) -> dict[str, bytes]:
    """Files of a package that is fetched for them alone."""
    pack = npm.fetch(package, place, "emoji3", progress)
    found = npm.read(pack, wanted, "emoji3")
    pack.unlink()
    return found


def _drawn(vendor: Vendor, place: Path, progress: Progress | None) -> dict[str, bytes]:
    """A vendor's pictures by code; files that are named otherwise are left aside."""
    begin, end = vendor.pictures, vendor.suffix
    found = _taken(vendor.package, place, lambda name: name.startswith(begin) and name.endswith(end), progress)
    coded = {plain(name.removeprefix(begin).removesuffix(end)): content for name, content in found.items()}
    return {code: content for code, content in coded.items() if CODE.fullmatch(code)}


def plain(code: str) -> str:
    """Code points as all packages come to write them: 0023-fe0f-20e3 -> 0023-20e3."""
    return "-".join(point for point in code.lower().split("-") if point != PLAIN)


def _described(table: bytes) -> dict[str, str]:
    """Emojibase's emoji by code: "name, keyword, keyword"."""
    return {plain(e["hexcode"]): ", ".join([e["label"], *e.get("tags", [])]) for e in json.loads(table)}


def _load(place: Path) -> tuple[Path, dict[str, str]]:
    """The folder of the vendors' folders, and the sentences by code, in the order of the files of each."""
    found: dict[str, str] = json.loads((place / SENTENCES).read_text(encoding="utf-8"))
    codes = sorted(found, key=lambda code: f"{code}.")
    for name, vendor in VENDORS.items():
        if sorted(os.listdir(place / "emoji3" / name)) != [f"{code}{vendor.suffix}" for code in codes]:
            raise Mistake(f"the pictures of {name} are not those that were laid down")
    return place / "emoji3", {code: found[code] for code in codes}
