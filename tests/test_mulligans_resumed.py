"""Runs with a mulligan that are interrupted or killed, and go on: the same run, bit for bit."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from conftest import Command, differences, newest
from faulty import OPTIONS, WORDS
from mulligan import play
from mulligan.loop import Loop
from mulligan.play import Interrupted
from mulligan.rundir import RunDir
from mulligan.train import resume, train

# --- interrupted and gone on with ---------------------------------------------------------------------------


def interrupt(system: Path, run: Path, plays: int) -> None:
    """A run that Ctrl-C stops after so many rounds were played, those of a lost shot among them."""
    count, whole = [0], Loop.play

    def played(loop: Loop) -> None:
        whole(loop)
        count[0] += 1
        if count[0] == plays:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "play", played)
        with pytest.raises(Interrupted):
            train(str(system), out=run, **OPTIONS)


# 7 rounds are played before the fault, and 6 from round 6 on after it
@pytest.mark.parametrize("plays", [5, 7, 8, 10], ids=["before the fault", "just before it", "after it", "well after"])
def test_an_interrupted_run_with_a_mulligan_ends_bit_for_bit(
    faulty: Path, mended: Path, tmp_path: Path, plays: int
) -> None:
    run = tmp_path / "run"
    interrupt(faulty, run, plays)
    assert len(RunDir(run).mulligans) == (plays > 7)
    assert resume(run, quiet=True).round == 12
    assert len(RunDir(run).mulligans) == 1
    assert differences(newest(run), newest(mended)) == []


def test_killed_between_the_mulligan_and_the_next_shot(
    faulty: Path, mended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(*given: object) -> None:
        raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(play, "anew", dies)
        with pytest.raises(Killed):
            train(str(faulty), out=run, **OPTIONS)
    assert resume(run, quiet=True).round == 12
    assert differences(newest(run), newest(mended)) == []


def test_more_rounds_afterwards_are_those_of_one_run(faulty: Path, mended: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(str(faulty), out=run, **{**OPTIONS, "rounds": 9})
    resume(run, rounds=12, quiet=True)
    assert differences(newest(run), newest(mended)) == []


def test_going_on_with_the_words_of_the_first_call(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    """What the user said stays what the user said, whatever a mulligan made of it."""
    run = tmp_path / "run"
    words = ("train", faulty, "--once", *WORDS, "--seed", 0, "--mulligans", 3)
    assert mulligan(*words, "--out", run).status == 0
    assert RunDir(run).config["run"]["precision"] == "fp32"
    answer = mulligan(*words, "--resume", run, "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["round"] == 12
    answer = mulligan("train", "--resume", run, "--rounds", 15, "--json")
    assert json.loads(answer.out)["round"] == 15
    assert RunDir(run).config["run"]["precision"] == "fp32"
    assert "--seed 1" in mulligan("train", "--resume", run, "--seed", 1).mistake()


def test_a_new_budget_stays_through_a_mulligan(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    assert mulligan("train", faulty, "--once", *WORDS, "--rounds", 6, "--out", run).status == 0
    answer = mulligan("train", "--resume", run, "--rounds", 14, "--json")
    assert json.loads(answer.out)["round"] == 14
    assert len(RunDir(run).mulligans) == 1
    told = [line["budget"]["rounds"] for line in RunDir(run).read("log") if "budget" in line]
    assert told == [14], "verdicts can be made anew of the log alone"
