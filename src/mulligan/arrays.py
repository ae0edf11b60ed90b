"""Samples as arrays for people: images as bytes, points in the units of the user's file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mulligan.signals import Signal

Bytes = NDArray[np.uint8]
Array = Tensor | NDArray[Any]


def to_numpy(x: Array) -> NDArray[Any]:
    """A tensor of any device as an array; an array as it is."""
    return x.detach().float().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)


def to_uint8(x: Array) -> Bytes:
    """Images (N, C, H, W) in [-1, 1] as bytes (N, H, W, C): (x + 1) * 127.5, rounded; beyond is clamped."""
    values = to_numpy(x).transpose(0, 2, 3, 1)
    scaled = (np.nan_to_num(values, nan=-1.0, posinf=1.0, neginf=-1.0) + 1.0) * 127.5
    return np.ascontiguousarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def user_units(x: Array, signal: Signal) -> NDArray[np.float32]:
    """Points (N, D) in the units of the user's file: offset + scale * x."""
    values = to_numpy(x).astype(np.float64)
    if signal.scale:
        values = values * np.asarray(signal.scale)
    if signal.offset:
        values = values + np.asarray(signal.offset)
    return values.astype(np.float32)
