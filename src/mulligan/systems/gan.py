"""GAN: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661

G turns noise into samples, D tells them from data, and each plays against the other: at the optimum
D(x) = p_data(x) / (p_data(x) + p_g(x)) (proposition 1) and V(D, G) = -log 4 (theorem 1).
Reference code: github.com/goodfeli/adversarial.

G: ReLU layers; D: two maxout layers with dropout. Images are flattened, G ends in a sigmoid, and D sees them in
[0, 1]. For points the networks are narrower, G's output is linear, and dropout and weight ranges are not MNIST's.

Differs: D and G step one after the other, each with its own dropout mask; on images both from the same fakes, as the
reference code does at once, on points each on fresh noise. Momentum and learning rate follow the images seen. Points
use Adam, a G slower than D, and learning rates that fall to a hundredth over `decay_images`, so that D comes to rest
at its optimum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import SGD, Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.layers.maxout import Maxout
from mulligan.networks.perceptron import Float32, Picture, Pixels, init_uniform, start_at_mean, uniform
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=100, ge=2, description="samples in a batch")
    loss: Literal["nonsaturating", "saturating"] = Field(
        default="nonsaturating",
        description="what G minimises: -log D(G(z)), or log(1 - D(G(z)))",
        json_schema_extra=role("loss"),
    )
    prior: Literal["uniform", "gaussian"] | None = Field(
        default=None, description="p_z, the noise prior: uniform for images, Gaussian for points by default"
    )
    z_dim: int | None = Field(default=None, ge=1, description="dimensions of z; 100, for points 1 or 2")
    k: int = Field(
        default=1, ge=1, description="steps of D for each of G (algorithm 1)", json_schema_extra=role("n_critic")
    )
    g_width: int | None = Field(default=None, ge=1, description="units of G's hidden layers; 1200, points 64")
    d_width: int | None = Field(default=None, ge=1, description="maxout units of D's layers; 240, points 32")
    pieces: int = Field(default=5, ge=1, description="linear pieces of a maxout unit")
    dropout: bool | None = Field(
        default=None, description="in D: drops 0.2 of its input, 0.5 of its units; images only by default"
    )
    lr: float | None = Field(
        default=None,
        gt=0,
        description="of D: 0.1 by SGD for images, 5e-3 by Adam for points",
        json_schema_extra=role("lr"),
    )
    g_lr: float | None = Field(default=None, gt=0, description="of G: as D's for images, 0.15 of D's for points")
    decay_images: int = Field(
        default=400_000, ge=1, description="points only: samples seen when the learning rates have fallen"
    )

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=4, g_width=16, d_width=8, pieces=2)


class GAN(Typical):
    """Points of any dimension, or images of any size."""

    needs = {"x": (Signal("points", (None,), None), Signal("image", (None, None, None)))}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        signal = signals["x"]
        self.is_image = signal.kind == "image"
        shape = [n for n in signal.shape if n is not None]
        d = math.prod(shape)
        self.z_dim = config.z_dim or (100 if self.is_image else min(d, 2))
        dropout = self.is_image if config.dropout is None else config.dropout
        layers = generator(self.z_dim, config.g_width or (1200 if self.is_image else 64), d)
        self.G = Float32(*layers, *([Picture(shape)] if self.is_image else []))
        flat = Pixels() if self.is_image else nn.Identity()
        self.D = discriminator(flat, d, config.d_width or (240 if self.is_image else 32), config.pieces, dropout)
        if self.is_image:
            init_uniform(self.G, 0.05)
            init_uniform(self.D, 0.005)
        self.lr = config.lr or (0.1 if self.is_image else 5e-3)
        # with a slow G, D stays near the optimum that belongs to the present G, which is what the 1-D figure shows
        self.g_lr = config.g_lr or (self.lr if self.is_image else 0.15 * self.lr)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        d = Turn("D", (self.D,), self.d_loss, self._optimizer(self.lr), repeat=self.config.k)
        g = Turn("G", (self.G,), self.g_loss, self._optimizer(self.g_lr))
        # images: G first, and D learns from the very fakes that G has learned from, so that both take their step from
        # the same two networks, as in the reference code
        yield Stage("train", (g, d) if self.is_image else (d, g), begin=self._begin)

    def _optimizer(self, lr: float) -> Adam | SGD:
        if self.is_image:
            return SGD.annealed(lr, 1.000004)
        return Adam(
            lambda seen: lr * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, seen / self.config.decay_images)))
        )

    def _begin(self, loader: Any) -> None:
        if self.is_image:
            start_at_mean(self.G, loader.samples)

    def d_loss(self, batch: Batch) -> Terms:
        """Half of -V(D, G), as the reference code has it."""
        real, fake = self.D(*self.real(batch)), self.D(*self.fake_for_d(batch))
        self.watch(real)
        terms = losses.d_minimax(real, fake)
        return {name: term / 2 for name, term in terms.items()}

    def g_loss(self, batch: Batch) -> Terms:
        fake = self.D(*self.fake_for_g(batch))
        saturating = self.config.loss == "saturating"
        return losses.g_saturating(fake) if saturating else losses.g_nonsaturating(fake)

    def latent(self, n: int) -> Tensor:
        """z (n, z_dim), uniform in [-√3, √3] or standard Gaussian: of variance 1 either way, as in the reference."""
        if (self.config.prior or ("uniform" if self.is_image else "gaussian")) == "gaussian":
            return torch.randn(n, self.z_dim, device=self.device)
        return uniform(n, self.z_dim, self.device)


def generator(z_dim: int, width: int, d: int) -> list[nn.Module]:
    """Layers from z (N, z_dim) to (N, d): two hidden ones of ReLU."""
    return [nn.Linear(z_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, d)]


def discriminator(flat: nn.Module, d: int, width: int, pieces: int, dropout: bool) -> Float32:
    """x, by `flat` (N, d) -> logits (N,), two maxout layers."""
    drop_input, drop = (0.2, 0.5) if dropout else (0.0, 0.0)
    return Float32(
        nn.Sequential(flat, nn.Dropout(drop_input)), Maxout(d, width, pieces), nn.Dropout(drop),
        Maxout(width, width, pieces), nn.Dropout(drop), nn.Linear(width, 1), nn.Flatten(0),
    )  # fmt: skip
