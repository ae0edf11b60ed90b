"""The moving average of the networks that generate: what a run shows, judges and ships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn

# Early on a network changes quickly, so the half-life is at most this part of the images seen since it began to learn.
RAMP_UP = 0.05
# Reading and writing every weight is a tenth of a round of a large network at a batch of 1. What a weight does within
# this part of a half-life is not worth that.
GRAIN = 1 / 32


class Average:
    """Exponential moving average of parameters and of float buffers (BatchNorm's statistics too: a BatchNorm
    whose statistics belong to other weights blurs). Integer buffers are copied.

    Args:
        networks: by name.
        halflife: in images; 0 keeps no average, and `swapped` then changes nothing.
        began: images seen when a network began to learn, by name; 0 where it is not said.
    """

    def __init__(
        self, networks: dict[str, nn.Module], halflife: int, began: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.halflife, self.began = halflife, began
        self.live: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, network in networks.items() if halflife else ():
            for k, v in _tensors(network).items():
                if id(v) not in seen:  # a tensor that two networks share is averaged, and swapped, once
                    seen.add(id(v))
                    self.live[f"{name}.{k}"] = v
        self.shadow = {k: v.detach().clone() for k, v in self.live.items()}

    def take_over(self, shadow: dict[str, Tensor]) -> None:
        """Go on from an earlier average, for all tensors that are still there."""
        for k, v in shadow.items():
            if k in self.shadow and self.shadow[k].shape == v.shape:
                self.shadow[k].copy_(v)

    @torch.no_grad()
    def update(self, images: int, batch: int) -> None:
        """Move towards the live weights after a round of `batch` images, `images` seen in all: each round, or every
        2, 4, 8 ... rounds by as much, as many as pass within GRAIN of a half-life.
        """
        if not self.halflife:
            return
        floats: dict[int, list[str]] = {}  # by when they began to learn
        for k, v in self.live.items():
            if v.is_floating_point():
                floats.setdefault(self.began.get(k.partition(".")[0], 0), []).append(k)
            else:
                self.shadow[k].copy_(v)
        for began, keys in floats.items():
            halflife = min(self.halflife, max(RAMP_UP * (images - began), 1.0))
            step = batch * _power_of_two(GRAIN * halflife / batch)
            if images % step < batch:  # by the count alone, so a run that is taken up goes on alike
                weight = 1 - 0.5 ** (step / halflife)
                torch._foreach_lerp_([self.shadow[k] for k in keys], [self.live[k] for k in keys], weight)

    @torch.no_grad()
    def settle(self, name: str) -> None:
        """From now on a network is what its average was."""
        for k, v in self.live.items():
            if k.startswith(f"{name}."):
                v.copy_(self.shadow[k])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the networks hold the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for k, live in self.live.items():
            live.data, self.shadow[k].data = self.shadow[k].data, live.data


def _power_of_two(at_most: float) -> int:
    """The largest, and at least 1."""
    return 1 << int(max(at_most, 1)).bit_length() - 1


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
