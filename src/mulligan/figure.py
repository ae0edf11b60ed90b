"""The lecture's figure of a GAN on one number (Goodfellow et al. 2014, figure 1), from trained networks.

The density of the data is black and dotted, that of the generator green and solid, D blue and dashed. Below
them lies the line of x, and below that the line of z, from which arrows lead to x = G(z): where they crowd,
the generator is dense.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mulligan import charts, plot, samples
from mulligan.charts import Axis
from mulligan.errors import Mistake
from mulligan.game import System
from mulligan.plot import Floats, Scene
from mulligan.signals import Signal

N_GRID = 401  # values of x
N_ARROWS = 33
N_SAMPLES = 65_536  # generated numbers behind p_g
BANDWIDTH = 0.01  # standard deviation of the smoothing, as a share of the drawn range of x
_DOTTED, _DASHED = (0.0, 4.6), (6.0, 4.0)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The game at one moment, in the units of the user's data.

    Attributes:
        x: (M,) ascending, evenly spaced.
        p_data, p_g: (M,) densities of data and generator.
        D: (M,) in [0, 1], the probability of being real that D gives to x.
        z: (K,) latents, evenly spaced in probability; the first coordinate where z has more.
        G_z: (K,) what the generator makes of them.
        round: of the training.
    """

    x: Floats
    p_data: Floats
    p_g: Floats
    D: Floats
    z: Floats
    G_z: Floats
    round: int

    def to_json(self) -> dict[str, Any]:
        return {k: [float(f"{n:.6g}") for n in v] if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From `to_json`.

        Raises:
            ValueError: an array is missing, or has another length than its partners.
        """
        try:
            arrays = {k: np.asarray(data[k], np.float64) for k in ("x", "p_data", "p_g", "D", "z", "G_z")}
            snapshot = cls(**arrays, round=int(data["round"]))
        except (KeyError, TypeError) as error:
            raise Mistake(f"this is no snapshot of a 1-D game: {error}; draw it anew") from error
        curves = {a.shape for a in (snapshot.x, snapshot.p_data, snapshot.p_g, snapshot.D)}
        if len(curves) != 1 or snapshot.z.shape != snapshot.G_z.shape or snapshot.x.size < 2:
            raise Mistake("the arrays of this snapshot differ in length; draw it anew")
        return snapshot

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(self.to_json()))

    @classmethod
    def load(cls, file: Path) -> Self:
        return cls.from_json(json.loads(file.read_text()))


# From networks to numbers


def snapshot(system: System, source: Any, round: int) -> Snapshot:
    """The game of a system on 1-D points at one moment; training is left as it was.

    p_data is the source's closed form where it has one (`density`), else the smoothed histogram of up to
    65,536 training points. p_g is that of 65,536 generated numbers. The kernel is a Gaussian whose standard
    deviation is BANDWIDTH of the drawn range of x. The latents are the same in every snapshot of a run.

    Args:
        system: has `discriminate(x)` with x (N, 1), giving logits (N,) or {player: logits}.
        source: has `train`, whose points (N, 1) set the range of x.
        round: of the training, for the title.
    """
    signal = system.signals["x"]
    assert (signal.kind, signal.shape) == ("points", (1,)), f"the figure shows 1-D points, not {signal}"
    real = source.train.fetch(np.arange(min(len(source.train), N_SAMPLES)))["x"].numpy().ravel()
    x = _range(real.astype(np.float64))
    z, G_z, made, logits = _play(system, x)
    spread = BANDWIDTH * float(x[-1] - x[0])
    density = getattr(source, "density", None)
    p_data = smooth_density(real, x, spread) if density is None else np.ravel(density(x[:, None]))
    D = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return _in_user_units(signal, Snapshot(x, p_data, smooth_density(made, x, spread), D, z, G_z, round))


def _range(real: Floats) -> Floats:
    """Evenly spaced values over the data and a little beyond, where p_g may go astray."""
    low, high = np.quantile(real, (0.0005, 0.9995))
    pad = 0.2 * max(float(high - low), 1e-6)
    return np.linspace(low - pad, high + pad, N_GRID)


@torch.no_grad()
def _play(system: System, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Latents (K,) and what becomes of them (K,), generated numbers (N,), D's logits (M,) at x."""
    training = system.training
    system.eval()
    try:
        with torch.random.fork_rng([system.device] if system.device.type == "cuda" else []):
            torch.manual_seed(0)
            latents = torch.cat([system.latent(8192) for _ in range(N_SAMPLES // 8192)])
        latents = latents.to(system.device)
        made = torch.cat([system.generate({"z": part})["x"] for part in torch.split(latents, 8192)])
        logits = _logits(system, torch.from_numpy(x).float()[:, None].to(system.device))
    finally:
        system.train(training)
    # Even steps in probability, so that the arrows are as dense as p_g whatever z's own density is.
    order = latents[:, 0].argsort()
    ends = ((np.arange(N_ARROWS) + 0.5) / N_ARROWS * len(order)).astype(int)
    pick = order[torch.from_numpy(ends).to(order.device)]
    return _array(latents[pick, 0]), _array(made[pick, 0]), _array(made[:, 0]), _array(logits)


def _logits(system: Any, x: Tensor) -> Tensor:
    out: Tensor | dict[str, Tensor] = system.discriminate(x)
    return next(iter(out.values())) if isinstance(out, dict) else out


def _array(x: Tensor) -> Floats:
    return x.double().cpu().numpy().ravel()


def smooth_density(values: Any, x: Floats, spread: float) -> Floats:
    """Density (M,) of some numbers at evenly spaced x (M,): a fine histogram, smoothed.

    The kernel is a Gaussian with standard deviation `spread`. Numbers beyond x count in the total, so the
    density over x may hold less than 1.
    """
    values = np.asarray(values, np.float64)
    step = (x[1] - x[0]) / 4  # four bins to a value of x
    reach = math.ceil(4 * spread / step)
    n = 4 * (len(x) - 1) + 1 + 2 * reach
    first = x[0] - (reach + 0.5) * step
    counts = np.histogram(values[np.isfinite(values)], n, (first, first + n * step))[0]
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / spread) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), "valid")
    return np.asarray(smooth[::4] / (max(len(values), 1) * step), np.float64)


def _in_user_units(signal: Signal, s: Snapshot) -> Snapshot:
    scale = signal.scale[0] if signal.scale else 1.0
    offset = signal.offset[0] if signal.offset else 0.0
    return Snapshot(offset + scale * s.x, s.p_data / scale, s.p_g / scale, s.D, s.z, offset + scale * s.G_z, s.round)


# From numbers to pictures


def draw(snapshot: Snapshot, *, top: float | None = None, z_range: tuple[float, float] | None = None) -> Image.Image:
    """The figure as a picture of 1200 x 796 px.

    Args:
        snapshot: the moment.
        top: density at the top of the frame; default: to suit.
        z_range: ends of the line of z; default: to suit.
    """
    return _scene([snapshot], (520, 340), top, z_range).image(2)


def panels(snapshots: Sequence[Snapshot]) -> Image.Image:
    """Several moments side by side on common axes, as in the paper."""
    return _scene(snapshots, (300, 300)).image(2)


def svg(snapshots: Sequence[Snapshot], *, panel: tuple[float, float] = (300, 300)) -> str:
    """`panels`, or one large figure, as an <svg> element that follows the page's theme."""
    return _scene(snapshots, panel).svg()


def gif(snapshots: Sequence[Snapshot], provenance: dict[str, Any]) -> bytes:
    """The figure at each moment as an endless GIF on common axes; the last one stays for two seconds."""
    top, z_range = _top(snapshots), _z_range(snapshots)
    frames = [draw(s, top=top, z_range=z_range) for s in snapshots]
    times = [160] * (len(frames) - 1) + [2000]  # ms
    return samples.gif(frames, provenance, milliseconds=times, dither=False)


def animate(
    snapshots: Sequence[Snapshot], out: Path | str, provenance: dict[str, Any], *, overwrite: bool = False
) -> Path:
    """Write `gif` to a file."""
    if not snapshots:
        raise Mistake(f"-o {out}: no moments of this run were kept; train it with more looks")
    return samples.save(gif(snapshots, provenance), out, overwrite=overwrite)


def _top(snapshots: Sequence[Snapshot]) -> float:
    """The density at the top of the frame: room for p_g, but not for a spike that would flatten p_data."""
    p_data = max(float(s.p_data.max()) for s in snapshots)
    p_g = max(float(s.p_g.max()) for s in snapshots)
    return 1.06 * min(max(p_data * 1.15, p_g), 2.2 * p_data) or 1.0


def _z_range(snapshots: Sequence[Snapshot]) -> tuple[float, float]:
    low, high = (float(f([f(s.z) for s in snapshots])) for f in (np.min, np.max))
    pad = 0.02 * (high - low) or 1.0
    return low - pad, high + pad


@dataclass(frozen=True)
class _Panel:
    """Where the parts of one panel lie on the scene."""

    x: Axis
    density: Axis
    D: Axis
    z: Axis
    first: bool
    last: bool

    @property
    def x_line(self) -> float:
        return self.density.start + 30

    @property
    def z_line(self) -> float:
        return self.x_line + 62


def _scene(
    snapshots: Sequence[Snapshot],
    size: tuple[float, float],
    top: float | None = None,
    z_range: tuple[float, float] | None = None,
) -> Scene:
    """Panels of `size` in a row, numbers to their left and right, the legend above."""
    assert snapshots, "the figure needs a snapshot"
    top, z_range = top or _top(snapshots), z_range or _z_range(snapshots)
    x_range = min(float(s.x[0]) for s in snapshots), max(float(s.x[-1]) for s in snapshots)
    n, (width, height) = len(snapshots), size
    left, right, gap = 42.0, 38.0, 16.0
    scene = Scene(left + n * width + (n - 1) * gap + right, height + 58, _in_words(snapshots))
    _legend(scene, left)
    bottom = height - 62
    for i, one in enumerate(snapshots):
        x0 = left + i * (width + gap)
        panel = _Panel(
            Axis(*x_range, x0, x0 + width), Axis(0, top, bottom, 62), Axis(0, 1.06, bottom, 62),
            Axis(*z_range, x0, x0 + width), i == 0, i == n - 1,
        )  # fmt: skip
        _axes(scene, panel, one)
        _arrows(scene, panel, one)
        _curves(scene, panel, one)
    return scene


def _in_words(snapshots: Sequence[Snapshot]) -> str:
    moments = ", ".join(f"{s.round:,}" for s in snapshots)
    s = snapshots[-1]
    step = float(s.x[1] - s.x[0])
    apart = 0.5 * float(np.abs(s.p_data - s.p_g).sum()) * step
    return (
        f"Densities of data and generator, and D, at round {moments}. In the last, data and generator "
        f"share {100 * (1 - min(apart, 1)):.0f} % of their mass, and D lies between {s.D.min():.2f} and "
        f"{s.D.max():.2f}."
    )


def _legend(scene: Scene, left: float) -> None:
    at = left
    entries = [
        ("data", "data: p", "data", 2.4, _DOTTED), ("G", "generator: p", "g", 2.2, None),
        ("D", "D(x), right scale", "", 2.0, _DASHED),
    ]  # fmt: skip
    for role, words, sub, width, dash in entries:
        scene.line([(at, 14), (at + 26, 14)], role, width, dash=dash)
        scene.text(at + 33, 18, words, sub=sub, size=13)
        at += 33 + plot.text_width(words, 13) + plot.text_width(sub, 9.4) + 26


def _axes(scene: Scene, p: _Panel, s: Snapshot) -> None:
    y0, y1 = p.density.start, p.density.end
    scene.text((p.x.start + p.x.end) / 2, y1 - 10, f"round {s.round:,}", size=13.5, anchor="middle")
    half = float(p.D(0.5))
    scene.line([(p.x.start, half), (p.x.end, half)], "grid", 1.2)
    scene.line([(p.x.start, y0), (p.x.end, y0)], "grid", 1.2)
    if p.first:
        for value in p.density.ticks(4):
            scene.text(p.x.start - 8, float(p.density(value)) + 4, charts.number(value), size=11, anchor="end")
    if p.last:
        for value, word in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
            scene.text(p.x.end + 8, float(p.D(value)) + 4, word, size=11, role="D")
    for axis, at, name in ((p.x, p.x_line, "x"), (p.z, p.z_line, "z")):
        scene.line([(axis.start, at), (axis.end, at)], "ink", 1.3)
        if p.first:
            scene.text(axis.start - 8, at + 5, name, size=14, anchor="end")
        up = axis is p.x  # the arrows come from below, so the line of x has its numbers above
        for value in axis.ticks(6):
            place = float(axis(value))
            scene.line([(place, at), (place, at - 4 if up else at + 4)], "ink", 1.1)
            words = charts.number(value)
            scene.text(place, at - 8 if up else at + 17, words, size=11, role="muted", anchor="middle")


def _arrows(scene: Scene, p: _Panel, s: Snapshot) -> None:
    for z, x in zip(s.z, s.G_z, strict=True):
        if p.x.low <= x <= p.x.high and p.z.low <= z <= p.z.high:  # NaN is left out too
            start, end = (float(p.z(z)), p.z_line), (float(p.x(x)), p.x_line + 1)
            scene.arrow(start, end, "ink", 0.9, opacity=0.6)


def _curves(scene: Scene, p: _Panel, s: Snapshot) -> None:
    """p_g, D and p_data, the dotted line last so that it stays visible where all is well."""
    g = charts.curve(p.x, p.density, s.x, s.p_g)
    scene.area(np.concatenate([g, [[g[-1, 0], p.density.start], [g[0, 0], p.density.start]]]), "G", 0.1)
    scene.line(g, "G", 2.2)
    scene.line(charts.curve(p.x, p.D, s.x, s.D), "D", 2.0, dash=_DASHED)
    scene.line(charts.curve(p.x, p.density, s.x, s.p_data), "data", 2.4, dash=_DOTTED)
