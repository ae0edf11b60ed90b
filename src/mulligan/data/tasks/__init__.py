"""Tasks by name: what else a batch of a source holds, computed from what it has. A task's name is its file's name here.

A task's file defines `derive(source, progress=None) -> Source`, with signals added: `input` where it makes pairs.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from mulligan.config import nearest
from mulligan.errors import Mistake

if TYPE_CHECKING:
    from mulligan.data import Progress
    from mulligan.data.source import Source


def names() -> list[str]:
    """The names of all tasks, sorted, without importing any."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def check(task: str) -> None:
    """Raise ValueError if there is no such task; the message names the nearest."""
    if task not in names():
        raise Mistake(f"--task {task}: there is no such task{nearest(task, names())}")


def derive(task: str, source: Source, progress: Progress | None = None) -> Source:
    """The source with what the task adds.

    Args:
        task: its name.
        source: what it is computed from.
        progress: told how far it is, by tasks that take their time.

    Raises:
        ValueError: there is no such task, or it does not suit the source.
    """
    check(task)
    derived: Source = importlib.import_module(f"{__name__}.{task}").derive(source, progress)
    return derived
