"""Training: from what the user asked for to a run that is played; everything is checked before anything is written."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from mulligan import __version__, auto, registry, runtime
from mulligan.config import Data, Options, Run, nearest
from mulligan.data import Progress as CountingUp
from mulligan.data import names as source_names
from mulligan.data import open_source
from mulligan.data.folder import BESIDE_FOLDERS
from mulligan.data.images import some
from mulligan.data.layout import added, suited, untyped
from mulligan.data.pair import NO_PAIRS
from mulligan.data.source import Source, conditions, content_keys, evenly, in_parts
from mulligan.display import counting, note
from mulligan.errors import Mistake
from mulligan.game import System
from mulligan.model import EXAMPLES, Model, reopen
from mulligan.plan import Plan, assemble, start_weights
from mulligan.play import play
from mulligan.probe import probed
from mulligan.rundir import RunDir, free_number, numbered, write_bytes_whole
from mulligan.runtime import Runtime
from mulligan.signals import match
from mulligan.stopping import MINUTES

DEFAULT_MINUTES = 5.0
N_EXAMPLES = 128
FEW, MANY = 16, 2_000  # samples that are compared at first, and at most
AnyOptions = TypeVar("AnyOptions", bound=Options)


def train(
    system: str = "auto",
    data: str = "mnist",
    *,
    out: Path | str | None = None,
    from_run: Path | str | None = None,
    command: str = "",
    quiet: bool = False,
    **options: Any,
) -> Model:
    """Train a system on data and return the model; all that it did lies in its run directory.

    Args:
        system: a name of `mulligan systems`, a file that defines one, or `auto`.
        data: a built-in source's name, a folder of images, or a file.
        out: the run directory; by default runs/SYSTEM-DATA, numbered.
        from_run: a run or shipped model whose weights to start from, where names and shapes agree.
        command: recorded as the way to repeat the run.
        quiet: show nothing.
        **options: of Run, Data and the system's Config, by name.

    Raises:
        ValueError: anything that cannot work, in one line.
        Lost: a lost game after the last mulligan; the message says what was wrong.
        Interrupted: Ctrl-C; the run was saved and can be resumed.
    """
    plan = prepare(system, data, command=command, progress=None if quiet else counting, **options)
    if plan.run.freeze_d and from_run is None:
        raise Mistake("--freeze-d keeps what D learned in another run: add --from RUN")
    if from_run is not None:
        model = Model.load(from_run)
        start_weights(plan.system, model)
        plan.config["from"] = {"run": whole_path(str(from_run)), "model": model.hash}
    folder = Path(out) if out is not None else _free_name(plan)
    rundir = RunDir(folder)
    RunDir.check(folder)
    runtime.meet()  # no rank finds there what rank 0 makes
    plan, expected = probed(plan)
    if plan.runtime.rank == 0:
        rundir = RunDir.create(folder, plan.config)
        write_examples(rundir.path, plan.source, plan.system)
        for line in () if quiet else expected:
            note(line)
    runtime.meet()  # nor reads it before
    return play(plan, rundir, quiet=quiet)


def write_examples(directory: Path, source: Source, system: System) -> None:
    """Keep the conditions of some held-out data beside the weights, for samples that are asked for in few words."""
    if system.given:
        found = conditions(source.held_out, system.given, N_EXAMPLES)
        write_bytes_whole(directory / EXAMPLES, to_bytes({k: v.contiguous() for k, v in found.items()}))


def resume(
    folder: Path | str,
    *,
    minutes: float | None = None,
    rounds: int | None = None,
    device: str | None = None,
    mulligans: int | None = None,
    stop: str | None = None,
    quiet: bool = False,
) -> Model:
    """Go on with a run from its newest whole checkpoint; a finished one is only loaded.

    What is named here alone may differ from the first call. On the CPU, with one process and as many threads as
    before, the weights are bit for bit those of a run that was never interrupted. Of several ranks, rank 0's buffers
    are saved: running statistics, StyleGAN2's mean path length, pools of older images and the like are its own.
    """
    rundir = RunDir.open(folder)
    config = rundir.config
    given: dict[str, Any] = {"minutes": minutes, "rounds": rounds} if minutes is not None or rounds is not None else {}
    given |= {k: x for k, x in (("device", device), ("mulligans", mulligans), ("stop", stop)) if x is not None}
    run = Run(**{**config["run"], **given})
    source = reopen(config, rundir.path, None if quiet else counting)
    loop = assemble(config, source, run, Runtime.start(run.device, run.precision))
    return play(Plan(config, source, run, loop), rundir, resuming=True, quiet=quiet)


def prepare(system: str, data: str, *, command: str = "", progress: CountingUp | None = None, **options: Any) -> Plan:
    """Check everything that can be checked before training, and build the system."""
    system = whole_system(system)
    typed = Data(data=whole_path(data), **_take(options, Data))
    chosen_data = typed if system == "auto" else suited(typed, registry.load(system).needs)
    flags = added(typed, chosen_data)
    with untyped(*flags):
        source = open_source(chosen_data.data, **chosen_data.model_dump(exclude={"data"}), progress=progress)
    if typed.unpaired and "x2" not in source.signals:
        raise Mistake(
            f"--unpaired: {source.name} has no pairs to be taken apart; add --task or --pair, or leave it out"
        )
    chosen = ""
    if system == "auto":
        choice = auto.choose(source)
        chosen = f"auto chose {choice.system}: it {choice.why}"
        system, options = choice.system, {**choice.options, **options}
    kind = registry.load(system)
    unknown = [k for k in options if k not in {**Run.model_fields, **kind.Config.model_fields}]
    if unknown:
        known = [*Run.model_fields, *Data.model_fields, *kind.Config.model_fields]
        raise Mistake(f"{system} has no option {unknown[0]!r}{nearest(unknown[0], known)}")
    run = Run(**_take(options, Run))
    if run.minutes is None and run.rounds is None:
        run = run.model_copy(update={"minutes": MINUTES if run.stop == "auto" else DEFAULT_MINUTES})
    with untyped(*flags):
        _two_kinds(system, kind.needs, source)
    match(kind.needs, source.signals, system=system, source=source.name)
    _something_to_learn(source)
    machine = Runtime.start(run.device, run.precision)
    config = {
        "mulligan": __version__,
        "system": system,
        "config": kind.Config(**options).model_dump(),
        "run": run.model_dump(),
        "data": {
            **chosen_data.model_dump(),
            "fingerprint": source.fingerprint,
            "card": source.card.to_json(),
        },
        "signals": {k: s.to_json() for k, s in source.signals.items()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": machine.describe(),
        "command": command,
        "auto": chosen,
    }
    return Plan(config, source, run, assemble(config, source, run, machine))


def _two_kinds(system: str, needs: Iterable[str], source: Source) -> None:
    """Raise ValueError where a system needs pairs, or two domains, and a folder makes none: by what lies in it."""
    missing = {"input", "x2"} & set(needs) - source.signals.keys()
    if "input" in missing and NO_PAIRS in source.facts:
        raise Mistake(source.facts[NO_PAIRS])
    rule = f"{system} learns from two kinds of images, and {source.name} has"
    if missing and (beside := source.facts.get(BESIDE_FOLDERS)):
        mend = f"in its folder images such as {beside} lie beside folders, which are no classes then: move them"
        raise Mistake(f"{rule} one: {mend}, or add --task edges")
    if missing and source.files is not None and "y" in source.signals:
        kinds = source.signals["y"].names
        raise Mistake(f"{rule} {len(kinds)} ({some(kinds)}): add --pair A:B, which takes two of them")


def _something_to_learn(source: Source) -> None:
    """Raise ValueError where all samples are one; of most data the first few tell."""
    first: bytes | None = None
    for rows in in_parts(evenly(source.train, min(len(source.train), MANY)), FEW):
        keys = content_keys(source.train.fetch(rows)["x"].numpy())
        first = first or keys[0]
        if any(key != first for key in keys):
            return
    if len(source.train) > 1:
        looked = "all samples" if len(source.train) <= MANY else f"all of {MANY:,} samples that were looked at"
        raise Mistake(f"{source.name}: {looked} are the same: there is nothing to learn; see mulligan data check")


def whole_system(word: str) -> str:
    """A system's name as it is, whatever folder has that name too; a file that defines one by its whole path."""
    return str(Path(word).expanduser().resolve()) if word.endswith(".py") else word


def whole_path(word: str) -> str:
    """A name as it is; a path to something that exists whole, so that the run can be used from any folder."""
    path = Path(word).expanduser()
    return str(path.resolve()) if path.exists() and word not in source_names() else word


def _take(options: dict[str, Any], kind: type[AnyOptions]) -> dict[str, Any]:
    """Remove from `options` those that `kind` has, and return them."""
    return {k: options.pop(k) for k in list(options) if k in kind.model_fields}


def _free_name(plan: Plan) -> Path:
    """runs/SYSTEM-DATA, or the first of -2, -3 ... that is free; the same on every rank."""
    place = Path("runs") / f"{Path(plan.config['system']).stem}-{plan.source.name}"
    return numbered(place, plan.runtime.agree(free_number(place)))
