"""Evaluations as plain tables: one run's, and several runs' side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from mulligan.errors import Mistake
from mulligan.metrics.card import Better, Result, finite
from mulligan.model import SHIPPED
from mulligan.rundir import RunDir

_BETTER = {"lower": "lower", "higher": "higher", "target": "as real"}


class Row(NamedTuple):
    """One metric of several runs."""

    name: str
    better: Better
    floor: float
    baselines: dict[str, float]
    values: dict[str, float]  # by run

    def to_json(self) -> dict[str, Any]:
        """JSON has no infinity, so that becomes null."""
        return {
            **self._asdict(),
            "floor": finite(self.floor),
            "baselines": {k: finite(v) for k, v in self.baselines.items()},
            "values": {k: finite(v) for k, v in self.values.items()},
        }


def compare(runs: list[Path]) -> list[Row]:
    """The last evaluation of each run, side by side, a row a metric that all have.

    Raises:
        ValueError: a run was not evaluated, or two were judged by unlike measures; the message names the
            field.
    """
    found = {str(run): _last(Path(run)) for run in runs}
    first, *others = found
    for other in others:
        for name in found[first].keys() & found[other].keys():
            differences = found[first][name].card.differences(found[other][name].card)
            if differences:
                raise Mistake(
                    f"{first} and {other} cannot be compared by {name}: {differences[0]}; "
                    "evaluate both on the same data with the same options"
                )
    shared = [name for name in found[first] if all(name in results for results in found.values())]
    if not shared:
        raise Mistake(f"{', '.join(found)} share no metric; compare runs on the same data")
    return [
        Row(
            name,
            found[first][name].better,
            found[first][name].floor,
            found[first][name].baselines,
            {run: results[name].value for run, results in found.items()},
        )
        for name in shared
    ]


def _last(run: Path) -> dict[str, Result]:
    if (SHIPPED / run / "config.json").is_file() and not run.exists():
        raise Mistake(f"{run} ships with mulligan and keeps no numbers; compare runs of your own")
    lines = RunDir.open(run).read("metrics")
    if not lines:
        raise Mistake(f"{run} was not evaluated yet; run: mulligan evaluate {run}")
    return {line["name"]: Result.from_json(line) for line in lines[-1]["metrics"]}


def table(results: list[Result]) -> list[str]:
    """Results as the lines of a plain table: name, value, floor, baselines, and which way is better."""
    baselines = list(dict.fromkeys(name for result in results for name in result.baselines))
    head = ["", "value", "real data", *baselines, "better"]
    rows = [
        [
            result.name,
            shown(result.value) + (f" ± {shown(result.spread)}" if result.spread is not None else ""),
            shown(result.floor),
            *(shown(result.baselines[name]) if name in result.baselines else "-" for name in baselines),
            _BETTER[result.better],
        ]
        for result in results
    ]
    return aligned([head, *rows])


def compare_table(rows: list[Row]) -> list[str]:
    """Compared runs as the lines of a plain table; * marks the best of each row."""
    runs = list(rows[0].values)
    lines = [["", *runs, "real data", "better"]]
    for row in rows:
        best = min(row.values.values(), key=lambda v: _badness(row, v))
        cells = [shown(v) + (" *" if v == best and len(runs) > 1 else "") for v in row.values.values()]
        lines.append([row.name, *cells, shown(row.floor), _BETTER[row.better]])
    return aligned(lines)


def _badness(row: Row, value: float) -> float:
    if row.better == "target":
        return abs(value - row.floor)
    return value if row.better == "lower" else -value


def shown(value: float) -> str:
    """A number to four digits."""
    if not math.isfinite(value):
        return "inf" if value > 0 else "nan"
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
