"""LSGAN: Mao, Li, Xie, Lau, Wang & Smolley 2017, https://arxiv.org/abs/1611.04076

D is a regression: its output is drawn to b on data and to a on fakes, and G draws it to c, all by squares. A fake that
D is sure about still pulls G towards the data, where the logarithm's gradient has faded.

    D: ½ E[(D(x) - b)²] + ½ E[(D(G(z)) - a)²]        G: ½ E[(D(G(z)) - c)²]        (eq. 2)

Reference code: github.com/xudonmao/LSGAN.

Differs: DCGAN's networks for images, not the paper's for 112 px with a z of 1,024; an MLP for points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.pair import pair
from mulligan.signals import Signal

# a, b, c by the name of the code
CODES = {"binary": (0.0, 1.0, 1.0), "pearson": (-1.0, 1.0, 0.0)}


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="samples in a batch")
    z_dim: int = Field(default=100, ge=1, description="dimensions of the latent z")
    width: int = Field(default=64, ge=1, description="channels of D's first and G's last hidden map; units for points")
    code: Literal["binary", "pearson"] = Field(
        default="binary", description="a, b, c: 0, 1, 1 (eq. 9), or -1, 1, 0, which minimises Pearson's χ² (eq. 8)"
    )
    lr: float = Field(default=2e-4, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=8)


class LSGAN(Typical):
    """Images whose side is a multiple of 4, or points."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G, self.D = pair(signals["x"], config.z_dim, config.width, config.width)
        self.augment_d()
        self.a, self.b, self.c = CODES[config.code]

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, 0.999))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        real, fake = self.D(*self.real(batch)), self.D(*self.fake_for_d(batch))
        self.watch(real - (self.a + self.b) / 2)  # what a D says that cannot tell
        return losses.d_least_squares(real, fake, self.a, self.b)

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_least_squares(self.D(*self.fake_for_g(batch)), self.c)
