"""Logs that no training wrote: the vital signs of a healthy game, and what differs from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
RUN: Json = {"minutes": 1}
LINES = 60  # one a second, as the loop writes them

# Signs by name, a number or a function of the share of the budget; `update.` belongs to the loop's part of a line.
WELL: Json = {
    "diversity": 0.95, "distance": lambda t: 0.02 + 0.9 * (1 - t) ** 2, "modes": 1.0, "swing": 0.1, "nearest": 1.0,
    "condition": 0.5, "noise": 0.5, "agreement": 0.9, "agreement floor": 0.95, "agreement chance": 0.1,
    "distance floor": 0.01, "D.real": 1.0, "D.held_out": 1.0, "D.fake": -1.0, "D.auc": 0.75, "D.auc_train": 0.75,
    "D.memory": 0.5, "finite": 1.0, "waiting": 0.02, "update.D": 2e-3, "update.G": 1e-3,
}  # fmt: skip
LOST: Json = {"distance": 2.0}  # all the time


def line(i: int, signs: Json, of: int = LINES) -> Json:
    """Line i of a log, as a look writes it."""
    found = {k: x(i / of) if callable(x) else x for k, x in {**WELL, **signs}.items()}
    update = {k.removeprefix("update."): found.pop(k) for k in list(found) if k.startswith("update.")}
    missing = [f"kind {n}" for n in range(round(10 * (1 - found["modes"])))]
    return {
        "round": 1000 * i, "stage": "train", "images": 64_000 * i, "seconds": 60 * i / of,
        "terms": {"D": {"real": 0.6, "fake": 0.6}, "G": {"adv": 0.7}}, "grad_norm": {"D": 1.0, "G": 1.0}, "vital": {},
        "signs": found, "missing": missing, "update": update,
    }  # fmt: skip


def lines(signs: Json, when: Callable[[int], bool] = lambda i: True, of: int = LINES) -> list[Json]:
    """A whole log, in which signs differ from a healthy game's `when`."""
    return [line(i, signs if when(i) else {}, of) for i in range(1, of + 1)]
