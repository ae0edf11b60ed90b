"""What a dilation adds to an image: its edges as CoGAN's paper has them (Liu & Tuzel 2016, section 4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import max_pool2d

from mulligan.data import Progress
from mulligan.data.computed import computed
from mulligan.data.source import Source
from mulligan.layers.colours import on_colours


def dilation(x: Tensor) -> Tensor:
    """The 3 x 3 dilation less the image, in each colour: x (N, C, H, W) in [-1, 1] -> the same shape and range.

    With u = (x + 1) / 2 in [0, 1]: 2 (dilate(u) - u) - 1 = dilate(x) - x - 1.
    """
    return on_colours(x, lambda c: max_pool2d(c, 3, stride=1, padding=1) - c - 1)


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: images; input: their edges."""
    return computed(source, "dilation", dilation)
