"""Who reads the tags of a run's samples: a judge that ships, or a probe that learns the classes of the run's data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mulligan.data.characters import TAGS
from mulligan.data.source import Source, Split
from mulligan.errors import Mistake
from mulligan.layers.colours import in_colour
from mulligan.layers.sizes import resized
from mulligan.metrics import digits, features, probe, tags
from mulligan.metrics.features import to_8_bit
from mulligan.model import Model
from mulligan.space import Space

AT_ONCE = 500
N_PROBE = 2000  # training samples that a probe learns from, at most
MAX_CLASSES = 100


@dataclass(frozen=True)
class Tagger:
    """Reads tags.

    Attributes:
        name: of who reads.
        names: of the tags.
        groups: the tags that exclude or bring each other, together; every tag is in one group.
        read: images (N, C, H, W) in [-1, 1] to log odds (N, T).
    """

    name: str
    names: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    read: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Log odds (N, T), on the CPU: over 0 where a tag is read."""
        with torch.inference_mode():
            parts = [self.read(to_8_bit(part.float().cpu())) for part in torch.split(x, AT_ONCE)]
        return torch.cat(parts).clone()

    def of_random(self, space: Space, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n random latents of a space, and the tags (n, T) that their samples are read to have, 1.0 or 0.0."""
        u = space.draw(n, seed)
        return u, (self(space.samples(u)) > 0).float()

    def index(self, tag: str) -> int:
        return self.names.index(tag)

    def group(self, tag: str) -> list[int]:
        """The tags of its group, itself among them."""
        return next([self.index(t) for t in group] for group in self.groups if tag in group)

    def others(self, tag: str) -> list[int]:
        """The tags that an edit of this one is to leave alone: those of the other groups."""
        return [self.index(t) for group in self.groups if tag not in group for t in group]


def tagger_of(model: Model) -> Tagger:
    """The tagger for a run's data.

    Raises:
        ValueError: the data have neither tags nor labels, or are gone.
    """
    if (known := shipped(model)) is not None:
        return known
    if "y" in model.config["signals"]:
        return probed(model.source())
    raise Mistake(
        f"{model.config['data']['data']} has no labels, so nothing here knows tags: train on --data characters, or "
        "on a folder that holds a folder for each class; sample numbers (#3) need none"
    )


def shipped(model: Model) -> Tagger | None:
    """The judge that ships for a run's data; None where there is none."""
    signals = model.config["signals"]
    if tuple(signals.get("tags", {}).get("names", ())) == TAGS and "mask" not in signals:  # it reads faces on white
        return tag_judge()
    return digit_judge() if model.config["data"]["data"] == "mnist" else None


def tag_judge() -> Tagger:
    """Of drawn characters."""
    judge, _ = tags.load_judge()
    return Tagger("tag judge", TAGS, tags.GROUPS, lambda x: judge(resized(in_colour(x), tags.SIDE)))


def digit_judge() -> Tagger:
    """Of MNIST's digits."""
    judge, _ = digits.load_judge()
    names = tuple(map(str, range(10)))
    return Tagger("digit judge", names, (names,), lambda x: probe.log_odds(judge(resized(x, 28))))


def probed(source: Source) -> Tagger:
    """A probe on the source's own extractor, taught by the training split."""
    signal = source.signals["y"]
    k = signal.n_classes
    if not 2 <= k <= MAX_CLASSES:
        raise Mistake(f"{source.name} has {k:,} classes: tags are read of 2 to {MAX_CLASSES}")
    extractor = features.pick(source, quick=True)
    names = signal.names or tuple(map(str, range(k)))
    x, y = _rows(source.train, k)
    missing = [names[i] for i in range(k) if not bool((y == i).any())]
    if missing:
        raise Mistake(f"{source.name} has no training sample of {missing[0]!r}, so that tag cannot be learned")
    known = probe.fit(extractor(x), y, k)
    return Tagger(f"probe on {extractor.name}", names, (names,), lambda x: probe.log_odds(known(extractor.features(x))))


def _rows(split: Split, n_classes: int) -> tuple[Tensor, Tensor]:
    """Samples and their labels, of each class the first ones of a random order."""
    labels = split.labels()
    assert labels is not None, "a source with a label has labels"
    order = np.random.default_rng(0).permutation(len(labels))
    index = np.concatenate([order[labels[order] == i][: N_PROBE // n_classes] for i in range(n_classes)])
    rows = split.fetch(np.sort(index))
    return rows["x"], rows["y"]
