"""The picture of a benchmark: for each metric and kind of data a panel of its course over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mulligan import charts, plot
from mulligan.charts import Axis, fine_ticks
from mulligan.plot import Floats, Scene

WIDTH, HEIGHT = 400.0, 250.0  # of a panel's plot
LEFT, RIGHT, GAP, TOP, BOTTOM = 58.0, 24.0, 62.0, 104.0, 64.0


@dataclass(frozen=True)
class Course:
    """A contestant's metric: x (M,) moments, y (S, M) one row a seed, not finite where a run was lost."""

    name: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Panel:
    """One metric on one kind of data.

    Attributes:
        title: above it.
        courses: their order gives the colours.
        rules: values to draw dotted lines at, with a word each.
        log: a logarithmic y axis.
        x_name: below the x axis.
        x_from: where the x axis starts; None: where the first course does.
    """

    title: str
    courses: Sequence[Course]
    rules: Sequence[tuple[float, str]] = ()
    log: bool = False
    x_name: str = "seconds of training"
    x_from: float | None = 0.0


def picture(title: str, subtitle: str, panels: Sequence[Panel], columns: int = 3) -> Image.Image:
    """All panels in rows, a legend above; lines are means over seeds, bands reach from least to greatest."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(c.name for p in panels for c in p.courses))
    panels_wide = columns * WIDTH + (columns - 1) * GAP
    words_wide = max(plot.text_width(title, 17), plot.text_width(subtitle, 12), _legend_width(names)) - 40
    width = LEFT + max(panels_wide, words_wide) + RIGHT
    scene = Scene(width, TOP + rows * (HEIGHT + BOTTOM + 24), title)
    scene.text(LEFT - 40, 26, title, size=17)
    scene.text(LEFT - 40, 46, subtitle, size=12, role="muted")
    _legend(scene, names)
    for i, panel in enumerate(panels):
        x0 = LEFT + (i % columns) * (WIDTH + GAP)
        y0 = TOP + (i // columns) * (HEIGHT + BOTTOM + 24)
        _panel(scene, panel, names, x0, y0)
    return scene.image(2)


def _legend_width(names: Sequence[str]) -> float:
    return sum(_entry_width(name) for name in names)


def _entry_width(name: str) -> float:
    """Of a line, a gap, the name and another gap."""
    return 26 + plot.text_width(name, 12.5) + 24


def _legend(scene: Scene, names: Sequence[str]) -> None:
    at = LEFT - 40
    for i, name in enumerate(names):
        scene.line([(at, 66), (at + 20, 66)], _role(i), 3.0, dash=_dash(i))
        scene.text(at + 26, 70, name, size=12.5)
        at += _entry_width(name)


def _role(i: int) -> str:
    return plot.SERIES[i % len(plot.SERIES)]


def _dash(i: int) -> tuple[float, float] | None:
    """The second time round the colours, lines are broken."""
    return (7.0, 5.0) if i >= len(plot.SERIES) else None


def _panel(scene: Scene, panel: Panel, names: Sequence[str], x0: float, y0: float) -> None:
    y = _y_axis(panel, y0 + HEIGHT, y0 + 14)
    first = min(float(c.x[0]) for c in panel.courses) if panel.x_from is None else panel.x_from
    x = Axis(first, max(float(c.x[-1]) for c in panel.courses), x0, x0 + WIDTH)
    scene.text(x0, y0 - 2, panel.title, size=13.5)
    _frame(scene, x, y, panel.x_name)
    above = -math.inf  # where the line above stands: a word has no room between two that are close
    for at, word in sorted((float(y(value)), word) for value, word in panel.rules if y.low <= value <= y.high):
        scene.line([(x.start, at), (x.end, at)], "ink", 1.4, dash=(0.0, 4.5))
        scene.text(x.end - 2, at - 5 if at - above > 18 else at + 13, word, size=11, role="muted", anchor="end")
        above = at
    for course in panel.courses:
        _course(scene, x, y, course, names.index(course.name))


def _y_axis(panel: Panel, start: float, end: float) -> Axis:
    values = np.concatenate([c.y[np.isfinite(c.y)] for c in panel.courses])
    values = np.concatenate([values, [value for value, _ in panel.rules]])
    if not len(values):
        return Axis(0.0, 1.0, start, end)
    low, high = float(values.min()), float(values.max())
    if panel.log and low > 0:
        return Axis(low / 1.25, max(high, low * 2) * 1.25, start, end, log=True)
    pad = 0.07 * (high - low) or abs(high) * 0.1 or 1.0
    return Axis(0.0 if 0 <= low < 0.4 * high else low - pad, high + pad, start, end)


def _frame(scene: Scene, x: Axis, y: Axis, x_name: str) -> None:
    charts.y_scale(scene, x, y, fine_ticks(y))
    charts.x_scale(scene, x, y.start)
    scene.text((x.start + x.end) / 2, y.start + 36, x_name, size=11.5, role="muted", anchor="middle")


def _course(scene: Scene, x: Axis, y: Axis, course: Course, number: int) -> None:
    role = _role(number)
    known = np.isfinite(course.y)
    seen = known.any(axis=0)
    if not seen.any():
        return
    xs, ys = course.x[seen], np.where(known, course.y, np.nan)[:, seen]
    low, mean, high = np.nanmin(ys, 0), np.nanmean(ys, 0), np.nanmax(ys, 0)
    there, back = charts.curve(x, y, xs, high), charts.curve(x, y, xs, low)[::-1]
    scene.area(np.concatenate([there, back]), role, 0.14)
    for row in ys[known.any(axis=1)] if len(ys) > 1 else []:
        one = np.isfinite(row)
        scene.line(charts.curve(x, y, xs[one], row[one]), role, 0.8, opacity=0.45)
    line = charts.curve(x, y, xs, mean)
    scene.line(line, role, 2.4, dash=_dash(number))
    for px, py in line if len(line) <= 12 else line[-1:]:
        scene.dot(px, py, role)
