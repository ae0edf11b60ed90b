"""Writers of generated samples: a grid, a folder, an array file, a table, a walk, a picture.

Every file says in its metadata that it is synthetic, by which model and from which seed; `read_provenance`
reads that back. Files are written aside and renamed, and none is replaced unless asked.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from torch import Tensor

from mulligan import __version__, pictures
from mulligan.arrays import Array, Bytes, to_uint8, user_units
from mulligan.errors import Mistake
from mulligan.signals import Signal

PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # that one picture is written as
QUALITY = {".jpg": 95, ".jpeg": 95, ".webp": 92}
_DESCRIPTION, _SOFTWARE, _EXIF, _COMMENT = 0x010E, 0x0131, 0x8769, 0x9286  # tags of EXIF
_ASCII = b"ASCII\0\0\0"  # how an EXIF comment says what it is written in
_SUFFIXES = {"image": ".png (a grid), a folder, .npz or .gif (a walk)", "points": ".png (a plot), .npz, .csv or .gif"}


def write(
    x: Array,
    signal: Signal,
    out: Path | str,
    *,
    beside: Mapping[str, Array] | None = None,
    row: Mapping[str, Array] | None = None,
    provenance: dict[str, Any],
    columns: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write samples as the suffix of `out` says; return the path.

    .png: a grid of images, a scatter plot of points (their first two columns), a histogram of numbers.
    No suffix: a folder of 00000.png, 00001.png ... .npz: `samples`, uint8 (N, H, W, C) for images, float32
    (N, D) in the user's units for points, and `provenance`, JSON. .csv: points, one a line.

    Args:
        x: images (N, C, H, W) in [-1, 1] or points (N, D).
        signal: what x is.
        out: the file or folder; missing parents are made.
        beside: what else belongs to each image, by its key: at its right in pictures, an array of its own in .npz.
        row: what the grid shows of each sample, from left to right; default: the image and what is beside it.
        provenance: how the samples came to be; at least `model` (its hash) and `seed`.
        columns: tiles in a row of the grid; default: about as many as rows.
        overwrite: replace what is there.

    Raises:
        ValueError: `out` exists, cannot be written, or does not suit the samples.
    """
    out = Path(out)
    with told(out):
        return _write(x, signal, out, beside or {}, row, provenance, columns, overwrite)


def _write(
    x: Array,
    signal: Signal,
    out: Path,
    beside: Mapping[str, Array],
    row: Mapping[str, Array] | None,
    provenance: dict[str, Any],
    columns: int | None,
    overwrite: bool,
) -> Path:
    suffix = out.suffix.lower()
    images = signal.kind == "image"
    if suffix == ".png":
        assert images or signal.kind == "points", f"no picture of {signal.kind} is known"
        tiles = pictures.side_by_side(row or {"x": x, **beside})
        picture = pictures.grid(to_uint8(tiles), columns) if images else pictures.look_grid(x, None, signal)
        return save_png(picture, out, provenance, overwrite=overwrite)
    if suffix == ".npz":
        arrays = {"samples": to_uint8(x) if images else user_units(x, signal)}
        arrays |= {key: to_uint8(other) for key, other in beside.items()}
        return save(npz(provenance, **arrays), out, overwrite=overwrite)
    if suffix == ".csv" and not images:
        return save(_csv(user_units(x, signal), signal, provenance).encode(), out, overwrite=overwrite)
    if suffix == "" and images:
        return _write_folder(to_uint8(pictures.side_by_side({"x": x, **beside})), out, provenance, overwrite)
    what = "images" if images else "points"
    raise Mistake(f"-o {out}: {what} cannot be written so; use {_SUFFIXES[signal.kind]}")


def write_walk(
    frames: Array | Sequence[Image.Image],
    out: Path | str,
    provenance: dict[str, Any],
    *,
    signal: Signal | None = None,
    milliseconds: int = 50,
    overwrite: bool = False,
) -> Path:
    """Write an endless GIF.

    Args:
        frames: pictures, or images (T, C, H, W) or (T, N, C, H, W) in [-1, 1] (a grid a frame), or points
            (T, N, D) (a plot a frame, all with the same axes).
        out: the file.
        provenance: as for `write`.
        signal: of points, for their units and names.
        milliseconds: each frame is shown; GIF knows steps of 10.
        overwrite: replace what is there.
    """
    out = Path(out)
    if out.suffix.lower() != ".gif":
        raise Mistake(f"-o {out}: a walk is written as .gif; name the file so")
    shown = pictures.frames(frames, signal) if isinstance(frames, Tensor | np.ndarray) else list(frames)
    if not shown:
        raise Mistake(f"-o {out}: a walk needs at least one frame; ask for more steps")
    with told(out):
        return save(gif(shown, provenance, milliseconds=milliseconds), out, overwrite=overwrite)


@contextmanager
def told(out: Path) -> Iterator[None]:
    """Inside, what the system refuses becomes the one line that the user of -o reads."""
    try:
        yield
    except OSError as error:
        raise Mistake(f"-o {out} cannot be written ({error.strerror or error}); choose another place") from error


def save_png(picture: Image.Image, out: Path | str, provenance: dict[str, Any], *, overwrite: bool = False) -> Path:
    """Write one picture as PNG with its provenance.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    return save(png(picture, provenance), out, overwrite=overwrite)


def png(picture: Image.Image, provenance: dict[str, Any]) -> bytes:
    """One picture as PNG with its provenance."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=_png_note(provenance))
    return buffer.getvalue()


def encoded(picture: Image.Image, suffix: str, provenance: dict[str, Any]) -> bytes:
    """One picture as one of PICTURES, with its provenance; what is transparent is laid on white where it has to be."""
    if suffix == ".png":
        return png(picture, provenance)
    buffer = io.BytesIO()
    if suffix == ".webp":
        picture.save(buffer, "WEBP", quality=QUALITY[suffix], exif=_exif(provenance))
    else:
        _on_white(picture).save(buffer, "JPEG", quality=QUALITY[suffix], subsampling=0, exif=_exif(provenance))
    return buffer.getvalue()


def gif(
    frames: Sequence[Image.Image],
    provenance: dict[str, Any],
    *,
    milliseconds: int | list[int] = 50,
    dither: bool = True,
) -> bytes:
    """Pictures of one size as an endless GIF with one palette, so that still parts do not flicker."""
    first, *rest = _one_palette(frames, dither)
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, optimize=False,
        comment=json.dumps(full(provenance)).encode("ascii"),
    )  # fmt: skip
    return buffer.getvalue()


def npz(provenance: dict[str, Any], **arrays: NDArray[Any]) -> bytes:
    """Arrays by name, and `provenance`, JSON."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, provenance=np.array(json.dumps(full(provenance))))  # type: ignore[arg-type]
    return buffer.getvalue()


def save(content: bytes, out: Path | str, *, overwrite: bool = False) -> Path:
    """Write the bytes of a file.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    return save_by(Path(out), overwrite, lambda file: file.write_bytes(content))


def read_provenance(file: Path | str) -> dict[str, Any] | None:
    """What one of the files written here says of itself, or None."""
    file = Path(file)
    suffix = file.suffix.lower()
    found: Any = None
    if suffix in (".png", ".gif"):
        with Image.open(file) as picture:
            found = picture.info.get("mulligan" if suffix == ".png" else "comment")
    elif suffix in PICTURES:
        with Image.open(file) as picture:
            found = picture.getexif().get_ifd(_EXIF).get(_COMMENT, b"").removeprefix(_ASCII)
    elif suffix in (".mp4", ".webm"):
        from mulligan import video  # which writes with this module

        found = video.read_comment(file)
    elif suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            found = str(arrays["provenance"]) if "provenance" in arrays else None
    elif suffix == ".csv":
        with file.open(encoding="utf-8") as lines:
            found = lines.readline().removeprefix("# ")
    try:
        told = json.loads(found) if found else None
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


# Palettes


def _one_palette(frames: Sequence[Image.Image], dither: bool) -> list[Image.Image]:
    flat = [_on_white(frame) for frame in frames]
    if all(picture.mode == "L" for picture in flat):
        return flat  # the 256 greys are a palette
    some = [flat[i].convert("RGB") for i in np.linspace(0, len(flat) - 1, min(len(flat), 12)).astype(int)]
    strip = Image.new("RGB", (some[0].width, sum(p.height for p in some)))
    for i, picture in enumerate(some):
        strip.paste(picture, (0, i * picture.height))
    palette = strip.quantize(256, Image.Quantize.MEDIANCUT)
    white = (np.asarray(strip) == 255).all(2)
    if white.any():  # a palette holds means of like colours; the page's white has to stay white
        colours = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
        colours[colours.min(1) > 242] = 255
        palette.putpalette(colours.tobytes())
    how = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    return [picture.convert("RGB").quantize(palette=palette, dither=how) for picture in flat]


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode not in ("LA", "RGBA"):
        return picture
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    return page.convert("L" if picture.mode == "LA" else "RGB")


# Files


def full(provenance: dict[str, Any]) -> dict[str, Any]:
    """A provenance with what each has."""
    assert {"model", "seed"} <= provenance.keys(), "provenance names the model and the seed"
    return {"synthetic": True, "software": f"mulligan {__version__}", **provenance}


def _png_note(provenance: dict[str, Any]) -> PngImagePlugin.PngInfo:
    told = full(provenance)
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", told["software"])
    note.add_text("Description", sentence(told))
    note.add_text("mulligan", json.dumps(told))
    return note


def _exif(provenance: dict[str, Any]) -> Image.Exif:
    told = full(provenance)
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = told["software"], sentence(told)
    exif.get_ifd(_EXIF)[_COMMENT] = _ASCII + json.dumps(told).encode("ascii")
    return exif


def sentence(provenance: dict[str, Any]) -> str:
    """A provenance for people."""
    return f"Synthetic: generated by model {provenance['model']} from seed {provenance['seed']}"


def _csv(points: NDArray[np.float32], signal: Signal, provenance: dict[str, Any]) -> str:
    names = signal.names or tuple(f"x{i}" for i in range(points.shape[1]))
    lines = [f"# {json.dumps(full(provenance))}", ",".join(_quoted(name) for name in names)]
    lines += [",".join(f"{value:.9g}" for value in point) for point in points]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    if not any(c in name for c in ',"\n'):
        return name
    return '"' + name.replace('"', '""').replace("\n", " ") + '"'


def _write_folder(images: Bytes, out: Path, provenance: dict[str, Any], overwrite: bool) -> Path:
    def fill(folder: Path) -> None:
        folder.mkdir()
        for i, pixels in enumerate(images):
            pictures.image(pixels).save(folder / f"{i:05d}.png", pnginfo=_png_note({**provenance, "index": i}))

    return save_by(out, overwrite, fill)


def save_by(out: Path, overwrite: bool, fill: Callable[[Path], Any]) -> Path:
    """Let `fill` write a file or folder aside, then give it its name.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    _check_free(out, overwrite)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fill(aside)
        if out.is_dir():
            shutil.rmtree(out)  # empty, or full of our own numbered pictures
        os.replace(aside, out)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        elif aside.exists():
            aside.unlink()
    return out


def _check_free(out: Path, overwrite: bool) -> None:
    """Raise ValueError unless `out` may be written: nothing is there, or it may be replaced."""
    if not out.exists() or (out.is_dir() and not out.suffix and not any(out.iterdir())):
        return
    if not overwrite:
        raise Mistake(f"-o {out} exists; choose another name, or --overwrite")
    if out.is_dir() and not all(p.suffix == ".png" and p.stem.isdigit() for p in out.iterdir()):
        raise Mistake(f"-o {out} holds other files too and is not replaced; choose another name")
