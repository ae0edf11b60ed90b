"""mulligan trains generative adversarial networks, and takes the shot again when a game is lost.

What it offers is imported on first use: torch costs two seconds.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Interrupted", "apply", "arithmetic", "edit", "evaluate", "load", "mix", "project", "resume", "train"]

if TYPE_CHECKING:
    from mulligan.apply import apply as apply
    from mulligan.arithmetic import arithmetic as arithmetic
    from mulligan.edit import edit as edit
    from mulligan.evaluate import evaluate as evaluate
    from mulligan.mixing import mix as mix
    from mulligan.model import load as load
    from mulligan.play import Interrupted as Interrupted
    from mulligan.project import project as project
    from mulligan.train import resume as resume
    from mulligan.train import train as train


def __getattr__(name: str) -> Any:
    homes = {"load": "mulligan.model", "mix": "mulligan.mixing", "Interrupted": "mulligan.play"}
    homes |= {verb: f"mulligan.{verb}" for verb in ("apply", "arithmetic", "edit", "evaluate", "project")}
    homes |= dict.fromkeys(("train", "resume"), "mulligan.train")
    if name not in homes:
        raise AttributeError(f"module 'mulligan' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)


class _Package(types.ModuleType):
    """Importing the module mulligan.train would hide the function mulligan.train; here the function stays."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
