"""A small drawing vocabulary: one Scene, drawn as a sharp picture or as SVG that follows the page's theme.

Coordinates are CSS pixels, y downwards. Colours are roles ("ink", "data", "G" ...): a picture takes the
light theme's value, an SVG names a CSS variable (`--ink`), so one scene suits a light and a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Floats = NDArray[np.float64]
Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

# Light theme, then dark. The series colours c0 ... c5 stay apart for colour-blind readers and keep 3:1
# against their page.
COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#ffffff", "#14171c"),
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#5f6773", "#a3abb8"),
    "grid": ("#e3e6ea", "#2c323b"),
    "data": ("#000000", "#ffffff"),
    "G": ("#15803d", "#4ade80"),
    "D": ("#1d4ed8", "#7db0ff"),
    "c0": ("#1d4ed8", "#7db0ff"),
    "c1": ("#c2410c", "#fb9a4b"),
    "c2": ("#15803d", "#4ade80"),
    "c3": ("#a21caf", "#f08bf5"),
    "c4": ("#8a6500", "#f2cc3d"),
    "c5": ("#0e7490", "#5cd6ee"),
}
SERIES = tuple(f"c{i}" for i in range(6))
_OVERSAMPLE = 3  # lines are drawn this much larger and averaged down; letters are smooth by themselves


def rgb(role: str) -> tuple[int, int, int]:
    """The light theme's colour of a role."""
    value = COLOURS[role][0]
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


@cache
def font(size: float) -> Any:
    """The font that comes inside Pillow: the same picture on every machine. It holds Latin letters only."""
    return ImageFont.load_default(size=size)


def text_width(text: str, size: float) -> float:
    """Width of a text in CSS pixels; a page's own font differs a little."""
    return float(font(size).getlength(text))


@dataclass
class Line:
    points: Floats
    role: str
    width: float = 1.0
    dash: tuple[float, float] | None = None  # lengths of stroke and gap; a stroke of 0 is a round dot
    opacity: float = 1.0


@dataclass
class Area:
    points: Floats
    role: str
    opacity: float = 1.0


@dataclass
class Text:
    x: float
    y: float  # of the baseline
    text: str
    sub: str = ""
    size: float = 12.0
    role: str = "ink"
    anchor: Anchor = "start"


@dataclass
class Hover:
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass
class Scene:
    """Lines, areas and words in the order they are drawn; `image` and `svg` draw them.

    Attributes:
        width, height: in CSS pixels.
        title: what a screen reader says.
    """

    width: float
    height: float
    title: str = ""
    items: list[Line | Area | Text | Hover] = field(default_factory=list)

    def line(self, points: Sequence[Point] | Floats, role: str, width: float = 1.0, **style: Any) -> None:
        self.items.append(Line(np.asarray(points, np.float64), role, width, **style))

    def area(self, points: Sequence[Point] | Floats, role: str, opacity: float = 1.0) -> None:
        self.items.append(Area(np.asarray(points, np.float64), role, opacity))

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.items.append(Text(x, y, text, **style))

    def hover(self, x: float, y: float, width: float, height: float, text: str) -> None:
        """Words shown while the mouse rests there; SVG only."""
        self.items.append(Hover(x, y, width, height, text))

    def arrow(self, start: Point, end: Point, role: str, width: float = 1.0, opacity: float = 1.0) -> None:
        """A line with a filled head at `end`."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        along = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
        across = np.array([-along[1], along[0]])
        neck = b - 7.0 * along
        self.line([tuple(a), tuple(neck)], role, width, opacity=opacity)
        self.area([tuple(b), tuple(neck + 2.8 * across), tuple(neck - 2.8 * across)], role, opacity)

    def image(self, scale: float = 2.0) -> Image.Image:
        """The scene on the light page, RGB, `scale` picture pixels to a CSS pixel."""
        big = scale * _OVERSAMPLE
        size = (round(self.width * scale), round(self.height * scale))
        canvas = Image.new("RGB", (size[0] * _OVERSAMPLE, size[1] * _OVERSAMPLE), rgb("page"))
        draw = ImageDraw.Draw(canvas, "RGBA")
        for item in self.items:
            if isinstance(item, Line):
                _draw_line(draw, item, big)
            elif isinstance(item, Area):
                draw.polygon([tuple(p) for p in item.points * big], fill=_fill(item))
        canvas = canvas.resize(size, Image.Resampling.BOX)
        words = ImageDraw.Draw(canvas)
        for item in self.items:
            if isinstance(item, Text):
                _draw_text(words, item, scale)
        return canvas

    def svg(self) -> str:
        """The scene as an <svg> element whose colours are the page's CSS variables."""
        body = "".join(_SVG[type(item)](item) for item in self.items)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'role="img" aria-label="{escape(self.title)}" '
            f'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">'
            f"{body}</svg>"
        )


def _fill(item: Line | Area) -> tuple[int, int, int, int]:
    return (*rgb(item.role), round(255 * item.opacity))


def _draw_line(draw: ImageDraw.ImageDraw, line: Line, scale: float) -> None:
    width = max(1, round(line.width * scale))
    for points in dashes(line.points, line.dash) if line.dash else [line.points]:
        scaled = points * scale
        if line.dash and line.dash[0] == 0:
            (x, y), r = scaled[0], width / 2
            draw.ellipse((x - r, y - r, x + r, y + r), fill=_fill(line))
        else:
            draw.line([tuple(p) for p in scaled], fill=_fill(line), width=width, joint="curve")


def dashes(points: Floats, dash: tuple[float, float]) -> list[Floats]:
    """The strokes of a dashed line.

    Args:
        points: (N, 2) corners of the line.
        dash: lengths of stroke and gap along the line; a stroke of 0 gives single points.
    """
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    strokes = []
    for start in np.arange(0.0, length[-1] + 1e-9, sum(dash)):
        stop = min(start + dash[0], length[-1])
        at = np.concatenate([[start], length[(length > start) & (length < stop)], [stop]])
        strokes.append(np.stack([np.interp(at, length, points[:, i]) for i in (0, 1)], 1))
    return strokes


def _draw_text(draw: ImageDraw.ImageDraw, text: Text, scale: float) -> None:
    main, small = font(text.size * scale), font(text.size * scale * 0.72)
    wide = main.getlength(text.text)
    total = wide + (small.getlength(text.sub) if text.sub else 0.0)
    x = text.x * scale - total * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.anchor]
    y = text.y * scale
    draw.text((x, y), text.text, font=main, fill=rgb(text.role), anchor="ls")
    if text.sub:
        draw.text((x + wide, y + text.size * scale * 0.22), text.sub, font=small, fill=rgb(text.role), anchor="ls")


def _css(role: str) -> str:
    return f"var(--{role},{COLOURS[role][0]})"


def _path(points: Floats) -> str:
    return " ".join(f"{x:.5g},{y:.5g}" for x, y in points)


def _svg_line(line: Line) -> str:
    dash = f";stroke-dasharray:{line.dash[0]:g} {line.dash[1]:g};stroke-linecap:round" if line.dash else ""
    faint = f";opacity:{line.opacity:g}" if line.opacity < 1 else ""
    return (
        f'<polyline points="{_path(line.points)}" style="fill:none;stroke:{_css(line.role)};'
        f'stroke-width:{line.width:g};stroke-linejoin:round{dash}{faint}"/>'
    )


def _svg_area(area: Area) -> str:
    return f'<polygon points="{_path(area.points)}" style="fill:{_css(area.role)};opacity:{area.opacity:g}"/>'


def _svg_text(text: Text) -> str:
    words = escape(text.text)
    if words[:1] == "-" and words[1:2].isdigit():
        words = "\u2212" + words[1:]
    if text.sub:
        size, down = text.size * 0.72, text.size * 0.22
        words += f'<tspan dy="{down:.2g}" font-size="{size:.3g}">{escape(text.sub)}</tspan>'
    return (
        f'<text x="{text.x:.4g}" y="{text.y:.4g}" font-size="{text.size:g}" text-anchor="{text.anchor}" '
        f'style="fill:{_css(text.role)}">{words}</text>'
    )


def _svg_hover(hover: Hover) -> str:
    return (
        f'<rect class="hover" x="{hover.x:.4g}" y="{hover.y:.4g}" width="{hover.width:.4g}" '
        f'height="{hover.height:.4g}" style="fill:transparent"><title>{escape(hover.text)}</title></rect>'
    )


_SVG: dict[type, Callable[[Any], str]] = {
    Line: _svg_line, Area: _svg_area, Text: _svg_text, Hover: _svg_hover
}  # fmt: skip


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


def curve(x: Axis, y: Axis, xs: Any, ys: Any) -> Floats:
    """Points (N, 2) on the scene of the values xs, ys (N,)."""
    return np.stack([x(xs), y(ys)], 1)


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
    for role, one in zip(_roles(), series, strict=False):
        _plot(scene, x, y, one, role)
    _note(scene, y, all_y)
    _hovers(scene, x, series, x_name)
    return scene.svg()


def _roles() -> Iterable[str]:
    while True:
        yield from SERIES


def _in_words(title: str, series: Sequence[Series], x_name: str) -> str:
    ends = ", ".join(f"{s.name} from {number(s.y[0])} to {number(s.y[-1])}" for s in series)
    last = max(float(s.x[-1]) for s in series)
    return f"{title} up to {x_name} {number(last)}: {ends}"


def _frame(scene: Scene, x: Axis, y: Axis, rule: float | None, marks: Sequence[tuple[float, str]]) -> None:
    for value in y.ticks(4):
        at = float(y(value))
        scene.line([(x.start, at), (x.end, at)], "grid")
        scene.text(x.start - 6, at + 4, number(value), size=11, role="muted", anchor="end")
    if rule is not None and y.low <= rule <= y.high:
        at = float(y(rule))
        scene.line([(x.start, at), (x.end, at)], "muted", 1.0, dash=(1, 4))
    for place, word in marks:
        at = float(x(place))
        scene.line([(at, y.start), (at, y.end)], "muted", 1.0, dash=(3, 3), opacity=0.7)
        scene.text(at + 3, y.end + 9, word, size=10, role="muted")
    scene.line([(x.start, y.start), (x.end, y.start)], "muted")
    for value in x.ticks(5):
        at = float(x(value))
        scene.line([(at, y.start), (at, y.start + 4)], "muted")
        scene.text(at, y.start + 17, number(value), size=11, role="muted", anchor="middle")


def _legend(scene: Scene, series: Sequence[Series]) -> None:
    """Names and last values, along one line above the chart; what finds no room is left to the mouse."""
    at = 46.0
    for role, one in zip(_roles(), series, strict=False):
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
