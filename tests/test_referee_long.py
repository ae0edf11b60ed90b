"""Verdicts in runs of other lengths: overnight, of few and slow rounds, of several stages, and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mulligan.referee import verdict as v
from mulligan.referee.checks import HASTY
from mulligan.referee.course import Course
from mulligan.referee.history import ENOUGH, SLOW_START, History

Json = dict[str, Any]
Sign = float | Callable[[float], float]
HOUR = 3600.0
WELL: dict[str, Sign] = {
    "diversity": 0.95, "distance": 0.05, "modes": 1.0, "swing": 0.1, "D.auc": 0.75,
}  # fmt: skip


def log(
    signs: dict[str, Sign],
    hours: float,
    *,
    every: float = 10.0,
    rounds: float = 10.0,
    until: float | None = None,
    first: float = 0.0,
    stage: str = "train",
) -> list[Json]:
    """Lines of a run, each a number of seconds after the one before: signs are functions of hours, rounds so many a
    second; of the hours from `first` to `until`.
    """
    n = round(((until or hours) - first) * HOUR / every)
    lines = []
    for i in range(1, n + 1):
        seconds = first * HOUR + every * i
        found = {k: x(seconds / HOUR) if callable(x) else x for k, x in {**WELL, **signs}.items()}
        update = {k.removeprefix("update."): found.pop(k) for k in list(found) if k.startswith("update.")}
        lines.append({
            "round": round(rounds * seconds), "stage": stage, "images": round(64 * rounds * seconds),
            "seconds": seconds, "signs": found,
            "missing": [f"kind {j}" for j in range(round(10 * (1 - found["modes"])))],
            "update": {"D": 1e-2, "G": 1e-2, **update},
        })  # fmt: skip
    return lines


def told(lines: list[Json], minutes: float | None) -> list[tuple[str, float]]:
    """Verdicts, and after how many minutes they were given."""
    course = Course({"minutes": minutes})
    return [(new.name, line["seconds"] / 60) for line in lines for new in course.hear(line)]


def names(lines: list[Json], minutes: float | None) -> list[str]:
    return [name for name, _ in told(lines, minutes)]


# --- overnight ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("halving", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("auc", [0.55, 0.75, 0.985])
def test_samples_that_come_nearer_slowly_are_a_healthy_game(halving: float, auc: float) -> None:
    assert names(log({"distance": lambda t: 2 * 0.5 ** (t / halving), "D.auc": auc}, 12), 720) == []


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
@pytest.mark.parametrize("halving", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_hide_that_they_come_nearer(noise: float, halving: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    distance = lambda t: float(2 * 0.5 ** (t / halving) * (1 + noise * chance.standard_normal()))  # noqa: E731
    assert names(log({"distance": distance, "D.auc": 0.985}, 12, every=30, until=2), 720) == []


def test_noise_does_not_hide_for_long_that_they_come_no_nearer() -> None:
    chance = np.random.default_rng(0)
    stuck: dict[str, Sign] = {"distance": lambda t: float(2 + 0.1 * chance.standard_normal()), "D.auc": 1.0}
    (first, *_) = told(log(stuck, 12, every=30, until=2), 720)
    assert first[0] == v.D_WINS
    assert first[1] < 60


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [({"D.auc": 1.0}, v.D_WINS), ({"D.auc": 0.5}, v.G_WINS), ({}, v.STALLED), ({"update.G": 0.0}, v.STALLED)],
    ids=["D wins", "G wins", "stalled", "frozen"],
)
def test_what_is_lost_all_along_is_told_within_minutes(signs: dict[str, Sign], verdict: str) -> None:
    (first, *_) = told(log({"distance": 2.0, **signs}, 12, until=1), 720)
    assert first[0] == verdict
    assert first[1] < 15


@pytest.mark.parametrize("minutes", [60.0, 720.0])
def test_a_collapse_is_told_within_minutes_and_from_where_it_began(minutes: float) -> None:
    begins = 0.4  # hours
    signs: dict[str, Sign] = {"modes": lambda t: 1.0 if t < begins else 0.3, "distance": 0.2, "diversity": 0.5}
    lines = log(signs, minutes / 60, until=1.0)
    course = Course({"minutes": minutes})
    found = next(new for line in lines for new in course.hear(line))
    assert found.name == v.COLLAPSE
    told_at = course.history.now.seconds / HOUR
    assert told_at < begins + 0.25
    late = Course({"minutes": minutes}, lines).history
    assert late.now.seconds > told_at * HOUR
    assert abs(found.since / 10 / HOUR - begins) < ENOUGH * 0.1 / HOUR, "within one part that is looked at"


def test_the_outlook_of_a_game_that_still_comes_nearer_is_more_time() -> None:
    from mulligan.story import tell

    lines = log({"distance": lambda t: 0.29 * 0.5 ** (t / 6)}, 12, every=60)
    assert "more time would help" in tell(lines, [], {"minutes": 720.0}).lines[-1]


# --- few rounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        ({"distance": 2.0}, v.STALLED),
        ({"distance": 2.0, "diversity": 0.02, "modes": 0.1}, v.STALLED),
        ({"distance": 0.2, "diversity": 0.5, "modes": 0.3}, v.COLLAPSE),
    ],
)
def test_slow_rounds_are_judged_before_half_of_them_are_played(signs: dict[str, Sign], verdict: str) -> None:
    """Two hours of ten seconds a round: 720 rounds."""
    (first, *_) = told(log(signs, 2, rounds=0.1), 120)
    assert first[0] == verdict
    assert first[1] < 60


def test_the_slow_start_is_shorter_where_few_rounds_are_expected() -> None:
    few, many = (History.of(log({}, 2, rounds=rounds), {"minutes": 120}) for rounds in (0.1, 10))
    assert few.slow_start == 288
    assert many.slow_start == SLOW_START


# --- several stages -----------------------------------------------------------------------------------------


def test_a_second_stage_has_its_slow_start_too() -> None:
    begins: dict[str, Sign] = {
        "modes": lambda t: 0.3 if t < 0.52 else 1.0, "diversity": 0.6, "swing": 1.0,
        "distance": lambda t: 1.0 if t < 0.52 else 0.1,
    }  # fmt: skip
    lines = log({}, 1, until=0.5) + log(begins, 1, first=0.5, stage="second")
    assert names(lines, 60) == []


def test_a_first_step_that_is_too_long_is_told_in_each_stage() -> None:
    hasty = log({}, 1, first=0.5, stage="second")
    hasty[0]["update"] = {"D": 2 * HASTY, "G": 1e-2}
    assert names(log({}, 1, until=0.5) + hasty, 60)[0] == v.DIVERGING


def test_it_is_told_too_where_the_first_line_of_a_stage_was_written_before_it_was_measured() -> None:
    hasty = log({}, 1, first=0.5, stage="second")
    hasty[0]["update"] = {}
    hasty[1]["update"] = {"D": 2 * HASTY, "G": 1e-2}
    assert names(log({}, 1, until=0.5) + hasty, 60)[0] == v.DIVERGING


def test_the_longest_step_is_heard_of_though_no_line_was_written_then() -> None:
    lines = log({}, 1)
    for line in lines:
        line["longest"] = {"D": 2 * HASTY, "G": 1e-2}
    assert names(lines, 60)[0] == v.DIVERGING


def test_a_stage_that_teaches_a_reader_alone_is_no_game_right_after_it_was_taken_up() -> None:
    """The first line has no updates yet: they are measured every 50 rounds."""
    lines = log({"distance": 2.0}, 1, until=0.5)
    for line in lines:
        line["update"] = {"R": 1e-2}
    lines[-1]["update"] = {}
    assert names(lines, 60) == []


# --- gone on with -------------------------------------------------------------------------------------------


def test_a_run_that_got_over_its_first_step_is_not_lost_by_a_longer_budget() -> None:
    lines = log({"distance": 0.02}, 1, until=1 / 6, every=5)
    lines[0]["update"] = {"D": 1.5 * HASTY, "G": 1e-2}
    assert names(lines, 10) == [v.DIVERGING, v.HEALTHY]
    more = log({"distance": 0.02}, 1, first=1 / 6)
    more[0]["budget"] = {"budget": HOUR, "rounds": None}
    assert names(lines + more, 10) == [v.DIVERGING, v.HEALTHY]


# --- what looks like another thing --------------------------------------------------------------------------


def test_g_does_not_win_while_samples_come_nearer() -> None:
    assert names(log({"distance": lambda t: 2 * 0.5 ** (12 * t), "D.auc": 0.58}, 1), 60) == []


def test_a_grey_blur_after_random_weights_is_no_collapse() -> None:
    blur: dict[str, Sign] = {
        "diversity": lambda t: 0.3 if t < 0.005 else 0.02 if t < 0.02 else 0.9,
        "modes": lambda t: 0.1 if t < 0.02 else 1.0, "distance": lambda t: 0.5 if t < 0.02 else 0.1,
    }  # fmt: skip
    assert names(log(blur, 0.25, every=1), 15) == []


def test_a_g_that_falls_to_one_kind_has_collapsed() -> None:
    falls: dict[str, Sign] = {
        "diversity": lambda t: 0.9 if t < 0.4 else 0.15, "modes": lambda t: 1.0 if t < 0.4 else 0.1,
        "distance": lambda t: 0.05 if t < 0.4 else 0.25,
    }  # fmt: skip
    assert names(log(falls, 1), 60) == [v.COLLAPSE]


@pytest.mark.parametrize("kinds", [2, 4, 10])
def test_samples_that_go_from_kind_to_kind_at_random_oscillate(kinds: int) -> None:
    chance = 1 - 1 / kinds
    signs: dict[str, Sign] = {"distance": 0.6, "swing": chance, "circling": 1.0}
    assert v.OSCILLATING in names(log(signs, 1), 60)
    assert v.OSCILLATING not in names(log({**signs, "swing": 0.7 * chance, "circling": 0.7}, 1), 60)
