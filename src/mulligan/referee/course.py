"""The verdicts of a run in their course: a line of the log in, what is new of them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mulligan.referee.checks import judge
from mulligan.referee.data import problems
from mulligan.referee.history import TICKS, History
from mulligan.referee.verdict import ALL_WELL, HEALTHY, Verdict

Json = Mapping[str, Any]


class Course:
    """Hears the lines of one log.

    Attributes:
        verdict: the newest. A finding stands until the game has been healthy for as long as a finding has to last.
        history: what it is made of.
    """

    def __init__(self, run: Json, log: Iterable[Json] = ()) -> None:
        self.history = History.of((), run)
        self.verdict: Verdict = ALL_WELL
        self.calm = 0  # measurements since the finding held
        for line in log:
            self.hear(line)

    def hear(self, line: Json) -> list[Verdict]:
        """Verdicts that are new with a line."""
        if not self.history.hear(line):
            return []
        new = problems(line["data"]) if "data" in line else []
        before, now = self.verdict, judge(self.history)
        self.calm = self.calm + 1 if now.name == HEALTHY else 0
        if now.name == HEALTHY and before.name != HEALTHY and self.calm < TICKS:
            return new
        self.verdict = now
        return [*new, now] if now.name != before.name else new
