"""What turns a condition into a vector: the class, the tags or the text that a network is told."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, leaky_relu

from mulligan.signals import Signal


def reader(signal: Signal, d: int) -> nn.Module:
    """A condition (N, ...) -> (N, d), whatever its kind; a class or a tag adds a vector with entries ~ N(0, 1)."""
    if signal.kind == "label":
        return nn.Embedding(signal.n_classes, d)  # as a matrix times the one-hot label
    (n,) = signal.shape
    assert n is not None, signal
    if signal.kind == "text" and signal.range is not None:
        return WordReader(int(signal.range[1]), d)
    layer = nn.Linear(n, d)
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


READ = 64  # numbers that a generator reads of its condition
# Their deviation beside z's of 1. At 1 they drown z: G soon made one picture a condition, and worse ones (docs/log.md).
LOUD = 0.25


class Latent(nn.Module):
    """z (N, z_dim) -> z beside what is read of the condition c, (N, self.d), the latter with a deviation of `LOUD`.

    With no condition to be told it is z itself.
    """

    def __init__(self, z_dim: int, told: Signal | None) -> None:
        super().__init__()
        self.reader = None if told is None else reader(told, READ)
        self.d = z_dim + (0 if told is None else READ)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        if self.reader is None:
            return z
        return torch.cat([z, LOUD * layer_norm(self.reader(c).float(), (READ,))], 1)


class WordReader(nn.Module):
    """Word numbers (N, L) -> (N, d): what stands where in a sentence is found by two convolutions over its words.

    They bind a colour to the noun it stands before, which a bag of words cannot; the maximum over the sentence takes
    from each feature where it is strongest, wherever that is. 0 is no word and counts for nothing.
    """

    def __init__(self, n_words: int, d: int, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_words + 1, width, padding_idx=0)
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, 2 * width, 3, padding=1)
        self.last = nn.Linear(2 * width, d)

    def forward(self, numbers: Tensor) -> Tensor:
        with torch.autocast(numbers.device.type, enabled=False):  # it costs next to nothing, and all depends on it
            word = (numbers > 0)[:, None]
            h = self.embedding(numbers).transpose(1, 2)
            h = leaky_relu(self.first(h), 0.2) * word
            h = leaky_relu(self.second(h), 0.2).masked_fill(~word, -1e3).amax(2)
            # of no word at all nothing is known
            out: Tensor = self.last(h * word.any(2))
        return out
