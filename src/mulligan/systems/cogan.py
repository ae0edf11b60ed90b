"""CoGAN: Liu & Tuzel 2016, https://arxiv.org/abs/1606.07536"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.layers.sizes import first_map, square
from mulligan.layers.spectral import spectral_norm
from mulligan.networks.dcgan import discriminator_layers, generator_layers, identity, init_normal
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="images of each domain in a batch")
    z_dim: int = Field(default=64, ge=1, description="dimensions of the latent z")
    g_width: int = Field(default=16, ge=1, description="w")
    d_width: int = Field(default=32, ge=1, description="w")
    d_hidden: int = Field(default=128, ge=0, description="h")
    g_shared: int = Field(default=3, ge=0, description="first layers")
    d_shared: int = Field(default=3, ge=0, description="last layers")
    lr: float = Field(default=3e-3, gt=0, description="lr")
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Adam's β1")
    k: int = Field(default=5, description="k")
    mid: int = Field(default=0, description="k")
    norm: str = Field(default="spectral", description="x")
    loss: str = Field(default="ns", description="x")
    decay_images: int = Field(default=0, description="x")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, g_width=4, d_width=4, d_hidden=8)


class CoGAN(Typical):
    needs = {"x": (Signal("image", (None, None, None)),), "x2": (Signal("image", (None, None, None)),)}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.makes = {key: signals[key] for key in ("x", "x2")}
        c = config
        shape = signals["x"].shape
        self.G = CoupledGenerator([local_layers(shape, c.z_dim, c.g_width, c.k, c.mid) for _ in range(2)], c.g_shared)
        self.G.apply(init_normal)
        sn = c.norm == "spectral"
        self.D = CoupledDiscriminator([discriminator_layers(shape, c.d_width, norm=not sn, wrap=spectral_norm if sn else identity, hidden=c.d_hidden) for _ in range(2)], c.d_shared)
        if not sn:
            self.D.apply(init_normal)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        c = self.config
        end = c.decay_images
        rule = Adam(lambda seen: c.lr * (max(0.0, 1 - seen / end) if end else 1), (c.beta1, c.beta2))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        fakes = self.fake_for_d(len(batch["x"])).unbind(1)
        terms = {}
        for i, key in enumerate(self.makes):
            if self.config.norm == "spectral":
                real, fake = self.D(torch.cat([batch[key], fakes[i]]), i).chunk(2)
            else:
                real, fake = self.D(batch[key], i), self.D(fakes[i], i)
            d = losses.d_hinge if self.config.loss == "hinge" else losses.d_minimax
            terms |= {f"{k}_{key}": v for k, v in d(real, fake).items()}
        return terms

    def g_loss(self, batch: Batch) -> Terms:
        terms = {}
        for i, (key, fake) in enumerate(zip(self.makes, self.fake_for_g(len(batch["x"])).unbind(1), strict=True)):
            g = losses.g_hinge if self.config.loss == "hinge" else losses.g_nonsaturating
            terms |= {f"{k}_{key}": v for k, v in g(self.D(fake, i)).items()}
        return terms

    def generate(self, batch: Batch) -> Batch:
        return dict(zip(self.makes, self.G(batch["z"]).unbind(1), strict=True))

    def scores(self, batch):
        fakes = self.fake(len(batch["x"])).unbind(1)
        return {name: (self.D(batch[key], i), self.D(fakes[i], i)) for i, (name, key) in enumerate((("D", "x"), ("D2", "x2")))}


class CoupledGenerator(nn.Module):
    def __init__(self, layers, shared: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(*chain(*layers[0][:shared]))
        self.own = nn.ModuleList(nn.Sequential(*chain(*one[shared:])) for one in layers)

    def forward(self, z: Tensor) -> Tensor:
        h = self.shared(z)
        return torch.stack([own(h) for own in self.own], 1)


class CoupledDiscriminator(nn.Module):
    def __init__(self, layers, shared: int) -> None:
        super().__init__()
        n = len(layers[0]) - shared
        self.own = nn.ModuleList(nn.Sequential(*chain(*one[:n])) for one in layers)
        self.shared = nn.Sequential(*chain(*layers[0][n:]))

    def forward(self, x: Tensor, domain: int) -> Tensor:
        return self.shared(self.own[domain](x)).squeeze(1)


def local_layers(shape, z_dim, width, k, mid):
    channels, size = square(shape)
    side, doublings = first_map(size)
    widths = [width * 2**i for i in reversed(range(doublings + 1))]
    n = widths[0] * side * side
    layers = [[nn.Linear(z_dim, n, bias=False), nn.Unflatten(1, (widths[0], side, side)), nn.BatchNorm2d(widths[0]), nn.ReLU()]]
    for a, b in pairwise(widths):
        layers.append([nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()])
    if mid:
        layers.append([nn.Conv2d(width, mid, k, 1, k // 2, bias=False), nn.BatchNorm2d(mid), nn.ReLU()])
        width = mid
    return [*layers, [nn.Conv2d(width, channels, k, 1, k // 2), nn.Tanh()]]
