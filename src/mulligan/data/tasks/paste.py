"""Drawn characters pasted onto photos, with the mask of where, and another background to draw into.

    x = mask * object + (1 - mask) * its own background

A batch holds x, mask, and `background`, which is another crop of a photo and has nothing to do with x: what a system
draws into it is in no batch (Park et al. 2018, https://arxiv.org/abs/1805.01123, section 4). Photos of training are not
those of testing. Where a character stands, and on what, follows from its row alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.data import Progress, photos
from mulligan.data.cutouts import SCALE, extent, open_cutouts
from mulligan.data.encoder import Encoded
from mulligan.data.source import Array, ArraySplit, Head, Source, Split, fingerprint, to_tensor
from mulligan.errors import Mistake
from mulligan.signals import Signal

CROPS = {"train": 4_000, "held_out": 500, "test": 500}  # of the photos of a split
SEED = 13


class Pasted(Split):
    """Rows of characters, each pasted somewhere onto some crop.

    Args:
        split: the characters on white, with all else that is known of them.
        cutouts: uint8 (N, 4, S, S), of all characters.
        crops: uint8 (K, 3, S, S), what they are pasted onto.
    """

    def __init__(self, split: Split, cutouts: Array, crops: Array) -> None:
        self.split, self.cutouts, self.crops = split, cutouts, crops
        self.rows = rows_of(split)
        state = np.random.RandomState(SEED)
        n, k = len(cutouts), len(crops)
        self.own = state.randint(k, size=n)
        self.other = (self.own + state.randint(1, k, size=n)) % k  # never the same
        self.places = state.random_sample((n, 2))

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        rows = self.rows[index]
        objects = np.stack([placed(self.cutouts[row], self.places[row]) for row in rows])
        x, mask = pasted(objects, self.crops[self.own[rows]])
        made = {"x": x, "mask": mask, "background": self.crops[self.other[rows]]}
        return {**self.split.fetch(index), **{key: to_tensor(array) for key, array in made.items()}}


def rows_of(split: Split) -> Array:
    """The numbers of the characters in a split's rows."""
    if isinstance(split, ArraySplit):
        return split.rows
    assert isinstance(split, Head | Encoded), split
    return rows_of(split.split)[: len(split)]


def placed(cutout: Array, place: Array) -> Array:
    """A cut-out (4, S, S) moved out of its corner to a place (2,) in [0, 1), down and across, whole in the frame."""
    room = [cutout.shape[1] - extent(cutout[3], axis)[1] for axis in (0, 1)]
    moved: Array = np.roll(cutout, [int(u * (r + 1)) for u, r in zip(place, room, strict=True)], (1, 2))
    return moved


def pasted(objects: Array, backgrounds: Array) -> tuple[Array, Array]:
    """Objects (N, 4, S, S) on backgrounds (N, 3, S, S): x (N, 3, S, S) and mask (N, 1, S, S), all uint8."""
    colours, mask = objects[:, :3].astype(np.float32), objects[:, 3:]
    share = mask / np.float32(255)
    x = share * colours + (1 - share) * backgrounds
    return (x + 0.5).astype(np.uint8), mask


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: pasted characters; mask: where; background: what else to draw into.

    Raises:
        ValueError: the source holds no drawn characters, or a package is missing.
    """
    if source.name not in ("captions", "characters"):
        raise Mistake(f"--task paste: cuts out drawn characters, not {source.name}; use --data captions")
    _, side, _ = source.signals["x"].shape
    assert side is not None
    images = {name: [photos.read(photo) for photo in names] for name, names in photos.PHOTOS.items()}
    cutouts = open_cutouts(side, progress)
    crops = {name: photos.crops(images[name], n, side, i) for i, (name, n) in enumerate(CROPS.items())}
    splits = {name: Pasted(split, cutouts, crops[name]) for name, split in source.splits.items()}
    x = source.signals["x"]
    return replace(
        source,
        signals={**source.signals, "mask": Signal("mask", (1, side, side)), "background": x},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([f"paste {SEED} {SCALE} {source.fingerprint}".encode(), *map(bytes, crops.values())]),
        card=replace(source.card, changes=f"{source.card.changes}; pasted onto {photos.CREDIT}"),
    )
