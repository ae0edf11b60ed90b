"""Projection: the latent whose sample is nearest to an image, found by gradient steps on the latent.

As Karras et al. 2020 (StyleGAN2, section 5 and appendix D), with the best of some random samples to start from, several
starts at once, and noise on the latent that fades.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mulligan.data import images
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.networks.perceptual import FeatureDistance, PixelDistance, between, pixels
from mulligan.sheet import sheet, tile
from mulligan.signals import Signal
from mulligan.space import Space, open_space

N_RANDOM = 200
LR = {"z": 0.1, "w": 0.05}  # of Adam, in standard deviations of the space
NOISE = 0.05  # likewise, at the start; over at three quarters of the steps
PULL = {"z": 0.02, "w": 1e-3}
PIXELS = 0.1  # weight of the mean squared difference of pixels
Progress = Callable[[str, int, int], None]
Measure = FeatureDistance | PixelDistance


@dataclass(frozen=True)
class Projection:
    """What was found.

    Attributes:
        latent: z (1, z_dim), or styles w (1, num_ws, z_dim).
        space: z or w.
        target: the image (1, C, H, W) in [-1, 1]; `random` is the best of random samples, `image` the projection.
        measure: the name of the distance.
        distances: of the projection, the best of random samples, and their mean; and the first two in pixels.
    """

    latent: Tensor
    space: str
    target: Tensor
    random: Tensor
    image: Tensor
    measure: str
    distances: dict[str, float]


def project(
    model: Model,
    target: Tensor | Path | str,
    *,
    seed: int = 0,
    steps: int = 200,
    starts: int = 4,
    by_pixels: bool = False,
    progress: Progress | None = None,
) -> Projection:
    """The latent whose sample is nearest to an image.

    Args:
        model: whose latent space is searched.
        target: an image (C, H, W) or (1, C, H, W) in [-1, 1] of the model's size, or the path of an image file.
        seed: of the random samples and the noise.
        steps: of Adam.
        starts: the so many best random samples are gone on with, at once.
        by_pixels: compare pixels alone, not features.
        progress: called with what is done, how far, of how much.

    Raises:
        ValueError: the model makes no images, the file is none, or the extra `features` is missing.
    """
    space = open_space(model, "project")
    measure: Measure = PixelDistance() if by_pixels else FeatureDistance()
    x = read_image(model, Path(target)) if isinstance(target, Path | str) else fitting(space, target)
    return search(space, x, measure, seed=seed, steps=steps, starts=starts, progress=progress)


def search(
    space: Space, target: Tensor, measure: Measure, *, seed: int, steps: int, starts: int,
    progress: Progress | None = None,
) -> Projection:  # fmt: skip
    """See `project`."""
    device = space.centre.device
    target = target.to(device)
    with torch.no_grad():
        wanted = measure.maps(target)
        drawn = space.draw(N_RANDOM, seed)
        x = space.samples(drawn)
        far = torch.cat([between(measure.maps(part), wanted) for part in torch.split(x, 25)])
    first = far.argsort()[:starts]
    u, near = descend(space, drawn[first], target, measure, wanted, seed=seed, steps=steps, progress=progress)
    best = near.argmin()
    if float(near[best]) > float(far.min()):  # never worse than where it began
        found, distance = drawn[first[:1]], far.min()
    else:
        found, distance = u[best][None], near[best]
    image, random = space.samples(found), x[first[:1]]
    distances = {
        "projection": float(distance),
        f"best of {N_RANDOM} random": float(far.min()),
        "mean random": float(far.mean()),
        "projection, pixels": float(pixels(image, target)),
        f"best of {N_RANDOM} random, pixels": float(pixels(random, target)),
    }
    return Projection(found.cpu(), space.name, target.cpu(), random.cpu(), image.cpu(), measure.name, distances)


def descend(
    space: Space, u: Tensor, target: Tensor, measure: Measure, wanted: list[Tensor], *, seed: int, steps: int,
    progress: Progress | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Adam from latents u (K, ...): the nearest that each met on its way, and its distance (K,)."""
    u = u.clone().requires_grad_(True)
    lr, scale = LR[space.name], space.spread.mean()
    optimizer = torch.optim.Adam([u], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    best, found = torch.full((len(u),), math.inf, device=u.device), u.detach().clone()
    for step in range(steps + 1):
        done = step / steps
        fade = max(0.0, 1 - done / 0.75) ** 2
        noise = torch.randn(u.shape, generator=generator).to(u.device) * (NOISE * fade * scale)
        x = space.decode(u + noise)
        near = between(measure.maps(x), wanted)
        better = near < best
        if fade == 0:  # the last steps are without noise: what they measure is what u makes
            best, found[better] = torch.where(better, near.detach(), best), u.detach()[better]
        loss = near + PIXELS * pixels(x, target) + PULL[space.name] * space.pull(u)
        (u.grad,) = torch.autograd.grad(loss.sum(), u)
        # up in a twentieth of the steps, down along a cosine in the last half
        rate = min(1.0, (step + 1) / (0.05 * steps + 1), 0.5 - 0.5 * math.cos(2 * math.pi * min(0.5, 1 - done)))
        optimizer.param_groups[0]["lr"] = lr * float(scale) * rate
        optimizer.step()
        if progress is not None:
            progress("projecting", step, steps)
    return found, best


# --- the target --------------------------------------------------------------------------------------------


def fitting(space: Space, x: Tensor) -> Tensor:
    """An image as (1, C, H, W).

    Raises:
        ValueError: it is not of the size that the model makes.
    """
    x = x[None] if x.ndim == 3 else x
    if tuple(x.shape) != (1, *space.signal.shape):
        raise Mistake(f"an image of shape {tuple(x.shape)}: this model makes {space.signal}; bring it to that size")
    return x.float()


def read_image(model: Model, path: Path) -> Tensor:
    """An image file (1, C, H, W) in [-1, 1], brought to the model's size as its data were.

    Raises:
        ValueError: there is no such file, it is no image, or it is larger than any that is read.
    """
    if not path.is_file():
        raise Mistake(f"{path} does not exist or is no file: give an image")
    signal: Signal = next(iter(model.system.makes.values()))
    channels, size = signal.shape[0], signal.shape[1]
    assert channels is not None and size is not None, "a model makes images of one size"
    fit = model.config["data"].get("fit", "crop")
    try:
        with images.quiet():
            colours = images.load(path, size=size, fit=fit, alpha=channels == 4)
    except images.UnreadableError as error:
        raise Mistake(f"{path} cannot be read ({error}): give a PNG, JPEG, WebP, GIF or BMP image") from error
    if channels == 1:
        grey = Image.fromarray(colours.transpose(1, 2, 0)).convert("L")
        colours = np.asarray(grey)[None]
    return torch.from_numpy(colours.copy()).float()[None] / 127.5 - 1


def picture(found: Projection) -> Image.Image:
    """The target, the best of the random samples and the projection, each with its distance."""
    projection, random, *_ = found.distances.values()
    return sheet([[
        tile(found.target, "the target"),
        tile(found.random, f"best of {N_RANDOM} random: {random:.3f}"),
        tile(found.image, f"projection: {projection:.3f}"),
    ]])  # fmt: skip
