"""Images that are bright in one quarter, their class, and a system whose G and D are any functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from conftest import FP32
from mulligan.config import Config
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.game import Batch, Stage, System, Turn
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.referee.signs import Signs
from mulligan.signals import Signal

NAMES = ("north", "east", "south", "west")
SIGNALS = {"x": Signal("image", (1, 8, 8)), "y": Signal("label", (), (0, 3), names=NAMES)}
CARD = DataCard("drawn", "CC0-1.0", "the tests", "none")
Make = Callable[[Tensor, Tensor], Tensor]
Ask = Callable[[Tensor], Tensor]


def images(y: Tensor, seed: int) -> Tensor:
    """Noise, with one quarter of the image bright: which one is the class."""
    x = torch.rand(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.4 - 1
    for i, (top, left) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        x[y == i, :, top : top + 4, left : left + 4] += 1.2
    return x


def split_of(n: int, seed: int) -> ArraySplit:
    y = torch.arange(n) % 4
    return ArraySplit({"x": images(y, seed).numpy(), "y": y.numpy()}, np.arange(n))


SOURCE = Source(
    name="quarters", signals=SIGNALS, train=split_of(800, 1), held_out=split_of(200, 2), test=split_of(200, 3),
    fingerprint="", card=CARD,
)  # fmt: skip
TRAIN = SOURCE.train.fetch(np.arange(800))


class Made(System):
    """A system whose G and D are any functions."""

    needs = {}

    def __init__(self, make: Make, ask: Ask, given: tuple[str, ...]) -> None:
        super().__init__(Config(), SIGNALS)
        self.make, self.ask, self.given = make, ask, given
        self.D = nn.Linear(1, 1)

    def stages(self) -> Iterator[Stage]:
        yield Stage("only", (Turn("D", (self.D,), lambda batch: {"none": self.D.weight.sum()}),))

    def latent(self, n: int) -> Tensor:
        return torch.rand(n, 2)

    def generate(self, batch: Batch) -> Batch:
        return {"x": self.make(batch["z"], batch.get("y", torch.zeros(len(batch["z"]))))}

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        n = len(batch["x"])
        return {"D": (self.ask(batch["x"]), self.ask(self.make(self.latent(n), batch["y"])))}


def drawn(z: Tensor, y: Tensor) -> Tensor:
    """Training images, of any class."""
    return TRAIN["x"][(z[:, 0] * 800).long()]


def drawn_as_told(z: Tensor, y: Tensor) -> Tensor:
    return TRAIN["x"][(z[:, 0] * 200).long() * 4 + y]


def guess(x: Tensor) -> Tensor:
    return torch.zeros(len(x))


def signs_of(make: Make = drawn, ask: Ask = guess, *, given: tuple[str, ...] = ()) -> Signs:
    system = Made(make, ask, given)
    return Signs(system, SOURCE, Loop(system, Loader(SOURCE.train, 64, seed=0), FP32))
