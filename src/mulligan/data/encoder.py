"""`--encoder minilm`: a source whose sentences are embeddings by a frozen network, computed once and kept in the cache.

A sentence that a system never saw is then read like one that means the same, as far as the network knew before. The
other encoder, `words`, leaves sentences as word numbers, which a system learns to read in the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mulligan.data import Progress, cache
from mulligan.data.source import Array, Source, Split, fingerprint
from mulligan.data.unpaired import columns
from mulligan.data.words import sentence
from mulligan.errors import Mistake
from mulligan.networks import minilm
from mulligan.signals import mend

AT_ONCE = 64  # sentences; more are no faster on a CPU
FLAG = "--encoder minilm"


class Encoded(Split):
    """A split whose text is looked up.

    Args:
        split: with any text.
        embeddings: of the sentences (m, d).
        rows: which of them each row of the split has (n,).
    """

    def __init__(self, split: Split, embeddings: Tensor, rows: Array) -> None:
        self.split, self.embeddings, self.rows = split, embeddings, rows

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        return {**self.split.fetch(index), "text": self.embeddings[torch.from_numpy(self.rows[index])]}

    def labels(self) -> Array | None:
        return self.split.labels()


def encoded(source: Source, progress: Progress | None = None) -> Source:
    """The source with `minilm.SIGNAL` as its text.

    Raises:
        ValueError: it has no text, the extra `text` is not installed, or the cache cannot be written.
    """
    minilm.check()
    if "text" not in source.signals:
        raise Mistake(f"{FLAG}: {source.name} has no sentences to read; leave it out{mend('text')}")
    numbers = {name: torch.cat(list(columns(split, "text"))).numpy() for name, split in source.splits.items()}
    distinct, rows = np.unique(np.concatenate(list(numbers.values())), axis=0, return_inverse=True)
    sentences = [sentence(row, source.signals["text"]) for row in distinct]
    entry = "minilm-" + fingerprint([minilm.VERSION.encode(), "\n".join(sentences).encode()])
    make, load = partial(_make, sentences=sentences, progress=progress), partial(_load, n=len(sentences))
    embeddings, cut = cache.opened(entry, make, load)
    ends = np.cumsum([len(part) for part in numbers.values()])
    of = dict(zip(numbers, np.split(rows.ravel(), ends[:-1]), strict=True))
    splits = {name: Encoded(split, embeddings, of[name]) for name, split in source.splits.items()}
    return replace(
        source,
        signals={**source.signals, "text": minilm.SIGNAL},
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([source.fingerprint.encode(), minilm.VERSION.encode()]),
        notes=[*source.notes, *([_told(cut, len(sentences))] if cut else [])],
    )


def _told(cut: int, n: int) -> str:
    most = f"{minilm.MOST} tokens, about a hundred words"
    return f"A sentence is read to the end of its first {most} ({FLAG}); {cut:,} of {n:,} are longer."


def _make(place: Path, *, sentences: Sequence[str], progress: Progress | None) -> dict[str, Any]:
    found = np.empty((len(sentences), minilm.WIDTH), np.float32)
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # alike in length: little is padding
    for start in range(0, len(order), AT_ONCE):
        part = order[start : start + AT_ONCE]
        found[part] = minilm.encode([sentences[i] for i in part]).numpy()
        if progress is not None:
            progress("reading sentences", start + len(part), len(order))
    np.save(place / "embeddings.npy", found)
    return {"encoder": minilm.VERSION, "sentences": len(sentences), "cut": sum(map(minilm.too_long, sentences))}


def _load(place: Path, *, n: int) -> tuple[Tensor, int]:
    """The embeddings (n, 384), and how many sentences were longer than is read."""
    found = np.load(place / "embeddings.npy", allow_pickle=False)
    if found.shape != (n, minilm.WIDTH) or found.dtype != np.float32:
        raise Mistake("the embeddings of the cache entry have another shape")
    return torch.from_numpy(found), cache.meta(place)["cut"]
