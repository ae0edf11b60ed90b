"""A mulligan: back to the newest checkpoint of a healthy game, with a remedy for what went wrong."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from mulligan import checkpoint, registry
from mulligan.config import Run
from mulligan.game import System
from mulligan.referee.remedies import Situation, in_words, remedy
from mulligan.referee.verdict import HEALTHY, Verdict
from mulligan.rundir import RunDir

SEEDS = 1_000_003  # from the data's order of one shot to that of the next
NUMBERS = ("no", "one", "two", "three", "four", "five")


def retake(rundir: RunDir, system: System, verdict: Verdict, updates: dict[str, float], round: int) -> str:
    """Go back and change what the verdict asks for; what was done, in a sentence.

    The run directory is all that changes: playing on from its newest checkpoint with its options is the next shot.
    """
    models = _models(rundir.config)
    situation = Situation.of(models, system.in_force, updates=updates, player=verdict.player)
    tried = [taken["changes"] for taken in rundir.mulligans if taken["verdict"] == verdict.name]
    changes = remedy(verdict.name, situation, tried)
    back = go_back(rundir, verdict.since)
    changes_of_seed = {"seed": (situation.values["seed"] + SEEDS) % 2**31}
    words = in_words(changes, situation.values)
    number = len(rundir.mulligans) + 1
    text = f"mulligan {number}, for {verdict.name}: back to round {back:,}, {words}"
    rundir.take_mulligan(
        {"verdict": verdict.name, "round": round, "back": back, "changes": changes, "words": words},
        {**changes, **changes_of_seed},
    )
    rundir.event("mulligan", text, round=round, back=back, verdict=verdict.name, changes=changes)
    return text


def go_back(rundir: RunDir, since: int) -> int:
    """Forget what was saved of a game that was being lost; the round that is left, 0 for the beginning."""
    kept = 0
    for place in reversed(checkpoint.all_in(rundir.checkpoints)):
        if kept == 0 and int(place.name) < max(since, 1) and _is_healthy(place):
            kept = int(place.name)
            break
        checkpoint.remove(place)
    return kept


def _is_healthy(place: Any) -> bool:
    record = json.loads((place / "state.json").read_text()) if checkpoint.is_whole(place) else {}
    return bool(record.get("verdict", HEALTHY) == HEALTHY) and bool(record)


def _models(config: dict[str, Any]) -> list[BaseModel]:
    return [registry.load(config["system"]).Config(**config["config"]), Run(**config["run"])]


def surrender(verdict: Verdict, taken: int) -> str:
    """What is said when no shot is left."""
    number = NUMBERS[taken] if taken < len(NUMBERS) else str(taken)
    return f"lost after {number} mulligan{'s' * (taken != 1)}: {verdict}"
