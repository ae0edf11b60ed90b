"""Playing a run: shot after shot, until one comes to its end or no mulligan is left."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mulligan.config import LATER, Run
from mulligan.display import Display
from mulligan.model import Model
from mulligan.plan import Plan, assemble
from mulligan.retake import retake, surrender
from mulligan.rundir import RunDir
from mulligan.runtime import Runtime
from mulligan.shot import Defeat, Interrupted, Shot

__all__ = ["Interrupted", "Lost", "play"]


class Lost(FloatingPointError):  # noqa: N818, a game is lost
    """The referee's verdict was a lost game, and no mulligan was left, or none could mend it.

    Attributes:
        run: its directory; what was saved before is whole.
    """

    def __init__(self, text: str, run: Path) -> None:
        super().__init__(text)
        self.run = run


def play(plan: Plan, rundir: RunDir, *, resuming: bool = False, quiet: bool = False) -> Model:
    """Play a run to its end, from round 0 or from its newest checkpoint; a game that is lost again, with a remedy.

    Raises:
        Lost: no mulligan is left.
        Interrupted: Ctrl-C.
    """
    rank = plan.runtime.rank
    with (
        Display(rundir.path, plan.run, quiet=quiet or rank > 0) as display,
        interruptible(quiet=rank > 0) as interrupted,
    ):
        while True:
            try:
                return Shot(plan, rundir, display, interrupted, resuming=resuming).play()
            except Defeat as defeat:
                again, text = _after(defeat, plan, rundir) if rank == 0 else (False, "rank 0 says why")
                if not plan.runtime.agree(int(again)):
                    raise Lost(text, rundir.path) from defeat
                display.say(text)
                plan, resuming = anew(plan, rundir), True


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


@contextmanager
def interruptible(*, quiet: bool = False) -> Iterator[list[float]]:
    """A list that Ctrl-C or SIGTERM fills; a second Ctrl-C stops at once. `quiet`: without a word."""
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
        if not quiet:
            print("\nsaving; press Ctrl-C again to stop at once", file=sys.stderr)

    before = {s: signal.signal(s, receive) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
