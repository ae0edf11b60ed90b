"""Augmentation of all that D sees, differentiable, so that it can stand between G and D.

With little data D learns its real samples by heart, and G no more from it. So whatever D sees, real or fake, in its
own turn and in G's, is recoloured, moved and cut at random first: D cannot remember, and G's samples stay as they are,
for what is done to both can be undone in distribution. Zhao et al. 2020 (2006.10738) do so always; Karras et al. 2020
(2006.06676) with a probability p that follows how surely D knows real samples.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import pad

from mulligan.layers.colours import on_colours

TARGET = 0.6  # of r_t (Karras et al. 2020, section 3)
LIMIT = 0.8  # of p: beyond it, they found, augmentations leak into the samples; their code has no limit
SPEED = 100_000  # images in which p can rise from 0 to 1; theirs 500,000, longer than most runs here last
EVERY = 4  # batches that r_t is measured over

Strength = Literal["none", "fixed", "adaptive"]


class Augment(nn.Module):
    """x (N, C, H, W) -> the same shape; each transform meets each image with probability p.

    `fixed`: p = 1. `adaptive`: p starts at 0 and follows r_t = E[sign(D(x))], up to 0.8.
    """

    p: Tensor
    signs: Tensor  # sum and number of the signs since p was set last

    def __init__(self, strength: Strength) -> None:
        super().__init__()
        self.adaptive = strength == "adaptive"
        self.register_buffer("p", torch.tensor(0.0 if self.adaptive else 1.0))
        self.register_buffer("signs", torch.zeros(2))
        self._set_at = -1  # images seen when p was set last

    def forward(self, x: Tensor) -> Tensor:
        for transform in (brightness, saturation, contrast, translation, cutout):
            x = transform(x, self._chosen(x))
        return x

    def _chosen(self, x: Tensor) -> Tensor:
        """(N, 1, 1, 1), 1 for the images that a transform meets, with probability p each, and 0 for the others."""
        return (torch.rand(len(x), 1, 1, 1, device=x.device) < self.p).to(x.dtype)

    @torch.no_grad()
    def watch(self, margins: Tensor, images: int, batch: int) -> None:
        """Note how surely D knew a batch of reals; set p anew at each fourth round.

        Args:
            margins: D's logits on real samples or, where D has no zero of its own, by how much they exceed a fake's.
            images: seen so far; micro-batches and critics' steps of one round come with the same number.
            batch: images in a round.
        """
        if not self.adaptive:
            return
        if images != self._set_at and images // batch % EVERY == 0:
            self._set_at = images
            self._set()
        self.signs += torch.stack([margins.sign().sum(), torch.tensor(float(margins.numel()), device=margins.device)])

    def _set(self) -> None:
        if dist.is_initialized():
            dist.all_reduce(self.signs)
        total, number = self.signs
        r = total / number.clamp(min=1)
        self.p.add_((r - TARGET).sign() * number / SPEED).clamp_(0, LIMIT)
        self.signs.zero_()


# Transforms: x (N, C, H, W) in [-1, 1] and `chosen` (N, 1, 1, 1) -> x; sizes as in Zhao et al. 2020, section 4.


def brightness(x: Tensor, chosen: Tensor) -> Tensor:
    """All values of an image up or down by up to 0.5."""
    return on_colours(x, lambda c: c + chosen * (_uniform(x) - 0.5))


def saturation(x: Tensor, chosen: Tensor) -> Tensor:
    """Distances from grey times 0 to 2."""
    return on_colours(x, lambda c: _around(c, c.mean(1, keepdim=True), chosen, 2 * _uniform(x)))


def contrast(x: Tensor, chosen: Tensor) -> Tensor:
    """Distances from the image's mean times 0.5 to 1.5."""
    return on_colours(x, lambda c: _around(c, c.mean((1, 2, 3), keepdim=True), chosen, 0.5 + _uniform(x)))


def translation(x: Tensor, chosen: Tensor) -> Tensor:
    """Moved by up to an eighth of the side, in whole pixels; what comes into view is 0, middle grey."""
    n, _, h, w = x.shape
    rows, columns = (_moved(side, chosen) for side in (h, w))
    framed = pad(x, (1, 1, 1, 1))
    at = torch.arange(n, device=x.device)[:, None, None]
    return framed[at, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def cutout(x: Tensor, chosen: Tensor) -> Tensor:
    """A square of half the side set to 0, its centre anywhere in the image."""
    h, w = x.shape[2:]
    rows, columns = (_cut(side, x) for side in (h, w))
    inside = (rows[:, None, :, None] & columns[:, None, None, :]).to(x.dtype)
    return x * (1 - chosen * inside)


def _uniform(x: Tensor) -> Tensor:
    """A number from [0, 1) for each image (N, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


def _around(x: Tensor, centre: Tensor, chosen: Tensor, factor: Tensor) -> Tensor:
    return centre + (x - centre) * (1 + chosen * (factor - 1))


def _moved(side: int, chosen: Tensor) -> Tensor:
    """For each image and place along a side (N, side) the place it comes from in an image framed by one pixel of 0."""
    reach = max(1, side // 8)
    shift = torch.randint(-reach, reach + 1, (len(chosen), 1), device=chosen.device) * chosen.view(-1, 1).long()
    return (torch.arange(side, device=chosen.device) + shift + 1).clamp(0, side + 1)


def _cut(side: int, x: Tensor) -> Tensor:
    """Whether a place along a side is in the square (N, side)."""
    centre = torch.randint(0, side, (len(x), 1), device=x.device)
    away = torch.arange(side, device=x.device) - centre
    return (away >= -(side // 4)) & (away < side // 4)


def mirrored(*images: Tensor) -> tuple[Tensor, ...]:
    """Images (N, C, H, W) that belong together, row by row: half of the rows mirrored, in all of them or in none."""
    turned = torch.rand(len(images[0]), 1, 1, 1, device=images[0].device) < 0.5
    return tuple(torch.where(turned, x.flip(3), x) for x in images)
