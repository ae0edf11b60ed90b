"""What users ask for, in words: label, tags, text, and every way to ask wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan.conditions import asked_tags, class_number, completed, read_texts, wished
from mulligan.data.words import sentence
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.samples import read_provenance
from mulligan.signals import Signal

TINY = ("--size", "16", "--batch", "4", "--width", "4", "--z-dim", "4", "--rounds", "3")
TAGS = Signal("tags", (5,), (0, 1), names=("red", "blue", "long", "short", "hat"),
              exclusive=(("red", "blue"), ("long", "short")))  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run a kind of condition."""
    from mulligan import cli

    place = tmp_path_factory.mktemp("told")
    asked = {
        "text": ("gan_cls", "--data", "captions"),
        "tags": ("dcgan", "--data", "characters", "--condition", "tags"),
        "y": ("dcgan", "--data", "mnist", "--condition", "y"),
    }
    for key, words in asked.items():
        assert cli.run(["train", *words, *TINY, "--out", str(place / key)]) == 0
    return {key: place / key for key in asked}


# --- in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("y", ("--label", "7")),
        ("tags", ("--tags", "Red hair,  blue eyes")),
        ("text", ("--text", "a girl with short red hair and blue eyes")),
        ("text", ("--text", "red hair", "--text", "blue hair")),
        ("text", ()),
    ],
)
def test_sample_as_asked(
    runs: dict[str, Path], key: str, words: tuple[str, ...], tmp_path: Path, mulligan: Command
) -> None:
    out = tmp_path / "faces.png"
    answer = mulligan("sample", runs[key], "-n", 6, *words, "-o", out)
    assert answer.status == 0, answer.err
    with Image.open(out) as picture:
        assert picture.width > 100
    told = read_provenance(out) or {}
    said = [told[key] for key in ("label", "tags") if key in told] + told.get("text", [])
    assert said == list(words[1::2])


def test_the_model_is_told_what_was_asked(runs: dict[str, Path]) -> None:
    model = Model.load(runs["y"])
    assert wished(model, 3, label="7").given["y"].tolist() == [7, 7, 7]
    model = Model.load(runs["text"])
    wish = wished(model, 6, texts=["red hair", "the Blue eyes of a dragon"])
    rows = [sentence(row, model.system.signals["text"]) for row in wish.given["text"]]
    assert rows == ["red hair"] * 3 + ["blue eyes a"] * 3
    assert wish.notes == ["words that the model was not trained on are passed over: the, of, dragon"]
    assert wished(model, 5).given == {}
    a, b = (
        model.generate(4, seed=1, given=wished(model, 4, texts=[text]).given)["x"] for text in ("red hair", "glasses")
    )
    assert not torch.equal(a, b)
    told = model.told(300)["text"]
    assert torch.equal(told[:100], told[128:228]), "examples go round"


def test_tags_are_completed_from_examples() -> None:
    examples = torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 1, 1], [0, 1, 1, 0, 0]])
    rows = completed(["blue"], TAGS, examples, 50, seed=0)
    assert {tuple(r.tolist()) for r in rows} == {tuple(examples[1].tolist()), tuple(examples[2].tolist())}
    assert torch.equal(rows, completed(["blue"], TAGS, examples, 50, seed=0))
    rows = completed(["red", "short"], TAGS, examples, 50, seed=0)
    assert (rows[:, [0, 3]] == 1).all() and (rows[:, [1, 2]] == 0).all(), "what contradicts it is taken off"
    assert examples[0].tolist() == [1, 0, 1, 0, 0], "the examples stay"


# --- asked wrongly ----------------------------------------------------------------------------------------------

WRONG = [
    ("text", ("--text", ""), "empty"),
    ("text", ("--text", "  "), "empty"),
    ("text", ("--text", "red hair " * 1200), "10,800 characters"),
    ("text", ("--text", "рыжие волосы"), "none of these words"),
    ("text", ("--text", "赤い髪"), "none of these words"),
    ("text", ("--text", "blonnde"), "did you mean blonde?"),
    ("text", ("--tags", "red hair"), "--text"),
    ("text", ("--label", "3"), "--text"),
    ("tags", ("--tags", "red hare"), "did you mean red hair?"),
    ("tags", ("--tags", "red hair, blue hair"), "contradict"),
    ("tags", ("--tags", "long hair, glasses, short hair"), "contradict"),
    ("tags", ("--tags", ","), "name some tags"),
    ("tags", ("--text", "red hair"), "--tags"),
    ("y", ("--label", "10"), "no such class"),
    ("y", ("--label", "-1"), "no such class"),
    ("y", ("--label", "seven"), "no such class"),
]


@pytest.mark.parametrize(("key", "words", "says"), WRONG, ids=[f"{k}{w[0]}{i}" for i, (k, w, _) in enumerate(WRONG)])
def test_asked_wrongly(
    runs: dict[str, Path], key: str, words: tuple[str, str], says: str, tmp_path: Path, mulligan: Command
) -> None:
    line = mulligan("sample", runs[key], f"{words[0]}={words[1]}", "-o", tmp_path / "x.png").mistake()
    assert says in line and len(line) < 400
    assert not list(tmp_path.iterdir())


def test_conditions_that_the_data_lack(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    for words, says in (
        (("gan_cls", "--data", "density"), "needs x as image"),
        (("gan_cls", "--data", "characters", "--condition", "y"), "it needs y, but the data have x, tags"),
        (("dcgan", "--data", "mnist", "--condition", "text"), "it needs text"),
        (("dcgan", "--data", "mnist", "--condition", "colour"), "--condition"),
    ):
        assert says in mulligan("train", *words, "--out", tmp_path / "run").mistake()
    assert not list(tmp_path.iterdir())


def test_latent_tools_say_that_they_work_without_conditions(
    runs: dict[str, Path], tmp_path: Path, mulligan: Command
) -> None:
    assert "told nothing" in mulligan("project", runs["tags"], "#1", "-o", tmp_path / "x.png").mistake()
    walk = tmp_path / "walk.gif"
    assert mulligan("walk", runs["text"], "--side", 2, "--steps", 2, "-o", walk).status == 0


def test_what_is_not_read_is_named() -> None:
    signal = Signal("text", (3,), (0, 4), names=("and", "blue", "eyes", "red"))
    rows, notes = read_texts(["red and blue eyes and red eyes"], signal)
    assert [sentence(row, signal) for row in rows] == ["red and blue"]
    (note,) = notes
    assert note.startswith("only the first 3 words are read")


def test_a_class_is_not_hidden_in_zeros() -> None:
    with pytest.raises(Mistake, match="no such class"):
        class_number("00000000099", Signal("label", (), (0, 3)))


def test_asked_tags() -> None:
    assert asked_tags(" Red ,hat, red,", TAGS) == ["red", "hat"]
    with pytest.raises(Mistake, match="did you mean short"):
        asked_tags("shrot", TAGS)
