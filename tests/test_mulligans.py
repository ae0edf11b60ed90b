"""Mulligans: whole commands that lose a game, go back and play on, or give up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from conftest import Command, newest, tree
from faulty import WORDS, events, lost, saved
from mulligan import checkpoint
from mulligan.config import Run
from mulligan.loader import Loader, Position
from mulligan.model import Model
from mulligan.referee import verdict as v
from mulligan.referee.verdict import Verdict
from mulligan.report import write_report
from mulligan.retake import SEEDS, is_over, retake, surrender
from mulligan.rundir import RunDir

# --- a game that is lost once -------------------------------------------------------------------------------


def test_a_game_that_is_lost_once_is_played_to_its_end(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    answer = mulligan("train", faulty, "--once", *WORDS, "--out", run, "--json")
    assert answer.status == 0
    said = json.loads(answer.out)
    assert (said["verdict"], said["mulligans"]) == ("healthy", 1), "of the shot that was played to its end"
    assert "mulligan 1, for not finite: back to round 6, --precision bf16 -> fp32" in answer.err
    assert "resumed at round 6" in answer.err
    assert saved(run)[-1] == "000012"
    assert Model.load(run).round == 12
    assert all(x.isfinite().all() for x in newest(run)[0].values())


def test_the_run_directory_tells_what_was_taken(mended: Path) -> None:
    (taken,) = json.loads((mended / "mulligans.json").read_text())
    assert (taken["verdict"], taken["round"], taken["back"]) == ("not finite", 7, 6)
    assert taken["changes"] == {"precision": "fp32"}
    assert taken["options"] == {"precision": "fp32", "seed": SEEDS}
    assert json.loads((mended / "config.json").read_text())["run"]["seed"] == 0, "config.json is as it began"
    assert RunDir(mended).config["run"] | {"precision": "fp32", "seed": SEEDS} == RunDir(mended).config["run"]
    assert events(mended, "mulligan")[0]["changes"] == taken["changes"]
    (told,) = events(mended, "verdict")
    assert (told["verdict"]["name"], told["verdict"]["player"]) == ("not finite", "D")
    assert "first not finite: layer D.1" in told["text"]
    assert events(mended, "finish")


def test_the_log_of_the_lost_shot_is_kept_and_the_other_is_of_one_game(mended: Path) -> None:
    before = [json.loads(line) for line in (mended / "lost-1.jsonl").read_text().splitlines()]
    assert [line["round"] for line in before] == [3, 6, 7]
    assert before[-1]["not_finite"]["where"] == "layer D.1"
    after = RunDir(mended).read("log")
    assert [line["round"] for line in after] == [3, 6, 9, 12]
    assert after[:2] == before[:2]
    assert not any("not_finite" in line for line in after)


def test_the_report_and_diagnose_tell_of_it(mended: Path, mulligan: Command) -> None:
    page = write_report(mended).read_text()
    assert "1 mulligan taken" in page
    assert "back to round 6" in page
    told = mulligan("diagnose", mended)
    assert told.status == 0
    assert "Round 7: not finite (a computation broke down)" in told.out
    assert "mulligan 1, for not finite: back to round 6" in told.out.lower()
    assert "resumed" not in told.out.lower(), "the mulligan says so"
    assert told.out.splitlines()[0] == f"{mended}: healthy"
    found = json.loads(mulligan("diagnose", mended, "--json").out)
    assert (found["run"], found["verdict"]["name"]) == (str(mended), "healthy")
    assert [taken["back"] for taken in found["mulligans"]] == [6]
    assert found["story"] == told.out.splitlines()[1:]


# --- one that is lost for good ------------------------------------------------------------------------------


def test_without_mulligans_the_term_and_the_layer_are_named(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    said = lost(mulligan("train", faulty, *WORDS, "--mulligans", 0, "--out", run))
    assert "term 'real' of player D became nan by round 7; first not finite: layer D.1." in said
    assert f"mulligan diagnose {run}" in said
    assert saved(run) == ["000003", "000006"]
    assert not (run / "mulligans.json").exists()
    assert [event["text"] in said for event in events(run, "lost")] == [True]


def test_a_game_that_is_always_lost_ends_after_three(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    said = lost(mulligan("train", faulty, *WORDS, "--out", run))
    assert "lost after three mulligans: not finite: term 'real' of player D became nan by round 7" in said
    taken = RunDir(run).mulligans
    assert [t["back"] for t in taken] == [6, 3, 0], "each goes further back"
    assert len({t["options"]["seed"] for t in taken}) == 3
    assert {t["round"] for t in taken} == {7}
    assert [(run / f"lost-{i}.jsonl").exists() for i in (1, 2, 3, 4)] == [True, True, True, False]
    assert saved(run), "what was healthy is kept"
    assert all(int(name) < 7 for name in saved(run))
    assert Model.load(run).generate(3)["x"].isfinite().all()
    story = mulligan("diagnose", run).out
    assert story.count("ulligan") == 4
    assert "lost after three mulligans" in story


def test_of_all_shots_the_lowest_fd_is_kept(picture_run: Path, tmp_path: Path) -> None:
    """Though the shots after it begin anew, and come nowhere."""
    run = RunDir(shutil.copytree(picture_run, tmp_path / "run"))
    fds = {name: checkpoint.load(run.checkpoints / name)[2]["vital"]["FD"] for name in saved(run.path)}
    assert len(fds) == 2
    stalled = Verdict(v.STALLED, since=1)
    retake(run, Model.load(run.path).system, stalled, {}, 4)
    assert saved(run.path) == []
    said = surrender(run, stalled)
    assert said.startswith("lost after one mulligan: stalled")
    assert saved(run.path) == [min(fds, key=lambda name: fds[name])]
    assert Model.load(run.path).generate(2)["x"].isfinite().all()


def test_a_nan_that_lies_in_the_data_is_mended_by_no_mulligan(
    faulty: Path, tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data were read, and are damaged by the fifth round."""
    run, whole = tmp_path / "run", Loader.at

    def damaged(loader: Loader, p: Position) -> dict[str, torch.Tensor]:
        return {k: x * (torch.nan if p.round >= 4 else 1.0) for k, x in whole(loader, p).items()}

    monkeypatch.setattr(Loader, "at", damaged)
    said = lost(mulligan("train", faulty, "--at", 10_000, *WORDS, "--out", run))
    assert "first not finite: the data" in said
    assert "mulligans" not in said.split("mulligan diagnose")[0]
    assert RunDir(run).mulligans == []
    assert saved(run), "what was healthy is kept"
    assert mulligan("diagnose", run).out.splitlines()[0] == f"{run}: not finite"


def test_one_mulligan_is_one(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    said = lost(mulligan("train", faulty, *WORDS, "--mulligans", 1, "--out", run))
    assert "lost after one mulligan: " in said
    assert len(RunDir(run).mulligans) == 1


def test_lost_in_the_first_round_nothing_is_kept(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    said = lost(mulligan("train", faulty, "--at", 0, *WORDS, "--mulligans", 1, "--out", run))
    assert "by round 0" in said
    assert saved(run) == []
    assert "no checkpoint" in mulligan("sample", run, "-n", 2, "-o", tmp_path / "x.npz").mistake()


def test_a_lost_run_that_is_gone_on_with_is_lost_again(faulty: Path, tmp_path: Path, mulligan: Command) -> None:
    """No mulligan is given back, and nothing that was saved is harmed."""
    run = tmp_path / "run"
    lost(mulligan("train", faulty, *WORDS, "--mulligans", 1, "--out", run))
    before = tree(run / "checkpoints")
    assert "lost after one mulligan: " in lost(mulligan("train", "--resume", run))
    assert tree(run / "checkpoints").items() >= before.items()
    assert len(RunDir(run).mulligans) == 1


def test_a_lost_run_that_is_gone_on_with_and_not_lost_again_is_healthy(
    faulty: Path, tmp_path: Path, mulligan: Command
) -> None:
    run = tmp_path / "run"
    words = ("--data", "ring", "--rounds", 12, "--look-every", 7)
    lost(mulligan("train", faulty, "--once", *words, "--mulligans", 0, "--out", run))
    assert mulligan("train", "--resume", run).status == 0
    assert saved(run)[-1] == "000012"
    assert mulligan("diagnose", run).out.splitlines()[0] == f"{run}: healthy"


def test_a_player_that_does_not_learn_is_seen_by_the_referee_alone(
    faulty: Path, tmp_path: Path, mulligan: Command
) -> None:
    """All numbers are finite; D's learning rate is none."""
    run = tmp_path / "run"
    words = ("--data", "ring", "--rounds", 400, "--look-every", 80, "--at", 10_000, "--mulligans", 1)
    said = lost(mulligan("train", faulty, "--lr", 0.0, *words, "--out", run))
    assert "lost after one mulligan: stalled: D does not learn" in said
    assert {told["verdict"]["player"] for told in events(run, "verdict")} == {"D"}
    (taken,) = RunDir(run).mulligans
    assert (taken["verdict"], taken["back"]) == ("stalled", 0)
    other = tmp_path / "played-on"
    answer = mulligan("train", faulty, "--lr", 0.0, *words[:-1], 0, "--out", other)
    assert answer.status == 0, "without mulligans it is told and played on"
    assert "stalled: D does not learn" in answer.err
    assert saved(other)[-1] == "000400"
    assert mulligan("diagnose", other).out.splitlines()[0] == f"{other}: stalled"


# --- remedies that give a system something new --------------------------------------------------------------


@pytest.fixture
def by_heart(picture_run: Path, tmp_path: Path) -> Path:
    """A run on images that took a mulligan because D knew the data by heart."""
    run = Path(shutil.copytree(picture_run, tmp_path / "by-heart"))
    retake(RunDir(run), Model.load(run).system, Verdict(v.MEMORY, since=3, player="D"), {}, 4)
    return run


def test_a_model_is_loaded_right_after_augmentation_was_switched_on(by_heart: Path, picture_run: Path) -> None:
    assert RunDir(by_heart).mulligans[0]["changes"] == {"augment": "adaptive"}
    assert saved(by_heart) == ["000002"]
    before = Model(picture_run, picture_run / "checkpoints/000002/model.safetensors", RunDir(picture_run).config)
    after = Model.load(by_heart)
    assert after.round == 2
    assert torch.equal(after.generate(3)["x"], before.generate(3)["x"])


def test_it_is_played_on_with_augmentation(by_heart: Path, mulligan: Command) -> None:
    assert mulligan("train", "--resume", by_heart, "--rounds", 6).status == 0
    assert {"augment.p", "augment.signs"} <= newest(by_heart)[0].keys()
    assert "augment.p" in RunDir(by_heart).read("log")[-1]["vital"]


def test_augmentation_from_adaptive_to_fixed_is_fixed(by_heart: Path, mulligan: Command) -> None:
    assert mulligan("train", "--resume", by_heart, "--rounds", 6).status == 0
    about = {"verdict": v.MEMORY, "back": 6, "row": 0, "changes": {"augment": "fixed"}}
    RunDir(by_heart).take_mulligan(about, {"augment": "fixed"})
    assert mulligan("train", "--resume", by_heart, "--rounds", 7).status == 0
    assert float(newest(by_heart)[0]["augment.p"]) == 1


def test_data_known_by_heart_are_worth_one_mulligan_and_no_lost_game(by_heart: Path, picture_run: Path) -> None:
    system, memory = Model.load(picture_run).system, Verdict(v.MEMORY)
    assert is_over(RunDir(picture_run), system, memory, {}, 3)
    assert not is_over(RunDir(by_heart), system, memory, {}, 3)


def test_data_known_by_heart_when_no_mulligan_is_left_are_played_on(picture_run: Path, tmp_path: Path) -> None:
    run = RunDir(shutil.copytree(picture_run, tmp_path / "run"))
    for _ in range(Run().mulligans):
        run.take_mulligan({"verdict": v.STALLED, "row": -1, "changes": {}, "back": 0}, {})
    assert not is_over(run, Model.load(run.path).system, Verdict(v.MEMORY), {}, Run().mulligans)


# --- healthy games ------------------------------------------------------------------------------------------


def test_a_healthy_run_takes_none_and_says_nothing_of_the_referee(density_run: Path) -> None:
    assert not (density_run / "mulligans.json").exists()
    assert events(density_run, "verdict") == []
    assert all("signs" in line for line in RunDir(density_run).read("log"))
