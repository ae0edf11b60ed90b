"""Rewrites the tables of the docs from the code: `python docs/generate.py`; with --check it only looks.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mulligan import cli, registry
from mulligan.catalog import entry
from mulligan.config import Data, Run
from mulligan.data import describe
from mulligan.options import extra, flag

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

# What each verb reads, by the name of the table in the verb's page.
VERBS: dict[str, dict[str, list[type[BaseModel]]]] = {
    "demo": {"options": [cli.demo.Demo]},
    "systems": {"options": [cli.parsing.AsJson]},
    "data": {"list": [cli.parsing.AsJson], "get": [cli.data.DataName], "check": [cli.data.Check]},
    "train": {"options": [cli.train.Train, cli.parsing.AsJson], "data": [Data], "run": [Run]},
    "sample": {"options": [cli.sample.Sample]},
    "walk": {"options": [cli.sample.Walk]},
    "evaluate": {"options": [cli.evaluate.Evaluate]},
    "compare": {"options": [cli.evaluate.Compare]},
    "progress": {"options": [cli.progress.Progress]},
}


def main(words: list[str]) -> int:
    """The exit status: 1 if a page is missing or, with --check, out of date."""
    missing = [name for name in wanted() if not (DOCS / name).is_file()]
    stale = [page for page in sorted(DOCS.rglob("*.md")) if renewed(page) != read(page)]
    for name in missing:
        print(f"docs/{name} is missing: write it", file=sys.stderr)
    for page in stale:
        if "--check" in words:
            print(f"docs/{page.relative_to(DOCS)} is out of date: run python docs/generate.py", file=sys.stderr)
        else:
            page.write_text(renewed(page), encoding="utf-8")
    return 1 if missing or (stale and "--check" in words) else 0


def wanted() -> list[str]:
    """A page for each system and each verb."""
    return [f"systems/{name}.md" for name in registry.names()] + [f"verbs/{name}.md" for name in cli.VERBS]


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def renewed(page: Path) -> str:
    """The page's text with its tables as the code has them now."""
    tables = tables_of(page)

    def table(block: re.Match[str]) -> str:
        if block[2] not in tables:
            raise SystemExit(f"{page}: there is no table {block[2]!r}; there are: {', '.join(tables)}")
        return f"{block[1]}{tables[block[2]]()}{block[3]}"

    return BLOCK.sub(table, read(page))


def tables_of(page: Path) -> Mapping[str, Callable[[], str]]:
    """The tables that a page may show, by name."""
    name = page.stem
    if page.parent.name == "systems" and name in registry.names():
        config = registry.load(name).Config
        return {"about": lambda: about(name), "options": lambda: options([config])}
    if page.parent.name == "verbs" and name in VERBS:
        own = VERBS[name]
        return {"sources": sources, **{table: partial(options, own[table]) for table in own}}
    return {"systems": systems, "verbs": verbs, "sources": sources}


# --- tables ------------------------------------------------------------------------------------------------


def systems() -> str:
    rows = []
    for name in registry.names():
        known = entry(name)
        rows.append((f"[{name}](systems/{name}.md)", linked(known["title"]), known["needs"]))
    return markdown(("System", "Paper", "Needs"), rows)


def verbs() -> str:
    rows = [(f"[{name}](verbs/{name}.md)", summary(verb.play)) for name, verb in cli.VERBS.items()]
    return markdown(("Verb", "What it does"), rows)


def summary(verb: Callable[..., Any]) -> str:
    return " ".join((verb.__doc__ or "").strip().split("\n\n")[0].split())


def sources() -> str:
    rows = []
    for source in describe():
        counts = " / ".join(f"{n:,}" for n in source["counts"].values())
        rows.append((code(source["name"]), source["about"], source["kind"], counts, source["licence"]))
    return markdown(("Name", "What it is", "Kind", "Train / held out / test", "Licence"), rows)


def about(system: str) -> str:
    known = entry(system)
    return f"{linked(known['title'])}. Needs {known['needs']}. Makes {known['makes']}.\n"


def options(models: Iterable[type[BaseModel]]) -> str:
    """A row an option; later models may redefine the fields of earlier ones."""
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    rows = [
        (written(name, field), values(field), default(field), field.description or "")
        for name, field in sorted(fields.items(), key=lambda item: not extra(item[1]).get("positional"))
    ]
    return markdown(("Option", "Values", "Default", "Meaning"), rows)


# --- words -------------------------------------------------------------------------------------------------


def written(name: str, field: FieldInfo) -> str:
    if extra(field).get("positional"):
        return code(name.upper())
    long = code(flag(name))
    return f"{long}, `-{extra(field)['short']}`" if "short" in extra(field) else long


def values(field: FieldInfo) -> str:
    """The type in words, with the limits."""
    if get_origin(field.annotation) is tuple:
        return "one or more"
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(kinds[0]) is Literal:  # one of some words, or nothing
        kinds = list(get_args(kinds[0]))
    if all(isinstance(kind, str) for kind in kinds):
        return ", ".join(code(str(kind)) for kind in kinds)
    words = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
    limits = [
        f"{sign} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "multiple of"))
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([words[kinds[0]], *limits])


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "-"
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return code(field.default)


def code(text: object) -> str:
    return f"`{text}`"


def linked(text: str) -> str:
    """Addresses as links."""
    return re.sub(r"https?://\S+", lambda found: f"<{found[0]}>", text)


def markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
