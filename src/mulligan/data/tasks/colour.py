"""Grey photographs to colour: `input` is the brightness L of an image in CIE Lab, x the image."""

from __future__ import annotations

from torch import Tensor

from mulligan.data import Progress
from mulligan.data.computed import computed
from mulligan.data.source import Source
from mulligan.errors import Mistake
from mulligan.layers.lab import to_lab
from mulligan.signals import LIGHTNESS, Signal


def lightness(x: Tensor) -> Tensor:
    """x (N, 3, H, W) in [-1, 1] -> L (N, 1, H, W) in [-1, 1]."""
    return to_lab(x)[:, :1]


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: images; input: their brightness.

    Raises:
        ValueError: they have no colour.
    """
    x = source.signals["x"]
    if x.kind == "image" and x.shape[0] != 3:
        raise Mistake(f"--task colour: the images of {source.name} have {x.shape[0]} channels, not 3; give it colour")
    return computed(source, "colour", lightness, Signal("image", (1, *x.shape[1:]), names=(LIGHTNESS,)))
