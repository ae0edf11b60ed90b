"""A log of losses that another library wrote, CSV or JSON lines: what can be told of a game from its losses alone.

Losses say little: of a healthy game and of a collapsed one they can be the same. What they do show is a number that is
not finite, a loss that grows without end, a D that has won or given up, and a game that goes nowhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from mulligan.losses_read import OF_D, Losses
from mulligan.referee import verdict as v
from mulligan.referee.verdict import Verdict

FEW = 20  # numbers
VANISHED = 0.02  # a loss of D by cross-entropy, where it is right of everything
ALWAYS_WRONG = 5.0  # one of G, where D is
GROWN = 100.0  # times
SAME, CONSTANT = 0.01, 1e-5  # of its level, that a loss moves by, where both are still, and where one is
UNDECIDED = 2 * math.log(2)  # D's loss by cross-entropy where it guesses; half of it by some
SURE = 0.98
Columns = dict[str, list[float]]


def judge(losses: Losses) -> Verdict:
    """What losses show."""
    if (found := _not_finite(losses)) is not None:
        return found
    most = max(len(x) for name, x in losses.columns.items() if name != "step")
    if most < FEW:
        few = f"there are {most} numbers of a loss." if most > 1 else "there is one number of a loss."
        return Verdict(v.UNKNOWN, few, f"Too few to say anything: at least {FEW} are needed.")
    for check in (_diverging, _d_wins, _g_wins, _stalled):
        if (found := check(losses.columns)) is not None:
            return found
    return v.ALL_WELL


def tell(losses: Losses, verdict: Verdict) -> list[str]:
    """The story, as far as losses go; `verdict`: see `judge`."""
    columns = losses.columns
    read = ", ".join(ours if ours == theirs else f"{theirs} as {ours}" for ours, theirs in losses.names.items())
    lines = [f"{losses.n:,} line{'s' * (losses.n > 1)}, of which these columns are read: {read}."]
    if verdict.name == v.UNKNOWN:
        return [*lines, f"{verdict.text[:1].upper()}{verdict.text[1:]} {verdict.advice}"]
    for player, there in (("D", columns.keys() & set(OF_D)), ("G", "G" in columns)):
        if not there:
            lines.append(f"No column is known as a loss of {player}: half of the game is not seen.")
        elif player in columns:
            first, last = _thirds(columns[player])
            lines.append(f"The loss of {player} went from {first:.3g} to {last:.3g}.")
    healthy = verdict.name == v.HEALTHY
    lines.append("Nothing in the losses says that the game is lost." if healthy else str(verdict))
    unseen = "a mode collapse, copied data or a condition that is ignored"
    return [*lines, f"Losses do not show {unseen}: for those samples have to be looked at, as `mulligan train` does."]


# --- checks ----------------------------------------------------------------------------------------------------


def _not_finite(losses: Losses) -> Verdict | None:
    for name, values in losses.columns.items():
        at = next((i for i, x in enumerate(values) if not math.isfinite(x)), None)
        if name != "step" and at is not None:
            line = losses.lines[name][at]
            what = f"the loss of {name}" if name in ("D", "G") else name
            advice = "A smaller learning rate or full precision is the usual mend."
            return Verdict(v.NOT_FINITE, f"{what} is no finite number in line {line:,}.", advice, {}, line)
    return None


def _diverging(columns: Columns) -> Verdict | None:
    for name in ("D", "G"):
        values = columns.get(name, [])
        if len(values) < FEW:
            continue
        first, last = (abs(x) for x in _thirds(values))
        if last > GROWN * max(first, 1.0):
            text = f"the loss of {name} grew from {first:.3g} to {last:.3g}."
            advice = "Smaller learning rates or a gradient penalty hold it."
            return Verdict(v.DIVERGING, text, advice, {"first": first, "last": last}, player=name)
    return None


def _d_wins(columns: Columns) -> Verdict | None:
    advice = "G learns nothing from a judge who is never in doubt; slow D down, or penalise its gradients."
    for names in (("D(x)", "D(G(z))"), ("D_real", "D_fake")):
        real, fake = (columns.get(name, []) for name in names)
        if min(len(real), len(fake)) < FEW:
            continue
        sure, other = _thirds(real)[1], _thirds(fake)[1]
        text = ""
        if sure > SURE and other < 1 - SURE and all(0 <= x <= 1 for x in (*real, *fake)):
            text = f"D gives {sure:.3f} to real samples and {other:.3f} to made ones."
        elif "D_real" in names and 0 <= sure < VANISHED and 0 <= other < VANISHED:
            text = f"both parts of D's loss vanished ({sure:.2g} and {other:.2g})."
        if text:
            return Verdict(v.D_WINS, text, advice, dict(zip(names, (sure, other), strict=True)), player="D")
    d, g = columns.get("D", []), columns.get("G", [])
    if len(d) < FEW or min(d) < 0:  # a loss below 0 is a critic's
        return None
    lost = _thirds(d)[1]
    if lost < VANISHED and (len(g) < FEW or _thirds(g)[1] > ALWAYS_WRONG):
        text = f"the loss of D vanished ({lost:.2g})" + (f" while that of G is {_thirds(g)[1]:.3g}." if g else ".")
        return Verdict(v.D_WINS, text, advice, {"D": lost}, player="D")
    return None


def _g_wins(columns: Columns) -> Verdict | None:
    d, g = columns.get("D", []), columns.get("G", [])
    if min(len(d), len(g)) < FEW or min(d) < 0:
        return None
    third = len(d) // 3
    spread = statistics.pstdev(d[-third:])
    level, other = _thirds(d)[1], _thirds(g)[1]
    if level > UNDECIDED and 0 <= other < 0.3 and spread < level:
        text = f"D is wrong more often than right (its loss is {level:.2f}), and that of G is {other:.2f}."
        advice = "D is too slow or too weak to teach G anything; let it learn faster or more often."
        return Verdict(v.G_WINS, text, advice, {"D": level, "G": other}, player="G")
    return None


def _stalled(columns: Columns) -> Verdict | None:
    halves = {name: columns[name][len(columns[name]) // 2 :] for name in ("D", "G")
              if len(columns.get(name, [])) >= 2 * FEW}  # fmt: skip
    levels = {name: statistics.fmean(values) for name, values in halves.items()}
    moves = {name: statistics.pstdev(x) / max(abs(levels[name]), 1e-3) for name, x in halves.items()}
    # one loss may be a level that a good game keeps to
    still = [name for name, part in moves.items() if part < (SAME if max(moves.values()) < SAME else CONSTANT)]
    if not still:
        return None
    text = " and ".join(f"the loss of {name} has been {levels[name]:.4g}" for name in still) + " for half of the time."
    return Verdict(v.STALLED, text, "Look at the learning rates and at what is frozen.", {}, player=still[0])


def _thirds(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first tenth and of the last third."""
    return statistics.median(values[: max(1, len(values) // 10)]), statistics.median(
        values[-max(1, len(values) // 3) :]
    )
