"""Systems by name: a system's name is its file's name in `systems/`, and only the one asked for is imported."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulligan.config import nearest
from mulligan.errors import Mistake

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

    if name.endswith(".py"):
        return load_file(Path(name))
    if name not in names():
        raise Mistake(f"there is no system {name!r}{nearest(name, [*names(), 'auto'])}")
    module = importlib.import_module(f"mulligan.systems.{name}")
    kind: type[System] = _only_system(module, System)
    return kind


def load_file(path: Path) -> type[System]:
    """The system that a user's own file defines: `mulligan train ./mygan.py`."""
    from mulligan.game import System

    name = f"mulligan.yours.{path.stem}"  # a file may be called random.py and must not hide Python's
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise Mistake(f"there is no file {path}; a run of your own system needs it where it was") from None
    except (SyntaxError, ImportError) as error:
        line = getattr(error, "lineno", None)
        raise Mistake(f"{path}{f', line {line}' if line else ''}: {error}; mend the file") from error
    kind: type[System] = _only_system(module, System)
    return kind


def _only_system(module: object, base: Any) -> Any:
    name = getattr(module, "__name__", "?")
    found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, base) and v.__module__ == name]
    if len(found) != 1:
        raise Mistake(f"{name} defines {len(found)} systems; a system's file defines exactly one")
    return found[0]
