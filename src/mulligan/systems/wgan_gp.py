"""WGAN-GP: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, https://arxiv.org/abs/1704.00028

WGAN with a critic that is held by a penalty instead of by clipping: a best critic has a gradient of norm 1 almost
everywhere on the lines between data and fakes (proposition 1), so other norms there are charged.

    D: E[f(G(z))] - E[f(x)] + λ E_x̂[(|∇f(x̂)| - 1)²],  x̂ = εx + (1 - ε)G(z), one ε ~ U(0, 1) a sample    (eq. 3)

Reference code: github.com/igul222/improved_wgan_training.

Differs: DCGAN's networks for images, the critic's without BatchNorm, as the penalty asks; an MLP for points.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.pair import pair
from mulligan.penalties import lipschitz_penalty, mix
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="m, samples in a batch")
    z_dim: int = Field(default=128, ge=1, description="dimensions of the latent z")
    width: int = Field(default=64, ge=1, description="channels of D's first and G's last hidden map; units for points")
    n_critic: int = Field(
        default=5, ge=1, description="steps of the critic for each of G", json_schema_extra=role("n_critic")
    )
    gp_weight: float | None = Field(
        default=None,
        ge=0,
        description="λ, weight of the penalty; 10, for points 0.1",
        json_schema_extra=role("penalty"),
    )
    lr: float = Field(default=1e-4, gt=0, description="α, learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.9, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=8, n_critic=2)


# On a line a slope can turn round only through 0, where the penalty is λ: with 10 the critic may never get there
# (docs/log.md). The reference code takes 0.1 for its points too.
GP_WEIGHT = {"image": 10.0, "points": 0.1}


class WGANGP(Typical):
    """Images whose side is a multiple of 4, or points. D is the critic f."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G, self.D = pair(signals["x"], config.z_dim, config.width, config.width, norm=False)
        self.augment_d()
        self.gp_weight = GP_WEIGHT[signals["x"].kind] if config.gp_weight is None else config.gp_weight

    def stages(self) -> Iterator[Stage]:
        c = self.config
        rule = Adam(c.lr, (c.beta1, c.beta2))
        critic = Turn("D", (self.D,), self.d_loss, rule, repeat=c.n_critic)
        yield Stage("train", (critic, Turn("G", (self.G,), self.g_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        x, (fake,) = batch["x"], self.fake(batch)
        real, fakes = self.D(torch.cat([x, fake])).chunk(2)  # no BatchNorm: a sample's output is its own
        self.watch(real - fakes)  # a critic has no zero
        penalty = self.gp_weight * lipschitz_penalty(self.D, mix(x, fake))
        return {**losses.d_wasserstein(real, fakes), "gp": penalty}

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_wasserstein(self.D(*self.fake(batch)))
