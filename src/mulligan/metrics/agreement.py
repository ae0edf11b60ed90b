"""Do samples show what was asked for, and are those that were asked the same as various as real ones?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tags_read(logits: Tensor, names: Sequence[str], exclusive: Sequence[Sequence[str]]) -> Tensor:
    """The tags that a reader sees, bool (N, T): of each group of which one alone can be true the likeliest, of others
    those whose logit is above 0.

    Args:
        logits: (N, T), over 0 where a tag is read.
        names: of the tags.
        exclusive: groups of names of which every sample has exactly one.
    """
    on = logits > 0
    for group in exclusive:
        columns = torch.tensor([names.index(name) for name in group])
        likeliest = columns[logits[:, columns].argmax(1)]
        on[:, columns] = False
        on[torch.arange(len(on)), likeliest] = True
    return on


def share_shown(on: Tensor, asked: Tensor) -> float:
    """The share of all tags asked for that are shown; NaN where none is.

    Args:
        on: bool (N, T), tags that are read from the samples.
        asked: (N, T), above 0 where a tag was asked for.
    """
    asked = asked > 0
    return float((on & asked).sum() / asked.sum())


def share_complete(on: Tensor, asked: Tensor) -> float:
    """The share of samples that show all that they were asked for; arguments as of `share_shown`, NaN of no sample."""
    return float((on | (asked <= 0)).all(1).float().mean())


def agreement(on: Tensor, asked: Tensor) -> Tensor:
    """Of each sample the share (N,) of what it was asked for that it shows; arguments as of `share_shown`."""
    asked = asked > 0
    return (on & asked).sum(1) / asked.sum(1).clamp(min=1)


def preferred(own: Tensor, other: Tensor) -> float:
    """How often own (N,) exceeds other (N,), row by row; ties count half, so that 0.5 is chance."""
    return float(((own > other).double() + (own == other).double() / 2).mean())


def diversity_ratio(fake: Tensor, real: Tensor, fake_groups: Tensor, real_groups: Tensor) -> float:
    """Mean distance between two samples of one group over that between two real ones, averaged over groups.

    About 1: as various as real data. 0: each group has one prototype.

    Args:
        fake: features or flat pixels (N, d).
        real: the same of real data (M, d).
        fake_groups: (N,), equal for samples that were asked the same.
        real_groups: (M,), likewise; groups with fewer than two samples on either side are passed over.
    """
    ratios = []
    for group in set(real_groups.tolist()):
        sides = (fake[fake_groups == group], real[real_groups == group])
        if min(map(len, sides)) >= 2:
            ours, theirs = (float(torch.pdist(side.double()).mean()) for side in sides)
            if theirs > 0:
                ratios.append(ours / theirs)
    return sum(ratios) / len(ratios) if ratios else float("nan")
