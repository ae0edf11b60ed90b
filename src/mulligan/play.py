"""Playing a run: puts system, loop and looks together, from round 0 or from a checkpoint to the end.

`play` is the whole of it, read top to bottom: while a stage lasts, play a round; once in a while log, look, save.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan import checkpoint
from mulligan.clock import Budget, Clock, Due
from mulligan.config import Run
from mulligan.data.source import Source
from mulligan.display import Display
from mulligan.errors import Mistake
from mulligan.game import System
from mulligan.loader import Loader
from mulligan.look import Look
from mulligan.loop import Loop, Progress
from mulligan.model import Model, build
from mulligan.rundir import RunDir
from mulligan.runtime import Runtime


class Interrupted(Exception):  # noqa: N818, it is no error
    """Ctrl-C or SIGTERM: the run was saved and can be resumed.

    Attributes:
        run: its directory.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(str(run))
        self.run = run


class Lost(FloatingPointError):  # noqa: N818, a game is lost
    """A term of a loss stopped being finite, or a weight did.

    Attributes:
        run: its directory; what was saved before is whole.
    """

    def __init__(self, text: str, run: Path) -> None:
        super().__init__(text)
        self.run = run


@dataclass(frozen=True)
class Plan:
    """Everything a training needs, checked, before anything is written."""

    config: dict[str, Any]  # as it goes into config.json
    source: Source
    run: Run
    loop: Loop

    @property
    def system(self) -> System:
        return self.loop.system

    @property
    def runtime(self) -> Runtime:
        return self.loop.runtime


def assemble(config: dict[str, Any], source: Source, run: Run, runtime: Runtime) -> Loop:
    system = build(config)
    loader = Loader(source.train, system.config.batch, seed=run.seed, device=runtime.device)
    fixed = first_half(system) if run.freeze_d else []
    return Loop(system, loader, runtime, ema=run.ema, micro_batches=run.micro_batches, fixed=fixed)


def play(plan: Plan, rundir: RunDir, *, resuming: bool = False, quiet: bool = False) -> Model:
    """Play a run to its end, from round 0 or from its newest checkpoint."""
    system, run, runtime, loop = plan.system, plan.run, plan.runtime, plan.loop
    # of a second system: going through the stages shapes networks
    shares = [stage.share for stage in build(plan.config).stages()]
    look = Look(rundir, system, plan.source, loop)
    display = Display(rundir.path, run, quiet=quiet or runtime.rank > 0)
    saved = _take_up(rundir, plan, loop, look, display) if resuming else None
    weights = _start(plan) if saved is None and plan.config.get("from") else None
    start = loop.progress.stage
    if saved is None:
        _begin(rundir, plan, display)
    clock = Clock(loop.progress, run)
    stages = system.stages()

    with display, recording_a_loss(rundir, loop), interruptible() as interrupted:
        for number in range(len(shares)):
            loop.seed(number)  # for networks that a stage adds
            stage = next(stages)
            if number < start:
                continue
            loop.enter(number, stage, saved=saved if number == start else None, start=weights)
            if loop.progress.round == 0:
                look.take(save=False)
            budget = Budget.of(run, shares, number)
            clock.resume()
            while not (due := Due(runtime.agree(clock.due(budget, bool(interrupted))))) & Due.OVER:
                # once in a while: log
                if due & Due.LOG and runtime.rank == 0:
                    display.show(look.log(loop.values()))
                # once in a while: look and save, but never a game that is lost to NaN
                if due & (Due.LOOK | Due.STOP):
                    look.take()
                    clock.resume()
                if due & Due.STOP:
                    runtime.agree(0)  # no rank leaves before rank 0 has saved
                    raise Interrupted(rundir.path)
                loop.play()
            look.take()
            if loop.terms and runtime.rank == 0:
                display.show(look.log(loop.values()))
    _end(rundir, loop, display)
    runtime.agree(0)  # the other ranks wait until rank 0 has saved
    return Model.load(rundir.path)


@contextmanager
def recording_a_loss(rundir: RunDir, loop: Loop) -> Iterator[None]:
    """A game that is lost says so in the run's events."""
    try:
        yield
    except FloatingPointError as error:
        if loop.runtime.rank == 0:
            rundir.event("lost", str(error), round=loop.progress.round)
        raise Lost(str(error), rundir.path) from error


def _begin(rundir: RunDir, plan: Plan, display: Display) -> None:
    if plan.runtime.rank > 0:
        return
    rundir.event("start", f"{plan.config['system']} began to train on {plan.source.name}", round=0)
    if plan.config.get("auto"):
        display.say(plan.config["auto"])
    for note in plan.source.notes:
        display.say(note)
        rundir.event("warning", note, round=0)


def _end(rundir: RunDir, loop: Loop, display: Display) -> None:
    if loop.runtime.rank > 0:
        return
    if not loop.terms:  # not a round was played
        display.say(f"{rundir.path} is finished; give it more with --minutes or --rounds")
        return
    rundir.event("finish", f"finished after {loop.progress.round:,} rounds", round=loop.progress.round)


def _take_up(
    rundir: RunDir, plan: Plan, loop: Loop, look: Look, display: Display
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The newest whole checkpoint's (model, state), with the loop's progress set to it; None if there is none."""
    newest, damaged = checkpoint.newest(rundir.checkpoints)
    first = plan.runtime.rank == 0
    for name in damaged if first else ():
        text = f"checkpoint {name} is damaged and was passed over"
        display.say(f"warning: {text}")
        rundir.event("warning", text)
    if newest is None:
        if first:
            display.say(f"{rundir.path} has no checkpoint yet: starting at round 0")
            rundir.forget_after(-1)
        return None
    model, state, record = checkpoint.load(newest)
    loop.progress = Progress(**state["progress"])
    look.take_up(record)
    if first:
        text = f"resumed at round {loop.progress.round:,}"
        if record["threads"] != torch.get_num_threads():
            text += f", with {torch.get_num_threads()} threads instead of {record['threads']}: not bit for bit"
        rundir.forget_after(loop.progress.round)
        if not _is_finished(loop.progress, plan.run):
            display.say(text)
            rundir.event("resume", text, round=loop.progress.round)
    return model, state


def _is_finished(progress: Progress, run: Run) -> bool:
    whole = Budget(run.rounds, None if run.minutes is None else 60 * run.minutes)
    return whole.spent(progress)


def start_weights(system: System, model: Model) -> dict[str, Tensor]:
    """The state of another model, the generator's averaged, wherever names and shapes agree with the system's.

    Raises:
        ValueError: nothing agrees.
    """
    theirs, ours = model.system.state_dict(), system.state_dict()
    same = {k: v for k, v in theirs.items() if isinstance(v, Tensor) and k in ours and ours[k].shape == v.shape}
    if not any(k in dict(system.named_parameters()) for k in same):
        raise Mistake(f"--from {model.directory}: none of its weights fits; use the same system and widths")
    return same


def _start(plan: Plan) -> dict[str, Tensor]:
    """The weights that the run was told to start from."""
    told = plan.config["from"]
    model = Model.load(told["run"])
    if model.hash != told["model"]:
        raise Mistake(f"{told['run']} has other weights by now than when this run began; start a new run")
    return start_weights(plan.system, model)


def first_half(system: System) -> list[torch.nn.Parameter]:
    """The parameters of the first half of D's layers, those nearest to the data (FreezeD, Mo et al. 2020)."""
    D = getattr(system, "D", None)
    if D is None:
        raise Mistake("--freeze-d: this system has no single network D; leave the option out")
    layers: dict[str, list[torch.nn.Parameter]] = {}
    for name, p in D.named_parameters():
        layer = name.split(".parametrizations")[0] if ".parametrizations" in name else name.rpartition(".")[0]
        layers.setdefault(layer, []).append(p)
    return [p for layer in list(layers.values())[: len(layers) // 2] for p in layer]


@contextmanager
def interruptible() -> Iterator[list[float]]:
    """A list that Ctrl-C or SIGTERM fills; a second Ctrl-C stops at once."""
    received: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, _frame: Any) -> None:
        if received and number == signal.SIGINT and time.monotonic() - received[0] > 1:
            signal.default_int_handler(number, _frame)  # torchrun repeats the first one at once
        if received:
            return
        received.append(time.monotonic())
        print("\nsaving; press Ctrl-C again to stop at once", file=sys.stderr)

    before = {s: signal.signal(s, receive) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
