"""Mixtures of Gaussians with a known density: on a line, on a ring, on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mulligan.data.source import ArraySplit, DataCard, Source, fingerprint
from mulligan.signals import Signal

Array = npt.NDArray[Any]
COUNTS = {"train": 100_000, "held_out": 10_000, "test": 10_000}
SEEDS = {"train": 101, "held_out": 202, "test": 303}
CARD = DataCard(origin="drawn from a formula", licence="CC0-1.0", authors="the mulligan authors", changes="none")


@dataclass(kw_only=True)
class ToySource(Source):
    """Points of a mixture of K round Gaussians; x: (N, D), y: which Gaussian, (N,) int64.

    Attributes:
        modes: (K, D), the means, in the units of x.
        sigma: the standard deviation of each.
        weights: (K,), summing to 1.
    """

    modes: npt.NDArray[np.float64]
    sigma: float
    weights: npt.NDArray[np.float64]

    def density(self, x: Array) -> npt.NDArray[np.float64]:
        """p(x) of points x (N, D), or (N,) where D is 1: float64 (N,)."""
        points = np.asarray(x, np.float64).reshape(-1, self.modes.shape[1])
        norm = (2 * np.pi * self.sigma**2) ** (-self.modes.shape[1] / 2)
        p = np.zeros(len(points))
        for mode, weight in zip(self.modes, self.weights, strict=True):
            squared = ((points - mode) ** 2).sum(1)
            p += weight * norm * np.exp(-squared / (2 * self.sigma**2))
        return p


def open_density() -> ToySource:
    """0.4 N(-1, 0.5²) + 0.6 N(1, 0.5²): two humps with a valley that is not empty."""
    return mixture("density", np.array([[-1.0], [1.0]]), 0.5, np.array([0.4, 0.6]))


def open_ring() -> ToySource:
    """Eight Gaussians on a circle of radius 2 with sigma 0.02, everything divided by √2.

    The form and the divisor are those of the toy experiments of Gulrajani et al. 2017: coordinates then
    have a standard deviation of one, which suits networks.
    """
    angle = np.arange(8) * (2 * np.pi / 8)
    modes = 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return mixture("ring", modes / np.sqrt(2), 0.02 / np.sqrt(2))


def open_grid() -> ToySource:
    """Twenty-five Gaussians at {-4, -2, 0, 2, 4}² with sigma 0.05, everything divided by 2√2.

    As for `ring`: the division gives coordinates a standard deviation of one and changes no count of modes
    or of points within so many sigma. In these units the modes lie 0.707 apart and sigma is 0.0177.
    """
    line = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    modes = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(25, 2)
    return mixture("grid", modes / np.sqrt(8), 0.05 / np.sqrt(8))


OPEN = {"density": open_density, "ring": open_ring, "grid": open_grid}


def mixture(name: str, modes: Array, sigma: float, weights: Array | None = None) -> ToySource:
    """A source of any mixture of round Gaussians: modes (K, D), one sigma, weights (K,) or equal ones."""
    k, d = modes.shape
    shares = np.full(k, 1 / k) if weights is None else np.asarray(weights, np.float64)
    splits = {split: _draw(modes, sigma, shares, COUNTS[split], SEEDS[split]) for split in COUNTS}
    recipe = [part.astype("<f8").tobytes() for part in (modes, np.array([sigma]), shares)]
    return ToySource(
        name=name,
        signals={
            "x": Signal("points", (d,), None, offset=(0.0,) * d, scale=(1.0,) * d),
            "y": Signal("label", (), (0, k - 1)),
        },
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([name.encode(), *recipe, repr((COUNTS, SEEDS)).encode()]),
        card=CARD,
        modes=modes,
        sigma=sigma,
        weights=shares,
    )


def _draw(modes: Array, sigma: float, weights: Array, n: int, seed: int) -> ArraySplit:
    # RandomState, for its streams are promised never to change; those of default_rng may.
    state = np.random.RandomState(seed)
    y = state.choice(len(modes), n, p=weights).astype(np.int64)
    x = modes[y] + sigma * state.standard_normal((n, modes.shape[1]))
    return ArraySplit({"x": x.astype(np.float32), "y": y}, np.arange(n))
