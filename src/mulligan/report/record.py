"""What a run directory holds, as far as it can be read: a run that has just begun, one cut short, or a long one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mulligan.errors import Mistake
from mulligan.figure import Snapshot
from mulligan.model import EXAMPLES
from mulligan.report.values import last_part
from mulligan.rundir import RunDir

Json = dict[str, Any]

MOMENTS = 24  # of a 1-D game, at most


@dataclass
class Record:
    """A run directory's files; lines that are no objects are left out, and of rounds played again the last counts."""

    path: Path
    config: Json
    log: list[Json]
    events: list[Json]
    metrics: list[Json]
    mulligans: list[Json] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Raises ValueError where there is no run, or its config.json cannot be read."""
        run = RunDir.open(path)
        try:
            config = run.config
        except (OSError, ValueError, TypeError) as error:
            raise Mistake(f"{path}/config.json cannot be read ({error}); restore it from a copy") from error
        log = {n: line for line in run.read("log") if (n := round_of(line)) is not None}
        return cls(
            path,
            config,
            [log[n] for n in sorted(log)],
            run.read("events"),
            run.read("metrics"),
            run.mulligans,
        )

    @property
    def rounds(self) -> int:
        return round_of(self.log[-1]) or 0 if self.log else 0

    @property
    def finished(self) -> bool:
        return any(event.get("kind") == "finish" for event in self.events[-8:])

    @property
    def told(self) -> bool:
        """Whether its system is told what to make."""
        return (self.path / EXAMPLES).is_file()

    @property
    def source(self) -> str:
        """The data's name."""
        return last_part(str(self.part("data").get("data") or "data"))

    def part(self, name: str) -> Json:
        """A part of config.json, empty if it is not there."""
        return group(self.config, name)

    def looks(self, suffix: str) -> list[tuple[int, Path]]:
        """Rounds and files of the samples with this suffix, in order."""
        files = (self.path / "samples").glob(f"*.{suffix}")
        return sorted((int(file.stem), file) for file in files if file.stem.isdigit())

    @cached_property
    def moments(self) -> list[Snapshot]:
        """Up to 24 snapshots of a 1-D game, evenly spaced; one that a crash cut short is left out."""
        return [shot for _, file in spread(self.looks("json"), MOMENTS) if (shot := _snapshot(file)) is not None]


def _snapshot(file: Path) -> Snapshot | None:
    try:
        return Snapshot.load(file)
    except (OSError, ValueError):
        return None


def group(line: Json, name: str) -> Json:
    """An object within an object, empty if it is not there."""
    found = line.get(name)
    return found if isinstance(found, dict) else {}


def round_of(line: Json) -> int | None:
    """The round that a line tells of."""
    found = line.get("round")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def metrics_of(line: Json) -> list[Json]:
    """The metrics of one evaluation."""
    found = line.get("metrics")
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []


def real(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def spread(items: Sequence[Any], n: int) -> list[Any]:
    """n of the items, evenly spaced, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]
