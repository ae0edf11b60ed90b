"""mulligan demo: train, judge and report in one word."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from mulligan.cli.evaluate import evaluate
from mulligan.cli.parsing import parse
from mulligan.cli.train import train
from mulligan.config import Options
from mulligan.rundir import free_number, numbered


class Demo(Options):
    minutes: float = Field(default=3.0, gt=0, description="of training")
    out: str = Field(default="runs/demo", description="the run directory; numbered if it is taken")


def demo(words: list[str]) -> int:
    """Train the default system on the embedded digits, judge it and write a report.

    Example: mulligan demo
    """
    options = parse(demo, words, [Demo])
    place = Path(options["out"])
    out = numbered(place, free_number(place))
    status = train(["auto", "--data", "mnist", "--minutes", str(options["minutes"]), "--out", str(out)])
    return status or evaluate([str(out)])
