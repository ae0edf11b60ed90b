"""A small drawing vocabulary: one Scene, drawn as a sharp picture or as SVG that follows the page's theme.

Coordinates are CSS pixels, y downwards. Colours are roles ("ink", "data", "G" ...): a picture takes the
light theme's value, an SVG names a CSS variable (`--ink`), so one scene suits a light and a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def dot(self, x: float, y: float, role: str, opacity: float = 1.0, radius: float = 3.2) -> None:
        """A filled circle."""
        turn = np.linspace(0, 2 * np.pi, 24)
        self.area(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1), role, opacity)

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
