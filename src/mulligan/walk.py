"""A walk through the latent space, as a GIF."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mulligan import samples
from mulligan.arrays import to_numpy
from mulligan.model import Model
from mulligan.pictures import side_by_side
from mulligan.space import check_latent


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Between latents a and b (N, d) along great circles, at t in [0, 1].

    A straight line between two Gaussian vectors passes through lengths that G never saw; this does not.
    """
    lengths = torch.lerp(a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True), t)
    a, b = torch.nn.functional.normalize(a), torch.nn.functional.normalize(b)
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    if bool((angle.sin() < 1e-4).any()):  # (anti)parallel, or a single dimension
        return torch.lerp(a, b, t) * lengths
    way = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    return way * lengths


def path(stops: list[Tensor], steps: int) -> list[Tensor]:
    """Latents on the closed way through `stops`, `steps` from one to the next, slowing at each."""
    ease = [(1 - math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
    return [slerp(a, b, t) for a, b in zip(stops, [*stops[1:], stops[0]], strict=True) for t in ease]


def write(model: Model, out: Path, *, seed: int, stops: int, steps: int, side: int, overwrite: bool = False) -> Path:
    """Write `side` x `side` walks (for points, one cloud of 1,000) to the .gif `out`."""
    check_latent(model.system)
    signal = next(iter(model.system.makes.values()))
    n = 1000 if signal.kind == "points" else side * side
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        latents = [model.system.latent(n) for _ in range(stops)]
    frames = [to_numpy(side_by_side(model.generate(n, seed=seed, z=z))) for z in path(latents, steps)]
    return samples.write_walk(np.stack(frames), out, model.provenance(seed), signal=signal, overwrite=overwrite)
