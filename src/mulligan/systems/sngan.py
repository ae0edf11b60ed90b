"""SN-GAN: Miyato, Kataoka, Koyama & Yoshida 2018, https://arxiv.org/abs/1802.05957

Every layer of D is divided by its largest singular value, so that D is 1-Lipschitz layer by layer; hinge loss.
Reference code: github.com/pfnet-research/sngan_projection.

Residual networks as for CIFAR-10 (figure 7), or the plain strided ones (table 3); an MLP for points.

Differs: G's batch is as large as D's, the reference's is twice that; G plays first and D learns from its fakes; the
linear decay of the learning rate is left to `decay_images`; the plain networks are DCGAN's, with kernels of 4
throughout, and D without BatchNorm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.layers.spectral import spectral_norm
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator, Norm
from mulligan.networks.pair import pair
from mulligan.networks.residual import ResidualDiscriminator, ResidualGenerator
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="samples in a batch")
    network: Literal["residual", "plain"] = Field(default="residual", description="the networks for images")
    z_dim: int = Field(default=128, ge=1, description="dimensions of the latent z")
    g_width: int = Field(default=256, ge=1, description="channels of G (plain: of its last map but one)")
    d_width: int = Field(default=128, ge=1, description="channels of D (plain: of its first map)")
    d_hidden: int = Field(default=0, ge=0, description="plain: units of a layer before D's logit; 0: none")
    n_dis: int = Field(default=5, ge=1, description="steps of D for each of G", json_schema_extra=role("n_critic"))
    lr: float = Field(default=2e-4, gt=0, description="α, learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.9, ge=0, lt=1, description="Adam's β2")
    decay_images: int | None = Field(
        default=None,
        ge=1,
        description="samples seen by when the learning rate falls to 0, linearly; none: never",
    )

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, g_width=8, d_width=8, n_dis=2)


class SNGAN(Typical):
    """Images whose side is a multiple of 4, or points."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G, self.D = self.networks()
        self.augment_d()

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """(G, D)."""
        return networks(self.config, self.signals["x"])

    def stages(self) -> Iterator[Stage]:
        c = self.config
        end = c.decay_images
        rule = Adam(lambda seen: c.lr * (max(0.0, 1 - seen / end) if end else 1), (c.beta1, c.beta2))
        d = Turn("D", (self.D,), self.d_loss, rule, repeat=c.n_dis)
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), d))

    def d_loss(self, batch: Batch) -> Terms:
        # one pass over both: D has no BatchNorm, so a sample's logit is its own
        both = map(torch.cat, zip(self.real(batch), self.fake_for_d(batch), strict=True))
        real, fake = self.D(*both).chunk(2)
        self.watch(real)
        return losses.d_hinge(real, fake)

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_hinge(self.D(*self.fake_for_g(batch)))


def networks(c: Config, signal: Signal, norm: Norm = nn.BatchNorm2d) -> tuple[nn.Module, nn.Module]:
    """(G, D) for images or points; `norm` is G's for images."""
    if signal.kind == "points":
        return pair(signal, c.z_dim, c.g_width, c.d_width, wrap=spectral_norm)
    shape, wrap = signal.shape, spectral_norm
    if c.network == "plain":
        G: nn.Module = ConvGenerator(shape, c.z_dim, c.g_width, norm=norm)
        return G, ConvDiscriminator(shape, c.d_width, norm=False, wrap=wrap, hidden=c.d_hidden)
    G = ResidualGenerator(shape, c.z_dim, c.g_width, norm)
    return G, ResidualDiscriminator(shape, c.d_width, wrap=wrap)
