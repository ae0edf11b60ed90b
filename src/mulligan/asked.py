"""Judging systems that are told what to make: do samples show it, are they various, and does D look at it?

For the condition of each real sample that judges, one sample is made. A reader that took part in no training says what
is to be seen in them, and in the real ones. Which reader there is depends on the data: the judges that ship know
digits and drawn characters; of other labels a linear probe is taught by real training samples, and stands under its own
name, with its accuracy on real samples beside it. Tags and texts of other data nobody here can read: of those only the
other two questions are answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mulligan.data.source import Source, conditions, evenly, in_parts
from mulligan.metrics import features, probe
from mulligan.metrics.agreement import agreement, diversity_ratio, preferred, share_complete, share_shown
from mulligan.metrics.card import Card, Result
from mulligan.metrics.features import Characters, Digits, Extractor

KEYS = ("y", "tags", "text")  # of what can be told in words
PAIRS_N = 2000  # real samples of which D is asked
ALIKE_N, EACH = 1600, 8  # samples made to see how various they are, and at least of one condition
FITS_N = 200  # real samples that those of a condition are compared with, at most
TRIES_N = 1000  # conditions looked at to find some that fit several real samples
SHUFFLED, PROTOTYPE = "shuffled conditions", "one prototype"
Made = Callable[[Extractor, int, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Conditions:
    """What some real samples are told of.

    Attributes:
        c: (N, ...), the conditions as a system is given them.
        asked: bool (N, T), what each asks for: one of the classes, or tags. None: not known in words.
        true: bool (N, T), what is true of the real samples, where a condition names but a part of that; else None.
    """

    c: Tensor
    asked: Tensor | None
    true: Tensor | None = None

    @classmethod
    def of(cls, source: Source, split: str, key: str, n: int) -> Conditions:
        """Of an even spread of n samples of a split."""
        if key == "text" and {"tags", "named"} <= source.signals.keys():
            found = conditions(source.splits[split], (key, "tags", "named"), n)
            return cls(found[key], found["named"] > 0, found["tags"] > 0)
        c = conditions(source.splits[split], (key,), n)[key]
        if key == "y":
            return cls(c, one_hot(c, source.signals[key].n_classes) > 0)
        return cls(c, c > 0 if key == "tags" else None)

    def __len__(self) -> int:
        return len(self.c)

    def __getitem__(self, rows: Tensor) -> Conditions:
        asked, true = (None if part is None else part[rows] for part in (self.asked, self.true))
        return Conditions(self.c[rows], asked, true)

    def fit(self, other: Conditions) -> Tensor:
        """bool (N,): the samples of which another condition is true as well; of one other, or of N, row by row.

        A label and tags say all: they must be the same. A sentence is true of whatever has the tags that it names;
        where nobody knows those, it must be the same too.
        """
        if self.true is None or other.asked is None:
            return (self.c == other.c).view(len(self), -1).all(1)
        return (self.true | ~other.asked).all(1)


@dataclass(frozen=True)
class Reader:
    """Sees in an extractor's features (N, d) what can be asked for: bool (N, T)."""

    name: str
    extractor: Extractor
    read: Callable[[Tensor], Tensor]


def reader_of(source: Source, key: str, extractor: Extractor, train: Tensor) -> Reader | None:
    """Who reads what a source's conditions ask for; None where nobody can.

    Args:
        source: the data.
        key: y, tags or text.
        extractor: that a probe reads the features of.
        train: its features (m, d) of an even spread of training samples.
    """
    if key == "y" and source.digits:
        k = source.signals["y"].n_classes
        digits = extractor if isinstance(extractor, Digits) else Digits()
        return Reader(digits.name, digits, lambda found: one_hot(digits.labels(found), k) > 0)
    if key == "y":
        return _probe(source, extractor, train)
    if features.has_characters(source) and (key == "tags" or "named" in source.signals):
        characters = extractor if isinstance(extractor, Characters) else Characters()
        return Reader(characters.name, characters, characters.tags_read)
    return None


def _probe(source: Source, extractor: Extractor, train: Tensor) -> Reader | None:
    labels, k = source.train.labels(), source.signals["y"].n_classes
    assert labels is not None, "a source with a label has labels"
    y = torch.from_numpy(labels[evenly(source.train, len(train))])
    if int(y.bincount(minlength=k).min()) == 0:
        return None  # what it was never shown it would never read
    known = probe.fit(train, y, k)
    name = f"linear probe on {extractor.name}, taught by {len(train):,} training samples"
    return Reader(name, extractor, lambda found: one_hot(known(found).argmax(1), k) > 0)


@dataclass(frozen=True)
class Trial:
    """An evaluation of a system that is told what to make.

    Attributes:
        key: of what it is told: y, tags or text.
        source: the data.
        split: that judges.
        extractor: that judges.
        train: its features (m, d) of an even spread of training samples.
        real: (n, d), of an even spread of the split.
        fake: (n, d), of the samples made for their conditions, in the same order.
        made: features by an extractor of n samples made for given conditions.
        discriminate: D's logits (N,) on x told c; None if no D is told.
        card: takes what a card lacks yet.
    """

    key: str
    source: Source
    split: str
    extractor: Extractor
    train: Tensor
    real: Tensor
    fake: Tensor
    made: Made
    discriminate: Callable[[Tensor, Tensor], Tensor | None]
    card: Callable[..., Card]

    def results(self) -> list[Result]:
        """What can be said of these data, in order."""
        told = Conditions.of(self.source, self.split, self.key, len(self.real))
        reader = reader_of(self.source, self.key, self.extractor, self.train)
        seen = None if reader is None else self._seen(reader)
        found = [*self._various(told), *self._looks(told, seen)]
        if reader is not None and seen is not None:
            found = [*self._shown(told, reader, seen), *found]
        return [result for result in found if math.isfinite(result.value) and math.isfinite(result.floor)]

    def _seen(self, reader: Reader) -> Tensor:
        """What is read from the real samples."""
        other = reader.extractor is not self.extractor
        return reader.read(self._real(reader.extractor, self.split) if other else self.real)

    def _real(self, extractor: Extractor, split: str) -> Tensor:
        """Features of an even spread of a split by another extractor."""
        part = self.source.splits[split]
        return torch.cat([extractor(part.fetch(index)["x"]) for index in in_parts(evenly(part, len(self.real)))])

    # --- is it shown? ---

    def _shown(self, told: Conditions, reader: Reader, seen: Tensor) -> Iterator[Result]:
        """The share that is read of what was asked for. Its floor are the real samples with their own conditions, its
        baseline the real samples with each other's."""
        extractor, n, asked = reader.extractor, len(told), told.asked
        assert asked is not None, "what a reader reads is known in words"
        other = extractor is not self.extractor
        fake = reader.read(self.made(extractor, n, {self.key: told.c}) if other else self.fake)
        shuffled = seen[shuffle(n, seed=0)]
        about = {"extractor": reader.name, "extractor_hash": extractor.hash, "resize": extractor.resize}
        for which, rows in self._parts(asked):
            for name, share in self._shares().items():
                value, floor, chance = (share(on[rows], asked[rows]) for on in (fake, seen, shuffled))
                card = self.card(metric=name + which, n_real=len(rows), n_fake=len(rows), **about)
                yield Result(name + which, value, floor, {SHUFFLED: chance}, "higher", card)

    def _shares(self) -> dict[str, Callable[[Tensor, Tensor], float]]:
        if self.key == "y":
            return {"class shown": share_shown}
        what = "tags" if self.key == "tags" else "named tags"
        return {f"{what} shown": share_shown, f"all {what} shown": share_complete}

    def _parts(self, asked: Tensor) -> Iterator[tuple[str, Tensor]]:
        """All rows; where training lacks some combinations of tags, those that ask for one, and the others."""
        yield "", torch.arange(len(asked))
        unseen = torch.zeros(len(asked), dtype=torch.bool)
        for combination in self.source.unseen if self.key != "y" else ():
            names = self.source.signals["tags"].names
            unseen |= asked[:, [names.index(tag) for tag in combination]].all(1)
        if 0 < unseen.sum() < len(unseen):
            yield ", unseen combinations", unseen.nonzero().flatten()
            yield ", seen combinations", (~unseen).nonzero().flatten()

    # --- is it various? ---

    def _various(self, told: Conditions) -> Iterator[Result]:
        """How far apart samples of one condition lie, over the same of the real samples that the condition fits.

        Far in mean colours of 8 x 8 fields (points: as they are), which no condition has shaped: in a reader's features
        samples that miss their condition would look various. Real samples that fit are those of the same label or the
        same tags; for a sentence those that have all the tags it names, or if nobody knows them, the same sentence. The
        floor are such samples of the other split in place of the made ones, the baseline has one sample a condition.
        """
        total = min(ALIKE_N, len(told))
        chosen = distinct(told, max(1, total // EACH))
        if not chosen:
            return
        each = total // len(chosen)
        ruler = features.make("pixels") if self.source.signals["x"].kind == "image" else self.extractor
        given = {self.key: torch.cat([one.c.repeat_interleave(each, 0) for one in chosen])}
        made = self.made(ruler, each * len(chosen), given), torch.arange(len(chosen)).repeat_interleave(each)
        real = self._fitting(ruler, chosen, self.split)
        other = self._fitting(ruler, chosen, "held_out" if self.split == "test" else "test")
        value, floor = (diversity_ratio(side[0], real[0], side[1], real[1]) for side in (made, other))
        name = f"diversity within a {'class' if self.key == 'y' else f'condition ({self.key})'}"
        card = self.card(
            metric=f"{name}: {len(chosen)}, each of {each} samples", n_real=len(real[0]), n_fake=len(made[0]),
            extractor=ruler.name, extractor_hash=ruler.hash, resize=ruler.resize,
        )  # fmt: skip
        yield Result(name, value, floor, {PROTOTYPE: 0.0}, "target", card)

    def _fitting(self, ruler: Extractor, chosen: list[Conditions], split: str) -> tuple[Tensor, Tensor]:
        """Features of a split's samples that each of some conditions fits, one condition after another, and which."""
        there = Conditions.of(self.source, split, self.key, len(self.real))
        rows = [spread(there.fit(one).nonzero().flatten(), FITS_N) for one in chosen]
        which = torch.arange(len(chosen)).repeat_interleave(torch.tensor(list(map(len, rows))))
        return self._real(ruler, split)[torch.cat(rows)], which

    # --- does D look? ---

    def _looks(self, told: Conditions, seen: Tensor | None) -> Iterator[Result]:
        """How often D puts a real sample with its own condition above the same with another's that is not true of it.

        0.5: it does not look. The floor is what the reader would choose by how much it sees of either condition; where
        there is none 1, as a D that knows would have it.
        """
        own = spread(torch.arange(len(told)), PAIRS_N)
        other = own[shuffle(len(own), seed=1)]
        wrong = ~told[own].fit(told[other])
        own, other = own[wrong], other[wrong]
        mine, its = self._scored(own, told.c[own]), self._scored(own, told.c[other])
        if mine is None or its is None:
            return
        floor = 1.0
        if seen is not None and told.asked is not None:
            floor = preferred(agreement(seen[own], told.asked[own]), agreement(seen[own], told.asked[other]))
        name = f"D on mismatched {'classes' if self.key == 'y' else self.key}"
        card = self.card(
            metric=f"{name}: true pairs above them", n_real=len(own), n_fake=0, weights="raw",
            extractor="the run's own D", extractor_hash="none", resize="none",
        )  # fmt: skip
        yield Result(name, preferred(mine, its), floor, {SHUFFLED: 0.5}, "higher", card)

    def _scored(self, rows: Tensor, c: Tensor) -> Tensor | None:
        """D's logits on the real samples of some rows, told c; None if no D is told."""
        part = self.source.splits[self.split]
        index = in_parts(evenly(part, len(self.real))[rows.numpy()])
        told = torch.split(c, len(index[0])) if index else ()
        found = [self.discriminate(part.fetch(i)["x"], its) for i, its in zip(index, told, strict=True)]
        known = [logits for logits in found if logits is not None]
        return torch.cat(known) if known else None


def distinct(told: Conditions, n: int) -> list[Conditions]:
    """At most n different conditions that fit two samples or more, each alone."""
    found: dict[tuple[float, ...], Conditions] = {}
    for row in spread(torch.arange(len(told)), TRIES_N):
        one = told[row[None]]
        key = tuple(one.c.flatten().tolist())
        if len(found) < n and key not in found and told.fit(one).sum() > 1:
            found[key] = one
    return list(found.values())


def spread(x: Tensor, n: int) -> Tensor:
    """At most n of x, every so-manieth."""
    return x[:: max(1, math.ceil(len(x) / n))]


def shuffle(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))
