"""mulligan trains generative adversarial networks, and takes the shot again when a game is lost.

`train`, `load` and `evaluate` are imported on first use: torch costs two seconds.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Interrupted", "evaluate", "load", "resume", "train"]

if TYPE_CHECKING:
    from mulligan.evaluate import evaluate as evaluate
    from mulligan.model import load as load
    from mulligan.train import Interrupted as Interrupted
    from mulligan.train import resume as resume
    from mulligan.train import train as train


def __getattr__(name: str) -> Any:
    homes = {"load": "mulligan.model", "evaluate": "mulligan.evaluate"}
    homes |= dict.fromkeys(("train", "resume", "Interrupted"), "mulligan.train")
    if name not in homes:
        raise AttributeError(f"module 'mulligan' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)


class _Package(types.ModuleType):
    """Importing the module mulligan.train would hide the function mulligan.train; here the function stays."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
