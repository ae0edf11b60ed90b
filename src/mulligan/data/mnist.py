"""MNIST, whole: embedded as one compressed file, decoded once into the cache and memory-mapped from there."""

from __future__ import annotations

import hashlib
import lzma
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mulligan.data import Fit, cache
from mulligan.data.images import resize_all
from mulligan.data.source import ArraySplit, DataCard, Source, fingerprint
from mulligan.errors import Mistake
from mulligan.signals import Signal

PACKED = Path(__file__).parent / "embedded" / "mnist.xz"
# The four idx files of the original, decompressed, one after another: bytes and SHA-256 of each.
PARTS = (
    ("train-images", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
ROWS = {"train": (0, 50_000), "held_out": (50_000, 60_000), "test": (60_000, 70_000)}
CARD = DataCard(
    origin="MNIST",
    licence="CC BY-SA 3.0",
    authors="Yann LeCun and Corinna Cortes, from NIST data",
    changes="re-encoded losslessly",
)
Array = npt.NDArray[Any]


def open_mnist(*, size: int | None = None, fit: Fit = "crop") -> Source:
    """x: (N, 1, 28, 28) in [-1, 1], or of side `size`; y: the digit.

    train is the first 50,000 of the original training file, held_out its last 10,000, test the test file.
    """
    arrays, notes = load_arrays(size or 28, fit)
    splits = {name: ArraySplit(arrays, np.arange(*rows)) for name, rows in ROWS.items()}
    return Source(
        name="mnist",
        signals={
            "x": Signal("image", (1, *arrays["x"].shape[2:])),
            "y": Signal("label", (), (0, 9), names=tuple("0123456789")),
        },
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=content_fingerprint(size or 28),
        card=CARD,
        notes=notes,
        digits=True,
    )


def content_fingerprint(size: int) -> str:
    """Of the original's checksums, which every decoding is held to, and the size."""
    return fingerprint([*(digest.encode() for _, _, digest in PARTS), str(size).encode()])


def load_arrays(size: int, fit: Fit) -> tuple[dict[str, Array], list[str]]:
    """x uint8 (70000, 1, size, size) and y int64 (70000,), memory-mapped; in memory if the cache is shut."""
    try:
        return _mapped(size, fit), []
    except cache.CacheError as error:
        note = f"MNIST is held in memory, for {error}."
        return _decoded(size, fit), [note]


def cached(size: int = 28, fit: Fit = "crop") -> Path:
    """The cache's folder with x.npy and y.npy."""
    return cache.stored(_entry(size), partial(_make, size=size, fit=fit))


def _entry(size: int) -> str:
    return f"mnist-{size}-{content_fingerprint(size)}"


def _mapped(size: int, fit: Fit) -> dict[str, Array]:
    return cache.opened(_entry(size), partial(_make, size=size, fit=fit), partial(_load, size=size))


def _load(place: Path, *, size: int) -> dict[str, Array]:
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    y = np.load(place / "y.npy", allow_pickle=False)
    if x.shape != (70_000, 1, size, size) or x.dtype != np.uint8 or y.shape != (70_000,):
        raise Mistake("the parts of the cache entry have another shape")
    return {"x": x, "y": y}


def _make(place: Path, *, size: int, fit: Fit) -> dict[str, Any]:
    for key, array in _decoded(size, fit).items():
        with cache.ArrayWriter(place / f"{key}.npy", array.shape[1:], array.dtype) as writer:
            for row in array:
                writer.append(row)
    return {"source": "mnist", "size": size, "credit": CARD.credit}


def _decoded(size: int, fit: Fit) -> dict[str, Array]:
    train_x, train_y, test_x, test_y = unpack(PACKED.read_bytes())
    images = np.frombuffer(train_x[16:] + test_x[16:], np.uint8).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(train_y[8:] + test_y[8:], np.uint8).astype(np.int64)
    return {"x": resize_all(images, size, fit), "y": labels}


def unpack(packed: bytes) -> list[bytes]:
    """The four original idx files, decompressed.

    Packed are first a bit for each byte (is it above zero?), then the bytes that are: the strokes' outline
    compresses better apart from their grey levels.

    Raises:
        ValueError: the pack is damaged, or a file differs from the original.
    """
    n = sum(length for _, length, _ in PARTS)
    try:
        split = np.frombuffer(lzma.decompress(packed), np.uint8)
    except lzma.LZMAError as error:
        raise Mistake(f"{PACKED.name} is damaged ({error}): install mulligan anew") from error
    values = np.zeros(n, np.uint8)
    values[np.unpackbits(split[: (n + 7) // 8], count=n).view(bool)] = split[(n + 7) // 8 :]
    whole, parts, start = values.tobytes(), [], 0
    for name, length, digest in PARTS:
        part = whole[start : start + length]
        start += length
        if hashlib.sha256(part).hexdigest() != digest:
            raise Mistake(f"{PACKED.name} is damaged ({name} has another checksum): install mulligan anew")
        parts.append(part)
    return parts
