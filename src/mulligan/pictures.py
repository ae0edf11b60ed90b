"""Pictures of samples: a grid of images, a scatter plot of points, a histogram of numbers; the frames of a walk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from mulligan import charts, plot
from mulligan.arrays import Array, Bytes, to_numpy, to_uint8, user_units
from mulligan.charts import Axis
from mulligan.errors import Mistake
from mulligan.plot import Floats, Scene
from mulligan.signals import Signal

MIN_TILE = 56  # px; smaller tiles are enlarged by a whole number until they are seen
MAX_PIXELS = 100_000_000  # of one picture
GAP = 2  # px between tiles
_GAP_GREY = 40  # darker than paper, lighter than black: tiles end visibly on either


def look_grid(x: Array, reals: Array | None = None, signal: Signal | None = None) -> Image.Image:
    """The picture of one look at samples: a grid of images, a scatter plot, or a histogram.

    Args:
        x: images (N, C, H, W) in [-1, 1] or points (N, D).
        reals: the same of the data; images stand to the right of the samples, points in grey below them.
        signal: of points, for units and names.
    """
    if x.ndim == 4:
        tiles = grid(to_uint8(x))
        return tiles if reals is None else _beside(tiles, grid(to_uint8(reals)))
    units = (lambda v: user_units(v, signal)) if signal else to_numpy
    names = signal.names if signal else ()
    plot_of = scatter if x.shape[1] >= 2 else histogram
    return plot_of(units(x), None if reals is None else units(reals), names=names)


def side_by_side(made: Mapping[str, Array]) -> Array:
    """What a system made as one image a sample: all its images (N, C, H, W) of one size in a row, the first at left.

    An image of one channel beside colours, such as a mask, is shown in grey. Whatever has another shape is left out.
    """
    first = next(iter(made.values()))
    if first.ndim != 4:
        return first
    n, channels, *size = first.shape
    alike = [x for x in made.values() if (len(x), *x.shape[2:]) == (n, *size)]
    if channels == 1:
        channels = max(x.shape[1] for x in alike)
    row = [np.broadcast_to(to_numpy(x), (n, channels, *size)) for x in alike if x.shape[1] in (1, channels)]
    return np.concatenate(row, 3) if len(row) > 1 else first


def grid(images: Bytes, columns: int | None = None) -> Image.Image:
    """Images (N, H, W, C) as one picture, exact to the pixel.

    Tiles under 56 px are enlarged by a whole number.

    Raises:
        ValueError: the picture would be too large to be looked at.
    """
    n, h, w, c = images.shape
    assert n > 0, "a grid needs at least one image"
    columns = columns or _columns(n, w / h)
    rows = math.ceil(n / columns)
    times = math.ceil(MIN_TILE / min(h, w))
    size = (rows * (h * times + GAP) - GAP, columns * (w * times + GAP) - GAP)
    if size[0] * size[1] > MAX_PIXELS:
        raise Mistake(
            f"{n} samples make a picture of {size[1]:,} x {size[0]:,} px, more than a grid may have; "
            "take fewer (-n), or write a folder or .npz"
        )
    canvas = np.full((*size, c), _GAP_GREY, np.uint8)
    if c in (2, 4):
        canvas[..., -1] = 0  # seams of transparent pictures are transparent
    tiles = images.repeat(times, 1).repeat(times, 2)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (h * times + GAP), (i % columns) * (w * times + GAP)
        canvas[top : top + h * times, left : left + w * times] = tile
    return image(canvas)


def _columns(n: int, aspect: float) -> int:
    """Columns of a grid that is about square: one that leaves no tile empty, if such a one is near."""
    ideal = math.sqrt(n / aspect)
    near = [c for c in range(1, n + 1) if n % c == 0 and 1 / 1.6 <= c / ideal <= 1.6]
    whole = min(near, key=lambda c: abs(math.log(c / ideal) - 1e-6), default=0)  # of two, the wider
    return whole or min(n, math.ceil(ideal))


def image(pixels: Bytes) -> Image.Image:
    """One picture (H, W, C): grey, grey and alpha, colour, or colour and alpha."""
    assert pixels.shape[2] in (1, 2, 3, 4), f"{pixels.shape[2]} channels make no picture"
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new(left.mode, (left.width + 12 + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 12, 0))
    return both


def scatter(
    fake: Array,
    real: Array | None = None,
    *,
    names: Sequence[str] = (),
    limits: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Generated points (N, >= 2) in blue over real ones in grey, both axes at one scale.

    The frame holds the real points where given, so that looks of one run compare; generated points beyond it
    are counted in words.

    Args:
        fake: generated points.
        real: points of the data.
        names: of the columns.
        limits: x0, x1, y0, y1 of the frame, instead.
    """
    if fake.shape[1] == 1:
        return histogram(fake, real, names=names)
    f = to_numpy(fake).astype(np.float64)[:, :2]
    r = None if real is None else to_numpy(real).astype(np.float64)[:, :2]
    x0, x1, y0, y1 = limits or _limits(f if r is None else r, pad=0.08 if r is None else 0.18)
    if not names or f.shape[1] > len(names):
        names = ("", "")
    scene = Scene(480, 480)
    half = max(x1 - x0, y1 - y0) / 2  # one scale for both: a circle stays a circle
    mx, my = (x0 + x1) / 2, (y0 + y1) / 2
    x_axis, y_axis = Axis(mx - half, mx + half, 46, 466), Axis(my - half, my + half, 448, 28)
    _square(scene, x_axis, y_axis, names)
    ok = f[np.isfinite(f).all(1)]
    inside = (np.abs(ok - [mx, my]) <= half).all(1)
    _scatter_words(scene, len(f), len(f) - int(inside.sum()), r is not None)
    return _dots(scene, [(r, "muted", 1.1, 0.35), (ok[inside], "D", 1.5, 0.6)], x_axis, y_axis)


def _limits(points: Floats, pad: float) -> tuple[float, float, float, float]:
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return -1.0, 1.0, -1.0, 1.0
    low, high = points.min(0), points.max(0)
    # wide enough to tell the ends apart, however far from 0 they lie
    edge = max((high - low).max() * pad, 1e-6 * max(1.0, float(np.abs(points).max())))
    return float(low[0] - edge), float(high[0] + edge), float(low[1] - edge), float(high[1] + edge)


def _square(scene: Scene, x: Axis, y: Axis, names: Sequence[str]) -> None:
    for value in x.ticks():
        at = float(x(value))
        scene.line([(at, y.start), (at, y.end)], "grid")
        scene.text(at, y.start + 16, charts.number(value), size=11, role="muted", anchor="middle")
    charts.y_scale(scene, x, y, y.ticks())
    scene.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], "muted")
    if names[0]:
        scene.text(x.end, y.start + 29, names[0], size=12, anchor="end")
    if names[1]:
        scene.text(x.start, y.end - 18, names[1], size=12)


def _scatter_words(scene: Scene, n: int, outside: int, reals: bool) -> None:
    words = f"{n:,} generated" + (f", {outside:,} of them beyond the frame" if outside else "")
    left = 466 - plot.text_width(words, 12)
    scene.text(466, 16, words, size=12, anchor="end")
    scene.dot(left - 8, 12, "D")
    if reals:
        scene.text(left - 24, 16, "real", size=12, anchor="end")
        scene.dot(left - 32 - plot.text_width("real", 12), 12, "muted", 0.8)


def _dots(
    scene: Scene, layers: list[tuple[Floats | None, str, float, float]], x: Axis, y: Axis, scale: int = 2
) -> Image.Image:
    """The scene with smooth round dots; where dots of a layer lie on each other they add up.

    A layer is its points (N, 2), their colour role, radius in CSS pixels, and the opacity of one dot.
    """
    picture = np.asarray(scene.image(scale)).astype(np.float64)
    for points, role, radius, opacity in layers:
        if points is None or not len(points):
            continue
        at = charts.curve(x, y, points[:, 0], points[:, 1])
        cover = 1 - (1 - opacity) ** _coverage(at * scale, radius * scale, picture.shape[:2])
        picture += cover[..., None] * (np.array(plot.rgb(role)) - picture)
    return Image.fromarray(np.rint(picture).astype(np.uint8))


def _coverage(at: Floats, radius: float, shape: tuple[int, ...]) -> Floats:
    """How many dots cover each pixel (H, W), in parts at their rims."""
    reach = math.ceil(radius + 1)
    steps = np.arange(-reach, reach + 1)
    dy, dx = (v.ravel() for v in np.meshgrid(steps, steps, indexing="ij"))
    corner = np.floor(at).astype(int)
    px, py = corner[:, :1] + dx, corner[:, 1:] + dy  # (N, stamp)
    distance = np.hypot(px + 0.5 - at[:, :1], py + 0.5 - at[:, 1:])
    part = np.clip(radius + 0.5 - distance, 0, 1)
    inside = (px >= 0) & (py >= 0) & (px < shape[1]) & (py < shape[0])
    flat = np.bincount((py * shape[1] + px)[inside], part[inside], shape[0] * shape[1])
    return np.asarray(flat.reshape(shape[0], shape[1]), np.float64)


def histogram(
    fake: Array,
    real: Array | None = None,
    *,
    names: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
) -> Image.Image:
    """Generated numbers (N, 1) as steps in green, real ones as a grey area; both are densities."""
    f = _finite(fake)
    r = None if real is None else _finite(real)
    both = f if r is None else np.concatenate([f, r])
    low, high = limits or ((float(both.min()), float(both.max())) if len(both) else (0.0, 1.0))
    edges = np.linspace(low, high if high > low else low + 1, 61)
    heights = [_density(v, edges) for v in (f, r) if v is not None]
    scene = Scene(560, 320)
    x = Axis(float(edges[0]), float(edges[-1]), 46, 548)
    y = Axis(0, 1.08 * max(float(h.max()) for h in heights) or 1.0, 284, 34)
    charts.y_scale(scene, x, y, y.ticks(4))
    if r is not None:
        scene.area(_steps(x, y, edges, heights[1]), "muted", 0.35)
    scene.area(_steps(x, y, edges, heights[0]), "G", 0.18)
    scene.line(_steps(x, y, edges, heights[0]), "G", 1.8)
    charts.x_scale(scene, x, y.start, 7)
    words = f"{len(f):,} generated" + ("" if r is None else f" (line), {len(r):,} real (grey)")
    scene.text(548, 18, words, size=12, anchor="end")
    scene.text(46, 18, names[0] if names else "", size=12)
    return scene.image()


def _finite(x: Array) -> Floats:
    values = to_numpy(x).astype(np.float64).ravel()
    return np.asarray(values[np.isfinite(values)], np.float64)


def _density(values: Floats, edges: Floats) -> Floats:
    counts = np.histogram(values, edges)[0]
    return np.asarray(counts / (max(len(values), 1) * (edges[1] - edges[0])), np.float64)


def _steps(x: Axis, y: Axis, edges: Floats, heights: Floats) -> Floats:
    xs = np.concatenate([edges[:1], edges.repeat(2)[1:-1], edges[-1:]])
    return charts.curve(x, y, xs, np.concatenate([[0.0], heights.repeat(2), [0.0]]))


def frames(x: Array, signal: Signal | None = None) -> list[Image.Image]:
    """A picture each of images (T, C, H, W) or (T, N, C, H, W) in [-1, 1], or of points (T, N, D) on common axes."""
    if x.ndim == 4:
        return [grid(image[None]) for image in to_uint8(x)]
    if x.ndim == 5:
        return [grid(to_uint8(frame)) for frame in x]
    assert x.ndim == 3, f"frames of {x.ndim} dimensions make no walk"
    points = np.stack([user_units(frame, signal) if signal else to_numpy(frame) for frame in x])
    names = signal.names if signal else ()
    flat = points.reshape(-1, points.shape[2]).astype(np.float64)
    if flat.shape[1] == 1:
        ends = (float(flat.min()), float(flat.max()))
        return [histogram(frame, names=names, limits=ends) for frame in points]
    limits = _limits(flat[:, :2], pad=0.08)
    return [scatter(frame, names=names, limits=limits) for frame in points]
