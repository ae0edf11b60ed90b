"""What is wrong with the data, at the first line of the log: from numbers that go into the log to verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mulligan.data.examine import EXTREME_ASPECT
from mulligan.data.source import Source, content_keys, evenly, in_parts
from mulligan.game import System
from mulligan.referee.verdict import DATA, Verdict

LOOKED_AT = 2_000  # training samples
NUMBERS = 100_000_000  # of them, at most
VALUES = ("image", "points", "map", "mask")  # kinds of what is looked at beside what is made first
BEYOND = 0.01  # of the range: rounding
COPIES = 0.3  # of the samples
FEW = 50  # training samples
SAYS = 0.15  # of the way from chance to certainty: labels that say less of images say nothing


def numbers(source: Source, system: System, signs: Mapping[str, float]) -> dict[str, Any]:
    """What is measured: by name, all of it plain numbers; of what else is made or given, by key under "others".

    Args:
        source: the data.
        system: that is to learn from them.
        signs: the referee's floors, for how well labels go with images.
    """
    first = next(iter(system.makes))
    keys = [k for k in dict.fromkeys((*system.makes, *system.given)) if k == first or source.signals[k].kind in VALUES]
    values = _values(source, keys)
    found: dict[str, Any] = {"n": float(len(source.train)), **values.pop(first)}
    found["others"] = {key: {**x, "given": float(key not in system.makes)} for key, x in values.items()}
    if "y" in system.given and (y := source.train.labels()) is not None:
        found["classes"] = float(len(np.unique(y)))
    found |= {name: n for name, n in signs.items() if name.startswith("agreement")}
    if aspect := source.facts.get("aspect"):
        found |= {"narrowest": aspect[0], "widest": aspect[2]}
    return found


def _values(source: Source, keys: list[str]) -> dict[str, dict[str, float]]:
    """By key: in one go, for a row may take long to compute."""
    found = {key: {"low": math.inf, "high": -math.inf, "finite": 1.0} for key in keys}
    copies: dict[str, list[bytes]] = {key: [] for key in keys}
    n = min(len(source.train), LOOKED_AT, max(64, NUMBERS // max(source.signals[key].size for key in keys)))
    for index in in_parts(evenly(source.train, n), 100):
        rows = source.train.fetch(index)
        for key, d in found.items():
            x = rows[key].numpy()
            d["finite"] = min(d["finite"], float(np.isfinite(x).all()))
            d["low"], d["high"] = min(d["low"], float(x.min())), max(d["high"], float(x.max()))
            copies[key] += content_keys(x)
    for key, d in found.items():
        d["copies"] = 1 - len(set(copies[key])) / len(copies[key])
        if (range_ := source.signals[key].range) is not None:
            d["least"], d["most"] = range_
    return found


def problems(d: Mapping[str, Any]) -> list[Verdict]:
    """Verdicts on such numbers, the worst first."""
    others = [replace(told, text=f"{key}: {told.text}") for key, values in d.get("others", {}).items()
              for told in problems({k: x for k, x in values.items() if k != "copies"})]  # fmt: skip
    return [Verdict(DATA, text, advice, {k: d[k] for k in evidence})
            for holds, text, advice, evidence in _rules(d) if holds] + others  # fmt: skip


def _rules(d: Mapping[str, Any]) -> list[tuple[bool, str, str, tuple[str, ...]]]:
    low, high, least, most = (d.get(k, math.nan) for k in ("low", "high", "least", "most"))
    width = most - least  # NaN compares to nothing
    given = bool(d.get("given", 0))
    goal = "is declared" if given else "is what G makes"
    chance, floor = d.get("agreement chance", math.nan), d.get("agreement floor", math.nan)
    return [
        (
            not d.get("finite", 1), "some values of the data are no finite numbers.",
            "Look for damaged files and divisions by zero.", ("finite",),
        ),
        (
            low < least - BEYOND * width or high > most + BEYOND * width,
            f"values go from {low:.3g} to {high:.3g}, and {least:g} to {most:g} {goal}.",
            "Scale the data to that range, or D knows a sample by its range alone.", ("low", "high"),
        ),
        (
            not given and ((low > least + 0.4 * width and high <= most + BEYOND * width)
                           or (high < most - 0.4 * width and low >= least - BEYOND * width)),
            f"values go from {low:.3g} to {high:.3g} only, of {least:g} to {most:g} that G makes.",
            "They look as if scaled to another range; bring them to the whole of it.", ("low", "high"),
        ),
        (
            d.get("classes", 2) < 2, "all labels are of one class.",
            "The system is told nothing by them: give the images of each class a folder of their own.", ("classes",),
        ),
        (
            floor - chance < SAYS * (1 - chance),
            f"of images that are alike {100 * floor:.0f} % have the same label, and {100 * chance:.0f} % is chance.",
            "If labels can be seen at a glance, look whether they are in the images' order.", ("agreement floor",),
        ),
        (
            d.get("copies", 0) > COPIES, f"{100 * d.get('copies', 0):.0f} % of the samples are copies of others.",
            "What is there many times is learned by heart; take the copies out.", ("copies",),
        ),
        (
            d.get("n", FEW) < FEW, f"there are {d.get('n', 0):.0f} samples to train on.",
            "D will know them by heart within a minute; add data, or --augment adaptive.", ("n",),
        ),
        (
            max(d.get("widest", 1.0), 1 / d.get("narrowest", 1.0)) > EXTREME_ASPECT,
            f"width over height goes from {d.get('narrowest', 1):.2f} to {d.get('widest', 1):.2f}.",
            "Cropped to squares, such images lose much: --fit pad keeps them whole.", ("narrowest", "widest"),
        ),
    ]  # fmt: skip
