"""A second reader of the characters' tags, to score what the first one's readings have led to.

Other blocks, another head and another seed than the shipped judge's (`mulligan.metrics.tags`): where both make the same
mistake, it is not because they are the same network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from judges import fit, last, small, spoilt
from mulligan.data.characters import TAGS
from mulligan.data.source import Source
from mulligan.metrics.tags import accuracies

SEED = 1
EPOCHS = 6


class Scorer(nn.Module):
    """Residual blocks with GroupNorm between average pools, and a head on three maps' averages in four quarters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.blocks = nn.ModuleList([Block(24, 40), Block(40, 56), Block(56, 64)])
        self.head = nn.Linear(4 * (40 + 56 + 64), len(TAGS))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, T) of x (N, 3, 32, 32) in [-1, 1]."""
        h, seen = F.avg_pool2d(self.stem(x), 2), []
        for block in self.blocks:
            h = block(h)
            seen.append(F.adaptive_avg_pool2d(h, 2).flatten(1))
            h = F.avg_pool2d(h, 2)
        logits: Tensor = self.head(torch.cat(seen, 1))
        return logits


class Block(nn.Module):
    """x (N, a, H, W) -> (N, b, H, W)."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)
        self.one, self.two = nn.GroupNorm(4, b), nn.GroupNorm(4, b)
        self.skip = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.two(self.second(F.silu(self.one(self.first(x)))))
        return F.silu(h + self.skip(x))


def train_scorer(source: Source, epochs: int = EPOCHS) -> tuple[Scorer, float]:
    """Trained on the source's training split; the share of its test pictures of which all tags are read right."""
    torch.manual_seed(SEED)
    scorer, rows = Scorer(), small(source.train)
    x, y = rows["x"], rows["tags"]

    def loss(i: Tensor, generator: torch.Generator) -> Tensor:
        return F.binary_cross_entropy_with_logits(scorer(last(spoilt(x[i], generator))), y[i])

    fit(scorer, loss, len(x), epochs, None, seed=SEED)
    test = small(source.test)
    return scorer.requires_grad_(False), accuracies(scorer, test["x"], test["tags"])[1]
