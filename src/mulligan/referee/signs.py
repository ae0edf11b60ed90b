"""Vital signs: what the referee reads of a game at every tick, from a few samples and at most a fiftieth of its time.

Everything is measured through `scores` and `generate`, so no system knows of it. Raw weights are looked at, for a
moving average shows a lost game late.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mulligan import runtime
from mulligan.config import Config, role_of
from mulligan.data.source import Source, Split, conditions, evenly, in_parts
from mulligan.game import Batch, System
from mulligan.loop import Loop
from mulligan.observe import auc, generate, observing, scored
from mulligan.referee.modes import EXPECTED
from mulligan.referee.modes import MOST as MOST_CLASSES
from mulligan.referee.view import Numbers, View
from mulligan.rundir import FLOOR
from mulligan.signals import Signal

SHARE = 0.02  # of the training time
SEED = 2  # of the latents, the same at each tick
LEAST, MOST = 64, 256  # samples
NUMBERS = 1_000_000  # of all samples, unless that were fewer than LEAST
TOLD, LEAST_TOLD = 24, 8  # samples that are made again, for something else and from other noise
ROOM = 4_000_000  # numbers of rows that are kept, of each split
FLAT = 1e-6  # between real samples: there is nothing to learn
# of the things that a system makes, which one's number tells how the game is: that of the worst
WORST = {
    "distance": max,
    "swing": max,
    "circling": max,
    "diversity": min,
    "modes": min,
    "nearest": min,
    "condition": min,
    "noise": min,
}
Rows = npt.NDArray[np.int64]


class Signs:
    """Measures one run.

    Args:
        system: in training.
        source: its data.
        loop: that plays it.
    """

    def __init__(self, system: System, source: Source, loop: Loop) -> None:
        self.system, self.source, self.loop = system, source, loop
        size = max(signal.size for signal in system.makes.values())
        few = min(MOST, 2 * system.config.batch)  # about what a round costs
        self.n = max(LEAST, enough_for(source.signals.get("y")), min(few, NUMBERS // size))
        self.part = max(16, min(self.n, loop.shard))  # as in a look
        self.spent = self.cost = 0.0  # seconds: in all, and of one measurement
        self.since = loop.progress.seconds
        views = [View(source, key, self.n, labelled=i == 0) for i, key in enumerate(system.makes)]
        self.views = [view for view in views if view.spread > FLAT]
        self.given = conditions(source.held_out, system.given, self.n)
        # those of others: half of them further on, for data may be sorted by class
        self.turned = {k: v.roll(self.n // 2, 0) for k, v in self.given.items()}
        self.train, self.held_out = Remembered(source.train), Remembered(source.held_out)
        # whether a sample is what it was made for is read from labels alone, and so is whether D asks
        self.told = "y" in self.given and bool(self.views) and self.views[0].modes.named
        asked = self.told and not reads_names(system.config)
        self.rows, self.others = self._mismatched(system.given if asked else ())
        self.floors = self._floors()

    def due(self) -> bool:
        """Whether another measurement keeps within its share of the time."""
        return self.spent + self.cost <= SHARE * (self.loop.progress.seconds - self.since)

    def measure(self, *, counted: bool = True) -> tuple[Numbers, list[str]]:
        """The signs, and the names of modes that no sample belongs to; `counted`: against their share of the time."""
        began = time.perf_counter()
        with observing(self.system):
            runtime.seed(SEED, self.system.device)
            found = self._separation()
            made = self._made(SEED, self.given)
            missing: list[str] = []
            found["finite"] = float(all(x.isfinite().all() for x in made.values()))
            if found["finite"]:
                samples, missing = self._samples(made)
                found |= samples | self._told() | self.floors
        self.cost = time.perf_counter() - began
        self.spent += self.cost * counted
        return found, missing

    # --- D --------------------------------------------------------------------------------------------------

    def _separation(self) -> Numbers:
        """By player: its mean logit on training reals, held-out reals and fakes, and how well it tells them apart."""
        train, held_out = (self._scores(s, evenly(s, min(self.n, len(s)))) for s in (self.train, self.held_out))
        found: Numbers = {}
        for player, (known, made) in train.items():
            new, other = held_out[player]
            fakes = torch.cat([made, other])
            found |= {
                f"{player}.real": float(known.mean()),
                f"{player}.held_out": float(new.mean()),
                f"{player}.fake": float(fakes.mean()),
                f"{player}.auc_train": auc(known, fakes),
                f"{player}.auc": auc(new, fakes),
                f"{player}.memory": auc(known, new),
            }
        return found | self._matching()

    def _matching(self) -> Numbers:
        """By player, how often it rates an unseen real sample above the same one with the condition of another."""
        if len(self.rows) < LEAST_TOLD:
            return {}
        right = self._scores(self.held_out, self.rows)
        wrong = self._scores(self.held_out, self.rows, self.others)
        return {f"{player}.matching": auc(right[player][0], wrong[player][0]) for player in right}

    def _mismatched(self, keys: Sequence[str]) -> tuple[Rows, Rows]:
        """Unseen rows, and for each another of which a key differs; at most LEAST."""
        rows = evenly(self.source.held_out, self.n)
        others = np.roll(rows, self.n // 2)
        differs = self._differs(keys).nonzero()[:, 0].numpy()
        some = differs[np.linspace(0, len(differs) - 1, min(LEAST, len(differs))).astype(int)]  # of all classes
        return rows[some], others[some]

    def _differs(self, keys: Sequence[str]) -> Tensor:
        """Of the conditions (n,) that are looked at, which differ in a key from another's."""
        apart = torch.zeros(self.n, dtype=torch.bool)
        for key in keys:
            apart |= (self.given[key] != self.turned[key]).reshape(self.n, -1).any(1)
        return apart

    def _scores(self, split: Split, rows: Rows, others: Rows | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """By player, its logits on real samples, with the conditions of `others` if there are any, and on fakes."""

        def batch(at: Rows) -> Batch:
            if others is None:
                return split.fetch(rows[at])
            told = split.fetch(others[at])
            return {**split.fetch(rows[at]), **{key: told[key] for key in self.system.given}}

        return scored(self.system, map(batch, in_parts(np.arange(len(rows)), self.part)))

    # --- samples --------------------------------------------------------------------------------------------

    def _made(self, seed: int, given: Batch, n: int | None = None) -> Batch:
        return generate(self.system, n or self.n, seed=seed, at_once=self.part, given=given)

    def _samples(self, made: Batch) -> tuple[Numbers, list[str]]:
        """Of all that is made: how far it is from the data, and the modes that are missing."""
        found, missing = [], []
        for view in self.views:
            fake = view.seen(made)
            course, gone = view.course(fake)
            found.append(view.distances(fake) | course)
            missing += gone if len(self.views) == 1 else [f"{view.key}: {name}" for name in gone]
        return worst(found), missing

    def _told(self) -> Numbers:
        """By how much samples move with what they are made for, and with the noise; and whether they are it."""
        if not self.given:
            return {}
        rows = self._differs(tuple(self.given)).nonzero()[:TOLD, 0]
        told = len(rows) >= LEAST_TOLD
        rows = rows if told else torch.arange(min(TOLD, self.n))
        given = {k: v[rows] for k, v in self.given.items()}
        once = self._made(SEED, given, len(rows))
        found: Numbers = {}
        if told:
            turned = {k: v[rows] for k, v in self.turned.items()}
            found |= self._moved("condition", once, self._made(SEED, turned, len(rows)))
        if self.system.latent(1).shape[1]:
            found |= self._moved("noise", once, self._made(SEED + 1, given, len(rows)))
        if self.told and (belongs := self.views[0].belongs) is not None:
            found["agreement"] = self.views[0].modes.agreement(belongs, self.given["y"])
        return found

    def _moved(self, name: str, once: Batch, again: Batch) -> Numbers:
        return worst([{name: view.moved(view.seen(once), view.seen(again))} for view in self.views])

    def _floors(self) -> Numbers:
        """What unseen real data would have in place of samples."""
        real = worst([view.distances(view.held_out) for view in self.views if len(view.held_out) > 1])
        found = {"distance" + FLOOR: real["distance"]} if real else {}
        if self.told:
            classes = self.views[0].modes
            found["agreement" + FLOOR] = classes.readable(self.n)
            found["agreement chance"] = float(classes.real.square().sum())
        return found


class Remembered(Split):
    """A split whose rows are fetched once, if they are few: a task can take longer to compute than all else here."""

    def __init__(self, split: Split) -> None:
        self.split, self.kept, self.room = split, dict[bytes, Batch](), ROOM

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: Rows) -> Batch:
        key = index.tobytes()
        if key not in self.kept:
            rows = self.split.fetch(index)
            size = sum(x.numel() for x in rows.values())
            if size > self.room:
                return rows
            self.room -= size
            self.kept[key] = rows
        return {k: x.clone() for k, x in self.kept[key].items()}  # a system may write to what it is given


def enough_for(label: Signal | None) -> int:
    """Samples, for each class to be expected among them."""
    n = label.n_classes if label is not None and label.kind == "label" else 0
    return round(1.25 * EXPECTED * n) if n <= MOST_CLASSES else 0


def reads_names(config: Config) -> bool:
    """Whether D names the class of an image instead of being told it (AC-GAN): nothing can match or not."""
    return any(role_of(field) == "told" for field in type(config).model_fields.values())


def worst(found: Sequence[Numbers]) -> Numbers:
    """By name, the number of the worst of some things that are made; a name that some lack is of the others."""
    names = dict.fromkeys(name for numbers in found for name in numbers)
    return {name: WORST[name](numbers[name] for numbers in found if name in numbers) for name in names}
