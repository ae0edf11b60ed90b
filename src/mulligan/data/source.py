"""Source: what a training reads, in three splits that share no content."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mulligan.signals import Signal

Array = npt.NDArray[Any]
SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class DataCard:
    """Where data comes from and under which terms: shown beside every picture made from it."""

    origin: str
    licence: str
    authors: str
    changes: str

    @property
    def credit(self) -> str:
        """One line that gives credit."""
        parts = [f"{self.origin}, {self.authors}", self.licence, self.changes]
        return "; ".join(part for part in parts if part != "none")

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "credit": self.credit}


class Split(ABC):
    """Some rows of a source."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """The rows `index` (N,) as CPU tensors: x float32, images in [-1, 1]; y int64 (N,); tags float32 (N, T)."""

    def labels(self) -> Array | None:
        """All labels (len,), int64, without touching x; None where there are none."""
        return None


class ArraySplit(Split):
    """Rows of arrays, which may be memory-mapped: uint8 images (N, C, H, W) or float32 points (N, D)."""

    def __init__(self, arrays: dict[str, Array], rows: Array) -> None:
        self.arrays = arrays
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        rows = self.rows[index]
        return {key: to_tensor(array[rows]) for key, array in self.arrays.items()}

    def labels(self) -> Array | None:
        return np.asarray(self.arrays["y"][self.rows]) if "y" in self.arrays else None


class Head(Split):
    """The first n rows of a split."""

    def __init__(self, split: Split, n: int) -> None:
        assert n <= len(split), (n, len(split))
        self.split, self.n = split, n

    def __len__(self) -> int:
        return self.n

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        return self.split.fetch(index)

    def labels(self) -> Array | None:
        y = self.split.labels()
        return None if y is None else y[: self.n]


def evenly(split: Split, n: int) -> npt.NDArray[np.int64]:
    """n rows of a split: all, or an even spread, since data may be sorted by class; some twice if there are fewer."""
    return np.linspace(0, len(split) - 1, n).round().astype(np.int64)


def conditions(split: Split, keys: Sequence[str], n: int) -> dict[str, Tensor]:
    """What an even spread of n real samples are told of, by key."""
    if not keys:
        return {}
    parts = []
    for index in in_parts(evenly(split, n)):
        rows = split.fetch(index)
        parts.append({key: rows[key] for key in keys})  # x is let go of
    return {key: torch.cat([part[key] for part in parts]) for key in keys}


def in_parts(index: npt.NDArray[np.int64], at_once: int = 1000) -> list[npt.NDArray[np.int64]]:
    """Row numbers in parts that can be fetched at once."""
    return [index[start : start + at_once] for start in range(0, len(index), at_once)]


def to_tensor(rows: Array) -> Tensor:
    """uint8 to float32 in [-1, 1] (u / 127.5 - 1); float32 and int64 as they are."""
    tensor = torch.from_numpy(rows)
    if tensor.dtype == torch.uint8:
        return tensor.to(torch.float32).div_(127.5).sub_(1.0)
    return tensor


@dataclass(frozen=True)
class Files:
    """Of each row of a source's arrays, what its file says.

    Attributes:
        names: apart from the class and the suffix: images of two classes with the same name are partners.
        paths: where it lies below the folder.
        sizes: int (N, 2), width and height of the original.
        flat: bool (N,), whether the image is of one colour all over.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    sizes: Array
    flat: Array


@dataclass(kw_only=True)
class Source:
    """A data set, open.

    Attributes:
        name: of a built-in source, a folder or a file, without the path to it.
        signals: what `fetch` returns, by key.
        train: what the players see.
        held_out: for the referee and for stopping.
        test: for judging.
        fingerprint: 16 hex digits of the content's SHA-256; equal only for equal data.
        card: origin and licence.
        notes: sentences for the user, such as files that were skipped.
        facts: what opening learned about the originals (sizes, modes, unreadable files), for `data check`.
        unseen: combinations of tags that test has and training never shows.
        digits: each channel is a digit of MNIST, which the digit judge can read.
        files: what the rows of the arrays behind the splits were read from, where that is files.
    """

    name: str
    signals: dict[str, Signal]
    train: Split
    held_out: Split
    test: Split
    fingerprint: str
    card: DataCard
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    unseen: tuple[tuple[str, ...], ...] = ()
    digits: bool = False
    files: Files | None = None

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "held_out": self.held_out, "test": self.test}


def fingerprint(parts: Iterable[bytes | memoryview]) -> str:
    """16 hex digits of the SHA-256 of some bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def content_keys(rows: Array) -> list[bytes]:
    """For each row its 16-byte content hash: equal rows, equal keys."""
    return [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in rows]


def split_by_content(keys: Sequence[bytes]) -> tuple[Array, list[str]]:
    """For each row 0 (train), 1 (held_out) or 2 (test), decided by its content alone.

    Equal rows fall into the same split, and a row keeps its split when others come or go. No split stays
    empty where there are three distinct rows; with fewer, 3 marks rows that held_out and test share, and
    4 rows that all splits share.

    Returns:
        uint8 (N,), and notes for the user.
    """
    place = {key: _place(key) for key in keys}
    if len(place) < 3:
        return _share_few(keys, sorted(place))
    order = sorted(place)
    for split in range(3):
        if split not in place.values():
            counts = [sum(p == s for p in place.values()) for s in range(3)]
            donor = int(np.argmax(counts))
            place[next(key for key in order if place[key] == donor)] = split
    return np.array([place[key] for key in keys], np.uint8), []


def _place(key: bytes) -> int:
    u = int.from_bytes(key[:8], "big") / 2**64
    return 0 if u < SHARES[0] else 1 if u < SHARES[0] + SHARES[1] else 2


def _share_few(keys: Sequence[bytes], distinct: list[bytes]) -> tuple[Array, list[str]]:
    """One or two distinct rows cannot make three disjoint splits."""
    if len(distinct) == 1:
        return np.full(len(keys), 4, np.uint8), ["All rows are identical: train, held_out and test are the same."]
    note = "Only two distinct rows: held_out and test are the same."
    return np.array([0 if key == distinct[0] else 3 for key in keys], np.uint8), [note]


def rows_of(split: Array) -> dict[str, Array]:
    """The row numbers of each split, from what `split_by_content` returned.

    In an order without meaning but always the same: files come sorted by class, and whoever takes the first
    thousand rows of a split must not get one class.
    """
    members = {"train": (0, 4), "held_out": (1, 3, 4), "test": (2, 3, 4)}
    order = np.random.RandomState(0).permutation(len(split))
    return {name: order[np.isin(split[order], codes)] for name, codes in members.items()}


class Splits(TypedDict):
    """The splits, as keyword arguments of Source."""

    train: Split
    held_out: Split
    test: Split


def array_splits(arrays: dict[str, Array], split: Array) -> Splits:
    """The three splits over the same arrays."""
    rows = {name: ArraySplit(arrays, index) for name, index in rows_of(split).items()}
    return Splits(train=rows["train"], held_out=rows["held_out"], test=rows["test"])
