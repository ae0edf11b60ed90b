"""Whole commands of systems that are told what to make, with annotated images of the user's own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import TINY_DCGAN, Command, draw_pictures
from mulligan import cli
from mulligan.conditions import in_words, wished
from mulligan.model import Model
from mulligan.report import write_report
from mulligan.samples import read_provenance
from mulligan.signals import Signal

TINY_GAN_CLS = ("--batch", "8", "--z-dim", "4", "--width", "4")


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images in two classes, with tags and captions."""
    folder = tmp_path_factory.mktemp("annotated")
    draw_pictures(folder)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    for name, column, says in (
        ("tags.csv", "tags", "{shade}; n{n}"),
        ("captions.csv", "text", '"a {shade} picture, number {n}"'),
    ):
        rows = [f"{f.as_posix()},{says.format(shade=f.parent, n=int(f.stem) % 3)}\n" for f in files]
        (folder / name).write_text(f"file,{column}\n{''.join(rows)}")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, annotated: Path) -> dict[str, Path]:
    """A run by each condition."""
    place = tmp_path_factory.mktemp("told")
    told = {
        "y": ("dcgan", "--condition", "y", *TINY_DCGAN),
        "tags": ("dcgan", "--condition", "tags", *TINY_DCGAN),
        "text": ("gan_cls", *TINY_GAN_CLS),
    }
    for key, words in told.items():
        assert cli.run(["train", *words, "--data", str(annotated), "--rounds", "3", "--out", str(place / key)]) == 0
    return {key: place / key for key in told}


ASKED = {"y": ("--label", "light"), "tags": ("--tags", "n1, dark"), "text": ("--text", "a dark picture")}


@pytest.mark.parametrize("key", ASKED)
def test_a_run_that_is_told_makes_what_is_asked_for(
    runs: dict[str, Path], key: str, tmp_path: Path, mulligan: Command
) -> None:
    for out in ("a.png", "b.npz", "folder"):
        answer = mulligan("sample", runs[key], "-n", 5, *ASKED[key], "-o", tmp_path / out)
        assert (answer.status, answer.err) == (0, "")
    note = read_provenance(tmp_path / "a.png") or {}
    option = ASKED[key][0].removeprefix("--")
    assert note[option] == (["a dark picture"] if key == "text" else ASKED[key][1])
    other = {"y": "dark", "tags": "light", "text": "light picture"}[key]
    assert mulligan("sample", runs[key], "-n", 5, ASKED[key][0], other, "-o", tmp_path / "c.npz").status == 0
    with np.load(tmp_path / "b.npz") as mine, np.load(tmp_path / "c.npz") as its:
        assert mine["samples"].shape == (5, 16, 16, 3)
        assert not np.array_equal(mine["samples"], its["samples"])


def test_several_texts_share_the_samples_a_row_each(runs: dict[str, Path], tmp_path: Path, mulligan: Command) -> None:
    words = ("--text", "a dark picture", "--text", "a light picture")
    assert mulligan("sample", runs["text"], "-n", 6, *words, "-o", tmp_path / "a.png").status == 0
    with Image.open(tmp_path / "a.png") as grid:
        assert grid.width > 1.4 * grid.height  # two rows of three
    model = Model.load(runs["text"])
    given = wished(model, 6, texts=["a dark picture", "a light picture"]).given["text"]
    assert len(given[:3].unique(dim=0)) == len(given[3:].unique(dim=0)) == 1
    assert not torch.equal(given[0], given[3])


MISTAKES = [
    ("y", ["--label", "lihgt"], "did you mean light?"),
    ("y", ["--label", "2"], "there are: dark, light"),
    ("y", ["--label", "\u0663"], "there is no such class"),
    ("y", ["--label", "light", "-o", "a.gif"], "--label: a walk"),
    ("tags", ["--tags", "drak"], "did you mean dark?"),
    ("tags", ["--label", "dark"], "told with --tags"),
    ("text", ["--text", "dark", "--text", "light", "-n", "1"], "2 texts want a sample each"),
]


@pytest.mark.parametrize(("key", "words", "said"), MISTAKES)
def test_what_cannot_be_asked_for(
    runs: dict[str, Path], tmp_path: Path, mulligan: Command, key: str, words: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert said in mulligan("sample", runs[key], *words).mistake()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_told_nothing_takes_no_condition(picture_run: Path, tmp_path: Path, mulligan: Command) -> None:
    for words in (["--label", "dark"], ["--tags", "dark"], ["--text", "dark"]):
        said = mulligan("sample", picture_run, *words, "-o", tmp_path / "a.png").mistake()
        assert f"{words[0]}: this dcgan is told nothing; leave it out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dcgan", "--condition", "text", "--data", "PLAIN"], "captions.csv beside your images"),
        (["dcgan", "--condition", "tags", "--data", "PLAIN"], "tags.csv beside your images"),
        (["gan_cls", "--data", "PLAIN"], "this system is told what to make: it needs text or tags or y"),
    ],
)
def test_data_that_lack_the_condition(
    pictures: Path, tmp_path: Path, mulligan: Command, words: list[str], said: str
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(pictures / "dark", plain)
    words = [str(plain) if word == "PLAIN" else word for word in words]
    assert said in mulligan("train", *words, "--rounds", 1, "--out", tmp_path / "run").mistake()
    assert not (tmp_path / "run").exists()


def test_captions_that_changed_are_other_data(annotated: Path, tmp_path: Path, mulligan: Command) -> None:
    folder, run = Path(shutil.copytree(annotated, tmp_path / "data")), tmp_path / "run"
    words = ("gan_cls", "--data", folder, *TINY_GAN_CLS)
    assert mulligan("train", *words, "--rounds", 2, "--out", run).status == 0
    file = folder / "captions.csv"
    whole = file.read_text()
    file.write_text(whole.replace("number 2", "number 1", 1))
    assert "is no longer the data" in mulligan("train", "--resume", run, "--rounds", 3).mistake()
    assert "is no longer the data" in mulligan("evaluate", run).mistake()
    file.write_text(whole)
    assert mulligan("train", "--resume", run, "--rounds", 3).status == 0


def test_evaluate_and_compare(runs: dict[str, Path], mulligan: Command) -> None:
    found = {}
    for key, run in runs.items():
        answer = mulligan("evaluate", run, "--judge", "pixels", "--json")
        assert answer.status == 0
        found[key] = {metric["name"]: metric for metric in json.loads(answer.out)["metrics"]}
    shown = found["y"]["class shown"]
    assert shown["card"]["extractor"].startswith("linear probe on 8x8 pixels")
    assert (shown["floor"], set(shown["baseline"])) == (1.0, {"shuffled conditions"})
    for key, what in (("y", "classes"), ("tags", "tags"), ("text", "text")):
        assert 0 <= found[key][f"D on mismatched {what}"]["value"] <= 1
    assert found["y"]["diversity within a class"]["card"]["extractor"] == "8x8 pixels"
    answer = mulligan("compare", *runs.values())
    assert answer.status == 0
    assert "FD (8x8 pixels)" in answer.out
    assert "shown" not in answer.out  # of one run alone
    assert "class shown" in mulligan("compare", runs["y"]).out
    table = mulligan("evaluate", runs["y"], "--judge", "pixels").out
    assert re.search(r"class shown +\S+ +1 +- +\S+ +- +higher", table)


def test_the_report_says_what_samples_were_made_for(runs: dict[str, Path], picture_run: Path) -> None:
    said = {"y": "dark; light", "tags": "dark, n", "text": "a dark picture number"}
    for key, run in runs.items():
        page = write_report(run).read_text()
        (alt,) = re.findall(r'alt="Samples, made for: ([^"]*)"', page)
        assert said[key] in alt
        assert len(alt.split("; ")) == {"y": 2, "tags": 6, "text": 6}[key]
        assert "latent space" not in page  # there is one for each condition
    assert "made for" not in write_report(picture_run).read_text()


def test_a_report_bears_a_run_whose_model_is_gone(runs: dict[str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs["y"], tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    page = write_report(run).read_text()
    assert "Samples" in page
    assert "made for" not in page


def test_conditions_in_words() -> None:
    assert in_words(torch.tensor(1), Signal("label", (), (0, 1), names=("cat", "dog"))) == "dog"
    assert in_words(torch.tensor(1), Signal("label", (), (0, 4))) == "class 1"
    tags = Signal("tags", (3,), (0, 1), names=("red", "blue", "long"))
    assert in_words(torch.tensor([1.0, 0, 1]), tags) == "red, long"
    text = Signal("text", (3,), (0, 2), names=("a", "girl"))
    assert in_words(torch.tensor([1, 2, 0]), text) == "a girl"
    assert in_words(torch.tensor([0.5, 2]), Signal("text", (2,), None)) == ""
