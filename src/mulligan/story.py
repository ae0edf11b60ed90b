"""A run's story: what happened, in sentences for someone who has never heard of mode collapse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mulligan.referee.checks import YOUNG
from mulligan.referee.course import Course
from mulligan.referee.data import problems
from mulligan.referee.history import TICKS, History, median
from mulligan.referee.verdict import HEALTHY, UNKNOWN, Verdict
from mulligan.rundir import RunDir

Json = dict[str, Any]
LEFT = 1.5  # times the distance at its best: samples have gone away again
CHANCE = 0.01  # of a distance, at least: what it moves by from look to look
GAP, GAP_TICKS = 0.1, 6  # of the budget, and measurements: so long nothing of a kind was made
MEANS = {
    "mode collapse": "G, the network that makes samples, makes the same again and again and leaves other kinds out",
    "D wins": "D, the network that judges, is never in doubt, so G cannot find out what to do better",
    "G wins": "D no longer sees what is wrong with the samples, so G learns nothing from it",
    "diverging": "the two networks drive each other away from the data",
    "oscillating": "the two networks chase each other in a circle and get nowhere",
    "not finite": "a computation broke down",
    "D memorises the data": "D knows the training data by heart instead of knowing what real data look like",
    "G copies the data": "the samples are copies of training data and nothing new",
    "condition ignored": "the samples have nothing to do with what was asked for",
    "noise ignored": "there is one answer to each question, where there should be many",
    "stalled": "training changes nothing any more, or never did",
    "data problem": "something is wrong with the data, before any training",
    "slow input": "the computer waits for data more than it computes",
}


@dataclass(frozen=True)
class Story:
    """What is told.

    Attributes:
        verdict: on the game, the newest; where that is well, on the data; UNKNOWN where nothing was measured.
        lines: sentences, in order.
    """

    verdict: Verdict
    lines: list[str]


def tell(log: Sequence[Json], events: Sequence[Json], run: Json) -> Story:
    """The story of a run.

    Args:
        log: its log.jsonl; all verdicts are made anew of it.
        events: its events.jsonl.
        run: the options of the run.
    """
    course = Course(run, log)
    history, verdict = course.history, course.verdict
    in_data = problems(history.data) if history.data else []
    lines = [f"{told.text} {told.advice}" for told in in_data]
    keeps_best = run.get("stop") == "auto"
    lines += [*_happened(events), *_stands(history, verdict, keeps_best), *_ended(events)]
    if verdict.name == HEALTHY and in_data:
        verdict = in_data[0]
    elif not history.moments and history.ended is None:
        verdict = Verdict(UNKNOWN, "nothing was measured yet.")
    return Story(verdict, [_sentence(line) for line in lines])


def of_run(run: RunDir) -> Story:
    """The story of a run, from its directory."""
    return tell(run.read("log"), run.read("events"), run.config["run"])


def _happened(events: Sequence[Json]) -> list[str]:
    """Verdicts and mulligans, as they came."""
    lines: list[str] = []
    taken = False
    for event in events:
        # that a shot goes on after a mulligan, the mulligan says
        after, taken = taken, event.get("kind") == "mulligan" or (taken and event.get("kind") == "verdict")
        if after and event.get("kind") == "resume":
            continue
        told = event.get("verdict") if event.get("kind") == "verdict" else None
        if isinstance(told, dict) and told.get("name") not in (HEALTHY, "data problem"):
            means = MEANS.get(str(told["name"]), "")
            lines.append(
                f"round {event.get('round', 0):,}: {told['name']}{means and f' ({means})'}. {_sentence(told['text'])}"
            )
        elif isinstance(told, dict) and told["name"] == HEALTHY and lines:
            lines.append(f"round {event.get('round', 0):,}: it went over.")
        elif event.get("kind") in ("mulligan", "lost", "resume"):
            lines.append(f"round {event.get('round', 0):,}: {event.get('text', '')}.".replace("..", "."))
    return lines


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _ended(events: Sequence[Json]) -> list[str]:
    """What is on record of the end."""
    told = [event for event in events if event.get("kind") in ("finish", "lost", "start", "resume")]
    if not told or told[-1]["kind"] == "lost":
        return []
    if told[-1]["kind"] == "finish":
        return [f"It {told[-1].get('text', 'finished')}."]
    return ["Its end is not on record: it is running, or was stopped and can be gone on with by --resume."]


def _stands(h: History, verdict: Verdict, keeps_best: bool) -> list[str]:
    """How it is with the game; `keeps_best`: whether a run's best checkpoint is what it leaves (--stop auto)."""
    if not h.moments:
        return [] if h.ended else ["Nothing was measured of it yet: the run is too young, or older than its referee."]
    lines = [_numbers(h)]
    if verdict.name != HEALTHY:
        return [*lines, f"The verdict: {verdict}"]
    if h.now.images < YOUNG:
        return [*lines, f"Nothing is wrong that can be seen after {h.now.images:,.0f} samples; that is early."]
    but = [*_gaps(h), *([] if keeps_best else _best(h))]
    if but:
        return [*lines, "The game is not lost, but not all is well.", *but]
    return [*lines, f"It is a healthy game; how good its samples are, `mulligan evaluate` measures. {_outlook(h)}"]


def _gaps(h: History) -> list[str]:
    """Kinds of the data that have not been made for long: too few to lose the game, and not nothing."""
    since = {}
    for name in h.now.missing:
        gone = next((i for i, m in enumerate(reversed(h.moments)) if name not in m.missing), len(h.moments))
        first = h.moments[len(h.moments) - gone]
        if gone >= GAP_TICKS and h.now.share - first.share >= GAP:
            since[name] = first.round
    if not since:
        return []
    names = ", ".join(list(since)[:5]) + (" ..." if len(since) > 5 else "")
    kinds = "kind" if len(since) == 1 else "the kinds"
    return [f"Nothing of {kinds} {names} has been among the samples since round {max(since.values()):,}."]


def _numbers(h: History) -> str:
    """How it stands."""
    words = []
    if not math.isnan(h.started):
        least = f"{h.floor('distance'):.2g}" if h.floor("distance") > 0.0005 else "0"
        first, last = (max(0.0, x) for x in (h.started, h.get("distance")))  # an estimate may fall below 0
        words.append(f"the distance between samples and data went from {first:.2g} to {last:.2g} "
                     f"(real data: {least}; 1 is as far as two real samples are apart)")  # fmt: skip
    if not math.isnan(h.get("diversity")):
        words.append(f"samples differ by {100 * h.get('diversity'):.0f} % of what real ones differ by")
    if h.now.missing:
        words.append(f"of some kinds there are none ({', '.join(h.now.missing[:5])})")
    for player in h.judges:
        words.append(f"{player} is right in {100 * h.get(f'{player}.auc'):.0f} % of its comparisons (50 is guessing)")
    if not math.isnan(h.get("agreement")):
        words.append(f"{100 * h.get('agreement'):.0f} % of the samples are what was asked for "
                     f"(real data: {100 * h.floor('agreement'):.0f} %)")  # fmt: skip
    return f"At round {h.now.round:,}: {'; '.join(words)}." if words else f"It stands at round {h.now.round:,}."


def _outlook(h: History) -> str:
    trend = h.trend("distance", 0.4)
    if trend is None:
        return "It is too early to say whether more time would help."
    if trend.after < 0.95 * trend.before:
        return "Samples were still coming nearer to the data: more time would help."
    return "Samples come no nearer to the data than they are: more time alone would not help much."


def _best(h: History) -> list[str]:
    """Where samples have been nearer to the data than they are now, beyond chance: when that was."""
    known = [(m.round, m.signs["distance"]) for m in h.moments if "distance" in m.signs]
    if len(known) < 2 * TICKS:
        return []
    around = [(median([d for _, d in known[i : i + TICKS]]), known[i + TICKS // 2][0])
              for i in range(len(known) - TICKS + 1)]  # fmt: skip
    least, round = min(around)
    now, by_chance = around[-1][0], 2 * max(h.floor("distance"), CHANCE)
    if now < LEFT * least or now - least < by_chance:
        return []
    return [f"Samples were nearer to the data around round {round:,} ({max(least, 0.0):.2g}) than they are now "
            f"({now:.2g}): --stop auto keeps the best of a run."]  # fmt: skip
