"""Spectral normalisation (Miyato et al. 2018, 1802.05957): W / σ(W), σ by power iteration.

Differs from torch's: the power iteration advances once per update of the weight while its player learns, not once
per forward. Extra forwards (penalties, evaluation, micro-batches, the generator's turn) then leave σ alone,
so a run does not depend on how often someone looks at D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize


class SpectralNorm(nn.Module):
    """A parametrization W (out, ...) -> W / σ, with σ = uᵀ W v of W reshaped to (out, rest)."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, warm_up: int = 15) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", normalize(torch.randn(matrix.shape[1]), dim=0))
        self._version = -1  # of the weight at the last power iteration
        for _ in range(warm_up):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        """One step of the power method (Miyato et al. 2018, algorithm 1, steps 1 and 2)."""
        self.v.copy_(normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # bf16 would be off by a thousandth
            matrix = weight.flatten(1)
            if self.training and weight.requires_grad and weight._version != self._version:
                self._iterate(matrix)
                self._version = weight._version
            # clones: the next iteration writes into u and v while autograd may still hold them
            sigma = self.u.clone() @ matrix @ self.v.clone()
            return weight / sigma


def spectral_norm(layer: nn.Module) -> nn.Module:
    """`layer` with its `weight` spectrally normalised."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer
