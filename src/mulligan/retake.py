"""A mulligan: back to the newest checkpoint of a healthy game, with a remedy for what went wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulligan import checkpoint, registry
from mulligan.config import Run
from mulligan.game import System
from mulligan.model import build
from mulligan.referee.remedies import Changes, Situation, in_words, remedy
from mulligan.referee.verdict import HEALTHY, MENDABLE, Verdict
from mulligan.rundir import RunDir

SEEDS = 1_000_003  # from the data's order of one shot to that of the next
NUMBERS = ("no", "one", "two", "three", "four", "five")


def retake(rundir: RunDir, system: System, verdict: Verdict, updates: dict[str, float], round: int) -> str:
    """Go back and change what the verdict asks for; what was done, in a sentence.

    The run directory is all that changes: playing on from its newest checkpoint with its options is the next shot.
    """
    taken = rundir.mulligans
    back = _round(go_back(rundir, _since(verdict, taken)))
    row, changes, values = _remedy(rundir, system, verdict, updates)
    words = in_words(changes, values)
    about = {"verdict": verdict.name, "round": round, "back": back, "row": row, "changes": changes, "words": words}
    seed = (values["seed"] + SEEDS) % 2**31
    rundir.take_mulligan(about, {**changes, "seed": seed})
    text = f"mulligan {len(taken) + 1}, for {verdict.name}: back to round {back:,}, {words}"
    rundir.event("mulligan", text, **about)
    return text


def is_over(rundir: RunDir, system: System, verdict: Verdict, updates: dict[str, float], allowed: int) -> bool:
    """Whether a shot ends with a verdict: a lost game, or one for which there is a remedy and a mulligan left.

    Args:
        rundir: of the run.
        system: in training.
        verdict: the newest.
        updates: see `Referee.updates`.
        allowed: mulligans in all; 0: no game is ended.
    """
    if not allowed or verdict.name not in MENDABLE:
        return allowed > 0 and verdict.lost
    return len(rundir.mulligans) < allowed and bool(_remedy(rundir, system, verdict, updates)[1])


def _remedy(
    rundir: RunDir, system: System, verdict: Verdict, updates: dict[str, float]
) -> tuple[int, Changes, Mapping[str, Any]]:
    """(row of the table, what to change, all options as they are)"""
    config = rundir.config
    models = [registry.load(config["system"]).Config(**config["config"]), Run(**config["run"])]
    touched = frozenset(name for taken in rundir.mulligans for name in taken["changes"])
    situation = Situation.of(models, system.in_force, updates=updates, touched=touched)
    last = max((taken["row"] for taken in rundir.mulligans if taken["verdict"] == verdict.name), default=-1)

    def works(changes: Changes) -> bool:
        try:
            build(
                {
                    **config,
                    "config": {**config["config"], **{k: x for k, x in changes.items() if k in config["config"]}},
                }
            )
        except ValueError:
            return False
        return True

    return *remedy(verdict.name, situation, last, works), situation.values


def surrender(rundir: RunDir, verdict: Verdict) -> str:
    """What is said when no shot is left; what was saved of a healthy game stays, if anything was."""
    n = len(rundir.mulligans)
    if n and _healthy_before(rundir, verdict.since) is not None:
        go_back(rundir, verdict.since)
    number = NUMBERS[n] if n < len(NUMBERS) else str(n)
    return f"lost after {number} mulligan{'s' * (n != 1)}: {verdict}" if n else verdict.text


def go_back(rundir: RunDir, since: int) -> Path | None:
    """Forget the checkpoints of a game that was being lost; the one that is left to go on from, None for none."""
    kept = _healthy_before(rundir, since)
    for place in checkpoint.all_in(rundir.checkpoints):
        if _round(place) > _round(kept):
            checkpoint.remove(place)
    return kept


def _healthy_before(rundir: RunDir, since: int) -> Path | None:
    """The newest checkpoint of a healthy game, saved before a round."""
    before = [place for place in checkpoint.all_in(rundir.checkpoints) if _round(place) < since]
    return next((place for place in reversed(before) if _is_healthy(place)), None)


def _is_healthy(place: Path) -> bool:
    if not checkpoint.is_whole(place):
        return False
    return bool(json.loads((place / "state.json").read_text()).get("verdict", HEALTHY) == HEALTHY)


def _since(verdict: Verdict, taken: list[dict[str, Any]]) -> int:
    """The round before which to go back: where a shot was lost in the same way, it was under way there already."""
    again = bool(taken) and taken[-1]["verdict"] == verdict.name
    return min(verdict.since, taken[-1]["back"]) if again else verdict.since


def _round(place: Path | None) -> int:
    return int(place.name) if place is not None else 0
