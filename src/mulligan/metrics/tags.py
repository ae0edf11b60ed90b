"""The tag judge: a small classifier of the drawn characters' tags, which reads generated characters too.

Trained once by `benchmarks/judges.py` on the training characters; no system ever trains on it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, STYLES, TAGS
from mulligan.metrics import shipped

WEIGHTS = shipped.JUDGES / "tags.safetensors"
SIDE = 32  # px; an iris is two pixels wide
# Tags of which the data hold one and not the others, or that are one part's doing: a part of hair is what has a style.
GROUPS = (tuple(HAIR_COLOURS), tuple(EYE_COLOURS), STYLES, ("glasses",))


class TagJudge(nn.Module):
    """Five convolutions, then a hidden layer that sees what lies where on a 4 x 4 map: 9 M multiplications a face."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(3, 24), *_block(24, 48, stride=2), *_block(48, 64),
            *_block(64, 64, stride=2), *_block(64, 64, stride=2),
        )  # fmt: skip
        self.hidden = nn.Linear(64 * 4 * 4, 96)
        self.head = nn.Linear(96, len(TAGS))

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer (N, 96), for x (N, 3, 32, 32) in [-1, 1]."""
        return F.silu(self.hidden(self.body(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, T) of `characters.TAGS`, over 0 where a tag is read, for x (N, 3, 32, 32) in [-1, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def _block(n_in: int, n_out: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


@cache
def load_judge() -> tuple[TagJudge, dict[str, Any]]:
    """The shipped judge in eval mode, and its metadata: accuracy, data hash, seed, epochs."""
    return shipped.load(TagJudge(), WEIGHTS)


@torch.no_grad()
def accuracies(judge: nn.Module, x: Tensor, tags: Tensor) -> tuple[Tensor, float]:
    """Each tag's share of right readings (T,), and the share of rows without an error.

    Args:
        judge: x -> logits (N, T).
        x: (N, 3, 32, 32) in [-1, 1].
        tags: (N, T), 1.0 where a tag is true, else 0.0.
    """
    right = (torch.cat([judge(part) for part in torch.split(x, 500)]) > 0) == (tags > 0.5)
    return right.float().mean(0), float(right.all(1).float().mean())
