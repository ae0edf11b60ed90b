"""Judging systems that are told: generators that obey, ignore what they are told, or know one sample a condition."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulligan.asked import Conditions, distinct, reader_of, spread
from mulligan.data import characters, open_source
from mulligan.data.captions import UNSEEN, sentence
from mulligan.data.characters import TAGS
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.data.words import numbered, text_signal
from mulligan.evaluate import evaluate
from mulligan.metrics import digits
from mulligan.metrics.agreement import agreement, preferred, share_complete
from mulligan.metrics.card import Result
from mulligan.metrics.features import make as make_extractor
from mulligan.signals import Signal
from mulligan.tables import compare

Make = Callable[[Tensor, int], Tensor]
CARD = DataCard("made here", "CC0", "nobody", "none")


class Told:
    """A model that is told `key`; it makes what `make(c, seed)` says, and its D scores by `judge(x, c)`."""

    ema, round = True, 500
    config: dict[str, Any] = {}

    def __init__(
        self, place: Path, source: Source, key: str, make: Make, judge: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> None:
        self.directory, self._source, self.given, self.make, self.judge = place, source, (key,), make, judge
        self.taught_by: tuple[str, ...] = ()
        (place / "checkpoints").mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text("{}")

    def source(self) -> Source:
        return self._source

    def generate(self, n: int, *, seed: int = 0, given: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        assert given is not None
        (c,) = given.values()
        assert len(c) == n
        return {"x": self.make(c, seed)}

    def discriminate(self, x: Tensor, c: Tensor) -> Tensor | None:
        return None if self.judge is None else self.judge(x, c)


def judged(model: Told, **options: Any) -> dict[str, Result]:
    return {result.name: result for result in evaluate(model, **options)}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# --- labels ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist() -> Source:
    source = open_source("mnist")
    assert isinstance(source.train, ArraySplit)
    source.train = ArraySplit(source.train.arrays, source.train.rows[:3000])
    source.fingerprint = "few"
    return source


def one_of_its_class(source: Source, c: Tensor, seed: int) -> Tensor:
    """A perfect generator: for each label a training sample of it, by chance."""
    labels, draw = source.train.labels(), np.random.default_rng(seed)
    assert labels is not None
    return source.train.fetch(np.array([draw.choice(np.flatnonzero(labels == int(y))) for y in c]))["x"]


def reads_its_class(x: Tensor, c: Tensor) -> Tensor:
    """A D that knows digits."""
    return digits.load_judge()[0](x).log_softmax(1)[torch.arange(len(c)), c]


def test_a_generator_that_obeys(tmp_path: Path, mnist: Source) -> None:
    found = judged(Told(tmp_path, mnist, "y", partial(one_of_its_class, mnist), reads_its_class), n=600)
    shown, various = found["class shown"], found["diversity within a class"]
    assert shown.value > 0.97
    assert shown.floor > 0.97
    assert shown.baselines["shuffled conditions"] == pytest.approx(0.1, abs=0.05)
    assert (shown.card.extractor, shown.card.n_fake) == ("digit judge", 600)
    assert shown.card.extractor_hash == make_extractor("digits").hash
    assert various.value == pytest.approx(1, abs=0.1)
    assert various.floor == pytest.approx(1, abs=0.1)
    assert (various.baselines, various.card.extractor) == ({"one prototype": 0.0}, "8x8 pixels")
    looks = found["D on mismatched classes"]
    assert looks.value > 0.99
    assert looks.floor > 0.98
    assert (looks.card.weights, looks.card.n_fake, looks.baselines) == ("raw", 0, {"shuffled conditions": 0.5})


def test_a_generator_that_does_not_listen_and_a_d_that_does_not_look(tmp_path: Path, mnist: Source) -> None:
    def deaf(c: Tensor, seed: int) -> Tensor:
        return mnist.train.fetch(np.random.default_rng(seed).integers(0, len(mnist.train), len(c)))["x"]

    found = judged(Told(tmp_path, mnist, "y", deaf, lambda x, c: x.mean((1, 2, 3))), n=600)
    assert found["class shown"].value == pytest.approx(0.1, abs=0.05)
    assert found["diversity within a class"].value > 1.03  # of all classes mixed
    assert found["D on mismatched classes"].value == 0.5


def test_one_prototype_a_class_shows_its_class_without_variety(tmp_path: Path, mnist: Source) -> None:
    prototypes = one_of_its_class(mnist, torch.arange(10), 0)
    found = judged(Told(tmp_path, mnist, "y", lambda c, seed: prototypes[c]), n=300)
    assert found["class shown"].value > 0.85
    assert found["diversity within a class"].value == 0
    assert "D on mismatched classes" not in found  # no D is told


def test_another_judge_leaves_the_reader_as_it_is(tmp_path: Path, mnist: Source) -> None:
    model = Told(tmp_path, mnist, "y", partial(one_of_its_class, mnist))
    usual, other = judged(model, n=200), judged(model, n=200, judge="pixels")
    assert other["FD (8x8 pixels)"].card.extractor == "8x8 pixels"
    for name in ("class shown", "diversity within a class"):
        assert other[name] == usual[name]


def test_a_system_told_nothing_is_judged_as_ever(tmp_path: Path, mnist: Source) -> None:
    model = Told(tmp_path, mnist, "y", partial(one_of_its_class, mnist), reads_its_class)
    told = judged(model, n=100)
    model.given = ()
    model.generate = lambda n, **_: {"x": mnist.train.fetch(np.arange(n))["x"]}  # type: ignore[method-assign]
    plain = judged(model, n=100)
    assert set(told) - set(plain) == {"class shown", "diversity within a class", "D on mismatched classes"}
    assert set(plain) <= set(told)


def shades(missing: int | None = None) -> Source:
    """Images in three classes, whose shade is 0, 1 or 2 thirds."""
    draw = np.random.default_rng(0)
    y = np.arange(330) % 3
    x = (y[:, None, None, None] * 80 + draw.integers(0, 60, (330, 3, 16, 16))).astype(np.uint8)
    rows = dict(zip(("train", "held_out", "test"), np.array_split(np.arange(330), 3), strict=True))
    rows["train"] = rows["train"][y[rows["train"]] != missing]
    splits = {name: ArraySplit({"x": x, "y": y}, part) for name, part in rows.items()}
    signals = {"x": Signal("image", (3, 16, 16)), "y": Signal("label", (), (0, 2))}
    return Source(name="shades", signals=signals, fingerprint=f"shades{missing}", card=CARD, **splits)


def test_other_classes_are_read_by_a_probe_that_says_so(tmp_path: Path) -> None:
    source = shades()
    shown = judged(Told(tmp_path, source, "y", partial(one_of_its_class, source)), judge="pixels")["class shown"]
    assert (shown.value, shown.floor) == (1, 1)
    assert shown.card.extractor == "linear probe on 8x8 pixels, taught by 110 training samples"


def test_a_class_that_training_lacks_leaves_nobody_to_read(tmp_path: Path) -> None:
    source = shades(missing=2)
    found = judged(Told(tmp_path, source, "y", lambda c, seed: torch.zeros(len(c), 3, 16, 16)), judge="pixels")
    assert "class shown" not in found
    assert found["diversity within a class"].value == 0


# --- tags and sentences ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces() -> Source:
    """Some characters with a sentence each; test has unseen combinations, as `captions` has."""
    draw, n = characters.drawer(32), 420
    numbers = [characters.character(50_000 + i) for i in range(n)]
    said = [sentence(i, true) for i, (_, true) in enumerate(numbers)]
    signal = text_signal(words for words, _ in said)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "x": np.stack([draw(options) for options, _ in numbers]),
        "tags": np.array([[tag in true for tag in TAGS] for _, true in numbers], np.float32),
        "named": np.array([[tag in names for tag in TAGS] for _, names in said], np.float32),
        "text": numbered([words for words, _ in said], signal),
    }
    rows = np.array_split(np.arange(n), (10, 130))
    splits = {name: ArraySplit(arrays, part) for name, part in zip(("train", "held_out", "test"), rows, strict=True)}
    tags = Signal("tags", (len(TAGS),), (0, 1), names=TAGS, exclusive=characters.EXCLUSIVE)
    signals = {"x": Signal("image", (3, 32, 32)), "tags": tags, "named": tags, "text": signal}
    return Source(name="faces", signals=signals, fingerprint="faces", card=CARD, unseen=UNSEEN, **splits)


def answers(source: Source, key: str, shift: int = 0) -> Make:
    """Makes of each condition the real sample that has it, or the one that stands `shift` rows later."""
    assert isinstance(source.test, ArraySplit)
    known = {row.tobytes(): i for i, row in enumerate(source.test.arrays[key])}

    def make(c: Tensor, seed: int) -> Tensor:
        rows = np.array([known[row.numpy().tobytes()] + shift for row in c]) % len(source.test.arrays["x"])
        assert isinstance(source.test, ArraySplit)
        return torch.from_numpy(source.test.arrays["x"][rows]).float() / 127.5 - 1

    return make


def named(row: np.ndarray[Any, Any], pair: tuple[str, str]) -> bool:
    return all(row[TAGS.index(tag)] > 0 for tag in pair)


@pytest.mark.parametrize(("key", "what", "asks"), [("tags", "tags", "tags"), ("text", "named tags", "named")])
def test_tags_that_are_asked_for_are_shown(tmp_path: Path, faces: Source, key: str, what: str, asks: str) -> None:
    found = judged(Told(tmp_path, faces, key, answers(faces, key)), n=120)
    shown = found[f"{what} shown"]
    assert shown.value > 0.99
    assert shown.floor > 0.99
    assert 0.15 < shown.baselines["shuffled conditions"] < 0.5
    whole = found[f"all {what} shown"]
    assert whole.value > 0.95
    assert whole.baselines["shuffled conditions"] < 0.1
    rows = faces.test.fetch(np.linspace(0, len(faces.test) - 1, 120).round().astype(int))[asks].numpy()
    n = sum(any(named(row, pair) for pair in UNSEEN) for row in rows)
    assert found[f"{what} shown, unseen combinations"].card.n_fake == n > 5
    assert found[f"all {what} shown, seen combinations"].card.n_real == 120 - n
    assert {found[name].card.extractor for name in found if "shown" in name} == {"tag judge"}


def test_combinations_that_only_training_data_taught(tmp_path: Path, faces: Source) -> None:
    """A generator that answers as asked but for what it has never seen, is found out there and nowhere else."""
    right, wrong = answers(faces, "tags"), answers(faces, "tags", shift=1)
    columns = [[TAGS.index(tag) for tag in pair] for pair in UNSEEN]

    def make(c: Tensor, seed: int) -> Tensor:
        new = torch.stack([c[:, both].all(1) for both in columns]).any(0)
        return torch.where(new[:, None, None, None], wrong(c, seed), right(c, seed))

    found = judged(Told(tmp_path, faces, "tags", make), n=120)
    assert found["tags shown, seen combinations"].value > 0.99
    assert found["tags shown, unseen combinations"].value < 0.7


def test_no_combination_is_unseen_where_the_split_has_none(tmp_path: Path, faces: Source) -> None:
    assert isinstance(faces.test, ArraySplit)
    tags = faces.test.arrays["tags"]
    plain = [row for row in faces.test.rows if not any(named(tags[row], pair) for pair in UNSEEN)]
    source = Source(**{**vars(faces), "test": ArraySplit(faces.test.arrays, np.array(plain)), "fingerprint": "plain"})
    found = judged(Told(tmp_path, source, "tags", answers(faces, "tags")), n=100)
    assert not [name for name in found if "combinations" in name]


def test_words_that_nobody_reads_are_left_out(tmp_path: Path, faces: Source) -> None:
    """Somebody's own images with tags: of those only the two other questions are answered."""
    signals = {"x": faces.signals["x"], "tags": Signal("tags", (21,), (0, 1), names=tuple("abcdefghijklmnopqrstu"))}
    source = Source(**{**vars(faces), "signals": signals, "unseen": (), "fingerprint": "own"})
    model = Told(tmp_path, source, "tags", answers(faces, "tags"), lambda x, c: c.sum(1))
    found = judged(model, n=120, judge="pixels")
    assert not [name for name in found if "shown" in name]
    assert found["D on mismatched tags"].floor == 1
    assert found["diversity within a condition (tags)"].value == 0


# --- what a condition fits ------------------------------------------------------------------------------------


def test_a_sentence_fits_all_that_have_what_it_names() -> None:
    true = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1]]) > 0
    asked = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 1]]) > 0
    told = Conditions(torch.tensor([[5, 1], [5, 2], [7, 0]]), asked, true)
    assert told.fit(told[torch.tensor([0])]).tolist() == [True, True, False]
    assert told.fit(told).tolist() == [True, True, True]
    assert told.fit(told[torch.tensor([2, 0, 1])]).tolist() == [False, True, False]


def test_a_label_tags_or_unread_words_must_be_the_same() -> None:
    labels = Conditions(torch.tensor([2, 0, 2]), None)
    assert labels.fit(labels[torch.tensor([0])]).tolist() == [True, False, True]
    tags = torch.tensor([[1.0, 1], [1, 0]])
    assert Conditions(tags, tags > 0).fit(Conditions(tags, tags > 0)[torch.tensor([1])]).tolist() == [False, True]


def test_conditions_that_several_samples_fit() -> None:
    labels = Conditions(torch.tensor([3, 1, 3, 0, 1, 3]), None)
    assert [int(one.c) for one in distinct(labels, 9)] == [3, 1]  # 0 is alone
    assert [int(one.c) for one in distinct(labels, 1)] == [3]
    assert spread(torch.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert spread(torch.arange(3), 4).tolist() == [0, 1, 2]


def test_a_probe_is_taught_by_the_training_samples_it_says() -> None:
    source, extractor = shades(), make_extractor("pixels")
    train = extractor(source.train.fetch(np.linspace(0, 109, 40).round().astype(int))["x"])
    reader = reader_of(source, "y", extractor, train)
    assert reader is not None
    test = source.test.fetch(np.arange(len(source.test)))
    assert torch.equal(reader.read(extractor(test["x"])).float().argmax(1), test["y"])


def test_shares_and_preferences_in_closed_form() -> None:
    on = torch.tensor([[True, False, True], [False, True, True]])
    asked = torch.tensor([[1.0, 0, 1], [1, 1, 0]])
    assert agreement(on, asked).tolist() == [1, 0.5]
    assert agreement(on, torch.zeros(2, 3)).tolist() == [0, 0]  # who asks for nothing prefers nothing
    assert share_complete(on, asked) == 0.5
    assert preferred(torch.tensor([2.0, 1, 0, 5]), torch.tensor([1.0, 1, 3, 5])) == 0.5
    assert preferred(torch.tensor([2.0, 1]), torch.tensor([1.0, 1])) == 0.75


# --- comparing ------------------------------------------------------------------------------------------------


def test_runs_told_alike_are_compared_and_others_by_what_they_share(tmp_path: Path, mnist: Source) -> None:
    prototypes = one_of_its_class(mnist, torch.arange(10), 0)
    evaluate(Told(tmp_path / "a", mnist, "y", partial(one_of_its_class, mnist)), n=100)
    evaluate(Told(tmp_path / "b", mnist, "y", lambda c, seed: prototypes[c]), n=100, seed=4)
    rows = {row.name: row for row in compare([tmp_path / "a", tmp_path / "b"])}
    a, b = rows["diversity within a class"].values.values()
    assert a > b == 0
    line = json.loads((tmp_path / "b" / "metrics.jsonl").read_text())
    line["metrics"] = [metric for metric in line["metrics"] if "class" not in metric["name"]]
    (tmp_path / "b" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert "class shown" not in {row.name for row in compare([tmp_path / "a", tmp_path / "b"])}
