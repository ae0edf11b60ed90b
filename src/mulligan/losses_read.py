"""Reading the losses that another library wrote: CSV, JSON lines or names and numbers in text."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulligan.errors import Mistake

LIMIT = 200_000_000  # bytes
HUGE = 1e300  # numbers
LONG = 2_000  # characters: a line of names and numbers is shorter
# how others call them, in lower case and without what is no letter
NAMES = {
    "D": ("dloss", "lossd", "derr", "errd", "discloss", "lossdisc", "discriminatorloss", "lossdiscriminator", "dtotal",
          "criticloss", "losscritic", "dlossmean", "lossdloss", "traindloss", "errdtotal", "da", "d", "disc", "dis",
          "disloss", "lossdis", "discriminator", "critic"),
    "G": ("gloss", "lossg", "gerr", "errg", "genloss", "lossgen", "generatorloss", "lossgenerator", "gtotal",
          "ggan", "lossggan", "traingloss", "glossmean", "lossgloss", "ga", "g", "gen", "generator"),
    "D(x)": ("dx", "realscore", "scorereal", "scoresreal", "lossscoresreal"),
    "D(G(z))": ("dgz", "dgz1", "fakescore", "scorefake", "scoresfake", "lossscoresfake"),
    "D_real": ("dreal",),  # some mean what D says, others a part of its loss
    "D_fake": ("dfake",),
    "step": ("step", "iter", "iteration", "iterations", "global", "globalstep", "batch", "kimg", "epoch", "round"),
}  # fmt: skip
OF_D = ("D", "D_real", "D(x)")
# D_real: 0.7 or [D loss: 0.7]
PAIR = re.compile(r"((?:\b[DG] )?[A-Za-z][\w()/]*): ?([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf))", re.IGNORECASE)
Row = tuple[int, dict[str, Any]]  # of which line of the file, and what it says


@dataclass(frozen=True)
class Losses:
    """The columns that are known, by our names.

    Attributes:
        columns: their numbers, finite or not; what a line lacks is left out.
        lines: of each number, the line of the file.
        names: what the file calls them.
        n: lines that say anything.
    """

    columns: dict[str, list[float]]
    lines: dict[str, list[int]]
    names: dict[str, str]
    n: int


def read(file: Path) -> Losses:
    """The losses in a file.

    Raises:
        ValueError: it is no such log, or none of its columns is known.
    """
    try:
        if file.stat().st_size > LIMIT:
            raise Mistake(f"{file} has more than {LIMIT:,} bytes; give a part of it")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake(f"{file} is no text; give a run, or a CSV or JSON-lines file of losses") from error
    if "\0" in text:
        raise Mistake(f"{file} is no text; give a run, or a CSV or JSON-lines file of losses")
    if not text.strip():
        raise Mistake(f"{file} is empty; give a run, or a CSV or JSON-lines file of losses")
    rows, head = _rows(text, file)
    names = list(dict.fromkeys([*head, *(name for _, row in rows for name in row)]))
    known = _known(names)
    if not known.keys() & {"G", *OF_D}:
        raise Mistake(f"{file}: no column is known as a loss of D or of G; {_instead(names)}")
    if not rows:
        raise Mistake(f"{file} has a head and no rows yet")
    found = {ours: [(line, x) for line, row in rows if (x := _number(row.get(name))) is not None]
             for ours, name in known.items()}  # fmt: skip
    found = {ours: values for ours, values in found.items() if values}
    if not found.keys() & {"G", *OF_D}:
        empty = ", ".join(name for ours, name in known.items() if ours != "step")
        raise Mistake(f"{file}: there is no number under {empty}")
    columns, lines = ({ours: [pair[i] for pair in values] for ours, values in found.items()} for i in (1, 0))
    return Losses(columns, lines, {ours: known[ours] for ours in found}, len(rows))  # type: ignore[arg-type]


def _known(names: list[str]) -> dict[str, str]:
    """By our name, the first of theirs."""
    return {ours: name for ours, theirs in NAMES.items() for name in reversed(names) if _letters(name) in theirs}


def _instead(names: list[str]) -> str:
    if names and all(_number(name) is not None for name in names):
        return "its first line holds numbers; put a head above it, with d_loss and g_loss for them"
    return f"there are {', '.join(names[:8]) or 'none'}; name them d_loss and g_loss"


def _rows(text: str, file: Path) -> tuple[list[Row], list[str]]:
    """The lines of a log as names and values, and the names in a table's head."""
    if text.lstrip()[0] == "{":
        return _json_lines(text), []
    if re.match(r"\s*\[\s*\{", text):  # not [0/25][3/391] Loss_D: 1.3
        return _json_list(text), []
    pairs = [dict(PAIR.findall(line)) if len(line) < LONG else {} for line in text.splitlines()]
    if sum(len(found) > 1 for found in pairs) > len(pairs) / 2:
        return [(i, found) for i, found in enumerate(pairs, 1) if found], []
    try:
        return _table(text)
    except csv.Error as error:
        raise Mistake(f"{file} is no table that can be read ({error}); give a CSV or JSON-lines file") from error


def _json_lines(text: str) -> list[Row]:
    rows = []
    for i, line in enumerate(text.splitlines(), 1):
        try:
            found = json.loads(line)
        except ValueError:
            continue  # cut short by a crash, or a remark
        if isinstance(found, dict):
            rows.append((i, _flat(found)))
    return rows


def _json_list(text: str) -> list[Row]:
    """Of one list of objects; the number of each for that of a line."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [(i, _flat(x)) for i, x in enumerate(found, 1) if isinstance(x, dict)]


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    """Objects within objects by the last part of their names: {"Loss/D/loss": {"mean": 1}}."""
    found: dict[str, Any] = {}
    for key, value in line.items():
        if isinstance(value, dict):
            found |= {key: value["mean"]} if "mean" in value else _flat(value)
        else:
            found[key] = value
    return found


def _table(text: str) -> tuple[list[Row], list[str]]:
    numbered = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    mark = max(",;\t", key=lambda mark: len(_known(numbered[0][1].split(mark))))
    reader = csv.DictReader(io.StringIO("\n".join(line for _, line in numbered)), delimiter=mark)
    rows = []
    for row in reader:
        cells = {k.strip(): x for k, x in row.items() if k}
        if mark != ",":  # 0,69
            cells = {k: x.replace(",", ".") if isinstance(x, str) else x for k, x in cells.items()}
        rows.append((numbered[reader.line_num - 1][0], cells))
    return rows, [name.strip() for name in reader.fieldnames or () if name]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _number(value: Any) -> float | None:
    """None where there is nothing, or a word; what is too large to be summed is infinite."""
    if value is None or isinstance(value, bool):
        return None
    try:
        x = float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None
    return math.copysign(math.inf, x) if abs(x) > HUGE else x
