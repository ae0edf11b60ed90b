"""A mulligan: back to the newest checkpoint of a healthy game, with a remedy for what went wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulligan import checkpoint, registry, runtime
from mulligan.config import Run
from mulligan.game import System
from mulligan.model import build
from mulligan.referee.remedies import Changes, Situation, in_words, remedy
from mulligan.referee.verdict import MENDABLE, NOT_FINITE, Verdict
from mulligan.rundir import RunDir

ASIDE = "best-of-lost"  # beside the checkpoints
SEEDS = 1_000_003  # from the data's order of one shot to that of the next
NUMBERS = ("no", "one", "two", "three", "four", "five")


def retake(rundir: RunDir, system: System, verdict: Verdict, updates: dict[str, float], round: int) -> str:
    """Go back and change what the verdict asks for; what was done, in a sentence.

    The run directory is all that changes: playing on from its newest checkpoint with its options is the next shot.
    """
    taken = rundir.mulligans
    back = _round(_healthy_before(rundir, _since(verdict, taken)))
    row, changes, values = _remedy(rundir, system, verdict, updates)
    words = in_words(changes, values)
    about = {"verdict": verdict.name, "round": round, "back": back, "row": row, "changes": changes, "words": words}
    seed = (values["seed"] + SEEDS) % 2**31
    rundir.take_mulligan(about, {**changes, "seed": seed})
    text = f"mulligan {len(taken) + 1}, for {verdict.name}: back to round {back:,}, {words}"
    rundir.event("mulligan", text, **about)
    _set_aside(rundir, back)
    forget_lost(rundir)
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
    if verdict.name == NOT_FINITE:
        return True  # there is nothing left to play with
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

    def published(option: str) -> Any:
        left = {k: x for k, x in config["config"].items() if k != option}
        return build({**config, "config": left}).in_force(option)

    def in_force(option: str) -> Any:
        if option == "precision":
            return runtime.in_force(config["run"]["precision"], system.device)
        return system.in_force(option)

    situation = Situation.of(models, in_force, updates=updates, touched=touched, published=published)
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
    """What is said when no shot is left. What stays is sound if anything is; of all shots that with the lowest FD."""
    n = len(rundir.mulligans)
    kept = _healthy_before(rundir, verdict.since)
    aside = rundir.path / ASIDE
    if aside.is_dir() and _fd(aside) < (_fd(kept) if kept is not None else math.inf):
        kept = checkpoint.of_round(rundir.checkpoints, _record(aside)["round"])
        checkpoint.remove(kept)
        aside.rename(kept)
    if kept is not None:
        for place in checkpoint.all_in(rundir.checkpoints):
            if _round(place) > _round(kept):
                checkpoint.remove(place)
    number = NUMBERS[n] if n < len(NUMBERS) else str(n)
    return f"lost after {number} mulligan{'s' * (n != 1)}: {verdict}" if n else verdict.text


def forget_lost(rundir: RunDir) -> None:
    """Remove the checkpoints of shots that were lost. A run that was killed before that does so when it goes on."""
    for number, taken in enumerate(rundir.mulligans):
        for place in checkpoint.all_in(rundir.checkpoints):
            if _round(place) > taken["back"] and _record(place).get("mulligans", 0) <= number:
                checkpoint.remove(place)


def _set_aside(rundir: RunDir, back: int) -> None:
    """Keep the checkpoint with the lowest FD of a shot that was lost; no other shot may come so far."""
    lost = [place for place in checkpoint.all_in(rundir.checkpoints) if _round(place) > back and is_healthy(place)]
    best, aside = min(lost, key=_fd, default=None), rundir.path / ASIDE
    if best is not None and (not aside.is_dir() or _fd(best) < _fd(aside)):
        checkpoint.remove(aside)
        best.rename(aside)


def _fd(place: Path) -> float:
    """Of a checkpoint; infinite where it was not measured."""
    found = _record(place).get("vital", {}).get("FD")
    return math.inf if found is None else float(found)


def _healthy_before(rundir: RunDir, since: int) -> Path | None:
    """The newest checkpoint of a healthy game, saved before a round."""
    before = [place for place in checkpoint.all_in(rundir.checkpoints) if _round(place) < since]
    return next((place for place in reversed(before) if is_healthy(place)), None)


def is_healthy(place: Path) -> bool:
    """Whether a checkpoint is whole, and of a game that was not being lost."""
    return checkpoint.is_whole(place) and not _record(place).get("lost", False)


def _record(place: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((place / "state.json").read_text())
    except (OSError, ValueError):
        return {}
    return record


def _since(verdict: Verdict, taken: list[dict[str, Any]]) -> int:
    """The round before which to go back: where a shot was lost in the same way, it was under way there already."""
    again = bool(taken) and taken[-1]["verdict"] == verdict.name
    return min(verdict.since, taken[-1]["back"]) if again else verdict.since


def _round(place: Path | None) -> int:
    return int(place.name) if place is not None else 0
