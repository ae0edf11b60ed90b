"""Remedies: each step, the rows of the table, and that no system's networks ever change their shape by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, Field

from conftest import each_system, tiny_loop, tiny_system
from mulligan.config import Config, Run, role
from mulligan.game import System
from mulligan.referee import remedies as r
from mulligan.referee import verdict as v
from mulligan.referee.checks import HASTY
from mulligan.referee.remedies import TABLE, TIMID, USUAL, Changes, Situation, Step, in_words, remedy

every_verdict = pytest.mark.parametrize("verdict", TABLE)


class Paper(Config):
    """Options with every role that there is."""

    gamma: float | None = Field(default=10.0, ge=0, json_schema_extra=role("penalty"))
    n_critic: int = Field(default=2, ge=1, json_schema_extra=role("n_critic"))
    clip: float = Field(default=0.01, gt=0, json_schema_extra=role("clip"))
    loss: str = Field(default="nonsaturating", json_schema_extra=role("loss"))
    naming: float = Field(default=1.0, ge=0, json_schema_extra=role("told"))
    augment: str = Field(default="none", json_schema_extra=role("augment"))
    lr: float = Field(default=1e-3, gt=0, json_schema_extra=role("lr"))


def situation(
    *,
    run: Mapping[str, Any] | None = None,
    updates: Mapping[str, float] | None = None,
    touched: Iterable[str] = (),
    **options: Any,
) -> Situation:
    # what the data made of an option that is None, and the machine of one that is left to it
    came_to = {"gamma": 3.0, "precision": (run or {}).get("precision", "bf16")}
    models = [Paper(**options), Run(**(run or {}))]
    return Situation.of(models, came_to.get, updates=updates or {}, touched=frozenset(touched))


# --- steps --------------------------------------------------------------------------------------------------


def usual(update: float) -> float:
    """What makes a usual step of one, to one digit."""
    return float(f"{min(max(USUAL / update, 0.01), 100.0):.1g}")


STEPS: dict[str, tuple[Step, Situation, Changes]] = {
    "published: nothing to do": (r.as_published, situation(), {}),
    "published: a little off is the user's choice": (r.as_published, situation(gamma=20.0, n_critic=5), {}),
    "published: far off": (r.as_published, situation(gamma=1000.0, clip=1e-5), {"gamma": 10.0, "clip": 0.01}),
    "published: switched off": (r.as_published, situation(gamma=0.0, naming=0.0), {"gamma": 10.0, "naming": 1.0}),
    "published: too many steps": (r.as_published, situation(n_critic=40), {"n_critic": 2}),
    "published: another loss": (r.as_published, situation(loss="saturating"), {"loss": "nonsaturating"}),
    "published: paces": (r.as_published, situation(run={"g_pace": 0.001, "d_pace": 2.0}), {"g_pace": 1.0}),
    "published: a mulligan's doing is no mistake": (
        r.as_published, situation(gamma=1000.0, touched=["gamma"], run={"g_pace": 0.001}), {"g_pace": 1.0},
    ),
    "published: a rate a hundred times the paper's": (r.as_published, situation(lr=0.1), {"lr": 1e-3}),
    "published: a rate": (r.as_published, situation(lr=1.0), {"lr": 1e-3}),
    "published: a rate fifty times the paper's is the user's choice": (r.as_published, situation(lr=0.05), {}),
    "published: with the rate go the paces that it was mended by": (
        r.as_published, situation(lr=1.0, touched=["d_pace"], run={"g_pace": 2.0, "d_pace": 0.01}),
        {"lr": 1e-3, "d_pace": 1.0},
    ),
    "published: left to the data": (r.as_published, situation(gamma=None), {}),
    "slower: half": (r.slower("G", "D"), situation(), {"g_pace": 0.5, "d_pace": 0.5}),
    "slower: half of what it is": (r.slower("D"), situation(run={"d_pace": 0.5}), {"d_pace": 0.25}),
    "slower: hasty to what is usual": (r.slower("D"), situation(updates={"D": 1e6}), {"d_pace": 0.01}),
    "quicker: twice": (r.quicker("G"), situation(), {"g_pace": 2.0}),
    "quicker: timid to what is usual": (r.quicker("G"), situation(updates={"G": 1e-12}), {"g_pace": 100.0}),
    "quicker: none at all is no measure": (r.quicker("G"), situation(updates={"G": 0.0}), {"g_pace": 2.0}),
    "calmed: usual steps stay": (r.calmed, situation(updates={"G": USUAL, "D": USUAL}), {}),
    "calmed: hasty": (r.calmed, situation(updates={"G": 1e-12, "D": 2 * HASTY}), {"d_pace": usual(2 * HASTY)}),
    "calmed: to a hundredth at most": (r.calmed, situation(updates={"D": 1e6}), {"d_pace": 0.01}),
    "calmed: other players are paced like G": (r.calmed, situation(updates={"E": 1e6}), {"g_pace": 0.01}),
    "hurried: usual steps stay": (r.hurried, situation(updates={"G": USUAL, "D": USUAL}), {}),
    "hurried: timid": (r.hurried, situation(updates={"G": TIMID / 2, "D": 1e6}), {"g_pace": usual(TIMID / 2)}),
    "hurried: a hundredfold at most": (r.hurried, situation(updates={"G": 1e-12}), {"g_pace": 100.0}),
    "hurried: of what it is": (r.hurried, situation(run={"g_pace": 0.5}, updates={"G": 1e-12}), {"g_pace": 50.0}),
    "penalised: twice": (r.penalised, situation(), {"gamma": 20.0}),
    "penalised: of what it came to": (r.penalised, situation(gamma=None), {"gamma": 6.0}),
    "penalised: twice nothing is nothing": (r.penalised, situation(gamma=0.0), {}),
    "augmented: sometimes": (r.augmented, situation(), {"augment": "adaptive"}),
    "augmented: always": (r.augmented, situation(augment="adaptive"), {"augment": "fixed"}),
    "augmented: more there is not": (r.augmented, situation(augment="fixed"), {}),
    "more of D: twice": (r.more_of_d, situation(), {"n_critic": 4}),
    "more of D: until it is enough": (r.more_of_d, situation(n_critic=16), {}),
    "fp32": (r.in_fp32, situation(), {"precision": "fp32"}),
    "fp32: it is": (r.in_fp32, situation(run={"precision": "fp32"}), {}),
    "told louder": (r.told_louder, situation(), {"naming": 2.0}),
}  # fmt: skip


@pytest.mark.parametrize(("step", "s", "changes"), STEPS.values(), ids=STEPS)
def test_step(step: Step, s: Situation, changes: Changes) -> None:
    assert step(s) == pytest.approx(changes)


def test_a_system_without_an_option_is_passed_over() -> None:
    s = Situation.of([Config(), Run()], lambda name: None)
    for step in (r.as_published, r.penalised, r.augmented, r.more_of_d, r.told_louder):
        assert step(s) == {}
    assert s.option("penalty") is None
    assert s.value("penalty") is None


class OfTheData(Paper):
    """A penalty that, left alone, is the data's own."""

    gamma: float | None = Field(default=None, ge=0, json_schema_extra=role("penalty"))


@pytest.mark.parametrize(
    ("gamma", "came_to", "changes"),
    [
        (None, 3.0, {}), (6.0, 3.0, {}), (1000.0, 3.0, {"gamma": None}), (0.01, 3.0, {"gamma": None}),
        (0.0, 3.0, {"gamma": None}), (1000.0, 0.0, {}), (1000.0, None, {}),
    ],
)  # fmt: skip
def test_what_is_far_from_what_the_data_would_say_is_left_to_them(
    gamma: float | None, came_to: float | None, changes: Changes
) -> None:
    models = [OfTheData(gamma=gamma), Run()]
    assert r.as_published(Situation.of(models, lambda name: came_to, published={"gamma": came_to}.get)) == changes


def test_hasty_and_timid_leave_room_for_what_is_usual() -> None:
    assert TIMID < USUAL < HASTY


# --- the table ----------------------------------------------------------------------------------------------


def test_every_lost_game_has_a_remedy() -> None:
    assert TABLE.keys() >= v.LOST


def mulligans(verdict: str, n: int, **options: Any) -> list[Changes]:
    """What so many mulligans in a row change, each on top of those before it."""
    run: dict[str, Any] = {}
    tried: list[Changes] = []
    last = -1
    for _ in range(n):
        s = situation(run=run, touched={name for changes in tried for name in changes}, **options)
        row, changes = remedy(verdict, s, last)
        last = max(last, row)
        tried.append(changes)
        assert all(s.values[k] != x for k, x in changes.items()), "a change changes something"
        options |= {k: x for k, x in changes.items() if k in Paper.model_fields}
        run |= {k: x for k, x in changes.items() if k in Run.model_fields}
    return tried


@every_verdict
def test_no_remedy_comes_twice(verdict: str) -> None:
    """Of as many as --mulligans allows."""
    tried = [changes for changes in mulligans(verdict, 20, gamma=1000.0, loss="saturating") if changes]
    assert tried
    assert all(changes not in tried[:i] for i, changes in enumerate(tried))


@every_verdict
def test_options_far_from_the_paper_are_mended_by_the_second_mulligan(verdict: str) -> None:
    if not any(r.as_published in row for row in TABLE[verdict]):
        pytest.skip("no option of the user's explains it")
    tried = mulligans(verdict, 2, gamma=1000.0, loss="saturating")
    assert {"gamma": 10.0, "loss": "nonsaturating"} in tried


def test_what_was_tried_is_not_tried_again() -> None:
    s = situation()
    one, first = remedy(v.D_WINS, s)
    two, second = remedy(v.D_WINS, s, one)
    assert first == {"d_pace": 0.5, "gamma": 20.0}
    assert second == {"augment": "adaptive"}
    three, third = remedy(v.D_WINS, s, two)
    assert third == {"g_pace": 2.0}
    assert remedy(v.D_WINS, s, three) == (-1, {}), "the cards are dealt anew"


def test_each_mulligan_tries_the_next_row() -> None:
    assert [set(changes) for changes in mulligans(v.D_WINS, 3)] == [{"d_pace", "gamma"}, {"augment"}, {"g_pace"}]
    assert [set(changes) for changes in mulligans(v.NOT_FINITE, 3)] == [
        {"precision"}, {"g_pace", "d_pace"}, {"g_pace", "d_pace", "gamma"},
    ]  # fmt: skip


def test_a_remedy_that_does_not_work_is_passed_over() -> None:
    def works(changes: Changes) -> bool:
        return "augment" not in changes

    row, _ = remedy(v.D_WINS, situation(), works=works)
    assert remedy(v.D_WINS, situation(), row, works)[1] == {"g_pace": 2.0}
    assert remedy(v.MEMORY, situation(), works=works) == (-1, {})


def test_seed_is_no_remedy_of_the_table() -> None:
    """It changes with every mulligan, so that no row has to."""
    assert not any("seed" in remedy(name, situation())[1] for name in TABLE)


def test_a_remedy_in_words() -> None:
    s = situation(gamma=None)
    assert in_words({}, s.values) == "another order of the data"
    assert in_words({"d_pace": 0.5}, s.values) == "--d-pace 1 -> 0.5, another order of the data"
    said = in_words({"n_critic": 4, "augment": "adaptive", "gamma": 6.0}, s.values)
    assert said.startswith("--n-critic 2 -> 4, --augment none -> adaptive, --gamma the data's own -> 6, ")


# --- every system -------------------------------------------------------------------------------------------


def odd(config: BaseModel) -> BaseModel:
    """A system's options, those with a role far from the paper's values."""
    s = Situation.of([config], lambda name: None)
    far = {name: 1000.0 * (s.values[name] or 1.0) for role in ("penalty", "told", "clip") if (name := s.option(role))}
    return type(config)(**{**config.model_dump(), **far})


def mended(system: System, config: BaseModel) -> Iterator[tuple[str, BaseModel]]:
    """By verdict, whatever its rows make of a system's own options, and again of those."""
    for verdict, rows in TABLE.items():
        for row, updates in itertools.product(rows, ({}, {"G": 1e-7, "D": 10.0})):
            now = config
            for _ in range(2):
                s = Situation.of([now, Run()], system.in_force, updates=updates)
                changes = {k: x for step in row for k, x in step(s).items() if k in type(now).model_fields}
                now = type(now)(**{**now.model_dump(), **changes})
                yield verdict, now


@each_system
def test_no_remedy_changes_a_shape(name: str, kind: str) -> None:
    def shapes(config: BaseModel) -> dict[str, Any]:
        state = tiny_system(name, kind, **config.model_dump()).state_dict()
        return {k: getattr(x, "shape", None) for k, x in state.items() if not k.startswith("augment.")}

    system = tiny_system(name, kind)
    before, known = shapes(system.config), [system.config]
    for config in (system.config, odd(system.config)):
        for verdict, options in mended(system, config):
            if options in known:
                continue
            known.append(options)
            if kind == "points" and getattr(options, "augment", "none") != "none":
                with pytest.raises(ValueError, match="points are not augmented"):
                    shapes(options)  # `retake` asks whether a system can be built, and passes that row over
            else:
                assert shapes(options) == before, (verdict, options)


def rates(**paces: float) -> dict[str, list[float]]:
    """By player, the learning rates of a round."""
    found: dict[str, list[float]] = {}
    for name in ("gan", "stylegan2", "cyclegan", "cogan"):
        more: dict[str, Any] = {"paces": {"G": 1.0, "D": 1.0, **paces}} if paces else {}
        loop = tiny_loop(name, "image", **more)
        loop.play()
        for turn, optimizer in zip(loop.stage.turns, loop.optimizers, strict=True):
            rate = [group["lr"] for group in optimizer.param_groups]
            found.setdefault(turn.player, []).extend(rate)
    return found


@pytest.mark.parametrize("who", ["G", "D"])
def test_a_pace_is_times_the_learning_rate_of_its_players_alone(who: str) -> None:
    usual, paced = rates(), rates(**{who: 0.5})
    assert {player[0] for player in usual} >= {"G", "D"}
    for player, rate in usual.items():
        factor = 0.5 if (player[0] == "D") == (who == "D") else 1.0
        assert paced[player] == pytest.approx([factor * x for x in rate]), player
        assert all(x > 0 for x in rate)
