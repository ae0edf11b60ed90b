"""The story of a run: how it stands, what is not well though the game is not lost, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from made_logs import LINES, RUN, Json, lines
from mulligan.referee import verdict as v
from mulligan.story import Story, tell

FINISHED = ({"kind": "start", "text": "gan began"}, {"kind": "finish", "text": "finished after 60 rounds"})


def told(signs: Json, *events: Json) -> Story:
    return tell(lines(signs), events, RUN)


def words(signs: Json, *events: Json) -> str:
    return " ".join(told(signs, *events).lines)


def test_a_long_run_in_which_nothing_was_found_is_said_to_be_healthy() -> None:
    story = told({}, *FINISHED)
    assert story.verdict.name == v.HEALTHY
    assert "It is a healthy game" in " ".join(story.lines)
    assert "not all is well" not in " ".join(story.lines)
    assert story.lines[-1] == "It finished after 60 rounds."


def test_a_kind_that_is_never_made_is_named() -> None:
    """One of ten: too little for a collapse, too much to say nothing."""
    said = words({"modes": lambda t: 1.0 if t < 0.5 else 0.9})
    assert f"Nothing of kind kind 0 has been among the samples since round {1000 * LINES // 2:,}." in said
    assert "The game is not lost, but not all is well." in said
    assert "healthy game" not in said
    several = words({"modes": 0.8})
    assert "Nothing of the kinds kind 0, kind 1 has been among the samples since round 1,000." in several


@pytest.mark.parametrize("is_missing", [lambda i: i % 4, lambda i: i > LINES - 3], ids=["now and then", "lately"])
def test_a_kind_that_is_missing_for_a_while_is_no_news(is_missing: Any) -> None:
    assert "Nothing of" not in words({"modes": lambda t: 0.9 if is_missing(round(t * LINES)) else 1.0})


def test_samples_that_were_nearer_to_the_data_before_are_told_of() -> None:
    said = words({"distance": lambda t: 0.01 if 0.2 < t < 0.4 else 0.08})
    assert "Samples were nearer to the data around round " in said
    assert "(0.01) than they are now (0.08)" in said
    assert "healthy game" not in said
    assert "were nearer" not in words({"distance": lambda t: 0.02 if 0.2 < t < 0.4 else 0.03}), "chance"


def test_a_run_that_keeps_its_best_is_not_told_that_it_had_a_better_moment() -> None:
    log = lines({"distance": lambda t: 0.01 if 0.2 < t < 0.4 else 0.08})
    assert "were nearer" not in " ".join(tell(log, FINISHED, {**RUN, "stop": "auto"}).lines)


def test_a_distance_below_nothing_is_nothing() -> None:
    assert "to 0 (real data" in words({"distance": lambda t: 0.9 - t})


def test_nothing_measured_is_nothing_known() -> None:
    story = tell([], [{"kind": "start"}], RUN)
    assert story.verdict.name == v.UNKNOWN
    assert "Its end is not on record" in story.lines[-1]


def test_a_problem_of_the_data_is_the_headline_of_a_game_that_is_well() -> None:
    log = lines({})
    log[0]["data"] = {"n": 1000.0, "copies": 0.9}
    story = tell(log, FINISHED, RUN)
    assert story.verdict.name == v.DATA
    assert story.lines[0].startswith("90 % of the samples are copies")


def test_a_run_that_was_taken_up_says_where() -> None:
    resumed = {"kind": "resume", "text": "resumed at round 30", "round": 30}
    assert "Round 30: resumed at round 30." in words({}, {"kind": "start"}, resumed)
    taken = {"kind": "mulligan", "text": "mulligan 1: back to round 30", "round": 40}
    assert "resumed" not in words({}, {"kind": "start"}, taken, resumed), "the mulligan says so"
    assert "Round 30: resumed" in words({}, {"kind": "start"}, taken, resumed, resumed)
