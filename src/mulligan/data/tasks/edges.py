"""Line drawings of images: black lines of one pixel on white, as somebody might draw them (Canny 1986).

1. The image is made grey and smoothed. 2. Its slope at each pixel, by Sobel's filters. 3. A pixel is on a line if no
neighbour across the line is steeper, 4. and if it is steep, or hangs together with one that is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from mulligan.data import Progress
from mulligan.data.computed import computed
from mulligan.data.source import Source
from mulligan.layers.colours import grey
from mulligan.signals import Signal

SMOOTH = (0.0545, 0.2442, 0.4026, 0.2442, 0.0545)  # Gaussian, σ = 1 px
STEEP, FAINT = 0.06, 0.025  # slopes in brightness, of 0 to 1, a pixel
HANGS = 16  # px that a faint line may run on from a steep one


def edges(x: Tensor) -> Tensor:
    """x (N, C, H, W) in [-1, 1] -> (N, 1, H, W): -1 on lines, else 1."""
    gx, gy = slopes(smoothed((grey(x) + 1) / 2))
    steepness = torch.hypot(gx, gy)
    ridge = steepness * is_ridge(steepness, gx, gy)
    line, may = ridge >= STEEP, ridge >= FAINT
    for _ in range(HANGS):
        line = (max_pool2d(line.float(), 3, stride=1, padding=1) > 0) & may
    return 1 - 2 * line.to(x.dtype)


def smoothed(u: Tensor) -> Tensor:
    taps = torch.tensor(SMOOTH, dtype=u.dtype)
    u = pad(u, (2, 2, 2, 2), mode="replicate")
    return conv2d(conv2d(u, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1))


def slopes(u: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's: the change of u (N, 1, H, W) from a pixel to the next, across and down."""
    smooth, change = torch.tensor([1.0, 2.0, 1.0]) / 4, torch.tensor([-1.0, 0.0, 1.0]) / 2
    across = smooth[:, None] * change
    kernels = torch.stack([across, across.T])[:, None].to(u.dtype)
    found = conv2d(pad(u, (1, 1, 1, 1), mode="replicate"), kernels)
    return found[:, :1], found[:, 1:]


def is_ridge(steepness: Tensor, gx: Tensor, gy: Tensor) -> Tensor:
    """Whether no pixel beside it, in the direction of the slope to the nearest eighth of a turn, is steeper.

    Of two that are alike the one further up or left is: a line is one pixel wide.
    """
    around = pad(steepness, (1, 1, 1, 1))
    height, width = steepness.shape[2:]

    def beside(down: int, right: int) -> Tensor:
        return around[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    # ahead and behind, for slopes along a row, a diagonal, a column, the other diagonal
    ways = [((0, 1), (0, -1)), ((1, 1), (-1, -1)), ((1, 0), (-1, 0)), ((1, -1), (-1, 1))]
    peaks = torch.stack([(steepness >= beside(*a)) & (steepness > beside(*b)) for a, b in ways])
    eighth = (torch.atan2(gy, gx) / torch.pi * 4).round().long() % 4
    return peaks.gather(0, eighth[None])[0]


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: images; input: their lines."""
    return computed(source, "edges", edges, Signal("image", (1, *source.signals["x"].shape[1:])))
