"""mulligan trains generative adversarial networks, and takes the shot again when a game is lost.

`train`, `load` and `evaluate` are imported on first use: torch costs two seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["evaluate", "load", "train"]

if TYPE_CHECKING:
    from mulligan.evaluate import evaluate as evaluate
    from mulligan.model import load as load
    from mulligan.train import train as train


def __getattr__(name: str) -> Any:
    import importlib

    homes = {"train": "mulligan.train", "load": "mulligan.model", "evaluate": "mulligan.evaluate"}
    if name not in homes:
        raise AttributeError(f"module 'mulligan' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)
