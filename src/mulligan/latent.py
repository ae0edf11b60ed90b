"""Arithmetic on latents: means, and the directions along which tags change.

Radford, Metz & Chintala 2015 (DCGAN, https://arxiv.org/abs/1511.06434), section 6.3.2: sums and differences of the mean
latents of several samples; single samples are unstable.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-3  # of the latents' variance


def mean(u: Tensor, tags: Tensor, tag: int) -> Tensor:
    """The mean (1, ...) of those latents u (N, ...) whose sample has a tag: tags (N, T), 1 or 0."""
    return u[tags[:, tag] > 0].mean(0, keepdim=True)


def total(centre: Tensor, terms: list[tuple[int, Tensor]]) -> Tensor:
    """centre + Σ sign (latent - centre): the sum of latents (1, ...), wherever their mean lies."""
    return centre + torch.stack([sign * (u - centre) for sign, u in terms]).sum(0)


def directions(u: Tensor, tags: Tensor) -> Tensor:
    """How each tag changes with the latent: the slopes (T, d) of a least-squares fit of tags (N, T) on u (N, d).

    Between latents that differ in nothing else it is the difference of the two means; but where other tags come along
    with one by chance, or the space is wider one way than another, the fit takes that out.
    """
    centred = (u - u.mean(0)).double()
    wanted = (tags - tags.mean(0)).double()
    square = centred.T @ centred
    ridge = RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    slopes: Tensor = torch.linalg.solve(square + ridge, centred.T @ wanted)
    return slopes.T.to(u.dtype)


def apart(slopes: Tensor, tag: int, others: list[int]) -> Tensor:
    """The direction (d,), of length one, in which a tag rises fastest while the others' fits stay as they are.

    Args:
        slopes: (T, d), see `directions`.
        tag: which.
        others: the tags to leave alone; none: the tag's own slope.
    """
    way = slopes[tag]
    if others:
        basis, r = torch.linalg.qr(slopes[others].T)
        basis = basis[:, r.diagonal().abs() > 1e-6 * r.diagonal().abs().max()]  # a tag that never varies bars nothing
        way = way - basis @ (basis.T @ way)
    return torch.nn.functional.normalize(way, dim=0)
