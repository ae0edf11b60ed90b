"""Sides of images: how one is reached by doublings from a small first map, and how images are brought to one."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from mulligan.errors import Mistake


def first_map(size: int, *, smallest: int = 4, least: int = 2) -> tuple[int, int]:
    """(side of the first map, number of doublings) that lead to an image of side `size`.

    Halves as long as the side stays even and at least `smallest`: 28 -> (7, 2), 64 -> (4, 4).

    Raises:
        ValueError: fewer than `least` doublings would be left.
    """
    side, doublings = size, 0
    while side % 2 == 0 and side // 2 >= smallest:
        side, doublings = side // 2, doublings + 1
    if doublings < least:
        low = max(16, size // 4 * 4)
        raise Mistake(f"--size {size}: this network needs a multiple of 4, 16 or more; try {low} or {low + 4}")
    return side, doublings


def square(shape: tuple[int | None, ...]) -> tuple[int, int]:
    """(channels, side) of an image's shape (C, H, W).

    Raises:
        ValueError: the image is not square.
    """
    channels, height, width = shape
    if height != width or channels is None or height is None:
        raise Mistake(
            f"images of {width}x{height} px: this network needs squares; add --size {min(height or 64, width or 64)}"
        )
    return channels, height


def resized(x: Tensor, size: int) -> Tensor:
    """Images (N, C, size, size), by bicubic interpolation that averages when it shrinks; x itself at that
    size.
    """
    if x.shape[2:] == (size, size):
        return x
    return interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)
