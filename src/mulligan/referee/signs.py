"""Vital signs: what the referee reads of a game at every tick, from a few samples and at most a fiftieth of its time.

Everything is measured through `scores` and `generate`, so no system knows of it. Raw weights are looked at, for a
moving average shows a lost game late.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from mulligan import runtime
from mulligan.data.source import Source, Split, conditions, evenly, in_parts
from mulligan.game import Batch, System
from mulligan.loop import Loop
from mulligan.observe import auc, generate, observing
from mulligan.referee.view import Numbers, View
from mulligan.rundir import FLOOR

SHARE = 0.02  # of the training time
SEED = 2  # of the latents, the same at each tick
LEAST, MOST = 64, 256  # samples
NUMBERS = 1_000_000  # of all samples, unless that were fewer than LEAST
TOLD, LEAST_TOLD = 24, 8  # samples that are made again, for something else and from other noise
FLAT = 1e-6  # between real samples: there is nothing to learn
# of the things that a system makes, which one's number tells how the game is: that of the worst
WORST = {"distance": max, "swing": max, "diversity": min, "modes": min, "nearest": min, "condition": min, "noise": min}


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
        self.n = max(LEAST, min(few, NUMBERS // size))
        self.part = max(16, min(self.n, loop.shard))  # as in a look
        self.spent = self.cost = 0.0  # seconds: in all, and of one measurement
        self.since = loop.progress.seconds
        views = [View(source, key, self.n, labelled=i == 0) for i, key in enumerate(system.makes)]
        self.views = [views[0], *(view for view in views[1:] if view.spread > FLAT)]
        self.given = conditions(source.held_out, system.given, self.n)
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
        known, new = self._scores(self.source.train), self._scores(self.source.held_out)
        found: Numbers = {}
        for player, (train, made) in known.items():
            held_out, other = new[player]
            fakes = torch.cat([made, other])
            found |= {
                f"{player}.real": float(train.mean()),
                f"{player}.held_out": float(held_out.mean()),
                f"{player}.fake": float(fakes.mean()),
                f"{player}.auc_train": auc(train, fakes),
                f"{player}.auc": auc(held_out, fakes),
                f"{player}.memory": auc(train, held_out),
            }
        told = tuple(key for key in self.system.given if key not in self.system.makes)
        for player, (mismatched, _) in (self._scores(self.source.held_out, turned=told) if told else {}).items():
            found[f"{player}.matching"] = auc(new[player][0], mismatched)
        return found

    def _scores(self, split: Split, turned: tuple[str, ...] = ()) -> dict[str, tuple[Tensor, Tensor]]:
        """By player, its logits on real samples and on fakes; the real ones with others' conditions `turned`."""
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
        rows = evenly(split, min(self.n, len(split)))
        for index in in_parts(rows, self.part):
            batch = {k: v.to(self.system.device) for k, v in split.fetch(index).items()}
            batch |= {k: batch[k].roll(len(index) // 2, 0) for k in turned}
            for player, logits in self.system.scores(batch).items():
                parts.setdefault(player, []).append(logits)
        joined = {player: tuple(map(torch.cat, zip(*found, strict=True))) for player, found in parts.items()}
        return {player: (real.float().cpu(), fake.float().cpu()) for player, (real, fake) in joined.items()}

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
            missing += gone
        return worst(found), missing

    def _told(self) -> Numbers:
        """By how much samples move with what they are made for, and with the noise; and whether they are it."""
        if not self.given:
            return {}
        turned = {k: v.roll(self.n // 2, 0) for k, v in self.given.items()}
        differs = torch.stack([(v != turned[k]).reshape(self.n, -1).any(1) for k, v in self.given.items()]).any(0)
        rows = differs.nonzero()[:TOLD, 0]
        told = len(rows) >= LEAST_TOLD
        rows = rows if told else torch.arange(min(TOLD, self.n))
        given = {k: v[rows] for k, v in self.given.items()}
        once = self._made(SEED, given, len(rows))
        found: Numbers = {}
        if told:
            found |= self._moved(
                "condition", once, self._made(SEED, {k: v[rows] for k, v in turned.items()}, len(rows))
            )
        if self.system.latent(1).shape[1]:
            found |= self._moved("noise", once, self._made(SEED + 1, given, len(rows)))
        first = self.views[0]
        if "y" in self.given and first.modes.named and first.belongs is not None:
            found["agreement"] = first.modes.agreement(first.belongs, self.given["y"])
        return found

    def _moved(self, name: str, once: Batch, again: Batch) -> Numbers:
        return worst([{name: view.moved(view.seen(once), view.seen(again))} for view in self.views])

    def _floors(self) -> Numbers:
        """What unseen real data would have in place of samples."""
        real = worst([view.distances(view.held_out) for view in self.views if len(view.held_out) > 1])
        found = {"distance" + FLOOR: real["distance"]} if real else {}
        modes = self.views[0].modes
        if "y" in self.given and modes.named:
            found["agreement" + FLOOR] = modes.readable(self.n)
            found["agreement chance"] = float(modes.real.square().sum())
        return found


def worst(found: Sequence[Numbers]) -> Numbers:
    """By name, the number of the worst of some things that are made; a name that some lack is of the others."""
    names = dict.fromkeys(name for numbers in found for name in numbers)
    return {name: WORST[name](numbers[name] for numbers in found if name in numbers) for name in names}
