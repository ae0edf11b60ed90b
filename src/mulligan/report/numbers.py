"""The newest evaluation: each metric between its floor and its baselines, and how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from mulligan.charts import number
from mulligan.report.record import Json, Record, group, metrics_of, real, round_of
from mulligan.report.values import duration, table


def numbers(run: Record) -> str:
    if not run.metrics:
        return ""
    newest = run.metrics[-1]
    cards = "".join(_card(metric) for metric in metrics_of(newest))
    where = f"Round {round_of(newest) or 0:,}, {newest.get('split', 'test')} split"
    took = real(newest.get("seconds"))
    where += f", judged in {duration(took)}." if took is not None else "."
    note = f"{where} Real data against real data mark the floor: no generator can be expected to do better."
    return (
        f"<section><h2>Judged</h2><p class=note>{escape(note)}</p><div class=cards>{cards}</div>"
        f"{_earlier(run.metrics[:-1])}</section>"
    )


def _card(metric: Json) -> str:
    value = real(metric.get("value"))
    better = str(metric.get("better", ""))
    aim = {"lower": "lower is better", "higher": "higher is better", "target": "best equal to real data"}
    card = group(metric, "card")
    details = f"<details><summary>How it was measured</summary>{table(card)}</details>" if card else ""
    return (
        f"<article class=card><h3>{escape(str(metric.get('name', 'metric')))}</h3>"
        f"<p class=value>{number(value) if value is not None else 'none'}"
        f"<small>{escape(aim.get(better, better))}</small></p>{_bars(metric)}{details}</article>"
    )


def _bars(metric: Json) -> str:
    """This run between the floor and the baselines, as bars of one scale from 0."""
    rows: list[tuple[str, str, Any]] = [("this run", "mine", metric.get("value"))]
    rows.append(("real against real", "floor", metric.get("floor")))
    rows += [(str(k), "base", v) for k, v in group(metric, "baseline").items()]
    known = [(name, kind, v) for name, kind, raw in rows if (v := real(raw)) is not None]
    if len(known) < 2:
        return ""
    known.sort(key=lambda row: row[2], reverse=metric.get("better") == "higher")
    top = max(abs(v) for _, _, v in known) or 1.0
    lines = "".join(
        f"<tr class={kind}><th scope=row>{escape(name)}</th>"
        f'<td class=bar><i style="width:{max(100 * max(v, 0) / top, 0.7):.1f}%"></i></td>'
        f"<td>{number(v)}</td></tr>"
        for name, kind, v in known
    )
    return f"<table class=bars>{lines}</table>"


def _earlier(metrics: Sequence[Json]) -> str:
    if not metrics:
        return ""
    names = list(dict.fromkeys(str(m.get("name")) for line in metrics for m in metrics_of(line)))
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    rows = ""
    for line in metrics[-50:]:
        by_name = {str(m.get("name")): real(m.get("value")) for m in metrics_of(line)}
        cells = "".join("<td>" + (number(v) if (v := by_name.get(n)) is not None else "") + "</td>" for n in names)
        rows += f"<tr><th scope=row>{round_of(line) or 0:,}</th>{cells}</tr>"
    return (
        f"<details><summary>Earlier evaluations ({len(metrics)})</summary><div class=wide tabindex=0>"
        f"<table class=plain><tr><th scope=col>round</th>{head}</tr>{rows}</table></div></details>"
    )
