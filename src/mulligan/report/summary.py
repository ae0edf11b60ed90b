"""In short: what the newest evaluation found, how far the training came, and what was warned of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mulligan.charts import number
from mulligan.report.record import Json, Record, group, metrics_of, real
from mulligan.report.values import duration


def in_words(run: Record) -> str:
    """All of it, as HTML."""
    rest = "".join(f"<p>{escape(line)}</p>" for line in (_progress(run), _warned(run)) if line)
    return f"<p class=first>{escape(judged(run.metrics))}</p>{rest}"


def judged(metrics: Sequence[Json]) -> str:
    """What the newest evaluation says: its first number against its floor and its best baseline."""
    if not metrics:
        return "Not judged yet."
    for metric in metrics_of(metrics[-1]):
        if (value := real(metric.get("value"))) is not None:
            return _sentence(metric, value)
    return "The last evaluation gave no number."


def _sentence(metric: Json, value: float) -> str:
    floor = real(metric.get("floor"))
    better = metric.get("better", "lower")
    words = f"{metric.get('name', 'the metric')} is {number(value)}"
    words += f" ({better} is better)" if better in ("lower", "higher") else ""
    if floor is not None:
        words += "; " + _against_floor(value, floor, better)
    return words + _against_baseline(value, metric, better) + "."


def _against_floor(value: float, floor: float, better: str) -> str:
    if better == "lower" and floor > 0 and value > 0:
        return f"real data against real data give {number(floor)}, so it is {value / floor:.3g} times the floor"
    if better == "higher" and floor > 0:
        return f"real data against real data give {number(floor)}, so it reaches {100 * value / floor:.0f} %"
    return f"real data give {number(floor)}"


def _against_baseline(value: float, metric: Json, better: str) -> str:
    known = {str(k): b for k, v in group(metric, "baseline").items() if (b := real(v)) is not None}
    if not known or better not in ("lower", "higher"):
        return ""
    pick = min if better == "lower" else max
    name, best = pick(known.items(), key=lambda item: item[1])
    beaten = value < best if better == "lower" else value > best
    return f"; it {'beats' if beaten else 'does not beat'} the best baseline ({name}, {number(best)})"


def _progress(run: Record) -> str:
    if not run.log:
        return "Nothing has been trained yet."
    last = run.log[-1]
    images, seconds = real(last.get("images")), real(last.get("seconds"))
    words = f"{'Trained' if run.finished else 'Trained so far'}: {run.rounds:,} rounds"
    words += f", {images:,.0f} samples seen" if images else ""
    return words + (f", {duration(seconds)}." if seconds else ".")


def _warned(run: Record) -> str:
    n = sum(event.get("kind") == "warning" for event in run.events)
    m = sum(event.get("kind") == "mulligan" for event in run.events)
    words = [f"{n} warning{'s' * (n > 1)}"] * (n > 0) + [f"{m} mulligan{'s' * (m > 1)} taken"] * (m > 0)
    return f"{' and '.join(words).capitalize()}; see the events below." if words else ""
