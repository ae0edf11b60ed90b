"""What a user asks for, in words, as the tensors that a model is told: a label, tags, a sentence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mulligan.config import nearest
from mulligan.data.words import LONGEST, numbered, sentence, words
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.networks import minilm
from mulligan.signals import Signal

OPTIONS = {"y": "--label", "tags": "--tags", "text": "--text"}


class Wish(NamedTuple):
    """What to make.

    Attributes:
        given: conditions, (n, ...) by key.
        notes: sentences for the user, such as words that were passed over.
    """

    given: dict[str, Tensor]
    notes: list[str]


def wished(
    model: Model, n: int, *, label: str | None = None, tags: str | None = None, texts: list[str] | None = None,
    seed: int = 0,
) -> Wish:  # fmt: skip
    """Conditions for n samples; of several texts each has its share, in order.

    Args:
        model: that is to be told.
        n: samples.
        label: a class's name or number.
        tags: `red hair, blue eyes`; what they leave open is taken from held-out data.
        texts: sentences.
        seed: of what is left open.

    Raises:
        ValueError: the model takes no such thing, or knows no such class, tag or word.
    """
    asked = {"y": label, "tags": tags, "text": texts or None}
    given: dict[str, Tensor] = {}
    notes: list[str] = []
    for key, words_ in asked.items():
        if words_ is None:
            continue
        if key not in model.given:
            raise Mistake(f"{OPTIONS[key]}: {_takes(model)}")
        signal = model.system.signals[key]
        if label is not None and key == "y":
            given[key] = torch.full((n,), class_number(label, signal))
        elif tags is not None and key == "tags":
            given[key] = completed(asked_tags(tags, signal), signal, model.examples[key], n, seed)
        elif texts:
            if n < len(texts):
                raise Mistake(f"-n {n}: {len(texts)} texts want a sample each; ask for {len(texts)} or more")
            rows, passed_over = read_texts(texts, signal)
            given[key] = rows[torch.arange(n) * len(rows) // n]
            notes += passed_over
    return Wish(given, notes)


def _takes(model: Model) -> str:
    system = model.config["system"]
    options = [OPTIONS[key] for key in model.given if key in OPTIONS]
    if model.given and not options:
        return f"this {system} is told {' and '.join(model.given)}, which no option gives; leave it out"
    return f"this {system} is told {'with ' + ' and '.join(options) if options else 'nothing'}; leave it out"


def in_words(c: Tensor, signal: Signal) -> str:
    """A condition as it would be asked for: a class, tags, a sentence; "" where words do not tell it."""
    if signal.kind == "label":
        return signal.names[int(c)] if signal.names else f"class {int(c)}"
    if signal.kind == "tags":
        return ", ".join(name for name, on in zip(signal.names, c.tolist(), strict=True) if on > 0)
    return sentence(c.tolist(), signal) if signal.kind == "text" and signal.names else ""


def class_number(word: str, signal: Signal) -> int:
    """A class by its name or its number.

    Raises:
        ValueError: there is none.
    """
    if word in signal.names:
        return signal.names.index(word)
    if word.isascii() and word.isdigit() and len(word) <= 9 and int(word) < signal.n_classes:
        return int(word)
    last = signal.n_classes - 1
    known = nearest(word, signal.names) if signal.names else f"; classes are numbered from 0 to {last}"
    raise Mistake(f"--label {word}: there is no such class{known}")


# --- tags -----------------------------------------------------------------------------------------------------


def asked_tags(text: str, signal: Signal) -> list[str]:
    """The tags that are named, each once.

    Raises:
        ValueError: one is not known, or two contradict each other.
    """
    names = [" ".join(part.split()).casefold() for part in text.split(",")]
    asked = list(dict.fromkeys(name for name in names if name))
    if not asked:
        raise Mistake(f"--tags {text!r}: name some tags, with commas between them, such as {signal.names[0]!r}")
    for name in asked:
        if name not in signal.names:
            raise Mistake(f"--tags: there is no tag {name[:60]!r}{nearest(name, signal.names)}")
    for group in signal.exclusive:
        both = [name for name in asked if name in group]
        if len(both) > 1:
            raise Mistake(f"--tags: {both[0]} and {both[1]} contradict each other; take one of them")
    return asked


def completed(asked: list[str], signal: Signal, examples: Tensor, n: int, seed: int) -> Tensor:
    """n rows of tags (n, T) with all that are asked for, the others as held-out data (m, T) have them.

    Of the examples those that have the most of what is asked; what they lack is put on, what contradicts it taken off.
    """
    wanted = [signal.names.index(name) for name in asked]
    fits = examples[:, wanted].sum(1)
    best = (fits == fits.max()).nonzero().flatten()
    pick = torch.randint(len(best), (n,), generator=torch.Generator().manual_seed(seed))
    rows = examples[best[pick]].clone()
    for group in signal.exclusive:
        if any(name in group for name in asked):
            rows[:, [signal.names.index(name) for name in group]] = 0
    rows[:, wanted] = 1
    return rows


# --- text -----------------------------------------------------------------------------------------------------


def read_texts(texts: list[str], signal: Signal) -> tuple[Tensor, list[str]]:
    """Sentences as a model's text, a row each, and notes on what was passed over.

    Raises:
        ValueError: one is empty, too long, or has no word that is known; a package that reads them is missing.
    """
    for text in texts:
        _check_length(text)
    if signal.range is None:
        return _embedded(texts)
    notes = [note for text in texts if (note := _check_words(text, signal))]
    return torch.from_numpy(numbered(texts, signal)), notes


def _check_length(text: str) -> None:
    if not text.strip():
        raise Mistake("--text is empty: say what to make, in a sentence")
    if len(text) > LONGEST:
        raise Mistake(f"--text has {len(text):,} characters; at most {LONGEST:,}, and a sentence is enough")


def _embedded(texts: list[str]) -> tuple[Tensor, list[str]]:
    """Sentences as the frozen encoder reads them: their words alone, as it read those of the training."""
    plain = [" ".join(words(text)) for text in texts]
    for text, said in zip(texts, plain, strict=True):
        if not said:
            raise Mistake(f"--text {_short(text)!r}: there is no word in it; say what to make, in a sentence")
    cut = [text for text, said in zip(texts, plain, strict=True) if minilm.too_long(said)]
    notes = [f"only the first {minilm.MOST} tokens are read, about a hundred words, of: {_short(text)}" for text in cut]
    return minilm.encode(plain), notes


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _check_words(text: str, signal: Signal) -> str:
    """A note on the words that are passed over."""
    said, most = words(text), signal.shape[0] or 0
    known, unknown = [w for w in said if w in signal.names], [w for w in dict.fromkeys(said) if w not in signal.names]
    if not known:
        hint = nearest(unknown[0], signal.names) if unknown else ""
        hint = hint if hint.startswith("; did") else f"; it knows words such as {', '.join(signal.names[:8])}"
        raise Mistake(f"--text {_short(text)!r}: the model was trained on none of these words{hint}")
    notes = [f"words that the model was not trained on are passed over: {', '.join(unknown)}"] if unknown else []
    if len(known) > most:
        notes.append(
            f"only the first {most} words are read, as many as the data's longest sentence has: {_short(text)}"
        )
    return "; ".join(notes)
