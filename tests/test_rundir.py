"""The run directory: whole lines, whole files, and no run that overwrites another."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from conftest import tree
from mulligan.rundir import RunDir, write_whole

CONFIG: dict[str, Any] = {"system": "gan", "config": {}, "run": {}, "data": {}, "signals": {}}


def made(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", CONFIG)


def test_create_and_open(tmp_path: Path) -> None:
    run = made(tmp_path)
    assert RunDir.open(run.path).config == CONFIG
    assert run.samples.is_dir()
    assert sorted(os.listdir(run.path)) == ["config.json", "samples"]


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    RunDir.create(tmp_path, CONFIG)
    assert RunDir.open(tmp_path).config == CONFIG


def test_a_config_of_something_else_is_refused(tmp_path: Path) -> None:
    RunDir.create(tmp_path, {"architectures": ["BertModel"]})
    with pytest.raises(ValueError, match="not a mulligan run"):
        _ = RunDir.open(tmp_path).config


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_exists_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "mine"
    if kind == "file":
        place.write_text("precious")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="mine exists; choose another name"):
        RunDir.create(place, {})
    assert tree(tmp_path) == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        RunDir.create(tmp_path / "file" / "run", {})


def test_what_is_no_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=r"is not a run|there is no run"):
            RunDir.open(place)


def test_a_run_killed_while_it_was_created_can_be_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between the first folder and config.json must not leave a place that nobody takes."""

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("mulligan.rundir.write_whole", killed)
        with pytest.raises(Killed):
            made(tmp_path)
    assert made(tmp_path).config == CONFIG


def test_lines(tmp_path: Path) -> None:
    run = made(tmp_path)
    assert run.read("log") == []
    run.log(round=1, terms={"D": {"real": 0.5}})
    run.log(round=2)
    run.event("start", "it began", round=0)
    run.metrics(round=2, metrics=[])
    assert run.read("log") == [{"round": 1, "terms": {"D": {"real": 0.5}}}, {"round": 2}]
    event = run.read("events")[0]
    assert (event["kind"], event["text"], event["round"]) == ("start", "it began", 0)
    assert event["time"].endswith("+00:00")
    assert run.read("metrics")[0]["metrics"] == []


def test_a_line_cut_short_is_skipped_and_swallows_no_other(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.event("start", "one")
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"time": "2030-01-01", "kind": "che')
    assert [e["text"] for e in run.read("events")] == ["one"]
    run.event("resume", "two")
    assert [e["text"] for e in run.read("events")] == ["one", "two"]


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.event("start", "one")
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(bytes([0xFF, 0xFE, 0x80]) + b'\n[1, 2]\n"word"\n')
    run.event("finish", "two")
    assert [e["text"] for e in run.read("events")] == ["one", "two"]


@pytest.mark.parametrize("content", ["{ torn", "[{}]", "[1]", '[{"options": 3}]', "3"])
def test_damaged_mulligans_are_said_to_be(tmp_path: Path, content: str) -> None:
    run = made(tmp_path)
    (run.path / "mulligans.json").write_text(content)
    with pytest.raises(ValueError, match=r"mulligans\.json is damaged"):
        _ = run.config


def test_a_run_with_almost_that_name_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(ValueError, match=r"did you mean .*run\?"):
        RunDir.open(tmp_path / "rum")


def test_forget_after(tmp_path: Path) -> None:
    run = made(tmp_path)
    for n in (10, 20, 30):
        run.log(round=n)
        (run.samples / f"{n:06d}.png").write_text("")
        (run.samples / f"{n:06d}.json").write_text("")
    run.forget_after(20)
    assert [line["round"] for line in run.read("log")] == [10, 20]
    assert sorted(p.name for p in run.samples.iterdir()) == ["000010.json", "000010.png", "000020.json", "000020.png"]


def test_write_whole_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.json"
    write_whole(file, "old")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as half:
            half.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.json"]


def test_config_is_plain_json(density_run: Path) -> None:
    config = json.loads((density_run / "config.json").read_text())
    assert {"mulligan", "system", "config", "run", "data", "signals", "versions", "machine", "command"} <= config.keys()
    assert config["system"] == "gan"
    assert config["data"]["fingerprint"]
