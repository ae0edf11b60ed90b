"""Resampling with a low-pass filter, [1, 3, 3, 1] / 8 each way (Karras et al. 2019, 1812.04948, appendix C).

Whoever drops every other pixel, or inserts new ones, without a filter leaves the pattern of the grid behind in maps
and in gradients (Zhang 2019, 1904.11486). StyleGAN's papers speak of [1, 2, 1], the reference code has [1, 3, 3, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

TAPS = (1.0, 3.0, 3.0, 1.0)


class Blur(nn.Module):
    """x (N, C, H, W) -> (N, C, H - 1, W - 1): each map filtered, with a row of zeros around it.

    Then a convolution of stride 2 halves even sides. After a transposed convolution, which doubles them and one more,
    three of four pixels were 0: a gain of 4 makes up for that.
    """

    kernel: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor(TAPS) / sum(TAPS)
        self.register_buffer("kernel", gain * taps[:, None] * taps)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return conv2d(x, self.kernel.expand(channels, 1, -1, -1), padding=1, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """x (N, C, H, W) -> (N, C, 2H, 2W): zeros inserted and filtered with gain 4, edges repeated; that is bilinear."""
    return interpolate(x, scale_factor=2.0, mode="bilinear")
