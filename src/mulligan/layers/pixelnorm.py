"""Pixel norm (Karras et al. 2018, 1710.10196, section 4.2): every pixel's channels get one length."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8


def pixel_norm(x: Tensor) -> Tensor:
    """x (N, C, ...) -> x / sqrt(mean of x² over C): each vector of length sqrt(C). Latents (N, d) land on a sphere."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPSILON)
