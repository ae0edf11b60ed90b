"""Captioned pictures in rows: what projection, arithmetic, edits and style mixing show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor

from mulligan import pictures, plot
from mulligan.arrays import to_uint8

SIDE = 128  # px that a tile has at least; smaller images are enlarged by a whole number
GAP, LINE = 10, 17
TEXT, SIGN = 13, 30


class Tile(NamedTuple):
    """A picture with the words below it, or between pictures a sign."""

    picture: Image.Image | str
    words: str = ""


def tile(x: Tensor, words: str = "") -> Tile:
    """Of an image (C, H, W) or (1, C, H, W) in [-1, 1]."""
    picture = pictures.image(to_uint8(x.reshape(1, *x.shape[-3:]))[0])
    times = math.ceil(SIDE / min(picture.size))
    size = (picture.width * times, picture.height * times)
    return Tile(picture.resize(size, Image.Resampling.NEAREST).convert("RGBA"), words)


def square(x: Tensor, words: str = "") -> Tile:
    """Of the images (N, C, H, W), as a grid."""
    return Tile(pictures.grid(to_uint8(x), math.ceil(math.sqrt(len(x)))).convert("RGBA"), words)


def sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """The rows below each other, on white."""
    drawn = [_row(row) for row in rows]
    page = Image.new("RGB", (max(r.width for r in drawn), sum(r.height for r in drawn)), "white")
    top = 0
    for row in drawn:
        page.paste(row, (0, top))
        top += row.height
    return page


def _row(tiles: Sequence[Tile]) -> Image.Image:
    lines = [_wrapped(t) for t in tiles]
    high = max(t.picture.height for t in tiles if isinstance(t.picture, Image.Image))
    deep = max(map(len, lines)) * LINE
    page = Image.new("RGB", (GAP + sum(_width(t) + GAP for t in tiles), high + deep + 2 * GAP), "white")
    draw, left = ImageDraw.Draw(page), GAP
    for t, words in zip(tiles, lines, strict=True):
        middle = left + _width(t) / 2
        if isinstance(t.picture, str):
            draw.text((middle, GAP + high / 2), t.picture, plot.rgb("ink"), plot.font(SIGN), anchor="mm")
        else:
            page.paste(t.picture, (left, GAP + (high - t.picture.height) // 2), t.picture)
            for i, line in enumerate(words):
                draw.text((middle, GAP + high + 11 + i * LINE), line, plot.rgb("ink"), plot.font(TEXT), anchor="mm")
        left += _width(t) + GAP
    return page


def _width(t: Tile) -> int:
    if isinstance(t.picture, str):
        return math.ceil(plot.text_width(t.picture, SIGN))
    return t.picture.width


def _wrapped(t: Tile) -> list[str]:
    """The words in lines as wide as the tile."""
    lines: list[str] = []
    for word in t.words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and plot.text_width(longer, TEXT) <= _width(t) + GAP / 2:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
