"""StyleGAN2: Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, https://arxiv.org/abs/1912.04958

A mapping network turns z into a style w, which scales the weights of every convolution of G; noise at each layer makes
the details. Reference code: github.com/NVlabs/stylegan2, and in PyTorch github.com/NVlabs/stylegan2-ada-pytorch.

D minimises softplus(-D(x)) + softplus(D(G(z))), G softplus(-D(G(z))), both with a penalty on the side:
    D  γ/2 E_x |∇D(x)|²         (R1), every 16th round, times 16
    G  2 E (|Jᵀy| - a)²         (path length, eq. 4; J = dG/dw, a the mean length), every 4th round, times 4
Such lazy penalties are steps of their own, so Adam's rate and betas are corrected (appendix B).

Told what to make, c, it is as StyleGAN2-ADA (2006.06676), whose code has it: the mapping takes what it reads of c,
brought to the length of z, beside z; D's last layer gives d numbers φ(x), and its logit is <φ(x), M(c)> / sqrt(d), with
a mapping M of D's own.

Differs: CPU-sized by default (widths 64 to 16, z of 64 dimensions; the paper's are 512 to 32, and 512); up to 64 px
the mapping has 2 layers, as the authors' later configuration for CIFAR-10, and γ follows that paper's rule
(2006.06676); the learning rate is four times theirs, for small networks in short runs (docs/log.md); each sample has
its own crossover where styles mix, not each batch; D learns from the fakes that G has just learned from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mulligan import losses
from mulligan.config import ToldConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.blur import Blur, upsample
from mulligan.layers.equalized import EqualizedConv2d, EqualizedLinear
from mulligan.layers.minibatch_std import minibatch_std
from mulligan.layers.modulated import ModulatedConv2d
from mulligan.layers.pixelnorm import pixel_norm
from mulligan.layers.projection import Projection
from mulligan.layers.sizes import first_map, square
from mulligan.networks.reader import reader
from mulligan.penalties import gradient_penalty, path_lengths
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images in a batch")
    z_dim: int = Field(default=64, ge=1, description="dimensions of the latent z and of the style w")
    width: int = Field(
        default=64, ge=1, description="channels of the smallest maps; halved at each doubling, down to 16"
    )
    mapping_layers: int | None = Field(
        default=None, ge=1, description="layers of the mapping network; 2 for images up to 64 px, 8 above"
    )
    mixing: float = Field(default=0.9, ge=0, le=1, description="share of samples that mix the styles of two latents")
    lr: float = Field(default=1e-2, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    gamma: float | None = Field(
        default=None, ge=0, description="γ, weight of R1; 0.0002 * pixels / batch", json_schema_extra=role("penalty")
    )
    r1_every: int = Field(default=16, ge=1, description="rounds from one R1 penalty to the next")
    path_weight: float = Field(default=2.0, ge=0, description="weight of the path length penalty; 0: none")
    path_every: int = Field(default=4, ge=1, description="rounds from one path length penalty to the next")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=16, r1_every=2, path_every=2)


BETAS = (0.0, 0.99)
SHRINK = 2  # the path length penalty takes half a batch: it is the dearest step
LENGTH_DECAY = 0.01  # of the mean path length a
W_DECAY = 0.005  # of the mean style
GROUP = 4  # samples in a group of the minibatch standard deviation
ROOT2 = math.sqrt(2)  # gain that makes up for what LeakyReLU takes


class StyleGAN2(Typical):
    """Square images whose side is a multiple of 4.

    Beside `generate` there are its parts, for what works on styles: `w`, `mix` and `synthesize`.
    """

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("y", "tags", "text")
    G: Generator
    path_mean: Tensor

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        channels, size = square(signals["x"].shape)
        layers = config.mapping_layers or (2 if size <= 64 else 8)
        self.G = Generator(channels, size, config.z_dim, config.width, layers, self.told)
        self.D = Discriminator(channels, size, config.width, layers, self.told)
        self.augment_d()
        self.gamma = 0.0002 * size**2 / config.batch if config.gamma is None else config.gamma
        self.register_buffer("path_mean", torch.zeros(()))

    def stages(self) -> Iterator[Stage]:
        c = self.config
        g_rule, d_rule = lazy(c.lr, c.path_every if c.path_weight else 0), lazy(c.lr, c.r1_every)
        g = Turn("G", (self.G,), self.g_loss, g_rule)
        path = Turn("G", (self.G,), self.path_loss, g_rule, every=c.path_every)
        d = Turn("D", (self.D,), self.d_loss, d_rule)
        r1 = Turn("D", (self.D,), self.r1_loss, d_rule, every=c.r1_every)
        yield Stage("train", (g, path, d, r1) if c.path_weight else (g, d, r1))

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake_for_g(batch)))

    def path_loss(self, batch: Batch) -> Terms:
        """Eq. 4: a step in w, wherever and whichever way, is to move the image equally far."""
        n = max(1, len(batch["x"]) // SHRINK)
        w = self.mixed(n, *(c[:n] for c in self.condition(batch)))
        lengths = path_lengths(lambda w: self.G.synthesis(w, fresh=True), w)
        self.path_mean.lerp_(lengths.detach().mean(), LENGTH_DECAY)
        return {"path": self.config.path_every * self.config.path_weight * (lengths - self.path_mean).square().mean()}

    def d_loss(self, batch: Batch) -> Terms:
        # real and fake pass apart: the minibatch standard deviation must not see them mixed
        real, fake = self.D(*self.real(batch)), self.D(*self.fake_for_d(batch))
        self.watch(real)
        return losses.d_minimax(real, fake)

    def r1_loss(self, batch: Batch) -> Terms:
        return {"r1": self.config.r1_every * self.gamma / 2 * gradient_penalty(self.D, *self.real(batch))}

    def mixed(self, n: int, *c: Tensor) -> Tensor:
        """Styles w (n, num_ws, z_dim) of fresh latents, some of them of two, which are told the same c (n, ...)."""
        a, b = self.w(self.latent(2 * n), *(torch.cat([part, part]) for part in c)).chunk(2)
        crossover = torch.randint(1, self.G.num_ws, (n,), device=a.device)
        alone = torch.rand(n, device=a.device) >= self.config.mixing
        return self.mix(a, b, crossover.masked_fill(alone, self.G.num_ws))

    def fake(self, batch: Batch) -> Shown:
        """With fresh noise, and styles mixed."""
        c = self.condition(batch)
        return (self.G.synthesis(self.mixed(len(batch["x"]), *c), fresh=True), *c)

    def w(self, z: Tensor, *c: Tensor, psi: float = 1.0) -> Tensor:
        """z (N, z_dim), where the system is told so with c (N, ...) -> styles w (N, num_ws, z_dim), one for each layer,
        at first all alike.

        `psi` < 1 draws them towards the mean style: better samples, and less various ones (appendix B of StyleGAN,
        1812.04948). There is one mean, over all conditions.
        """
        return self.G.styles(torch.lerp(self.G.mapping.w_mean, self.G.mapping(z, *c), psi))

    def mix(self, a: Tensor, b: Tensor, crossover: Tensor) -> Tensor:
        """Styles (N, num_ws, z_dim): a's in the layers before `crossover` (N,), coarse ones, b's from there on."""
        layer = torch.arange(self.G.num_ws, device=a.device)
        return torch.where((layer < crossover[:, None])[:, :, None], a, b)

    def synthesize(self, w: Tensor) -> Tensor:
        """Styles w (N, num_ws, z_dim) -> x (N, C, S, S) in [-1, 1], with the noise that `generate` has."""
        x: Tensor = self.G.synthesis(w)
        return x.clamp(-1, 1)


def lazy(lr: float, every: int) -> Adam:
    """Adam for a player that takes a further step for a penalty every so many rounds (appendix B); 0: never.

    With c = k / (k + 1) the rate is lr c and the betas β^c, so that k rounds of k + 1 steps go as far, and forget as
    much, as k steps of lr and β.
    """
    c = every / (every + 1) if every else 1.0
    return Adam(lr * c, (BETAS[0] ** c, BETAS[1] ** c))


class Mapping(nn.Module):
    """z (N, z_dim) -> w (N, z_dim): onto a sphere, then dense layers that learn a hundred times more slowly.

    With a condition to be `told` it is (z, c) -> w: what is read of c comes onto a sphere of its own, beside z's.
    `w_mean` follows the mean of w in training.
    """

    w_mean: Tensor

    def __init__(self, z_dim: int, n_layers: int, told: Signal | None = None) -> None:
        super().__init__()
        self.layers = slow_layers(z_dim if told is None else 2 * z_dim, z_dim, n_layers)
        self.register_buffer("w_mean", torch.zeros(z_dim))
        self.reader = None if told is None else reader(told, z_dim)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):  # a style serves every layer, and costs next to nothing
            w = pixel_norm(z.float())
            if self.reader is not None:
                w = torch.cat([w, pixel_norm(self.reader(c))], 1)
            for layer in self.layers:
                w = leaky_relu(layer(w), 0.2)
        if self.training:
            self.w_mean.lerp_(w.detach().mean(0), W_DECAY)
        return w


class ConditionMapping(nn.Module):
    """c (N, ...) -> (N, d): as `Mapping`, of a condition alone."""

    def __init__(self, told: Signal, d: int, n_layers: int) -> None:
        super().__init__()
        self.reader = reader(told, d)
        self.layers = slow_layers(d, d, n_layers)

    def forward(self, c: Tensor) -> Tensor:
        with torch.autocast(c.device.type, enabled=False):
            h = pixel_norm(self.reader(c))
            for layer in self.layers:
                h = leaky_relu(layer(h), 0.2)
        return h


def slow_layers(d_in: int, d: int, n_layers: int) -> nn.ModuleList:
    """Dense layers of a mapping network, (N, d_in) -> (N, d) -> ... -> (N, d)."""
    widths = [d_in] + [d] * n_layers
    return nn.ModuleList(EqualizedLinear(a, b, gain=ROOT2, lr_multiplier=0.01) for a, b in pairwise(widths))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, LeakyReLU: x (N, a, H, W) -> (N, b, side, side).

    The noise is one map for all channels, its strength is learned. Where it is not to be `fresh` it is a fixed map, so
    that a sample is a function of w: the same latent gives the same picture in any batch, and a walk does not flicker.
    """

    noise: Tensor

    def __init__(self, a: int, b: int, w_dim: int, side: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(a, b, 3, w_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(b, 1, 1))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))

    def forward(self, x: Tensor, w: Tensor, fresh: bool) -> Tensor:
        x = self.conv(x, w)
        noise = torch.randn_like(x[:, :1]) if fresh else self.noise.to(x.dtype)
        return leaky_relu(x + noise * self.strength + self.bias.to(x.dtype), 0.2) * ROOT2


class ToImage(nn.Module):
    """x (N, a, H, W) -> its share of the image (N, channels, H, W): a modulated 1x1 convolution, not demodulated."""

    def __init__(self, a: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(a, channels, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        # the sum over all sizes is kept in float32: bfloat16 would leave an image of three digits
        image: Tensor = self.conv(x, w).float() + self.bias
        return image


class Synthesis(nn.Module):
    """Styles w (N, num_ws, w_dim) -> x (N, channels, S, S), roughly in [-1, 1].

    A learned first map; at each size two styled convolutions (at the first one), and an image that is added to the
    smaller one's enlarged (skip generator, figure 7b).
    """

    def __init__(self, channels: int, side: int, w_dim: int, widths: list[int]) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(widths[0], side, side))
        self.first = StyledConv(widths[0], widths[0], w_dim, side)
        sides = [side << i for i in range(len(widths))]
        grown = list(zip(pairwise(widths), sides[1:], strict=True))
        self.ups = nn.ModuleList(StyledConv(a, b, w_dim, s, up=True) for (a, b), s in grown)
        self.convs = nn.ModuleList(StyledConv(b, b, w_dim, s) for (_, b), s in grown)
        self.to_image = nn.ModuleList(ToImage(b, channels, w_dim) for b in widths)
        self.num_ws = 2 * len(widths)

    def forward(self, w: Tensor, fresh: bool = False) -> Tensor:
        n = w.shape[0]  # not len(w), which would freeze the number of samples in an exported G
        h = self.first(self.constant.expand(n, -1, -1, -1), w[:, 0], fresh)
        x: Tensor = self.to_image[0](h, w[:, 1])
        for i in range(len(self.ups)):
            # the image's style is that of the next size's first layer
            h = self.convs[i](self.ups[i](h, w[:, 2 * i + 1], fresh), w[:, 2 * i + 2], fresh)
            x = upsample(x) + self.to_image[i + 1](h, w[:, 2 * i + 3])
        return x


class Generator(nn.Module):
    """z (N, z_dim) -> x (N, channels, size, size), roughly in [-1, 1]: a function of z, its noise fixed.

    With a condition to be `told` it is (z, c) -> x.
    """

    def __init__(
        self, channels: int, size: int, z_dim: int, width: int, mapping_layers: int, told: Signal | None = None
    ) -> None:
        super().__init__()
        side, doublings = first_map(size)
        self.mapping = Mapping(z_dim, mapping_layers, told)
        self.synthesis = Synthesis(channels, side, z_dim, map_widths(width, doublings))
        self.num_ws = self.synthesis.num_ws

    def styles(self, w: Tensor) -> Tensor:
        """w (N, z_dim) -> (N, num_ws, z_dim): the same for every layer."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x: Tensor = self.synthesis(self.styles(self.mapping(z, c)))
        return x


class Residual(nn.Module):
    """x (N, a, H, W) -> (N, b, H/2, W/2): two 3x3 convolutions beside a 1x1, their sum of unit variance."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(a, a, 3, gain=ROOT2)
        self.down = nn.Sequential(Blur(), EqualizedConv2d(a, b, 3, stride=2))
        self.skip = nn.Sequential(Blur(), EqualizedConv2d(a, b, 1, stride=2, bias=False, gain=1 / ROOT2))

    def forward(self, x: Tensor) -> Tensor:
        # LeakyReLU's √2 and the sum's 1/√2 cancel
        h: Tensor = leaky_relu(self.down(leaky_relu(self.conv(x), 0.2)), 0.2) + self.skip(x)
        return h


class Discriminator(nn.Module):
    """x (N, channels, size, size) -> logits (N,): residual blocks down to the smallest map, then the minibatch's
    standard deviation beside it, a convolution and two dense layers.

    With a condition to be `told` it is (x, c) -> logits, by a projection of what the last layer gives.
    """

    def __init__(self, channels: int, size: int, width: int, mapping_layers: int, told: Signal | None = None) -> None:
        super().__init__()
        side, halvings = first_map(size)
        widths = map_widths(width, halvings)[::-1]
        self.from_image = EqualizedConv2d(channels, widths[0], 1, gain=ROOT2)
        self.blocks = nn.Sequential(*(Residual(a, b) for a, b in pairwise(widths)))
        self.conv = EqualizedConv2d(width + 1, width, 3, gain=ROOT2)
        self.dense = EqualizedLinear(width * side * side, width, gain=ROOT2)
        self.last = EqualizedLinear(width, 1 if told is None else width)
        self.match = None if told is None else Projection(ConditionMapping(told, width, mapping_layers))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.blocks(leaky_relu(self.from_image(x), 0.2))
        h = leaky_relu(self.conv(minibatch_std(h, GROUP)), 0.2)
        h = self.last(leaky_relu(self.dense(h.flatten(1)), 0.2))
        logits: Tensor = h.squeeze(1) if self.match is None else self.match(h, c)
        return logits


def map_widths(width: int, doublings: int) -> list[int]:
    """Channels from the smallest map to the largest: halved at each doubling, to 16 at the least."""
    return [max(min(width, 16), width >> i) for i in range(doublings + 1)]
