"""Two domains side by side: x from the one, x2 from the other, and nothing that says which belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mulligan.data.computed import Computed
from mulligan.data.source import Array, Source, Split, content_keys, fingerprint
from mulligan.errors import Mistake

Domains = tuple[Array, Array]  # the rows of a split that make the first domain, and the second
LEAST = 2  # samples of a domain in each split
FETCH = 1000
SEEDS = {"train": 41, "held_out": 42, "test": 43}  # of who stands beside whom


class Unpaired(Split):
    """Rows of two domains: what stands in a row as x2 has nothing to do with its x.

    As long as the larger domain. Each domain stands in a shuffled order, the smaller one again and again, so what
    `fetch` returns follows from the index alone. Other keys, such as y, are those of x.

    Args:
        split: which holds both.
        domains: their rows.
        keys: that `fetch` returns beside x2.
        seed: of the orders.
        other: the key of the second domain's images.
    """

    def __init__(self, split: Split, domains: Domains, *, keys: tuple[str, ...], seed: int, other: str = "x") -> None:
        self.split, self.keys, self.other = split, keys, other
        self.own = split if "input" in keys else plain(split)
        self.beside = split if other == "input" else plain(split)
        random = np.random.default_rng(seed)
        n = max(map(len, domains))
        self.first, self.second = (_shuffled(rows, n, random) for rows in domains)

    def __len__(self) -> int:
        return len(self.first)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        own, other = self.own.fetch(self.first[index]), self.beside.fetch(self.second[index])[self.other]
        return {**{key: own[key] for key in self.keys}, "x2": other}

    def labels(self) -> Array | None:
        y = self.split.labels() if "y" in self.keys else None
        return None if y is None else y[self.first]


def _shuffled(rows: Array, n: int, random: np.random.Generator) -> Array:
    """n rows: a permutation of all, and further ones where n is more."""
    turns = -(-n // len(rows))
    return np.concatenate([random.permutation(rows) for _ in range(turns)])[:n]


def unpaired(
    source: Source,
    flag: str,
    names: tuple[str, str],
    choose: Callable[[Split], Domains],
    *,
    without: tuple[str, ...] = (),
    other: str = "x",
) -> Source:
    """The source as two domains.

    Args:
        source: of images.
        flag: the option that asks for it, for messages and the fingerprint.
        names: of the domains.
        choose: the rows of each domain in a split.
        without: signals that mean nothing any more.
        other: the key of the second domain's images.

    Raises:
        ValueError: it holds no images, or a domain has too few samples.
    """
    signals = {key: signal for key, signal in source.signals.items() if key not in without}
    if signals["x"].kind != "image":
        raise Mistake(f"{flag}: {source.name} holds {signals['x'].kind}, two domains are made of images; leave it out")
    chosen = {name: choose(split) for name, split in source.splits.items()}
    for split, domains in chosen.items():
        for name, rows in zip(names, domains, strict=True):
            if len(rows) < LEAST:
                what = f"of {name} {source.name} has {len(rows)} samples in {split}"
                raise Mistake(f"{flag}: {what}, at least {LEAST} are needed; add data")
    splits = {
        name: Unpaired(source.splits[name], domains, keys=tuple(signals), seed=SEEDS[name], other=other)
        for name, domains in chosen.items()
    }
    counts = [len(rows) for rows in chosen["train"]]
    told = " and ".join(f"{n:,} of {name}" for n, name in zip(counts, names, strict=True))
    return replace(
        source,
        signals={**signals, "x2": source.signals[other]},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([source.fingerprint.encode(), flag.encode()]),
        notes=[*source.notes, f"Two domains, x and x2: training sees {told} ({flag})."],
        facts={**source.facts, "domains": dict(zip(names, counts, strict=True))},
    )


def halves(source: Source, flag: str) -> Source:
    """Of pairs, x alone of the one half and the input alone of the other, as x2: no pair is seen both ways."""
    own, made_from = source.facts.get("pair", ("x", "input"))
    derived = unpaired(source, flag, (own, made_from), halved, without=("input",), other="input")
    card = replace(source.card, changes=f"{source.card.changes}; half of them as {made_from}".removeprefix("none; "))
    return replace(derived, card=card)


def halved(split: Split) -> Domains:
    """Decided by a row's content alone: equal rows fall into the same half, and a row keeps its half."""
    keys = (key for x in columns(plain(split), "x") for key in content_keys(x.numpy()))
    second = np.fromiter((key[-1] % 2 for key in keys), bool, len(split))
    return np.flatnonzero(~second), np.flatnonzero(second)


def plain(split: Split) -> Split:
    """The split without what is computed of it, which takes its time."""
    return split.split if isinstance(split, Computed) else split


def columns(split: Split, key: str) -> Iterator[Tensor]:
    """One signal of every row of a split, in parts."""
    for start in range(0, len(split), FETCH):
        yield split.fetch(np.arange(start, min(start + FETCH, len(split))))[key]
