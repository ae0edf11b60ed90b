"""Stacked MNIST: three digits as red, green and blue of one image, so 1,000 modes (Metz et al. 2016)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.data import Fit, mnist
from mulligan.data.source import Source, Split, fingerprint, to_tensor
from mulligan.signals import Signal

COUNTS = {"train": 128_000, "held_out": 10_000, "test": 26_000}  # 128,000 and 26,000 as in the literature
SEEDS = {"train": 11, "held_out": 22, "test": 33}
Array = npt.NDArray[Any]


class StackedSplit(Split):
    """Stacks (N, n) of rows of MNIST, the rows of a stack its channels."""

    def __init__(self, images: Array, digits: Array, stacks: Array) -> None:
        self.images, self.digits, self.stacks = images, digits, stacks

    def __len__(self) -> int:
        return len(self.stacks)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        stacks = self.stacks[index]
        return {"x": to_tensor(self.images[stacks, 0]), "y": to_tensor(self._label(stacks))}

    def labels(self) -> Array:
        return self._label(self.stacks)

    def _label(self, stacks: Array) -> Array:
        label: Array = self.digits[stacks] @ 10 ** np.arange(stacks.shape[1])[::-1]
        return label


def open_stacked(*, size: int | None = None, fit: Fit = "crop", n: int = 3) -> Source:
    """x: (N, n, 28, 28) in [-1, 1], or of side `size`; y: for three 100 red + 10 green + blue, 0 to 999.

    Each split draws its digits from MNIST's split of the same name, so they share no digit.
    """
    side = size or 28
    arrays, notes = mnist.load_arrays(side, fit)
    splits = {name: StackedSplit(arrays["x"], arrays["y"], stacks(name, n)) for name in COUNTS}
    recipe = repr((COUNTS, SEEDS, *([] if n == 3 else [n]))).encode()
    return Source(
        name="stacked",
        signals={"x": Signal("image", (n, side, side)), "y": Signal("label", (), (0, 10**n - 1))},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([b"stacked", mnist.content_fingerprint(side).encode(), recipe]),
        card=replace(mnist.CARD, changes="three digits stacked as red, green and blue"),
        notes=notes,
        digits=True,
    )


def stacks(split: str, n: int = 3) -> Array:
    """Rows of MNIST, (N, n) int64, the same on every machine."""
    low, high = mnist.ROWS[split]
    return np.random.RandomState(SEEDS[split]).randint(low, high, (COUNTS[split], n), dtype=np.int64)
