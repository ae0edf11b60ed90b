"""CIE Lab: brightness L in one channel, colour a, b in two, spaced as eyes see them (CIE 1976, white D65, 2°).

Here images are in [-1, 1]: an RGB image is sRGB, L is scaled from [0, 100], a and b by 110, which no colour of sRGB
exceeds.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHROMA = 110.0
TO_XYZ = torch.tensor(((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)))
FROM_XYZ = torch.linalg.inv(TO_XYZ)
WHITE = (0.950456, 1.0, 1.088754)
EPS, KAPPA = (6 / 29) ** 3, (29 / 3) ** 3 / 100
ROUNDING = 1e-3  # beyond [-1, 1] that is still shown: an eighth of a level
STEPS = 12  # of the search for colours that a screen can show: 1/4096 of a colour's strength
SEEN = 1e-3  # of a brightness: 0.05 of L's 100, less than a step of 8 bits


def to_lab(x: Tensor) -> Tensor:
    """sRGB images (N, 3, H, W) in [-1, 1] -> (L, a, b) (N, 3, H, W) in [-1, 1]. In float32, whatever is around it:
    bfloat16 has three digits, and a and b are differences.
    """
    with torch.autocast(x.device.type, enabled=False):
        u = ((x.float() + 1) / 2).clamp(0, 1)
        linear = torch.where(u > 0.04045, ((u + 0.055) / 1.055).clamp(min=0) ** 2.4, u / 12.92)
        xyz = _matrix(linear, TO_XYZ) / _column(WHITE, x)
        f = torch.where(xyz > EPS, xyz.clamp(min=EPS) ** (1 / 3), (KAPPA * 100 * xyz + 16) / 116)
        fx, fy, fz = torch.split(f, 1, 1)
        return torch.cat([(116 * fy - 16) / 50 - 1, 500 * (fx - fy) / CHROMA, 200 * (fy - fz) / CHROMA], 1)


def unclipped_rgb(lab: Tensor) -> Tensor:
    """(L, a, b) (N, 3, H, W) in [-1, 1] -> sRGB; beyond [-1, 1] where a screen has no such colour. In float32."""
    with torch.autocast(lab.device.type, enabled=False):
        lightness, a, b = torch.split(lab.float(), 1, 1)
        fy = ((lightness + 1) * 50 + 16) / 116
        f = torch.cat([fy + a * CHROMA / 500, fy, fy - b * CHROMA / 200], 1)
        xyz = torch.where(f > 6 / 29, f**3, (116 * f - 16) / (KAPPA * 100)) * _column(WHITE, lab)
        linear = _matrix(xyz, FROM_XYZ)
        u = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
        return 2 * u - 1


def to_rgb(lab: Tensor) -> Tensor:
    """(L, a, b) (N, 3, H, W) in [-1, 1] -> sRGB in [-1, 1] of the same brightness L everywhere.

    Where a screen cannot show a colour as bright, the colour is made weaker until it can: clipping would change L.
    """
    grey, colour = lab[:, :1].float(), lab[:, 1:].float()
    low, high = torch.zeros_like(grey), torch.ones_like(grey)
    for _ in range(STEPS):
        middle = (low + high) / 2
        fits = _shown(torch.cat([grey, middle * colour], 1), 0.0)
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    strength = torch.where(_shown(lab, ROUNDING), 1.0, low)
    return unclipped_rgb(torch.cat([grey, strength * colour], 1)).clamp(-1, 1)


def as_bright(x: Tensor, lightness: Tensor) -> Tensor:
    """sRGB images x (N, 3, H, W) in [-1, 1] where they are as bright as `lightness` (N, 1, H, W) in [-1, 1] says; where
    they are not, with that brightness and the same a, b as far as a screen can show them.
    """
    lab = to_lab(x)
    off = ((lab[:, :1] - lightness).abs() > SEEN)[:, 0]
    if not off.any():
        return x
    wanted = torch.cat([lightness, lab[:, 1:]], 1).movedim(1, 0)[:, off]  # (3, pixels)
    made = x.movedim(1, 0).clone()
    made[:, off] = to_rgb(wanted[None, :, None])[0, :, 0]
    return made.movedim(0, 1)


def _shown(lab: Tensor, beyond: float) -> Tensor:
    """bool (N, 1, H, W): whether a screen can show it."""
    return (unclipped_rgb(lab).abs() <= 1 + beyond).all(1, keepdim=True)


def _matrix(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix.to(x), x)


def _column(values: tuple[float, ...], x: Tensor) -> Tensor:
    return torch.tensor(values, device=x.device).view(1, -1, 1, 1)
