"""R3GAN: Huang, Gokaslan, Kuleshov & Tompkin 2024, https://arxiv.org/abs/2501.05441

Each real sample is paired with a fake and D is asked which of the two is real; zero-centred gradient penalties on
reals (R1) and fakes (R2) at every step give local convergence (theorem 3.2). Reference: github.com/brownvc/R3GAN.

With f(t) = -log(1 + exp(-t)):  L = E[f(D(G(z)) - D(x))], D maximises, G minimises, and D also pays
γ/2 (E_x |∇D(x)|² + E_z |∇D(G(z))|²).

Told what to make, c, G takes what it reads of c beside z, and D(x, c) adds a projection <V(c), φ(x)> / sqrt(d) of what
stands before its last layer. The two of a pair share their c: D is asked which of two pictures of a 7 is real.

Differs: no augmentation; D halves by averaging 2x2 pixels, not with a [1, 2, 1] filter; the cosine schedules of γ,
learning rate and β2 run over `burn_in` images. Widths are CPU-sized by default; the paper's are 768 at the smallest
maps. There is an MLP for points, whose D also sees waves of x, and `network=plain` takes DCGAN's networks, which a
CPU plays twenty times as fast. Beside the projection D keeps the last layer, which looks at x alone; the reference has
the projection alone. `penalty=finite` estimates both penalties by finite differences (penalties.py). `loss` and `r2`
each undo one of the paper's two steps from the GAN of 2014 with R1, to measure what it is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from mulligan import losses
from mulligan.config import ToldConfig as BaseConfig
from mulligan.config import role
from mulligan.errors import Mistake
from mulligan.game import Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.projection import Projection
from mulligan.layers.sizes import first_map, square
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator
from mulligan.networks.mlp import mlp
from mulligan.networks.reader import Latent, reader
from mulligan.penalties import finite_difference_penalty, gradient_penalty
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=256, ge=2, description="samples in a batch")
    network: Literal["residual", "plain"] = Field(
        default="residual", description="the paper's networks for images, or DCGAN's with no BatchNorm in D"
    )
    z_dim: int | None = Field(default=None, ge=1, description="dimensions of the latent z; 64, for points 2")
    width: int = Field(
        default=64, ge=16, multiple_of=16, description="channels of the smallest maps, or units for points"
    )
    gamma: float | None = Field(
        default=None,
        ge=0,
        description="γ, weight of both penalties, at the start; 1, for points 0.05",
        json_schema_extra=role("penalty"),
    )
    gamma_end: float | None = Field(default=None, ge=0, description="γ after burn_in; γ / 10, for points γ / 10,000")
    lr: float | None = Field(
        default=None,
        gt=0,
        description="learning rate at the start; 2e-4, for points 5e-3",
        json_schema_extra=role("lr"),
    )
    lr_end: float | None = Field(default=None, gt=0, description="after burn_in; lr / 4, for points lr / 100")
    burn_in: int | None = Field(
        default=None, ge=1, description="samples over which the schedules run; 20,000,000, for points 2,000,000"
    )
    penalty: Literal["exact", "finite"] = Field(
        default="exact", description="R1 and R2 by double backward, or estimated by finite differences"
    )
    loss: Literal["relativistic", "minimax"] = Field(
        default="relativistic", description="D is asked which of two is real or, as in 2014, whether one is"
    )
    r2: bool = Field(default=True, description="penalise D's slope on fakes too, not on real samples alone")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=16)


@dataclass(frozen=True)
class Settings:
    """Values that depend on the data, where the Config leaves them open."""

    z_dim: int
    width: int
    gamma: float
    lr: float
    burn_in: int
    falls: tuple[float, float]  # by which γ and lr are divided over burn_in


SETTINGS = {
    "image": Settings(64, 64, 1.0, 2e-4, 20_000_000, (10, 4)),
    # modes far narrower than the distances between them: γ must start high to find all, and end low to be sharp
    "points": Settings(2, 64, 0.05, 5e-3, 2_000_000, (10_000, 100)),
}


class R3GAN(Typical):
    """Images whose side is a multiple of 4, or points; images it can be told of."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}
    conditions = ("y", "tags", "text")

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        if config.condition != "none" and (kind := signals["x"].kind) != "image":
            raise Mistake(f"--condition {config.condition}: r3gan can be told of images, not of {kind}; leave it out")
        super().__init__(config, signals)
        given = {k: v for k, v in config.model_dump().items() if v is not None and k in Settings.__annotations__}
        self.settings = replace(SETTINGS[signals["x"].kind], **given)
        self.z_dim = self.settings.z_dim
        self.G, self.D = networks(config.network, self.settings, signals["x"], self.told)
        self.augment_d()
        self.relativistic = config.loss == "relativistic"
        self.penalty = gradient_penalty if config.penalty == "exact" else finite_difference_penalty

    def stages(self) -> Iterator[Stage]:
        s = self.settings
        lr_end = self.config.lr_end or s.lr / s.falls[1]
        rule = Adam(
            lr=lambda seen: cosine(s.lr, lr_end, seen / s.burn_in),
            betas=(0.0, lambda seen: cosine(0.9, 0.99, seen / s.burn_in)),
        )
        d = Turn("D", (self.D,), self.d_loss, rule)
        yield Stage("train", (d, Turn("G", (self.G,), self.g_loss, rule)))

    def in_force(self, option: str) -> Any:
        return getattr(self.settings, option, None) or super().in_force(option)

    def gamma(self) -> float:
        """γ, falling along a cosine from start to end."""
        s, end = self.settings, self.config.gamma_end
        return cosine(s.gamma, s.gamma / s.falls[0] if end is None else end, self.images / s.burn_in)

    def d_loss(self, batch: Batch) -> Terms:
        x = self.real(batch)
        both = beside(x, self.fake(batch))
        real, fake = self.D(*both).chunk(2)
        self.watch(real - fake if self.relativistic else real)  # a relativistic D has no zero
        adv = losses.d_relativistic(real, fake) if self.relativistic else losses.d_minimax(real, fake)
        return {**adv, **self.slopes(x, both)}

    def slopes(self, x: Shown, both: Shown) -> Terms:
        """γ/2 (R1 + R2), or γ/2 R1 alone."""
        if self.config.r2:  # the mean over reals plus the mean over fakes is twice the mean over both
            return {"r1_r2": self.gamma() * self.penalty(self.D, *both)}
        return {"r1": self.gamma() / 2 * self.penalty(self.D, *x)}

    def g_loss(self, batch: Batch) -> Terms:
        fake = self.fake(batch)
        if not self.relativistic:
            return losses.g_nonsaturating(self.D(*fake))
        return losses.g_relativistic(*self.D(*beside(self.real(batch), fake)).chunk(2))


def beside(real: Shown, fake: Shown) -> Shown:
    """Samples and fakes as one batch (2N, ...): the fake of a sample, made for the same condition, is N rows below."""
    return tuple(torch.cat(parts) for parts in zip(real, fake, strict=True))


def cosine(start: float, end: float, done: float) -> float:
    """From `start` at done = 0 to `end` at done = 1 and beyond."""
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def networks(network: str, s: Settings, signal: Signal, told: Signal | None) -> tuple[nn.Module, nn.Module]:
    """(G, D) for images or points, of images with a condition to be `told`."""
    if signal.kind == "points":
        d = signal.shape[0]
        assert d is not None
        waves = Waves(d)
        D = nn.Sequential(waves, mlp(waves.d_out, 1, s.width, 3), nn.Flatten(0))
        # G is the deeper: a map with few bends spreads much of its mass over the bridges between modes
        return mlp(s.z_dim, d, s.width, 5), D
    if network == "plain":
        G = ConvGenerator(signal.shape, s.z_dim, s.width, told)
        return G, ConvDiscriminator(signal.shape, s.width, norm=False, told=told)
    return Generator(signal.shape, s.z_dim, s.width, told), Discriminator(signal.shape, s.width, told)


class Waves(nn.Module):
    """x (N, d) -> (N, d + 2n): x beside sines and cosines of fixed random projections (Tancik et al. 2020,
    2006.10739), without which an MLP takes very long to bend around modes much narrower than their distances."""

    B: Tensor

    def __init__(self, d: int, n: int = 32, frequency: float = 6.0) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(d, n) * frequency / math.sqrt(d / 2))
        self.d_out = d + 2 * n

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.B
        return torch.cat([x, h.sin(), h.cos()], 1)


GROUP = 16  # channels in a group of the 3x3 convolutions
BLOCKS = 2  # residual blocks a stage


class Block(nn.Module):
    """1x1 to twice the width, 3x3 in groups, 1x1 back, added to the identity; no normalisation.

    Fix-up initialisation: the last convolution starts at 0, the others are scaled by L^(-1/4) for L blocks.
    """

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        wide = 2 * width
        self.expand = nn.Conv2d(width, wide, 1)
        self.conv = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // GROUP)
        self.project = nn.Conv2d(wide, width, 1, bias=False)
        for layer in (self.expand, self.conv):
            init_scaled(layer, n_blocks ** (-1 / 4))
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.expand(x), 0.2)
        out: Tensor = x + self.project(leaky_relu(self.conv(h), 0.2))
        return out


class Generator(nn.Module):
    """z (N, z_dim) -> x (N, C, S, S), roughly in [-1, 1]: no tanh, as in the paper.

    A learned first map, modulated by a linear function of z; then per doubling two blocks and a bilinear resize.
    Half the `width` at the last map of images of 64 px and more. With a condition to be `told` it is (z, c) -> x.
    """

    def __init__(self, shape: tuple[int | None, ...], z_dim: int, width: int, told: Signal | None = None) -> None:
        super().__init__()
        self.latent = Latent(z_dim, told)
        channels, size = square(shape)
        side, doublings = first_map(size)
        widths = stage_widths(width, doublings)
        self.basis = nn.Parameter(torch.randn(widths[0], side, side))
        self.modulate = nn.Linear(self.latent.d, widths[0], bias=False)
        init_scaled(self.modulate, 1.0)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(w, BLOCKS * len(widths)) for _ in range(BLOCKS))) for w in widths
        )
        self.resizes = nn.ModuleList(change_width(a, b) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], channels, 1, bias=False)
        init_scaled(self.to_image, 1.0)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.basis * self.modulate(self.latent(z, c))[:, :, None, None]
        for i, stage in enumerate(self.stages):
            if i > 0:
                h = self.resizes[i - 1](interpolate(h, scale_factor=2.0, mode="bilinear"))
            h = stage(h)
        x: Tensor = self.to_image(h)
        return x


class Discriminator(nn.Module):
    """x (N, C, S, S) -> logits (N,): G's mirror, ended by a depthwise convolution over the whole last map.

    With a condition to be `told` it is (x, c) -> logits.
    """

    def __init__(self, shape: tuple[int | None, ...], width: int, told: Signal | None = None) -> None:
        super().__init__()
        channels, size = square(shape)
        side, halvings = first_map(size)
        widths = stage_widths(width, halvings)[::-1]
        self.from_image = nn.Conv2d(channels, widths[0], 1)
        init_scaled(self.from_image, 1.0)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(w, BLOCKS * len(widths)) for _ in range(BLOCKS))) for w in widths
        )
        self.resizes = nn.ModuleList(change_width(a, b) for a, b in pairwise(widths))
        self.whole = nn.Conv2d(widths[-1], widths[-1], side, groups=widths[-1], bias=False)
        self.last = nn.Linear(widths[-1], 1, bias=False)
        init_scaled(self.whole, 1.0)
        init_scaled(self.last, 1.0)
        self.match = None if told is None else Projection(reader(told, widths[-1]))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.from_image(x)
        for i, stage in enumerate(self.stages):
            if i > 0:
                h = avg_pool2d(self.resizes[i - 1](h), 2)
            h = stage(h)
        h = self.whole(h).flatten(1)
        logits: Tensor = self.last(h).squeeze(1)
        return logits if self.match is None else logits + self.match(h, c)


def stage_widths(width: int, doublings: int) -> list[int]:
    """Channels from the smallest map to the largest: `width` up to 32 px, halved at each doubling beyond."""
    return [max(GROUP, width >> max(0, i - 3)) for i in range(doublings + 1)]


def change_width(a: int, b: int) -> nn.Module:
    """A 1x1 convolution where the widths differ."""
    if a == b:
        return nn.Identity()
    layer = nn.Conv2d(a, b, 1, bias=False)
    init_scaled(layer, 1.0)
    return layer


def init_scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> None:
    """Weights N(0, gain² / fan_in) with the gain of LeakyReLU 0.2, biases 0."""
    nn.init.kaiming_normal_(layer.weight, a=0.2)
    with torch.no_grad():
        layer.weight *= gain
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
