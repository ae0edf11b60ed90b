"""Array files: points from .npy, .npz or .csv, or uint8 images from .npy or .npz."""

from __future__ import annotations

import csv
import io
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mulligan.data import Fit
from mulligan.data.images import resize_all
from mulligan.data.source import (
    DataCard,
    Source,
    array_splits,
    content_keys,
    fingerprint,
    rows_of,
    split_by_content,
)
from mulligan.errors import Mistake
from mulligan.signals import Signal

MAX_BYTES = 4 * 2**30  # of an array, decompressed
KEYS = ("samples", "x")  # of an .npz, looked for in this order; else its first array
LABEL_KEYS = ("labels", "y")
MAX_CLASSES = 100_000
Array = npt.NDArray[Any]


def open_file(path: Path, *, name: str, size: int | None = None, fit: Fit = "crop") -> Source:
    """x: points (N, D) standardised by the training rows, or images (N, C, H, W) in [-1, 1].

    Raises:
        ValueError: the file holds neither; a value is missing or not finite (named by row and column).
    """
    if path.stat().st_size > MAX_BYTES:
        raise Mistake(f"{name} is larger than {MAX_BYTES / 2**30:.0f} GiB: split it or thin it out")
    columns: tuple[str, ...] = ()
    labels: Array | None = None
    if path.suffix.lower() in (".csv", ".tsv"):
        array, columns = read_csv(path, name)
    else:
        array, labels = read_numpy(path, name)
    if len(array) < 2:
        raise Mistake(f"{name} holds {len(array)} rows: at least two are needed")
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        return _images(array, labels, name, size, fit)
    return _points(_as_points(array, name), columns, labels, name)


# --- reading ------------------------------------------------------------------------------------------------


def read_numpy(path: Path, name: str) -> tuple[Array, Array | None]:
    """The array of an .npy, or the named or first one of an .npz, and labels where the .npz has some.

    Nothing is unpickled.
    """
    try:
        _check_magic(path)
        if path.suffix.lower() == ".npy":
            return np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False)), None
        _check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            keys = list(file.keys())
            chosen = [*(key for key in KEYS if key in keys), *(k for k in keys if k not in LABEL_KEYS)]
            if not chosen:
                raise Mistake(f"it holds no array {' or '.join(KEYS)}")
            label = next((key for key in LABEL_KEYS if key in keys and key != chosen[0]), None)
            return _member(file[chosen[0]], chosen[0]), _member(file[label], label) if label else None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise Mistake(f"{name} cannot be read: {_reason(error)}") from error


def _check_magic(path: Path) -> None:
    """numpy would take a file for what it begins like, not for what its name says."""
    with path.open("rb") as file:
        begin = file.read(6)
    if begin != b"\x93NUMPY" and not (path.suffix.lower() == ".npz" and begin[:2] == b"PK"):
        raise Mistake("it is no numpy file; save it with numpy.save or numpy.savez")


def _member(value: Any, key: str) -> Array:
    if not isinstance(value, np.ndarray):
        raise Mistake(f"its part {key} is no numpy array")
    return np.atleast_1d(value)


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "allow_pickle" in text or "pickle" in text.lower():
        return "it holds Python objects, which are never loaded; save plain numbers"
    return text[:160]


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        n_bytes = sum(item.file_size for item in archive.infolist())
    if n_bytes > MAX_BYTES:
        raise Mistake(f"unpacked it would take {n_bytes / 2**30:.1f} GiB, the limit is {MAX_BYTES / 2**30:.0f}")


def read_csv(path: Path, name: str) -> tuple[Array, tuple[str, ...]]:
    """Numbers (N, D) and the columns' names, where the first row is not numbers.

    The delimiter is a comma, semicolon or tab; with semicolons a decimal comma is understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake(f"{name} is not text in UTF-8: save it so") from error
    rows = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise Mistake(f"{name} is empty: give it a row of numbers for each point")
    delimiter = _delimiter(rows[0][1])
    decimal_comma = delimiter == ";"
    header = _cells(rows[0][1], delimiter)
    named = not any(_is_number(cell, decimal_comma) for cell in header)
    body = rows[1:] if named else rows
    if not body:
        raise Mistake(f"{name} holds a header and no rows: give it a row of numbers for each point")
    columns = tuple(cell.strip() for cell in header) if named else ()
    return _numbers(body, delimiter, columns or tuple(map(str, range(1, len(header) + 1))), name), columns


def _delimiter(line: str) -> str:
    counts = {d: line.count(d) for d in ("\t", ";", ",")}
    # The order decides a tie; in "1,5;2,5" the commas are decimal, hence a semicolon beats any comma.
    return next((d for d in ("\t", ";") if counts[d]), ",")


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter))


def _is_number(cell: str, decimal_comma: bool) -> bool:
    try:
        float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return False
    return True


def _numbers(rows: list[tuple[int, str]], delimiter: str, columns: tuple[str, ...], name: str) -> Array:
    lines = [line for _, line in rows]
    if delimiter == ";":
        lines = [line.replace(",", ".") for line in lines]
    try:
        text = io.StringIO("\n".join(lines))
        array = np.loadtxt(text, delimiter=delimiter, comments=None, quotechar='"', ndmin=2, dtype=np.float64)
    except ValueError as error:
        raise Mistake(f"{name}: {_bad_row(rows, lines, delimiter, columns)}") from error
    if array.shape[1] != len(columns):
        raise Mistake(f"{name}: the header has {len(columns)} columns, the rows have {array.shape[1]}")
    for row, column in islice(np.argwhere(~np.isfinite(array)), 1):
        where = f"line {rows[row][0]}, column {columns[column]}"
        raise Mistake(f"{name}: {where} is {array[row, column]}; fill it in or take the line out")
    return array


def _bad_row(rows: list[tuple[int, str]], lines: list[str], delimiter: str, columns: tuple[str, ...]) -> str:
    """Which line and column stopped the fast reader, in words."""
    for (number, _), line in zip(rows, lines, strict=True):
        cells = _cells(line, delimiter)
        if len(cells) != len(columns):
            return f"line {number} has {len(cells)} cells where {len(columns)} are expected; mend the line"
        for column, cell in zip(columns, cells, strict=True):
            if not cell.strip():
                return f"line {number}, column {column} is empty; fill it in or take the line out"
            if not _is_number(cell, False):
                value = repr(cell.strip()[:40])
                return f"line {number}, column {column} is {value}, not a number; leave the column out"
    return "some line is not a row of numbers"


def _as_points(array: Array, name: str) -> npt.NDArray[np.float64]:
    """Numbers of any kind as float64 (N, D), all finite."""
    if array.dtype.kind not in "fiub":
        raise Mistake(f"{name} holds {array.dtype}, not numbers: save it as float32")
    if array.ndim not in (1, 2) or array.size == 0:
        raise Mistake(f"{name} has shape {array.shape}: points are (N, D), images are uint8 (N, H, W, C) or (N, H, W)")
    points = np.asarray(array, np.float64).reshape(len(array), -1)
    for row, column in islice(np.argwhere(~np.isfinite(points)), 1):
        where = f"row {row + 1}, column {column + 1} (counted from 1)"
        raise Mistake(f"{name}: {where} is {points[row, column]}; fill it in or take the row out")
    return points


# --- sources ------------------------------------------------------------------------------------------------


def _points(points: npt.NDArray[np.float64], columns: tuple[str, ...], labels: Array | None, name: str) -> Source:
    split, notes = split_by_content(content_keys(points + 0.0))  # + 0.0 turns -0.0 into 0.0
    x, offset, scale = standardise(points, rows_of(split)["train"])
    still = [columns[i] if columns else str(i + 1) for i in np.flatnonzero(scale == 0)]
    if still:
        notes.append(f"Constant columns carry nothing to learn: {', '.join(still[:10])}.")
    signal = Signal(
        "points",
        (x.shape[1],),
        None,
        names=columns,
        offset=tuple(offset.tolist()),
        scale=tuple(scale.tolist()),
    )
    arrays, signals = _with_labels({"x": x}, {"x": signal}, labels, name)
    return _source(arrays, signals, split, notes, name, "columns standardised", points)


def standardise(points: npt.NDArray[np.float64], rows: Array) -> tuple[Array, Array, Array]:
    """x float32 (N, D), offset and scale (D,) with points = offset + scale * x.

    Mean and standard deviation are those of `rows`, the training rows: the others stay unseen. A constant
    column gets scale 0, so that samples written in the user's units carry exactly the constant.
    """
    offset, spread = points[rows].mean(0), points[rows].std(0)
    rounding = 1e-12 * np.abs(points[rows]).max(0)
    scale = np.where(spread > rounding, spread, 0.0)
    offset = np.where(scale > 0, offset, points[rows[0]])  # the mean of equal numbers may be off by a rounding
    x = (points - offset) / np.where(scale > 0, scale, 1.0)
    x[:, scale == 0] = 0.0
    return x.astype(np.float32), offset, scale


def _images(array: Array, labels: Array | None, name: str, size: int | None, fit: Fit) -> Source:
    """uint8 (N, H, W), or (N, H, W, C) with C 1, 3 or 4."""
    stack = array[..., None] if array.ndim == 3 else array
    if stack.shape[3] not in (1, 3, 4) or 0 in stack.shape:
        raise Mistake(f"{name} has shape {array.shape}: images are (N, H, W) or (N, H, W, C), C 1, 3 or 4")
    original = np.ascontiguousarray(stack.transpose(0, 3, 1, 2))
    h, w = original.shape[2:]
    x = original if size is None and h == w else resize_all(original, size or _size_for(min(h, w)), fit)
    notes = [] if x is original else [f"Images of {w} x {h} px were brought to {x.shape[3]} px ({fit})."]
    split, few = split_by_content(content_keys(x))
    signals = {"x": Signal("image", (x.shape[1], x.shape[2], x.shape[3]))}
    arrays, signals = _with_labels({"x": x}, signals, labels, name)
    source = _source(arrays, signals, split, notes + few, name, "none" if x is original else "resized", x)
    source.facts = {"sizes": {f"{w} x {h}": len(x)}, "aspect": [w / h] * 3, "short_side": [min(w, h)] * 3}
    return source


def _size_for(short_side: int) -> int:
    from mulligan.data.decoding import default_size

    return default_size(short_side)


def _with_labels(
    arrays: dict[str, Array], signals: dict[str, Signal], labels: Array | None, name: str
) -> tuple[dict[str, Array], dict[str, Signal]]:
    if labels is None:
        return arrays, signals
    y = np.asarray(labels)
    if y.dtype.kind not in "iu" or y.shape != (len(arrays["x"]),) or y.min() < 0 or y.max() >= MAX_CLASSES:
        raise Mistake(
            f"{name}: labels are {y.dtype} {y.shape}; they must be whole numbers from 0, one a row, below {MAX_CLASSES}"
        )
    label = Signal("label", (), (0, int(y.max())))
    return {**arrays, "y": y.astype(np.int64)}, {**signals, "y": label}


def _source(
    arrays: dict[str, Array],
    signals: dict[str, Signal],
    split: Array,
    notes: list[str],
    name: str,
    changes: str,
    content: Array,
) -> Source:
    blocks = np.array_split(content, 64)  # bytes are made of one block at a time
    parts = [str(content.shape).encode(), *(block.tobytes() for block in blocks)]
    if "y" in arrays:
        parts.append(arrays["y"].tobytes())
    return Source(
        name=Path(name).stem,
        signals=signals,
        **array_splits(arrays, split),
        fingerprint=fingerprint(parts),
        card=DataCard(Path(name).name, "licence not stated", "authors not stated", changes),
        notes=notes,
    )
