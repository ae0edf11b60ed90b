"""ProGAN: Karras, Aila, Laine & Lehtinen 2018, https://arxiv.org/abs/1710.10196

G and D begin with images of 4 px and grow by a block for twice the side, again and again, each faded in: the large
shapes are learned first, in rounds that cost little. Reference code: github.com/tkarras/progressive_growing_of_gans.

WGAN-GP, with one step of D for each of G and a drift term that holds D near 0; every layer has an equalised learning
rate, G's pixels are normalised, and D sees the minibatch's standard deviation.

Differs: the widths are a CPU's; the paper's are 512 up to 32 px. The paper's stages are of 800,000 images each; here
each doubling of the side has twice the share of the rounds or minutes, and a fade lasts a quarter of the images of the
stage before it. The batch has one size at every side. The first side is the data's, halved to 4 px or to where it is
odd (28 = 7 * 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.equalized import EqualizedConv2d, EqualizedLinear
from mulligan.layers.minibatch_std import minibatch_std
from mulligan.layers.pixelnorm import pixel_norm
from mulligan.layers.sizes import first_map, square
from mulligan.penalties import lipschitz_penalty, mix
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images in a batch")
    z_dim: int = Field(default=128, ge=1, description="dimensions of the latent z")
    width: int = Field(default=32, ge=1, description="channels up to 32 px; half as many at each doubling beyond")
    grow: bool = Field(
        default=True, description="from small images to the data's; no: the same networks, grown at once"
    )
    fade_images: int | None = Field(
        default=None, ge=1, description="images over which a side fades in; a quarter of those of the stage before"
    )
    group: int = Field(default=16, ge=2, description="samples of a minibatch standard deviation")
    lr: float = Field(default=1e-3, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    gp_weight: float = Field(
        default=10.0, ge=0, description="λ, weight of the gradient penalty", json_schema_extra=role("penalty")
    )
    drift_weight: float = Field(default=1e-3, ge=0, description="ε, weight of D's squared output on real images")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=8, group=4)


FADE = 1 / 4  # of the images of the stage before; an image of twice the side costs about four times as much


class ProGAN(Typical):
    """Images whose side is a multiple of 4."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    G: Generator
    D: Discriminator
    alpha: Tensor

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        channels, self.size = square(signals["x"].shape)
        side, doublings = first_map(self.size)
        self.G = Generator(channels, side, config.z_dim, config.width)
        self.D = Discriminator(channels, side, config.width, config.group)
        self.augment_d()
        # α, the weight of what is fading in; a buffer, since samples from a checkpoint must be of its moment
        self.register_buffer("alpha", torch.ones(()))
        self.began, self.fade = 0, 1  # images seen when the stage began; images that its fade lasts
        for _ in range(0 if config.grow else doublings):
            self._grow()
            self._settle()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (0.0, 0.99))
        turns = (Turn("D", (self.D,), self.d_loss, rule), Turn("G", (self.G,), self.g_loss, rule))
        share = 1.0
        yield Stage(f"{self.G.side} px", turns, share, self._begin)
        while self.G.side < self.size:
            self._grow()
            yield Stage(f"{self.G.side} px, fading in", turns, share, self._begin)
            self._settle()
            share *= 2
            yield Stage(f"{self.G.side} px", turns, share, self._begin)

    def _grow(self) -> None:
        self.G.grow()
        self.D.grow()

    def _settle(self) -> None:
        self.G.settle()
        self.D.settle()

    def _begin(self, _loader: Any) -> None:
        self.fade = self.config.fade_images or max(1, round(FADE * (self.images - self.began)))
        self.began = self.images
        self.alpha.fill_(0.0 if self.G.fading else 1.0)

    def get_extra_state(self) -> dict[str, int]:
        """Counts of this run, which no other run takes over with the weights."""
        return {"began": self.began, "fade": self.fade}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.began, self.fade = state["began"], state["fade"]

    def d_loss(self, batch: Batch) -> Terms:
        c = self.config
        if self.G.fading:  # D plays first in a round, and G with the same α
            self.alpha.fill_(min(1.0, (self.images - self.began) / self.fade))
        (real,), (fake,) = self.real(batch), self.fake(batch)
        # apart, since D compares the samples of a pass with each other
        real_logits, fake_logits = self.discriminate(real), self.discriminate(fake)
        self.watch(real_logits - fake_logits)  # a critic has no zero
        return {
            **losses.d_wasserstein(real_logits, fake_logits),
            "gp": c.gp_weight * lipschitz_penalty(self.discriminate, mix(real, fake)),
            "drift": c.drift_weight * real_logits.float().square().mean(),
        }

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_wasserstein(self.discriminate(*self.fake(batch)))

    def fake(self, batch: Batch) -> Shown:
        """Of the side that G has reached."""
        return (self.G(self.latent(len(batch["x"])), self.alpha),)

    def real(self, batch: Batch) -> Shown:
        """As G is to make them now."""
        return (self.faded(batch["x"]),)

    def faded(self, x: Tensor) -> Tensor:
        """Images x of the data's size, of G's side now and as coarse as its blend is."""
        x = shrunk(x, self.G.side)
        return blend(doubled(shrunk(x, self.G.side // 2)), x, self.alpha) if self.G.fading else x

    def discriminate(self, x: Tensor, *_: Tensor) -> Tensor:
        """D's output (N,) on x, of the data's size or of D's."""
        logits: Tensor = self.D(shrunk(x, self.D.side), self.alpha)
        return logits

    def generate(self, batch: Batch) -> Batch:
        x = interpolate(self.G(batch["z"], self.alpha), size=self.size)
        return {"x": x.clamp(-1, 1)}


def blend(old: Tensor, new: Tensor, alpha: Tensor) -> Tensor:
    """`old` at α = 0, `new` at α = 1, exactly."""
    return (1 - alpha) * old + alpha * new


def doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0)


def shrunk(x: Tensor, side: int) -> Tensor:
    """Images x averaged down to `side`."""
    return x if x.shape[-1] == side else avg_pool2d(x, x.shape[-1] // side)


def width_at(side: int, width: int) -> int:
    """Channels of maps of `side`: `width` up to 32 px, then in inverse proportion."""
    return max(1, min(width, width * 32 // side))


GAIN = math.sqrt(2)  # He's, for layers before a LeakyReLU


class UpBlock(nn.Module):
    """x (N, a, H, W) -> (N, b, 2H, 2W): nearest doubling; convolution, LeakyReLU 0.2 and pixel norm, twice."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = EqualizedConv2d(a, b, 3, gain=GAIN), EqualizedConv2d(b, b, 3, gain=GAIN)

    def forward(self, x: Tensor) -> Tensor:
        h = pixel_norm(leaky_relu(self.conv1(doubled(x)), 0.2))
        return pixel_norm(leaky_relu(self.conv2(h), 0.2))


class Generator(nn.Module):
    """z (N, z_dim) -> x (N, C, side, side), roughly in [-1, 1]: no tanh. z counts by its direction alone.

    Modules are named by their side. After `grow` there are two to_image, which α blends; `settle` removes the older.
    """

    def __init__(self, channels: int, side: int, z_dim: int, width: int) -> None:
        super().__init__()
        self.channels, self.side, self.first_side, self.width = channels, side, side, width
        w = width_at(side, width)
        self.dense = EqualizedLinear(z_dim, w * side * side, gain=GAIN / 4)
        self.conv = EqualizedConv2d(w, w, 3, gain=GAIN)
        self.blocks = nn.ModuleDict()
        self.to_image = nn.ModuleDict({str(side): EqualizedConv2d(w, channels, 1)})

    @property
    def fading(self) -> bool:
        return len(self.to_image) > 1

    def grow(self) -> None:
        a, b = width_at(self.side, self.width), width_at(2 * self.side, self.width)
        self.side *= 2
        self.blocks[str(self.side)] = UpBlock(a, b)
        self.to_image[str(self.side)] = EqualizedConv2d(b, self.channels, 1)

    def settle(self) -> None:
        del self.to_image[str(self.side // 2)]

    def forward(self, z: Tensor, alpha: Tensor) -> Tensor:
        h = self.dense(pixel_norm(z)).view(len(z), -1, self.first_side, self.first_side)
        h = before = pixel_norm(leaky_relu(self.conv(pixel_norm(leaky_relu(h, 0.2))), 0.2))
        for block in self.blocks.values():
            before, h = h, block(h)
        x: Tensor = self.to_image[str(self.side)](h)
        return blend(doubled(self.to_image[str(self.side // 2)](before)), x, alpha) if self.fading else x


class DownBlock(nn.Module):
    """x (N, a, H, W) -> (N, b, H/2, W/2): convolution and LeakyReLU 0.2, twice; the mean of each 2x2."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = EqualizedConv2d(a, a, 3, gain=GAIN), EqualizedConv2d(a, b, 3, gain=GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(leaky_relu(self.conv2(leaky_relu(self.conv1(x), 0.2)), 0.2), 2)


class Discriminator(nn.Module):
    """x (N, C, side, side) -> logits (N,): G's mirror, with the minibatch's deviation beside its last maps.

    The block of the largest side comes first, nearest to the data, also among the parameters.
    """

    def __init__(self, channels: int, side: int, width: int, group: int) -> None:
        super().__init__()
        self.channels, self.side, self.width, self.group = channels, side, width, group
        w = width_at(side, width)
        self.from_image = nn.ModuleDict({str(side): EqualizedConv2d(channels, w, 1, gain=GAIN)})
        self.blocks = nn.ModuleDict()
        self.conv = EqualizedConv2d(w + 1, w, 3, gain=GAIN)
        self.dense = EqualizedLinear(w * side * side, w, gain=GAIN)
        self.last = EqualizedLinear(w, 1)

    @property
    def fading(self) -> bool:
        return len(self.from_image) > 1

    def grow(self) -> None:
        a, b = width_at(self.side, self.width), width_at(2 * self.side, self.width)
        self.side *= 2
        self.blocks = nn.ModuleDict({str(self.side): DownBlock(b, a), **self.blocks})
        self.from_image[str(self.side)] = EqualizedConv2d(self.channels, b, 1, gain=GAIN)

    def settle(self) -> None:
        del self.from_image[str(self.side // 2)]

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        h = self._features(x, self.side)
        for i, block in enumerate(self.blocks.values()):
            h = block(h)
            if i == 0 and self.fading:
                h = blend(self._features(avg_pool2d(x, 2), self.side // 2), h, alpha)
        h = leaky_relu(self.conv(minibatch_std(h, self.group)), 0.2)
        logits: Tensor = self.last(leaky_relu(self.dense(h.flatten(1)), 0.2))
        return logits.squeeze(1)

    def _features(self, x: Tensor, side: int) -> Tensor:
        return leaky_relu(self.from_image[str(side)](x), 0.2)
