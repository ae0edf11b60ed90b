"""The run directory: the only link between training, report and whoever else looks.

config.json, log.jsonl, events.jsonl, metrics.jsonl, samples/, checkpoints/, report.html; docs/run-directory.md says
what is in each. Lines are appended whole, and a reader skips a last line that a crash cut short.
"""

from __future__ import annotations

import difflib
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from mulligan.errors import Mistake

MULLIGANS = "mulligans.json"
FLOOR = " floor"  # ends the name of what real data in place of samples would have of a vital number


class RunDir:
    """Reads and writes one run's directory."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"

    @classmethod
    def create(cls, path: Path | str, config: dict[str, Any]) -> RunDir:
        """Make the directory and write its config.json.

        Raises:
            ValueError: something is there already, or the place cannot be written.
        """
        run = cls(path)
        cls.check(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            write_whole(run.path / "config.json", json.dumps(config, indent=1))
            run.samples.mkdir()
        except OSError as error:
            raise Mistake(f"--out {run.path} cannot be written ({error.strerror}); choose another") from error
        return run

    @staticmethod
    def check(path: Path | str) -> None:
        """Raise ValueError if something is there already."""
        place = Path(path)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise Mistake(f"--out {place} exists; choose another name, or go on with it: --resume {place}")

    @classmethod
    def open(cls, path: Path | str) -> RunDir:
        """A run that exists.

        Raises:
            ValueError: there is none at `path`.
        """
        run = cls(path)
        if not run.path.exists():
            raise Mistake(f"there is no run {str(path)!r}{nearest_run(path)}")
        if not (run.path / "config.json").is_file():
            raise Mistake(f"{path} is not a run: it holds no config.json{nearest_run(path)}")
        if run.is_ours:  # if not, whoever reads it says so
            run.samples.mkdir(exist_ok=True)
        return run

    @property
    def is_ours(self) -> bool:
        """Whether its config.json is a run's, and whole: other programs have one too."""
        try:
            return bool(self.first_config)
        except (OSError, ValueError):
            return False

    @property
    def config(self) -> dict[str, Any]:
        """What is in force: as the run began, with what its mulligans changed."""
        config = self.first_config
        for taken in self.mulligans:
            for part in ("config", "run"):
                config[part] |= {k: x for k, x in taken["options"].items() if k in config[part]}
        return config

    @property
    def mulligans(self) -> list[dict[str, Any]]:
        """Those taken so far, in order."""
        file = self.path / MULLIGANS
        if not file.exists():
            return []
        try:
            taken: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
            whole = all(isinstance(x["options"], dict) for x in taken)
        except (ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            raise Mistake(f"{file} is damaged; restore it, or train again")
        return taken

    def take_mulligan(self, about: dict[str, Any], options: dict[str, Any]) -> None:
        """Change options for the next shot, and keep the log of the one that was lost.

        Args:
            about: it, for whoever reads.
            options: by name, of the system and of the run.
        """
        taken = [*self.mulligans, {**about, "options": options}]
        lost = self.path / "log.jsonl"
        if lost.exists():
            write_bytes_whole(self.path / f"lost-{len(taken)}.jsonl", lost.read_bytes())
        write_whole(self.path / MULLIGANS, json.dumps(taken, indent=1))

    @property
    def first_config(self) -> dict[str, Any]:
        """As the run began."""
        file = self.path / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Mistake(f"{file} is damaged ({error}); restore it, or train again") from error
        if not isinstance(config, dict) or not {"system", "config", "run", "data", "signals"} <= config.keys():
            raise Mistake(f"{file} is not a mulligan run's; runs made here lie in runs/")
        return config

    def log(self, **line: Any) -> None:
        self._append("log.jsonl", line)

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Record an event: machine fields and one sentence for people."""
        self._append("events.jsonl", {"time": now(), "kind": kind, "text": text, **fields})

    def metrics(self, **line: Any) -> None:
        self._append("metrics.jsonl", {"time": now(), **line})

    def read(self, name: str) -> list[dict[str, Any]]:
        """The lines of log, events or metrics; what is no JSON object is passed over."""
        file = self.path / f"{name}.jsonl"
        lines = []
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []:
            try:
                found = json.loads(line)
            except ValueError:
                continue  # cut short by a crash
            if isinstance(found, dict):
                lines.append(found)
        return lines

    @property
    def stopped_itself(self) -> bool:
        """Whether it ended before its budget did (`--stop auto`), and was not gone on with."""
        told = [e for e in self.read("events") if e.get("kind") in ("start", "resume", "finish", "lost")]
        return bool(told) and bool(told[-1].get("early", False))

    def forget_after(self, round: int) -> None:
        """Drop log lines and samples beyond `round`, which a resumed run will write again."""
        # that a number was not finite ends a log, whatever its round
        kept = [line for line in self.read("log") if line["round"] <= round and "not_finite" not in line]
        write_whole(self.path / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
        for file in self.samples.glob("[0-9]*"):
            if int(file.stem) > round:
                file.unlink()

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with (self.path / name).open("a+b") as f:
            if f.tell() and not _ends_a_line(f):
                f.write(b"\n")  # a crash cut the last line short; it must not swallow this one
            f.write(json.dumps(line).encode() + b"\n")


def _ends_a_line(f: BinaryIO) -> bool:
    f.seek(-1, os.SEEK_END)
    return f.read(1) == b"\n"


def numbered(place: Path, number: int) -> Path:
    """runs/gan-ring, runs/gan-ring-2, runs/gan-ring-3 ..."""
    return Path(f"{place}-{number}") if number > 1 else place


def free_number(place: Path) -> int:
    """The first number under which nothing lies there yet."""
    return next(number for number in count(1) if not numbered(place, number).exists())


def nearest_run(path: Path | str) -> str:
    """A hint where a run may be instead: beside the path, or below runs/."""
    known: dict[str, str] = {}
    for folder in (Path(path).parent, Path("runs")):
        with suppress(OSError):  # some may not be read
            known |= {str(file.parent): file.parent.name for file in folder.glob("*/config.json")}
    close = difflib.get_close_matches(Path(path).name, known.values(), n=1)
    return f"; did you mean {next(k for k, name in known.items() if name == close[0])}?" if close else ""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_whole(file: Path, text: str) -> None:
    """Write `text` aside and rename it, so that nobody ever reads half of it."""
    write_bytes_whole(file, text.encode())


def write_bytes_whole(file: Path, content: bytes) -> None:
    """The same of bytes."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
