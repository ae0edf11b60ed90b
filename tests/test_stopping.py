"""`--stop auto`: when a metric is said not to improve any more, and whole runs that end by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import TINY_GAN, Command, tree
from mulligan import checkpoint
from mulligan.clock import Clock
from mulligan.config import Run
from mulligan.loop import Progress
from mulligan.rundir import RunDir
from mulligan.stopping import LOOKS, MINUTES, SHARE, SIGMAS, Plateau, noise_of


def heard(values: Sequence[float], *, noise: float = 0.0, every: float = 10.0) -> Plateau:
    """A plateau that heard a value every so many seconds, from 0 on."""
    plateau = Plateau()
    for i, value in enumerate(values):
        plateau.hear(value, every * i, noise)
    return plateau


# --- what an improvement is ---------------------------------------------------------------------------------


def test_the_first_value_is_the_best_so_far() -> None:
    assert Plateau().improves(1e9)
    assert vars(heard([5.0])) == {"least": 5.0, "noise": 0.0, "seconds": 0.0, "looks": 0}


def test_less_than_two_sigmas_is_no_improvement() -> None:
    plateau = heard([10.0], noise=1.0)
    edge = 10.0 - SIGMAS * 1.0
    assert [plateau.improves(x) for x in (edge - 0.01, edge, edge + 0.01, 10.0, 11.0)] == [True, *[False] * 4]


def test_without_noise_any_less_is_an_improvement_and_the_same_is_none() -> None:
    assert heard([10.0]).improves(9.999)
    assert not heard([10.0]).improves(10.0)


def test_the_noise_is_that_of_the_best_and_other_looks_do_not_change_it() -> None:
    plateau = heard([10.0], noise=1.0)
    plateau.hear(9.0, 10.0, 50.0)
    assert (plateau.least, plateau.noise, plateau.looks) == (10.0, 1.0, 1)
    plateau.hear(5.0, 20.0, 0.5)
    assert (plateau.least, plateau.noise, plateau.seconds, plateau.looks) == (5.0, 0.5, 20.0, 0)


def test_a_slow_descent_within_the_noise_adds_up() -> None:
    """Each step is half of what counts; every third is an improvement on the last that was one."""
    plateau = heard([10.0 - i for i in range(10)], noise=1.0)
    assert (plateau.least, plateau.looks) == (1.0, 0)


def test_noise_is_the_deviation_of_a_few() -> None:
    assert noise_of([1.0, 3.0]) == pytest.approx(2**0.5)
    assert noise_of([4.0]) == noise_of([]) == 0.0


# --- when it is over ----------------------------------------------------------------------------------------


def test_over_only_after_so_many_looks_and_a_share_of_the_time() -> None:
    best = 90.0
    for looks in range(LOOKS + 2):
        for seconds in (91.0, best / (1 - SHARE) - 0.1, best / (1 - SHARE) + 0.1, 1000.0):
            plateau = Plateau(1.0, 0.0, best, looks)
            assert plateau.over(seconds) == (looks >= LOOKS and seconds - best >= SHARE * seconds), (looks, seconds)
    assert not Plateau(1.0, 0.0, best, LOOKS - 1).over(1e9)
    assert not Plateau(1.0, 0.0, best, 1000).over(best / (1 - SHARE) - 0.1)


def test_a_game_that_goes_on_improving_is_never_over() -> None:
    plateau = Plateau()
    for i in range(100):
        plateau.hear(100.0 - i, 10.0 * i, 0.1)
        assert not plateau.over(10.0 * i)


def test_a_flat_game_is_over_at_the_third_look_after_the_first() -> None:
    plateau = Plateau()
    over = []
    for i in range(6):
        plateau.hear(7.0, 10.0 * i, 0.1)
        over.append(plateau.over(10.0 * i))
    assert over == [False] * LOOKS + [True] * (6 - LOOKS)


def test_it_travels_as_json() -> None:
    plateau = heard([3.0, 2.0, 2.5], noise=0.1)
    assert Plateau(**json.loads(json.dumps(plateau.to_json()))) == plateau


def test_looks_come_often_enough_to_see_an_early_end() -> None:
    """A twentieth of the time so far, ten seconds at least: whatever the budget that nobody meant."""
    for seconds, due in [(10.5, True), (9.5, False)]:
        clock = Clock(Progress(round=5), Run(minutes=MINUTES, stop="auto"))
        clock.progress.seconds = seconds
        assert clock._look_due() == due
    clock = Clock(Progress(round=5, seconds=1000.0), Run(minutes=MINUTES, stop="auto"))
    clock.looked_at = 960.0
    assert not clock._look_due()
    clock.looked_at = 940.0
    assert clock._look_due()


# --- whole commands -----------------------------------------------------------------------------------------

FLAT = ("--g-pace", "1e-9", "--d-pace", "1e-9", *TINY_GAN)  # nothing moves
WORDS = ("gan", "--data", "ring", "--stop", "auto", "--rounds", 100_000, "--look-every", 20)


def test_a_flat_game_ends_by_itself(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    answer = mulligan("train", *WORDS, *FLAT, "--out", run, "--json")
    assert answer.status == 0
    (finish,) = [event for event in RunDir(run).read("events") if event["kind"] == "finish"]
    assert finish["round"] <= 20 * 8
    assert "FD has not improved beyond its noise" in finish["text"]
    assert "kept: round" in answer.err
    kept = json.loads(answer.out)["round"]
    newest = checkpoint.all_in(run / "checkpoints")[-1]
    record = json.loads((newest / "state.json").read_text())
    assert int(newest.name) == kept == int(record["best"][1])
    assert record["best"][0] == record["vital"]["FD"] == min(_fds(run)), "the newest is the best"
    assert f"kept: round {kept}" in answer.err


def _fds(run: Path) -> list[float]:
    """Of all looks after the first."""
    return [line["vital"]["FD"] for line in RunDir(run).read("log")]


def test_a_budget_is_kept_where_it_comes_first(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    answer = mulligan("train", *WORDS, "--rounds", 30, *FLAT, "--out", run)
    assert answer.status == 0
    assert "has not improved" not in (run / "events.jsonl").read_text()
    assert checkpoint.all_in(run / "checkpoints")[-1].name == "000030"


def test_without_stop_auto_a_flat_game_is_played_to_its_end(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    words = ("gan", "--data", "ring", "--rounds", 180, "--look-every", 20)
    assert mulligan("train", *words, *FLAT, "--out", run).status == 0
    assert checkpoint.all_in(run / "checkpoints")[-1].name == "000180"
    record = json.loads((run / "checkpoints/000180/state.json").read_text())
    assert record["plateau"] is None


def test_what_is_known_of_the_metric_survives_an_interruption(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    assert mulligan("train", *WORDS, "--rounds", 20, *FLAT, "--out", run).status == 0
    before = json.loads((run / "checkpoints/000020/state.json").read_text())["plateau"]
    assert before["looks"] == 0, "the first is of weights that have not learned"
    assert mulligan("train", "--resume", run, "--rounds", 40).status == 0
    after = json.loads((run / "checkpoints/000040/state.json").read_text())["plateau"]
    assert after == {**before, "looks": 1}


def test_a_run_that_ended_by_itself_is_finished(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    assert mulligan("train", *WORDS, *FLAT, "--out", run).status == 0
    before = tree(run / "checkpoints")
    answer = mulligan("train", "--resume", run)
    assert answer.status == 0
    assert "is finished" in answer.err
    assert tree(run / "checkpoints") == before


def test_an_earlier_stage_ends_nothing(tmp_path: Path, mulligan: Command, pictures: Path) -> None:
    """Of a system in stages the last is judged alone, however flat FD was before it."""
    run = tmp_path / "run"
    words = ("--data", pictures, "--width", 4, "--batch", 4, "--group", 4, "--z-dim", 4, "--look-every", 1)
    assert mulligan("train", "progan", *words, "--rounds", 60, "--stop", "auto", *FLAT[:4], "--out", run).status == 0
    log = RunDir(run).read("log")
    last = [line["round"] for line in log if line["stage"] == log[-1]["stage"]]
    assert log[-1]["stage"].startswith("16 px")
    assert len(last) > LOOKS
