"""The digit judge: a small classifier of MNIST digits, whose penultimate layer measures generators of them.

Trained once by `benchmarks/judges.py` on the first 50,000 training images; no system ever trains on it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.metrics import shipped

WEIGHTS = shipped.JUDGES / "digits.safetensors"


class DigitJudge(nn.Module):
    """Four convolutions, global average and maximum, one hidden layer of 64: 6 M multiplications a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 32, 5, stride=2), *_block(32, 48, 3), nn.MaxPool2d(2),
            *_block(48, 64, 3), *_block(64, 64, 3),
        )  # fmt: skip
        self.hidden = nn.Linear(128, 64)
        self.head = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer (N, 64), for x (N, 1, 28, 28) in [-1, 1]."""
        h = self.body(x)
        # The average says how much of a stroke there is, the maximum whether there is any.
        h = torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1)
        return F.silu(self.hidden(h))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) for x (N, 1, 28, 28) in [-1, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def _block(n_in: int, n_out: int, size: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


@cache
def load_judge() -> tuple[DigitJudge, dict[str, Any]]:
    """The shipped judge in eval mode, and its metadata: accuracy, data hash, seed, epochs."""
    return shipped.load(DigitJudge(), WEIGHTS)
