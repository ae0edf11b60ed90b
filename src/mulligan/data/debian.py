"""Packages of Debian: fetched by apt-get, which checks their signatures, and read within limits, never installed."""

from __future__ import annotations

import re
import shutil
import tarfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mulligan.data import Progress, archive, cache
from mulligan.data.programs import failure
from mulligan.errors import Mistake

MAX_FILES, MAX_BYTES = 10_000, 512 * 2**20  # of a package, unpacked: several times what the largest one here holds
SECONDS = 900  # for apt-get
SECONDS_UNPACKING = 300


class Package(NamedTuple):
    """What to fetch.

    Attributes:
        name: without a version: whichever the user's Debian has.
        wanted: files by their path in it, below the root.
        megabytes: of the package, for whoever waits for it.
    """

    name: str
    wanted: tuple[str, ...]
    megabytes: int


def files(package: Package, source: str, progress: Progress | None = None) -> dict[str, Path]:
    """The wanted files of a package by their path in it, in the cache; for a `source` of data they are fetched into it.

    Raises:
        ValueError: apt-get or dpkg-deb is missing, cannot fetch it, or it lacks a file.
    """
    make = partial(_make, package=package, source=source, progress=progress)
    return cache.opened(f"debian-{package.name}-1", make, partial(_load, package=package))


def _make(place: Path, *, package: Package, source: str, progress: Progress | None) -> dict[str, Any]:
    pack = fetch(package, place, source, progress)
    found = read(pack, place, package.wanted, source)
    version = pack.name
    pack.unlink()
    for path in package.wanted:
        if path not in found:
            raise Mistake(f"{source}: {version} has no {path}: Debian 12 has the one that is meant")
        (place / _flat(path)).write_bytes(found[path])
    return {"package": version}


def _load(place: Path, *, package: Package) -> dict[str, Path]:
    laid = {path: place / _flat(path) for path in package.wanted}
    if not all(file.is_file() for file in laid.values()):
        raise Mistake("files of the package are lost")
    return laid


def _flat(path: str) -> str:
    """A file's name in the cache."""
    return PurePosixPath(path).name


def fetch(package: Package, place: Path, source: str, progress: Progress | None) -> Path:
    """The package's .deb, fetched into `place` for a `source` of data.

    Raises:
        ValueError: apt-get is missing or cannot fetch it.
    """
    apt = _program("apt-get", source)
    doing = f"fetching {source}: {package.name}, {package.megabytes} MB"
    if progress is not None:
        progress(doing, 0, 1)
    why = failure([apt, "download", "-q", package.name], place, SECONDS, _reason)
    if progress is not None:
        progress(doing, 1, 1)
    if why:
        mend = "try again with a network that reaches Debian, after `apt-get update`"
        raise Mistake(f"{source}: apt-get cannot fetch {package.name} ({why}): {mend}")
    (pack,) = place.glob("*.deb")
    return pack


def read(pack: Path, place: Path, wanted: tuple[str, ...], source: str) -> dict[str, bytes]:
    """The wanted files of a package by their path in it, regular ones alone; what it holds else is never laid down.

    Raises:
        ValueError: dpkg-deb is missing or refuses the package, or it is larger than the limits.
    """
    content = place / "content.tar"
    with content.open("wb") as out:
        words = [_program("dpkg-deb", source), "--fsys-tarfile", str(pack)]
        why = failure(words, place, SECONDS_UNPACKING, _reason, out.fileno())
    if why:
        raise Mistake(f"{source}: dpkg-deb cannot read {pack.name} ({why}): try again")
    try:
        what, most = f"{source}: {pack.name}", (MAX_FILES, MAX_BYTES)
        found = archive.read(content, "r|", lambda name: _below_root(name) in wanted, what, most=most)
    except tarfile.TarError as error:
        raise Mistake(f"{source}: {pack.name} is no archive of files ({error}): try again") from error
    content.unlink()
    return {_below_root(name): held for name, held in found.items()}


def _below_root(name: str) -> str:
    return name.removeprefix("./")


def _program(name: str, source: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise Mistake(
            f"{source} is fetched from Debian by {name}, which is not there: use a Debian or its container, "
            "or give a folder of images"
        )
    return program


def _reason(said: str) -> str:
    return next(iter(re.findall(r"^(?:E: |dpkg-deb: error: )(.+)", said, re.MULTILINE)), "")
