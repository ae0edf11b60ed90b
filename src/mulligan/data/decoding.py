"""The files of a folder as arrays in the cache: what their headers say, their pixels, and which split each is in."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mulligan.data import Fit, Progress, cache
from mulligan.data.components import LEAST, Components
from mulligan.data.images import SAME_SHAPE, UnreadableError, header, is_grey, load, one_colour, quiet, shown, some
from mulligan.data.source import content_keys, fingerprint, split_by_content
from mulligan.errors import Mistake

if TYPE_CHECKING:
    from mulligan.data.folder import Found, Listing

DEFAULT_SIZE = 64
CHUNK = 256  # files handed to the threads at once: bounds what waits in memory
HALVES = ("left", "right")
WIDER = 1.5  # at least, of width over height, is a file of two images
FORM = 4  # of the cached files; another form, another cache entry
Array = npt.NDArray[Any]


class Form(NamedTuple):
    """How files become arrays: see `open_folder`."""

    size: int | None
    fit: Fit
    alpha: bool
    maps: int | None  # the class, or of two images in a file the one, that are maps of labels
    beside: bool


def default_size(short_side: float) -> int:
    """The largest multiple of 8 that is at most 64 and at most the short side; never below 4."""
    size = min(DEFAULT_SIZE, int(short_side)) // 8 * 8
    return size if size else 4


@dataclass
class Headers:
    """What the files say of themselves."""

    good: list[Found] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    unequal: dict[str, str] = field(default_factory=dict)  # left out: of another shape than most
    usual: str = ""  # what most files are, where shapes count

    def notes(self) -> list[str]:
        if not self.unequal:
            return []
        told = [f"{name} ({size})" for name, size in self.unequal.items()]
        return [f"Files of another shape than {self.usual} that are left out ({len(told):,}): {some(told)}."]

    def facts(self) -> dict[str, Any]:
        """Numbers for `data check`: of each list the smallest, the median, the largest."""
        aspect = [w / h for w, h in self.sizes]
        short = [min(size) for size in self.sizes]
        sizes = Counter(f"{w} x {h}" for w, h in self.sizes)
        return {
            "sizes": dict(sizes.most_common(10)),
            "n_sizes": len(sizes),
            "aspect": [round(float(f(aspect)), 4) for f in (min, np.median, max)],
            "short_side": [float(f(short)) for f in (min, np.median, max)],
            "modes": dict(self.modes.most_common()),
            **({"unequal": self.unequal} if self.unequal else {}),
        }


def read_headers(files: list[Found]) -> Headers:
    """The headers of all files; those that are no images are named in `unreadable`."""
    found = Headers()
    for file in files:
        try:
            w, h, mode = header(file.path)
        except UnreadableError as error:
            found.unreadable[shown(file.relative)] = str(error)
            continue
        found.good.append(file)
        found.sizes.append((w, h))
        found.modes[mode] += 1
    return found


def keep_two_images(heads: Headers, whose: str) -> None:
    """Leave out files that are not of the shape that most have, of two images side by side: cut in two they would be
    halves of one image.

    Raises:
        ValueError: most files are no two images side by side, or they are of many shapes.
    """
    aspect = np.array([w / h for w, h in heads.sizes])
    wide = aspect >= WIDER
    if wide.mean() <= 0.5:
        i = int(wide.argmin())
        name, (w, h) = shown(heads.good[i].relative), heads.sizes[i]
        raise Mistake(
            f"{whose} has {int((~wide).sum()):,} of {len(wide):,} files that are not two images side by side, such as "
            f"{name} ({w} x {h}): join the images of each pair, left and right, or leave --pair out"
        )
    usual = most_common(aspect[wide])
    kept = same_shape(aspect, usual)
    if kept.sum() < min(LEAST, len(kept)):
        raise Mistake(f"{whose}: the files are of many shapes, {int(kept.sum())} of the most common; bring them to one")
    heads.unequal = {
        shown(file.relative): f"{w} x {h}"
        for file, (w, h), its in zip(heads.good, heads.sizes, kept, strict=True)
        if not its
    }
    heads.good = [file for file, its in zip(heads.good, kept, strict=True) if its]
    heads.sizes = [size for size, its in zip(heads.sizes, kept, strict=True) if its]
    heads.usual = "{} x {}".format(*Counter(heads.sizes).most_common(1)[0][0])


def same_shape(aspect: Array, usual: float) -> Array:
    """Which widths over height (N,) differ from the usual one by no more than rounding does."""
    same: Array = np.abs(aspect / usual - 1) <= SAME_SHAPE
    return same


def most_common(aspect: Array) -> float:
    """The width over height that most of (N,) have, as nearly as `same_shape` asks for."""
    values, counts = np.unique(aspect, return_counts=True)
    before = np.concatenate([[0], counts.cumsum()])  # how many are smaller than the i-th value
    first = np.searchsorted(values, values * (1 - SAME_SHAPE))
    end = np.searchsorted(values, values * (1 + SAME_SHAPE), "right")
    near = before[end] - before[first]
    return float(values[(near + counts / (len(aspect) + 1)).argmax()])  # of equals the one that is itself frequent


def decoded(
    listing: Listing, place: Path, *, form: Form, pair: str | None, progress: Progress | None
) -> dict[str, Any]:
    """Fill a cache entry: x.npy, of which file each image is, split.npy; returns its meta.json.

    Args:
        listing: what the folder holds.
        place: the entry's folder.
        form: how files become arrays.
        pair: which half is made from which, for messages.
        progress: told how many images are decoded.

    Raises:
        ValueError: too few images can be read, or files of two images share too many.
    """
    with quiet():
        heads = read_headers(listing.files)
        _enough(len(heads.good), listing.name, heads.unreadable)
        if form.beside:
            keep_two_images(heads, f"--pair {pair}: {listing.name}")
        side = form.size or default_size(float(np.median([min(s) for s in heads.sizes])))
        decode = partial(_decode, form=form._replace(size=side))
        channels = (4 if form.alpha else 3) * (2 if form.beside else 1)
        written, grey = _write_images(place / "x.npy", heads, decode, side, channels, progress)
    _enough(len(written), listing.name, heads.unreadable)
    if all(grey) and not form.alpha and not form.beside:
        _to_grey(place / "x.npy")
    x = np.load(place / "x.npy", mmap_mode="r")
    parts = np.split(x, 2, 1) if form.beside else [x]
    keys = [content_keys(part) for part in parts]
    number = {file: i for i, file in enumerate(listing.files)}
    np.save(place / "files.npy", np.array([number[file] for file in written], np.int64))
    size = dict(zip(heads.good, heads.sizes, strict=True))
    sizes = np.array([size[file] for file in written], np.int64)
    np.save(place / "sizes.npy", sizes)
    flat = np.stack([_one_colour(part, sizes // (len(parts), 1), form.fit) for part in parts], 1)
    np.save(place / "flat.npy", flat.all(1))
    split, notes = _split(written, keys, flat, f"--pair {pair}")
    np.save(place / "split.npy", split)
    labelled = [file.label.to_bytes(8, "little", signed=True) for file in written]
    return {
        "source": listing.name,
        "fingerprint": fingerprint([repr(x.shape).encode(), *chain(*keys), *labelled]),
        "unreadable": heads.unreadable,
        "n_grey": int(sum(grey)),
        "notes": [*heads.notes(), *notes],
        "chosen": form.size is None,
        "fit": form.fit,
        "facts": heads.facts(),
    }


def _decode(file: Found, *, form: Form) -> Array | UnreadableError:
    assert form.size is not None
    maps = [form.maps == half for half in range(2)] if form.beside else [form.maps == file.label]
    try:
        return load(file.path, size=form.size, fit=form.fit, alpha=form.alpha, maps=maps)
    except UnreadableError as error:
        return error


def _write_images(
    path: Path, heads: Headers, decode: Any, side: int, channels: int, progress: Progress | None
) -> tuple[list[Found], list[bool]]:
    """Decode and write in order; the file and whether it is grey, for each image written."""
    written: list[Found] = []
    grey: list[bool] = []
    threads = min(4, os.cpu_count() or 1)  # Pillow decodes outside Python's lock
    with (
        ThreadPoolExecutor(threads) as pool,
        cache.ArrayWriter(path, (channels, side, side), np.uint8) as out,
    ):
        for start in range(0, len(heads.good), CHUNK):
            files = heads.good[start : start + CHUNK]
            for file, image in zip(files, pool.map(decode, files), strict=True):
                if isinstance(image, UnreadableError):
                    heads.unreadable[shown(file.relative)] = str(image)
                    continue
                out.append(image)
                written.append(file)
                grey.append(is_grey(image))
            if progress is not None:
                progress("decoding images", start + len(files), len(heads.good))
    return written, grey


def _one_colour(x: Array, sizes: Array, fit: Fit) -> Array:
    return np.array([one_colour(image, w, h, fit) for image, (w, h) in zip(x, sizes.tolist(), strict=True)])


def _split(files: list[Found], keys: list[list[bytes]], flat: Array, flag: str) -> tuple[Array, list[str]]:
    """For each file its split, and notes: by the content of its image, or of both halves and what shares one of them.

    Args:
        files: of which the rows are.
        keys: for the image, or for each half, the keys of all rows.
        flat: bool (N, 1 or 2), which are of one colour.
        flag: the option that asks for halves.
    """
    if len(keys) == 1:
        return split_by_content(keys[0])

    def told(row: int, side: int) -> str:
        return f"the {HALVES[side]} half of {shown(files[row].relative)}"

    both = Components(list(zip(*keys, strict=True)), flat, told, flag)
    split = both.split()
    return split, both.notes(split)


def _enough(n: int, name: str, unreadable: dict[str, str]) -> None:
    if n >= 2:
        return
    file, why = next(iter(unreadable.items()))
    raise Mistake(f"{name}: {n} of {n + len(unreadable)} images can be read, at least two are needed ({file}: {why})")


def _to_grey(path: Path) -> None:
    """Keep one of three equal channels."""
    colour = np.load(path, mmap_mode="r")
    aside = path.with_name("grey.npy")
    with cache.ArrayWriter(aside, (1, *colour.shape[2:]), np.uint8) as out:
        for image in colour:
            out.append(image[:1])
    del colour  # a mapped file cannot be replaced on Windows
    os.replace(aside, path)
