"""A look at the game: samples from the same latents, vital numbers, and a checkpoint. It changes nothing in it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mulligan import checkpoint, figure, pictures, runtime, samples
from mulligan.data.source import Source, conditions, in_parts
from mulligan.game import Batch, System
from mulligan.loop import Loop
from mulligan.observe import auc, generate, observing, scored
from mulligan.quick import Quick
from mulligan.referee.watch import Referee
from mulligan.retake import is_healthy
from mulligan.rundir import FLOOR, RunDir
from mulligan.stopping import NOISE_SAMPLES, Plateau, noise_of

GRID = 64  # images in a look
POINTS = 2000
SEED = 1  # of every look's latents
AUC_SAMPLES = 512


class Look:
    """Looks at one run; only rank 0 does.

    Args:
        referee: who watches it.
    """

    def __init__(self, rundir: RunDir, system: System, source: Source, loop: Loop, referee: Referee) -> None:
        self.rundir, self.system, self.source, self.loop = rundir, system, source, loop
        self.referee = referee
        self.healthy: list[str] = []  # the newest checkpoints of a healthy game
        self.quick = Quick(source)
        # what fits in memory in training fits in a look; a handful of samples at a time would only be slow
        self.part = max(16, min(256, loop.shard))
        self.vital: dict[str, float] = {}
        self.best: tuple[float, str] | None = None
        self.plateau: Plateau | None = None  # of FD, where the run is to end by it
        self.looked = self.saved = -1  # the rounds of the newest look and of the newest checkpoint
        self.newest_picture = ""

    def take(self, *, save: bool = True) -> None:
        """Write samples and a checkpoint of the round the loop stands at, unless that was done already."""
        if self.loop.runtime.rank > 0:
            return
        self.loop.check()
        if self.looked != self.loop.progress.round:
            self._observe()
        if save and self.saved != self.loop.progress.round:
            self._save()

    def take_up(self, record: dict[str, Any]) -> None:
        """Go on from a checkpoint's record."""
        self.best = tuple(record["best"]) if record["best"] else None
        self.vital = record["vital"]
        if record.get("plateau"):
            self.plateau = Plateau(**record["plateau"])
        self.looked = self.saved = record["round"]
        self.healthy = [place.name for place in checkpoint.all_in(self.rundir.checkpoints) if is_healthy(place)][-2:]
        self.newest_picture = str(self.rundir.samples / f"{record['round']:06d}.png")

    def _observe(self) -> None:
        with observing(self.system), self.loop.average.swapped():
            self.vital = {f"{player}.auc": a for player, a in self._separation().items()}
            self.vital |= self.system.vital()
            if np.isfinite(fd := self.quick(self._judged)):
                self.vital |= {"FD": fd, "FD" + FLOOR: self.quick.floor}
                self._hear(fd)
            self._picture()
        self.looked = self.loop.progress.round

    def _hear(self, fd: float) -> None:
        """Note whether FD improved, beyond what other latents of the same weights would have changed."""
        if self.plateau is None or self.loop.progress.stage_round == 0:  # nobody has learned yet
            return
        noise = None
        if self.plateau.improves(fd):
            others = [partial(self._judged, seed=SEED + i) for i in range(1, NOISE_SAMPLES)]
            noise = noise_of([fd, *map(self.quick, others)])
        self.plateau.hear(fd, self.loop.progress.seconds, noise)

    def keep_the_best(self) -> int:
        """Forget the checkpoints after the best; its round."""
        assert self.best is not None
        for place in checkpoint.all_in(self.rundir.checkpoints):
            if int(place.name) > int(self.best[1]):
                checkpoint.remove(place)
        return int(self.best[1])

    def log(self, values: dict[str, dict[str, float]], **more: Any) -> dict[str, Any]:
        """Append a line to the log and return it; `more`: what else it says."""
        p = self.loop.progress
        line = {
            "round": p.round,
            "stage": self.loop.stage.name,
            "images": p.images,
            "seconds": round(p.seconds, 3),
            "terms": values,
            "grad_norm": {k: float(v) for k, v in self.loop.gradient_norms.items()},
            "vital": self.vital,
            **more,
        }
        self.rundir.log(**line)
        return {**line, "picture": self.newest_picture}

    def _generate(self, n: int, seed: int = SEED) -> Batch:
        """n samples, the same latents and conditions at every look."""
        return generate(self.system, n, seed=seed, at_once=self.part, given=self._given(n))

    def _given(self, n: int) -> Batch:
        """What they are made for."""
        return conditions(self.source.held_out, self.system.given, n)

    def _judged(self, n: int, seed: int = SEED) -> Tensor:
        """The same, of the key that is judged."""
        return next(iter(self._generate(n, seed).values()))

    def _separation(self) -> dict[str, float]:
        """How well each D tells held-out real samples from fakes: area under the ROC curve, 0.5 if not at all."""
        n = min(AUC_SAMPLES, len(self.source.held_out))
        runtime.seed(SEED, self.system.device)
        held_out = self.source.held_out
        logits = scored(self.system, (held_out.fetch(rows) for rows in in_parts(np.arange(n), self.part)))
        return {player: auc(real, fake) for player, (real, fake) in logits.items()}

    def _picture(self) -> None:
        round = self.loop.progress.round
        file = self.rundir.samples / f"{round:06d}.png"
        signal = next(iter(self.system.makes.values()))
        if signal.kind == "points" and signal.shape == (1,) and self._d_is_a_curve():
            snapshot = figure.snapshot(self.system, self.source, round)
            file.with_suffix(".json").write_text(json.dumps(snapshot.to_json()))
            picture = figure.draw(snapshot)
        elif signal.kind == "points":
            real = self.source.held_out.fetch(np.arange(min(POINTS, len(self.source.held_out))))["x"]
            picture = pictures.look_grid(self._judged(POINTS), real, signal)
        else:
            shown = self.system.pictured(self._given(GRID), self._generate(GRID))
            picture = pictures.look_grid(pictures.side_by_side(shown))
        provenance = {"model": f"{self.rundir.path.name}, round {round}", "seed": SEED}
        samples.save_png(picture, file, provenance, overwrite=True)
        self.newest_picture = str(file)

    def _d_is_a_curve(self) -> bool:
        """Whether D is one curve over x: not where it depends on what the system is told."""
        return hasattr(self.system, "discriminate") and not self.system.given

    def _save(self) -> None:
        p = self.loop.progress
        name = f"{p.round:06d}"
        fd = self.vital.get("FD")
        if fd is not None and (self.best is None or fd < self.best[0]):
            self.best = (fd, name)
        record = {
            "round": p.round,
            "stage": p.stage,
            "images": p.images,
            "seconds": p.seconds,
            "vital": self.vital,
            "best": self.best,
            "plateau": None if self.plateau is None else self.plateau.to_json(),
            "verdict": self.referee.verdict.name,
            "lost": self.referee.verdict.lost,
            "mulligans": len(self.rundir.mulligans),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        saved = checkpoint.save(self.rundir.checkpoints, self.system.state_dict(), self.loop.state(), record)
        if not self.referee.verdict.lost:
            self.healthy = [*self.healthy[-1:], name]
        checkpoint.prune(self.rundir.checkpoints, {*self.healthy, *((self.best[1],) if self.best else ())}, saved)
        self.saved = p.round
        self.rundir.event("checkpoint", f"saved round {p.round:,}", round=p.round, vital=self.vital)
