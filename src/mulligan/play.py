"""Playing a run: puts system, loop and looks together, from round 0 or from a checkpoint to the end.

`play` is the whole of it, read top to bottom: while a stage lasts, play a round; once in a while log, look, save.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan import checkpoint
from mulligan.clock import Budget, Clock, Due
from mulligan.config import LATER, Run
from mulligan.data.source import Source
from mulligan.display import Display
from mulligan.errors import Mistake
from mulligan.game import System
from mulligan.loader import Loader
from mulligan.look import Look
from mulligan.loop import Loop, Progress
from mulligan.model import Model, build
from mulligan.referee.verdict import Verdict
from mulligan.referee.watch import Referee
from mulligan.retake import forget_lost, is_over, retake, surrender
from mulligan.rundir import RunDir
from mulligan.runtime import Runtime
from mulligan.stopping import Plateau

Json = dict[str, Any]


class Interrupted(Exception):  # noqa: N818, it is no error
    """Ctrl-C or SIGTERM: the run was saved and can be resumed.

    Attributes:
        run: its directory.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(str(run))
        self.run = run


class Lost(FloatingPointError):  # noqa: N818, a game is lost
    """The referee's verdict was a lost game, and no mulligan was left, or none could mend it.

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
    paces = {"D": run.d_pace, "G": run.g_pace}
    return Loop(system, loader, runtime, ema=run.ema, micro_batches=run.micro_batches, fixed=fixed, paces=paces)


def play(plan: Plan, rundir: RunDir, *, resuming: bool = False, quiet: bool = False) -> Model:
    """Play a run to its end, from round 0 or from its newest checkpoint; a game that is lost again, with a remedy.

    Raises:
        Lost: no mulligan is left.
        Interrupted: Ctrl-C.
    """
    rank = plan.runtime.rank
    with Display(rundir.path, plan.run, quiet=quiet or rank > 0) as display, interruptible() as interrupted:
        while True:
            try:
                return _shot(plan, rundir, display, interrupted, resuming)
            except Defeat as defeat:
                again, text = _after(defeat, plan, rundir) if rank == 0 else (False, str(defeat))
                if not plan.runtime.agree(int(again)):
                    raise Lost(text, rundir.path) from defeat
                display.say(text)
                plan, resuming = anew(plan, rundir), True


class Defeat(Exception):  # noqa: N818, a game is lost
    """The referee's verdict ends a shot."""

    def __init__(self, verdict: Verdict, updates: dict[str, float], round: int) -> None:
        super().__init__(str(verdict))
        self.verdict, self.updates, self.round = verdict, updates, round


def _after(defeat: Defeat, plan: Plan, rundir: RunDir) -> tuple[bool, str]:
    """Take a mulligan if there is one left and it can mend anything: (whether it was taken, what is said of it)."""
    if len(rundir.mulligans) < plan.run.mulligans and defeat.verdict.mends:
        return True, retake(rundir, plan.system, defeat.verdict, defeat.updates, defeat.round)
    text = surrender(rundir, defeat.verdict)
    rundir.event("lost", text, round=defeat.round)
    return False, text


def anew(plan: Plan, rundir: RunDir) -> Plan:
    """The plan of the next shot."""
    config = rundir.config
    run = Run(**config["run"]).model_copy(update={k: getattr(plan.run, k) for k in LATER})
    runtime = Runtime.start(run.device, run.precision)
    return Plan(config, plan.source, run, assemble(config, plan.source, run, runtime))


def _shot(plan: Plan, rundir: RunDir, display: Display, interrupted: list[float], resuming: bool) -> Model:
    """From round 0 or the newest checkpoint to the end, or to a defeat."""
    system, run, runtime, loop = plan.system, plan.run, plan.runtime, plan.loop
    # of a second system: going through the stages shapes networks
    shares = [stage.share for stage in build(plan.config).stages()]
    referee = Referee(system, plan.source, loop, run.model_dump(), rundir.first_config["run"])
    look = Look(rundir, system, plan.source, loop, referee)
    ended = resuming and rundir.stopped_itself
    saved = _take_up(rundir, plan, look, display) if resuming else None
    weights = _start(plan) if saved is None and plan.config.get("from") else None
    if look.plateau is not None and ended:
        look.plateau.end()
    start = loop.progress.stage
    if saved is None and not resuming:
        _begin(rundir, plan, display)
    clock = Clock(loop.progress, run)
    stages = system.stages()
    tell = partial(_tell, rundir, referee, display)

    @cache
    def ends_with(name: str) -> bool:
        """Whether the referee's verdict, of that name, ends the shot; asked each round, so answered once."""
        return is_over(rundir, system, referee.verdict, referee.updates, run.mulligans)

    def told(number: int) -> Due:
        """What is due for reasons that are no clock's."""
        due = Due.STOP if interrupted else Due.NOTHING
        if ends_with(referee.verdict.name):
            due |= Due.LOST
        if number == len(shares) - 1 and look.plateau is not None and look.plateau.over(loop.progress.seconds):
            due |= Due.OVER
        return due

    for number in range(len(shares)):
        loop.seed(number)  # for networks that a stage adds
        stage = next(stages)
        if number < start:
            continue
        loop.enter(number, stage, saved=saved if number == start else None, start=weights)
        if loop.progress.round == 0:
            look.take(save=False)
        if run.stop == "auto" and number == len(shares) - 1 and look.plateau is None:
            look.plateau, look.best = Plateau(), None  # what an earlier stage reached was another game
        budget = Budget.of(run, shares, number)
        clock.resume()
        while not (due := Due(runtime.agree(clock.due(budget, told(number))))) & Due.OVER:
            if due & Due.LOST:
                raise Defeat(referee.verdict, referee.updates, loop.progress.round)
            looking = bool(due & (Due.LOOK | Due.STOP))
            with noting_nan(look, tell):
                # once in a while: look and save, but never a game that is lost to NaN
                if looking:
                    look.take()
                # once in a while: log
                if due & (Due.LOG | Due.LOOK | Due.STOP):
                    _tick(look, tell, at_once=looking)
            if looking:
                clock.resume()
            if due & Due.STOP:
                runtime.agree(0)  # no rank leaves before rank 0 has saved
                raise Interrupted(rundir.path)
            with noting_nan(look, tell):
                loop.play()
        with noting_nan(look, tell):
            look.take()
            _tick(look, tell, at_once=True)
        if runtime.agree(int(ends_with(referee.verdict.name))):
            raise Defeat(referee.verdict, referee.updates, loop.progress.round)
    _end(rundir, look, display)
    runtime.agree(0)  # the other ranks wait until rank 0 has saved
    return Model.load(rundir.path)


def _tick(look: Look, tell: Callable[[Json], None], *, at_once: bool = False) -> None:
    """Write a line of the log, with the vital signs if there is time for them, and tell of it."""
    if look.loop.runtime.rank == 0 and look.loop.terms:
        tell(look.log(look.loop.values(), **look.referee.look(at_once=at_once)))


def _tell(rundir: RunDir, referee: Referee, display: Display, line: Json) -> None:
    """What the referee says to a line of the log, on record and on the display, and the line."""
    for verdict in referee.hear(line):
        rundir.event("verdict", str(verdict), round=line["round"], verdict=verdict.to_json())
        display.say(f"round {line['round']:,}: {verdict}")
    if "terms" in line:
        display.show({**line, "verdict": referee.verdict.name})


@contextmanager
def noting_nan(look: Look, tell: Callable[[Json], None]) -> Iterator[None]:
    """A number that is not finite ends what is inside, with a line of the log that says where it came from.

    The shot goes on until all ranks have agreed that it is over.
    """
    try:
        yield
    except FloatingPointError as error:
        p, found = look.loop.progress, {name: getattr(error, name, "") for name in ("player", "term", "where")}
        line: Json = {"round": p.round, "images": p.images, "seconds": round(p.seconds, 3)}
        line["not_finite"] = {"round": p.round, "text": str(error), **found}
        look.rundir.log(**line)
        tell(line)


def _begin(rundir: RunDir, plan: Plan, display: Display) -> None:
    if plan.runtime.rank > 0:
        return
    rundir.event("start", f"{plan.config['system']} began to train on {plan.source.name}", round=0)
    if plan.config.get("auto"):
        display.say(plan.config["auto"])
    for note in plan.source.notes:
        display.say(note)
        rundir.event("warning", note, round=0)


def _end(rundir: RunDir, look: Look, display: Display) -> None:
    loop = look.loop
    if loop.runtime.rank > 0:
        return
    if not loop.terms:  # not a round was played
        display.say(f"{rundir.path} is finished; give it more with --minutes or --rounds")
        return
    text, early = f"finished after {loop.progress.round:,} rounds", False
    if (plateau := look.plateau) is not None and plateau.over(loop.progress.seconds):
        early = True
        text += f": FD has not improved beyond its noise (±{plateau.noise:.2g}) since {plateau.least:.4g}"
        display.say(f"{text}; kept: round {look.keep_the_best():,}")
    rundir.event("finish", text, round=loop.progress.round, early=early)


def _take_up(rundir: RunDir, plan: Plan, look: Look, display: Display) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The newest whole checkpoint's (model, state), with the loop's progress set to it; None if there is none."""
    loop = plan.loop
    first = plan.runtime.rank == 0
    if first:
        forget_lost(rundir)
    plan.runtime.agree(0)  # no rank reads what rank 0 removes
    newest, damaged = checkpoint.newest(rundir.checkpoints)
    for name in damaged if first else ():
        text = f"checkpoint {name} is damaged and was passed over"
        display.say(f"warning: {text}")
        rundir.event("warning", text)
    if newest is None:
        if first:
            if not rundir.mulligans:
                display.say(f"{rundir.path} has no checkpoint yet: starting at round 0")
            rundir.forget_after(-1)
        return None
    model, state, record = checkpoint.load(newest)
    since = rundir.mulligans[record.get("mulligans", 0) :]
    if any("augment" in taken["changes"] for taken in since):  # its strength is no longer what was saved
        model = {k: x for k, x in model.items() if not k.startswith("augment.")}
        model |= {k: x for k, x in plan.system.state_dict().items() if k.startswith("augment.")}
    loop.progress = Progress(**state["progress"])
    look.take_up(record)
    if first:
        text = f"resumed at round {loop.progress.round:,}"
        if record["threads"] != torch.get_num_threads():
            text += f", with {torch.get_num_threads()} threads instead of {record['threads']}: not bit for bit"
        rundir.forget_after(loop.progress.round)
        look.referee.take_up(rundir.read("log"))
        if not _is_finished(loop.progress, plan.run) and not rundir.stopped_itself:
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
