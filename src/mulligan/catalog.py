"""What systems there are, in words: for the command line, the docs and whoever asks for JSON."""

from __future__ import annotations

import sys
from typing import Any

from mulligan import registry


def catalog() -> list[dict[str, Any]]:
    """An entry a system: name, title, needs, makes, and its options with help and defaults."""
    return [entry(name) for name in registry.names()]


def entry(name: str) -> dict[str, Any]:
    kind = registry.load(name)
    doc = (sys.modules[kind.__module__].__doc__ or "").strip()
    needs = "; ".join(f"{key}: {' or '.join(map(str, ways))}" for key, ways in kind.needs.items())
    options = {
        field: {"default": info.default, "help": info.description or ""}
        for field, info in kind.Config.model_fields.items()
    }
    return {
        "name": name,
        "title": doc.splitlines()[0],
        "about": doc,
        "needs": needs,
        "makes": f"{' and '.join(kind.made)}, like the data's",
        "options": options,
    }
