"""Systems in a column, each with samples and its distance to the data: the lecture's figure of progress.

A row is a system; its distances stand on one axis below all rows, a dot a seed, beside lines for what they are read
against. Without samples the same picture compares any number of systems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mulligan import charts, pictures, plot
from mulligan.arrays import Bytes
from mulligan.charts import Axis
from mulligan.plot import Scene

SCALE = 2  # picture pixels to a CSS pixel
TILE = 64  # CSS px of a sample, about
GAP, ROW_GAP = 2, 20
LEFT, TOP, AXIS = 24.0, 112.0, 54.0
NAMES, CHART, BESIDE = 132.0, 300.0, 30.0  # widths: the names, the chart, and the space at its sides
LINE = 19.0  # of the words at the foot


@dataclass(frozen=True)
class Row:
    """A system, or what systems are read against.

    Attributes:
        name: in large letters.
        label: below it, small: the year.
        values: distances, one a seed; not finite where the game was lost.
        cells: further numbers, as text, one a column.
        strips: lines of samples, each (n, H, W, C).
        system: drawn in colour; what systems are read against is grey.
    """

    name: str
    label: str
    values: Sequence[float]
    cells: Sequence[str] = ()
    strips: Sequence[Bytes] = ()
    system: bool = True

    def height(self, tile: float) -> float:
        return max(1, len(self.strips)) * (tile + GAP) - GAP + ROW_GAP if self.strips else 34.0


@dataclass(frozen=True)
class Timeline:
    """The whole figure.

    Attributes:
        title, subtitle: above it.
        metric: what the axis shows.
        rows: from top to bottom.
        rules: values with a word each, drawn as dotted lines through all rows.
        columns: heads of the rows' cells.
        foot: lines of text below.
    """

    title: str
    subtitle: str
    metric: str
    rows: Sequence[Row]
    rules: Sequence[tuple[float, str]] = ()
    columns: Sequence[str] = ()
    foot: Sequence[str] = field(default_factory=tuple)


def draw(figure: Timeline) -> Image.Image:
    """The figure as a picture, two pixels to a CSS pixel."""
    strips = [strip for row in figure.rows for strip in row.strips]
    tile = _side(strips[0]) / SCALE if strips else 0.0
    many = max((len(strip) for strip in strips), default=0)
    x_chart = LEFT + NAMES + many * (tile + GAP) + BESIDE
    widths = [_column_width(figure, i) for i in range(len(figure.columns))]
    width = x_chart + CHART + BESIDE + sum(widths) + LEFT
    bottom = TOP + sum(row.height(tile) for row in figure.rows)
    words = [line for text in figure.foot for line in wrapped(text, width - 2 * LEFT, 13.5)]
    scene = Scene(width, bottom + AXIS + LINE * len(words) + (16 if words else 0), figure.title)
    scene.text(LEFT, 38, figure.title, size=23)
    scene.text(LEFT, 62, figure.subtitle, size=13.5, role="muted")
    axis = _axis(figure, x_chart, x_chart + CHART)
    _frame(scene, figure, axis, bottom)
    _heads(scene, figure, axis, widths)
    places: list[tuple[int, int, Bytes]] = []
    y = TOP
    for row in figure.rows:
        high = row.height(tile)
        _row(scene, row, axis, y, high, widths)
        for i, strip in enumerate(row.strips):
            top = y + ROW_GAP / 2 + i * (tile + GAP)
            places += [(round((LEFT + NAMES + j * (tile + GAP)) * SCALE), round(top * SCALE), one)
                       for j, one in enumerate(strip)]  # fmt: skip
        y += high
    for i, line in enumerate(words):
        scene.text(LEFT, bottom + AXIS + LINE * (i + 1), line, size=13.5)
    picture = scene.image(SCALE)
    for left, top, pixels in places:
        picture.paste(_tile(pixels), (left, top))
    return picture


def wrapped(text: str, width: float, size: float) -> list[str]:
    """A text in lines that are no wider than so many CSS pixels."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and plot.text_width(longer, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line else lines


def _side(strip: Bytes) -> int:
    """Pixels of the figure for a sample: a whole multiple of its side, or TILE for those that are larger."""
    side = strip.shape[1]
    return side * max(1, round(TILE * SCALE / side)) if side <= TILE * SCALE else TILE * SCALE


def _tile(pixels: Bytes) -> Image.Image:
    """A sample at its size in the figure: pixels stay sharp where it is enlarged, and transparency lies on white."""
    one = pictures.image(pixels)
    if pixels.shape[2] in (2, 4):
        page = Image.new("RGBA", one.size, "white")
        page.alpha_composite(one.convert("RGBA"))
        one = page
    side = _side(pixels[None])
    how = Image.Resampling.NEAREST if side >= pixels.shape[0] else Image.Resampling.LANCZOS
    return one.convert("RGB").resize((side, side), how)


def _column_width(figure: Timeline, i: int) -> float:
    cells = [row.cells[i] for row in figure.rows if i < len(row.cells)]
    return 24 + max(plot.text_width(cell, 13.5) for cell in [figure.columns[i], *cells])


def _axis(figure: Timeline, start: float, end: float) -> Axis:
    """From 0, for a distance; logarithmic where those of the systems differ more than twentyfold."""
    known = [v for row in figure.rows for v in row.values if math.isfinite(v)] + [v for v, _ in figure.rules]
    if not known:
        return Axis(0.0, 1.0, start, end)
    low, high = min(known), max(known)
    best = min((v for row in figure.rows if row.system for v in row.values if math.isfinite(v)), default=high)
    if low > 0 and high / best > 20:
        return Axis(low / 1.3, high * 1.3, start, end, log=True)
    return Axis(0.0, 1.06 * high or 1.0, start, end)


def _frame(scene: Scene, figure: Timeline, axis: Axis, bottom: float) -> None:
    for value in charts.fine_ticks(axis):
        at = float(axis(value))
        scene.line([(at, TOP), (at, bottom)], "grid")
        scene.text(at, bottom + 18, charts.number(value), size=11.5, role="muted", anchor="middle")
    scene.line([(axis.start, bottom), (axis.end, bottom)], "muted")
    middle = (axis.start + axis.end) / 2
    scale = ", logarithmic" if axis.log else ""
    scene.text(middle, bottom + 38, f"{figure.metric}{scale}; less is better", size=12.5, anchor="middle")
    ends = [-math.inf, -math.inf]  # where the words of the two lines above the chart end
    for value, word in sorted(figure.rules):
        at, half = float(axis(value)), plot.text_width(word, 12) / 2
        line = 0 if at - half > ends[0] + 8 else 1
        ends[line] = at + half
        scene.line([(at, TOP - 6), (at, bottom)], "ink", 1.4, dash=(0.0, 4.5))
        scene.text(at, TOP - 11 - 15 * line, word, size=12, role="muted", anchor="middle")


def _row(scene: Scene, row: Row, axis: Axis, y: float, high: float, widths: Sequence[float]) -> None:
    middle = y + high / 2
    scene.line([(LEFT, y), (axis.end + BESIDE + sum(widths), y)], "grid")
    ink = "ink" if row.system else "muted"
    if row.label and row.strips:
        scene.text(LEFT, middle - 3, row.name, size=19, role=ink)
        scene.text(LEFT, middle + 17, row.label, size=13.5, role="muted")
    else:
        scene.text(LEFT, middle + 5, f"{row.name} {row.label}".strip(), size=14.5, role=ink)
    _distances(scene, row, axis, middle)
    at = axis.end + BESIDE
    for width, cell in zip(widths, row.cells, strict=False):
        at += width
        scene.text(at, middle + 5, cell, size=13.5, role=ink, anchor="end")


def _distances(scene: Scene, row: Row, axis: Axis, middle: float) -> None:
    """A dot a seed, a stroke at their mean, and a line from the least to the greatest."""
    values = [v for v in row.values if math.isfinite(v)]
    if not values:
        scene.text(axis.start + 6, middle + 5, "no game ended" if row.system else "", size=12.5, role="muted")
        return
    role = "D" if row.system else "muted"
    low, mean, high = (float(axis(v)) for v in (min(values), float(np.mean(values)), max(values)))
    scene.line([(low, middle), (high, middle)], role, 3.0, opacity=0.35)
    for value in values:
        scene.dot(float(axis(value)), middle, role, 0.55, radius=5.0)
    scene.line([(mean, middle - 11), (mean, middle + 11)], role, 3.0)


def _heads(scene: Scene, figure: Timeline, axis: Axis, widths: Sequence[float]) -> None:
    """The heads of the columns."""
    at = axis.end + BESIDE
    for width, word in zip(widths, figure.columns, strict=True):
        at += width
        scene.text(at, TOP - 11, word, size=12.5, role="muted", anchor="end")
