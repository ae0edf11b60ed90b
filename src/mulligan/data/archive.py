"""Files out of an archive that a registry handed over: within limits, regular ones alone, nothing else laid down."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mulligan.errors import Mistake


def read(
    pack: Path, mode: Literal["r|", "r|gz"], wanted: Callable[[str], bool], what: str, *, most: tuple[int, int]
) -> dict[str, bytes]:
    """The content of the wanted files by their names in the archive.

    Args:
        pack: the archive.
        mode: as tarfile has it, for reading once from front to back.
        wanted: of a file's name.
        what: the archive, for messages.
        most: files and bytes that it may unpack to.

    Raises:
        ValueError: it is larger than that.
        tarfile.TarError: it is no archive.
    """
    most_files, most_bytes = most
    found: dict[str, bytes] = {}
    n_bytes = 0
    with tarfile.open(pack, mode) as archive:
        for n_files, member in enumerate(archive, 1):
            n_bytes += member.size
            if n_files > most_files or n_bytes > most_bytes:
                raise Mistake(f"{what} unpacks to more than {most_files:,} files or {most_bytes:,} bytes")
            content = archive.extractfile(member) if wanted(member.name) and member.isreg() else None
            if content is not None:
                found[member.name] = content.read()
    return found
