"""A folder of images as a source: decoded once into the cache, memory-mapped from there.

What the user wrote about the images (annotations.py) is read at each opening, before any is decoded.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mulligan.data import Fit, Progress, cache
from mulligan.data.annotations import COLUMNS, Annotations, read_annotations
from mulligan.data.decoding import FORM, HALVES, Form, decoded
from mulligan.data.images import SUFFIXES, shown
from mulligan.data.source import DataCard, Files, Source, array_splits, fingerprint
from mulligan.errors import Mistake
from mulligan.signals import Signal

MAX_FILES = 1_000_000
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "held_out"}
SPLIT_OF = rf"((?i:{'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))}))(?:([ _-])|(?=[A-Z]))(.+)"  # trainA, val_b
BESIDE_FOLDERS = "beside folders"  # among the facts of a source: an image that lies there
SKIPPED = ("__MACOSX",)
Array = npt.NDArray[Any]


def open_folder(
    root: Path,
    *,
    name: str,
    size: int | None,
    fit: Fit,
    alpha: bool,
    maps: str | None = None,
    beside: str | None = None,
    progress: Progress | None = None,
) -> Source:
    """x: (N, C, size, size) in [-1, 1]; C is 1 if no image has colour, 4 with alpha, else 3; y: the class, which is
    its folder or what labels.csv says; tags and text where tags.csv and captions.csv say them.

    `maps`: the class, by its name or number, or with `beside` the half, whose images are maps of labels and keep their
    colours. `beside`: each file holds two images, and of its halves, "left:right" or "right:left", the first is `input`
    and the second x.

    Raises:
        ValueError: no two readable images, an image beyond the limits, annotations that do not match the images, or a
            cache that cannot be written.
    """
    listing = find(root, name)
    if beside and listing.classes:
        beside = None  # folders of those names
    said = read_annotations(root, [file.relative for file in listing.files])
    known = HALVES if beside else listing.classes
    form = Form(size, fit, alpha, None if maps is None else _number(maps, known), beside is not None)
    make = partial(decoded, listing, form=form, pair=beside, progress=progress)
    family = f"folder-{fingerprint([_bytes(root.absolute()), repr((FORM, form)).encode()])}-"
    load = partial(_load, root=root, listing=listing, said=said, beside=beside)
    return cache.opened(family + listing.key(), make, load, family=family)


def _number(word: str, known: Sequence[str]) -> int | None:
    """Of a name, or of a number as text; one that is not there is for whoever looks for its images to refuse."""
    titles = list(map(shown, known))
    if word in titles:
        return titles.index(word)
    numbers = list(map(str, range(len(titles))))
    return numbers.index(word) if word in numbers else None


# --- finding ------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A file that may be an image; `label` is -1 where the folder has no classes."""

    path: Path
    relative: str
    label: int
    n_bytes: int
    changed: int


@dataclass
class Listing:
    """What a folder holds, before any file is opened."""

    name: str
    files: list[Found] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    depth: int | None = None  # of the part of a path that names the class
    beside: str = ""  # an image that lies beside folders
    notes: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Of each file, apart from its class and suffix."""
        found = []
        for file in self.files:
            parts = file.relative.rpartition(".")[0].split("/")
            if self.depth is not None:  # of trainA and trainB what is the same stays
                parts[self.depth] = parts[self.depth].removesuffix(self.classes[file.label])
            found.append("/".join(filter(None, parts)))
        return found

    def key(self) -> str:
        """Changes when a file comes, goes or changes."""
        return fingerprint(_bytes(f.relative) + f"|{f.label}|{f.n_bytes}|{f.changed}\n".encode() for f in self.files)


def find(root: Path, name: str) -> Listing:
    """All images under `root`, sorted, with their classes.

    A class is a folder beside at least one other; what lies deeper belongs to it. A folder that is alone is
    entered. Folders named train, test and the like are pooled, for the splits are made by content.

    Raises:
        ValueError: fewer than two files that could be images, or too many.
    """
    listing = Listing(name)
    paths, others = _walk(root, name, listing.notes)
    if len(paths) < 2:
        raise Mistake(f"{name} {_too_few(len(paths), others)}")
    parts = [path.relative_to(root).parts for path in paths]
    depth = listing.depth = _class_depth(parts, listing)
    named = _classes({p[depth] for p in parts}, listing.notes) if depth is not None else {}
    listing.classes = tuple(sorted(set(named.values())))
    numbers = {c: i for i, c in enumerate(listing.classes)}
    for path, part in zip(paths, parts, strict=True):
        label = numbers[named[part[depth]]] if depth is not None else -1
        stat = path.stat()
        listing.files.append(Found(path, "/".join(part), label, stat.st_size, stat.st_mtime_ns))
    if others:
        listing.notes.append(f"Not images by their names, left aside: {_kinds(others)}.")
    return listing


def _walk(root: Path, name: str, notes: list[str]) -> tuple[list[Path], Counter[str]]:
    paths: list[Path] = []
    others: Counter[str] = Counter()
    for place, folders, files in os.walk(root):
        links = [f for f in folders if (Path(place) / f).is_symlink()]
        if links:
            notes.append(f"Links to folders are not followed: {', '.join(map(shown, sorted(links)[:5]))}.")
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED)
        for file in sorted(files):
            path = Path(place) / file
            if file.startswith(".") or not path.is_file() or (path.parent == root and file in COLUMNS):
                continue
            if path.suffix.lower() in SUFFIXES:
                paths.append(path)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
        if len(paths) > MAX_FILES:
            raise Mistake(f"{name} holds more than {MAX_FILES:,} images: give a part of it")
    return paths, others


def _too_few(n: int, others: Counter[str]) -> str:
    what = ", ".join(SUFFIXES)
    if n == 1:
        return "holds one image: at least two are needed, and hundreds to train on"
    if not others:
        return f"is empty: put images there ({what})"
    return f"holds no images, only {_kinds(others)}: put images there ({what})"


def _kinds(others: Counter[str]) -> str:
    return ", ".join(f"{n:,} {shown(kind)}" for kind, n in others.most_common(5))


def _class_depth(parts: list[tuple[str, ...]], listing: Listing) -> int | None:
    """Which part of the paths names the class; None if there are no classes."""
    depth = 0
    while True:
        here = next((p for p in parts if len(p) == depth + 1), None)
        if here is not None:
            if any(len(p) > depth + 1 for p in parts):
                listing.beside = shown("/".join(here))
                what = f"Images lie beside folders, such as {listing.beside}"
                listing.notes.append(f"{what}, so the folders are not taken as classes.")
            return None
        names = {p[depth] for p in parts}
        if len(names) > 1:
            if not {n.lower() for n in names} <= SPLIT_NAMES:
                return depth
            listing.notes.append(f"Pooled: {', '.join(sorted(names))}; mulligan splits by content itself.")
        depth += 1


def _classes(folders: set[str], notes: list[str]) -> dict[str, str]:
    """The class of each folder: its name, or of trainA, trainB, testA ... what follows the split's."""
    found = {f: its for f in folders if (its := _after_split(f))}
    if len(found) < len(folders) or len(set(found.values())) < 2:
        return {f: f for f in folders}
    notes.append(f"Pooled: {', '.join(sorted(folders))}; mulligan splits by content itself.")
    return found


def _after_split(folder: str) -> str | None:
    """What follows a split's name; VALLEYS does not begin with one, and VALA does."""
    m = re.fullmatch(SPLIT_OF, folder)
    if m is None or (m[1].isupper() and not m[2] and len(m[3]) > 1):
        return None
    return m[3]


def _bytes(path: str | Path) -> bytes:
    return os.fsencode(path)


# --- opening ------------------------------------------------------------------------------------------------


def _load(place: Path, root: Path, listing: Listing, said: Annotations, beside: str | None) -> Source:
    meta = cache.meta(place)
    sizes = np.load(place / "sizes.npy", allow_pickle=False)
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    files = np.load(place / "files.npy", allow_pickle=False)
    split = np.load(place / "split.npy", allow_pickle=False)
    flat = np.load(place / "flat.npy", allow_pickle=False)
    if not len(x) == len(files) == len(split) == len(sizes) == len(flat):
        raise Mistake("the parts of the cache entry differ in length")
    arrays = {"x": x}
    if beside:
        left, right = np.split(x, 2, 1)
        arrays = {"x": right, "input": left} if beside == "left:right" else {"x": left, "input": right}
    signals = {key: Signal("image", tuple(array.shape[1:])) for key, array in arrays.items()}
    notes = [*listing.notes, *said.notes]
    if listing.classes and "y" not in said.arrays:
        arrays["y"] = np.array([listing.files[i].label for i in files], np.int64)
        last = len(listing.classes) - 1
        signals["y"] = Signal("label", (), (0, last), names=tuple(map(shown, listing.classes)))
    elif listing.classes:
        notes.append("The classes are those of labels.csv, not the folders.")
    arrays |= {key: array[files] for key, array in said.arrays.items()}
    signals |= said.signals
    name = shown(root.resolve().name)
    names = listing.names() if "y" not in said.arrays else []
    paths = tuple(listing.files[i].relative for i in files)
    return Source(
        name=name,
        signals=signals,
        **array_splits(arrays, split),
        fingerprint=_fingerprint(meta["fingerprint"] + (beside or ""), arrays, said),
        card=DataCard(name, "licence not stated", "authors not stated", f"resized to {x.shape[2]} px"),
        notes=[*notes, *meta["notes"], *_notes(meta, len(x), x.shape[2])],
        facts={
            **meta["facts"],
            "unreadable": meta["unreadable"],
            "n_grey": meta["n_grey"],
            "size": x.shape[2],
            **({BESIDE_FOLDERS: listing.beside} if listing.beside else {}),
        },
        files=Files(tuple(names[i] for i in files), paths, sizes, flat) if names else None,
    )


def _fingerprint(images: str, arrays: dict[str, Array], said: Annotations) -> str:
    """Of the images and what is said of them; of images alone as it always was."""
    parts = [b for key, s in said.signals.items() for b in (repr((key, s.names)).encode(), arrays[key].tobytes())]
    return fingerprint([images.encode(), *parts]) if parts else images


def _notes(meta: dict[str, Any], n: int, size: int) -> list[str]:
    notes = []
    if meta["chosen"]:
        median = meta["facts"]["short_side"][1]
        notes.append(f"Images are {size} x {size} px (median short side {median:.0f}); --size sets another.")
    bad = meta["unreadable"]
    if bad:
        named = "; ".join(f"{file} ({why})" for file, why in list(bad.items())[:5])
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        notes.append(f"{len(bad)} of {n + len(bad)} files cannot be read and were skipped: {named}{more}.")
    return notes
