"""The log as line charts: losses, vital numbers, gradient norms, speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mulligan.charts import Series, line_chart
from mulligan.report.record import Json, Record
from mulligan.rundir import FLOOR

# of the referee's, those that say most to the eye
SIGNS = {
    "distance": "Distance of samples to the data",
    "diversity": "Diversity of samples, real data being 1",
    "modes": "Share of the kinds of data that appear",
    "agreement": "Share of samples that are what was asked for",
}
Key = tuple[str, ...]  # of a number in a line of the log, such as ("terms", "D", "real")


def curves(run: Record) -> str:
    if not run.log:
        return ""
    lines, marks = columns(run.log), _stages(run.log)
    charts = []
    for player in dict.fromkeys(key[1] for key in lines if key[0] == "terms" and len(key) == 3):
        terms = [line for key, line in lines.items() if key[:2] == ("terms", player)]
        charts.append(line_chart(f"Loss of {player}", terms, marks=marks))
    vital = {key[1]: line for key, line in lines.items() if key[0] == "vital"}
    for name in [name for name in vital if not name.endswith(FLOOR)][:24]:
        auc = name.lower().endswith("auc")
        fixed: Json = {"y_range": (0.0, 1.0), "rule": 0.5} if auc else {}
        beside = [replace(vital[name + FLOOR], name="real data")] if name + FLOOR in vital else []
        charts.append(line_chart(name, [vital[name], *beside], marks=marks, **fixed))
    for sign, title in SIGNS.items():
        if (line := lines.get(("signs", sign))) is not None:
            floor = lines.get(("signs", sign + FLOOR))
            beside = [] if floor is None else [replace(floor, name="real data")]
            charts.append(line_chart(title, [line, *beside], marks=marks))
    norms = [line for key, line in lines.items() if key[0] == "grad_norm"]
    if norms:
        charts.append(line_chart("Gradient norm", norms, marks=marks))
    if rate := _rate(lines):
        charts.append(line_chart("Samples a second", [rate], marks=marks))
    body = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return (
        "<section><h2>Curves</h2><p class=note>Rest the mouse on a chart to read its values. A pale band "
        "reaches from the lowest to the highest value behind each point.</p>"
        f"<div class=charts>{body}</div></section>"
    )


def columns(log: Sequence[Json]) -> dict[Key, Series]:
    """The log's numbers, each as a series over rounds, in one pass; it may be long."""
    found: dict[Key, tuple[list[float], list[float]]] = {}

    def walk(path: Key, value: Any, at: float) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner, at)
        elif type(value) in (int, float):
            xs, ys = found.setdefault(path, ([], []))
            xs.append(at)
            ys.append(value)

    for line in log:
        for key in ("terms", "vital", "signs", "grad_norm", "images", "seconds", "rate"):
            walk((key,), line.get(key), line["round"])
    return {path: Series.of(path[-1], xs, ys) for path, (xs, ys) in found.items()}


def _rate(lines: dict[Key, Series]) -> Series | None:
    """Samples a second: as logged, else between a line and the one before."""
    if ("rate",) in lines:
        return replace(lines["rate",], name="samples/s")
    images, seconds = lines.get(("images",)), lines.get(("seconds",))
    if images is None or seconds is None or len(images.x) != len(seconds.x) or len(images.x) < 2:
        return None
    took = np.diff(seconds.y)  # a tick of no time has no rate
    ok = took > 0
    return Series("samples/s", images.x[1:][ok], np.diff(images.y)[ok] / took[ok])


def _stages(log: Sequence[Json]) -> list[tuple[float, str]]:
    """Where each stage begins, if there are several."""
    starts: list[tuple[float, str]] = []
    for line in log:
        name = str(line.get("stage", ""))
        if not starts or starts[-1][1] != name:
            starts.append((line["round"], name))
    return starts[:12] if len(starts) > 1 else []
