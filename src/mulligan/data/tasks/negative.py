"""Negatives of images (Liu & Tuzel 2016, section 4, "digits and negatives")."""

from __future__ import annotations

from torch import Tensor

from mulligan.data import Progress
from mulligan.data.computed import computed
from mulligan.data.source import Source
from mulligan.layers.colours import on_colours


def negative(x: Tensor) -> Tensor:
    """1 - u of u = (x + 1) / 2, so -x, in each colour: x (N, C, H, W) in [-1, 1] -> the same shape and range."""
    return on_colours(x, lambda c: -c)


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: images; input: their negatives."""
    return computed(source, "negative", negative)
