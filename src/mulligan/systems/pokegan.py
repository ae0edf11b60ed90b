"""pokeGAN: moxiegushi 2017, https://github.com/moxiegushi/pokeGAN

The lecture's Pokémon: a WGAN on a few hundred sprites, with a learning rate four times the paper's. No paper.

Differs from that project, whose faults these are: its one batch of noise served all five steps of the critic and G's
step; its critic was clipped before the step, so that G met an unclipped one; its real images lay in [0, 1] and G's in
[-1, 1], which the critic could tell apart by brightness alone; and its critic's BatchNorm was clipped like the weights.
Sides other than 128; kernels of 4, not 5; its flips and changes of brightness and contrast are left to `--augment`.
"""

from __future__ import annotations

from pydantic import Field

from mulligan.config import role
from mulligan.systems import wgan


class Config(wgan.Config):
    lr: float = Field(
        default=2e-4, gt=0, description="α, RMSProp's learning rate, of both players", json_schema_extra=role("lr")
    )


class PokeGAN(wgan.WGAN):
    """Images whose side is a multiple of 4, or points."""
