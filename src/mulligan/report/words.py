"""What a run says of itself in words: its events, its data, its options, how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape

from mulligan.referee.verdict import HEALTHY
from mulligan.report.record import Json, Record, group, round_of
from mulligan.report.values import last_part, table, time_of
from mulligan.story import tell

TOLD = ("warning", "verdict", "mulligan", "lost", "finish")  # kinds of events that have a colour


def happened(run: Record) -> str:
    """The run's story, and the mulligans it took."""
    story = tell(run.log, run.events, run.part("run"))
    if not story.lines:
        return ""
    told = "".join(f"<li>{escape(line)}</li>" for line in story.lines)
    kind = "lost" if story.verdict.lost else "well" if story.verdict.name == HEALTHY else "warning"
    badge = f"<b class={kind}>{escape(story.verdict.name)}</b>"
    return f"<section class=story><h2>What happened</h2><p>Referee: {badge}</p><ul>{told}</ul></section>"


def events(run: Record) -> str:
    if not run.events:
        return ""
    routine = [e for e in run.events if e.get("kind") == "checkpoint"]
    told = [e for e in run.events if e.get("kind") != "checkpoint"]
    more = f"<p class=note>The newest 200 of {len(told):,}.</p>" if len(told) > 200 else ""
    hidden = ""
    if routine:
        kept = f", the newest 200 of {len(routine):,}" if len(routine) > 200 else f" ({len(routine)})"
        hidden = f"<details><summary>Checkpoints{kept}</summary>{_event_list(routine[-200:])}</details>"
    return f"<section><h2>Events</h2>{more}{_event_list(told[-200:])}{hidden}</section>"


def _event_list(events: Sequence[Json]) -> str:
    rows = ""
    for event in events:
        kind, n = str(event.get("kind", "")), round_of(event)
        where = f"round {n:,}" if n is not None else ""
        badge = f"<b class={kind if kind in TOLD else 'other'}>{escape(kind)}</b>"
        rows += (
            f"<li><span class=when><time>{escape(time_of(str(event.get('time', ''))))}</time> {where}</span>"
            f"{badge} <span>{escape(str(event.get('text', '')))}</span></li>"
        )
    return f"<ul class=events>{rows}</ul>" if rows else ""


def data(run: Record) -> str:
    stored = run.part("data")
    if not stored:
        return ""
    rows = {**group(stored, "card"), **{k: v for k, v in stored.items() if k != "card"}, "data": run.source}
    for name, signal in run.part("signals").items():
        if isinstance(signal, dict):
            size = " × ".join(str(n) for n in signal.get("shape") or ())
            rows[f"signal {name}"] = f"{signal.get('kind', '')} {size}".strip()
    known = {k: v for k, v in rows.items() if v not in (None, "", [])}
    return f"<section><h2>Data</h2>{table(known)}</section>"


def options(run: Record) -> str:
    parts = [("Options of the system", run.part("config")), ("Options of the run", run.part("run"))]
    body = "".join(f"<details><summary>{name}</summary>{table(rows)}</details>" for name, rows in parts if rows)
    return f"<section><h2>Options</h2>{body}</section>" if body else ""


def repeat(run: Record) -> str:
    name = shlex.quote(last_part(str(run.path.resolve())) if run.path.is_absolute() else str(run.path))
    command = run.config.get("command")
    lines = [command] if isinstance(command, str) and command else []
    if run.log:
        lines += [f"mulligan sample {name} -n 64 -o samples.png", f"mulligan evaluate {name}"]
    if not lines:
        return ""
    return f"<section><h2>Repeat it</h2><pre tabindex=0>{escape(chr(10).join(lines))}</pre></section>"


def footer(run: Record) -> str:
    credit = group(run.part("data"), "card").get("credit")
    words = f"Data: {escape(str(credit))}<br>" if credit else ""
    return f"<footer>{words}The samples on this page are synthetic. Made by mulligan.</footer>"
