"""A log of losses that another library wrote, CSV or JSON lines: what can be told of a game from its losses alone.

Losses say little: of a healthy game and of a collapsed one they can be the same. What they do show is a number that is
not finite, a loss that grows without end, a D that has won or given up, and a game that goes nowhere.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mulligan.errors import Mistake
from mulligan.referee import verdict as v
from mulligan.referee.verdict import Verdict

LIMIT = 200_000_000  # bytes
FEW = 20  # lines
LONG = 2_000  # characters: a line of names and numbers is shorter
# how others call them, in lower case and without what is no letter
NAMES = {
    "D": ("dloss", "lossd", "derr", "errd", "discloss", "lossdisc", "discriminatorloss", "lossdiscriminator", "dtotal",
          "criticloss", "losscritic", "dlossmean", "lossdloss", "traindloss", "errdtotal", "da"),
    "G": ("gloss", "lossg", "gerr", "errg", "genloss", "lossgen", "generatorloss", "lossgenerator", "gtotal",
          "ggan", "lossggan", "traingloss", "glossmean", "lossgloss", "ga"),
    "D(x)": ("dx", "realscore", "scorereal", "scoresreal", "lossscoresreal"),
    "D(G(z))": ("dgz", "dgz1", "fakescore", "scorefake", "scoresfake", "lossscoresfake"),
    "D_real": ("dreal",),  # some mean what D says, others a part of its loss
    "D_fake": ("dfake",),
    "step": ("step", "iter", "iteration", "iterations", "global", "globalstep", "batch", "kimg", "epoch", "round"),
}  # fmt: skip
VANISHED = 0.02  # a loss of D by cross-entropy, where it is right of everything
ALWAYS_WRONG = 5.0  # one of G, where D is
GROWN = 100.0  # times
SAME = 0.01  # of its level, that a loss moves by
UNDECIDED = 2 * math.log(2)  # D's loss by cross-entropy where it guesses; half of it by some
SURE = 0.98
PAIR = re.compile(r"([A-Za-z][\w()/]*): ?([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf))", re.IGNORECASE)  # D_real: 0.7
Columns = dict[str, list[float]]


def read(file: Path) -> Columns:
    """The columns that are known, by our names; what a line lacks is left out.

    Raises:
        ValueError: it is no such log, or none of its columns is known.
    """
    try:
        if file.stat().st_size > LIMIT:
            raise Mistake(f"{file} has more than {LIMIT:,} bytes; give a part of it")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake(f"{file} is no text; give a run, or a CSV or JSON-lines file of losses") from error
    rows = _rows(text, file)
    names = list(dict.fromkeys(name for row in rows for name in row))
    known = {ours: name for ours in NAMES for name in names if _letters(name) in NAMES[ours]}
    if not known.keys() & {"D", "G", "D_real", "D(x)"}:
        raise Mistake(
            f"{file}: no column is known as a loss of D or of G; there are {', '.join(names[:8]) or 'none'}; "
            "name them d_loss and g_loss"
        )
    columns = {ours: [_number(row[name]) for row in rows if name in row] for ours, name in known.items()}
    return {ours: [x for x in found if x is not None] for ours, found in columns.items()}


def judge(columns: Columns) -> Verdict:
    """What losses show."""
    for check in (_not_finite, _diverging, _d_wins, _g_wins, _stalled):
        if (found := check(columns)) is not None:
            return found
    return v.ALL_WELL


def tell(columns: Columns) -> list[str]:
    """The story, as far as losses go."""
    n = max(map(len, columns.values()))
    lines = [f"{n:,} lines, of which these columns are read: {', '.join(columns)}."]
    if n < FEW:
        return [*lines, f"Too few to say anything: at least {FEW} are needed."]
    for player in ("D", "G"):
        if player in columns:
            first, last = _thirds(columns[player])
            lines.append(f"The loss of {player} went from {first:.3g} to {last:.3g}.")
    found = judge(columns)
    lines.append("Nothing in the losses says that the game is lost." if found.name == v.HEALTHY else str(found))
    unseen = "a mode collapse, copied data or a condition that is ignored"
    return [*lines, f"Losses do not show {unseen}: for those samples have to be looked at, as `mulligan train` does."]


# --- checks ----------------------------------------------------------------------------------------------------


def _not_finite(columns: Columns) -> Verdict | None:
    for name, values in columns.items():
        if name == "step":
            continue
        at = next((i for i, x in enumerate(values) if not math.isfinite(x)), None)
        if at is not None:
            text = f"{name} is no finite number in line {at + 1:,}."
            return Verdict(
                v.NOT_FINITE, text, "A smaller learning rate or full precision is the usual mend.", {}, at + 1
            )
    return None


def _diverging(columns: Columns) -> Verdict | None:
    for name in ("D", "G"):
        values = columns.get(name, [])
        if len(values) < FEW:
            continue
        first, last = (abs(x) for x in _thirds(values))
        if last > GROWN * max(first, 1.0):
            text = f"the loss of {name} grew from {first:.3g} to {last:.3g}."
            advice = "Smaller learning rates or a gradient penalty hold it."
            return Verdict(v.DIVERGING, text, advice, {"first": first, "last": last}, player=name)
    return None


def _d_wins(columns: Columns) -> Verdict | None:
    advice = "G learns nothing from a judge who is never in doubt; slow D down, or penalise its gradients."
    for names in (("D(x)", "D(G(z))"), ("D_real", "D_fake")):
        real, fake = (columns.get(name, []) for name in names)
        if min(len(real), len(fake)) < FEW:
            continue
        sure, other = _thirds(real)[1], _thirds(fake)[1]
        text = ""
        if sure > SURE and other < 1 - SURE and all(0 <= x <= 1 for x in (*real, *fake)):
            text = f"D gives {sure:.3f} to real samples and {other:.3f} to made ones."
        elif "D_real" in names and 0 <= sure < VANISHED and 0 <= other < VANISHED:
            text = f"both parts of D's loss vanished ({sure:.2g} and {other:.2g})."
        if text:
            return Verdict(v.D_WINS, text, advice, dict(zip(names, (sure, other), strict=True)), player="D")
    d, g = columns.get("D", []), columns.get("G", [])
    if len(d) < FEW or min(d) < 0:  # a loss below 0 is a critic's
        return None
    lost = _thirds(d)[1]
    if lost < VANISHED and (len(g) < FEW or _thirds(g)[1] > ALWAYS_WRONG):
        text = f"the loss of D vanished ({lost:.2g})" + (f" while that of G is {_thirds(g)[1]:.3g}." if g else ".")
        return Verdict(v.D_WINS, text, advice, {"D": lost}, player="D")
    return None


def _g_wins(columns: Columns) -> Verdict | None:
    d, g = columns.get("D", []), columns.get("G", [])
    if min(len(d), len(g)) < FEW or min(d) < 0:
        return None
    third = len(d) // 3
    spread = statistics.pstdev(d[-third:])
    level, other = _thirds(d)[1], _thirds(g)[1]
    if level > UNDECIDED and 0 <= other < 0.3 and spread < level:
        text = f"D is wrong more often than right (its loss is {level:.2f}), and that of G is {other:.2f}."
        advice = "D is too slow or too weak to teach G anything; let it learn faster or more often."
        return Verdict(v.G_WINS, text, advice, {"D": level, "G": other}, player="G")
    return None


def _stalled(columns: Columns) -> Verdict | None:
    players = [name for name in ("D", "G") if len(columns.get(name, [])) >= 2 * FEW]
    for name in players:
        values = columns[name][len(columns[name]) // 2 :]
        level = abs(statistics.fmean(values))
        if statistics.pstdev(values) < SAME * max(level, 1e-3):
            text = f"the loss of {name} has been {statistics.fmean(values):.4g} for half of the time."
            return Verdict(
                v.STALLED, text, "It does not learn: look at its learning rate and at what is frozen.", {}, 0, name
            )
    return None


def _thirds(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first tenth and of the last third."""
    return statistics.median(values[: max(1, len(values) // 10)]), statistics.median(
        values[-max(1, len(values) // 3) :]
    )


# --- reading ---------------------------------------------------------------------------------------------------


def _rows(text: str, file: Path) -> list[dict[str, Any]]:
    """The lines of a log as names and values: JSON objects, a table with a head, or names and numbers in text."""
    if text.lstrip()[:1] == "{":
        return _json_lines(text)
    pairs = [dict(PAIR.findall(line)) if len(line) < LONG else {} for line in text.splitlines()]
    if sum(len(found) > 1 for found in pairs) > len(pairs) / 2:
        return [found for found in pairs if found]
    try:
        return _table(text)
    except csv.Error as error:
        raise Mistake(f"{file} is no table that can be read ({error}); give a CSV or JSON-lines file") from error


def _json_lines(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue  # cut short by a crash, or a remark
        if isinstance(found, dict):
            rows.append(_flat(found))
    return rows


def _flat(line: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Objects within objects by the last part of their names: {"Loss/D/loss": {"mean": 1}}."""
    found: dict[str, Any] = {}
    for key, value in line.items():
        if isinstance(value, dict):
            found |= {f"{key}": value["mean"]} if "mean" in value else _flat(value, key)
        else:
            found[key] = value
    return found


def _table(text: str) -> list[dict[str, Any]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    mark = next((mark for mark in (",", "\t", ";") if mark in lines[0]), ",")
    return [
        {k.strip(): x for k, x in row.items() if k}
        for row in csv.DictReader(io.StringIO("\n".join(lines)), delimiter=mark)
    ]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _number(value: Any) -> float | None:
    """None where there is nothing, or a word."""
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None
