"""The strided convolutional pair of DCGAN (Radford et al. 2015, figure 1), for any side that is a multiple of 4."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, pairwise

from torch import Tensor, nn

from mulligan.layers.conditional_norm import Chain
from mulligan.layers.projection import Projection
from mulligan.layers.sizes import first_map, square
from mulligan.networks.reader import Latent, reader
from mulligan.signals import Signal

Wrap = Callable[[nn.Module], nn.Module]
Norm = Callable[[int], nn.Module]  # of a number of channels


def identity(layer: nn.Module) -> nn.Module:
    return layer


def init_normal(module: nn.Module) -> None:
    """Weights N(0, 0.02), BatchNorm gains N(1, 0.02) (Radford et al. 2015, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def init_he(module: nn.Module) -> None:
    """Weights N(0, 2 / ((1 + 0.2²) fan_in)): no layer with LeakyReLU 0.2 makes what it is given smaller or larger (He
    et al. 2015, eq. 15). Without BatchNorm, `init_normal`'s weights leave a hundredth after four layers.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, 0.2, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class ConvGenerator(nn.Module):
    """z (N, z_dim) -> x (N, C, S, S) in [-1, 1]: BatchNorm and ReLU after each but the last layer, then tanh.

    `width` is the number of channels before the last layer; it doubles at each step back towards z. With a condition
    to be `told` it is (z, c) -> x: what is read of c stands beside z. `norm` may be a normalisation that is told c, in
    place of BatchNorm. `least`: as of `first_map`.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...],
        z_dim: int,
        width: int,
        told: Signal | None = None,
        norm: Norm = nn.BatchNorm2d,
        *,
        least: int = 2,
    ) -> None:
        super().__init__()
        latent = Latent(z_dim, told)
        channels, size = square(shape)
        side, doublings = first_map(size, least=least)
        widths = [width * 2 ** (doublings - 1 - i) for i in range(doublings)]
        self.first = Chain(
            nn.Linear(latent.d, widths[0] * side * side, bias=False),
            nn.Unflatten(1, (widths[0], side, side)),
            norm(widths[0]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), norm(b), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.rest = Chain(*layers)
        self.apply(init_normal)
        self.latent = latent

    def forward(self, z: Tensor, *c: Tensor) -> Tensor:
        return self.draw(self.latent(z, *c), *c)

    def draw(self, latent: Tensor, *c: Tensor) -> Tensor:
        """What `self.latent` makes of z and c -> x; c is for a `norm` that is told it."""
        x: Tensor = self.rest(self.first(latent, *c), *c)
        return x


class ConvDiscriminator(nn.Module):
    """x (N, C, S, S) -> logits (N,): strided convolutions, LeakyReLU 0.2, BatchNorm after all but the first.

    `norm=False` leaves BatchNorm out, as gradient penalties and spectral normalisation ask; `wrap` is applied to
    each layer with weights. `hidden` units between the last map and the logit, 0 for none as in the paper, let D judge
    how parts of an image go together, which strided convolutions alone hardly do in so few layers. With a condition to
    be `told` it is (x, c) -> logits, by a projection of what stands before the last layer; c may have k N rows, k
    conditions to judge each image by. Without one it does not look at c. `least`: as of `first_map`.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...],
        width: int,
        *,
        norm: bool = True,
        wrap: Wrap = identity,
        hidden: int = 0,
        told: Signal | None = None,
        least: int = 2,
        init: Callable[[nn.Module], None] = init_normal,
    ) -> None:
        super().__init__()
        layers = discriminator_layers(shape, width, norm=norm, wrap=wrap, hidden=hidden, least=least)
        self.layers = nn.Sequential(*chain(*layers))
        if wrap is identity:
            self.apply(init)
        assert isinstance(self.last, nn.Linear)
        self.d = self.last.in_features
        self.match = None if told is None else Projection(reader(told, self.d))

    @property
    def last(self) -> nn.Module:
        """The layer from features to logits (N, 1)."""
        *_, last = self.layers
        return last

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, (N, d)."""
        h: Tensor = self.layers[:-1](x)
        return h.flatten(1)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.judge(self.features(x), c)

    def judge(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """Features (N, d), and c -> logits."""
        logits: Tensor = self.last(h).squeeze(1)
        if c is None or self.match is None:
            return logits
        match: Tensor = self.match(h, c)
        return logits.repeat(len(c) // len(h)) + match


def discriminator_layers(
    shape: tuple[int | None, ...],
    width: int,
    *,
    norm: bool = True,
    wrap: Wrap = identity,
    hidden: int = 0,
    least: int = 2,
) -> list[list[nn.Module]]:
    """The layers of `ConvDiscriminator`: each one with weights, and what goes with it. `least`: as of `first_map`."""
    channels, size = square(shape)
    side, halvings = first_map(size, least=least)
    widths = [width * 2**i for i in range(halvings)]
    layers: list[list[nn.Module]] = [[wrap(nn.Conv2d(channels, width, 4, 2, 1)), nn.LeakyReLU(0.2)]]
    for a, b in pairwise(widths):
        conv = wrap(nn.Conv2d(a, b, 4, 2, 1, bias=not norm))
        layers.append([conv, *([nn.BatchNorm2d(b)] if norm else []), nn.LeakyReLU(0.2)])
    n = widths[-1] * side * side
    if hidden:
        layers.append([nn.Flatten(), wrap(nn.Linear(n, hidden)), nn.LeakyReLU(0.2)])
        return [*layers, [wrap(nn.Linear(hidden, 1))]]
    return [*layers, [nn.Flatten(), wrap(nn.Linear(n, 1))]]
