"""Judging systems that make an image from an image: is what they make like the true partner, as sharp, as coloured?

Beside each number stand two ways that draw nothing: the mean picture, which distance rewards though it is a blur, and
the picture of the training pair whose input is nearest. The floor is what real images of another split have; of the
distance it is 0, the true partner's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mulligan.data.source import Source, Split, evenly, in_parts
from mulligan.metrics.card import Better, Card, Result
from mulligan.metrics.features import to_8_bit
from mulligan.metrics.translation import gradient_energy, histogram_intersection, l1, sharpness

MOST = 1000  # pairs that are compared
POOL = 4000  # training pairs among which the nearest input is sought
AT_ONCE = 200  # images in memory beside those that are judged
SMALL = 16  # px, of inputs that are compared


def pairs(split: Split, n: int) -> tuple[Tensor, Tensor]:
    """Of an even spread of n pairs x and input."""
    rows = [split.fetch(index) for index in in_parts(evenly(split, n))]
    x, given = (torch.cat([part[key] for part in rows]) for key in ("x", "input"))
    return x, given


def nearest_partner(source: Source, given: Tensor, most: int = POOL) -> Tensor:
    """For each input the x of the training pair, of `most` at most, whose input is nearest, of both at 16 px."""
    index = evenly(source.train, min(len(source.train), most))
    known = torch.cat([small(source.train.fetch(part)["input"]) for part in in_parts(index, AT_ONCE)])
    nearest = torch.cdist(small(given), known).argmin(1).numpy()
    return torch.cat([source.train.fetch(part)["x"] for part in in_parts(index[nearest], AT_ONCE)])


def small(images: Tensor) -> Tensor:
    return adaptive_avg_pool2d(images, SMALL).flatten(1)


def colours(made: Tensor, true: Tensor) -> float:
    """The mean of the histogram intersections of L, a and b."""
    return sum(histogram_intersection(made, true)) / 3


def results(source: Source, split: str, made: Tensor, card: Callable[..., Card]) -> Iterator[Result]:
    """What the pictures `made` (N, C, H, W) for an even spread of N pairs of a split are worth.

    Args:
        source: of pairs.
        split: that judges.
        made: in [-1, 1].
        card: takes what a card lacks yet.
    """
    n = len(made)
    true, given = pairs(source.splits[split], n)
    other = pairs(source.splits["held_out" if split == "test" else "test"], n)[0]
    baselines = {
        "nearest neighbour": nearest_partner(source, given),
        "mean picture": mean_picture(source).expand_as(true),
    }
    measures: dict[str, tuple[Callable[[Tensor, Tensor], float], Better]] = {
        "L1 distance": (l1, "lower"),
    }
    if gradient_energy(true):  # flat pictures have no sharpness to be reached
        measures["sharpness"] = (sharpness, "target")
    if true.shape[1] == 3:
        measures["colours in common"] = (colours, "higher")
    for name, (measure, better) in measures.items():
        floor = 0.0 if measure is l1 else measure(other, true)
        beside = {what: measure(picture, true) for what, picture in baselines.items()}
        about = card(metric=name, extractor="pixels", extractor_hash="none", resize="none", n_real=n, n_fake=n)
        yield Result(name, measure(to_8_bit(made), true), floor, beside, better, about)


def mean_picture(source: Source, most: int = POOL) -> Tensor:
    """The mean of `most` pictures of training at most, (1, C, H, W)."""
    index = evenly(source.train, min(len(source.train), most))
    total = torch.stack([source.train.fetch(part)["x"].sum(0) for part in in_parts(index, AT_ONCE)]).sum(0)
    return total[None] / len(index)
