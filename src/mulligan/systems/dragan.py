"""DRAGAN: Kodali, Abernethy, Hays & Kira 2017, https://arxiv.org/abs/1705.07215

The GAN game with a D that is held near the data: lost games show D steep there, so its gradient is asked to have norm
k around real samples alone, wherever the fakes are.

    D: V(D, G)'s loss + λ E_x,δ[(|∇D(x + δ)| - k)²]        G: -E[log D(G(z))]

Reference code: github.com/kodalinaveen3/DRAGAN.

Differs: the gradient is that of the logit, not of the sigmoid, which fades where D is sure. The paper's δ is Gaussian,
its code's one-sided and uniform: here δ = α c s n, with one α ~ U(0, 1) a sample, Gaussian n and the batch's standard
deviation s. DCGAN's networks for images, D's without BatchNorm, as the penalty asks; an MLP for points.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.pair import pair
from mulligan.penalties import lipschitz_penalty, mix
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="samples in a batch")
    z_dim: int = Field(default=100, ge=1, description="dimensions of the latent z")
    width: int = Field(default=64, ge=1, description="channels of D's first and G's last hidden map; units for points")
    gp_weight: float = Field(
        default=10.0, ge=0, description="λ, weight of the penalty", json_schema_extra=role("penalty")
    )
    k: float = Field(default=1.0, ge=0, description="the norm that D's gradient is asked to have")
    c: float = Field(default=0.5, gt=0, description="size of δ in standard deviations of the data")
    lr: float = Field(default=2e-4, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=8)


class DRAGAN(Typical):
    """Images whose side is a multiple of 4, or points."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G, self.D = pair(signals["x"], config.z_dim, config.width, config.width, norm=False)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, 0.999))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        x, (fakes,) = batch["x"], self.fake_for_d(batch)
        real, fake = self.D(torch.cat([x, fakes])).chunk(2)  # no BatchNorm: a sample's logit is its own
        self.watch(real)
        penalty = self.config.gp_weight * lipschitz_penalty(self.D, self.around(x), target=self.config.k)
        return {**losses.d_minimax(real, fake), "gp": penalty}

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake_for_g(batch)))

    def around(self, x: Tensor) -> Tensor:
        """x + δ, (N, ...): moved along a random line, by a random part of its length."""
        return mix(x + self.config.c * x.std() * torch.randn_like(x), x)
