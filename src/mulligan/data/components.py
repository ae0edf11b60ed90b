"""Which pairs of images are in one split: those that share an image, however many others are between them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from mulligan.data.source import Array, split_by_content
from mulligan.errors import Mistake

LEAST = 3  # components that train, held_out and test are made of
SPLITS = ("train", "held_out", "test")
Pair = tuple[bytes, bytes]


class Components:
    """Pairs that share images, put together.

    An image of one flat colour, such as an empty mask, binds none: it says nothing that training could give away, and
    a few of them would drag all pairs into one split.

    Args:
        pairs: the content keys of each pair's two images.
        flat: bool (N, 2), which of them are of one colour.
        told: the name of an image, by its pair and side.
        flag: the option that asks for pairs, for messages.

    Raises:
        ValueError: there are fewer than three that share no image.
    """

    def __init__(self, pairs: Sequence[Pair], flat: Array, told: Callable[[int, int], str], flag: str) -> None:
        self.flat, self.told = flat, told
        self.bonds = [_bonds(pair, two) for pair, two in zip(pairs, flat.tolist(), strict=True)]
        self.roots = together(self.bonds)
        sizes = Counter(self.roots)
        root, self.largest = sizes.most_common(1)[0]
        self.first = self.roots.index(root)  # pair of the largest
        if len(sizes) < LEAST:
            raise Mistake(f"{flag}: {self._too_few(len(sizes))}")

    @property
    def lopsided(self) -> bool:
        """Whether more than half of the pairs have to be in one split."""
        return self.largest > len(self.roots) / 2

    def split(self) -> Array:
        """For each pair 0 (train), 1 (held_out) or 2 (test), decided by the content of its component alone."""
        # hashed once more: the smallest of several hashes is small, and small ones are for training
        split, _ = split_by_content([hashlib.blake2b(root, digest_size=16).digest() for root in self.roots])
        its = split[self.first]
        if self.lopsided and its != 0:  # most pairs are for training, wherever chance has put them
            split = np.where(split == its, 0, np.where(split == 0, its, split)).astype(np.uint8)
        return split

    def notes(self, split: Array) -> list[str]:
        """What the user has to know of pairs that are split so."""
        notes, n = [], len(self.roots)
        if self.lopsided:
            counts = [int((split == number).sum()) for number in range(len(SPLITS))]
            told = ", ".join(f"{name} {count:,}" for name, count in zip(SPLITS, counts, strict=True))
            its = SPLITS[int(split[self.first])]
            what = f"{self.largest:,} of {n:,} pairs share images, directly or by others between them{self._shared()}"
            notes.append(f"{what}, so all of them are in {its}: {told}.")
        flat = self.flat.any(1)
        if flat.sum() > n / 2:
            pair = int(flat.argmax())
            name = self.told(pair, int(self.flat[pair].argmax()))
            notes.append(f"In {int(flat.sum()):,} of {n:,} pairs an image is of one colour all over, such as {name}.")
        return notes

    def _too_few(self, n: int) -> str:
        pairs, shared = len(self.roots), self._shared()
        if not shared:
            return f"{pairs:,} pairs are too few for train, held_out and test: add some, {LEAST} are the least"
        all_of = "all of them" if n == 1 else "two groups of them"
        return (
            f"{pairs:,} pairs cannot be split into train, held_out and test: {all_of} share images, directly or by "
            f"others between them{shared}; add pairs of images that no other has, or look whether these are meant"
        )

    def _shared(self) -> str:
        """The image that most pairs have."""
        key, times = Counter(key for bonds in self.bonds for key in set(bonds)).most_common(1)[0]
        if times == 1:
            return ""
        pair = next(i for i, bonds in enumerate(self.bonds) if key in bonds)
        side = self.bonds[pair].index(key) if len(self.bonds[pair]) == 2 else int(self.flat[pair].argmin())
        return f" ({self.told(pair, side)} is in {times:,} of them)"


def _bonds(pair: Pair, flat: Sequence[bool]) -> tuple[bytes, ...]:
    """The keys by which a pair is bound to others: where both images are flat, that of both in whatever order."""
    found = tuple(key for key, its in zip(pair, flat, strict=True) if not its)
    return found or (hashlib.blake2b(b"".join(sorted(pair)), digest_size=16).digest(),)


def together(bonds: Sequence[tuple[bytes, ...]]) -> list[bytes]:
    """For each row of keys a key that it has in common with all rows that share one with it, however many others are
    between them.
    """
    parent: dict[bytes, bytes] = {}

    def root(key: bytes) -> bytes:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for keys in bonds:
        for key in keys[1:]:
            low, high = sorted((root(keys[0]), root(key)))
            parent[high] = low
    return [root(keys[0]) for keys in bonds]
