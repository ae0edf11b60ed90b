"""Batches by position: which samples a play sees follows from (seed, stage, round, turn, play, shard) alone.

Nothing is consumed, so nothing needs saving: a resumed run asks for the same position and gets the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Samples(Protocol):
    """What the loader needs of a data source's split."""

    def __len__(self) -> int: ...
    def fetch(self, index: np.ndarray) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Position:
    """Where in a run a play stands.

    A shard is one rank's part of a batch, or one micro-batch of it: rank * micro_batches + micro-batch.
    """

    stage: int
    round: int
    turn: int
    play: int
    shard: int
    shards: int


class Loader:
    """Batches of `batch` samples; every (turn, play) reads its own endless sequence of shuffled epochs."""

    def __init__(self, samples: Samples, batch: int, *, seed: int, device: torch.device | None = None) -> None:
        self.samples, self.batch, self.seed = samples, batch, seed
        self.device = device or torch.device("cpu")
        self._orders: dict[tuple[int, int, int], tuple[int, np.ndarray]] = {}

    def at(self, p: Position) -> dict[str, Tensor]:
        """The shard's part of the batch at position `p`."""
        size = self.batch // p.shards
        start = p.round * self.batch + p.shard * size
        batch = self.samples.fetch(self.index(p.stage, p.turn, p.play, start, size))
        if self.device.type == "cuda":
            return {k: v.pin_memory().to(self.device, non_blocking=True) for k, v in batch.items()}
        return {k: v.to(self.device) for k, v in batch.items()}

    def index(self, stage: int, turn: int, play: int, start: int, size: int) -> np.ndarray:
        """Positions start .. start + size of a play's endless sequence of epochs."""
        n = len(self.samples)
        parts = []
        while size > 0:
            epoch, offset = divmod(start, n)
            part = self._order(stage, turn, play, epoch)[offset : offset + size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return np.concatenate(parts)

    def _order(self, stage: int, turn: int, play: int, epoch: int) -> np.ndarray:
        key = (stage, turn, play)
        cached = self._orders.get(key)
        if cached is None or cached[0] != epoch:
            order = np.random.default_rng([self.seed, *key, epoch]).permutation(len(self.samples))
            self._orders[key] = cached = (epoch, order)
        return cached[1]
