"""Pairs by computation: beside each image x what it is to be made from, `input`, worked out from x itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.data.source import Array, Source, Split, fingerprint
from mulligan.errors import Mistake
from mulligan.signals import Signal

Map = Callable[[Tensor], Tensor]


class Computed(Split):
    """Rows of a split, with `input` = change(x), x (N, C, H, W) in [-1, 1]."""

    def __init__(self, split: Split, change: Map) -> None:
        self.split, self.change = split, change

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        rows = self.split.fetch(index)
        return {**rows, "input": self.change(rows["x"])}

    def labels(self) -> Array | None:
        return self.split.labels()


def computed(source: Source, task: str, change: Map, signal: Signal | None = None) -> Source:
    """The source with `input` = change(x).

    Args:
        source: of images.
        task: its name, for messages and the fingerprint.
        change: of images (N, C, H, W) in [-1, 1].
        signal: of what it returns; default: that of x.

    Raises:
        ValueError: the source holds no images.
    """
    x = source.signals["x"]
    if x.kind != "image":
        raise Mistake(f"--task {task}: {source.name} holds {x.kind}, pairs are made of images; leave it out")
    splits = {name: Computed(split, change) for name, split in source.splits.items()}
    return replace(
        source,
        signals={**source.signals, "input": signal or x},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([source.fingerprint.encode(), f"--task {task}".encode()]),
        notes=[*source.notes, f"Each image x goes with an input that is computed from it (--task {task})."],
        facts={**source.facts, "pair": ("images", task)},
    )
