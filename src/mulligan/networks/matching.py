"""The matching-aware D of GAN-CLS (Reed et al. 2016, figure 2): does an image go with what is said of it?"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mulligan.layers.sizes import first_map
from mulligan.networks.dcgan import discriminator_layers, init_normal
from mulligan.networks.reader import reader
from mulligan.signals import Signal


class MatchingDiscriminator(nn.Module):
    """(x (N, C, S, S), c) -> logits (N,): DCGAN's down to the last map, where the code of c is laid beside it.

    c may have k N rows: then each image is judged with k conditions, logits (k N,). `least`: as of `first_map`.
    """

    def __init__(self, shape: tuple[int | None, ...], told: Signal, code: int, width: int, *, least: int = 2) -> None:
        super().__init__()
        *body, (_, last) = discriminator_layers(shape, width, least=least)
        assert isinstance(last, nn.Linear)
        self.body = nn.Sequential(*chain(*body))
        side = first_map(shape[1] or 0, least=least)[0]
        maps = last.in_features // side**2
        self.join = nn.Conv2d(maps + code, maps, 1)
        self.last = nn.Conv2d(maps, 1, side)
        self.apply(init_normal)
        self.reader = reader(told, code)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h, code = self.body(x), leaky_relu(self.reader(c), 0.2)
        h = h.repeat(len(code) // len(h), 1, 1, 1)
        h = torch.cat([h, code[:, :, None, None].to(h.dtype).expand(-1, -1, *h.shape[2:])], 1)
        logits: Tensor = self.last(leaky_relu(self.join(h), 0.2))
        return logits.flatten()

    def compare(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of images and their own conditions: logits (N,), those with a neighbour's condition instead, and whether
        that differs from their own (N,)."""
        other = c.roll(1, 0)
        logits: Tensor = self(x, torch.cat([c, other]))  # the image is looked at once
        own, others = logits.chunk(2)
        return own, others, (c != other).view(len(c), -1).any(1)
