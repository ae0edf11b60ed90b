"""Modulated convolution (Karras et al. 2020, 1912.04958, section 2.2): weights scaled anew for each sample.

    w'_ijk = s_i w_ijk                                  modulation by the style s (eq. 1)
    w''_ijk = w'_ijk / sqrt(Σ_ik w'_ijk² + ε)           demodulation (eq. 3)

for input maps i, output maps j and places k. A convolution is linear: scaling the input maps by s_i and the output maps
by 1 / sqrt(...) is the same, and is one plain convolution for the whole batch, which any runtime knows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from mulligan.layers.blur import Blur
from mulligan.layers.equalized import EqualizedLinear

EPSILON = 1e-8


class ModulatedConv2d(nn.Module):
    """x (N, a, H, W), w (N, w_dim) -> (N, b, H, W): an equalised convolution without bias, styled by w.

    With `demodulate` the output has unit variance for an x of unit variance, whatever the style. `up`, for a kernel of
    3, doubles both sides: a transposed convolution and a blur, a quarter of the products that a resized x would cost.
    """

    def __init__(self, a: int, b: int, kernel: int, w_dim: int, *, demodulate: bool = True, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.scale = 1 / math.sqrt(a * kernel * kernel)
        self.style = EqualizedLinear(w_dim, a)
        self.demodulate, self.padding = demodulate, kernel // 2
        self.blur = Blur(gain=4.0) if up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.weight * self.scale
        with torch.autocast(x.device.type, enabled=False):  # sums of squares need more than bfloat16's three digits
            s = 1 + self.style(w.float())
            d = torch.rsqrt(s.square() @ weight.square().sum((2, 3)).T + EPSILON) if self.demodulate else None
        x = x * s[:, :, None, None].to(x.dtype)
        if self.blur is not None:
            x = self.blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            x = conv2d(x, weight, padding=self.padding)
        return x if d is None else x * d[:, :, None, None].to(x.dtype)
