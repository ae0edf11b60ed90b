"""Reads labels from pictures: trained on real pairs, it scores whether made pictures show what their maps ask for.

The counterpart, for the data here, of the FCN that pix2pix was scored with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from judges import fit
from mulligan.data.source import Source
from mulligan.layers.colours import levels

SEED, EPOCHS, BATCH, AT_ONCE, SIDE = 1, 4, 16, 50, 64


class Segmenter(nn.Module):
    """x (N, 3, H, W) in [-1, 1] -> logits (N, K, H, W): half the side inside, where dilated layers see 60 px around."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), nn.GroupNorm(4, width), nn.SiLU())
        inside: list[nn.Module] = [nn.Conv2d(width, width, 4, 2, 1)]
        for dilation in (1, 2, 4, 8):
            inside += [nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, dilation, dilation)]
        self.inside = nn.Sequential(*inside)
        self.last = nn.Sequential(nn.Conv2d(2 * width, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        logits: Tensor = self.last(torch.cat([h, F.interpolate(self.inside(h), scale_factor=2.0)], 1))
        return logits

    @torch.no_grad()
    def read(self, x: Tensor) -> Tensor:
        """int64 (N, H, W)."""
        return torch.cat([self(part).argmax(1) for part in torch.split(x, AT_ONCE)])


def classes(maps: Tensor, palette: tuple[str, ...]) -> Tensor:
    """int64 (N, H, W): the numbers in the palette of the colours of maps (N, 3, H, W) in [-1, 1]."""
    pixels = ((maps + 1) * 127.5).round().long()
    known = torch.tensor([levels(colour) for colour in palette])
    return (pixels[:, None] - known[None, :, :, None, None]).abs().sum(2).argmin(1)


def train_segmenter(source: Source, epochs: int = EPOCHS) -> Segmenter:
    """On parts, 64 px, of training pairs: what `input` shows in the colours of its palette, read from x."""
    torch.manual_seed(SEED)
    palette = source.signals["input"].names
    segmenter, n = Segmenter(len(palette)), len(source.train)
    height, width = (side or 0 for side in source.signals["x"].shape[1:])

    def loss(i: Tensor, generator: torch.Generator) -> Tensor:
        rows = source.train.fetch(i.numpy())
        top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in (height - SIDE, width - SIDE))
        x, maps = (rows[key][:, :, top : top + SIDE, left : left + SIDE] for key in ("x", "input"))
        return F.cross_entropy(segmenter(x), classes(maps, palette))

    fit(segmenter, loss, n, epochs, None, batch=BATCH, seed=SEED)
    return segmenter.requires_grad_(False)


def share_recovered(segmenter: Segmenter, x: Tensor, maps: Tensor, palette: tuple[str, ...]) -> float:
    """The share of pixels of pictures (N, 3, H, W) that are read as what maps (N, 3, H, W) ask for."""
    return float((segmenter.read(x) == classes(maps, palette)).double().mean())
