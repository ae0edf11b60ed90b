"""A picture as the network of a run wants to see it: its size, its channels, its colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from mulligan.data import images
from mulligan.data.images import MAP_COLOURS
from mulligan.errors import Mistake
from mulligan.layers.colours import grey, levels, spelled
from mulligan.layers.lab import to_lab
from mulligan.signals import LIGHTNESS, Signal

CHANNELS = (1, 3, 4)  # that pictures can be brought to
Array = npt.NDArray[np.uint8]


class UnsuitedError(Exception):
    """A picture that can be read, but is not what the run was trained on; the text says why."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        pixels: uint8 (1, C, H, W), C = 4 for a network that sees transparency, else 3, transparent parts on white.
        alpha: its transparency, where it has one.
        coloured: whether it has colours that are not grey.
        cropped: whether its middle was cut out and scaled.
    """

    pixels: Tensor
    alpha: Image.Image | None
    coloured: bool
    cropped: bool


class Door:
    """Brings pictures to a signal.

    Args:
        signal: of what the network takes.
        size: the longer side that pictures are scaled to, in px; None: each keeps its own.
        side: of the squares that are all that the network takes; None: it takes any size.

    Raises:
        ValueError: pictures cannot be brought to it.
    """

    def __init__(self, signal: Signal, size: int | None = None, side: int | None = None) -> None:
        if signal.shape[0] not in CHANNELS:
            rule = "pictures have 1, 3 or 4; from Python: Model.translate"
            raise Mistake(f"this run was trained on images of {signal.shape[0]} channels: {rule}")
        if side is not None and size not in (None, side):
            raise Mistake(f"--size {size}: this run takes images of {side} x {side} px alone; leave it out")
        self.channels, self.size, self.side = signal.shape[0], size, side
        self.lightness = signal.names == (LIGHTNESS,)
        self.palette = palette(signal)

    def enter(self, picture: Image.Image) -> Picture:
        """Of an upright picture, RGB or RGBA.

        Raises:
            UnsuitedError: it has a colour that is none of the palette's.
        """
        with_alpha = picture.mode == "RGBA"
        cropped = self.side is not None and picture.size != (self.side, self.side)
        picture = self._sized(picture)
        alpha = picture.getchannel("A") if with_alpha else None
        flat = images.flat(picture, alpha=self.channels == 4)
        pixels = np.require(images.planes(flat), requirements="W")  # of one pixel it is a view
        if self.palette is not None:
            check_colours(flat, self.palette)
        coloured = self.channels == 1 and not images.is_grey(pixels)
        return Picture(torch.from_numpy(pixels)[None], alpha, coloured, cropped)

    def _sized(self, picture: Image.Image) -> Image.Image:
        flat = self.palette is not None
        if self.side is not None:
            return images.resize(picture, self.side, "crop", flat=flat)
        if self.size is not None and max(picture.size) != self.size:
            return images.fitted(picture, self.size, flat=flat)
        return picture

    def see(self, pixels: Tensor) -> Tensor:
        """Pixels (1, 3 | 4, h, w), uint8, as the network takes them: float32 (1, C, h, w) in [-1, 1]."""
        x = pixels.float() / 127.5 - 1
        if self.lightness:
            return to_lab(x)[:, :1]
        return grey(x) if self.channels == 1 else x


# --- palettes ---------------------------------------------------------------------------------------------------


def palette(signal: Signal) -> Array | None:
    """The colours of maps of labels, (K, 3 | 4); None where any colour will do."""
    if not signal.names or not all(name.startswith("#") for name in signal.names):
        return None
    colours = map(levels, signal.names)
    return np.array([colour * (3 if len(colour) == 1 else 1) for colour in colours], np.uint8)


def check_colours(picture: Image.Image, palette: Array) -> None:
    """Raise UnsuitedError if a picture has a colour that is none of the palette's: it says which, and where."""
    found = picture.getcolors(MAP_COLOURS)
    known = set(map(tuple, palette.tolist()))
    if found is not None and all(colour in known for _, colour in found):
        return
    codes = _codes(palette)
    for y, row in enumerate(np.asarray(picture)):
        odd = ~np.isin(_codes(row), codes)
        if odd.any():
            x = int(odd.argmax())
            near = palette[((palette.astype(int) - row[x]) ** 2).sum(1).argmin()]
            raise UnsuitedError(
                f"{spelled(row[x])} at ({x}, {y}) is none of the {len(palette)} colours that maps of this run have; "
                f"the nearest is {spelled(near)}"
            )
    raise AssertionError("a colour that is nowhere")


def _codes(colours: Array) -> npt.NDArray[np.int64]:
    """Colours (K, C) as numbers (K,)."""
    codes: npt.NDArray[np.int64] = colours.astype(np.int64) @ (256 ** np.arange(colours.shape[1]))
    return codes
