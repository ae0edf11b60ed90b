"""Sliced Wasserstein distance, and that of image patches scale by scale (Karras et al. 2018, 1710.10196, section 5).

Two sets are projected on a random direction, where the Wasserstein distance of numbers is that of the sorted ones; the
mean over directions is the sliced distance (Rabin et al. 2011). Of images the sets are 7x7 patches from each level of a
Laplacian pyramid: the coarsest level tells of large shapes, the finest of edges and noise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, normalize, pad

from mulligan.errors import Mistake

SMALLEST = 16  # side of the coarsest level
PATCH = 7
AT_ONCE = 64  # directions sorted at a time


def sliced_wasserstein(x: Tensor, y: Tensor, *, directions: int = 512, seed: int = 0) -> float:
    """The mean over random directions of the Wasserstein-1 distance of x (N, d) and y (N, d) projected on them.

    Of numbers (N, 1) it is their Wasserstein-1 distance.

    Raises:
        ValueError: the sets differ in size, or are empty.
    """
    if len(x) != len(y) or not len(x):
        raise Mistake(
            f"a sliced Wasserstein distance needs sets of equal size, not {len(x)} and {len(y)}; take as many"
        )
    generator = torch.Generator().manual_seed(seed)
    theta = normalize(torch.randn(directions, x.shape[1], generator=generator))
    gaps = [((t @ x.T).sort(1).values - (t @ y.T).sort(1).values).abs().mean(1) for t in torch.split(theta, AT_ONCE)]
    return float(torch.cat(gaps).mean())


def patch_distances(
    real: Tensor, fake: Tensor, *, patches: int = 128, directions: int = 512, seed: int = 0
) -> dict[int, float]:
    """The sliced Wasserstein distance of patches, by the side of the pyramid's level, finest first.

    The paper prints a thousand times these, and their mean. As in the paper each set's channels are brought to mean 0
    and variance 1 on each level: a difference in brightness or contrast alone is not seen.

    Args:
        real: images (N, C, S, S) in [-1, 1].
        fake: as many.
        patches: drawn from each image on each level; from the same places of both sets.
        directions: to project on.
        seed: of places and directions.

    Raises:
        ValueError: the sets differ in size, or are empty.
    """
    _check_sizes(real, fake)
    found = {}
    for a, b in zip(pyramid(real), pyramid(fake), strict=True):
        x, y = (_patches(images, patches, seed) for images in (a, b))
        found[a.shape[-1]] = sliced_wasserstein(x, y, directions=directions, seed=seed)
    return found


def pyramid(x: Tensor) -> list[Tensor]:
    """The Laplacian pyramid of images (N, C, S, S), finest first: what each halving loses, and the last half itself."""
    levels = []
    while x.shape[-1] % 2 == 0 and x.shape[-1] // 2 >= SMALLEST:
        half = _smooth(x)[..., ::2, ::2]
        levels.append(x - _doubled(half))
        x = half
    return [*levels, x]


def _check_sizes(x: Tensor, y: Tensor) -> None:
    if len(x) != len(y) or not len(x):
        raise Mistake(
            f"a sliced Wasserstein distance needs sets of equal size, not {len(x)} and {len(y)}; take as many"
        )


def _doubled(x: Tensor) -> Tensor:
    between = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    between[..., ::2, ::2] = x
    return 4 * _smooth(between)


def _smooth(x: Tensor) -> Tensor:
    """With the binomial filter of five (Burt & Adelson 1983)."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    n = x.shape[1]
    weight = kernel.outer(kernel).expand(n, 1, 5, 5)
    return conv2d(pad(x, [2] * 4, mode="reflect"), weight, groups=n)


def _patches(x: Tensor, n: int, seed: int) -> Tensor:
    """n patches from each of the images (N, C, S, S), (N n, 49 C), every channel with mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.arange(len(x)).repeat_interleave(n)
    top, left = torch.randint(x.shape[-1] - PATCH + 1, (2, len(images)), generator=generator)
    found = x.unfold(2, PATCH, 1).unfold(3, PATCH, 1)[images, :, top, left]
    deviation, mean = torch.std_mean(found, (0, 2, 3), keepdim=True)
    return ((found - mean) / (deviation + 1e-8)).flatten(1)
