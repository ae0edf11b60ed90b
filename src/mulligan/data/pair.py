"""`--pair A:B`: two classes, or two tags, as two unpaired domains."""

from __future__ import annotations

from functools import partial

import numpy as np

from mulligan.config import nearest
from mulligan.data.source import Array, Source, Split
from mulligan.data.unpaired import Domains, columns, unpaired
from mulligan.errors import Mistake
from mulligan.signals import Signal

NOT = "no "  # before a tag: without it


def paired(source: Source, pair: str) -> Source:
    """x: images of the first class or tag, x2: of the second. What is in both, two tags that agree, is in neither.

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
        raise Mistake(f"{flag}: {source.name} has no classes and no tags; {mend}")
    find = _class if key == "y" else _tag
    a, b = (find(word, source.signals[key], f"{flag}: {source.name}") for word in (first, second))
    if a == b:
        raise Mistake(f"{flag}: both are {first}; name two that differ")
    # the class is the same for all of a domain; tags still tell its samples apart
    derived = unpaired(source, flag, (first, second), partial(_rows, key=key, a=a, b=b), without=("y",))
    derived.digits = source.digits and source.signals["x"].shape[0] == 1  # with three, few of 1,000 modes are left
    return derived


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
