"""The pairs that a matching-aware D is asked about (Reed et al. 2016): does an image go with its condition?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """D's logits (N,) of three kinds of pairs."""

    real: Tensor  # a real image and its own condition
    fake: Tensor  # a fake and the condition that it was made for
    wrong: Tensor  # a real image and the condition of another
    differs: Tensor  # bool (N,): whether that other condition is not the same, so that the pair is wrong indeed


def compare(D: Callable[[Tensor, Tensor], Tensor], x: Tensor, fake: Tensor, c: Tensor) -> Pairs:
    """D's logits of real images x, and of fakes that were made for the same conditions c (N, ...).

    D takes k conditions for each image and looks at each image once. So it also judges fakes with another's condition,
    which nothing asks for.
    """
    other = c.roll(1, 0)
    real, of_fake, wrong, _ = D(torch.cat([x, fake]), torch.cat([c, c, other, other])).chunk(4)
    return Pairs(real, of_fake, wrong, differ(c, other))


def differ(c: Tensor, other: Tensor) -> Tensor:
    """bool (N,): whether two rows of conditions are not the same."""
    return (c != other).reshape(len(c), -1).any(1)
