"""StackGAN: Zhang, Xu, Li, Zhang, Wang, Huang & Metaxas 2017, https://arxiv.org/abs/1612.03242

A sentence t is drawn in two stages. In stage I G1 makes an image of half the side from noise and a code of the
sentence. In stage II G2 is given that image and a fresh code, no noise, and makes the image of the full side; G1 learns
no more. Each stage is the game of GAN-CLS, with a D of its own that learns from real, mismatched and made pairs.

The code is no fixed one: conditioning augmentation draws ĉ = μ(φ) + σ(φ) ε, ε ~ N(0, I), φ what is read of t, so that G
has to be right in a whole neighbourhood of each sentence.

    G minimises  its part of that game + λ KL(N(μ, diag σ²) || N(0, I))
    G = G1(z, ĉ) in stage I, G2(G1(z, ĉ), ĉ') in stage II

Reference code: github.com/hanzhanggit/StackGAN.

Differs: the game is as in gan_cls: D compares two pairs at a time, its slopes are penalised, it has no BatchNorm and
ends in a projection. KL is averaged over the code's numbers, as in the authors' program; the paper's is their sum.
λ = 0.2, there 2: with 2 the code said little of the sentence (docs/log.md). μ and log σ² are linear in φ (there a
LeakyReLU is behind each), ε is Gaussian (there truncated), and networks are given a quarter of the code, which at full
size drowns z. Each network learns to read by itself, where the paper's encoder is trained before and frozen. Stage I is
half the data's side, not a quarter, by DCGAN's generator; G2 has skips from its encoder. Stage II sees G1's moving
average. No decay of the learning rate; widths for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, layer_norm, relu

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.conditioning import ConditioningAugmentation, Moments
from mulligan.layers.sizes import first_map, square
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator, init_he, init_normal
from mulligan.networks.matching import compare
from mulligan.networks.reader import LOUD, reader
from mulligan.penalties import gradient_penalty
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images in a batch")
    condition: Literal["text", "tags", "y"] | None = Field(
        default=None, description="what G and D are told; default: the first of these that the data have"
    )
    z_dim: int = Field(default=64, ge=1, description="dimensions of the noise z of stage I")
    code: int = Field(default=128, ge=1, description="numbers that a sentence is read as")
    augment_code: bool = Field(
        default=True, description="conditioning augmentation; no: the code is μ itself, the same for the same sentence"
    )
    kl_weight: float = Field(default=0.2, ge=0, description="λ, weight of the KL term, which is a mean over the code")
    width: int = Field(default=32, ge=1, description="channels of G1's last and D's first map, doubled at each halving")
    refiner_width: int = Field(default=32, ge=1, description="channels of G2 at stage I's side, likewise")
    blocks: int = Field(default=2, ge=0, description="residual blocks of G2")
    first_share: float = Field(default=0.25, gt=0, lt=1, description="share of the rounds or minutes for stage I")
    gamma: float = Field(
        default=0.2, ge=0, description="γ, weight of the penalties R1 and R2", json_schema_extra=role("penalty")
    )
    lr: float = Field(default=2e-3, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.9, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, code=8, width=4, refiner_width=4, blocks=1)


class StackGAN(Typical):
    """Images whose side is a multiple of 4, with a text, tags or a class each.

    The latent is (z, ε, ε'): stage I's noise and what draws the two codes.
    """

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("text", "tags", "y")
    averaged = ("G1", "G2")

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        c, told, shape = config, signals[self.key], signals["x"].shape
        channels, self.size = square(shape)
        first_map(self.size)  # a side that cannot be reached is told by its own name, not by its half's
        half = (channels, self.size // 2, self.size // 2)
        self.G1 = Sketcher(half, told, c.z_dim, c.code, c.width, augment=c.augment_code)
        self.D1 = ConvDiscriminator(half, c.width, norm=False, init=init_he, told=told, least=1)
        self.G2 = Refiner(half, told, c.code, c.refiner_width, c.blocks, augment=c.augment_code)
        self.D2 = ConvDiscriminator(shape, c.width, norm=False, init=init_he, told=told)
        self.parts = [c.z_dim, *2 * [c.code if c.augment_code else 0]]
        self.z_dim = sum(self.parts)
        self.refining = False  # whether stage II has begun
        self.augment_d(self.D1, self.D2)

    def stages(self) -> Iterator[Stage]:
        share = self.config.first_share
        yield Stage(f"stage I, {self.size // 2} px", self._turns(self.G1, self.D1), share)
        self.refining = True
        yield Stage(f"stage II, {self.size} px", self._turns(self.G2, self.D2), 1 - share)

    def _turns(self, G: nn.Module, D: nn.Module) -> tuple[Turn, Turn]:
        rule = Adam(self.config.lr, (self.config.beta1, self.config.beta2))
        return Turn("D", (D,), self.d_loss, rule), Turn("G", (G,), self.g_loss, rule)

    def train(self, mode: bool = True) -> Self:
        """G1 is in eval mode for good when it no longer learns: its BatchNorm's statistics too stand still."""
        super().train(mode)
        self.G1.train(mode and not self.refining)
        return self

    @property
    def discriminator(self) -> ConvDiscriminator:
        return self.D2 if self.refining else self.D1

    def d_loss(self, batch: Batch) -> Terms:
        D, (x, c), (fake, _) = self.discriminator, self.real(batch), self.fake(batch)
        pairs = compare(D, x, fake, c)
        self.watch(pairs.real - pairs.fake)
        slopes = self.config.gamma * gradient_penalty(D, torch.cat([x, fake]), torch.cat([c, c]))
        return {
            **losses.d_matching_relativistic(pairs.real, pairs.wrong, pairs.fake, pairs.differs),
            "r1_r2": slopes,
        }

    def g_loss(self, batch: Batch) -> Terms:
        D, (real, c) = self.discriminator, self.real(batch)
        x, moments = self.draw(self.latent(len(c)), c)
        terms = losses.g_relativistic(D(real, c), D(x, c))
        if moments is not None:
            terms["kl"] = self.config.kl_weight * losses.kl_standard_normal(*moments)
        return terms

    def draw(self, latent: Tensor, c: Tensor) -> tuple[Tensor, Moments | None]:
        """Images as of this stage, and the moments of the code that they were drawn with, None where it is fixed."""
        z, noise1, noise2 = torch.split(latent, self.parts, 1)
        sketch, moments = self.G1(z, noise1, c)
        return self.G2(sketch, noise2, c) if self.refining else (sketch, moments)

    def fake(self, batch: Batch) -> Shown:
        c = batch[self.key]
        return self.draw(self.latent(len(c)), c)[0], c

    def real(self, batch: Batch) -> Shown:
        """Of the side that is made now."""
        x = batch["x"]
        return x if self.refining else avg_pool2d(x, 2), batch[self.key]

    def discriminate(self, x: Tensor, *c: Tensor) -> Tensor:
        if not self.refining and x.shape[-1] == self.size:  # real images, which D is shown at the side it judges
            x = avg_pool2d(x, 2)
        logits: Tensor = self.discriminator(x, *c)
        return logits

    def generate(self, batch: Batch) -> Batch:
        x, _ = self.draw(batch["z"], batch[self.key])
        return {"x": x if self.refining else enlarged(x)}


def enlarged(x: Tensor) -> Tensor:
    """Images x of twice the side, by bilinear interpolation."""
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Code(nn.Module):
    """A condition c and ε (N, code) -> its code (N, code), by `LOUD` quieter, and the moments that it was drawn with.

    Without `augment` it is a linear map of what is read, and there are none.
    """

    def __init__(self, told: Signal, code: int, *, augment: bool) -> None:
        super().__init__()
        self.reader = reader(told, code)
        self.drawn = ConditioningAugmentation(code, code) if augment else None
        self.fixed = None if augment else nn.Linear(code, code)

    def forward(self, c: Tensor, noise: Tensor) -> tuple[Tensor, Moments | None]:
        h: Tensor = self.reader(c)
        phi = layer_norm(h.float(), h.shape[1:])
        if self.drawn is not None:
            drawn, moments = self.drawn(phi, noise)
            return LOUD * drawn, moments
        assert self.fixed is not None
        return LOUD * self.fixed(phi), None


class Sketcher(nn.Module):
    """G1: (z (N, z_dim), ε (N, code), c) -> x (N, C, S, S) in [-1, 1]: DCGAN's, with the code of c beside z."""

    def __init__(
        self, shape: tuple[int | None, ...], told: Signal, z_dim: int, code: int, width: int, *, augment: bool
    ) -> None:
        super().__init__()
        self.body = ConvGenerator(shape, z_dim + code, width, least=1)
        self.code = Code(told, code, augment=augment)

    def draw(self, z: Tensor, code: Tensor) -> Tensor:
        x: Tensor = self.body(torch.cat([z, code], 1))
        return x

    def forward(self, z: Tensor, noise: Tensor, c: Tensor) -> tuple[Tensor, Moments | None]:
        code, moments = self.code(c, noise)
        return self.draw(z, code), moments


class Refiner(nn.Module):
    """G2: (x (N, C, S, S), ε (N, code), c) -> x (N, C, 2S, 2S) in [-1, 1].

    x is encoded to maps of a quarter of its side, or half where a quarter cannot be; the code of c is laid beside them;
    residual blocks; then one doubling more than there were halvings. `width` channels at side S.
    """

    def __init__(
        self, shape: tuple[int | None, ...], told: Signal, code: int, width: int, blocks: int, *, augment: bool
    ) -> None:
        super().__init__()
        channels, size = square(shape)
        halvings = min(2, first_map(size, least=1)[1])
        widths = [width * 2**i for i in range(halvings + 1)]
        last = widths[-1]
        self.first = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU())
        self.encode = nn.ModuleList(normalised(nn.Conv2d(a, b, 4, 2, 1, bias=False)) for a, b in pairwise(widths))
        self.join = normalised(nn.Conv2d(last + code, last, 3, 1, 1, bias=False))
        self.blocks = nn.Sequential(*(ResidualBlock(last) for _ in range(blocks)))
        self.decode = nn.ModuleList(
            normalised(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)) for a, b in pairwise(reversed(widths))
        )
        self.last = nn.Sequential(nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())
        self.apply(init_normal)
        self.code = Code(told, code, augment=augment)

    def draw(self, x: Tensor, code: Tensor) -> Tensor:
        h = self.first(x)
        seen = []
        for down in self.encode:
            seen.append(h)
            h = down(h)
        h = torch.cat([h, code[:, :, None, None].to(h.dtype).expand(-1, -1, *h.shape[2:])], 1)
        h = self.blocks(self.join(h))
        for up in self.decode:
            h = up(h) + seen.pop()
        image: Tensor = self.last(h)
        return image

    def forward(self, x: Tensor, noise: Tensor, c: Tensor) -> tuple[Tensor, Moments | None]:
        code, moments = self.code(c, noise)
        return self.draw(x, code), moments


def normalised(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """A convolution with BatchNorm and ReLU."""
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())


class ResidualBlock(nn.Module):
    """x (N, d, H, W) -> the same shape: x and what two convolutions add to it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *normalised(nn.Conv2d(d, d, 3, 1, 1, bias=False)), nn.Conv2d(d, d, 3, 1, 1, bias=False), nn.BatchNorm2d(d)
        )

    def forward(self, x: Tensor) -> Tensor:
        return relu(x + self.change(x))
