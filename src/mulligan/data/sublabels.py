"""Labels of one of two domains: the folders within its folder. photos/cats, photos/dogs and drawings: y2 says of each
photo, which stands as x2, what is on it. DTN's f learns from them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mulligan.data.source import Array, ArraySplit, Source, Split, fingerprint
from mulligan.data.unpaired import Unpaired
from mulligan.signals import Signal


class Labelled(Split):
    """Two domains, and y2, the labels of x2.

    Args:
        split: of both.
        labels: of each of its rows.
    """

    def __init__(self, split: Unpaired, labels: Array) -> None:
        self.split, self.second = split, torch.from_numpy(labels[split.second].astype(np.int64))

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        return {**self.split.fetch(index), "y2": self.second[torch.from_numpy(index)]}

    def labels(self) -> Array | None:
        return self.split.labels()


def labelled(derived: Source, source: Source, domain: str, label: int) -> Source:
    """Two domains with y2 where the folder of the second has folders that hold all of its images; else as they are.

    Args:
        derived: the two domains.
        source: of files, what they were made of.
        domain: the name of the second.
        label: its number in the source.
    """
    files = source.files
    assert files is not None and isinstance(source.train, ArraySplit)
    rows = np.flatnonzero(source.train.arrays["y"] == label)
    folders = ["/".join(files.names[row].split("/")[:-1]) for row in rows.tolist()]
    names = sorted(set(folders))
    if len(names) < 2 or "" in names:
        return derived
    labels = np.zeros(len(files.names), np.int64)
    labels[rows] = np.searchsorted(names, folders)
    splits: dict[str, Split] = {}
    for name, split in derived.splits.items():
        whole = source.splits[name]
        assert isinstance(split, Unpaired) and isinstance(whole, ArraySplit)
        splits[name] = Labelled(split, labels[whole.rows])
    return replace(
        derived,
        signals={**derived.signals, "y2": Signal("label", (), (0, len(names) - 1), names=tuple(names))},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([derived.fingerprint.encode(), *(n.encode() for n in names), labels.tobytes()]),
        notes=[*derived.notes, f"Images of {domain} are labelled by the {len(names)} folders within it (y2)."],
    )
