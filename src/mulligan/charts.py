"""Axes with round numbers, and line charts of named series, drawn on a Scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from mulligan.plot import SERIES, Floats, Scene, text_width

# Axes


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About n round numbers from low to high, the ends included where they are round."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.8)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, n: int = 6) -> list[float]:
    """Powers of ten from low to high, about n of them at most."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / n))
    return [10.0**i for i in range(first, last + 1, every)]


def number(value: float) -> str:
    """A number for people, three to four digits: 0, 0.25, 12.5, 1,500, 2e-05."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    if size >= 1e7 or size < 1e-3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class Axis:
    """From a value to a place on the scene; `log` for values over many powers of ten.

    Attributes:
        low, high: the values at the ends.
        start, end: their places.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: Any) -> Floats:
        """Places of values; what lies beyond an end is placed on it."""
        v = np.clip(np.asarray(value, np.float64), self.low, self.high)
        low, high = self.low, self.high
        if self.log:
            v, low, high = np.log(v), math.log(low), math.log(high)
        share = (v - low) / (high - low)
        return np.asarray(self.start + share * (self.end - self.start), np.float64)

    def ticks(self, n: int = 5) -> list[float]:
        found = log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, n)
        # Less than a power of ten: round numbers say more than one lone tick.
        return found if len(found) > 1 else ticks(self.low, self.high, n)


def fine_ticks(y: Axis) -> list[float]:
    """Round values; on a logarithmic axis 1, 2 and 5 of each power of ten where it covers few powers."""
    if not y.log:
        return y.ticks(5)
    first, last = int(np.floor(np.log10(y.low))), int(np.ceil(np.log10(y.high)))
    steps = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
    return [s * 10.0**i for i in range(first, last + 1) for s in steps if y.low <= s * 10.0**i <= y.high]


def curve(x: Axis, y: Axis, xs: Any, ys: Any) -> Floats:
    """Points (N, 2) on the scene of the values xs, ys (N,)."""
    return np.stack([x(xs), y(ys)], 1)


def y_scale(scene: Scene, x: Axis, y: Axis, values: Sequence[float]) -> None:
    """Lines across the frame at some values of y, each with its number to the left."""
    for value in values:
        at = float(y(value))
        scene.line([(x.start, at), (x.end, at)], "grid")
        scene.text(x.start - 7, at + 4, number(value), size=11, role="muted", anchor="end")


def x_scale(scene: Scene, x: Axis, at: float, n: int = 5) -> None:
    """The line of x at the height `at`, with about n ticks and their numbers below."""
    scene.line([(x.start, at), (x.end, at)], "muted")
    for value in x.ticks(n):
        place = float(x(value))
        scene.line([(place, at), (place, at + 4)], "muted")
        scene.text(place, at + 18, number(value), size=11, role="muted", anchor="middle")


# Line charts


@dataclass(frozen=True)
class Series:
    """One named line: x (N,) ascending, y (N,); what is not finite is left out."""

    name: str
    x: Floats
    y: Floats

    @classmethod
    def of(cls, name: str, x: Sequence[float], y: Sequence[float]) -> Series:
        """Without the values that are not finite."""
        xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
        return cls(name, xs[np.isfinite(ys)], ys[np.isfinite(ys)])


def decimate(series: Series, n: int = 240) -> tuple[Series, Floats, Floats]:
    """At most n points: the means of equal parts, with the lowest and the highest of each part."""
    if len(series.x) <= n:
        return series, series.y, series.y
    edges = np.linspace(0, len(series.x), n + 1).astype(int)
    starts, counts = edges[:-1], np.diff(edges)
    x, y = (np.add.reduceat(v, starts) / counts for v in (series.x, series.y))
    low, high = np.minimum.reduceat(series.y, starts), np.maximum.reduceat(series.y, starts)
    return Series(series.name, x, y), low, high


def y_axis(values: Floats, start: float, end: float) -> Axis:
    """The axis for some values: logarithmic over more than three powers of ten, else without rare outliers.

    One early spike would press a whole training into a flat line, so a linear axis ends near the 1st and
    99th percentiles where the extremes lie far beyond them; lines are cut off there.
    """
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 1000:
        return Axis(low / 1.4, high * 1.4, start, end, log=True)
    q1, q99 = (float(q) for q in np.quantile(values, (0.01, 0.99)))
    core = max(q99 - q1, 1e-12)
    low, high = (
        (q1 - 0.3 * core if q1 - low > core else low),
        (q99 + 0.3 * core if high - q99 > core else high),
    )
    pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    bottom = 0.0 if 0 <= low < 0.25 * high else low - pad
    return Axis(bottom, high + pad, start, end)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    y_range: tuple[float, float] | None = None,
    rule: float | None = None,
    marks: Sequence[tuple[float, str]] = (),
    x_name: str = "round",
) -> str:
    """A chart as <svg>: axes with ticks, a legend with the last values, the values under the mouse.

    Args:
        title: above the chart.
        series: the lines; their order gives the colours.
        y_range: fixed ends of the y axis; otherwise `y_axis` decides.
        rule: a value to draw a dotted line at.
        marks: x positions with a word, drawn as thin upright lines (stages).
        x_name: what x counts.
    """
    series = [s for s in series if len(s.x)]
    scene = Scene(440, 236)
    scene.text(0, 14, title, size=13.5)
    if not series:
        scene.text(220, 120, "nothing to show yet", role="muted", anchor="middle")
        scene.title = f"{title}: nothing to show yet"
        return scene.svg()
    all_y = np.concatenate([s.y for s in series])
    x0, x1 = (float(f([f(s.x) for s in series])) for f in (np.min, np.max))
    x = Axis(x0, x1 if x1 > x0 else x0 + 1, 46, 420)
    y = Axis(*y_range, 206, 52) if y_range else y_axis(all_y, 206, 52)
    scene.title = _in_words(title, series, x_name)
    _frame(scene, x, y, rule, marks)
    _legend(scene, series)
    for role, one in zip(cycle(SERIES), series, strict=False):
        _plot(scene, x, y, one, role)
    _note(scene, y, all_y)
    _hovers(scene, x, series, x_name)
    return scene.svg()


def _in_words(title: str, series: Sequence[Series], x_name: str) -> str:
    ends = ", ".join(f"{s.name} from {number(s.y[0])} to {number(s.y[-1])}" for s in series)
    last = max(float(s.x[-1]) for s in series)
    return f"{title} up to {x_name} {number(last)}: {ends}"


def _frame(scene: Scene, x: Axis, y: Axis, rule: float | None, marks: Sequence[tuple[float, str]]) -> None:
    y_scale(scene, x, y, y.ticks(4))
    if rule is not None and y.low <= rule <= y.high:
        at = float(y(rule))
        scene.line([(x.start, at), (x.end, at)], "muted", 1.0, dash=(1, 4))
    for place, word in marks:
        at = float(x(place))
        scene.line([(at, y.start), (at, y.end)], "muted", 1.0, dash=(3, 3), opacity=0.7)
        scene.text(at + 3, y.end + 9, word, size=10, role="muted")
    x_scale(scene, x, y.start)


def _legend(scene: Scene, series: Sequence[Series]) -> None:
    """Names and last values, along one line above the chart; what finds no room is left to the mouse."""
    at = 46.0
    for role, one in zip(cycle(SERIES), series, strict=False):
        words = f"{one.name} {number(float(one.y[-1]))}"
        wide = 32 + text_width(words, 11.5)
        if at + wide > scene.width:
            scene.text(at, 38, "...", size=11.5, role="muted")
            return
        scene.line([(at, 34), (at + 14, 34)], role, 2.5)
        scene.text(at + 19, 38, words, size=11.5)
        at += wide


def _plot(scene: Scene, x: Axis, y: Axis, series: Series, role: str) -> None:
    mean, low, high = decimate(series)
    if low is not mean.y:  # many values stand behind each point: show how far they reach
        there, back = curve(x, y, mean.x, high), curve(x, y, mean.x, low)[::-1]
        scene.area(np.concatenate([there, back]), role, 0.16)
    points = curve(x, y, mean.x, mean.y)
    if len(points) == 1:
        points = points + np.array([[-1.5, 0.0], [1.5, 0.0]])
        scene.line(points, role, 5.0)
    else:
        scene.line(points, role, 1.7)


def _note(scene: Scene, y: Axis, values: Floats) -> None:
    """What a reader must know of the y axis: that it is logarithmic, or that values lie beyond it."""
    above, below = int((values > y.high).sum()), int((values < y.low).sum())
    words = "logarithmic" if y.log else ""
    if above:
        words = f"{above:,} above the chart, up to {number(float(values.max()))}"
    elif below:
        words = f"{below:,} below the chart, down to {number(float(values.min()))}"
    if words:
        scene.text(420, 14, words, size=11, role="muted", anchor="end")


def _hovers(scene: Scene, x: Axis, series: Sequence[Series], x_name: str, n: int = 64) -> None:
    """Upright strips that tell the values nearest to them."""
    longest = max(series, key=lambda s: len(s.x))
    n = min(n, len(longest.x))
    width = (x.end - x.start) / n
    for i in range(n):
        value = x.low + (i + 0.5) / n * (x.high - x.low)
        at = longest.x[np.abs(longest.x - value).argmin()]
        lines = [f"{x_name} {number(float(at))}"]
        lines += [f"{s.name}: {number(float(s.y[np.abs(s.x - at).argmin()]))}" for s in series]
        scene.hover(x.start + i * width, 52, width, 154, "\n".join(lines))
