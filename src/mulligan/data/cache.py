"""The cache: decoded data in a folder of the user's, written aside and renamed, so whole or not there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from mulligan.errors import Mistake

META = "meta.json"  # written last: an entry that has it is complete
PARTIAL = ".partial"
STALE_SECONDS = 24 * 3600  # a partial entry this old was left by a process that died
Array = npt.NDArray[Any]
Loaded = TypeVar("Loaded")


class CacheError(Mistake):
    """The cache cannot be written."""


def folder() -> Path:
    """Where the cache lies: MULLIGAN_CACHE, or the platform's place for caches."""
    chosen = os.environ.get("MULLIGAN_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise CacheError("no home folder to cache in: set MULLIGAN_CACHE to a folder") from error
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "mulligan" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "mulligan"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "mulligan"


def stored(name: str, make: Callable[[Path], dict[str, Any]], *, family: str = "") -> Path:
    """The cache's folder `name`; where it is missing, `make` fills it.

    Args:
        name: of the entry; it must change whenever its content would.
        make: writes files into the folder it is given and returns what goes into meta.json.
        family: other entries whose names begin so are outdated by this one and removed.

    Raises:
        CacheError: the place cannot be written; names it and the mend. Nothing half-written remains.
    """
    place = folder() / name
    if (place / META).is_file():
        return place
    partial = folder() / f"{name}.{secrets.token_hex(4)}{PARTIAL}"
    try:
        partial.mkdir(parents=True)
        meta = make(partial)
        (partial / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")
        _settle(partial, place)
    except OSError as error:
        raise CacheError(_message(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _tidy(place, family)
    return place


def opened(
    name: str, make: Callable[[Path], dict[str, Any]], load: Callable[[Path], Loaded], *, family: str = ""
) -> Loaded:
    """What `load` reads from the entry `name`; an entry that was damaged is made anew.

    Args:
        name: as for `stored`.
        make: likewise.
        load: given the entry's folder; it raises ValueError, or whatever numpy and json do, if the entry is damaged.
        family: as for `stored`.

    Raises:
        CacheError: the place cannot be written, or returns other data than was written.
    """
    for _ in range(2):
        place = stored(name, make, family=family)
        try:
            return load(place)
        except (OSError, ValueError, KeyError, EOFError):
            discard(place)
    raise CacheError(f"the cache in {folder()} returns other data than was written")


def meta(place: Path) -> dict[str, Any]:
    """What `make` returned when the entry was made."""
    data: dict[str, Any] = json.loads((place / META).read_text(encoding="utf-8"))
    return data


def discard(place: Path) -> None:
    """Remove an entry, the mark of completeness first."""
    (place / META).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)


def _message(error: OSError) -> str:
    why = error.strerror or str(error)
    return (
        f"the cache in {folder()} cannot be written ({why}): make room there, "
        "or set MULLIGAN_CACHE to a folder with room"
    )


def _settle(partial: Path, place: Path) -> None:
    try:
        os.rename(partial, place)
    except OSError:
        if not (place / META).is_file():  # remains of an entry without its mark
            shutil.rmtree(place, ignore_errors=True)
            os.rename(partial, place)
        # else another process was faster with the same content


def _tidy(place: Path, family: str) -> None:
    """Remove outdated entries and what processes that died have left."""
    for other in place.parent.iterdir():
        if other.name.endswith(PARTIAL):
            if time.time() - _changed(other) > STALE_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        elif family and other.name.startswith(family) and other != place:
            discard(other)


def _changed(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return time.time()


class ArrayWriter:
    """Writes an .npy file row by row, for a count that is known only at the end.

    Never through a memory map: on a full disk a map kills the process (SIGBUS), a write raises OSError.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.file = path.open("w+b")
        self.shape, self.dtype, self.count = shape, np.dtype(dtype), 0
        self.header = self._write_header()

    def append(self, row: Array) -> None:
        assert (row.shape, row.dtype) == (self.shape, self.dtype), (row.shape, row.dtype)
        self.file.write(row.tobytes())
        self.count += 1

    def _write_header(self) -> int:
        self.file.seek(0)
        head = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, *self.shape),
        }
        np.lib.format.write_array_header_1_0(self.file, head)
        return self.file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                length = self._write_header()  # numpy leaves room in the header for the first axis to grow
                assert length == self.header, "the header of an .npy file changed its length"
        finally:
            self.file.close()
