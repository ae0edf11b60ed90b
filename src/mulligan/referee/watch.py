"""The referee of one run: measures when there is time for it, hears each line of the log, and says what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mulligan.data.source import Source
from mulligan.game import System
from mulligan.loop import Loop
from mulligan.referee.checks import HASTY
from mulligan.referee.course import Course
from mulligan.referee.data import numbers
from mulligan.referee.history import budget_of, median
from mulligan.referee.signs import Signs
from mulligan.referee.verdict import Verdict
from mulligan.runtime import most_memory

Json = dict[str, Any]


class Referee:
    """Watches one run; only rank 0 does.

    Args:
        system: in training.
        source: its data.
        loop: that plays it.
        run: its options.
        began: those that it began with, where it goes on with others.
    """

    def __init__(self, system: System, source: Source, loop: Loop, run: Json, began: Json | None = None) -> None:
        self.loop = loop
        self.signs = Signs(system, source, loop)
        self.began, self.budget = began or run, budget_of(run)
        self.course = Course(self.began)
        self.measured = -1  # the round
        self._mark()

    def take_up(self, log: list[Json]) -> None:
        """Go on from the lines of a log."""
        self.course = Course(self.began, log)
        self.signs.since = self.loop.progress.seconds  # what was trained before is no time to spend now
        self._mark()

    def _mark(self) -> None:
        """From here on waiting and throughput are counted."""
        p = self.loop.progress
        self.waited, self.images = (self.loop.waited, p.seconds), p.images

    @property
    def verdict(self) -> Verdict:
        """The newest."""
        return self.course.verdict

    @property
    def updates(self) -> dict[str, float]:
        """By player, how far its steps moved a weight, over its length: the median, or the first if that threw the
        weights away. A long step in the middle is an accident, and says nothing of the pace.
        """
        history = self.course.history
        found = {}
        for player in history.longest:
            first = history.first(f"longest.{player}")
            found[player] = first if first > HASTY else median(history.column(f"update.{player}"))
        return found

    def look(self, *, at_once: bool = False) -> Json:
        """What a line of the log says of the vital signs; nothing where measuring would take too much of the time."""
        p = self.loop.progress
        if self.measured == p.round or not (at_once or self.signs.due()):
            return {}
        self.measured = p.round
        signs, missing = self.signs.measure(counted=not at_once)
        waited, since = self.loop.waited - self.waited[0], p.seconds - self.waited[1]
        if since > 0:
            signs["waiting"], signs["rate"] = waited / since, (p.images - self.images) / since
        signs["memory"] = most_memory(self.loop.runtime.device) / 1e6
        self._mark()
        signs = {k: round(x, 6) for k, x in signs.items()}
        steps = {"update": _rounded(self.loop.updates), "longest": _rounded(self.loop.longest)}
        return {**self._first(), "signs": signs, "missing": missing, **steps}

    def _first(self) -> Json:
        """What is said once: what the data are like, and how long the run is to be if that is not how it began."""
        history, said = self.course.history, {}
        if not history.data:
            said["data"] = numbers(self.signs.source, self.signs.system, self.signs.floors)
        if {"budget": history.budget, "rounds": history.rounds} != self.budget:
            said["budget"] = self.budget
        return said

    def hear(self, line: Json) -> list[Verdict]:
        """Add a line of the log; verdicts that are new with it."""
        return self.course.hear(line)


def _rounded(numbers: Mapping[str, Tensor]) -> dict[str, float]:
    """As they go into the log: waits for the device."""
    return {player: round(float(x), 12) for player, x in numbers.items()}
