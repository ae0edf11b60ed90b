"""How an image made from an image compares with the true one: numbers that see blur and washed-out colours.

Distance alone rewards both: where many images would do, their mean is nearest. So beside it stand two numbers that the
mean image fails (Isola et al. 2017, sections 4.1 and 4.2): how much gradient is left, and how alike colours are spread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.layers.lab import to_lab

BINS = 50


def l1(made: Tensor, true: Tensor) -> float:
    """The mean distance of images (N, C, H, W) in [-1, 1] to their true ones, in [0, 2]."""
    return float((made - true).abs().mean())


def gradient_energy(x: Tensor) -> float:
    """The mean squared difference of neighbours, across and down, of images (N, C, H, W)."""
    return float(x.diff(dim=3).square().mean() + x.diff(dim=2).square().mean())


def sharpness(made: Tensor, true: Tensor) -> float:
    """The gradient energy of images over that of the true ones: 1 if as sharp, near 0 if blurred, above 1 if noisy.

    Raises:
        ZeroDivisionError: the true ones are flat.
    """
    return gradient_energy(made) / gradient_energy(true)


def histogram_intersection(made: Tensor, true: Tensor) -> tuple[float, float, float]:
    """Of images (N, 3, H, W) in [-1, 1], how much of the histograms of L, a and b is common, each in [0, 1].

    Of all images together (Isola et al. 2017, figure 7, table 5).
    """
    found = []
    for a, b in zip(torch.split(to_lab(made), 1, 1), torch.split(to_lab(true), 1, 1), strict=True):
        p, q = (torch.histc(values, BINS, -1, 1) / values.numel() for values in (a, b))
        found.append(float(torch.minimum(p, q).sum()))
    return found[0], found[1], found[2]
