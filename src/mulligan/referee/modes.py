"""The modes of the data: its classes where it has labels, else clusters; and which of them samples fall into."""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.signals import Signal

MOST = 20  # modes; of data with more classes, clusters
PER_MODE = 20  # training samples, at least
EXPECTED = 4.0  # samples of a mode: where fewer are to be expected, none is no news
STEPS = 10  # of k-means


class Modes:
    """Modes of training features.

    Args:
        train: features (N, d).
        y: labels (N,), where there are some.
        signal: of the labels.
        n: samples that will be looked at.

    Attributes:
        named: whether they are the classes.
    """

    def __init__(self, train: Tensor, y: Tensor | None, signal: Signal | None, n: int) -> None:
        self.train = train
        self.named = y is not None and signal is not None and 2 <= signal.n_classes <= MOST
        if self.named:
            assert y is not None and signal is not None
            self.label = y
            self.names = list(signal.names) or [str(i) for i in range(signal.n_classes)]
        else:
            self.label = clusters(train, max(1, min(MOST, len(train) // PER_MODE, int(n / (2 * EXPECTED)))))
            self.names = [f"group {i + 1}" for i in range(int(self.label.max()) + 1)]
        self.real = self.label.bincount(minlength=len(self.names)) / len(self.label)
        self.expected = int((self.real > 0).sum())

    def read(self, x: Tensor) -> Tensor:
        """The mode (N,) of features: that of the nearest training sample."""
        return self.label[torch.cdist(x, self.train).argmin(1)]

    def missing(self, belongs: Tensor) -> list[str]:
        """The names of the modes that none of the samples belongs to, and some should; `belongs`: see `read`."""
        counts = belongs.bincount(minlength=len(self.names))
        gone = (counts == 0) & (self.real * len(belongs) >= EXPECTED)
        return [name for name, is_gone in zip(self.names, gone.tolist(), strict=True) if is_gone]

    def readable(self, n: int) -> float:
        """The share of n training samples whose nearest other one has their label."""
        rows = torch.linspace(0, len(self.train) - 1, min(n, len(self.train))).long()
        distance = torch.cdist(self.train[rows], self.train)
        distance[torch.arange(len(rows)), rows] = torch.inf
        return float((self.label[distance.argmin(1)] == self.label[rows]).float().mean())

    def agreement(self, belongs: Tensor, y: Tensor) -> float:
        """The share of samples that fall into the class that they were made for; `belongs`: see `read`."""
        return float((belongs == y.cpu()).float().mean())


def clusters(x: Tensor, k: int) -> Tensor:
    """The cluster (N,) of each of features (N, d), by k-means from k samples that lie far from each other."""
    centres = x[:1]
    for _ in range(k - 1):
        centres = torch.cat([centres, x[torch.cdist(x, centres).amin(1).argmax()][None]])
    label = torch.cdist(x, centres).argmin(1)
    for _ in range(STEPS):
        kept = [x[label == i].mean(0) if bool((label == i).any()) else centres[i] for i in range(len(centres))]
        centres = torch.stack(kept)
        label = torch.cdist(x, centres).argmin(1)
    return label
