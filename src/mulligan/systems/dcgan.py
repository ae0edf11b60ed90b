"""DCGAN: Radford, Metz & Chintala 2015, https://arxiv.org/abs/1511.06434

The GAN game between two strided convolutional networks without hidden fully connected layers: BatchNorm in both
(not on G's output, not on D's input), ReLU and tanh in G, LeakyReLU 0.2 in D, Adam with β1 = 0.5.
Reference code: github.com/Newmu/dcgan_code.

Differs: kernels are 4x4, so that stride 2 covers every pixel equally often (the reference's 5x5 leave a
checkerboard); z is Gaussian, not uniform; no weight decay; D learns from the fakes that G has just learned from;
sides other than 64 by choosing the first map's side (28 = 7 * 4).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from mulligan import losses
from mulligan.config import ToldConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=128, ge=2, description="images in a batch")
    z_dim: int = Field(default=100, ge=1, description="dimensions of the latent z")
    width: int = Field(default=128, ge=1, description="channels of the widest map's layer, in G and D")
    lr: float = Field(default=2e-4, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=4)


class DCGAN(Typical):
    """Images whose side is a multiple of 4."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("y", "tags", "text")

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        shape = signals["x"].shape
        self.G = ConvGenerator(shape, config.z_dim, config.width, self.told)
        self.D = ConvDiscriminator(shape, config.width, told=self.told)
        self.augment_d()
        self.optimizer = Adam(config.lr, (config.beta1, 0.999))

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "train",
            (
                Turn("G", (self.G,), self.g_loss, self.optimizer),
                Turn("D", (self.D,), self.d_loss, self.optimizer),
            ),
        )

    def d_loss(self, batch: Batch) -> Terms:
        # real and fake pass apart: BatchNorm must not see them mixed
        real, fake = self.D(*self.real(batch)), self.D(*self.fake_for_d(batch))
        self.watch(real)
        return losses.d_minimax(real, fake)

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake_for_g(batch)))
