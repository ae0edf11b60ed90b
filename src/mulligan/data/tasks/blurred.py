"""Negatives of images, blurred: another look with nothing lost that could not be found again, near enough."""

from __future__ import annotations

from torch import Tensor

from mulligan.data import Progress
from mulligan.data.computed import computed
from mulligan.data.source import Source
from mulligan.data.tasks.edges import smoothed
from mulligan.layers.colours import on_colours


def blurred(x: Tensor) -> Tensor:
    """The negative, smoothed by a Gaussian of σ = 1 px, in each colour: x (N, C, H, W) in [-1, 1] -> the same."""
    return on_colours(x, lambda c: -smoothed(c.flatten(0, 1)[:, None]).view_as(c))


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: images; input: their blurred negatives."""
    return computed(source, "blurred", blurred)
