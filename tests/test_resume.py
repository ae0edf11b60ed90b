"""Killed, interrupted, damaged: a run goes on from its newest whole checkpoint, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import TINY_DCGAN, TINY_GAN, Command, differences, processes, separate, start, tree
from mulligan import checkpoint
from mulligan.model import Model
from mulligan.train import resume, train

# rounds of under a millisecond, and looks that are cheap: the kills fall into all of them
OPTIONS = {"data": "ring", "rounds": 400, "look_every": 40, "batch": 8, "g_width": 8, "d_width": 8, "quiet": True}


def saved(run: Path) -> Any:
    """The newest checkpoint's model, optimizers, average and progress, the clock left out."""
    newest, damaged = checkpoint.newest(run / "checkpoints")
    assert newest is not None
    assert not damaged
    model, state, _ = checkpoint.load(newest)
    state["progress"] = {k: v for k, v in state["progress"].items() if "seconds" not in k}
    return model, state


def begin_or_go_on(run: Path, options: dict[str, Any]) -> None:
    """What the killed process does; a kill before config.json was written starts again."""
    torch.set_num_threads(1)
    if (run / "config.json").exists():
        resume(run, quiet=True)
    else:
        train("gan", out=run, **options)


def play_until_killed(run: Path, after: float) -> bool:
    """Play in a process of its own and SIGKILL it; whether it was still at it."""
    process = processes().Process(target=begin_or_go_on, args=(run, OPTIONS))  # type: ignore[attr-defined]
    process.start()
    process.join(after)
    if process.is_alive():
        process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return bool(process.exitcode)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    train("gan", out=out, **OPTIONS)
    return out


def test_killed_at_random_moments(uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    moments = random.Random(1)
    kills = 0
    while kills < 3 and play_until_killed(run, moments.uniform(0.3, 1.5)):
        kills += 1
    begin_or_go_on(run, OPTIONS)
    assert kills >= 1
    assert differences(saved(run), saved(uninterrupted)) == []
    rounds = [line["round"] for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())]
    assert rounds == sorted(rounds)
    assert sorted(p.name for p in (run / "samples").iterdir()) == sorted(
        p.name for p in (uninterrupted / "samples").iterdir()
    )
    assert not list((run / "checkpoints").glob(".*")), "half-written checkpoints left behind"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_killed_ten_times(tmp_path: Path) -> None:
    """As a user would do it: ten SIGKILLs of `mulligan train`, on images."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    options = ["--data", "mnist", "--rounds", 1500, "--look-every", 50, "--precision", "fp32", *TINY_DCGAN]
    assert separate("train", "dcgan", "--out", whole, *options).status == 0
    moments = random.Random(2)
    for _ in range(10):
        words = ["--resume", run] if (run / "config.json").exists() else ["dcgan", "--out", run, *options]
        process = start("train", *words)
        before = set(run.glob("samples/*"))
        while process.poll() is None and len(set(run.glob("samples/*")) - before) < 1:
            time.sleep(0.01)  # importing torch is not what is to be killed
        time.sleep(moments.uniform(0, 0.3))
        assert process.poll() is None, "it finished before ten kills: give it more rounds"
        process.kill()
        process.communicate()
    assert separate("train", "--resume", run).status == 0
    assert differences(saved(run), saved(whole)) == []


def test_more_rounds_afterwards_are_the_rounds_of_one_run(uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train("gan", out=run, **{**OPTIONS, "rounds": 130})
    resume(run, rounds=400, quiet=True)
    assert differences(saved(run), saved(uninterrupted)) == []


def test_looks_change_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train("gan", out=run, **{**OPTIONS, "look_every": 100_000})
    assert differences(saved(run), saved(uninterrupted)) == []


def test_images_resume_exactly(pictures: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": str(pictures), "rounds": 8, "look_every": 3, "batch": 4, "width": 4, "z_dim": 4, "quiet": True,
    }  # fmt: skip
    whole, run = tmp_path / "whole", tmp_path / "run"
    train("dcgan", out=whole, **options)
    train("dcgan", out=run, **{**options, "rounds": 5})
    resume(run, rounds=8, quiet=True)
    assert differences(saved(run), saved(whole)) == []


# --- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("name", ["model.safetensors", "training.pt", "state.json"])
def test_a_damaged_checkpoint_is_passed_over_with_a_message(
    own_run: Path, density_run: Path, mulligan: Command, damage: str, name: str
) -> None:
    file = own_run / "checkpoints" / "000006" / name
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.unlink()
    answer = mulligan("train", "--resume", own_run)
    assert answer.status == 0
    assert "checkpoint 000006 is damaged and was passed over" in answer.err
    assert "resumed at round 3" in answer.err
    assert "damaged" in (own_run / "events.jsonl").read_text()
    assert differences(saved(own_run), saved(density_run)) == []


def test_all_checkpoints_damaged_starts_at_round_0(own_run: Path, density_run: Path, mulligan: Command) -> None:
    for file in own_run.glob("checkpoints/*/model.safetensors"):
        file.write_bytes(b"")
    answer = mulligan("train", "--resume", own_run)
    assert answer.status == 0
    assert "no checkpoint" in answer.err
    assert differences(saved(own_run), saved(density_run)) == []


def test_killed_before_the_first_checkpoint_it_starts_at_round_0(
    own_run: Path, density_run: Path, mulligan: Command
) -> None:
    shutil.rmtree(own_run / "checkpoints")
    answer = mulligan("train", "--resume", own_run)
    assert answer.status == 0
    assert "starting at round 0" in answer.err
    assert differences(saved(own_run), saved(density_run)) == []


def test_a_finished_run_says_so_and_exits_0(own_run: Path, mulligan: Command) -> None:
    before = tree(own_run / "checkpoints")
    answer = mulligan("train", "--resume", own_run)
    assert answer.status == 0
    assert "finished" in answer.out + answer.err
    assert tree(own_run / "checkpoints") == before


def test_two_whole_checkpoints_stay_beside_a_damaged_one(own_run: Path, mulligan: Command) -> None:
    """A damaged one must not count among the newest two."""
    place = own_run / "checkpoints"
    (place / "000006" / "training.pt").write_bytes(b"")
    shutil.copytree(place / "000006", place / "999999")
    assert mulligan("train", "--resume", own_run, "--rounds", "12").status == 0
    whole = [p.name for p in checkpoint.all_in(place) if checkpoint.is_whole(p)]
    assert len(whole) >= 2
    assert whole[-1] == "000012"


# --- what a resume may change -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--batch", "16"], "--batch 16"),
        (["--seed", "1"], "--seed 1"),
        (["--data", "ring"], "--data ring"),
        (["--limit", "50"], "--limit 50"),
        (["--ema", "0"], "--ema 0"),
        (["--k", "2"], "--k 2"),
        (["--loss", "saturating"], "--loss saturating"),
        (["--micro-batches", "2"], "--micro-batches 2"),
        (["--out", "elsewhere"], "--out elsewhere"),
        (["--from", "elsewhere"], "--from elsewhere"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_any_other_change_is_refused_by_name(own_run: Path, mulligan: Command, words: list[str], named: str) -> None:
    before = tree(own_run)
    assert named in mulligan("train", "--resume", own_run, *words).mistake()
    assert tree(own_run) == before


def test_another_system_is_refused_by_name(own_run: Path, mulligan: Command) -> None:
    before = tree(own_run)
    said = mulligan("train", "sngan", "--resume", own_run).mistake()
    assert "sngan" in said
    assert "began with gan" in said
    assert mulligan("train", "gan", "--resume", own_run).status == 0  # the same is no change
    assert before.items() - tree(own_run).items() <= {
        (k, v) for k, v in before.items() if k.split(".")[-1] in ("jsonl", "html", "gif")
    }


def test_a_limit_is_kept(tmp_path: Path, mulligan: Command) -> None:
    words = ("--look-every", "2", *TINY_GAN)
    run = tmp_path / "run"
    assert (
        mulligan("train", "gan", "--data", "ring", "--limit", "40", "--rounds", "2", "--out", run, *words).status == 0
    )
    assert json.loads((run / "config.json").read_text())["data"]["limit"] == 40
    assert len(Model.load(run).source().train) == 40
    assert mulligan("train", "--resume", run, "--rounds", "3").status == 0
    assert "began with 40" in mulligan("train", "--resume", run, "--limit", "41").mistake()


def test_a_run_from_before_an_option_of_data_goes_on(own_run: Path, mulligan: Command) -> None:
    config = json.loads((own_run / "config.json").read_text())
    del config["data"]["limit"]
    (own_run / "config.json").write_text(json.dumps(config))
    assert "--limit 50" in mulligan("train", "--resume", own_run, "--limit", "50").mistake()
    assert mulligan("train", "--resume", own_run, "--rounds", "8").status == 0


def test_rounds_and_minutes_may_change(own_run: Path, mulligan: Command) -> None:
    answer = mulligan("train", "--resume", own_run, "--rounds", "9", "--json")
    assert answer.status == 0
    assert json.loads(answer.out)["round"] == 9
    answer = mulligan("train", "--resume", own_run, "--minutes", "0.001", "--json")
    assert answer.status == 0
    assert json.loads(answer.out)["round"] >= 9


def test_other_data_under_the_same_name_is_refused(
    picture_run: Path, pictures: Path, tmp_path: Path, mulligan: Command
) -> None:
    moved = tmp_path / "pictures"
    shutil.copytree(pictures, moved)
    run = shutil.copytree(picture_run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["data"] = str(moved)
    (run / "config.json").write_text(json.dumps(config))
    next(moved.rglob("*.png")).unlink()
    before = tree(run)
    assert "no longer the data" in mulligan("train", "--resume", run, "--rounds", "9").mistake()
    assert tree(run) == before


def test_what_is_no_run(tmp_path: Path, mulligan: Command) -> None:
    assert "is not a run" in mulligan("train", "--resume", tmp_path).mistake()
    assert "there is no run" in mulligan("train", "--resume", tmp_path / "none").mistake()
    assert "--resume" in mulligan("train", "--resume").mistake()


# --- Ctrl-C -------------------------------------------------------------------------------------------------


def interrupted(run: Path, number: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    line = [
        "--data",
        "ring",
        "--minutes",
        "2",
        "--look-every",
        "20",
        "--batch",
        "8",
        "--g-width",
        "8",
        "--d-width",
        "8",
    ]
    process = start("train", "gan", "--out", run, *line)
    deadline = time.monotonic() + 60
    # a checkpoint, and a line of the log, which is written after a second
    while not (list(run.glob("checkpoints/0*")) and (run / "log.jsonl").exists()) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a single process there")
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["Ctrl-C", "SIGTERM"]
)
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, mulligan: Command, number: int) -> None:
    run = tmp_path / "run"
    done = interrupted(run, number, tmp_path)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert f"mulligan train --resume {run}" in done.stderr
    assert done.stdout == ""
    newest, damaged = checkpoint.newest(run / "checkpoints")
    assert newest is not None
    assert damaged == []
    reached = int(newest.name)
    log = [json.loads(line)["round"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert reached >= max(log, default=0)  # nothing that was played is lost
    answer = mulligan("train", "--resume", run, "--rounds", reached + 5, "--json")
    assert answer.status == 0
    assert json.loads(answer.out)["round"] == reached + 5


def test_nothing_that_is_read_from_the_environment_leaks_into_a_run(density_run: Path) -> None:
    """A run can be shown to others: no home folder, user or host in its files but what the user typed."""
    text = (density_run / "config.json").read_text()
    for name in ("USER", "HOSTNAME", "LOGNAME"):
        value = os.environ.get(name, "")
        assert len(value) < 5 or value not in text
