"""What changes the colours of images and leaves their transparency alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def on_colours(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """x (N, C, H, W) with `change` applied to its colours: transparency, the second or fourth channel, is none."""
    if x.shape[1] in (2, 4):
        return torch.cat([change(x[:, :-1]), x[:, -1:]], 1)
    return change(x)


def grey(x: Tensor) -> Tensor:
    """The brightness of images x (N, C, H, W), (N, 1, H, W): ITU-R 601's weights of colours; transparency left out."""
    if x.shape[1] < 3:
        return x[:, :1]
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device)
    return (x[:, :3] * weights[:, None, None]).sum(1, keepdim=True)


def palette_of(x: Tensor) -> Tensor:
    """The colours of images x (N, C, H, W) in [-1, 1], each once: uint8 (K, C)."""
    pixels = ((x + 1) * 127.5).round().to(torch.uint8)
    colours: Tensor = torch.unique(pixels.movedim(1, -1).flatten(0, 2), dim=0)
    return colours


def spelled(colour: Sequence[int]) -> str:
    """A colour's levels as "#rrggbb"; a grey one has two digits."""
    return f"#{bytes(colour).hex()}"


def levels(name: str) -> list[int]:
    """The levels of a colour that is spelled so."""
    return list(bytes.fromhex(name.removeprefix("#")))


def in_colour(x: Tensor) -> Tensor:
    """Images (N, 1|3|4, H, W) as colour (N, 3, H, W): grey three times, transparency on white."""
    if x.shape[1] == 4:
        alpha = (x[:, 3:] + 1) / 2
        return x[:, :3] * alpha + (1 - alpha)
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
