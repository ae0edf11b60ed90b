"""What races of systems of several years showed: the numbers, a caption in words, a table, and the figure.

All of it is made from records, one a training, so that a race on the spot and a benchmark's results draw the same.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from PIL import Image

from mulligan import timeline
from mulligan.arrays import Bytes
from mulligan.catalog import entry
from mulligan.judge import PCA, REAL, Judge
from mulligan.race import spread
from mulligan.tables import aligned
from mulligan.timeline import Row, Timeline

Json = dict[str, Any]
AHEAD, AHEAD_WITHIN, BEHIND_WITHIN, BEHIND = "ahead", "ahead within", "behind within", "behind"


def year(system: str) -> int | None:
    """Of the paper that a system's title names."""
    found = re.search(r"\b(19|20)\d\d\b", entry(system)["title"])
    return int(found[0]) if found else None


def label(system: str) -> str:
    """A system's name as its paper writes it."""
    title: str = entry(system)["title"]
    return title.split(":")[0]


def in_order(systems: Iterable[str]) -> list[str]:
    """By year; of one year, and without one, as they came."""
    return sorted(dict.fromkeys(systems), key=lambda name: year(name) or math.inf)


# --- numbers -----------------------------------------------------------------------------------------------


def conclude(records: Sequence[Json], references: dict[str, Json], judge: Judge, about: Json) -> Json:
    """Everything the figure shows, each number with its card.

    Args:
        records: one a training: system, seed, config, metrics (None if the game was lost), lost, parameters, seconds,
            images.
        references: {metric: {what it is read against: value}}.
        judge: that measured.
        about: data, size, seconds, credit: of the races.
    """
    runs: dict[str, list[Json]] = {}
    for record in records:
        runs.setdefault(record["system"], []).append(record)
    systems = [_system(name, runs[name], references, judge) for name in in_order(runs)]
    found = {**about, "metric": judge.distance, "references": references, "systems": systems}
    return {**found, "caption": caption(systems, judge.distance, references[judge.distance])}


def _system(name: str, runs: Sequence[Json], references: dict[str, Json], judge: Judge) -> Json:
    ended = [r["metrics"] for r in runs if r["metrics"] is not None]
    metrics = {}
    for metric, against in references.items():
        values = [m[metric] for m in ended if m[metric] is not None and math.isfinite(m[metric])]
        about = {"floor": against[REAL], "baselines": {k: v for k, v in against.items() if k != REAL}}
        card = asdict(judge.card(metric, seed=runs[0]["seed"]))
        metrics[metric] = {**(spread(values) if values else NONE), **about, "card": card}
    return {
        "name": name,
        "label": label(name),
        "year": year(name),
        "config": runs[0]["config"],
        "parameters": runs[0]["parameters"],
        "seeds": [r["seed"] for r in runs],
        "lost": sum(r["lost"] is not None for r in runs),
        "seconds": statistics.mean(r["seconds"] for r in runs),
        "images": statistics.mean(r["images"] for r in runs),
        "metrics": metrics,
    }


NONE: Json = {"mean": None, "spread": None, "n": 0, "values": []}


# --- words -------------------------------------------------------------------------------------------------


def caption(systems: Sequence[Json], metric: str, references: Json) -> list[str]:
    """Sentences computed from the numbers: whether each system beat all before it, and what it is read against.

    Args:
        systems: in the order of their years, as `conclude` makes them.
        metric: that orders them; less is better.
        references: of that metric.
    """
    return [
        *_order(systems, metric),
        *_against(systems, metric, references),
        *_lost(systems),
    ]


def verdict(later: Json, earlier: Json) -> str:
    """Of two {mean, spread}: which is nearer to the data, and whether their gap exceeds their two spreads added."""
    if later["mean"] is None or earlier["mean"] is None:
        return BEHIND if later["mean"] is None else AHEAD
    gap = later["mean"] - earlier["mean"]
    within = abs(gap) <= (later["spread"] or 0.0) + (earlier["spread"] or 0.0)
    if gap < 0:
        return AHEAD_WITHIN if within else AHEAD
    return BEHIND_WITHIN if within else BEHIND


def _order(systems: Sequence[Json], metric: str) -> list[str]:
    found: dict[str, list[tuple[str, str]]] = {BEHIND: [], BEHIND_WITHIN: [], AHEAD_WITHIN: []}
    for i, later in enumerate(systems):
        for earlier in systems[:i]:
            how = verdict(later["metrics"][metric], earlier["metrics"][metric])
            if how != AHEAD:
                found[how].append((later["label"], earlier["label"]))
    seeds = min((len(s["seeds"]) for s in systems), default=0)
    if len(systems) < 2:
        return []
    known = seeds > 1
    sentences = []
    if not found[BEHIND] and not found[BEHIND_WITHIN]:
        certain = ", beyond the spread" if known and not found[AHEAD_WITHIN] else ""
        sentences.append(
            f"The order falls as history says: each system is nearer to the data than all before it{certain}."
        )
    else:
        sentences.append("The order does not fall as history says.")
    if found[BEHIND]:
        sentences.append(_pairs(found[BEHIND], "did not beat", "beyond the spread" if known else ""))
    if found[BEHIND_WITHIN]:
        sentences.append(_pairs(found[BEHIND_WITHIN], "did not beat", "within the spread"))
    if found[AHEAD_WITHIN]:
        sentences.append(_pairs(found[AHEAD_WITHIN], "is ahead of", "only within the spread"))
    if known:
        sentences.append(f"The spread of two systems is the sum of their standard deviations over {seeds} seeds.")
    else:
        sentences.append("One seed shows no spread: take more before believing an order.")
    return sentences


def _pairs(pairs: Sequence[tuple[str, str]], verb: str, how: str) -> str:
    """ProGAN did not beat GAN and DCGAN; R3GAN did not beat ProGAN: within the spread."""
    by_later: dict[str, list[str]] = {}
    for later, earlier in pairs:
        by_later.setdefault(later, []).append(earlier)
    told = "; ".join(f"{later} {verb} {listed(earlier)}" for later, earlier in by_later.items())
    return f"{told}{', ' if how else ''}{how}."


def _against(systems: Sequence[Json], metric: str, references: Json) -> list[str]:
    floor, pca = references[REAL], references[PCA]
    words = (
        f"Other real images stand at {number(floor)}, a Gaussian on the pixels' principal components at {number(pca)}"
    )
    behind = [s["label"] for s in systems if not (s["metrics"][metric]["mean"] or math.inf) < pca]
    if behind:
        return [f"{words}, which {listed(behind)} did not reach."]
    return [f"{words}; every system is nearer to the data than the Gaussian."]


def _lost(systems: Sequence[Json]) -> list[str]:
    lost = [f"{s['label']} {s['lost']} of {len(s['seeds'])}" for s in systems if s["lost"]]
    return [f"Games lost: {', '.join(lost)}."] if lost else []


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number(value: float) -> str:
    """To three digits or whole: 1,234, 56, 7.8, 0.123."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def with_spread(value: Json) -> str:
    """mean ± spread"""
    if value["mean"] is None:
        return "-"
    return number(value["mean"]) + ("" if value["spread"] is None else f" ± {number(value['spread'])}")


def millions(parameters: Json) -> str:
    """G 0.35 M, D 0.31 M"""
    order = sorted(parameters, key=lambda player: (player != "G", player))
    return ", ".join(f"{player} {parameters[player] / 1e6:.2f} M" for player in order)


# --- the table and the figure ------------------------------------------------------------------------------

COLUMNS = ("FD", "recall", "parameters", "images seen", "seconds")


def cells(system: Json, metric: str) -> list[str]:
    """A system's numbers under COLUMNS."""
    lost = f" ({system['lost']} of {len(system['seeds'])} lost)" if system["lost"] else ""
    return [
        with_spread(system["metrics"][metric]) + lost,
        with_spread(system["metrics"]["recall"]),
        millions(system["parameters"]),
        f"{system['images']:,.0f}",
        f"{system['seconds']:.0f}",
    ]


def table(found: Json) -> list[str]:
    """What was found as the lines of a plain table, its caption below."""
    metric = found["metric"]
    rows = [["", "year", metric, *COLUMNS[1:]]]
    rows += [[s["label"], str(s["year"] or "-"), *cells(s, metric)] for s in found["systems"]]
    for name in found["references"][metric]:
        distance, recall = (found["references"][m][name] for m in (metric, "recall"))
        rows.append([name, "-", number(distance), number(recall), "-", "-", "-"])
    return [*aligned(rows), "", *found["caption"]]


def figure(found: Json, strips: dict[str, Sequence[Bytes]]) -> Image.Image:
    """The lecture's figure: a row a system with its samples, between a PCA-Gaussian and real data.

    Args:
        found: by `conclude`.
        strips: lines of eight samples by the system's name, and of the references REAL and PCA.
    """
    metric, references = found["metric"], found["references"]
    rows = [
        Row(s["label"], str(s["year"] or ""), s["metrics"][metric]["values"], cells(s, metric), strips[s["name"]])
        for s in found["systems"]
    ]
    baseline, floor = (_reference(name, found, strips[name]) for name in (PCA, REAL))
    return timeline.draw(
        Timeline(
            title=_title(found),
            subtitle=_subtitle(found),
            metric=metric,
            rows=[baseline, *rows, floor],
            rules=[(references[metric][name], name) for name in (REAL, PCA)],
            columns=COLUMNS,
            foot=[" ".join(found["caption"]), found["credit"]],
        )
    )


def _reference(name: str, found: Json, strips: Sequence[Bytes]) -> Row:
    distance, recall = (found["references"][metric][name] for metric in (found["metric"], "recall"))
    return Row(name, "", [distance], [number(distance), number(recall)], strips, system=False)


def _title(found: Json) -> str:
    years = [s["year"] for s in found["systems"] if s["year"]]
    when = f"{min(years)} to {max(years)}: " if years and min(years) < max(years) else ""
    return f"{when}what a GAN learns in {found['seconds']:g} seconds"


def _subtitle(found: Json) -> str:
    seeds = max(len(s["seeds"]) for s in found["systems"])
    several = f"{seeds} seeds: a dot each, their mean a stroke" if seeds > 1 else "one seed"
    return (
        f"{found['data']}, {found['size']} px, one thread each; {several}; eight samples of the first seed, none chosen"
    )
