"""U-Net: an image is halved to a point and doubled back, and each doubling sees the map of its side on the way down.

As pix2pix has it (Isola et al. 2017, section 3.2.1 and appendix 6.1.1; Ronneberger et al. 2015 before it).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from mulligan.layers.blur import Blur
from mulligan.layers.products import Doubling, Halving
from mulligan.networks.dcgan import Norm, init_normal

WIDEST = 8  # times `width`: no map has more channels
NOISY = 3  # innermost doublings with dropout


class UNet(nn.Module):
    """x (N, a, H, W) -> (N, b, H, W) in [-1, 1]; sides are multiples of `multiple`, 2 to the number of halvings.

    Args:
        channels: a and b.
        width: channels of the first map, doubled at each halving.
        halvings: of the side.
        norm: of all maps but the first, the innermost and the last.
        dropout: share of the maps left out at three doublings, all but the innermost, as many as there are; where that
            is the only one before the last, there.
        antialias: filter before each halving and after each doubling.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        width: int,
        halvings: int,
        norm: Norm = nn.BatchNorm2d,
        *,
        dropout: float = 0.5,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        a, b = channels
        widths = [width * min(2**i, WIDEST) for i in range(halvings)]
        last = halvings - 1
        self.down = nn.ModuleList(
            nn.Sequential(*_halving(n_in, n_out, antialias), *([norm(n_out)] if 0 < i < last else []))
            for i, (n_in, n_out) in enumerate(zip([a, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(
            nn.Sequential(
                *_doubling(widths[i] * (1 if i == last else 2), widths[i - 1], antialias),
                norm(widths[i - 1]),
                *([nn.Dropout(dropout)] if dropout and last - NOISY <= i < max(last, 2) else []),
            )
            for i in range(last, 0, -1)
        )
        self.last = nn.Sequential(*_doubling(2 * width if last else width, b, antialias, bias=True))
        self.multiple = 2**halvings
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        for i, down in enumerate(self.down):
            x = down(leaky_relu(x, 0.2) if i else x)
            seen.append(x)
        h = seen.pop()
        for up in self.up:
            h = torch.cat([up(relu(h)), seen.pop()], 1)
        image: Tensor = self.last(relu(h)).tanh()
        return image


def _halving(a: int, b: int, antialias: bool) -> list[nn.Module]:
    if antialias:
        return [Blur(), nn.Conv2d(a, b, 4, 2, 2, bias=False)]
    return [Halving(a, b)]


def _doubling(a: int, b: int, antialias: bool, *, bias: bool = False) -> list[nn.Module]:
    if antialias:
        return [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(a, b, 3, 1, 1, bias=bias)]
    return [Doubling(a, b, bias=bias)]
