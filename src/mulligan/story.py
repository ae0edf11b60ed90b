"""A run's story: what happened, in sentences for someone who has never heard of mode collapse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mulligan.referee.checks import YOUNG
from mulligan.referee.course import Course
from mulligan.referee.data import problems
from mulligan.referee.history import History
from mulligan.referee.verdict import HEALTHY, Verdict

Json = dict[str, Any]
MEANS = {
    "mode collapse": "G, the network that makes samples, makes the same few again and again",
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
        verdict: the newest.
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
    found = [f"{told.text} {told.advice}" for told in problems(history.data)] if history.data else []
    lines = [*found, *_happened(events), *_stands(history, verdict, _ended(events))]
    return Story(verdict, [_sentence(line) for line in lines])


def _happened(events: Sequence[Json]) -> list[str]:
    """Verdicts and mulligans, as they came."""
    lines = []
    for event in events:
        told = event.get("verdict") if event.get("kind") == "verdict" else None
        if isinstance(told, dict) and told.get("name") not in (HEALTHY, "data problem"):
            means = MEANS.get(str(told["name"]), "")
            lines.append(
                f"round {event.get('round', 0):,}: {told['name']}{means and f' ({means})'}. {_sentence(told['text'])}"
            )
        elif isinstance(told, dict) and told["name"] == HEALTHY and lines:
            lines.append(f"round {event.get('round', 0):,}: it went over.")
        elif event.get("kind") in ("mulligan", "lost"):
            lines.append(f"round {event.get('round', 0):,}: {event.get('text', '')}.".replace("..", "."))
    return lines


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _ended(events: Sequence[Json]) -> str:
    kinds = [event.get("kind") for event in events]
    return next((str(kind) for kind in reversed(kinds) if kind in ("finish", "lost", "start", "resume")), "")


def _stands(h: History, verdict: Verdict, ended: str) -> list[str]:
    if not h.moments:
        return [] if h.ended else ["Nothing was measured of it yet: the run is too young, or older than its referee."]
    lines = [_numbers(h)]
    over = ended in ("finish", "lost")
    if verdict.name == HEALTHY and h.now.images < YOUNG:
        lines.append(f"Nothing is wrong that can be seen after {h.now.images:,.0f} samples; that is early.")
    elif verdict.name == HEALTHY:
        lines.append(f"{'It was' if over else 'It is'} a healthy game. {_outlook(h)}")
    else:
        lines.append(f"{'The last' if over else 'The'} verdict: {verdict}")
    return lines


def _numbers(h: History) -> str:
    """How it stands."""
    words = []
    if not math.isnan(h.started):
        least = f"{h.floor('distance'):.2g}" if h.floor("distance") > 0.0005 else "0"
        words.append(f"the distance between samples and data went from {h.started:.2g} to {h.get('distance'):.2g} "
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
