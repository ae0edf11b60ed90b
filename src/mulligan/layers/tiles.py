"""Images of any size through a network whose sides are multiples of a number: padded, cut into overlapping tiles,
blended, and cut back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 512
OVERLAP = 96  # px at least: a third each for the fade and, at either end of it, for what padding has spoiled
Make = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]


class Cut(NamedTuple):
    """A side in tiles.

    Attributes:
        seen: for each pixel of the padded side, the one of the image that stands there, int64 (padded,).
        length: of a tile.
        starts: of the tiles; all multiples, so that strides meet each tile in the same phase.
    """

    seen: Tensor
    length: int
    starts: list[int]


def cut(side: int, multiple: int, tile: int, least: int = 1) -> Cut:
    """A side in tiles of about `tile`, none below `least`, spread evenly, with overlaps of at least OVERLAP."""
    overlap, least = up(OVERLAP, multiple), up(least, multiple)
    padded, length = max(up(side, multiple), least), max(tile // multiple * multiple, 2 * overlap, least)
    if padded <= length:
        return Cut(mirrored(side, padded), padded, [0])
    gaps = math.ceil((padded - overlap) / (length - overlap)) - 1
    last = (padded - length) // multiple
    return Cut(mirrored(side, padded), length, [last * i // gaps * multiple for i in range(gaps + 1)])


def up(n: int, multiple: int) -> int:
    """The next multiple."""
    return math.ceil(n / multiple) * multiple


def mirrored(side: int, padded: int) -> Tensor:
    """0 ... side - 1 and on to `padded`, mirrored at the last pixel, or that one repeated where there are too few."""
    index = torch.arange(padded)
    if padded - side < side:
        return torch.where(index < side, index, 2 * (side - 1) - index)
    return index.clamp(max=side - 1)


def bands(
    x: Tensor, make: Make, *, multiple: int = 1, least: int = 1, tile: int = TILE, progress: Progress | None = None
) -> Iterator[Tensor]:
    """What `make` makes of images x (N, C, H, W), float32 (N, C', h, W), from top to bottom: no more than two bands are
    in memory at once.

    Args:
        x: of any type that `make` takes.
        make: (N, C, h, w) -> (N, C', h, w); sides are multiples.
        multiple: of which.
        least: the smallest of them.
        tile: side of a tile; an image no larger is seen as a whole.
        progress: called with the tiles done, and all.
    """
    _, _, height, width = x.shape
    down, across = (cut(side, multiple, tile, least) for side in (height, width))
    done, n = 0, len(down.starts) * len(across.starts)

    def made(top: int, left: int) -> Tensor:
        nonlocal done
        rows, columns = down.seen[top : top + down.length], across.seen[left : left + across.length]
        y = make(x[:, :, rows[:, None], columns])
        assert y.shape[2:] == (len(rows), len(columns)), f"{len(rows)} x {len(columns)} became {tuple(y.shape[2:])}"
        done += 1
        if progress is not None:
            progress(done, n)
        return y

    def band(top: int) -> Tensor:
        tiles = (made(top, left) for left in across.starts)
        return torch.cat(list(blended(tiles, across.starts, 3)), 3)[..., :width]

    left = height
    for part in blended((band(top) for top in down.starts), down.starts, 2):
        yield part[:, :, :left]
        left -= part.shape[2]


def blended(parts: Iterable[Tensor], starts: list[int], dim: int) -> Iterator[Tensor]:
    """Parts that overlap along `dim` as parts that follow each other."""
    before: Tensor | None = None  # of the parts so far, what the next one overlaps
    for part, start, following in zip(parts, starts, [*starts[1:], None], strict=True):
        whole = part if before is None else faded(before, part, dim)
        keep = whole.shape[dim] if following is None else following - start
        yield whole.narrow(dim, 0, keep)
        before = whole.narrow(dim, keep, whole.shape[dim] - keep)


def faded(before: Tensor, after: Tensor, dim: int) -> Tensor:
    """`after` with its first pixels faded in from `before`; where the two are equal, nothing changes, to the bit."""
    shared = before.shape[dim]
    weight = fade(shared).to(after.dtype).view([-1 if d == dim else 1 for d in range(after.ndim)])
    begin, rest = torch.split(after, [shared, after.shape[dim] - shared], dim)
    return torch.cat([torch.lerp(before, begin, weight), rest], dim)


def fade(n: int) -> Tensor:
    """n weights: 0 for a third, then half a cosine up to 1, 1 for the last third."""
    third = n // 3
    t = (torch.arange(n) + 0.5 - third) / (n - 2 * third)
    return 0.5 - 0.5 * torch.cos(math.pi * t.clamp(0, 1))
