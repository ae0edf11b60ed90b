"""CGAN: Mirza & Osindero 2014, https://arxiv.org/abs/1411.1784

The GAN of 2014 with a condition y that both players are told, each by a branch of its own beside that for z or x, so
that G can be asked for a digit, or for the words that go with a photograph (eq. 2):

    min over G, max over D:  E_x[log D(x | y)] + E_z[log(1 - D(G(z | y) | y))]

The condition is whatever the data have: a class, tags, or features of an image. What is made is images, or points such
as the vector of a word; the networks for each are those of the paper's two experiments.

              z             y            together                      x              y            together
    images    200 ReLU      1000 ReLU    1200 ReLU, sigmoid            maxout 240x5   maxout 50x5  maxout 240x4, logit
    points    500 ReLU      2000 ReLU    linear                        500 ReLU       1200 ReLU    maxout 1000x3, logit

z is uniform for images, Gaussian for points.

Differs: where the paper drops half of both nets' units it does not say; here all hidden units, after their
nonlinearity, and in training alone. What it leaves open is as in the 2014 code: G maximises log D, D's loss is halved,
weights for images start uniform (by Adam as PyTorch's do) and the output's bias at the mean image. z is uniform with
mean 0 and variance 1 as there, not in the unit hypercube. D of images is told a class as √n times its one-hot label, G
of points a quarter of the features. D learns from the fakes that G has just learned from; momentum and learning rate
follow the images seen; no early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import SGD, Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.maxout import Maxout
from mulligan.networks.perceptron import Picture, Pixels, full_precision, init_uniform, start_at_mean, uniform
from mulligan.networks.reader import LOUD
from mulligan.penalties import gradient_penalty
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=100, ge=2, description="samples in a batch")
    condition: Literal["features", "y", "tags"] | None = Field(
        default=None, description="what G and D are told; default: the first of these that the data have"
    )
    z_dim: int = Field(default=100, ge=1, description="dimensions of z")
    width: float = Field(default=1.0, gt=0, le=8, description="units of every hidden layer, as a share of the paper's")
    g_dropout: float = Field(default=0.5, ge=0, lt=1, description="share of G's hidden units that is dropped")
    d_dropout: float = Field(default=0.5, ge=0, lt=1, description="share of D's hidden units that is dropped")
    optimizer: Literal["sgd", "adam"] = Field(
        default="sgd", description="the paper's, with momentum from 0.5 to 0.7, or Adam with β1 = 0.5"
    )
    gamma: float = Field(
        default=0.0,
        ge=0,
        description="γ, weight of the penalties R1 and R2 beside D's halved loss; the paper has none",
        json_schema_extra=role("penalty"),
    )
    lr: float = Field(
        default=0.1,
        gt=0,
        description="of both players; by SGD divided by 1.00004 every 100 samples",
        json_schema_extra=role("lr"),
    )

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=4, width=0.05)


class CGAN(Typical):
    """Images of any size or points of any dimension, told a class, tags or features."""

    needs = {"x": (Signal("image", (None, None, None)), Signal("points", (None,), None))}
    conditions = ("features", "y", "tags")

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.is_image = signals["x"].kind == "image"
        build = for_images if self.is_image else for_points
        self.G, self.D = build(signals["x"], signals[self.key], config)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        c = self.config
        rule = SGD.annealed(c.lr, 1.00004) if c.optimizer == "sgd" else Adam(c.lr, (0.5, 0.999))
        turns = (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule))
        yield Stage("train", turns, begin=self._begin)

    def _begin(self, loader: Any) -> None:
        if self.is_image:
            start_at_mean(self.G, loader.samples)

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake_for_g(batch)))

    def d_loss(self, batch: Batch) -> Terms:
        samples, fakes = self.real(batch), self.fake_for_d(batch)
        real, fake = self.D(*samples), self.D(*fakes)
        self.watch(real)
        terms = {name: term / 2 for name, term in losses.d_minimax(real, fake).items()}
        if self.config.gamma:
            terms["r1_r2"] = self.config.gamma * self.slopes(samples, fakes)
        return terms

    def slopes(self, *shown: Shown) -> Tensor:
        """E|∇D|² over what is shown."""
        x, c = map(torch.cat, zip(*shown, strict=True))
        return gradient_penalty(self.D, x, c)

    def latent(self, n: int) -> Tensor:
        """z (n, z_dim), uniform in [-√3, √3] for images, standard Gaussian for points; of variance 1 either way."""
        return uniform(n, self.z_dim, self.device) if self.is_image else super().latent(n)


class Joined(nn.Module):
    """(a (N, ...), c (N, ...)) -> what `both` makes of `own` of a beside `told` of c."""

    def __init__(self, own: nn.Module, told: nn.Module, both: nn.Module) -> None:
        super().__init__()
        self.own, self.told, self.both = own, told, both

    def forward(self, a: Tensor, c: Tensor) -> Tensor:
        with full_precision(a.device):
            out: Tensor = self.both(torch.cat([self.own(a), self.told(c)], 1))
        return out


class OneHot(nn.Module):
    """Labels (N,) -> (N, n)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, y: Tensor) -> Tensor:
        return one_hot(y, self.n).float()


class Times(nn.Module):
    """h -> `size` h."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = size

    def forward(self, h: Tensor) -> Tensor:
        return self.size * h


def for_images(x: Signal, told: Signal, config: Config) -> tuple[Joined, Joined]:
    """G: (z, c) -> images; D: (images, c) -> logits (N,)."""
    shape, (read, n_c) = [n or 0 for n in x.shape], as_numbers(told)
    # a one-hot label as loud as z: without, D looked at it only late, and G cared for it as late (docs/log.md)
    loud = math.sqrt(n_c) if told.kind == "label" else 1.0
    z, g_c, g_both, d_x, d_c, d_both = (units(n, config) for n in (200, 1000, 1200, 240, 50, 240))
    d, drop = math.prod(shape), config.g_dropout
    G = Joined(
        relu(config.z_dim, z, drop),
        nn.Sequential(read, relu(n_c, g_c, drop)),
        nn.Sequential(relu(z + g_c, g_both, drop), nn.Linear(g_both, d), Picture(shape)),
    )
    drop = config.d_dropout
    D = Joined(
        nn.Sequential(Pixels(), maxout(d, d_x, 5, drop)),
        nn.Sequential(read, Times(loud), maxout(n_c, d_c, 5, drop)),
        nn.Sequential(maxout(d_x + d_c, d_both, 4, drop), nn.Linear(d_both, 1), nn.Flatten(0)),
    )
    if config.optimizer == "sgd":
        init_uniform(G, 0.05)
        init_uniform(D, 0.005)
    return G, D


def for_points(x: Signal, told: Signal, config: Config) -> tuple[Joined, Joined]:
    """G: (z, c) -> points; D: (points, c) -> logits (N,)."""
    d, (read, n_c) = x.shape[0] or 0, as_numbers(told)
    z, g_c, d_x, d_c, d_both = (units(n, config) for n in (500, 2000, 500, 1200, 1000))
    # hundreds of features drown z, and G answers one thing for each image (docs/log.md); a label is quiet as it is
    quiet = 1.0 if told.kind == "label" else LOUD
    drop = config.g_dropout
    G = Joined(
        relu(config.z_dim, z, drop),
        nn.Sequential(read, Times(quiet), relu(n_c, g_c, drop)),
        nn.Linear(z + g_c, d),
    )
    drop = config.d_dropout
    D = Joined(
        relu(d, d_x, drop),
        nn.Sequential(read, relu(n_c, d_c, drop)),
        nn.Sequential(maxout(d_x + d_c, d_both, 3, drop), nn.Linear(d_both, 1), nn.Flatten(0)),
    )
    return G, D


def as_numbers(told: Signal) -> tuple[nn.Module, int]:
    """What turns a condition into numbers (N, n), and n."""
    if told.kind == "label":
        return OneHot(told.n_classes), told.n_classes
    return nn.Identity(), told.shape[0] or 0


def units(n: int, config: Config) -> int:
    """So many as the paper has, times `width`."""
    return max(1, round(n * config.width))


def relu(d_in: int, d_out: int, drop: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d_in, d_out), nn.ReLU(), nn.Dropout(drop))


def maxout(d_in: int, d_out: int, pieces: int, drop: float) -> nn.Sequential:
    return nn.Sequential(Maxout(d_in, d_out, pieces), nn.Dropout(drop))
