"""The frozen sentence encoder: the published numbers, sentences that mean the same, and whole commands with it."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Command, differences, draw_pictures, samples_of, signals_of
from mulligan import registry
from mulligan.conditions import wished
from mulligan.data import characters, open_source
from mulligan.data.encoder import Encoded
from mulligan.data.source import Source
from mulligan.data.words import sentence
from mulligan.model import Model
from mulligan.networks import minilm

# of sentence-transformers, as published with the model and by others who ported it
PUBLISHED = {
    "This is an example sentence": (0.06765693, 0.06349593, 0.04871314, 0.07930495, 0.03744806, 0.00265273),
    "Each sentence is converted": (0.0864386, 0.1027627, 0.0053946, 0.0020444, -0.0099633, 0.0253855),
    "Each sentence is converted.": (0.07853645, 0.08856265, -0.00209270, -0.00717247, -0.01252624, 0.01881747),
    "Café déjà vu — 東京": (0.05083271, 0.00967685, 0.09635572, -0.00997369, -0.01987603, 0.01692343),
    "": (-0.11883835, 0.04829856, -0.00254805, -0.01101118, 0.05195070, 0.01029179),
}
FEW = {"train": (0, 48), "held_out": (48, 72), "test": (72, 96)}
TINY = ("--data", "captions", "--size", "16", "--encoder", "minilm", "--batch", "4", "--width", "4",
        "--z-dim", "4")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """96 characters instead of thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "ROWS", FEW)
        patch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.mktemp("few")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three rounds."""
    from mulligan import cli

    out = tmp_path_factory.mktemp("runs") / "read"
    assert cli.run(["train", "gan_cls", *TINY, "--rounds", "3", "--out", str(out)]) == 0
    return out


# --- the network ----------------------------------------------------------------------------------------------


def test_the_published_embeddings() -> None:
    found = minilm.encode(list(PUBLISHED))
    assert found.shape == (len(PUBLISHED), *minilm.SIGNAL.shape) and found.dtype == torch.float32
    assert torch.allclose(found[:, :6], torch.tensor(list(PUBLISHED.values())), rtol=0, atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(PUBLISHED)), atol=1e-6)


def test_padding_changes_nothing() -> None:
    said = ["glasses", "a girl with long curly red hair in a ponytail and blue eyes", "wearing glasses, " * 30]
    together = minilm.encode(said)
    for text, row in zip(said, together, strict=True):
        assert torch.allclose(minilm.encode([text])[0], row, atol=1e-6)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("a redhead", "a girl with red hair", "a girl with green hair"),
        ("a woman in spectacles", "a girl with glasses", "a girl with a ponytail"),
        ("her hair tied in pigtails", "twintails", "buns"),
        ("a girl with blue eyes", "her eyes are blue", "her eyes are green"),
        ("she has golden tresses", "a girl with blonde hair", "the train was late again"),
    ],
)
def test_what_means_the_same_is_nearer(one: str, same: str, other: str) -> None:
    a, b, c = minilm.encode([one, same, other])
    assert a @ b > a @ c + 0.02


def test_what_is_beyond_its_length_is_not_read() -> None:
    fits = "hair " * (minilm.MOST - 2)  # two tokens mark the ends
    assert not minilm.too_long(fits) and minilm.too_long(fits + "red")
    full, beyond, shorter = (minilm.encode([text]) for text in (fits, fits + "red eyes", fits[: -len("hair ")]))
    assert torch.equal(full, beyond)
    assert not torch.allclose(full, shorter, atol=1e-6)


def test_the_weights_are_those_of_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert minilm.VERSION in project["project"]["optional-dependencies"]["text"]


@pytest.mark.parametrize("name", [name for name in registry.names() if "text" in registry.load(name).conditions])
def test_every_system_that_is_told_a_sentence_takes_an_embedding(name: str) -> None:
    kind = registry.load(name)
    signals = {**signals_of("image"), "text": minilm.SIGNAL}
    system = kind(type(kind.Config.tiny())(**{**kind.Config.tiny().model_dump(), "condition": "text"}), signals)
    batch = {**samples_of(signals).fetch(np.arange(8)), "text": torch.nn.functional.normalize(torch.randn(8, 384))}
    for turn in next(system.stages()).turns:
        terms = turn.loss(batch)
        assert all(torch.isfinite(term) for term in terms.values()), terms
    made = system.eval().generate({"z": system.latent(8), **batch})["x"]
    assert made.shape == batch["x"].shape


# --- the data -------------------------------------------------------------------------------------------------


def opened(**options: Any) -> Source:
    return open_source("captions", size=16, **{"encoder": "minilm", **options})


def test_each_row_has_the_embedding_of_its_sentence() -> None:
    plain, read = opened(encoder="words"), opened()
    assert read.signals == {**plain.signals, "text": minilm.SIGNAL}
    assert read.fingerprint != plain.fingerprint
    assert read.fingerprint == opened().fingerprint != opened(limit=30).fingerprint
    for name, split in read.splits.items():
        assert len(split) == len(plain.splits[name]) > 5
        index = np.array([3, 0, 3])
        rows, numbers = split.fetch(index), plain.splits[name].fetch(index)
        said = [sentence(row, plain.signals["text"]) for row in numbers.pop("text")]
        assert torch.allclose(rows.pop("text"), minilm.encode(said), atol=1e-6)
        assert differences(rows, numbers) == []


def test_with_other_options_of_the_data() -> None:
    whole = opened().train.fetch(np.arange(20))["text"]
    assert torch.equal(opened(limit=20).train.fetch(np.arange(20))["text"], whole)
    pairs = opened(pair="glasses:no glasses").train.fetch(np.arange(4))
    assert pairs["text"].shape == (4, 384) and pairs["x2"].shape == pairs["x"].shape


def test_sentences_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path))
    told: list[tuple[str, int, int]] = []
    once = opened(progress=lambda *news: told.append(news)).train
    assert isinstance(once, Encoded)
    assert len(once.embeddings) == len(once.embeddings.unique(dim=0)), "equal sentences share a row"
    assert told[-1] == ("reading sentences", len(once.embeddings), len(once.embeddings))

    def never(sentences: list[str]) -> torch.Tensor:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(minilm, "encode", never)
        again = opened().train
    assert isinstance(again, Encoded)
    assert torch.equal(once.embeddings, again.embeddings)
    (file,) = tmp_path.glob("minilm-*/embeddings.npy")
    file.write_bytes(file.read_bytes()[:2000])
    whole = opened().train
    assert isinstance(whole, Encoded)
    assert torch.equal(once.embeddings, whole.embeddings), "a damaged entry is made anew"


def test_a_users_own_sentences(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 30)
    said = {str(file.relative_to(tmp_path)): f"{file.parent.name} noise" for file in tmp_path.rglob("*.png")}
    longest = min(said)
    said[longest] = "dark noise " * 90
    lines = "\n".join(f"{file},{text}" for file, text in said.items())
    (tmp_path / "captions.csv").write_text(f"file,text\n{lines}\n")
    for _ in range(2):  # the second time from the cache
        source = open_source(str(tmp_path), encoder="minilm")
        assert source.notes[-1].endswith("(--encoder minilm); 1 of 3 are longer.")
    split = source.train
    assert isinstance(split, Encoded) and split.embeddings.shape == (3, 384)
    rows = split.fetch(np.arange(len(split)))
    light = torch.isclose(rows["text"], minilm.encode(["light noise"]), atol=1e-6).all(1)
    assert light.any() and torch.equal(light, rows["x"].amin((1, 2, 3)) > -0.1)


def test_sentences_of_pairs() -> None:
    """Of three vendors' emoji with words: those of x."""
    source = open_source("emoji3", size=16, pair="google:fluent", encoder="minilm")
    rows = source.test.fetch(np.arange(4))
    assert rows["text"].shape == (4, 384) and rows["input"].shape == rows["x"].shape


# --- whole commands -------------------------------------------------------------------------------------------


def test_a_paraphrase_is_asked_for(run: Path, tmp_path: Path, mulligan: Command) -> None:
    text = "A redhead, with eyes like the sky!"
    answer = mulligan("sample", run, "-n", 4, "--text", text, "--text", "glasses", "-o", tmp_path / "a.png")
    assert answer.status == 0 and answer.err == "", "no word of it is passed over"
    model = Model.load(run)
    assert model.system.signals["text"] == minilm.SIGNAL
    assert model.examples["text"].shape[1:] == (384,)
    given = wished(model, 4, texts=[text, "glasses"]).given["text"]
    assert torch.allclose(given[:2], minilm.encode(["a redhead with eyes like the sky"]).expand(2, -1), atol=1e-6)
    assert torch.equal(given, wished(model, 4, texts=["a redhead with eyes like the sky", "Glasses"]).given["text"])
    one, other = (model.generate(2, given={"text": given[i : i + 2]})["x"] for i in (0, 2))
    assert not torch.equal(one, other)


def test_a_run_goes_on_bit_for_bit(run: Path, tmp_path: Path, mulligan: Command) -> None:
    out = tmp_path / "parts"
    for words in (("gan_cls", *TINY, "--rounds", 2, "--out", out), ("--resume", out, "--rounds", 3)):
        answer = mulligan("train", *words)
        assert answer.status == 0, answer.err
    assert differences(Model.load(out).system.state_dict(), Model.load(run).system.state_dict()) == []
    assert "began with minilm" in mulligan("train", "--resume", out, "--encoder", "words").mistake()


def test_evaluate_and_check(run: Path, mulligan: Command) -> None:
    assert mulligan("evaluate", run, "-n", 12, "--json").status == 0
    answer = mulligan("data", "check", "captions", "--size", 16, "--encoder", "minilm")
    assert answer.status == 0 and "train" in answer.out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" ", "--text is empty"),
        ("?!", "--text '?!': there is no word in it"),
        ("red hair " * 300, "--text has 2,700 characters"),
    ],
)
def test_asked_wrongly(text: str, says: str, run: Path, tmp_path: Path, mulligan: Command) -> None:
    assert says in mulligan("sample", run, f"--text={text}", "-o", tmp_path / "x.png").mistake()
    assert not list(tmp_path.iterdir())


def test_a_sentence_that_is_cut_is_told_of(run: Path, tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("sample", run, "-n", 1, "--text", "red hair " * 80, "-o", tmp_path / "x.png")
    assert answer.status == 0
    assert "only the first 128 tokens are read" in answer.err and len(answer.err.splitlines()) == 1


def test_data_that_do_not_fit(tmp_path: Path, mulligan: Command) -> None:
    for words, says in (
        (("--data", "ring", "--encoder", "minilm"), "ring has no sentences to read; leave it out; --data captions"),
        (("--data", "characters", "--size", 16, "--encoder", "minilm"), "characters has no sentences to read"),
        (("--data", "captions", "--encoder", "minilm6"), "--encoder"),
    ):
        assert says in mulligan("train", "gan_cls", *words, "--out", tmp_path / "run").mistake()
    with pytest.raises(ValueError, match="--encoder bert: not known"):
        opened(encoder="bert")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", [minilm.PACKAGE, "tokenizers"])
def test_a_missing_package_is_named(
    package: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *more: Any) -> ModuleSpec | None:
        return None if name == package else find(name, *more)

    minilm._tokenizer.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", without)
    for words in (("train", "gan_cls", *TINY, "--out", tmp_path / "run"),
                  ("sample", run, "--text", "red hair", "-o", tmp_path / "x.png")):  # fmt: skip
        said = mulligan(*words).mistake()
        assert package in said and 'pip install "mulligan[text]"' in said
    assert not list(tmp_path.iterdir())
    assert mulligan("sample", run, "-n", 2, "-o", tmp_path / "x.png").status == 0, (
        "what is asked of examples needs none"
    )
