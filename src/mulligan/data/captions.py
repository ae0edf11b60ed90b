"""The drawn characters with a sentence each, and combinations of hair colour and style that training never shows.

Sentences are made from a character's tags: what they name, in which order and in which words follows from its row
alone. Some tags are left unsaid, as people do. Train and held_out lack the combinations `UNSEEN`; of test a fifth has
one of them, so that a generator can be asked for what it has never seen together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mulligan.data import Progress
from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, TAGS, open_characters
from mulligan.data.source import ArraySplit, Source, fingerprint
from mulligan.data.words import numbered, text_signal
from mulligan.signals import Signal

SEED = 11
UNSEEN = (
    ("black hair", "long hair"),
    ("brown hair", "spiky hair"),
    ("blonde hair", "curly hair"),
    ("red hair", "buns"),
    ("pink hair", "short hair"),
    ("purple hair", "buns"),
    ("blue hair", "ponytail"),
    ("green hair", "twintails"),
)
WHO = ("a girl", "a girl", "a person", "a character", "someone")
SAID = 0.8  # the share of a character's tags that its sentence names
ADJECTIVES = {"long hair": "long", "short hair": "short", "curly hair": "curly", "spiky hair": "spiky"}
NOUNS = {"ponytail": "a ponytail", "twintails": "twintails", "buns": "buns"}
Words = tuple[str, tuple[str, ...]]  # a sentence, and the tags that it names


def open_captions(*, size: int | None = None, progress: Progress | None = None) -> Source:
    """x and tags as of `open_characters`; text: word numbers (N, L) of a sentence; named: (N, T), 1.0 where the
    sentence names a tag.

    Raises:
        ValueError: a package to draw with is missing, or the cache cannot be written.
    """
    characters = open_characters(size=size, progress=progress)
    splits: dict[str, ArraySplit] = {}
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, split in characters.splits.items():
        assert isinstance(split, ArraySplit)
        arrays, splits[name] = split.arrays, split
    tags = arrays["tags"]
    said = [sentence(row, true(tags[row])) for row in range(len(tags))]
    signal = text_signal(words for words, _ in said)
    text = numbered([words for words, _ in said], signal)
    named = np.array([[tag in names for tag in TAGS] for _, names in said], np.float32)
    unseen = _any_of(tags, UNSEEN)
    arrays = {**arrays, "text": text, "named": named}

    def part(name: str) -> ArraySplit:
        rows = splits[name].rows
        return ArraySplit(arrays, rows if name == "test" else rows[~unseen[rows]])

    return replace(
        characters,
        name="captions",
        signals={**characters.signals, "text": signal, "named": Signal("tags", (len(TAGS),), (0, 1), names=TAGS)},
        train=part("train"),
        held_out=part("held_out"),
        test=part("test"),
        fingerprint=fingerprint([characters.fingerprint.encode(), text.tobytes(), repr(UNSEEN).encode()]),
        unseen=UNSEEN,
    )


def true(row: npt.NDArray[np.generic]) -> tuple[str, ...]:
    """The tags of a row (T,)."""
    return tuple(TAGS[i] for i in np.flatnonzero(row))


def _any_of(tags: npt.NDArray[Any], combinations: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    """(N,): whether a row has all the tags of one of the combinations."""
    has = [np.all([tags[:, TAGS.index(tag)] > 0 for tag in both], 0) for both in combinations]
    found: npt.NDArray[np.bool_] = np.any(has, 0)
    return found


def sentence(row: int, tags: Sequence[str]) -> Words:
    """What is said of a character; the same row and tags, the same sentence."""
    state = np.random.RandomState([SEED, row])
    names = [tag for tag in tags if state.random_sample() < SAID] or [tags[int(state.random_sample() * len(tags))]]
    colour = next((tag.split()[0] for tag in names if tag in HAIR_COLOURS), "")
    eyes = next((tag for tag in names if tag in EYE_COLOURS), "")
    kinds = [ADJECTIVES[tag] for tag in names if tag in ADJECTIVES]
    shapes = [NOUNS[tag] for tag in names if tag in NOUNS]
    # once in three the colour stands behind: "her hair is long and red"
    told = _as_clauses if state.random_sample() < 1 / 3 else _as_phrases
    parts = told(colour, kinds, shapes, eyes)
    if "glasses" in names:
        parts.append(("glasses", "wearing glasses")[told is _as_clauses])
    if state.random_sample() < 0.5:
        parts.reverse()
    return _joined(parts, WHO[int(state.random_sample() * len(WHO))], told is _as_clauses, state), tuple(names)


def _as_phrases(colour: str, kinds: list[str], shapes: list[str], eyes: str) -> list[str]:
    """long curly red hair in a ponytail | blue eyes"""
    hair = " ".join([*kinds, colour, "hair"]).replace("  ", " ") if kinds or colour else ""
    done = f"{hair} in {' and '.join(shapes)}" if hair and shapes else hair or " and ".join(shapes)
    return [part for part in (done, eyes) if part]


def _as_clauses(colour: str, kinds: list[str], shapes: list[str], eyes: str) -> list[str]:
    """her hair is long and red and done in a ponytail | her eyes are blue"""
    is_ = [*kinds, *([colour] if colour else []), *([f"done in {' and '.join(shapes)}"] if shapes else [])]
    hair = f"her hair is {' and '.join(is_)}" if is_ else ""
    return [part for part in (hair, f"her eyes are {eyes.split()[0]}" if eyes else "") if part]


def _joined(parts: list[str], who: str, clauses: bool, state: np.random.RandomState) -> str:
    listed = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
    if clauses:
        return f"{who}, {listed}"
    return f"{who} with {listed}" if state.random_sample() < 0.75 else ", ".join(parts)
