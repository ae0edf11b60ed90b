"""Fully connected networks for points."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def mlp(
    d_in: int,
    d_out: int,
    width: int,
    depth: int,
    wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
) -> nn.Sequential:
    """x (N, d_in) -> (N, d_out) through `depth` hidden layers of `width` units, LeakyReLU 0.2 after each.

    `wrap` is applied to each linear layer, for spectral normalisation.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [wrap(nn.Linear(d_in if i == 0 else width, width)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, wrap(nn.Linear(width if depth else d_in, d_out)))
