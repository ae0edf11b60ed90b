"""Systems by name: a system's name is its file's name in `systems/`, and only the one asked for is imported."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from mulligan.config import nearest

if TYPE_CHECKING:
    from mulligan.game import System


def names() -> list[str]:
    """The names of all systems, sorted, without importing any."""
    folder = Path(__file__).parent / "systems"
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))


def load(name: str) -> type[System]:
    """The class of system `name`, which its file defines.

    Raises:
        ValueError: no such system; the message names the nearest.
    """
    from mulligan.game import System

    if name.endswith(".py") and Path(name).is_file():
        return load_file(Path(name))
    if name not in names():
        raise ValueError(f"there is no system {name!r}{nearest(name, [*names(), 'auto'])}")
    module = importlib.import_module(f"mulligan.systems.{name}")
    return _only_system(module, System)


def load_file(path: Path) -> type[System]:
    """The system that a user's own file defines: `mulligan train ./mygan.py`."""
    from mulligan.game import System

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return _only_system(module, System)


def _only_system(module: object, base: type[System]) -> type[System]:
    name = getattr(module, "__name__", "?")
    found = [
        v for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, base) and v.__module__ == name
    ]
    if len(found) != 1:
        raise ValueError(f"{name} defines {len(found)} systems; a system's file defines exactly one")
    return found[0]
