"""From a history to a verdict: one function a finding, pure, in the order in which they explain each other.

A finding names its evidence and has to last: see `History.lasting`. Thresholds are constants here, tuned by replaying
one half of the traces of benchmarks/sabotage.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mulligan.referee import verdict as v
from mulligan.referee.history import TICKS, History, Moment, median
from mulligan.referee.verdict import ALL_WELL, Verdict

Check = Callable[[History], Verdict | None]

FAR = 0.3  # of the distance between real samples: what was made looks like nothing in the data
SAME = 0.1  # of real diversity: all samples are one
FEWER = 0.7  # of real diversity
GONE = 1 / 3  # of the modes
KNOWS = 0.995  # AUC: D tells all apart
GUESSES = 0.6  # AUC: it hardly does
IMPROVES = 0.1  # of the distance, within a tenth of the budget
FIXED = 1e-9  # an update over its weight: nobody learns
REMEMBERS = 0.85  # AUC of training data against unseen data
COPIED = 0.4  # of the distance at which unseen real data lie from training data
MOVES = 0.01  # of real diversity
GROWN = 2.5  # times the least distance so far
SWINGS = 0.5  # of the samples in another mode at the next look
WAITS = 0.5  # of the time


def judge(history: History) -> Verdict:
    """The first finding that holds, or that all is well."""
    if history.ended is not None:
        return not_finite(history.ended)
    found = (check(history) for check in CHECKS if history.moments)
    return next((verdict for verdict in found if verdict is not None), ALL_WELL)


def not_finite(ended: Mapping[str, Any]) -> Verdict:
    """Of the line in which the loop says what stopped being finite."""
    where = str(ended.get("where", ""))
    advice = "A number grew beyond what the computer can hold; a smaller learning rate or fp32 is the usual mend."
    if where.startswith("the data"):
        advice = "Your data hold numbers that are not finite: look for damaged files and divisions by zero."
    return Verdict(v.NOT_FINITE, f"{ended['text']}.", advice, {}, ended["round"], ended.get("player", ""))


# --- the game -----------------------------------------------------------------------------------------------


def frozen(h: History) -> Verdict | None:
    """A player that does not move."""
    for player in h.players:
        since = h.lasting(lambda m, p=player: m.signs.get(f"update.{p}", 1.0) < FIXED)  # type: ignore[misc]
        if since:
            text = f"{player} does not learn: its steps change its weights by less than a billionth."
            return _found(
                h, v.STALLED, since, text, "Look at its learning rate, and whether its loss depends on it.",
                {f"update.{player}": h.get(f"update.{player}")}, player,
            )  # fmt: skip
    return None


def diverging(h: History) -> Verdict | None:
    """Samples that leave the data again."""
    known = [m.signs["distance"] for m in h.moments if "distance" in m.signs]
    if len(known) < 2 * TICKS:
        return None
    least = min(known[:-TICKS])
    limit = max(GROWN * least, FAR)
    since = h.lasting(lambda m: m.signs.get("distance", math.inf) > limit)
    if since is None or least > FAR:
        return None
    text = f"samples are {h.get('distance') / max(least, 1e-6):.3g} times as far from the data as they were at best."
    return _found(
        h, v.DIVERGING, since, text, "The players push each other away; smaller steps or a stronger penalty hold them.",
        {"distance": h.get("distance"), "least distance": least},
    )  # fmt: skip


def total_collapse(h: History) -> Verdict | None:
    since = h.lasting(lambda m: m.signs.get("diversity", 1.0) < SAME, ticks=5, share=0.06)
    if since is None or _improves(h):
        return None
    text = f"samples differ by {100 * h.get('diversity'):.0f} % of what real samples differ by: they are all the same."
    return _found(
        h, v.COLLAPSE, since, text, "G has found one sample that passes and makes nothing else.",
        {"diversity": h.get("diversity"), "distance": h.get("distance")},
    )  # fmt: skip


def partial_collapse(h: History) -> Verdict | None:
    def fewer(m: Moment) -> bool:
        return m.signs.get("modes", 1.0) <= 1 - GONE and m.signs.get("diversity", 1.0) < FEWER

    since = h.lasting(fewer, ticks=6, share=0.1)
    if since is None or _improves(h):
        return None
    names = h.now.missing
    missing = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    text = f"{len(names)} kinds of the data never appear among the samples ({missing})."
    return _found(
        h, v.COLLAPSE, since, text, "G covers a part of the data and D does not make it cover the rest.",
        {"modes": h.get("modes"), "diversity": h.get("diversity")},
    )  # fmt: skip


def d_wins(h: History) -> Verdict | None:
    for player in h.judges:
        since = h.lasting(
            lambda m, p=player: m.signs.get(f"{p}.auc", 0.5) > KNOWS and m.signs.get("distance", 0.0) > FAR,  # type: ignore[misc]
            ticks=6, share=0.1,
        )  # fmt: skip
        if since and not _improves(h):
            text = (
                f"{player} tells real from made without a mistake ({100 * h.get(f'{player}.auc'):.1f} %), and the "
                "samples come no nearer to the data."
            )
            evidence = {f"{player}.auc": h.get(f"{player}.auc"), "distance": h.get("distance")}
            advice = "G learns nothing from a judge who is never in doubt; slow D down or penalise it."
            return _found(h, v.D_WINS, since, text, advice, evidence, player)
    return None


def g_wins(h: History) -> Verdict | None:
    for player in h.judges:
        since = h.lasting(
            lambda m, p=player: m.signs.get(f"{p}.auc", 1.0) < GUESSES and m.signs.get("distance", 0.0) > FAR,  # type: ignore[misc]
            ticks=6, share=0.08,
        )  # fmt: skip
        if since and not _improves(h):
            text = (
                f"{player} takes samples for real ({100 * h.get(f'{player}.auc'):.0f} % told apart, 50 is guessing) "
                "although they look nothing like the data."
            )
            evidence = {f"{player}.auc": h.get(f"{player}.auc"), "distance": h.get("distance")}
            advice = "D is too slow or too weak to teach G anything; let it learn faster or more often."
            return _found(h, v.G_WINS, since, text, advice, evidence, player)
    return None


def condition_ignored(h: History) -> Verdict | None:
    def deaf(m: Moment) -> bool:
        return m.signs.get("condition", 1.0) < MOVES

    since = h.lasting(deaf, ticks=6, share=0.1)
    chance, floor = h.get("agreement chance"), h.floor("agreement")
    if since is None and floor > 0:
        limit = chance + 0.2 * (floor - chance)
        since = h.lasting(lambda m: m.signs.get("agreement", 1.0) < limit, ticks=6, share=0.15)
        if since and (h.get("distance") > FAR or h.get("diversity") < 0.5):
            return None
    if since is None or h.get("diversity") < SAME:
        return None
    text = "samples do not follow what they are told to be."
    if not math.isnan(h.get("agreement")):
        text = (
            f"{100 * h.get('agreement'):.0f} % of the samples are of the class that they were made for; "
            f"{100 * chance:.0f} % is chance, real data reach {100 * floor:.0f} %."
        )
    evidence = {k: h.get(k) for k in ("condition", "agreement") if not math.isnan(h.get(k))}
    advice = "D does not ask whether a sample matches its condition, or the labels say nothing about the images."
    return _found(h, v.CONDITION, since, text, advice, evidence)


def noise_ignored(h: History) -> Verdict | None:
    since = h.lasting(lambda m: m.signs.get("noise", 1.0) < MOVES, ticks=6, share=0.1)
    if since is None:
        return None
    text = f"another random vector changes a sample by {100 * h.get('noise'):.2g} % of what real samples differ by."
    return _found(
        h, v.NOISE, since, text, "G makes one answer for each condition; it has no reason to make several.",
        {"noise": h.get("noise")},
    )  # fmt: skip


def memorised(h: History) -> Verdict | None:
    for player in h.judges:
        since = h.lasting(lambda m, p=player: m.signs.get(f"{p}.memory", 0.5) > REMEMBERS, ticks=6, share=0.1)  # type: ignore[misc]
        if since:
            known = h.get(f"{player}.memory")
            text = f"{player} tells training images from real ones that it never saw ({100 * known:.0f} %, 50 is fair)."
            return _found(
                h, v.MEMORY, since, text, "It knows the data by heart; more data, or augmentation, makes that hard.",
                {f"{player}.memory": known}, player,
            )  # fmt: skip
    return None


def copied(h: History) -> Verdict | None:
    since = h.lasting(lambda m: m.signs.get("nearest", 1.0) < COPIED, ticks=6, share=0.1)
    if since is None or h.get("diversity") < SAME:
        return None
    text = f"samples lie {100 * h.get('nearest'):.0f} % as far from a training image as unseen real images do."
    return _found(
        h, v.COPIES, since, text, "G repeats what it was shown; more data or augmentation is the mend.",
        {"nearest": h.get("nearest")},
    )  # fmt: skip


def oscillating(h: History) -> Verdict | None:
    swings = h.recent("swing", 0.15)
    distances = h.recent("distance", 0.15)
    if len(swings) < 8 or median(swings) < SWINGS or median(distances) < FAR or _improves(h):
        return None
    since = h.moments[-len(swings)]
    text = f"from one look to the next {100 * median(swings):.0f} % of the samples become something else."
    return _found(
        h, v.OSCILLATING, since, text, "The players chase each other in a circle; smaller steps settle them.",
        {"swing": median(swings), "distance": median(distances)},
    )  # fmt: skip


def stalled(h: History) -> Verdict | None:
    """Nothing comes nearer to the data, and nothing else explains it."""
    since = h.lasting(lambda m: m.signs.get("distance", 0.0) > FAR, ticks=8, share=0.2)
    if since is None or _improves(h, 0.2):
        return None
    text = "samples look nothing like the data and come no nearer."
    return _found(
        h, v.STALLED, since, text, "The learning rate may be far too small, or the task out of G's reach.",
        {"distance": h.get("distance")},
    )  # fmt: skip


def slow_input(h: History) -> Verdict | None:
    since = h.lasting(lambda m: m.signs.get("waiting", 0.0) > WAITS, ticks=6, share=0.1)
    if since is None:
        return None
    text = f"{100 * h.get('waiting'):.0f} % of the time goes into reading data."
    return _found(
        h, v.SLOW, since, text, "Put the data on a faster disk, or make the images smaller once.",
        {"waiting": h.get("waiting")},
    )  # fmt: skip


def _improves(h: History, share: float = 0.1) -> bool:
    """Whether samples came nearer to the data within the newest part of the budget."""
    found = h.recent("distance", 2 * share)
    if len(found) < 8:
        return True  # too early to say no
    half = len(found) // 2
    return median(found[half:]) < (1 - IMPROVES) * median(found[:half])


def _found(
    h: History, name: str, since: Moment, text: str, advice: str, evidence: dict[str, float], player: str = ""
) -> Verdict:
    return Verdict(name, text, advice, {k: round(x, 6) for k, x in evidence.items()}, since.round, player)


CHECKS: tuple[Check, ...] = (
    frozen, total_collapse, diverging, d_wins, g_wins, partial_collapse, condition_ignored, noise_ignored, memorised,
    copied, oscillating, stalled, slow_input,
)  # fmt: skip
