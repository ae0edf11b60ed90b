"""CoGAN: Liu & Tuzel 2016, https://arxiv.org/abs/1606.07536

Two GANs, one a domain, play from the same z: the first layers of their generators are one and decide what is shown,
the last are each domain's own and decide how; the discriminators share their last layers. So from samples of each
domain, with no pair among them, G learns to make pairs. Reference code: github.com/mingyuliutw/CoGAN.

Differs: the domains' own layers are two 3x3 convolutions at the full side, behind few shared maps; the reference has
one 6x6 convolution behind 128 maps, and in the time a CPU has its pairs hardly agreed (docs/log.md). D is spectrally
normalised, with a hidden layer before the logit, instead of pooled; Adam with β1 = 0 and a learning rate 15 times the
paper's; D learns from the fakes that G has just learned from.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.errors import Mistake
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.layers.sizes import first_map, square
from mulligan.layers.spectral import spectral_norm
from mulligan.networks.dcgan import discriminator_layers, init_normal
from mulligan.signals import Signal

Layers = list[list[nn.Module]]  # each with weights, and what goes with it
KEYS = ("x", "x2")  # the domains


class Config(BaseConfig):
    batch: int = Field(default=64, ge=2, description="images of each domain in a batch")
    z_dim: int = Field(default=64, ge=1, description="dimensions of the latent z")
    g_width: int = Field(default=8, ge=1, description="maps of G at the full side; twice as many at each halving")
    d_width: int = Field(default=32, ge=1, description="maps of D's first layer; doubled at each halving")
    d_hidden: int = Field(default=128, ge=1, description="units of a layer before D's logit")
    g_shared: int | None = Field(
        default=None, ge=0, description="first layers that both generators share; default: all but the last two"
    )
    d_shared: int | None = Field(
        default=None, ge=0, description="last layers that both discriminators share; default: all but the first"
    )
    lr: float = Field(default=3e-3, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, g_width=4, d_width=4, d_hidden=8)


class CoGAN(Typical):
    """Two domains of images whose side is a multiple of 4."""

    needs = {key: (Signal("image", (None, None, None)),) for key in KEYS}
    made = KEYS

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        shape, other = (signals[key].shape for key in KEYS)
        if shape != other:
            raise Mistake(f"x is {signals['x']} and x2 {signals['x2']}: cogan ties layers of two domains of one shape")
        c = config
        g = [generator_layers(shape, c.z_dim, c.g_width) for _ in KEYS]
        d = [discriminator_layers(shape, c.d_width, norm=False, wrap=spectral_norm, hidden=c.d_hidden) for _ in KEYS]
        self.G = CoupledGenerator(g, _shared("--g-shared", c.g_shared, len(g[0]), own=2))
        self.D = CoupledDiscriminator(d, _shared("--d-shared", c.d_shared, len(d[0]), own=1))
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        c = self.config
        rule = Adam(c.lr, (c.beta1, c.beta2))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        """-E[log f1(x1)] - E[log(1 - f1(g1(z)))], and the same of f2 and g2 (eq. 3, negated: D minimises)."""
        terms: Terms = {}
        margins = []
        fakes = self.fake_for_d(batch)[0].unbind(1)
        for domain, (key, fake) in enumerate(zip(KEYS, fakes, strict=True)):
            # one pass over both: D has no BatchNorm, so a sample's logit is its own
            on_real, on_fake = self.D(torch.cat([batch[key], fake]), domain).chunk(2)
            margins.append(on_real)
            terms |= {f"{name}_{key}": term for name, term in losses.d_minimax(on_real, on_fake).items()}
        self.watch(torch.stack(margins).sign().mean(0))  # of both domains, yet one batch's worth
        return terms

    def g_loss(self, batch: Batch) -> Terms:
        """-E[log f1(g1(z))] - E[log f2(g2(z))], of the same z."""
        terms: Terms = {}
        for domain, (key, fake) in enumerate(zip(KEYS, self.fake_for_g(batch)[0].unbind(1), strict=True)):
            terms[f"adv_{key}"] = losses.g_nonsaturating(self.D(fake, domain))["adv"]
        return terms

    def generate(self, batch: Batch) -> Batch:
        return dict(zip(KEYS, self.G(batch["z"]).unbind(1), strict=True))

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        fakes = zip(KEYS, self.fake(batch)[0].unbind(1), strict=True)
        both = [(self.D(batch[key], domain), self.D(fake, domain)) for domain, (key, fake) in enumerate(fakes)]
        return dict(zip(("D", "D2"), both, strict=True))


def _shared(flag: str, asked: int | None, n: int, *, own: int) -> int:
    """How many of n layers are shared."""
    if asked is not None and asked > n:
        raise Mistake(f"{flag} {asked}: there are {n} layers at this side; take {n - own}, or leave it out")
    return n - own if asked is None else asked


class CoupledGenerator(nn.Module):
    """z (N, z_dim) -> (N, 2, C, S, S): an image of each domain.

    Args:
        layers: of each domain's generator.
        shared: how many of the first are those of the first domain for both.
    """

    def __init__(self, layers: list[Layers], shared: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(*chain(*layers[0][:shared]))
        self.own = nn.ModuleList(nn.Sequential(*chain(*domain[shared:])) for domain in layers)
        self.apply(init_normal)

    def forward(self, z: Tensor) -> Tensor:
        h = self.shared(z)
        return torch.stack([own(h) for own in self.own], 1)


class CoupledDiscriminator(nn.Module):
    """x (N, C, S, S) of a domain, 0 or 1 -> logits (N,).

    Args:
        layers: of each domain's discriminator.
        shared: how many of the last are those of the first domain for both.
    """

    def __init__(self, layers: list[Layers], shared: int) -> None:
        super().__init__()
        n = len(layers[0]) - shared
        self.own = nn.ModuleList(nn.Sequential(*chain(*domain[:n])) for domain in layers)
        self.shared = nn.Sequential(*chain(*layers[0][n:]))

    def forward(self, x: Tensor, domain: int) -> Tensor:
        logits: Tensor = self.shared(self.own[domain](x))
        return logits.squeeze(1)


def generator_layers(shape: tuple[int | None, ...], z_dim: int, width: int) -> Layers:
    """z (N, z_dim) -> (N, C, S, S) in [-1, 1]: up to `width` maps at the full side, then two 3x3 convolutions."""
    channels, size = square(shape)
    side, doublings = first_map(size)
    widths = [width * 2**i for i in reversed(range(doublings + 1))]
    n = widths[0] * side * side
    start = [nn.Linear(z_dim, n, bias=False), nn.Unflatten(1, (widths[0], side, side))]
    layers: Layers = [[*start, nn.BatchNorm2d(widths[0]), nn.ReLU()]]
    for a, b in pairwise(widths):
        layers.append([nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()])
    # few maps behind, twice as many inside: the own layers have to work out their image from what both know
    layers.append([nn.Conv2d(width, 2 * width, 3, 1, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()])
    return [*layers, [nn.Conv2d(2 * width, channels, 3, 1, 1), nn.Tanh()]]
