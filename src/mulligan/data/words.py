"""Sentences as word numbers, for systems that learn to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mulligan.signals import Signal

LONGEST = 2_000  # characters of a sentence
WORD = re.compile(r"\w+")


def words(sentence: str) -> list[str]:
    """The words of a sentence, in lower case and without what stands between them."""
    return WORD.findall(sentence.casefold())


def text_signal(sentences: Iterable[str], longest: int | None = None) -> Signal:
    """The signal whose words and length are those of the sentences, of which the first `longest` words count."""
    read = [words(sentence)[:longest] for sentence in sentences]
    names = tuple(sorted({word for found in read for word in found}))
    return Signal("text", (max(map(len, read)),), (0, len(names)), names=names)


def numbered(sentences: Sequence[str], signal: Signal) -> npt.NDArray[np.int64]:
    """(N, L): the words' numbers from 1 on, then 0; a word that the signal does not know, or has no room for, is left
    out."""
    (length,) = signal.shape
    number = {word: i for i, word in enumerate(signal.names, 1)}
    rows = np.zeros((len(sentences), length or 0), np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        known = [number[word] for word in words(sentence) if word in number][:length]
        row[: len(known)] = known
    return rows


def sentence(numbers: Iterable[Any], signal: Signal) -> str:
    """The words of a row of numbers, with a space between them."""
    return " ".join(signal.names[int(i) - 1] for i in numbers if int(i) > 0)
