"""What a user wrote about the images of a folder, in a file beside them: labels.csv, tags.csv or captions.csv.

    file,label              file,tags                       file,text
    1.png,cat               1.png,red hair; glasses         1.png,"a girl with red hair, wearing glasses"

Comma-separated, in UTF-8, one row for each image of the folder. A file is named as it lies below the folder
(`trip/1.png`). Whatever does not fit is refused, for an image with another's words would teach what is not so.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mulligan.config import nearest
from mulligan.data.images import shown
from mulligan.data.words import LONGEST, numbered, text_signal, words
from mulligan.errors import Mistake
from mulligan.signals import Signal

COLUMNS = {"labels.csv": "label", "tags.csv": "tags", "captions.csv": "text"}
MAX_BYTES = 512 * 2**20  # of one file
MAX_TAGS = 1_000
Array = npt.NDArray[Any]


@dataclass
class Annotations:
    """Arrays with a row for each image, in the order of the images, and what they are, by key."""

    arrays: dict[str, Array] = field(default_factory=dict)
    signals: dict[str, Signal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Row(NamedTuple):
    """What a file's line says of an image."""

    source: str
    line: int
    file: str
    words: str

    @property
    def place(self) -> str:
        return f"{self.source}, line {self.line}"


def read_annotations(root: Path, images: Sequence[str]) -> Annotations:
    """What the annotation files of a folder say: y int64 (N,), tags float32 (N, T), text int64 (N, L).

    Args:
        root: the folder.
        images: every image's path below it, with / between its parts.

    Raises:
        ValueError: a file is unreadable, or its rows are not those of the images; in one line with file, row and mend.
    """
    found = Annotations()
    for name, column in COLUMNS.items():
        path = root / name
        if path.is_file():
            rows = _in_order(list(_rows(path, column)), images, name)
            key, signal, array, note = _AS[column](rows)
            found.signals[key], found.arrays[key] = signal, array
            found.notes.append(f"{name}: {note}.")
    return found


# --- reading a file -----------------------------------------------------------------------------------------


def _rows(path: Path, column: str) -> Iterator[Row]:
    """The lines of a file, less its header and those that are blank."""
    lines = _lines(path)
    header = [cell.strip().casefold() for cell in next(lines, (0, []))[1]]
    if header != ["file", column]:
        says = f"{shown(','.join(header))[:40]!r}" if header else "nothing"
        raise Mistake(f"{path.name}, line 1: it says {says}; make it the header `file,{column}`")
    for line, cells in lines:
        if len(cells) != 2:
            much = f"{len(cells)} cells instead of 2; put what has commas in it into double quotes"
            raise Mistake(f"{path.name}, line {line}: {much}")
        file = unicodedata.normalize("NFC", str(PurePosixPath(cells[0].strip())))
        yield Row(path.name, line, file, " ".join(cells[1].split()))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Cells of each line that is not blank, and the number of the line that they begin in."""
    line = 1
    try:
        for cells in (reader := csv.reader(StringIO(_text(path), newline=""), strict=True)):
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Mistake(
            f"{path.name}, line {line}: {error}; write double quotes in pairs, around a whole cell"
        ) from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Mistake(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB: give a part of the images and rows")
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise Mistake(f"{path.name} cannot be read ({error.strerror}); make it readable, or take it away") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Mistake(f"{path.name}, line {line}: this is not text in UTF-8; save the file so") from error


def _in_order(rows: list[Row], images: Sequence[str], name: str) -> list[Row]:
    """The row of each image.

    Raises:
        ValueError: a row too many or too few.
    """
    wanted = {unicodedata.normalize("NFC", image) for image in images}
    found: dict[str, Row] = {}
    for row in rows:
        if row.file not in wanted:
            hint = nearest(row.file, sorted(wanted)[:2000])
            hint = hint if hint.startswith("; did") else "; take the row out, or add the image"
            raise Mistake(f"{row.place}: there is no image {shown(row.file)[:80]!r}{hint}")
        if row.file in found:
            raise Mistake(f"{row.place}: {shown(row.file)} has a row already, line {found[row.file].line}; keep one")
        found[row.file] = row
    if lacking := sorted(wanted - found.keys()):
        more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
        raise Mistake(f"{name} has no row for {shown(lacking[0])}{more}: add it, or take the image out")
    return [found[unicodedata.normalize("NFC", image)] for image in images]


# --- what the rows say ----------------------------------------------------------------------------------------

Said = tuple[str, Signal, Array, str]  # key of a batch, its signal, its array, and a note


def _labels(rows: list[Row]) -> Said:
    for row in rows:
        if not row.words:
            raise Mistake(f"{row.place}: the label is empty; name the class")
    names = tuple(sorted({row.words for row in rows}))
    number = {name: i for i, name in enumerate(names)}
    y = np.array([number[row.words] for row in rows], np.int64)
    return "y", Signal("label", (), (0, len(names) - 1), names=names), y, _count(len(names), "class", "classes")


def _tags(rows: list[Row]) -> Said:
    """A row may have no tag; a tag is written as --tags reads it."""
    said = [[name for part in row.words.split(";") if (name := part.strip().casefold())] for row in rows]
    for row, names in zip(rows, said, strict=True):
        if any("," in name for name in names):
            raise Mistake(f"{row.place}: a tag has a comma in it; put semicolons between tags")
    known = tuple(sorted({name for names in said for name in names}))
    if not 0 < len(known) <= MAX_TAGS:
        raise Mistake(f"tags.csv has {len(known):,} different tags: between 1 and {MAX_TAGS:,} can be told")
    number = {name: i for i, name in enumerate(known)}
    tags = np.zeros((len(rows), len(known)), np.float32)
    for i, names in enumerate(said):
        tags[i, [number[name] for name in names]] = 1
    return "tags", Signal("tags", (len(known),), (0, 1), names=known), tags, _count(len(known), "tag", "tags")


def _texts(rows: list[Row]) -> Said:
    for row in rows:
        if not words(row.words):
            raise Mistake(f"{row.place}: the text is empty; say in some words what {shown(row.file)} shows")
        if len(row.words) > LONGEST:
            raise Mistake(f"{row.place}: the text has {len(row.words):,} characters; at most {LONGEST:,}")
    signal = text_signal(row.words for row in rows)
    note = f"{len(signal.names):,} different words, {signal.shape[0]} in the longest text"
    return "text", signal, numbered([row.words for row in rows], signal), note


def _count(n: int, one: str, more: str) -> str:
    return f"{n:,} {one if n == 1 else more}"


_AS: dict[str, Callable[[list[Row]], Said]] = {"label": _labels, "tags": _tags, "text": _texts}
