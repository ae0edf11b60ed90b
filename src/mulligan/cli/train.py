"""mulligan train: begin a run, or go on with one."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.config import LATER, Auto, Data, Options, Run
from mulligan.errors import Mistake

FLAGS = ("--alpha", "--no-alpha", "--freeze-d", "--no-freeze-d", "--json", "--no-json", "--help")


class Train(Options):
    system: str = positional("a name of `mulligan systems`, a file that defines one, or auto", "auto")
    from_: str | None = Field(default=None, description="start from the weights of this run or model")
    out: str | None = Field(default=None, description="the run directory; default: runs/SYSTEM-DATA")
    resume: str | None = Field(
        default=None, description="go on with this run; minutes, rounds, device, mulligans, stop may change"
    )


def train(words: list[str]) -> int:
    """Train a system on data.

    Examples: mulligan train auto --data ~/photos --minutes 30
              mulligan train dcgan --data mnist --width 32
              mulligan train --resume runs/dcgan-mnist
    """
    from mulligan import registry

    name = _system_named(words)
    resumed = _option(words, "--resume")
    if resumed is not None:
        return _resume(words, resumed)
    kind: type[Options] = Auto if name == "auto" else registry.load(name).Config
    models: list[type[Options]] = [Train, Data, Run, AsJson, kind]
    options = parse(train, words, models, name if name != "auto" else "")
    from mulligan.train import train as train_

    place = {"out": options.pop("out"), "from_run": options.pop("from_")}
    options.pop("resume")
    as_json, system = options.pop("json_"), options.pop("system")
    given = _given(options, models)
    command = shlex.join(["mulligan", "train", *words])
    return _played(lambda: train_(system, options["data"], **place, command=command, **given), place["out"], as_json)


def _system_named(words: list[str]) -> str:
    """SYSTEM, wherever it stands: the first word that is no option and no option's value."""
    value_follows = False
    for word in words:
        if not word.startswith("-") and not value_follows:
            return word
        value_follows = word.startswith("--") and "=" not in word and word not in FLAGS
    return "auto"


def _given(options: dict[str, Any], models: list[type[Options]]) -> dict[str, Any]:
    """The options that differ from their defaults; `auto` may choose the others."""
    defaults = {name: field.default for model in models for name, field in model.model_fields.items()}
    return {k: v for k, v in options.items() if k != "data" and v != defaults[k]}


def _resume(words: list[str], folder: str) -> int:
    from mulligan import registry
    from mulligan.options import flag as option
    from mulligan.rundir import RunDir
    from mulligan.train import resume, whole_path, whole_system

    stored = RunDir.open(folder).first_config  # what the user once said; a mulligan may have changed it since
    flat = {**Data().model_dump(), **stored["data"], **stored["config"], **stored["run"], "system": stored["system"]}
    models: list[type[Options]] = [Train, Data, Run, AsJson, registry.load(stored["system"]).Config]
    told = {k: v for k, v in flat.items() if any(k in m.model_fields for m in models)}
    told |= {"out": None, "from_": None}
    # the budget is replaced as a whole: --rounds instead of the minutes the run began with
    for budget, other in (("--rounds", "minutes"), ("--minutes", "rounds")):
        if _option(words, budget) is not None:
            told[other] = None
    options = parse(train, words, models, defaults=told)
    options["data"], options["system"] = whole_path(options["data"]), whole_system(options["system"])
    if options["system"] == "auto" and stored.get("auto"):
        options["system"] = stored["system"]
    for key, value in told.items():
        if options[key] != value and key not in LATER:
            flag = key if key == "system" else option(key)
            began = f"began with {value}" if value is not None else f"began without {flag}"
            raise Mistake(f"{flag} {options[key]}: {folder} {began}; leave it out, or start a new run")
    later = {k: options[k] for k in LATER}
    return _played(lambda: resume(folder, **later), folder, options["json_"])


def _option(words: list[str], flag: str) -> str | None:
    """The value of an option, before the command line is parsed as a whole."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag:
            if not following or following.startswith("-"):
                raise Mistake(f"mulligan train: {flag} needs a value")
            return following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def _played(play: Callable[[], Any], out: str | None, as_json: bool) -> int:
    """Run a training to whatever end it has, and say how to go on."""
    from mulligan.play import Interrupted, Lost
    from mulligan.report import write_report

    first = int(os.environ.get("RANK", "0")) == 0
    try:
        model = play()
    except Interrupted as stop:
        return _ended(130, stop.run, f"saved; {_go_on(stop.run)}", first)
    except Lost as loss:
        return _ended(1, loss.run, f"{loss} More: mulligan diagnose {shlex.quote(str(loss.run))}", first)
    except KeyboardInterrupt:
        begun = out is not None and Path(out, "config.json").exists()
        print("mulligan: stopped without saving" + (f"; {_go_on(out)}" if begun else ""), file=sys.stderr)
        return 130
    if not first:
        return 0
    write_report(model.directory)
    run = shlex.quote(str(model.directory))
    verdict, mulligans = _verdict(model.directory)
    after = f" after {mulligans} mulligan{'s' * (mulligans > 1)}" if mulligans else ""
    lines = [
        f"{model.directory}: {model.round:,} rounds; referee: {verdict}{after}; report: {model.directory}/report.html",
        f"next: {_use(model.system, run)}    mulligan evaluate {run}",
    ]
    found = {"run": str(model.directory), "round": model.round, "model": model.hash}
    answer(as_json, {**found, "verdict": verdict, "mulligans": mulligans}, lines)
    return 0


def _verdict(run: Path) -> tuple[str, int]:
    """What `mulligan diagnose` says first, and the number of mulligans that were taken."""
    from mulligan.rundir import RunDir
    from mulligan.story import of_run

    rundir = RunDir(run)
    return of_run(rundir).verdict.name, len(rundir.mulligans)


def _ended(status: int, run: Path, text: str, first: bool) -> int:
    """What an early end comes to: the report and a line of rank 0, and its status."""
    from mulligan.report import write_report
    from mulligan.runtime import meet

    if first:
        write_report(run)
        print(f"mulligan: {text}", file=sys.stderr)
    meet()  # torchrun ends all ranks as soon as one leaves with an error
    return status


def _use(system: object, run: str) -> str:
    """What a run is for: of images from images, a picture of the user's."""
    from mulligan.game import Translator

    translates = isinstance(system, Translator)
    return f"mulligan apply {run} PICTURE -o made.png" if translates else f"mulligan sample {run} -o samples.png"


def _go_on(run: Path | str | None) -> str:
    return "go on with: " + shlex.join(["mulligan", "train", "--resume", str(run)])
