"""One image file: opened within limits, turned upright, laid flat, resized to a square."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mulligan.data import Fit
from mulligan.errors import Mistake

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # nothing else is decoded, whatever a file's name says
MAX_PIXELS = 100_000_000  # of one image; decoded it is three or four bytes each
MAX_FILE_BYTES = 512 * 2**20
MAP_COLOURS = 256  # at most, of a map of labels
SAME_SHAPE = 0.02  # by which the width over height of images of one shape may differ: sizes are rounded
NAMED = 3  # files in a message
Array = npt.NDArray[Any]


class UnreadableError(Exception):
    """A file that is not an image, or only part of one; the text says why."""


class NoMapError(Exception):
    """An image that cannot be a map of labels; the text says why, and what to do."""


class TooLargeError(Mistake):
    """An image beyond the limits: one that is left out silently would be missed."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Pillow's warnings (odd palettes, bad EXIF, big images: our own limit is below its error)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def header(path: Path) -> tuple[int, int, str]:
    """Width, height and Pillow mode, without decoding.

    Raises:
        UnreadableError: not an image.
        TooLargeError: larger than the limits.
    """
    with _opened(path) as image:
        return image.width, image.height, image.mode


def load(path: Path, *, size: int, fit: Fit, alpha: bool, maps: Sequence[bool] = (False,)) -> Array:
    """The image (its first frame) as uint8 (C, size, size), C = 4 with alpha, else 3.

    Args:
        path: of the file.
        size: of the square's side.
        fit: how the image becomes a square.
        alpha: whether transparency is kept.
        maps: of each image in the file, whether it is a map of labels: one of at most 256 colours keeps them, no two
            are mixed. Of two, which lie side by side, (2C, size, size) is returned, one behind the other.

    Raises:
        UnreadableError: not an image, or cut short.
        TooLargeError: larger than the limits.
        ValueError: a map of labels that 8 bits cannot hold.
    """
    with _opened(path) as image:
        try:
            # cut before 16 bits become 8, which for a map is done otherwise than for the picture beside it
            parts = halved(upright(image)) if len(maps) == 2 else [image]
            made = [flat(part, alpha, indices=its) for part, its in zip(parts, maps, strict=True)]
            fitting = [resize(part, size, fit, flat=its and few(part)) for part, its in zip(made, maps, strict=True)]
            return np.concatenate([planes(part) for part in fitting])
        except NoMapError as error:
            raise Mistake(f"--task labels: {shown(path.name)}: {error}; or leave --task out") from error
        except Exception as error:  # a broken file raises OSError, SyntaxError, struct.error, EOFError ...
            raise UnreadableError(_why(error)) from error


def whole(path: Path, *, indices: bool = False) -> Image.Image:
    """The image (its first frame) at its own size, RGB, or RGBA where it has transparency; `indices` as for `flat`.

    Raises:
        UnreadableError: not an image, or cut short.
        TooLargeError: larger than the limits.
    """
    with _opened(path) as image:
        try:
            return flat(image, alpha=image.has_transparency_data, indices=indices)
        except Exception as error:  # see `load`
            raise UnreadableError(_why(error)) from error


def frames(path: Path) -> int:
    """How many there are in a file; of an image 1."""
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise _too_large(path, f"{n_bytes / 2**20:,.0f} MiB", f"{MAX_FILE_BYTES / 2**20:,.0f} MiB")
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:  # Pillow's own limit, beyond ours
        raise _too_large(path, "far too many px", f"{MAX_PIXELS / 1e6:,.0f} megapixels") from error
    except TooLargeError:
        raise
    except Exception as error:  # Pillow has a limit for compressed texts too, and says so by a ValueError
        raise UnreadableError(_why(error)) from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            what = f"{image.width:,} x {image.height:,} px"
            raise _too_large(path, what, f"{MAX_PIXELS / 1e6:,.0f} megapixels")
        yield image


def _too_large(path: Path, what: str, limit: str) -> TooLargeError:
    return TooLargeError(f"{shown(path.name)} is {what}, the limit is {limit}: shrink it or take it out")


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a PNG, JPEG, WebP, GIF or BMP"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.strip().rstrip(".")[:100]


def shown(name: str) -> str:
    """A file's name that any terminal can print."""
    return "".join(c if c.isprintable() else "?" for c in name)


def some(names: Sequence[str]) -> str:
    """The first few of several files' names."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + more


def flat(image: Image.Image, alpha: bool, *, indices: bool = False) -> Image.Image:
    """Upright and 8 bits a channel: RGBA with alpha, else RGB, transparent parts laid on white. Where 16 bits are
    `indices`, of a map of labels, they stay what they are.

    Raises:
        NoMapError: 8 bits cannot hold the indices.
    """
    image = upright(image)
    if image.mode[0] in "IF":
        image = labels(image) if indices else eight_bits(image)
    if alpha:
        return image.convert("RGBA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    top = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", top.size, "white"), top).convert("RGB")


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF says; EXIF that cannot be read is no reason to lose the image."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey image as 8-bit: v / 257, rounded."""
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def labels(image: Image.Image) -> Image.Image:
    """A 16-bit map of labels as 8-bit: each index a grey level, as in 8-bit maps, which may also have been stretched to
    16 bits, v * 257. Scaling anything else would make one label of several.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() >= 0 and values.max() < MAP_COLOURS:
        return Image.fromarray(values.astype(np.uint8))
    if not (values % 257).any():
        return eight_bits(image)
    n = len(np.unique(values))
    if n > MAP_COLOURS:
        raise NoMapError(f"{n:,} labels are more than {MAP_COLOURS} colours, so it is no map of labels")
    raise NoMapError(f"16-bit labels up to {values.max():,} do not fit in 8 bits; number them from 0 to 255")


def halved(image: Image.Image) -> list[Image.Image]:
    """The left and the right half."""
    middle = image.width // 2
    return [image.crop((left, 0, left + middle, image.height)) for left in (0, image.width - middle)]


def few(image: Image.Image) -> bool:
    """Whether an image that is given as a map of labels has so few colours that it can be one."""
    return image.getcolors(MAP_COLOURS) is not None


def resize(image: Image.Image, size: int, fit: Fit, *, flat: bool = False) -> Image.Image:
    """A square of side `size`: Lanczos (antialiased) where it shrinks, bicubic where it grows; where its colours are
    `flat`, the nearest pixel.

    Pillow multiplies colours by alpha before it resizes, so transparent colours do not bleed.
    """
    w, h = image.size
    if fit == "pad":
        return _padded(image, size, flat)
    side = min(w, h)
    left, top = (w - side) / 2, (h - side) / 2
    box = (0.0, 0.0, float(w), float(h)) if fit == "stretch" else (left, top, left + side, top + side)
    return _scaled(image, (size, size), box, flat)


def fitted(image: Image.Image, size: int, *, flat: bool = False) -> Image.Image:
    """The image with a longer side of `size`; see `resize`."""
    w, h = image.size
    return _scaled(image, inner(w, h, size), (0.0, 0.0, float(w), float(h)), flat)


def inner(w: int, h: int, size: int) -> tuple[int, int]:
    """Width and height of an image of w x h px that is scaled to a longer side of `size`."""
    scale = size / max(w, h)
    return max(1, round(w * scale)), max(1, round(h * scale))


def _padded(image: Image.Image, size: int, flat: bool) -> Image.Image:
    picture = fitted(image, size, flat=flat)
    fill = (255, 255, 255, 0) if image.mode == "RGBA" else "white"
    canvas = Image.new(image.mode, (size, size), fill)
    canvas.paste(picture, _corner(picture.size, size))
    return canvas


def _corner(of: tuple[int, int], size: int) -> tuple[int, int]:
    """Left and top of a picture in the middle of a square."""
    return (size - of[0]) // 2, (size - of[1]) // 2


def _scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float], flat: bool
) -> Image.Image:
    shrinks = size[0] < box[2] - box[0] or size[1] < box[3] - box[1]
    method = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    if flat:
        method = Image.Resampling.NEAREST
    return image.resize(size, method, box=box)


def planes(image: Image.Image) -> Array:
    """uint8 (C, H, W) of an L, RGB or RGBA image."""
    array = np.asarray(image)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def resize_all(images: Array, size: int, fit: Fit) -> Array:
    """uint8 (N, C, H, W) as (N, C, size, size); the same rules as for files."""
    if images.shape[2:] == (size, size):
        return images
    out = np.empty((*images.shape[:2], size, size), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0).copy())
        out[i] = planes(resize(picture, size, fit))
    return out


def is_grey(image: Array) -> bool:
    """Whether the three colours of uint8 (3, H, W) are the same everywhere."""
    return bool((image[0] == image[1]).all() and (image[0] == image[2]).all())


def one_colour(image: Array, w: int, h: int, fit: Fit) -> bool:
    """Whether uint8 (C, S, S), made of an image of w x h px, is of one colour all over, white edges aside."""
    if fit == "pad":
        width, height = inner(w, h, image.shape[2])
        left, top = _corner((width, height), image.shape[2])
        image = image[:, top : top + height, left : left + width]
    return bool((image == image[:, :1, :1]).all())
