"""A pool of past fakes (Shrivastava et al. 2017, https://arxiv.org/abs/1612.07828, section 2.3): D is shown some of
them in place of new ones, so that it does not forget what G did a while ago and G does not go round in circles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """Fakes (N, C, H, W) in, as many out: until the pool is full they are kept and come back as they are; then, each
    with probability ½, one comes back that was kept before, and the new one takes its place.

    It is a state of the system, in its checkpoints. Draws are from torch's random state. A rank has a pool of its own;
    after a resume all begin with the first rank's.

    Args:
        size: fakes that it holds; 0: none, and fakes come back as they are.
        shape: of one, (C, H, W).
    """

    images: Tensor
    kept: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("kept", torch.tensor(0))

    @torch.no_grad()
    def forward(self, fakes: Tensor) -> Tensor:
        return torch.stack([self._exchanged(fake) for fake in fakes.float()]) if self.size else fakes

    def _exchanged(self, fake: Tensor) -> Tensor:
        """What comes back for one fake (C, H, W); no number leaves the device."""
        new = self.kept < self.size
        place = torch.where(new, self.kept, torch.randint(self.size, (), device=fake.device)).view(1)
        stays = new | (torch.rand((), device=fake.device) < 0.5)
        old = self.images.index_select(0, place)[0]
        self.images.index_copy_(0, place, torch.where(stays, fake, old)[None])
        self.kept += new
        return torch.where(new | ~stays, fake, old)
