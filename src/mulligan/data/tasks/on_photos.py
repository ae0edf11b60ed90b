"""Digits, and digits of others blended into photographs: two domains, unpaired, the second with labels.

    x2 = |crop - digit|, in each colour of [0, 1]

As MNIST-M is made (Ganin & Lempitsky 2015, 1409.7495, section 4.2.1), with the photographs that come inside packages;
those of training are not those of testing. Which crop a digit is blended with follows from its row alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.data import Progress, photos
from mulligan.data.source import Array, Source, Split, fingerprint, to_tensor
from mulligan.data.unpaired import SEEDS, Unpaired, halved
from mulligan.errors import Mistake

CROPS = {"train": 4_000, "held_out": 500, "test": 500}  # of the photos of a split
SEED = 19


class OnPhotos(Split):
    """x: digits of the one half; x2: those of the other on crops (K, 3, S, S), uint8; y2: the labels of x2."""

    def __init__(self, split: Split, crops: Array, seed: int) -> None:
        self.split, self.crops = split, crops
        self.domains = Unpaired(split, halved(split), keys=("x",), seed=seed)
        self.which = np.random.RandomState(SEED).randint(len(crops), size=len(split))

    def __len__(self) -> int:
        return len(self.domains)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        rows = self.domains.second[index]
        digits = self.split.fetch(rows)
        crops = to_tensor(self.crops[self.which[rows]])
        return {"x": self.domains.fetch(index)["x"], "x2": blended(crops, digits["x"]), "y2": digits["y"]}


def blended(crops: Tensor, digits: Tensor) -> Tensor:
    """|crop - digit| of colours in [0, 1], here of images (N, 3, S, S) and (N, 1, S, S) in [-1, 1]."""
    return (crops - digits).abs() - 1


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: digits; x2: other digits on photographs; y2: which.

    Raises:
        ValueError: the source holds no grey images with labels, or the photographs are missing.
    """
    x = source.signals["x"]
    if x.kind != "image" or x.shape[0] != 1 or "y" not in source.signals:
        raise Mistake(f"--task on_photos: {source.name} has no grey images with labels; try --data mnist")
    side = x.shape[1]
    assert side is not None
    images = {name: [photos.read(photo) for photo in names] for name, names in photos.PHOTOS.items()}
    crops = {name: photos.crops(images[name], n, side, i) for i, (name, n) in enumerate(CROPS.items())}
    splits = {name: OnPhotos(split, crops[name], SEEDS[name]) for name, split in source.splits.items()}
    return replace(
        source,
        signals={"x": x, "x2": replace(x, shape=(3, *x.shape[1:])), "y2": source.signals["y"]},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([f"on_photos {SEED} {source.fingerprint}".encode(), *map(bytes, crops.values())]),
        card=replace(source.card, changes=f"half of them blended into {photos.CREDIT}"),
        notes=[*source.notes, "Two domains, unpaired: images, and others on photographs (--task on_photos)."],
        facts={**source.facts, "domains": {"images": len(splits["train"])}},
    )
