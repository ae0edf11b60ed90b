"""Equalised learning rate (Karras et al. 2018, 1710.10196, section 4.1): stored weights are N(0, 1), scaled in use.

Adam moves every stored number by about its learning rate, whatever the gradient. Weights that are all of one size then
all learn at one speed; He's constant, which differs between layers, is multiplied in afterwards.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


class EqualizedLinear(nn.Module):
    """x (N, d_in) -> x Wᵀ gain / sqrt(d_in) + b (N, d_out); of unit variance for such x, with gain 1, at the start.

    `lr_multiplier` slows weights and biases down against the rest of the network and changes nothing else.
    """

    def __init__(
        self, d_in: int, d_out: int, *, bias: bool = True, gain: float = 1.0, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_out, d_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(d_out)) if bias else None
        self.scale, self.lr_multiplier = gain * lr_multiplier / math.sqrt(d_in), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.lr_multiplier
        return linear(x, self.weight * self.scale, bias)


class EqualizedConv2d(nn.Module):
    """x (N, a, H, W) -> (N, b, H, W): a convolution of odd `kernel`, equalised like EqualizedLinear over its fan-in.

    Sides are divided by `stride`, and rounded up.
    """

    def __init__(
        self,
        a: int,
        b: int,
        kernel: int,
        *,
        stride: int = 1,
        bias: bool = True,
        gain: float = 1.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(b)) if bias else None
        self.scale, self.lr_multiplier = gain * lr_multiplier / math.sqrt(a * kernel * kernel), lr_multiplier
        self.stride, self.padding = stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.lr_multiplier
        return conv2d(x, self.weight * self.scale, bias, self.stride, self.padding)
