"""Rewrites the tables of the docs from the code: `python docs/generate.py`; with --check it only looks.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mulligan import cli, history, registry
from mulligan.catalog import entry
from mulligan.config import Data, Run
from mulligan.data import describe
from mulligan.options import extra, flag

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

# What each verb reads, by the name of the table in the verb's page.
VERBS: dict[str, dict[str, list[type[BaseModel]]]] = {
    "demo": {"options": [cli.demo.Demo]},
    "systems": {"options": [cli.parsing.AsJson]},
    "data": {"list": [cli.parsing.AsJson], "get": [cli.data.DataName], "check": [cli.data.Check]},
    "train": {"options": [cli.train.Train, cli.parsing.AsJson], "data": [Data], "run": [Run]},
    "sample": {"options": [cli.sample.Sample]},
    "walk": {"options": [cli.sample.Walk]},
    "apply": {"options": [cli.apply.Apply]},
    "project": {"options": [cli.latent.Project]},
    "edit": {"options": [cli.latent.Edit]},
    "arithmetic": {"options": [cli.latent.Arithmetic]},
    "mix": {"options": [cli.latent.Mix]},
    "evaluate": {"options": [cli.evaluate.Evaluate]},
    "diagnose": {"options": [cli.diagnose.Diagnose]},
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
        return {"about": lambda: about(name), "options": lambda: options([config]), "measured": lambda: measured(name)}
    if page.parent.name == "verbs" and name in VERBS:
        own = VERBS[name]
        return {"sources": sources, **{table: partial(options, own[table]) for table in own}}
    return {
        "systems": systems,
        "verbs": verbs,
        "sources": sources,
        "measured": compared,
        "progress": progress,
        **REFEREE,
    }


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


# --- what was measured: benchmarks/results/systems.json, as far as it goes --------------------------------------


def not_yet(name: str) -> str:
    return f"Not measured yet: `python benchmarks/{name}.py`.\n"


NOT_YET = not_yet("systems")
SHOWN = ("precision", "recall", "coverage")  # beside the FD


def results(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    found: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return found


def base(data: str) -> str:
    """mnist+edges -> mnist"""
    return data.split("+")[0]


def by_data(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured on each source: {mnist: {"references", "metric", "seconds", "systems": {name: contestant}}}."""
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(summary["contestants"], key=lambda c: "+" in c["data"]):  # the source itself gives references
        references = summary["references"][one["data"]]
        on = found.setdefault(base(one["data"]), {"references": references, "metric": next(iter(references))})
        on.setdefault("systems", {})[one["name"]] = one
    return found


def compared() -> str:
    """A row a system: its distance on each source, its speed, its size, its lost games."""
    summary = results("systems")
    if summary is None:
        return NOT_YET
    known = by_data(summary)
    head = ["System", *(f"FD, {data}" for data in known), *(f"images/s, {data}" for data in known)]
    rows = []
    for name in registry.names():
        found = [on["systems"].get(name) for on in known.values()]
        distances = [distance(one, on["metric"]) for one, on in zip(found, known.values(), strict=True)]
        speeds = [f"{one['rate']['mean']:,.0f}" if one else "-" for one in found]
        sizes = [history.millions(one["parameters"]) for one in found if one][-1:] or ["-"]
        lost = [f"{one['lost']} of {len(one['seeds'])}" if one else "-" for one in found]
        rows.append((f"[{name}](systems/{name}.md)", *distances, *speeds, *sizes, ", ".join(lost)))
    last = list(known)[-1]
    return read_against(known) + "\n" + markdown((*head, f"Parameters, {last}", f"Lost, {', '.join(known)}"), rows)


def read_against(known: dict[str, dict[str, Any]]) -> str:
    """What the distances are to be read against, and how long each training was."""
    lines = []
    for data, on in known.items():
        told = ", ".join(f"{name} {history.number(v)}" for name, v in on["references"][on["metric"]].items())
        one = next(iter(on["systems"].values()))
        lines.append(
            f"On {data}, {one['seconds']['mean']:.0f} s of one thread each, mean ± deviation over {seeds(one)}; "
            f"{on['metric']} of others: {told}.\n"
        )
    return "\n".join(lines)


def distance(one: dict[str, Any] | None, metric: str) -> str:
    if one is None:
        return "not measured yet"
    return history.with_spread(one["end"][metric]) if one["end"] else "no game ended"


def seeds(one: dict[str, Any]) -> str:
    n = len(one["seeds"])
    return f"{n} seed{'s' if n > 1 else ''}"


def measured(system: str) -> str:
    """A system's own numbers beside the floor and the baselines, its settings, and what it made."""
    summary = results("systems")
    known = by_data(summary) if summary else {}
    return "\n".join(measured_on(data, on, system) for data, on in known.items() if system in on["systems"]) or NOT_YET


def measured_on(data: str, on: dict[str, Any], system: str) -> str:
    one, references = on["systems"][system], on["references"]
    given = " ".join(f"{flag(key)} {value}" for key, value in one["config"].items())
    lost = f"; {one['lost']} of {len(one['seeds'])} games lost" if one["lost"] else ""
    size = history.millions(one["parameters"])
    text = (
        f"On `{one['data']}`: {one['seconds']['mean']:.0f} s of one thread, {seeds(one)}{lost}; "
        f"{one['rate']['mean']:,.0f} images/s, {one['images']['mean']:,.0f} in all; {size}; "
        f"{code(given) if given else 'the defaults'}.\n\n"
    )
    against = list(references[on["metric"]])
    rows = [
        (
            metric,
            history.with_spread(one["end"][metric]),
            *(history.number(references[metric][name]) for name in against),
        )
        for metric in (on["metric"], *SHOWN)
        if one["end"]
    ]
    text += markdown(("Measure", system, *against), rows) if rows else "No game ended.\n"
    if (DOCS / "figures" / "systems" / f"{system}-{data}.png").exists():
        text += f"\n![what {system} made of {data}](../figures/systems/{system}-{data}.png)\n"
        text += f"\nThe first seed's samples, none chosen. {CREDIT[data]}\n"
    return text


CREDIT = {
    "mnist": "Trained on MNIST (Yann LeCun and Corinna Cortes, CC BY-SA 3.0).",
    "characters": 'Trained on "Adventurer" by Lisa Wischofsky, CC BY 4.0, modified.',
}


def progress() -> str:
    """The figure's caption, and its numbers."""
    found = results("progress")
    if found is None:
        return not_yet("progress")
    rows = [
        (f"[{s['name']}](systems/{s['name']}.md)", str(s["year"] or "-"), *history.cells(s, found["metric"]))
        for s in found["systems"]
    ]
    table = markdown(("System", "Year", *history.COLUMNS), rows)
    words = " ".join(found["caption"])
    return f"![progress](figures/progress.png)\n\n{words}\n\n{found['credit']}\n\n{table}"


# --- the referee: benchmarks/results/sabotage.json and no_lost_run.json ------------------------------------------


def referee_halves() -> str:
    found = results("sabotage")
    if found is None:
        return not_yet("sabotage")
    asked = ("noticed", "noticed of the harmful", "named", "mended", "false")
    rows = [(half, *(of_so_many(counts[name]) for name in asked)) for half, counts in found["halves"].items()]
    head = ("Cases", "noticed within a quarter", "of those that did harm", "the right cause first", "mended",
            "false among healthy games")  # fmt: skip
    return markdown(head, rows)


def of_so_many(share: dict[str, Any]) -> str:
    return f"{share['n']} of {share['of']} ({100 * share['low']:.0f} to {100 * share['high']:.0f} %)"


def referee_cases() -> str:
    found = results("sabotage")
    if found is None:
        return not_yet("sabotage")
    rows = []
    for one in (case for case in found["cases"] if not case["healthy"]):
        said = one["first"]
        rows.append((
            one["case"], one["game"], one["half"],
            f"{said['verdict']} at {said['share']:.0%}" if said else "nothing",
            "yes" if one["named"] else f"no: {' or '.join(one['right'])}",
            *(worth(one.get(f"{name} metric")) for name in ("healthy", "spoiled")),
            worth(one.get("mended metric")) if "mended" in one else "",
            "; ".join(one.get("mulligans", ())),
        ))  # fmt: skip
    head = ("Sabotage", "Game", "Half", "First verdict", "Right", "FD, healthy", "spoiled", "mended", "Mulligans")
    return markdown(head, rows)


def worth(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def referee_defaults() -> str:
    found = results("no_lost_run")
    if found is None:
        return not_yet("no_lost_run")
    rows = [
        (data, one["system"], f"{one['metric']}: {history.with_spread(one['value'])}", f"{one['floor']:.3g}",
         f"{one['rounds']['mean']:,.0f}", ", ".join(one["verdicts"]) or "healthy")
        for data, one in found["data"].items()
    ]  # fmt: skip
    return markdown(("Data", "System", "At the end", "Real data", "Rounds", "Verdicts"), rows)


REFEREE = {"halves": referee_halves, "sabotages": referee_cases, "defaults": referee_defaults}


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
