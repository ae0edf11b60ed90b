"""What the verbs share: their words as checked options, and their answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import Field

from mulligan.config import Options


def parse(
    verb: Callable[[list[str]], int],
    words: list[str],
    models: Sequence[type[Options]],
    more: str = "",
    *,
    defaults: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The options that `words` give to a verb, checked, by field name; `options.parse` says how.

    Args:
        verb: the function; it has the verb's name, and its docstring is the verb's --help.
        words: of the command line, after the verb.
        models: of the options; later ones may redefine the fields of earlier ones.
        more: follows the verb's name in messages.
        defaults: instead of the models' own.
    """
    from mulligan import options

    prog = f"mulligan {verb.__name__} {more}".rstrip()
    return options.parse(words, models, prog=prog, description=(verb.__doc__ or "").strip(), defaults=defaults)


def answer(as_json: bool, found: dict[str, Any], lines: Iterable[str]) -> None:
    """Print what a verb found: one JSON object, or lines for people."""
    print(json.dumps(found) if as_json else "\n".join(lines))


class AsJson(Options):
    json_: bool = Field(default=False, description="print one JSON object")


def positional(description: str, default: Any = ...) -> Any:
    return Field(default=default, description=description, json_schema_extra={"positional": True})
