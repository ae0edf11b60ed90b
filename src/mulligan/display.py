"""What a person sees while a run plays: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mulligan.config import Run
from mulligan.rundir import FLOOR

PLAIN_EVERY = 10.0  # seconds between lines where there is no terminal


def counting(doing: str, done: int, total: int) -> None:
    """How far something is: one line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{doing}: {done:,} of {total:,}" if done < total else "\r\033[K", end="", file=sys.stderr)


def note(text: str) -> None:
    """A line on standard error, in place of what `counting` shows there."""
    print(("\r\033[K" if sys.stderr.isatty() else "") + f"mulligan: {text}", file=sys.stderr)


class Display:
    """Shows rounds, images a second, time left, vital numbers and the newest picture, on standard error."""

    def __init__(self, path: Path, run: Run, *, quiet: bool) -> None:
        self.path, self.run, self.quiet = path, run, quiet
        self.console = Console(stderr=True, highlight=False)
        self.live: Live | None = None
        self.printed = -PLAIN_EVERY

    def __enter__(self) -> Display:
        if not self.quiet and self.console.is_terminal:
            self.live = Live(Text(f"{self.path}: starting"), console=self.console, refresh_per_second=4)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, soft_wrap=True, markup=False)

    def show(self, line: dict[str, Any]) -> None:
        """Show a line of the log."""
        if self.quiet:
            return
        if self.live is not None:
            self.live.update(Text("\n".join(self._lines(line))))
        elif time.monotonic() - self.printed >= PLAIN_EVERY:
            self.printed = time.monotonic()
            print("  ".join(self._lines(line)), file=sys.stderr, flush=True)

    def _lines(self, line: dict[str, Any]) -> list[str]:
        rate = line["images"] / max(line["seconds"], 1e-9)
        terms = "  ".join(
            f"{player} " + " ".join(f"{k} {v:.3f}" for k, v in terms.items()) for player, terms in line["terms"].items()
        )
        vital = "  ".join(f"{k} {v:.3g}{_floor(k, line)}" for k, v in line["vital"].items() if not k.endswith(FLOOR))
        return [
            f"round {line['round']:,}  {rate:,.0f} images/s  {self._left(line)}",
            f"{terms}  {vital}",
            f"referee: {line.get('verdict', 'healthy')}",
            f"newest samples: {line['picture']}",
        ]

    def _left(self, line: dict[str, Any]) -> str:
        if self.run.minutes is not None:
            left = 60 * self.run.minutes - line["seconds"]
        else:
            assert self.run.rounds is not None
            left = (self.run.rounds - line["round"]) * line["seconds"] / max(line["round"], 1)
        minutes, seconds = divmod(max(0, round(left)), 60)
        return f"{minutes}:{seconds:02d} left"


def _floor(name: str, line: dict[str, Any]) -> str:
    floor = line["vital"].get(name + FLOOR)
    return "" if floor is None else f" (real data {floor:.3g})"
