"""Style mixing: pictures that take coarse features from one sample and fine ones from another.

As figure 3 of StyleGAN (Karras, Laine & Aila 2019, https://arxiv.org/abs/1812.04948).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mulligan import pictures
from mulligan.arrays import to_uint8
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.space import open_space


@dataclass(frozen=True)
class Mix:
    """Coarse sources (R, C, H, W), fine sources (K, C, H, W), and each with each (R, K, C, H, W)."""

    coarse: Tensor
    fine: Tensor
    mixed: Tensor
    from_layer: int


def mix(model: Model, *, rows: int = 5, columns: int = 5, from_layer: int | None = None, seed: int = 0) -> Mix:
    """Mix the styles of samples.

    Args:
        model: of a system with styles.
        rows: coarse sources; the first samples of `mulligan sample`'s grid.
        columns: fine sources; the samples after them.
        from_layer: the first layer that has the fine source's style; None: half of them.
        seed: of the samples.

    Raises:
        ValueError: the system has no styles, or not so many layers.
    """
    space = open_space(model, "mix")
    if not space.styled:
        raise Mistake(
            f"mulligan mix: {model.config['system']} has no styles to mix; train stylegan2, or try mulligan walk"
        )
    drawn = space.draw(rows + columns, seed)
    layers = drawn.shape[1]
    at = layers // 2 if from_layer is None else from_layer
    if not 1 <= at < layers:
        raise Mistake(f"--from-layer {at}: this model has {layers} layers of styles; give 1 to {layers - 1}")
    a = drawn[:rows].repeat_interleave(columns, 0)
    b = drawn[rows:].repeat(rows, 1, 1)
    x = space.samples(space.system.mix(a, b, torch.full((len(a),), at, device=a.device)))
    sources = space.samples(drawn).cpu()
    return Mix(sources[:rows], sources[rows:], x.cpu().reshape(rows, columns, *x.shape[1:]), at)


def picture(found: Mix) -> Image.Image:
    """A table: fine sources above, coarse sources on the left."""
    corner = torch.ones_like(found.coarse[:1])
    head = torch.cat([corner, found.fine])
    lines = [torch.cat([source[None], row]) for source, row in zip(found.coarse, found.mixed, strict=True)]
    return pictures.grid(to_uint8(torch.cat([head, *lines])), columns=len(head))
