"""The residual pair of SN-GAN (Miyato et al. 2018, figures 7 and 8; Gulrajani et al. 2017 before it)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from mulligan.layers.conditional_norm import Chain, Told
from mulligan.layers.sizes import first_map, square
from mulligan.networks.dcgan import Norm, Wrap, identity


class UpBlock(Told):
    """x (N, a, H, W) -> (N, b, 2H, 2W): `norm`, ReLU, nearest doubling, convolution, twice; a 1x1 shortcut."""

    def __init__(self, a: int, b: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(a), norm(b)
        self.conv1 = nn.Conv2d(a, b, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(b, b, 3, padding=1)
        self.shortcut = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor, *c: Tensor) -> Tensor:
        h = self.conv1(interpolate(relu(self.norm1(x, *c)), scale_factor=2.0))
        h = self.conv2(relu(self.norm2(h, *c)))
        # a 1x1 convolution and a nearest doubling exchange; this order does a quarter of the work
        shortcut: Tensor = h + interpolate(self.shortcut(x), scale_factor=2.0)
        return shortcut


class ResidualGenerator(nn.Module):
    """z (N, z_dim) -> x (N, C, S, S) in [-1, 1], `width` channels at every size.

    With a `norm` in the blocks that is told a condition c it is (z, c) -> x.
    """

    def __init__(self, shape: tuple[int | None, ...], z_dim: int, width: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        channels, size = square(shape)
        side, doublings = first_map(size)
        self.first = nn.Sequential(nn.Linear(z_dim, width * side * side), nn.Unflatten(1, (width, side, side)))
        self.blocks = Chain(*(UpBlock(width, width, norm) for _ in range(doublings)))
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, *c: Tensor) -> Tensor:
        x: Tensor = self.last(self.blocks(self.first(z), *c))
        return x


class DownBlock(nn.Module):
    """x (N, a, H, W) -> (N, b, H/2, W/2), or the same size; no normalisation but what `wrap` does to weights.

    `first` leaves out the leading ReLU, which would cut off half of an image's values.
    """

    def __init__(self, a: int, b: int, *, halve: bool, first: bool = False, wrap: Wrap = identity) -> None:
        super().__init__()
        self.conv1, self.conv2 = wrap(nn.Conv2d(a, b, 3, padding=1)), wrap(nn.Conv2d(b, b, 3, padding=1))
        self.shortcut = wrap(nn.Conv2d(a, b, 1)) if halve or a != b else nn.Identity()
        self.halve, self.first = halve, first

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(relu(self.conv1(x if self.first else relu(x))))
        if self.halve:
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        out: Tensor = h + self.shortcut(x)
        return out


class ResidualDiscriminator(nn.Module):
    """x (N, C, S, S) -> logits (N,): two halvings, two blocks without, global sum, linear.

    Larger sides than 32 halve more often, so that the sum runs over maps of 7 or 8.
    """

    def __init__(self, shape: tuple[int | None, ...], width: int, *, wrap: Wrap = identity) -> None:
        super().__init__()
        channels, size = square(shape)
        halvings = first_map(size, smallest=7)[1] if size >= 28 else 2
        blocks = [DownBlock(channels, width, halve=True, first=True, wrap=wrap)]
        blocks += [DownBlock(width, width, halve=i < halvings - 1, wrap=wrap) for i in range(halvings + 1)]
        self.blocks = nn.Sequential(*blocks)
        self.last = wrap(nn.Linear(width, 1))
        self.d = width

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, (N, d)."""
        h: Tensor = self.blocks(x)
        return relu(h).sum((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(x))
        return logits.squeeze(1)
