"""Projection discriminator: Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637

SN-GAN told what to make. D ends in an inner product of what it sees in x and a vector of the condition y, the form that
the log ratio of two densities has where p(y|x) is log-linear; G normalises its maps with a gain and a bias for each y.

    D(x, y) = <v_y, φ(x)> + ψ(φ(x))
    D minimises  E[max(0, 1 - D(x, y))] + E[max(0, 1 + D(G(z, y), y))]        G minimises  -E[D(G(z, y), y)]

Reference code: github.com/pfnet-research/sngan_projection. Networks, schedule and spectral normalisation, of v too, are
those of sngan.py. `d_condition=concat` is the form that the paper compares with: v_y laid beside φ(x).

Differs: as sngan.py, so G's batch is as large as D's; y comes from the data, not from a uniform choice; G's classes
share a gain and a bias that theirs are added to (layers/conditional_norm.py); tags instead of a class, whose vectors
add up; concatenation comes after the last map, with a layer behind it, not in the middle of D,
and of vectors that are not normalised.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mulligan.layers.conditional_norm import ConditionalNorm
from mulligan.layers.spectral import spectral_norm
from mulligan.networks.dcgan import ConvDiscriminator
from mulligan.networks.reader import READ
from mulligan.networks.residual import ResidualDiscriminator
from mulligan.signals import Signal
from mulligan.systems import sngan


class Config(sngan.Config):
    condition: Literal["y", "tags"] | None = Field(
        default=None, description="what G and D are told; default: the first of these that the data have"
    )
    d_condition: Literal["projection", "concat"] = Field(
        default="projection", description="how D is told: by an inner product, or beside its features"
    )


class ProjectionGAN(sngan.SNGAN):
    """Images whose side is a multiple of 4, with a class or tags each."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("y", "tags")

    def networks(self) -> tuple[nn.Module, nn.Module]:
        told = self.signals[self.key]
        G, body = sngan.networks(self.config, self.signals["x"], partial(ConditionalNorm, told=told))
        assert isinstance(body, ConvDiscriminator | ResidualDiscriminator)
        D = Projected if self.config.d_condition == "projection" else Concatenated
        return G, D(body, told)


class Projected(nn.Module):
    """(x (N, C, S, S), y) -> logits (N,): the body's ψ(φ(x)), and <v_y, φ(x)>."""

    def __init__(self, body: ConvDiscriminator | ResidualDiscriminator, told: Signal) -> None:
        super().__init__()
        self.body = body
        self.v = spectral_norm(vectors(told, body.d))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        phi = self.body.features(x)
        psi = self.body.last(phi).squeeze(1)
        logits: Tensor = psi.float() + (self.v(y).float() * phi.float()).sum(1)
        return logits


class Concatenated(nn.Module):
    """(x (N, C, S, S), y) -> logits (N,): v_y beside φ(x), a hidden layer that can relate the two, and the body's ψ.

    v is not normalised: no path from x leads through it.
    """

    def __init__(self, body: ConvDiscriminator | ResidualDiscriminator, told: Signal) -> None:
        super().__init__()
        self.body = body
        self.v = vectors(told, READ)
        self.join = spectral_norm(nn.Linear(body.d + READ, body.d))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        phi = self.body.features(x)
        h = leaky_relu(self.join(torch.cat([phi, self.v(y).to(phi.dtype)], 1)), 0.2)
        logits: Tensor = self.body.last(h).squeeze(1)
        return logits


def vectors(told: Signal, d: int) -> nn.Module:
    """A condition -> v (N, d): of a class its own, of tags the sum of theirs.

    Without a bias, which spectral normalisation would leave as long as it likes, and D as steep.
    """
    if told.kind == "label":
        return nn.Embedding(told.n_classes, d)
    (n,) = told.shape
    assert n is not None, told
    return nn.Linear(n, d, bias=False)
