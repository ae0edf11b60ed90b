"""The one loop: every system's every turn is played here.

A turn: freeze all but its networks, run its loss on a fresh batch with fresh noise, backpropagate, average the
gradients over ranks, step. No value leaves the device inside a round. All randomness of a play is seeded by
(seed, stage, round, turn, play, shard), so a run can be taken up at any round without saving a random state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mulligan import runtime
from mulligan.average import Average
from mulligan.errors import Mistake
from mulligan.finite import NotFinite, first_not_finite
from mulligan.game import Batch, Stage, System, Terms, Turn, parameters
from mulligan.loader import Loader, Position
from mulligan.runtime import Runtime

MEASURE_EVERY = 10  # rounds between two readings of the gradient norms
UPDATES_EVERY = 50  # and of how far a step moves the weights, which takes longer
GLIMPSE = 1024  # numbers of each weight whose movement is measured: enough for a ratio, and next to no time
Saved = tuple[dict[str, Any], dict[str, Any]]  # a checkpoint's (model, state)


@dataclass
class Progress:
    """Where a run stands; saved in every checkpoint."""

    round: int = 0  # of the run
    images: int = 0
    seconds: float = 0.0  # of training: looks and set-up are not counted
    stage: int = 0
    stage_round: int = 0  # rounds played in this stage
    stage_seconds: float = 0.0
    began: dict[str, int] = field(default_factory=dict)  # images seen when each averaged network began to learn


class Loop:
    """Plays the rounds of a system's stages.

    `enter` a stage, then call `play` for each round.
    """

    def __init__(
        self,
        system: System,
        loader: Loader,
        runtime: Runtime,
        *,
        ema: int = 0,
        micro_batches: int = 1,
        fixed: list[torch.nn.Parameter] | None = None,
        paces: Mapping[str, float] = MappingProxyType({"D": 1.0, "G": 1.0}),
    ) -> None:
        self.system, self.loader, self.runtime = system, loader, runtime
        self.ema, self.micro_batches = ema, micro_batches
        self.fixed = {id(p) for p in fixed or []}  # never learn, whoever plays
        self.paces = paces  # times the learning rate of who judges, D, and of who makes, G
        self.progress = Progress()
        self.average: Average = Average({}, 0)
        self.terms: dict[str, Terms] = {}  # by player, each of its newest play, on the device
        self.gradient_norms: dict[str, Tensor] = {}  # by player, in the first of its turns
        self.updates: dict[str, Tensor] = {}  # by player, the median of its newest step's length over the weight's
        self.longest: dict[str, Tensor] = {}  # by player, the longest of those since `enter`
        self.waited = 0.0  # seconds for data
        shards = runtime.world * micro_batches
        if loader.batch % shards:
            raise Mistake(f"--batch {loader.batch} does not divide into {shards} shards; try {shards * 32}")
        self.shard = loader.batch // shards  # samples that a network sees at a time

    def enter(
        self, number: int, stage: Stage, saved: Saved | None = None, start: dict[str, Tensor] | None = None
    ) -> None:
        """Take up stage number `number`: from a checkpoint's (model, state), or fresh, with `start`'s weights."""
        self.stage = stage
        self.system.images = self.progress.images  # for what `begin` notes, and for a look before the first round
        self.system.to(self.runtime.device).train()
        if any(p.dim() == 4 for p in self.system.parameters()):
            self.system.to_channels_last()
        if saved is None:
            p = self.progress
            p.stage, p.stage_round, p.stage_seconds = number, 0, 0.0
            self._settle(stage)
            if stage.begin is not None:
                stage.begin(self.loader)
            if start is not None and number == 0:
                self.system.load_state_dict(start, strict=False)
        else:
            self.system.load_state_dict(saved[0])
        self.runtime.broadcast(self.system)  # stages may have drawn new weights
        self.everything = parameters((self.system,))
        self.learns = [[p for p in parameters(t.learns) if id(p) not in self.fixed] for t in stage.turns]
        self.optimizers = self._build_optimizers()
        self.gradient_norms, self.updates, self.longest = {}, {}, {}  # of players of an earlier stage
        averaged = {name: getattr(self.system, name) for name in self.system.averaged}
        earlier = self.average.shadow
        if saved is None:
            self._note_beginners(averaged)
        self.average = Average(averaged, self.ema, self.progress.began)
        self.average.take_over(earlier)
        if saved is not None:
            self._restore(saved[1])

    def _note_beginners(self, averaged: dict[str, torch.nn.Module]) -> None:
        """Whose average has yet to forget random weights, however long others have learned."""
        learning = {id(p) for learns in self.learns for p in learns}
        for name, network in averaged.items():
            if not learning.isdisjoint(map(id, network.parameters())):
                self.progress.began.setdefault(name, self.progress.images)

    def _settle(self, stage: Stage) -> None:
        """What generates and learns no more is its moving average from now on: others learn from what is shown."""
        learning = {id(p) for turn in stage.turns for p in parameters(turn.learns)}
        for name in self.system.averaged:
            if learning.isdisjoint(map(id, getattr(self.system, name).parameters())):
                self.average.settle(name)

    def play(self) -> None:
        """One round: every turn that is due."""
        p = self.progress
        for number, turn in enumerate(self.stage.turns):
            if p.stage_round % turn.every == 0:
                self._play_turn(number, turn)
        p.round, p.stage_round = p.round + 1, p.stage_round + 1
        p.images += self.loader.batch
        self.average.update(p.images, self.loader.batch)

    def rehearse(self, number: int, there: AbstractContextManager[object] = nullcontext()) -> None:  # noqa: B008
        """One turn on a batch there and back, and no step; `there`: inside which its loss is computed."""
        self._freeze_all_but(self.learns[number])
        p = self.progress
        batch = self.loader.at(Position(p.stage, p.stage_round, number, 0, 0, 1))
        self.seed(p.stage, p.stage_round, number, 0, 0)
        with there, self.runtime.autocast():
            terms = self.stage.turns[number].loss(batch)
        torch.stack([t.float() for t in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
        self.system.zero_grad(set_to_none=True)

    def _play_turn(self, number: int, turn: Turn) -> None:
        optimizer, learns = self.optimizers[number], self.learns[number]
        self.system.images = self.progress.images
        for group in optimizer.param_groups:
            settings = turn.optimizer.settings(self.progress.images)
            group.update({**settings, "lr": settings["lr"] * self.paces["D" if turn.player[0] == "D" else "G"]})
        self._freeze_all_but(learns)
        for play in range(turn.repeat):
            optimizer.zero_grad(set_to_none=True)
            for micro in range(self.micro_batches):
                self._backward(turn, number, play, micro)
            gradients = [q.grad for q in learns if q.grad is not None]
            self.runtime.average(gradients)
            if self.progress.stage_round % MEASURE_EVERY == 0 and self._leads(number):
                self._step_measured(turn.player, optimizer, learns, gradients)
            else:
                optimizer.step()
            # fused optimizers write without telling autograd; spectral normalisation listens for it
            torch.autograd.graph.increment_version(learns)
            if turn.after is not None:
                turn.after()
        optimizer.zero_grad(set_to_none=True)

    def _step_measured(
        self, player: str, optimizer: torch.optim.Optimizer, learns: list[torch.nn.Parameter], gradients: list[Tensor]
    ) -> None:
        self.gradient_norms[player] = torch.stack(torch._foreach_norm(gradients)).norm()
        if self.progress.stage_round % UPDATES_EVERY:
            optimizer.step()
            return
        # of weights alone: biases begin at 0, and whatever they do is many times what they were
        glimpses = [_glimpse(p) for p in learns if p.dim() > 1] or [p.detach() for p in learns]
        before = [g.clone() for g in glimpses]
        optimizer.step()
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(glimpses, before)))
        length = torch.stack(torch._foreach_norm(before))
        # whatever a weight that begins at 0 does is infinitely many times what it was
        update = torch.where(length > 1e-6, moved / length, torch.nan).nanmedian().nan_to_num()
        self.updates[player] = update
        self.longest[player] = torch.maximum(update, self.longest.get(player, update))

    def _backward(self, turn: Turn, number: int, play: int, micro: int) -> None:
        shard = self.runtime.rank * self.micro_batches + micro
        stream = 0 if self.stage.shared_batch else number
        p = self.progress
        position = Position(p.stage, p.stage_round, stream, play, shard, self.runtime.world * self.micro_batches)
        asked = time.perf_counter()
        batch = self.loader.at(position)
        self.waited += time.perf_counter() - asked
        self.seed(p.stage, p.stage_round, number, play, shard)
        with self.runtime.autocast():
            terms = turn.loss(batch)
        total = torch.stack([t.float() for t in terms.values()]).sum()
        if self._watches and not math.isfinite(total.item()):  # a third of the time of asking a tensor
            raise self._not_finite(turn, terms, batch, (p.stage, p.stage_round, number, play, shard))
        (total / self.micro_batches).backward()  # type: ignore[no-untyped-call]
        if self._leads(number) and p.stage_round == 0:
            self.terms[turn.player] = {}  # forget those of an earlier stage
        self.terms.setdefault(turn.player, {}).update({k: v.detach() for k, v in terms.items()})

    @property
    def _watches(self) -> bool:
        """Whether each term is looked at: where that makes the device wait, seldom; of several ranks, none may stop."""
        if self.runtime.world > 1:
            return False
        return self.runtime.device.type == "cpu" or self.progress.round % MEASURE_EVERY == 0

    def _not_finite(self, turn: Turn, terms: Terms, batch: Batch, key: tuple[int, ...]) -> NotFinite:
        """What is said of a term that is not finite, before anybody has learned from it."""

        def again() -> None:
            self.seed(*key)
            with self.runtime.autocast():
                turn.loss(batch)

        name, value = next(((k, float(t.detach())) for k, t in terms.items() if not t.isfinite()), ("sum", math.nan))
        where = first_not_finite(self.system, batch, again)
        text = f"term {name!r} of player {turn.player} became {value} by round {self.progress.round}"
        return NotFinite(text, player=turn.player, term=name, where=where)

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        """One a turn. Turns of one player with the same networks, a loss and its lazy penalties, share theirs:
        what Adam remembers is the player's (Karras et al. 2020, appendix B)."""
        built: dict[tuple[Any, ...], torch.optim.Optimizer] = {}
        for turn, learns in zip(self.stage.turns, self.learns, strict=True):
            key = (turn.player, turn.learns)
            if key not in built:
                built[key] = turn.optimizer.build(learns)
        return [built[turn.player, turn.learns] for turn in self.stage.turns]

    def _leads(self, number: int) -> bool:
        """Whether a turn is the first of those that share its optimizer."""
        return self.optimizers.index(self.optimizers[number]) == number

    def _freeze_all_but(self, learns: list[torch.nn.Parameter]) -> None:
        for q in self.everything:
            q.requires_grad_(False)
        for q in learns:
            q.requires_grad_(True)

    def seed(self, *key: int) -> None:
        number = int(np.random.SeedSequence([self.loader.seed, *key]).generate_state(1, np.uint64)[0])
        runtime.seed(number, self.runtime.device)

    def values(self) -> dict[str, dict[str, float]]:
        """Terms by player, as numbers: waits for the device.

        Raises:
            NotFinite: a term is; its name and player are in the message.
        """
        numbers = {pl: {k: float(v) for k, v in terms.items()} for pl, terms in self.terms.items()}
        for player, terms in numbers.items():
            for name, value in terms.items():
                if not np.isfinite(value):
                    text = f"term {name!r} of player {player} became {value} by round {self.progress.round}"
                    raise NotFinite(text, player=player, term=name)
        return numbers

    def check(self) -> None:
        """Raise NotFinite unless every term and every weight is finite: before anything is saved."""
        self.values()
        for name, p in self.system.named_parameters():
            if not bool(p.isfinite().all()):
                text = f"weight {name!r} is no longer finite by round {self.progress.round}"
                raise NotFinite(text, term="weight", where=f"weight {name}")

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs beyond the system's own state."""
        return {
            "progress": {**vars(self.progress), "began": dict(self.progress.began)},
            "optimizers": [o.state_dict() for o in dict.fromkeys(self.optimizers)],
            "average": dict(self.average.shadow),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for optimizer, saved in zip(dict.fromkeys(self.optimizers), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average.take_over(state["average"])


def _glimpse(p: torch.nn.Parameter) -> Tensor:
    """The first rows of a weight, some GLIMPSE numbers at most unless one row has more."""
    return p.detach()[: max(1, GLIMPSE // max(1, p[0].numel()))]
