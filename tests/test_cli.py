"""Whole commands, from their words to what they print and write."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import TINY_DCGAN, TINY_GAN, Answer, Command, separate, start, tree
from mulligan import __version__, cli, registry


def test_help_and_version(mulligan: Command) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        answer = mulligan(*words)
        assert answer.status == 0
        assert all(f"mulligan {verb}" in answer.out for verb in cli.VERBS)
    assert mulligan("--version") == Answer(0, f"{__version__}\n", "")


@pytest.mark.parametrize("verb", [*cli.VERBS, "data check", "data get", "data list"])
def test_each_verb_has_help_with_an_example(mulligan: Command, verb: str) -> None:
    answer = mulligan(*verb.split(), "--help")
    assert answer.status == 0
    assert "mulligan" in answer.out
    assert "Example" in answer.out
    assert answer.err == ""


def test_systems(mulligan: Command) -> None:
    answer = mulligan("systems")
    assert answer.status == 0
    assert all(name in answer.out for name in registry.names())
    listed = json.loads(mulligan("systems", "--json").out)
    entries = listed["systems"] if isinstance(listed, dict) else listed
    assert [entry["name"] for entry in entries] == registry.names()


@pytest.mark.parametrize("words", [["systems"], ["--help"], ["sample", "--help"]])
def test_a_reader_who_has_seen_enough_is_no_mistake(words: list[str]) -> None:
    """As in `mulligan systems | head -1`."""
    with start(*words) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("words", [["systems"], ["data", "list"], ["data", "check", "ring"]], ids=" ".join)
def test_json_is_one_object(mulligan: Command, words: list[str]) -> None:
    answer = mulligan(*words, "--json")
    assert answer.status == 0
    assert isinstance(json.loads(answer.out), dict), "one JSON object, as DESIGN.md says"


def test_data(mulligan: Command, pictures: Path) -> None:
    assert "density" in mulligan("data", "list").out
    answer = mulligan("data", "check", pictures)
    assert answer.status == 0
    assert "120" in answer.out or "96" in answer.out
    report = json.loads(mulligan("data", "check", pictures, "--json").out)
    assert report["classes"] == {"dark": 60, "light": 60}
    place = Path(mulligan("data", "get", "ring").out.strip())
    assert np.load(place / "train-x.npy").shape == (100_000, 2)


def test_train_in_a_process_of_its_own_prints_one_json_object(tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = separate("train", "gan", "--data", "ring", "--rounds", 4, "--out", run, "--json", *TINY_GAN)
    assert answer.status == 0, answer.err
    assert json.loads(answer.out) == {
        "run": str(run), "round": 4, "model": json.loads(answer.out)["model"], "verdict": "healthy", "mulligans": 0,
    }  # fmt: skip
    assert (run / "report.html").stat().st_size > 1000


def test_train_says_where_everything_is(mulligan: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = mulligan("train", "gan", "--data", "ring", "--rounds", 2, "--out", run, *TINY_GAN)
    assert answer.status == 0
    assert f"{run}/report.html" in answer.out
    assert f"mulligan sample {run}" in answer.out


def test_a_default_place_that_is_numbered(mulligan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert mulligan("train", "gan", "--data", "ring", "--rounds", 1, *TINY_GAN).status == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["gan-ring", "gan-ring-2"]


def test_options_may_stand_before_the_system(mulligan: Command, tmp_path: Path) -> None:
    answer = mulligan("train", "--data", "ring", "gan", "--k", 2, "--rounds", 1, "--out", tmp_path / "r", *TINY_GAN)
    assert answer.status == 0, answer.err
    assert json.loads((tmp_path / "r" / "config.json").read_text())["config"]["k"] == 2


def stored(file: Path) -> np.ndarray:
    """The samples in an .npz."""
    with np.load(file) as arrays:
        return np.asarray(arrays["samples"])


@pytest.mark.parametrize("flag", [["-o"], ["--out"]], ids=["-o", "--out"])
def test_sample_to_every_kind(picture_run: Path, tmp_path: Path, mulligan: Command, flag: list[str]) -> None:
    png, npz, folder, gif = (tmp_path / name for name in ("a.png", "a.npz", "folder", "a.gif"))
    for out in (png, npz, folder):
        assert mulligan("sample", picture_run, "-n", 5, *flag, out).status == 0
    assert mulligan("sample", picture_run, *flag, gif).status == 0
    with Image.open(png) as grid, Image.open(gif) as walk:
        assert grid.size[0] >= 32
        assert walk.n_frames > 5  # type: ignore[attr-defined]
    assert stored(npz).shape == (5, 16, 16, 3)
    assert stored(npz).dtype == np.uint8
    assert len(list(folder.glob("*.png"))) == 5
    for out in (png, npz, folder, gif):
        before = tree(tmp_path)
        assert out.name in mulligan("sample", picture_run, "-n", 5, *flag, out).mistake()
        assert tree(tmp_path) == before
    assert mulligan("sample", picture_run, "-n", 3, *flag, npz, "--overwrite").status == 0
    assert len(stored(npz)) == 3


def test_sample_points(density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    assert mulligan("sample", density_run, "-n", 7, "--seed", 3, "-o", tmp_path / "a.npz").status == 0
    assert mulligan("sample", density_run, "-n", 7, "--seed", 3, "-o", tmp_path / "b.npz").status == 0
    a, b = (stored(tmp_path / f"{n}.npz") for n in "ab")
    assert a.shape == (7, 1)
    assert a.dtype == np.float32
    assert (a == b).all()
    assert mulligan("sample", density_run, "-n", 50, "-o", tmp_path / "a.png").status == 0


def test_walk(density_run: Path, picture_run: Path, tmp_path: Path, mulligan: Command) -> None:
    for i, run in enumerate((density_run, picture_run)):
        out = tmp_path / f"{i}.gif"
        words = ("walk", run, "-o", out, "--stops", 2, "--steps", 3, "--side", 2)
        assert mulligan(*words).status == 0
        with Image.open(out) as walk:
            assert walk.n_frames >= 4  # type: ignore[attr-defined]
        assert out.name in mulligan(*words).mistake()


def test_evaluate_and_compare(own_run: Path, density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("evaluate", own_run, "-n", 300)
    assert answer.status == 0
    assert "FD" in answer.out
    answer = mulligan("evaluate", own_run, "-n", 300, "--json")
    result = json.loads(answer.out)
    assert result["metrics"]
    assert all({"name", "value", "floor", "card"} <= metric.keys() for metric in result["metrics"])
    assert len((own_run / "metrics.jsonl").read_text().splitlines()) == 2
    assert mulligan("compare", own_run, own_run).status == 0
    assert isinstance(json.loads(mulligan("compare", own_run, own_run, "--json").out), dict)
    assert "evaluate" in mulligan("compare", own_run, density_run).mistake()


def test_image_commands_end_to_end(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    words = ("--data", pictures, "--rounds", 3, "--look-every", 1, "--out", run)
    assert mulligan("train", "dcgan", *words, *TINY_DCGAN).status == 0
    assert {p.name for p in (run / "samples").iterdir()} == {f"{n:06d}.png" for n in range(4)}
    assert mulligan("evaluate", run, "--json").status == 0
    html = (run / "report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org", "")
