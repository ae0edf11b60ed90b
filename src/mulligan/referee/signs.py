"""Vital signs: what the referee reads of a game at every tick, from a few samples and at most a fiftieth of its time.

Everything is measured through `scores` and `generate`, so no system knows of it. Distances are between small copies of
the images (points: coordinates over their spread): no network took part that a player could please, and it costs next
to nothing. Raw weights are looked at, for a moving average shows a lost game late.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mulligan import runtime
from mulligan.data.source import Source, Split, conditions, evenly, in_parts
from mulligan.game import Batch, System
from mulligan.loop import Loop
from mulligan.metrics.distances import nearest
from mulligan.observe import auc, generate, observing
from mulligan.referee.modes import Modes
from mulligan.rundir import FLOOR

SHARE = 0.02  # of the training time
SEED = 2  # of the latents, the same at each tick
SIDE = 14  # of the small copies, in px
LEAST, MOST = 64, 256  # samples
NUMBERS = 1_000_000  # of all samples, unless that were fewer than LEAST
KNOWN = 2_000  # training samples among which neighbours are looked for
KNOWN_NUMBERS = 200_000_000  # of those, before they are made small
LEAST_OTHER = 8  # samples that are made for something else the second time
Numbers = dict[str, float]


class Signs:
    """Measures one run.

    Args:
        system: in training.
        source: its data.
        loop: that plays it.
    """

    def __init__(self, system: System, source: Source, loop: Loop) -> None:
        self.system, self.source, self.loop = system, source, loop
        self.key, signal = next(iter(system.makes.items()))
        size = int(np.prod([n or 1 for n in signal.shape]))
        few = min(MOST, 2 * system.config.batch)  # about what a round costs
        self.n = max(LEAST, min(few, NUMBERS // size))
        self.part = max(16, min(self.n, loop.shard))  # as in a look
        self.spent = self.cost = 0.0  # seconds: in all, and of one measurement
        known = min(len(source.train), KNOWN, max(64, KNOWN_NUMBERS // size))
        train, y = self._small(source.train, known)
        self.scale = train.std(0).clamp(min=1e-6) if signal.kind == "points" else torch.ones(1)
        self.train = train / self.scale
        held_out, _ = self._small(source.held_out, min(self.n, len(source.held_out)))
        self.held_out = held_out / self.scale
        self.modes = Modes(self.train, y, source.signals.get("y"), self.n)
        self.given = conditions(source.held_out, system.given, self.n)
        self.real = self.train[np.linspace(0, known - 1, min(self.n, known)).astype(int)]
        self.spread = max(_between(self.real, self.real), 1e-9)
        self.usual = float(nearest(self.held_out, self.train).median())
        self.belongs: Tensor | None = None  # of each sample, its mode at the last measurement
        self.since = loop.progress.seconds
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
            fake = self._made(SEED, self.given)
            missing: list[str] = []
            found["finite"] = float(bool(fake.isfinite().all()))
            if found["finite"]:
                found |= self._distances(fake)
                course, missing = self._course(fake)
                found |= course
                found |= self._told(fake) | self.floors
        self.cost = time.perf_counter() - began
        self.spent += self.cost * counted
        return found, missing

    # --- D --------------------------------------------------------------------------------------------------

    def _separation(self) -> Numbers:
        """By player: its mean logit on training reals, held-out reals and fakes, and how well it tells them apart."""
        asked = {name: self._scores(split) for name, split in
                 (("train", self.source.train), ("held_out", self.source.held_out))}  # fmt: skip
        found: Numbers = {}
        for player, (known, fake) in asked["train"].items():
            new, other = asked["held_out"][player]
            fakes = torch.cat([fake, other])
            found |= {
                f"{player}.real": float(known.mean()),
                f"{player}.held_out": float(new.mean()),
                f"{player}.fake": float(fakes.mean()),
                f"{player}.auc_train": auc(known, fakes),
                f"{player}.auc": auc(new, fakes),
                f"{player}.memory": auc(known, new),
            }
        return found

    def _scores(self, split: Split) -> dict[str, tuple[Tensor, Tensor]]:
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
        rows = evenly(split, min(self.n, len(split)))
        for index in in_parts(rows, self.part):
            batch = {k: v.to(self.system.device) for k, v in split.fetch(index).items()}
            for player, logits in self.system.scores(batch).items():
                parts.setdefault(player, []).append(logits)
        joined = {player: tuple(map(torch.cat, zip(*found, strict=True))) for player, found in parts.items()}
        return {player: (real.float().cpu(), fake.float().cpu()) for player, (real, fake) in joined.items()}

    # --- samples --------------------------------------------------------------------------------------------

    def _made(self, seed: int, given: Batch) -> Tensor:
        made = generate(self.system, self.n, seed=seed, at_once=self.part, given=given)
        return _small(made[self.key]) / self.scale

    def _distances(self, fake: Tensor) -> Numbers:
        within, across = _between(fake, fake), _between(fake, self.real)
        found = {
            "diversity": within / self.spread,
            # the energy distance (Székely & Rizzo 2013), as a share of how far real samples are from each other
            "distance": (2 * across - within - self.spread) / self.spread,
        }
        if self.usual > 0:
            found["nearest"] = float(nearest(fake, self.train).median()) / self.usual
        return found

    def _course(self, fake: Tensor) -> tuple[Numbers, list[str]]:
        """How many modes have samples, how many samples changed their mode since the last time, and who is missing."""
        belongs = self.modes.read(fake)
        missing = self.modes.missing(belongs)
        found = {"modes": 1 - len(missing) / max(1, self.modes.expected)}
        if self.belongs is not None:
            found["swing"] = float((belongs != self.belongs).float().mean())
        self.belongs = belongs
        return found, missing

    def _told(self, fake: Tensor) -> Numbers:
        """By how much samples move with what they are made for, and with the noise; and whether they are it."""
        if not self.given:
            return {}
        turned = {k: v.roll(self.n // 2, 0) for k, v in self.given.items()}
        other = torch.stack([(v != turned[k]).reshape(self.n, -1).any(1) for k, v in self.given.items()]).any(0)
        found: Numbers = {}
        if int(other.sum()) >= LEAST_OTHER:
            found["condition"] = _apart(fake[other], self._made(SEED, turned)[other]) / self.spread
        if self.system.latent(1).shape[1]:
            found["noise"] = _apart(fake, self._made(SEED + 1, self.given)) / self.spread
        if "y" in self.given and self.modes.named:
            found["agreement"] = self.modes.agreement(fake, self.given["y"])
        return found

    def _floors(self) -> Numbers:
        """What unseen real data would have in place of samples."""
        found = {"distance" + FLOOR: self._distances(self.held_out)["distance"]} if len(self.held_out) > 1 else {}
        if "y" in self.given and self.modes.named:
            found["agreement" + FLOOR] = self.modes.readable(self.n)
            found["agreement chance"] = float(self.modes.real.square().sum())
        return found

    # --- data -----------------------------------------------------------------------------------------------

    def _small(self, split: Split, n: int) -> tuple[Tensor, Tensor | None]:
        """Small copies of an even spread of n samples, and their labels where they have some."""
        parts, labels = [], []
        for index in in_parts(evenly(split, n), 100):
            rows = split.fetch(index)
            parts.append(_small(rows[self.key]))
            labels.append(rows.get("y"))
        known = [y for y in labels if y is not None]
        return torch.cat(parts), torch.cat(known) if len(known) == len(parts) else None


def _small(x: Tensor) -> Tensor:
    """(N, d): points as they are, images as small copies."""
    if x.dim() == 2:
        return x.float()
    h, w = (min(SIDE, n) for n in x.shape[2:])
    return adaptive_avg_pool2d(x.float(), (h, w)).flatten(1)


def _between(x: Tensor, y: Tensor) -> float:
    """The mean distance between a row of x and one of y; of the same rows, between two different ones."""
    total = torch.cdist(x, y).sum()
    pairs = len(x) * (len(x) - 1) if x is y else len(x) * len(y)
    return float(total) / max(1, pairs)


def _apart(x: Tensor, y: Tensor) -> float:
    """The mean distance between rows of the same number."""
    return float((x - y).norm(dim=1).mean())
