"""WGAN: Arjovsky, Chintala & Bottou 2017, https://arxiv.org/abs/1701.07875

A critic f in place of a classifier: kept from being steep, it estimates how far the fakes are from the data, as the
distance that mass has to be carried (Wasserstein-1), and G shortens it. The estimate falls as samples get better.

    D maximises E[f(x)] - E[f(G(z))] over weights in [-c, c]        G minimises -E[f(G(z))]

Reference code: github.com/martinarjovsky/WassersteinGAN.

Differs: weights are clipped after each step, so that G meets a clipped critic too; BatchNorm's gains are not clipped,
for three gains of 0.01 in a row leave no signal; there is an MLP for points, without BatchNorm. The reference plays 100
steps of the critic in each of the first 25 rounds: `n_critic` here is the same throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Batch, RMSProp, Stage, Terms, Turn, Typical
from mulligan.networks.pair import pair
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="m, samples in a batch")
    z_dim: int = Field(default=100, ge=1, description="dimensions of the latent z")
    width: int = Field(default=64, ge=1, description="channels of D's first and G's last hidden map; units for points")
    n_critic: int = Field(
        default=5, ge=1, description="steps of the critic for each of G", json_schema_extra=role("n_critic")
    )
    clip: float = Field(
        default=0.01, gt=0, description="c: the critic's weights stay in [-c, c]", json_schema_extra=role("clip")
    )
    lr: float = Field(
        default=5e-5, gt=0, description="α, RMSProp's learning rate, of both players", json_schema_extra=role("lr")
    )

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=8, n_critic=2)


class WGAN(Typical):
    """Images whose side is a multiple of 4, or points. D is the critic f."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G, self.D = pair(signals["x"], config.z_dim, config.width, config.width)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        c = self.config
        rule = RMSProp(c.lr)
        critic = Turn("D", (self.D,), self.d_loss, rule, repeat=c.n_critic, after=self.clip)
        yield Stage("train", (critic, Turn("G", (self.G,), self.g_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        # real and fake pass apart: BatchNorm must not see them mixed
        real, fake = self.D(*self.real(batch)), self.D(*self.fake(batch))
        self.watch(real - fake)  # a critic has no zero
        return losses.d_wasserstein(real, fake)

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_wasserstein(self.D(*self.fake(batch)))

    @torch.no_grad()
    def clip(self) -> None:
        """All of the critic's weights and biases but BatchNorm's gains into [-c, c]."""
        c = self.config.clip
        gains = {id(m.weight) for m in self.D.modules() if isinstance(m, nn.BatchNorm2d)}
        clipped: list[Tensor] = [p for p in self.D.parameters() if id(p) not in gains]
        torch._foreach_clamp_min_(clipped, -c)
        torch._foreach_clamp_max_(clipped, c)
