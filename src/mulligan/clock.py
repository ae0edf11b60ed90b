"""When to log, look, move on and stop: budgets in rounds or minutes, and the seconds that count against them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntFlag

from mulligan.config import Run
from mulligan.loop import Progress

TICK = 1.0  # seconds between two lines of the log; of a run of less than 100, a hundredth of it
SHORTEST_TICK = 0.25
LOOKS = 10  # in a run, unless they would then come faster or slower than LOOK_SECONDS
LOOK_SECONDS = (10.0, 300.0)


class Due(IntFlag):
    """What is to be done before the next round."""

    NOTHING = 0
    LOG = 1
    LOOK = 2
    STOP = 4  # interrupted from outside
    OVER = 8  # the stage's share of the budget is spent
    LOST = 16  # the referee says so


@dataclass(frozen=True)
class Budget:
    """A stage's end, in rounds of the whole run or in seconds of the stage."""

    rounds: int | None
    seconds: float | None

    @classmethod
    def of(cls, run: Run, shares: list[float], stage: int) -> Budget:
        """The part of a run's budget that stage number `stage` has."""
        if run.rounds is not None:
            return cls(round(run.rounds * sum(shares[: stage + 1]) / sum(shares)), None)
        assert run.minutes is not None
        return cls(None, 60 * run.minutes * shares[stage] / sum(shares))

    def spent(self, progress: Progress) -> bool:
        if self.rounds is not None:
            return progress.round >= self.rounds
        assert self.seconds is not None
        return progress.stage_seconds >= self.seconds


class Clock:
    """Counts training seconds into `progress`; time spent looking is left out."""

    def __init__(self, progress: Progress, run: Run) -> None:
        self.progress, self.run = progress, run
        self.last = self.logged = time.perf_counter()
        self.looked_round, self.looked_at = progress.round, progress.seconds
        self.tick = min(TICK, max(SHORTEST_TICK, 60 * run.minutes / 100)) if run.minutes else TICK
        low, high = LOOK_SECONDS
        self.look_seconds = min(max(60 * (run.minutes or 0.0) / LOOKS, low), high)

    def due(self, budget: Budget, told: Due) -> Due:
        """Read the clock and say what is due; `told`: what is for reasons that are no clock's."""
        now, p = time.perf_counter(), self.progress
        p.seconds += now - self.last
        p.stage_seconds += now - self.last
        self.last = now
        due = told
        if budget.spent(p):
            due |= Due.OVER
        if p.round > 0 and now - self.logged >= self.tick:
            self.logged = now
            due |= Due.LOG
        if self._look_due():
            due |= Due.LOOK
        return due

    def _look_due(self) -> bool:
        p = self.progress
        every = self.run.look_every
        if every is None and self.run.rounds is not None and p.seconds - self.looked_at < LOOK_SECONDS[1]:
            every = max(1, self.run.rounds // LOOKS)
        if every is not None:
            return p.round > self.looked_round and p.round % every == 0
        seconds = self.look_seconds
        if self.run.stop == "auto":  # nobody knows the end: looks come as often as an early one would need them
            seconds = min(max(p.seconds / (2 * LOOKS), LOOK_SECONDS[0]), LOOK_SECONDS[1])
        return p.seconds - self.looked_at >= seconds

    def resume(self) -> None:
        """Go on counting after a look."""
        self.last = time.perf_counter()
        self.looked_round, self.looked_at = self.progress.round, self.progress.seconds
