"""Characters with sentences: what they say is true, and what training must not see it does not see."""

from __future__ import annotations

import numpy as np
import pytest

from mulligan.data import captions, describe, open_source
from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, TAGS
from mulligan.data.source import Source
from mulligan.data.words import numbered, sentence, text_signal, words


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source("captions", size=16)


def test_splits_and_signals(source: Source) -> None:
    rows = source.train.fetch(np.arange(4))
    for key, signal in source.signals.items():
        assert rows[key].shape == (4, *signal.shape), key
        if signal.range is not None:
            assert signal.range[0] <= rows[key].min() and rows[key].max() <= signal.range[1], key
    counts = {name: len(split) for name, split in source.splits.items()}
    known = next(row for row in describe() if row["name"] == "captions")
    assert counts == known["counts"]


def test_unseen_combinations_are_in_test_alone(source: Source) -> None:
    shares = {}
    for name, split in source.splits.items():
        tags = split.fetch(np.arange(len(split)))["tags"].numpy() > 0
        has = [tags[:, [TAGS.index(tag) for tag in both]].all(1) for both in source.unseen]
        shares[name] = np.any(has, 0).mean()
        if name == "test":
            assert all(h.any() for h in has)
    assert shares["train"] == shares["held_out"] == 0
    assert 0.1 < shares["test"] < 0.3
    # each half of a combination is seen, with others
    train = source.train.fetch(np.arange(len(source.train)))["tags"].sum(0)
    assert all(train[TAGS.index(tag)] > 50 for both in source.unseen for tag in both)


def test_sentences_name_true_tags_and_only_those(source: Source) -> None:
    rows = source.test.fetch(np.arange(len(source.test)))
    assert (rows["named"] <= rows["tags"]).all()
    assert (rows["named"].sum(1) > 0).all()
    said = [sentence(row, source.signals["text"]) for row in rows["text"]]
    for text, named in zip(said[:500], rows["named"], strict=False):
        told = set(words(text))
        for tag, on in zip(TAGS, named > 0, strict=True):
            # of "red hair" and "red eyes" both have to be there; of "curly hair" the word that tells it apart
            parts = tag.split() if tag in (*HAIR_COLOURS, *EYE_COLOURS) else tag.split()[:1]
            if on:
                assert set(parts) <= told, (tag, text)
        colours = {word.split()[0] for word in (*HAIR_COLOURS, *EYE_COLOURS)}
        spoken = [word for word in words(text) if word in colours]
        assert len(spoken) == sum(bool(named[TAGS.index(tag)]) for tag in (*HAIR_COLOURS, *EYE_COLOURS)), text


def test_sentences_are_various_and_always_the_same(source: Source) -> None:
    again = [captions.sentence(row, ("red hair", "blue eyes", "short hair"))[0] for row in range(200)]
    assert again == [captions.sentence(row, ("red hair", "blue eyes", "short hair"))[0] for row in range(200)]
    assert len(set(again)) > 30
    assert len({len(text.split()) for text in again}) > 5
    orders = {text.index("red") < text.index("blue") for text in again if "red" in text and "blue" in text}
    assert orders == {True, False}


def test_words_there_and_back() -> None:
    said = ["A girl, with short RED hair!", "glasses"]
    signal = text_signal(said)
    assert signal.shape == (6,) and signal.names == tuple(
        sorted(["a", "girl", "with", "short", "red", "hair", "glasses"])
    )
    rows = numbered([*said, "a green girl"], signal)
    assert [sentence(row, signal) for row in rows] == ["a girl with short red hair", "glasses", "a girl"]
    assert rows[1].tolist()[1:] == [0] * 5
    assert numbered(["a " * 50], signal).shape == (1, 6), "what is too long is cut"
