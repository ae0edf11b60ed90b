"""From lines of a log to verdicts: each finding by its numbers, none of a healthy game, none of a bad moment."""

from __future__ import annotations

import json
import math

import pytest

from made_logs import LINES, LOST, RUN, WELL, Json, line, lines
from mulligan.referee import checks
from mulligan.referee import verdict as v
from mulligan.referee.checks import CHECKS, judge
from mulligan.referee.course import Course
from mulligan.referee.data import problems
from mulligan.referee.history import TICKS, History
from mulligan.story import MEANS

# by the name of a check: what differs from a healthy game, the verdict, and whom it is about
CASES: dict[str, tuple[Json, str, str]] = {
    "hasty": ({**LOST, "update.D": 10.0}, v.DIVERGING, "D"),
    "frozen": ({**LOST, "update.D": 0.0}, v.STALLED, "D"),
    "timid": ({**LOST, "update.G": 1e-7}, v.STALLED, "G"),
    "not_begun": ({**LOST, "diversity": 0.0, "modes": 0.1}, v.STALLED, ""),
    "total_collapse": (
        {"diversity": lambda t: 0.95 if t < 0.3 else 0.0, "distance": lambda t: 0.1 if t < 0.3 else 2.0},
        v.COLLAPSE,
        "",
    ),
    "diverging": ({"distance": lambda t: 0.05 if t < 0.5 else 5.0}, v.DIVERGING, ""),
    "runaway": ({"D.real": lambda t: 10 ** (6 * t)}, v.DIVERGING, "D"),
    "d_wins": ({**LOST, "D.auc": 1.0, "D.auc_train": 1.0}, v.D_WINS, "D"),
    "g_wins": ({**LOST, "D.auc": 0.5, "D.auc_train": 0.5}, v.G_WINS, "D"),
    "partial_collapse": ({"distance": 0.2, "modes": 0.2, "diversity": 0.3}, v.COLLAPSE, ""),
    "condition_ignored": ({"condition": 0.0, "agreement": 0.1}, v.CONDITION, ""),
    "noise_ignored": ({"noise": 0.0}, v.NOISE, ""),
    "memorised": ({"D.memory": 1.0}, v.MEMORY, "D"),
    "copied": ({"nearest": 0.0}, v.COPIES, ""),
    "oscillating": ({**LOST, "swing": 1.0}, v.OSCILLATING, ""),
    "stalled": ({**LOST}, v.STALLED, ""),
    "slow_input": ({"waiting": 0.95}, v.SLOW, ""),
}
each_case = pytest.mark.parametrize("name", CASES)


def names(log: list[Json], run: Json = RUN) -> list[str]:
    """Every verdict that is given, in order."""
    course = Course(run)
    return [told.name for one in log for told in course.hear(one)]


# --- findings -----------------------------------------------------------------------------------------------


def test_every_check_has_its_case_and_every_verdict_its_meaning() -> None:
    assert {check.__name__ for check in CHECKS} == CASES.keys()
    assert MEANS.keys() == set(v.NAMES) - {v.HEALTHY}
    assert {name for _, name, _ in CASES.values()} | {v.HEALTHY, v.NOT_FINITE, v.DATA} == set(v.NAMES)


@each_case
@pytest.mark.parametrize("run", [RUN, {"rounds": 1000 * LINES}, {}], ids=["minutes", "rounds", "none"])
def test_each_finding_is_found_and_is_what_explains_it(name: str, run: Json) -> None:
    signs, verdict, player = CASES[name]
    log = lines(signs)
    if not run:  # of a run without a budget an hour counts
        log = [{**one, "seconds": 60 * one["seconds"]} for one in log]
    history = History.of(log, run)
    found = judge(history)
    assert (found.name, found.player) == (verdict, player)
    assert found == getattr(checks, name)(history), "another check was quicker"


@each_case
def test_a_finding_says_what_was_seen_since_when_and_what_to_do(name: str) -> None:
    signs, _, player = CASES[name]
    found = judge(History.of(lines(signs), RUN))
    assert found.since in range(1000, 1000 * LINES)
    assert found.evidence.keys() & signs.keys()
    assert all(found.evidence[k] == signs[k] for k in found.evidence.keys() & signs.keys() if not callable(signs[k]))
    assert player in found.text
    assert found.text.endswith(".") and found.advice.endswith(".")
    assert "nan" not in str(found)
    json.dumps(found.to_json(), allow_nan=False)


@each_case
def test_a_finding_comes_while_there_is_time_for_a_mulligan(name: str) -> None:
    signs, verdict, _ = CASES[name]
    assert verdict in names(lines(signs)[: LINES * 3 // 4])


def test_a_d_that_takes_made_samples_for_real_ones_has_lost_too() -> None:
    found = judge(History.of(lines({**LOST, "D.auc": 0.1, "D.auc_train": 0.1}), RUN))
    assert (found.name, found.player) == (v.G_WINS, "D")
    assert "90 % of cases" in found.text


def test_half_of_the_classes_are_named() -> None:
    found = judge(History.of(lines(CASES["partial_collapse"][0]), RUN))
    assert "8 kinds" in found.text
    assert "kind 0, kind 1" in found.text


def test_of_several_judges_the_one_that_wins_is_named() -> None:
    second = {name.replace("D", "D2"): x for name, x in WELL.items() if "D" in name}
    found = judge(History.of(lines({**LOST, **second, "D2.auc": 1.0}), RUN))
    assert (found.name, found.player) == (v.D_WINS, "D2")


def test_a_class_that_is_not_there_by_the_labels_alone_is_an_ignored_condition() -> None:
    """Samples move with what they are told, and are not it: labels that were shuffled."""
    assert judge(History.of(lines({"agreement": 0.1}), RUN)).name == v.CONDITION


@pytest.mark.parametrize("where", ["", "the data (x)", "weight D.0.weight", "layer G.3"])
def test_a_number_that_is_not_finite_is_the_verdict_at_once(where: str) -> None:
    text = "term 'adv' of player G became nan by round 77" + (f"; first not finite: {where}" if where else "")
    ended = {"round": 77, "text": text, "player": "G", "term": "adv", "where": where}
    log = [*lines({}), {"round": 77, "images": 1, "seconds": 1.0, "not_finite": ended}]
    found = Course(RUN, log).verdict
    assert (found.name, found.player, found.since, found.lost) == (v.NOT_FINITE, "G", 77, True)
    assert found.text == f"{text}."
    assert ("Your data" in found.advice) == where.startswith("the data")
    assert found.mends != where.startswith("the data")
    assert Course(RUN, log[-1:]).verdict == found, "also of a game that was never measured"


# --- healthy games ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [RUN, {"rounds": 1000 * LINES}, {}], ids=["minutes", "rounds", "none"])
def test_a_healthy_game_is_healthy_all_the_time(run: Json) -> None:
    assert names(lines({}), run) == []


def test_a_game_without_conditions_labels_and_updates_is_healthy_too() -> None:
    log = lines({})
    for one in log:
        one["signs"] = {k: x for k, x in one["signs"].items() if k.startswith("D.") or k in ("diversity", "distance")}
        one["update"] = {}
    assert names(log) == []


def test_an_empty_log_and_lines_of_losses_alone_say_nothing() -> None:
    assert Course(RUN).verdict == v.ALL_WELL
    assert names([{k: x for k, x in one.items() if k not in ("signs", "missing")} for one in lines(LOST)]) == []


@each_case
@pytest.mark.parametrize("bad", [1, 2])
@pytest.mark.parametrize("of", [LINES, 12], ids=["many lines", "few"])
def test_a_bad_moment_is_no_alarm(name: str, bad: int, of: int) -> None:
    signs = {k: x(1.0) if callable(x) else x for k, x in CASES[name][0].items()}
    assert bad < TICKS
    assert names(lines(signs, lambda i: 0 <= i - 2 * of // 3 < bad, of)) == []


def test_a_first_step_that_throws_the_weights_away_is_told_at_once_and_may_go_over() -> None:
    log = lines({})
    log[0]["update"]["D"] = 10.0
    assert names(log) == [v.DIVERGING, v.HEALTHY]
    assert names(log[: LINES // 20]) == [v.DIVERGING]


def test_modes_that_are_missing_now_here_now_there_are_a_collapse() -> None:
    """From look to look samples become something else, of which there is never much."""
    hops = {"distance": 0.25, "modes": lambda t: 0.3 + 0.5 * (round(60 * t) % 3 == 0), "swing": 1.0}
    assert names(lines(hops))[0] == v.COLLAPSE


def test_a_game_that_begins_with_few_modes_and_adds_to_them_is_healthy() -> None:
    assert names(lines({"modes": lambda t: min(1.0, 0.2 + 4 * t), "swing": 0.3})) == []


def test_the_slow_start_of_2014_is_no_lost_game() -> None:
    """All samples one grey blur that jumps about, and a D that is never wrong, for a fifth of three minutes."""
    start = {
        "distance": lambda t: 0.5 + 0.1 * math.sin(200 * t) if t < 0.2 else 0.5 * (1 - t), "D.auc": 1.0,
        "diversity": lambda t: 0.03 if t < 0.2 else 0.03 + 1.2 * (t - 0.2), "modes": lambda t: 0.1 if t < 0.2 else t,
        "swing": lambda t: 1.0 if t < 0.3 else 0.5, "update.G": lambda t: min(1e-7 * 10 ** (30 * t), 1e-3),
    }  # fmt: skip
    log = [{**one, "round": 60 * i, "images": 6_000 * i, "seconds": 3 * i} for i, one in enumerate(lines(start), 1)]
    assert names(log, {"minutes": 3}) == []


def test_nobody_who_asks_is_enough_where_samples_look_like_nothing_yet() -> None:
    """An early game follows nothing yet; one whose D says the same of any condition never will."""
    astray = {"agreement": 0.1, "distance": 0.25}
    assert v.CONDITION not in names(lines(astray))
    assert v.CONDITION not in names(lines({**astray, "D.matching": 0.52}))
    assert names(lines({**astray, "D.matching": 0.5}))[0] == v.CONDITION
    assert names(lines({"agreement": 0.9, "D.matching": 0.5})) == [], "a reader of its own asks in an AC-GAN"


@each_case
def test_a_game_that_has_hardly_begun_is_not_lost(name: str) -> None:
    """However short its budget: of sixty rounds there are as many lines."""
    log = [{**one, "round": i, "images": 64 * i} for i, one in enumerate(lines(CASES[name][0]), 1)]
    assert not set(names(log, {"rounds": LINES})) & (v.LOST | v.MENDABLE)


def test_what_was_measured_of_one_stage_is_not_held_against_the_next() -> None:
    log = [{**one, "stage": f"{i // 3}"} for i, one in enumerate(lines(LOST))]
    assert names(log) == []


@each_case
def test_a_finding_stands_until_the_game_was_healthy_for_a_while(name: str) -> None:
    signs, verdict, _ = CASES[name]
    course = Course(RUN, lines(signs))
    assert course.verdict.name == verdict
    well = [{**line(i, {"distance": 0.03}), "seconds": 1.5 * i} for i in range(LINES + 1, 2 * LINES)]
    course.hear(well[0])
    assert course.verdict.name == verdict, "a good moment is no mend"
    said = [told.name for one in well[1:] for told in course.hear(one)]
    assert said[-1] == v.HEALTHY
    assert course.verdict == v.ALL_WELL


# --- verdicts are functions of the lines --------------------------------------------------------------------


@each_case
def test_the_same_lines_the_same_verdicts_also_of_a_part_of_them(name: str) -> None:
    log = lines(CASES[name][0], lambda i: i > 8)
    before = json.dumps(log)
    course, said = Course(RUN), []
    for one in log:
        course.hear(one)
        said.append(course.verdict)
    assert json.dumps(log) == before, "lines are only read"
    stored = json.loads(before)
    assert [Course(RUN, stored[: i + 1]).verdict for i in range(LINES)] == said
    assert judge(History.of(stored, RUN)) == judge(History.of(log, RUN))


# --- the data -----------------------------------------------------------------------------------------------

GOOD: Json = {
    "n": 5000.0, "low": -1.0, "high": 1.0, "least": -1.0, "most": 1.0, "finite": 1.0, "copies": 0.01, "classes": 10.0,
    "agreement chance": 0.1, "agreement floor": 0.9, "narrowest": 0.8, "widest": 1.3,
}  # fmt: skip
RULES: list[tuple[Json, str]] = [
    ({"finite": 0.0}, "finite"),
    ({"low": 0.0, "high": 255.0}, "0 to 255"),
    ({"low": 0.0}, "scaled to another range"),
    ({"high": 0.0}, "scaled to another range"),
    ({"classes": 1.0}, "one class"),
    ({"agreement floor": 0.12}, "12 % have the same label"),
    ({"copies": 0.9}, "90 % of the samples are copies"),
    ({"n": 12.0}, "12 samples"),
    ({"widest": 40.0}, "40.00"),
    ({"narrowest": 0.02}, "0.02"),
]


@pytest.mark.parametrize(("numbers", "says"), RULES, ids=[f"{next(iter(n))} {says}" for n, says in RULES])
def test_each_rule_of_the_data_fires_on_its_numbers_alone(numbers: Json, says: str) -> None:
    (found,) = problems({**GOOD, **numbers})
    assert (found.name, found.lost) == (v.DATA, False)
    assert says in str(found)
    assert found.advice.endswith(".")
    assert found.evidence.keys() & numbers.keys()


def test_good_data_have_no_problem() -> None:
    assert problems(GOOD) == []
    assert problems({"n": 5000.0}) == [], "points: no range, no labels, no files"


def test_what_else_is_made_or_given_is_looked_at_too() -> None:
    other = {"low": 0.0, "high": 255.0, "finite": 1.0, "copies": 0.9, "least": -1.0, "most": 1.0}
    (found,) = problems({**GOOD, "others": {"x2": other}})
    assert found.text.startswith("x2: values go from 0 to 255")
    assert "is what G makes" in found.text
    assert problems({**GOOD, "others": {"x2": {**other, "low": -1.0, "high": 1.0}}}) == []
    (found,) = problems({**GOOD, "others": {"input": {**other, "given": 1.0}}})
    assert "is declared" in found.text
    dark = {**other, "low": -1.0, "high": -0.9}
    assert problems({**GOOD, "others": {"input": {**dark, "given": 1.0}}}) == [], "what is given may be dark"
    assert len(problems({**GOOD, "others": {"x2": dark}})) == 1


def test_a_problem_of_the_data_is_told_once_and_ends_no_game() -> None:
    log = lines({})
    log[0]["data"] = {**GOOD, "copies": 0.9}
    assert names(log) == [v.DATA]
    assert Course(RUN, log).verdict == v.ALL_WELL


# --- a run that goes on with another budget -----------------------------------------------------------------


def test_of_a_longer_budget_what_is_past_is_a_smaller_part() -> None:
    log = lines({})
    log.append({**line(LINES + 1, {}), "budget": {"budget": 120.0, "rounds": None}})
    shares = [m.share for m in History.of(log, RUN).moments]
    assert shares == pytest.approx([0.5 * i / LINES for i in range(1, LINES + 2)])


def test_what_is_judged_is_what_would_have_been_with_that_budget_from_the_beginning() -> None:
    log = lines(CASES["stalled"][0])
    longer = [*log[:-1], {**log[-1], "budget": {"budget": 6000.0, "rounds": None}}]
    assert judge(History.of(log, RUN)).name == v.STALLED
    assert judge(History.of(longer, RUN)) == judge(History.of(log, {"minutes": 100.0})) == v.ALL_WELL
