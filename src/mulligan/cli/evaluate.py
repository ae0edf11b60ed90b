"""mulligan evaluate and mulligan compare: how good a run is, and which of several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.errors import Mistake


class Evaluate(AsJson):
    run: str = positional("a run's directory or a shipped model's name")
    n: int = Field(
        default=10_000,
        ge=2,
        description="samples to judge, at most as many as there are real ones",
        json_schema_extra={"short": "n"},
    )
    split: Literal["test", "held_out"] = Field(default="test", description="the real samples")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    judge: str | None = Field(
        default=None, description="digits, tags, features, pixels, points, or the file of Inception's weights"
    )


def evaluate(words: list[str]) -> int:
    """Judge a run against its data; beside each number its floor, real against real, and a trivial generator.

    Example: mulligan evaluate runs/dcgan-mnist
    """
    options = parse(evaluate, words, [Evaluate])
    from mulligan.display import counting
    from mulligan.evaluate import evaluate as evaluate_
    from mulligan.model import SHIPPED, Model
    from mulligan.report import write_report
    from mulligan.tables import table

    model = Model.load(options["run"])
    numbers = {k: options[k] for k in ("n", "split", "seed", "judge")}
    results = evaluate_(model, **numbers, progress=counting)
    found = {"run": options["run"], "metrics": [result.to_json() for result in results]}
    answer(options["json_"], found, table(results))
    if SHIPPED not in model.directory.parents:
        print(f"report: {write_report(model.directory)}", file=sys.stderr if options["json_"] else sys.stdout)
    return 0


class Compare(AsJson):
    runs: tuple[str, ...] = positional("runs that were evaluated")


def compare(words: list[str]) -> int:
    """The newest numbers of several runs side by side; numbers measured unlike are refused.

    Example: mulligan compare runs/dcgan-mnist runs/sngan-mnist
    """
    options = parse(compare, words, [Compare])
    from mulligan.tables import compare as compare_
    from mulligan.tables import compare_table

    if not options["runs"]:
        raise Mistake("mulligan compare: name one RUN or more")
    rows = compare_([Path(run) for run in options["runs"]])
    answer(options["json_"], {"metrics": [row.to_json() for row in rows]}, compare_table(rows))
    return 0
