"""Where the first number that is not finite came from: for the one message that ends a game."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from mulligan.game import Batch


class NotFinite(FloatingPointError):  # noqa: N818, what was found
    """A term, a gradient or a weight is NaN or infinite.

    Attributes:
        player: whose turn it was, "" where that is not known.
        term: of its loss; "gradient" or "weight" where the terms were finite.
        where: the data, weight or layer that was the first not to be finite, "" where that is not known.
    """

    def __init__(self, text: str, *, player: str = "", term: str = "", where: str = "") -> None:
        super().__init__(f"{text}; first not finite: {where}" if where else text)
        self.player, self.term, self.where = player, term, where


def first_not_finite(system: nn.Module, batch: Batch, play: Callable[[], Any]) -> str:
    """The first that is not finite of a batch, a system's weights, and what its layers make in `play`; "" if none is.

    Weights come before layers: one that is NaN makes all that follows so.
    """
    for key, value in batch.items():
        if not _finite(value):
            return f"the data ({key})"
    for name, weight in [*system.named_parameters(), *system.named_buffers()]:
        if not _finite(weight):
            return f"weight {name}"
    # some losses cannot be computed without a graph, and stop where they need it
    with _hearing(system) as found, torch.no_grad(), suppress(RuntimeError):
        play()
    return f"layer {found[0]}" if found else ""


@contextmanager
def _hearing(system: nn.Module) -> Iterator[list[str]]:
    """Inside, the names of layers whose output is not finite, in order."""
    found: list[str] = []

    def listen(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hear(layer: nn.Module, given: Any, made: Any) -> None:
            if isinstance(made, Tensor) and not _finite(made):
                found.append(name)

        return hear

    layers = [(name, layer) for name, layer in system.named_modules() if not any(layer.children())]
    handles = [layer.register_forward_hook(listen(name)) for name, layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _finite(x: Tensor) -> bool:
    return not x.is_floating_point() or bool(x.isfinite().all())
