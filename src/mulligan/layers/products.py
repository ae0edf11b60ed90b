"""Convolutions between small maps of many channels, as one product of matrices.

At the bottom of a U-Net a layer has millions of weights and a few pixels. There a convolution is the product of two
matrices, with pixels gathered before it or spread after it, and on a CPU torch's convolutions spend up to four times
the time of that product on bringing weights and their gradients into an order of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, pad

FEW = 256  # pixels of the smaller map, a whole batch's
MANY = 2**20  # weights: with a quarter of that a product is no faster


class Halving(nn.Conv2d):
    """(N, a, 2h, 2w) -> (N, b, h, w): nn.Conv2d(a, b, 4, 2, 1), up to rounding."""

    def __init__(self, a: int, b: int, *, bias: bool = False) -> None:
        super().__init__(a, b, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        h, w = height // 2, width // 2
        if not _as_product(self.weight, x, n * h * w):
            return super().forward(x)
        seen = pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).unfold(1, 4, 2).unfold(2, 4, 2)  # (N, h, w, a, 4, 4)
        y = seen.permute(0, 1, 2, 4, 5, 3).reshape(n * h * w, -1) @ self.weight.permute(0, 2, 3, 1).flatten(1).t()
        y = y if self.bias is None else y + self.bias
        return y.view(n, h, w, -1).permute(0, 3, 1, 2)


class Doubling(nn.ConvTranspose2d):
    """(N, a, h, w) -> (N, b, 2h, 2w): nn.ConvTranspose2d(a, b, 4, 2, 1), up to rounding."""

    def __init__(self, a: int, b: int, *, bias: bool = False) -> None:
        super().__init__(a, b, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, _, h, w = x.shape
        if not _as_product(self.weight, x, n * h * w):
            return super().forward(x, output_size)
        rows = x.permute(0, 2, 3, 1).flatten(0, 2) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        parts = rows.view(n, h * w, 16, -1).permute(0, 3, 2, 1).flatten(1, 2)  # four of them overlap in each pixel
        exact = torch.promote_types(parts.dtype, torch.float32)
        y = fold(parts.to(exact), (2 * h, 2 * w), (4, 4), padding=1, stride=2)
        y = y if self.bias is None else y + self.bias[:, None, None]
        return y.to(rows.dtype, memory_format=torch.channels_last)


def _as_product(weight: Tensor, x: Tensor, pixels: int) -> bool:
    """Not in a graph for export, which is for other machines and sides."""
    pays = pixels <= FEW and weight.numel() >= MANY
    return x.device.type == "cpu" and pays and not torch.compiler.is_compiling()
