"""Conditioning augmentation: the code of a condition is drawn around what was read, so that G meets all that lies near
a sentence and not the sentences of the data alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Moments = tuple[Tensor, Tensor]  # μ and log σ², each (N, n)


class ConditioningAugmentation(nn.Module):
    """φ (N, d) and ε (N, n) ~ N(0, I) -> ĉ = μ(φ) + σ(φ) ε (N, n), and (μ, log σ²) (Zhang et al. 2017, section 3.2).

    The first n outputs of one layer are μ, the others log σ².
    """

    def __init__(self, d: int, n: int) -> None:
        super().__init__()
        self.moments = nn.Linear(d, 2 * n)

    def forward(self, phi: Tensor, noise: Tensor) -> tuple[Tensor, Moments]:
        with torch.autocast(phi.device.type, enabled=False):  # an exponential stands at its end
            mu, log_var = self.moments(phi.float()).chunk(2, 1)
            return mu + (log_var / 2).exp() * noise, (mu, log_var)
