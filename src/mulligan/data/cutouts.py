"""The drawn characters cut out: smaller than the frame, whole, and with their transparency, to be laid on anything.

Nothing is cut out of a picture. The same parts are drawn again on no background, so the mask is what the renderer
covered, to the fraction of a pixel.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mulligan.data import Progress, cache
from mulligan.data.characters import TAGS, cached, character, drawer, entry
from mulligan.data.source import Array, fingerprint
from mulligan.errors import Mistake

SCALE = 0.72  # of the size that characters have in a frame of their own: about two thirds of the side with their hair


def open_cutouts(size: int, progress: Progress | None = None) -> Array:
    """uint8 (N, 4, size, size), memory-mapped: colours and transparency, each character in the upper left corner.

    Args:
        size: side of the frame in pixels.
        progress: told how far the drawing is.

    Raises:
        ValueError: a package to draw with is missing, or the cache cannot be written.
    """
    tags = np.load(cached(size, progress) / "tags.npy", allow_pickle=False)
    make = partial(_make, size=size, tags=tags, progress=progress)
    load = partial(_load, shape=(len(tags), 4, size, size))
    family = f"cutouts-{size}-"
    return cache.opened(family + fingerprint([f"{entry(size)} {SCALE}".encode()]), make, load, family=family)


def numbers(tags: Array) -> list[int]:
    """For each row of tags (N, T) the number of a character of which they are true.

    Rows come in the order of numbers. Where `open_characters` passed over one that looked like an earlier one, the
    tags soon say so.
    """
    found, number = [], 0
    for row in tags > 0:
        wanted = {TAGS[i] for i in np.flatnonzero(row)}
        while set(character(number)[1]) != wanted:
            number += 1
        found.append(number)
        number += 1
    return found


def extent(mask: Array, axis: int) -> tuple[int, int]:
    """From where to where (exclusive) a mask (H, W) covers anything along an axis."""
    there = np.flatnonzero(mask.any(1 - axis))
    return int(there[0]), int(there[-1]) + 1


def cornered(picture: Array, size: int) -> Array:
    """What is drawn on (4, H, W), moved into the upper left corner of (4, size, size)."""
    (top, bottom), (left, right) = (extent(picture[3], axis) for axis in (0, 1))
    drawn = picture[:, top : min(bottom, top + size), left : min(right, left + size)]
    return np.pad(drawn, ((0, 0), (0, size - drawn.shape[1]), (0, size - drawn.shape[2])))


def _make(place: Path, *, size: int, tags: Array, progress: Progress | None) -> dict[str, Any]:
    draw = drawer(2 * size, background=None)  # hair may hang out of a frame that is no larger
    with cache.ArrayWriter(place / "cutouts.npy", (4, size, size), np.uint8) as out:
        for number in numbers(tags):
            options, _ = character(number)
            out.append(cornered(draw({**options, "scale": SCALE / 2 * options["scale"]}), size))
            if progress is not None and out.count % 100 == 0:
                progress("cutting out characters", out.count, len(tags))
    return {"source": "characters, cut out", "scale": SCALE}


def _load(place: Path, *, shape: tuple[int, ...]) -> Array:
    cutouts: Array = np.load(place / "cutouts.npy", mmap_mode="r", allow_pickle=False)
    if cutouts.shape != shape:
        raise Mistake("the cache entry has another shape")
    return cutouts
