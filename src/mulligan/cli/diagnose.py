"""mulligan diagnose: the story of a run, or of another library's log of losses."""

from __future__ import annotations

from pathlib import Path

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.errors import Mistake
from mulligan.rundir import RunDir, nearest_run


class Diagnose(AsJson):
    run: str = positional("a run's directory, finished or not, or a CSV or JSON-lines file of losses")


def diagnose(words: list[str]) -> int:
    """Tell what happened in a training and what to do about it.

    Examples: mulligan diagnose runs/dcgan-mnist
              mulligan diagnose losses.csv
    """
    options = parse(diagnose, words, [Diagnose])
    place = Path(options["run"])
    if place.is_dir():
        return _of_a_run(RunDir.open(place), options["json_"])
    if not place.exists():
        from mulligan.model import SHIPPED

        if (SHIPPED / options["run"]).is_dir():
            raise Mistake(f"{options['run']} ships with mulligan, without the log of its training")
        raise Mistake(f"there is no run and no file {options['run']!r}{nearest_run(place)}")
    if place.suffix == ".jsonl" and RunDir(place.parent).is_ours:
        raise Mistake(f"{place} is a run's own log: mulligan diagnose {place.parent} tells more of it")
    from mulligan import losses_log
    from mulligan.losses_read import read

    losses = read(place)
    verdict = losses_log.judge(losses)
    found = {"log": options["run"], "columns": list(losses.columns), "verdict": verdict.to_json()}
    answer(options["json_"], found, [f"{options['run']}: {verdict.name}", *losses_log.tell(losses, verdict)])
    return 0


def _of_a_run(run: RunDir, as_json: bool) -> int:
    from mulligan.story import of_run

    story = of_run(run)
    found = {"run": str(run.path), "verdict": story.verdict.to_json(), "mulligans": run.mulligans, "story": story.lines}
    answer(as_json, found, [f"{run.path}: {story.verdict.name}", *story.lines])
    return 0
