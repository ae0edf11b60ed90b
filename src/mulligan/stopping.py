"""`--stop auto`: a run ends when its metric has not improved, beyond what chance does to it, for long enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIGMAS = 2.0  # of the metric's own noise: less is no improvement
LOOKS = 3  # without an improvement, at least
SHARE = 1 / 3  # of the training so far, and so much of it
NOISE_SAMPLES = 3  # of the same weights, from other latents
MINUTES = 720.0  # a run without a budget ends then at the latest


@dataclass
class Plateau:
    """What is known of a metric of which less is better.

    Attributes:
        least: its best value.
        noise: its standard deviation when only the latents change.
        seconds: of training, at the best.
        looks: since then.
    """

    least: float | None = None
    noise: float = 0.0
    seconds: float = 0.0
    looks: int = 0

    def improves(self, value: float) -> bool:
        """Whether a value is better beyond the noise."""
        return self.least is None or value < self.least - SIGMAS * self.noise

    def hear(self, value: float, seconds: float, noise: float | None = None) -> None:
        """Add a value; `noise`: what it has, where it improves."""
        if self.improves(value):
            self.least, self.seconds, self.looks = value, seconds, 0
            self.noise = self.noise if noise is None else noise
        else:
            self.looks += 1

    def over(self, seconds: float) -> bool:
        """Whether it has gone on for long enough."""
        return self.looks >= LOOKS and seconds - self.seconds >= SHARE * seconds

    def end(self) -> None:
        """It is over, as a run that has ended by it knows when it is taken up again."""
        self.looks, self.seconds = LOOKS, 0.0

    def to_json(self) -> dict[str, Any]:
        return vars(self).copy()


def noise_of(values: Sequence[float]) -> float:
    """Of one model's values, from several latents each."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
