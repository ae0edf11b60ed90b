"""The head of the page: which system on which data, what comes out, when and with what it was made."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

from mulligan import registry
from mulligan.report.record import Record, group
from mulligan.report.summary import in_words
from mulligan.report.values import time_of

SYSTEMS = Path(registry.__file__).parent / "systems"


def title(run: Record) -> str:
    return f"{Path(str(run.config.get('system', 'a system'))).stem} on {run.source}"


def header(run: Record) -> str:
    about = _about(str(run.config.get("system", "")))
    facts = [_when(run), str(run.config.get("machine", "")), _versions(run)]
    spans = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    return (
        f"<header>\n<h1>{escape(title(run))}</h1>\n<p class=lead>{about} {escape(_made(run))}</p>\n"
        f"<p class=facts>{spans}</p>\n"
        f'<section class=summary aria-label="In short">{in_words(run)}</section>\n</header>'
    )


def _about(system: str) -> str:
    """The first line of the system's file, which names the paper, as HTML; the file is not imported."""
    if system not in registry.names():
        return ""
    try:
        tree = ast.parse((SYSTEMS / f"{system}.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return ""
    line = ((ast.get_docstring(tree) or "").splitlines() or [""])[0].rstrip(".")
    words, _, address = line.partition(", https://")
    if not address:
        return f"{escape(words)}."
    return f'<a href="https://{escape(address)}">{escape(words)}</a>.'


def _made(run: Record) -> str:
    """What comes out, in words."""
    signal = group(run.part("signals"), "x")
    shape = [n for n in signal.get("shape") or () if isinstance(n, int)]
    if signal.get("kind") == "image" and len(shape) == 3:
        colour = {1: "grey", 3: "colour", 4: "colour and transparent"}.get(shape[0], f"{shape[0]}-channel")
        return f"Random numbers in, {colour} pictures of {shape[2]}\u00a0×\u00a0{shape[1]}\u00a0px out."
    if signal.get("kind") == "points" and len(shape) == 1:
        what = "single numbers" if shape[0] == 1 else f"points of {shape[0]} numbers"
        return f"Random numbers in, {what} out."
    return f"Random numbers in, {signal['kind']} out." if isinstance(signal.get("kind"), str) else ""


def _when(run: Record) -> str:
    times = [str(line["time"]) for line in run.events + run.metrics if line.get("time")]
    return f"started {time_of(times[0])}" if times else ""


def _versions(run: Record) -> str:
    named = {"mulligan": run.config.get("mulligan"), **run.part("versions")}
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)
