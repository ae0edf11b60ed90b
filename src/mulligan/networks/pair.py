"""The pair of networks that systems without a network of their own play with: DCGAN's for images, MLPs for points."""

from __future__ import annotations

from torch import nn

from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator, Wrap, identity
from mulligan.networks.mlp import mlp
from mulligan.signals import Signal

DEPTH = 3  # hidden layers of the MLPs


def pair(
    signal: Signal,
    z_dim: int,
    g_width: int,
    d_width: int,
    *,
    norm: bool = True,
    wrap: Wrap = identity,
    hidden: int = 0,
) -> tuple[nn.Module, nn.Module]:
    """(G, D): z (N, z_dim) -> x, and x -> logits (N,).

    For images `norm`, `wrap` and `hidden` are D's, as `ConvDiscriminator` has them. The MLPs have no BatchNorm.
    """
    if signal.kind == "points":
        d = signal.shape[0]
        assert d is not None
        return mlp(z_dim, d, g_width, DEPTH), nn.Sequential(mlp(d, 1, d_width, DEPTH, wrap=wrap), nn.Flatten(0))
    G = ConvGenerator(signal.shape, z_dim, g_width)
    return G, ConvDiscriminator(signal.shape, d_width, norm=norm, wrap=wrap, hidden=hidden)
