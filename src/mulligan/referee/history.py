"""What the referee judges: the lines of a run's log as columns, and how long something has been so."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mulligan.rundir import FLOOR

Json = Mapping[str, Any]
TICKS = 4  # measurements that a finding has to last for
LAST = 0.04  # and of the budget: a bad moment is no lost game
ENOUGH = 3_000  # seconds, times the part: of a budget of many hours nobody waits for a part
MEDIAN = 1.25  # times the standard error of a mean is that of a median
HALVES = 6  # measurements, of which one half is held against the other
SLOW_START = 1_000  # rounds, in which the game of 2014 gets off the ground
LEAST_CHANCE = 0.2  # that a sample goes to another kind: with less there is one kind and some odd ones
TEN_KINDS = 0.9  # of the samples that go from one of ten equal kinds to any at random, go to another
ROUNDS = 200  # and in rounds: a game that has hardly begun is not lost, however short its budget


@dataclass(frozen=True)
class Moment:
    """A measurement: its numbers by name, and when it was.

    Attributes:
        images: seen in this stage.
        share: of the run's budget that was spent; of a run without one, of an hour.
    """

    round: int
    images: float
    seconds: float
    share: float
    signs: Mapping[str, float]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """Of a sign, its median before and after, how far apart these are, as a part of the budget, and the standard error
    of their difference.
    """

    before: float
    after: float
    apart: float
    error: float


@dataclass
class History:
    """A run up to now.

    Args:
        budget: seconds of the whole run; None where it is counted in rounds.
        rounds: of the whole run, where it is.
    """

    budget: float | None = None
    rounds: int | None = None
    moments: list[Moment] = field(default_factory=list)  # of the newest stage: another one is another game
    updates: dict[str, float] = field(default_factory=dict)  # by player, the newest
    longest: dict[str, float] = field(default_factory=dict)  # by player, of all updates
    stage: str | None = None
    began: float = 0.0  # images seen when the stage did
    ended: dict[str, Any] | None = None  # what was not finite
    data: Json = field(default_factory=dict)  # what was measured of the data once

    @classmethod
    def of(cls, log: Iterable[Json], run: Json) -> History:
        """Of the lines of a log and the options of its run."""
        history = cls(**budget_of(run))
        for line in log:
            history.hear(line)
        return history

    def hear(self, line: Json) -> bool:
        """Add a line; whether it holds anything to judge."""
        self.data = line.get("data", self.data)
        self.ended = line.get("not_finite", self.ended)
        self._hear_budget(line.get("budget"))
        if not line.get("signs"):
            return "not_finite" in line or "data" in line
        images = line.get("images", math.inf)
        if self.stage not in (None, line.get("stage")):
            self.moments, self.updates, self.longest, self.began = [], {}, {}, images
        self.stage = line.get("stage")
        # a run that was taken up again measures them later than all else
        self.updates |= _numbers(line.get("update"))
        longest = self.updates | _numbers(line.get("longest"))
        self.longest |= {player: max(x, self.longest.get(player, 0.0)) for player, x in longest.items()}
        share = self._share(line["round"], line["seconds"])
        signs = {**line["signs"]}
        signs |= {f"update.{player}": x for player, x in self.updates.items()}
        signs |= {f"longest.{player}": x for player, x in self.longest.items()}
        if "circling" not in signs and "swing" in signs:  # of a log from before it was measured
            signs["circling"] = signs["swing"] / max(signs.get("swing chance", TEN_KINDS), LEAST_CHANCE)
        missing = tuple(line.get("missing", ()))
        self.moments.append(Moment(line["round"], images - self.began, line["seconds"], share, signs, missing))
        return True

    def _hear_budget(self, told: Json | None) -> None:
        """Of a run that goes on with another budget, what is past is another part of it."""
        if told is not None:
            self.budget, self.rounds = told["budget"], told["rounds"]
            self.moments = [replace(m, share=self._share(m.round, m.seconds)) for m in self.moments]

    def _share(self, round: int, seconds: float) -> float:
        if self.budget:
            return seconds / self.budget
        return round / self.rounds if self.rounds else seconds / 3600

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    @property
    def players(self) -> list[str]:
        """Who learns."""
        return [key.removeprefix("update.") for key in self.now.signs if key.startswith("update.")]

    @property
    def judges(self) -> list[str]:
        """Who tells real from fake."""
        return [key.removesuffix(".auc") for key in self.now.signs if key.endswith(".auc")]

    def get(self, name: str, default: float = math.nan) -> float:
        """The newest value."""
        return self.now.signs.get(name, default)

    def first(self, name: str) -> float:
        """The first value there is."""
        return next((m.signs[name] for m in self.moments if name in m.signs), math.nan)

    def floor(self, name: str) -> float:
        return self.get(name + FLOOR, 0.0)

    def column(self, name: str) -> list[float]:
        """All values there are."""
        return [m.signs[name] for m in self.moments if name in m.signs]

    def recent(self, name: str, share: float = LAST, least: int = TICKS) -> list[float]:
        """The values of the newest measurements, or of the newest part of the budget if those are more."""
        return [m.signs[name] for m in self.within(share, least) if name in m.signs]

    def trend(self, name: str, share: float) -> Trend | None:
        """Of the newest part of the budget, however long, or the newest HALVES; None where there are fewer."""
        begin = bisect_right(self.moments, self.now.share - share, key=_share)
        found = [m for m in self.moments[-max(HALVES, len(self.moments) - begin) :] if name in m.signs]
        half = len(found) // 2
        if len(found) < HALVES:
            return None
        before, after = ([m.signs[name] for m in part] for part in (found[:half], found[half:]))
        apart = found[(half + len(found)) // 2].share - found[half // 2].share
        error = math.hypot(*(MEDIAN * float(np.std(part)) / math.sqrt(len(part)) for part in (before, after)))
        return Trend(median(before), median(after), apart, error)

    def stretch(self, holds: Callable[[Sequence[Moment]], bool], share: float, least: int) -> Moment | None:
        """Since when something holds of the measurements of a part of the budget, taken together: part before part."""
        size = len(self.within(share, least))
        end = len(self.moments)
        while size >= least and end >= size and holds(self.moments[end - size : end]):
            end -= size
        return self.moments[end] if end < len(self.moments) else None

    def within(self, share: float, least: int = TICKS) -> list[Moment]:
        """The newest `least` measurements, or those of the newest part of the budget if they are more."""
        begin = bisect_right(self.moments, self.now.share - self.part(share), key=_share)
        return self.moments[-max(least, len(self.moments) - begin) :]

    def part(self, share: float) -> float:
        """Of a long budget, the part that some minutes are."""
        return min(share, ENOUGH * share / self._seconds)

    @property
    def age(self) -> tuple[float, int]:
        """Of the stage, as far as it was measured: the part of the budget, and rounds."""
        first = self.moments[0]
        return self.now.share - first.share, self.now.round - first.round

    @property
    def slow_start(self) -> int:
        """Rounds in which a game gets off the ground: fewer where there are few to be played."""
        expected = self.now.round / max(self.now.share, 1e-9)
        return round(min(SLOW_START, max(ROUNDS, 0.4 * expected)))

    @property
    def _seconds(self) -> float:
        """Of the whole budget, as far as can be told."""
        return self.budget or self.now.seconds / max(self.now.share, 1e-9) or 1.0

    def lasting(
        self, holds: Callable[[Moment], bool], ticks: int = TICKS, share: float = LAST, rounds: int = ROUNDS
    ) -> Moment | None:
        """Since when something holds without a break, if that is long enough."""
        since = None
        count = 0
        for moment in reversed(self.moments):
            if not holds(moment):
                break
            since, count = moment, count + 1
        if since is None or count < ticks:
            return None
        if self.now.share - since.share < self.part(share) or self.now.round - since.round < rounds:
            return None
        return since

    @property
    def started(self) -> float:
        """The first distance between samples and data."""
        return self.first("distance")

    @property
    def is_game(self) -> bool:
        """Whether somebody makes something now: not where a stage teaches a reader alone."""
        return bool(self.players) and (len(self.players) != 1 or self.players[0][0] == "G")


def _share(moment: Moment) -> float:
    return moment.share


def above(name: str, limit: float) -> Callable[[Moment], bool]:
    """Whether a sign is above a limit; one that was not measured is not."""
    return lambda m: m.signs.get(name, -math.inf) > limit


def below(name: str, limit: float) -> Callable[[Moment], bool]:
    """Whether a sign is below a limit; one that was not measured is not."""
    return lambda m: m.signs.get(name, math.inf) < limit


def budget_of(run: Json) -> dict[str, Any]:
    """What the options of a run say of its length, by the names that `History` has for it."""
    minutes = run.get("minutes")
    return {"budget": 60 * minutes if minutes else None, "rounds": run.get("rounds")}


def _numbers(found: Any) -> dict[str, float]:
    """The numbers of an object; none where it is not there, or odd."""
    return {k: x for k, x in found.items() if isinstance(x, int | float)} if isinstance(found, dict) else {}


def median(values: Sequence[float]) -> float:
    """NaN of none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else math.nan
