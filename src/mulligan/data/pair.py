"""`--pair A:B`: two classes, or two tags, from the first to the second: as pairs where files of two classes have equal
names, else as two unpaired domains.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.config import nearest
from mulligan.data.components import Components
from mulligan.data.folder import BESIDE_FOLDERS
from mulligan.data.images import SAME_SHAPE, shown
from mulligan.data.images import some as _some
from mulligan.data.source import (
    Array,
    ArraySplit,
    Files,
    Source,
    Split,
    content_keys,
    fingerprint,
    rows_of,
    to_tensor,
)  # fmt: skip
from mulligan.data.sublabels import labelled
from mulligan.data.unpaired import LEAST, Domains, columns, halves, unpaired
from mulligan.errors import Mistake
from mulligan.signals import Signal

NOT = "no "  # before a tag: without it
MOST = 0.9  # of files with a partner: fewer are taken for chance where no pairs are asked for
APART = "train a system that needs no pairs: mulligan train cyclegan"
NO_PAIRS = "no pairs"  # among the facts of a source: why


def paired(source: Source, pair: str, apart: bool = False) -> Source:
    """From the first class or tag to the second: x is of the second.

    Args:
        source: of images.
        pair: A:B.
        apart: as two domains, x2 beside x, even where files of the two classes have equal names and are pairs, with
            `input` beside x.

    Raises:
        ValueError: the pair is not two, or the source lacks one of them, or classes and tags altogether.
    """
    flag = f"--pair {pair}"
    first, colon, second = (word.strip() for word in pair.partition(":"))
    if not (first and colon and second):
        raise Mistake(f"{flag}: name two classes or two tags, as A:B")
    key = next((key for key in ("y", "tags") if key in source.signals), None)
    if key is None:
        mend = "put the images of each class in a folder of its own"
        if beside := source.facts.get(BESIDE_FOLDERS):
            mend = f"images such as {beside} lie beside its folders, which are no classes then: move them"
        raise Mistake(f"{flag}: {source.name} has no classes and no tags; {mend}")
    find = _class if key == "y" else _tag
    a, b = (find(word, source.signals[key], f"{flag}: {source.name}") for word in (first, second))
    if a == b:
        raise Mistake(f"{flag}: both are {first}; name two that differ")
    why = f"{source.name} does not say which images belong together; {APART}"
    if key == "y" and source.files is not None:
        partners = Partners.of(source, a, b)
        if apart and partners.most:
            return halves(partners.source(source, flag, (first, second)), flag)
        if not apart and len(partners.both) >= LEAST:
            return partners.source(source, flag, (first, second))
        why = partners.none((first, second))
    # the class is the same for all of a domain; tags still tell its samples apart
    choose = partial(_rows, key=key, a=b, b=a)
    try:
        derived = unpaired(source, flag, (second, first), choose, without=("y",))
    except Mistake as mistake:
        if apart or key != "y" or source.files is None:
            raise
        raise Mistake(f"{flag}: {why}") from mistake  # pairs were asked for: that there are none comes first
    if key == "y" and source.files is not None:
        derived = labelled(derived, source, first, a)
    # with three channels, few of 1,000 modes are left
    digits = source.digits and source.signals["x"].shape[0] == 1
    return replace(derived, digits=digits, files=None, facts={**derived.facts, NO_PAIRS: f"{flag}: {why}"})


# --- partners ---------------------------------------------------------------------------------------------------


class Pairs(Split):
    """Rows of arrays two by two: x and whatever else is known of it, and `input`, the x of its partner."""

    def __init__(self, arrays: dict[str, Array], both: Array) -> None:
        self.arrays, self.both = arrays, both

    def __len__(self) -> int:
        return len(self.both)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        first, second = self.both[index].T
        rows = {key: to_tensor(array[second]) for key, array in self.arrays.items()}
        return {**rows, "input": to_tensor(self.arrays["x"][first])}


class Partners:
    """Which files of two classes belong together.

    Attributes:
        both: int (N, 2), rows of partners of the same shape, of the first class and of the second.
        twice: files whose name an earlier one of their class has, which alone counts.
        single: files without a partner, with the class, 0 or 1, that lacks it.
        unequal: files of the first class whose partners differ in shape, with both sizes.
    """

    def __init__(self, files: Files, y: Array, a: int, b: int) -> None:
        self.files = files
        self.counts = [int((y == label).sum()) for label in (a, b)]
        self.twice: list[str] = []
        rows = [self._named(files, np.flatnonzero(y == label)) for label in (a, b)]
        alone = sorted(rows[0].keys() ^ rows[1].keys())
        self.single = {files.paths[(rows[0] | rows[1])[name]]: int(name in rows[0]) for name in alone}
        self.unequal: dict[str, str] = {}
        both = []
        for name in sorted(rows[0].keys() & rows[1].keys()):
            pair = rows[0][name], rows[1][name]
            (w, h), (w2, h2) = files.sizes[list(pair)].tolist()
            if abs(w * h2 / (h * w2) - 1) > SAME_SHAPE:
                self.unequal[files.paths[pair[0]]] = f"{w} x {h} and {w2} x {h2}"
            else:
                both.append(pair)
        self.both = np.array(both, np.int64).reshape(-1, 2)

    def _named(self, files: Files, rows: Array) -> dict[str, int]:
        """Rows of a class by the names of their files."""
        found: dict[str, int] = {}
        for row in rows.tolist():
            if found.setdefault(files.names[row], row) != row:
                self.twice.append(files.paths[row])
        return found

    @property
    def most(self) -> bool:
        """Whether nearly all files have a partner, so that equal names are no chance."""
        return len(self.both) >= MOST * max(self.counts)

    @classmethod
    def of(cls, source: Source, a: int, b: int) -> Partners:
        assert source.files is not None and isinstance(source.train, ArraySplit)
        return cls(source.files, source.train.arrays["y"], a, b)

    def source(self, source: Source, flag: str, names: tuple[str, str]) -> Source:
        """The pairs, in the splits of their images, or if those of partners differ, by the content of both: pairs that
        share an image are in the same split.

        Raises:
            ValueError: they share so many that there are no three splits.
        """
        assert isinstance(source.train, ArraySplit)
        arrays = {key: array for key, array in source.train.arrays.items() if key != "y"}
        both = self._components(arrays["x"], flag)
        split = self._split(source, both)
        # by rules that earlier runs did not know: those saw other splits
        anew = [split.tobytes()] if both.flat.any() or both.lopsided else []
        splits = {name: Pairs(arrays, self.both[index]) for name, index in rows_of(split).items()}
        signals = {key: signal for key, signal in source.signals.items() if key != "y"}
        return replace(
            source,
            signals={**signals, "input": signals["x"]},
            train=splits["train"],
            held_out=splits["held_out"],
            test=splits["test"],
            fingerprint=fingerprint([source.fingerprint.encode(), flag.encode(), self.both.tobytes(), *anew]),
            notes=[*source.notes, *self._notes(flag, names), *both.notes(split)],
            facts={**source.facts, "pair": (names[1], names[0]), "single": self._lacks(names), "unequal": self.unequal},
            digits=False,
            files=None,
        )

    def _components(self, x: Array, flag: str) -> Components:
        def told(pair: int, side: int) -> str:
            return shown(self.files.paths[self.both[pair, side]])

        keys = [content_keys(x[pair]) for pair in self.both]
        return Components([(a, b) for a, b in keys], self.files.flat[self.both], told, flag)

    def _split(self, source: Source, components: Components) -> Array:
        """For each pair 0 (train), 1 (held_out) or 2 (test)."""
        place = np.full(len(self.files.names), -1)
        for number, split in enumerate(source.splits.values()):
            assert isinstance(split, ArraySplit)
            place[split.rows] = number
        first, second = place[self.both].T
        if (first == second).all() and set(first) == {0, 1, 2}:
            found: Array = first.astype(np.uint8)
            return found
        return components.split()

    def _notes(self, flag: str, names: tuple[str, str]) -> list[str]:
        notes = [f"{len(self.both):,} pairs, from {names[0]} to {names[1]} ({flag})."]
        if self.twice:
            what = "Of files that differ by their suffix alone the first is taken"
            notes.append(f"{what} ({len(self.twice):,} are left out): {_some(self.twice)}.")
        if self.single:
            told = [f"{name} (not in {folder})" for name, folder in self._lacks(names).items()]
            notes.append(f"Files that have no partner and are left out ({len(told):,}): {_some(told)}.")
        if self.unequal:
            told = [f"{name} ({sizes})" for name, sizes in self.unequal.items()]
            notes.append(f"Partners of unequal shape that are left out ({len(told):,}): {_some(told)}.")
        return notes

    def _lacks(self, names: tuple[str, str]) -> dict[str, str]:
        """Files without a partner, with the name of the class that lacks one."""
        return {name: names[lacking] for name, lacking in self.single.items()}

    def none(self, names: tuple[str, str]) -> str:
        """Why there are no pairs."""
        if self.unequal:
            name, sizes = next(iter(self.unequal.items()))
            mend = f"bring them to the same width over height, or {APART}"
            return f"partners are of unequal shape: {shown(name)} and its partner are {sizes}; {mend}"
        counts = " and ".join(f"{n:,} of {name}" for n, name in zip(self.counts, names, strict=True))
        without = f" ({_some(list(self.single))} have none)" if self.single else ""
        has = f"{len(self.both)} have a partner of the same name, three are needed{without}"
        return f"of {counts}, {has}; name partners alike, or {APART}"


# --- classes and tags -------------------------------------------------------------------------------------------


def _rows(split: Split, *, key: str, a: int, b: int) -> Domains:
    if key == "y":
        y = split.labels()
        assert y is not None
        return np.flatnonzero(y == a), np.flatnonzero(y == b)
    tags = np.concatenate([part.numpy() for part in columns(split, key)]) > 0.5
    with_a, with_b = _has(tags, a), _has(tags, b)
    return np.flatnonzero(with_a & ~with_b), np.flatnonzero(with_b & ~with_a)


def _has(tags: Array, tag: int) -> Array:
    """Whether a row of tags (N, T) has the tag; ~tag means that it has not."""
    has: Array = tags[:, tag] if tag >= 0 else ~tags[:, ~tag]
    return has


def _class(word: str, signal: Signal, whose: str) -> int:
    """The number of a class by its name or number."""
    numbers = [str(i) for i in range(signal.n_classes)]
    names = list(signal.names) or numbers
    for known in (names, numbers):
        if word in known:
            return known.index(word)
    raise Mistake(f"{whose} has no class {word!r}{nearest(word, names[:200])}")


def _tag(word: str, signal: Signal, whose: str) -> int:
    """The number of a tag, or ~number of `no TAG`."""
    if word in signal.names:
        return signal.names.index(word)
    bare = word.removeprefix(NOT)
    if bare in signal.names:
        return ~signal.names.index(bare)
    raise Mistake(f"{whose} has no tag {word!r}{nearest(bare, signal.names)}")
