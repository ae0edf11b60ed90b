"""A painter's style and photos of nature, as two domains: x are squares of one painting, x2 are crops of photos.

The painting is "Autumn", a wallpaper of KDE's from Debian: test only, not for pictures that are published. It is
divided into blocks, each block is in one split, and a square lies in one block.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor, cat

from mulligan.data import Progress, cache, debian, photos, wallpapers
from mulligan.data.source import DataCard, Source, Split, fingerprint
from mulligan.data.unpaired import Domains, unpaired
from mulligan.errors import Mistake

FILE = "usr/share/wallpapers/Autumn/contents/images/2560x1600.jpg"
PACKAGE = debian.Package("plasma-workspace-wallpapers", (FILE,), 94)
WIDTH, HEIGHT = 2560, 1600
BLOCKS = (4, 5)  # rows and columns
HELD_OUT = ((1, 0), (2, 4), (3, 2))  # sky, tree and meadow each, counted from the top and the left; the left is sky,
TEST = ((0, 1), (1, 3), (3, 0))  # the right the tree, so halves of it would have nothing in common
SIDES = (192, 384)  # px of the painting: a square shows strokes of the brush
COUNTS = {"train": 8_000, "held_out": 800, "test": 800}  # as many as there are photos: none comes twice
SEED = 29
CARD = DataCard(
    origin="painting: Autumn, of Debian's plasma-workspace-wallpapers",
    licence="GPL-2+; test only, not for pictures that are published",
    authors="KDE Visual Design Group",
    changes="cut into squares, some mirrored",
)


class Chained(Split):
    """The rows of one split, and then those of another."""

    def __init__(self, first: Split, second: Split) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        n, later = len(self.first), index >= len(self.first)
        own, other = self.first.fetch(index[~later]), self.second.fetch(index[later] - n)
        back = np.argsort(np.concatenate([np.flatnonzero(~later), np.flatnonzero(later)]))
        return {key: cat([own[key], other[key]])[back] for key in own}


def open_painting(*, size: int | None = None, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1], or of side `size`, of the painting; x2: likewise, of `wallpapers`; what stands in a
    row as x2 has nothing to do with its x.

    Raises:
        ValueError: a package is not there yet and cannot be fetched, or the cache cannot be written.
    """
    nature = wallpapers.open_wallpapers(size=size, progress=progress)
    side = size or wallpapers.SIZE
    cut = partial(_cut, side, progress)
    painted = photos.open_crops("painting", CARD, COUNTS, side, (FILE, blocks(), SIDES, SEED), cut)
    splits = {name: Chained(split, nature.splits[name]) for name, split in painted.splits.items()}
    both = replace(
        painted,
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([painted.fingerprint.encode(), nature.fingerprint.encode()]),
        card=replace(CARD, changes=f"{CARD.changes}; photos: {nature.card.credit}"),
    )
    return unpaired(both, "--data painting", ("the painting", "photos"), _domains)


def _domains(split: Split) -> Domains:
    assert isinstance(split, Chained)
    n = len(split.first)
    return np.arange(n), np.arange(n, len(split))


def blocks() -> dict[str, list[tuple[int, int, int, int]]]:
    """Left, top, right and bottom of the blocks of each split."""
    height, width = HEIGHT // BLOCKS[0], WIDTH // BLOCKS[1]
    found: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in COUNTS}
    for row, column in np.ndindex(*BLOCKS):
        name = "held_out" if (row, column) in HELD_OUT else "test" if (row, column) in TEST else "train"
        found[name].append((column * width, row * height, (column + 1) * width, (row + 1) * height))
    return found


def _cut(size: int, progress: Progress | None, out: cache.ArrayWriter) -> None:
    """Write the squares of each split's blocks."""
    with Image.open(debian.files(PACKAGE, "painting", progress)[FILE], formats=("JPEG",)) as image:
        painting = image.convert("RGB")
    if painting.size != (WIDTH, HEIGHT):
        raise Mistake(f"painting: Debian's {PACKAGE.name} has another picture than is meant; use Debian 12")
    for number, (name, boxes) in enumerate(blocks().items()):
        parts = [painting.crop(box) for box in boxes]
        state = np.random.RandomState([SEED, number])
        which = state.randint(len(parts), size=COUNTS[name])
        for i, (near, left, top, mirrored) in zip(which, state.random_sample((COUNTS[name], 4)), strict=True):
            side = SIDES[0] * (SIDES[1] / SIDES[0]) ** near  # drawn on a scale of ratios
            out.append(photos.square(parts[i], size, side, left, top, mirrored))
