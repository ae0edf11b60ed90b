"""The command line: one function a verb. Torch is imported by the verbs that need it, so --help is quick.

A mistake is answered in one line on standard error, with exit status 2; a run that was interrupted exits with 130, one
that became NaN with 1.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from mulligan.config import Auto, Data, Options, Run, nearest
from mulligan.errors import Mistake

HELP = """mulligan trains generative adversarial networks on your own data.

  mulligan demo                               train on the embedded digits for three minutes, judge, report
  mulligan systems                            the systems, what each needs and makes
  mulligan data list | get NAME | check DATA  data: a built-in name, a folder of images, a .npy, .npz or .csv file
  mulligan train SYSTEM --data DATA           train; SYSTEM may be auto: what measurement found best for the data
  mulligan sample RUN -n 64 -o digits.png     generate: a .png grid, a folder, .npz, .csv or a .gif walk
  mulligan evaluate RUN                       judge a run against its data, each number beside its floor
  mulligan compare RUN RUN ...                the numbers of several runs side by side
  mulligan walk RUN -o walk.gif               from latent to latent

`mulligan VERB --help` explains each. RUN is a run's directory, or digits, a model that ships with mulligan.
"""


def main(words: list[str] | None = None) -> None:
    """The console script."""
    # waiting OpenMP threads spin by default: on shared cores a 2 ms step took 175 ms. Before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(run(sys.argv[1:] if words is None else words))


def run(words: list[str]) -> int:
    """Run a command line; its exit status."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if words[0] == "--version":
        from mulligan import __version__

        print(__version__)
        return 0
    try:
        if words[0] not in VERBS:
            raise Mistake(f"mulligan: there is no verb {words[0]!r}{nearest(words[0], VERBS)}")
        return VERBS[words[0]](words[1:])
    except (Mistake, ValidationError) as error:
        print(_mistake(error), file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"mulligan: {error.filename or 'the system'}: {error.strerror}; {_disk_advice(error)}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("mulligan: stopped", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search("out of memory|can't allocate memory", str(error)):
            raise
        advice = "lower --batch, --size or a width, or raise --micro-batches"
        print(f"mulligan: the memory does not suffice; {advice}", file=sys.stderr)
        return 2


def _mistake(error: ValueError) -> str:
    from mulligan.options import explain

    text = explain(error) if isinstance(error, ValidationError) else str(error)
    return text if text.startswith("mulligan") else f"mulligan: {text}"


def _disk_advice(error: OSError) -> str:
    import errno

    if error.errno == errno.ENOSPC:
        return "free some space and go on with --resume; what was saved before is whole"
    return "check the path and its permissions"


def _parse(verb: str, words: list[str], models: list[type[Options]], **more: Any) -> dict[str, Any]:
    from mulligan.options import parse

    description = (VERBS[verb.split()[0]].__doc__ or "").strip()
    return parse(words, list(models), prog=f"mulligan {verb}", description=description, **more)


def _print_json(value: Any) -> None:
    print(json.dumps(value))


class AsJson(Options):
    json_: bool = Field(default=False, description="print one JSON object", json_schema_extra={"flag": "json"})


def positional(description: str, default: Any = ...) -> Any:
    return Field(default=default, description=description, json_schema_extra={"positional": True})


# --- mulligan demo -----------------------------------------------------------------------------------------------


class Demo(Options):
    minutes: float = Field(default=3.0, gt=0, description="of training")
    out: str = Field(default="runs/demo", description="the run directory; numbered if it is taken")


def demo(words: list[str]) -> int:
    """Train the default system on the embedded digits, judge it and write a report.

    Example: mulligan demo
    """
    options = _parse("demo", words, [Demo])
    out, number = Path(options["out"]), 1
    while out.exists():
        number += 1
        out = Path(f"{options['out']}-{number}")
    status = train(["auto", "--data", "mnist", "--minutes", str(options["minutes"]), "--out", str(out)])
    return status or evaluate([str(out)])


# --- mulligan systems --------------------------------------------------------------------------------------------


def systems(words: list[str]) -> int:
    """List the systems: what each is, needs and makes.

    Example: mulligan systems --json
    """
    options = _parse("systems", words, [AsJson])
    from mulligan.catalog import catalog

    entries = catalog()
    if options["json_"]:
        _print_json({"systems": entries})
        return 0
    for entry in entries:
        print(f"{entry['name']:8} {entry['title']}\n         needs {entry['needs']}; makes {entry['makes']}")
    return 0


# --- mulligan data -----------------------------------------------------------------------------------------------


class DataName(Options):
    name: str = positional("a built-in source")


class Check(Data, AsJson):
    data: str = positional("a name, a folder of images, or a .npy, .npz or .csv file")
    conditional: bool = Field(default=False, description="check that a conditional system could use it")


def data(words: list[str]) -> int:
    """What data there is, and whether yours will do: data list, data get NAME, data check DATA.

    Example: mulligan data check ~/photos --size 64
    """
    actions: dict[str, Callable[[list[str]], int]] = {
        "list": _data_list,
        "get": _data_get,
        "check": _data_check,
    }
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: mulligan data list | get NAME | check DATA\n\n{data.__doc__}")
        return 0
    if words[0] not in actions:
        raise Mistake(f"mulligan data: there is no {words[0]!r}{nearest(words[0], actions)}")
    return actions[words[0]](words[1:])


def _data_list(words: list[str]) -> int:
    from mulligan.data import describe

    options = _parse("data list", words, [AsJson])
    sources = describe()
    if options["json_"]:
        _print_json({"sources": sources})
        return 0
    for source in sources:
        print(f"{source['name']:8} {source['about']} ({source['kind']}; {source['licence']})")
    return 0


def _data_get(words: list[str]) -> int:
    from mulligan.data import get

    print(get(_parse("data get", words, [DataName])["name"]))
    return 0


def _data_check(words: list[str]) -> int:
    from mulligan.data import check
    from mulligan.display import counting

    options = _parse("data check", words, [Check])
    as_json = options.pop("json_")
    report = check(options.pop("data"), **options, progress=counting)
    if as_json:
        _print_json(report.to_json())
    else:
        print("\n".join(report.lines()))
    return 2 if report.stops else 0


# --- mulligan train ----------------------------------------------------------------------------------------------


FLAGS = ("--alpha", "--no-alpha", "--freeze-d", "--no-freeze-d", "--json", "--no-json", "--help")


class Train(Options):
    system: str = positional("a name of `mulligan systems`, a file that defines one, or auto", "auto")
    from_: str | None = Field(
        default=None,
        description="start from the weights of this run or model",
        json_schema_extra={"flag": "from"},
    )
    out: str | None = Field(default=None, description="the run directory; default: runs/SYSTEM-DATA")
    resume: str | None = Field(default=None, description="go on with this run; minutes, rounds, device may change")


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
    options = _parse(f"train {name}" if name != "auto" else "train", words, models)
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
    from mulligan.train import resume as resume_
    from mulligan.train import whole_path, whole_system

    stored = RunDir.open(folder).config
    flat = {**stored["data"], **stored["config"], **stored["run"], "system": stored["system"]}
    models: list[type[Options]] = [Train, Data, Run, AsJson, registry.load(stored["system"]).Config]
    told = {k: v for k, v in flat.items() if any(k in m.model_fields for m in models)}
    told |= {"out": None, "from_": None}
    # the budget is replaced as a whole: --rounds instead of the minutes the run began with
    for budget, other in (("--rounds", "minutes"), ("--minutes", "rounds")):
        if _option(words, budget) is not None:
            told[other] = None
    options = _parse("train", words, models, defaults=told)
    options["data"], options["system"] = whole_path(options["data"]), whole_system(options["system"])
    if options["system"] == "auto" and stored.get("auto"):
        options["system"] = stored["system"]
    for key, value in told.items():
        if options[key] != value and key not in ("minutes", "rounds", "device"):
            flag = key if key == "system" else option(key)
            began = f"began with {value}" if value is not None else "is not started anew"
            raise Mistake(f"{flag} {options[key]}: {folder} {began}; leave it out, or start a new run")
    budget_ = {k: options[k] for k in ("minutes", "rounds", "device")}
    return _played(lambda: resume_(folder, **budget_), folder, options["json_"])


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
    from mulligan.train import Interrupted, Lost

    try:
        model = play()
    except Interrupted as stop:
        _report(stop.run)
        print(f"mulligan: saved; {_go_on(stop.run)}", file=sys.stderr)
        return 130
    except Lost as loss:
        _report(loss.run)
        print(f"mulligan: {loss}; take another --seed, or a lower --lr", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        begun = out is not None and Path(out, "config.json").exists()
        print("mulligan: stopped without saving" + (f"; {_go_on(out)}" if begun else ""), file=sys.stderr)
        return 130
    _report(model.directory)
    if int(os.environ.get("RANK", "0")) > 0:
        return 0
    if as_json:
        _print_json({"run": str(model.directory), "round": model.round, "model": model.hash})
    else:
        run_ = shlex.quote(str(model.directory))
        print(f"{model.directory}: {model.round:,} rounds; report: {model.directory}/report.html")
        print(f"next: mulligan sample {run_} -o samples.png    mulligan evaluate {run_}")
    return 0


def _go_on(run_: Path | str | None) -> str:
    return "go on with: " + shlex.join(["mulligan", "train", "--resume", str(run_)])


def _report(run_: Path) -> None:
    """Rank 0 writes the report."""
    from mulligan.report import write_report

    if int(os.environ.get("RANK", "0")) == 0:
        write_report(run_)


# --- mulligan sample, walk ---------------------------------------------------------------------------------------


class Sample(Options):
    run: str = positional("a run's directory or a shipped model's name")
    n: int = Field(default=64, ge=1, le=1_000_000, description="how many", json_schema_extra={"short": "n"})
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    label: int | None = Field(default=None, ge=0, description="the class, for conditional systems")
    out: str = Field(default="samples.png", description=".png grid, folder, .npz, .csv or .gif walk")
    overwrite: bool = Field(default=False, description="replace what is there")


def sample(words: list[str]) -> int:
    """Generate samples.

    Examples: mulligan sample digits -o digits.png
              mulligan sample runs/dcgan-mnist -n 10000 -o fakes.npz
    """
    options = _parse("sample", _long(words), [Sample])
    if options["out"].lower().endswith(".gif"):
        keep = ["--overwrite"] if options["overwrite"] else []
        return walk([options["run"], "--out", options["out"], "--seed", str(options["seed"]), *keep])
    from mulligan import samples
    from mulligan.model import Model

    model = Model.load(options["run"])
    if options["label"] is not None and "y" not in model.system.needs:
        raise Mistake(f"--label {options['label']}: {model.config['system']} takes no label; leave it out")
    made = model.generate(options["n"], seed=options["seed"], label=options["label"])
    key, signal = next(iter(model.system.makes.items()))
    provenance = model.provenance(options["seed"])
    written = samples.write(
        made[key], signal, Path(options["out"]), provenance=provenance, overwrite=options["overwrite"]
    )
    print(written)
    return 0


class Walk(Options):
    run: str = positional("a run's directory or a shipped model's name")
    out: str = Field(default="walk.gif", description="a .gif")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    stops: int = Field(default=6, ge=2, le=100, description="latents to walk between, in a circle")
    steps: int = Field(default=12, ge=1, le=200, description="frames from one to the next")
    side: int = Field(default=4, ge=1, le=16, description="walks shown at once: side x side")
    overwrite: bool = Field(default=False, description="replace what is there")


def walk(words: list[str]) -> int:
    """Walk from latent to latent and back, as a GIF.

    Example: mulligan walk digits -o walk.gif
    """
    options = _parse("walk", _long(words), [Walk])
    from mulligan.model import Model
    from mulligan.walk import write

    model = Model.load(options["run"])
    numbers = {k: options[k] for k in ("seed", "stops", "steps", "side", "overwrite")}
    print(write(model, Path(options["out"]), **numbers))
    return 0


def _long(words: list[str]) -> list[str]:
    """-o and -n by their long names."""
    return [{"-o": "--out", "-n": "--n"}.get(word, word) for word in words]


# --- mulligan evaluate, compare ----------------------------------------------------------------------------------


class Evaluate(AsJson):
    run: str = positional("a run's directory or a shipped model's name")
    n: int = Field(default=10_000, ge=2, description="samples to judge, at most as many as there are real ones")
    split: Literal["test", "held_out"] = Field(default="test", description="the real samples")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    judge: str | None = Field(
        default=None, description="digits, features, pixels, points, or the file of Inception's weights"
    )


def evaluate(words: list[str]) -> int:
    """Judge a run against its data; beside each number its floor, real against real, and a trivial generator.

    Example: mulligan evaluate runs/dcgan-mnist
    """
    options = _parse("evaluate", _long(words), [Evaluate])
    from mulligan.display import counting
    from mulligan.evaluate import evaluate as evaluate_
    from mulligan.model import SHIPPED, Model
    from mulligan.report import write_report
    from mulligan.tables import table

    model = Model.load(options["run"])
    numbers = {k: options[k] for k in ("n", "split", "seed", "judge")}
    results = evaluate_(model, **numbers, progress=counting)
    if options["json_"]:
        _print_json({"run": str(options["run"]), "metrics": [r.to_json() for r in results]})
    else:
        print("\n".join(table(results)))
    if SHIPPED not in model.directory.parents:
        print(f"report: {write_report(model.directory)}", file=sys.stderr if options["json_"] else sys.stdout)
    return 0


class Compare(AsJson):
    runs: tuple[str, ...] = positional("runs that were evaluated")


def compare(words: list[str]) -> int:
    """The newest numbers of several runs side by side; numbers measured unlike are refused.

    Example: mulligan compare runs/dcgan-mnist runs/sngan-mnist
    """
    options = _parse("compare", words, [Compare])
    from mulligan.tables import compare as compare_
    from mulligan.tables import compare_table

    if not options["runs"]:
        raise Mistake("mulligan compare: name one RUN or more")
    rows = compare_([Path(run) for run in options["runs"]])
    if options["json_"]:
        _print_json({"metrics": [row.to_json() for row in rows]})
    else:
        print("\n".join(compare_table(rows)))
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "systems": systems,
    "data": data,
    "train": train,
    "sample": sample,
    "evaluate": evaluate,
    "compare": compare,
    "walk": walk,
}


if __name__ == "__main__":
    main()
