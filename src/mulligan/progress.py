"""The lecture's figure of progress: systems of several years, each given the same data, side and seconds.

`progress` trains them in a race a seed, keeps each finished race in its folder and goes on where it was stopped. What
it found, the figure and its caption are made from records alone, so results of other races draw the same figure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mulligan import data as sources
from mulligan import history, pictures, race, registry, runtime, samples, tuned
from mulligan.arrays import Bytes, to_uint8
from mulligan.config import Config
from mulligan.data import open_source
from mulligan.data.opening import ARRAY_SUFFIXES
from mulligan.data.source import Source
from mulligan.errors import Mistake
from mulligan.evaluate import real_samples
from mulligan.judge import PCA, REAL, TRIVIAL, Judge
from mulligan.pca import pca_samples
from mulligan.race import Case, Contestant, plain
from mulligan.rundir import write_whole
from mulligan.runtime import Runtime
from mulligan.signals import match

SYSTEMS = ("gan", "dcgan", "cogan", "progan", "r3gan")
N = 1_000  # images of each side that are judged
COLUMNS, LINES = 8, 4  # of a sheet of samples
SHEET_SEED = 1  # of the latents behind it
TELL_EVERY = 30.0  # seconds between two lines of news where there is no terminal
SETTINGS, REFERENCES = "settings.json", "references.json"

Json = dict[str, Any]
Tell = Callable[[str], None]


# --- what there is to race ---------------------------------------------------------------------------------


def known() -> tuple[str, ...]:
    """The figure's systems, those that are registered."""
    return tuple(name for name in SYSTEMS if name in registry.names())


def needs_task(system: str) -> str | None:
    """The task that gives a system the second domain that it needs."""
    return "dilation" if "x2" in registry.load(system).needs else None


def open_images(data: str, size: int | None, task: str | None = None) -> Source:
    """A source of images, with the domain that a task adds.

    Raises:
        ValueError: there is no such source, or it holds points.
    """
    toy = data in sources.names() and sources.describe()[sources.names().index(data)]["kind"].startswith("points")
    if toy or (data.lower().endswith(ARRAY_SUFFIXES) and open_source(data).signals["x"].kind == "points"):
        raise Mistake(f"--data {data} holds points, and this figure shows images; take characters, mnist or a folder")
    more: Json = {} if task is None else {"task": task, "unpaired": True}
    return open_source(data, size=size, **more)


def fitting(system: str, source: Source, options: Json) -> Config:
    """The checked options of a system that suits a source.

    Raises:
        ValueError: it does not.
    """
    kind = registry.load(system)
    match(kind.needs, source.signals, system=system, source=source.name)
    config = kind.Config(**options)
    kind(config, source.signals)  # which may refuse a side
    return config


# --- samples -----------------------------------------------------------------------------------------------


def strips(c: Contestant) -> list[Bytes]:
    """LINES lines of COLUMNS samples (8, H, W, C) from fixed latents, none chosen; for use inside `shown`.

    Of a system that makes pairs the lines alternate: a line of one domain, below it the same latents in the other. One
    that is told what to make is told of the first test samples.
    """
    system = c.system
    n = COLUMNS * LINES // len(system.makes)
    runtime.seed(SHEET_SEED, system.device)
    told = {key: value.to(system.device) for key, value in c.told(n).items()}
    made = system.generate({"z": system.latent(n), **told})
    pixels = [to_uint8(made[key]) for key in system.makes]
    lines = [x.reshape(-1, COLUMNS, *x.shape[1:]) for x in pixels]
    return [line for pair in zip(*lines, strict=True) for line in pair]


def sheet(lines: Sequence[Bytes]) -> Image.Image:
    """Lines of samples as one picture, each pixel a pixel."""
    rows = [np.concatenate(list(line), 1) for line in lines]
    return pictures.image(np.concatenate(rows, 0))


def read_sheet(file: Path, n: int) -> list[Bytes]:
    """The first n lines of a sheet that was written."""
    with Image.open(file) as picture:
        flat = np.asarray(picture if picture.mode in ("L", "LA", "RGB", "RGBA") else picture.convert("RGB"))
    flat = flat[..., None] if flat.ndim == 2 else flat
    side = flat.shape[0] // LINES
    lines = flat[: n * side].reshape(n, side, COLUMNS, side, -1)
    return [np.ascontiguousarray(line.transpose(1, 0, 2, 3)) for line in lines]


def reference_strips(source: Source) -> dict[str, list[Bytes]]:
    """A line each of test images, spread over all, and of the PCA-Gaussian's."""
    real = torch.cat(list(real_samples(source.test, COLUMNS)))
    return {name: [to_uint8(x)] for name, x in ((REAL, real), (PCA, next(pca_samples(source, COLUMNS))))}


def about(data: str, source: Source, seconds: float) -> Json:
    """What `history.conclude` notes of the races."""
    credit = f"Data: {source.card.credit}"
    return {"data": data, "size": source.signals["x"].shape[1], "seconds": seconds, "credit": credit}


# --- racing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is raced."""

    data: str
    size: int
    seconds: float
    seeds: int
    systems: tuple[str, ...]

    def settings(self, source: Source, options: dict[str, Json]) -> Json:
        """What a folder's races share; seeds may be added later."""
        told = {k: v for k, v in asdict(self).items() if k not in ("seeds", "systems")}
        return plain({**told, "fingerprint": source.fingerprint, "systems": options, "samples": N})  # type: ignore[no-any-return]


def progress(plan: Plan, out: Path, tell: Tell, counting: sources.Progress) -> Json:
    """Race the systems in all seeds that `out` lacks, write progress.json and progress.png there, and return the
    former.

    Args:
        plan: what to race.
        out: a folder: a new one, an empty one, or an earlier call's.
        tell: told what was measured.
        counting: told how far a race is.

    Raises:
        ValueError: anything that cannot work, in one line.
    """
    started_with = torch.get_num_threads()
    tasks = {name: needs_task(name) for name in plan.systems}
    opened: dict[str | None, Source] = {None: open_images(plan.data, plan.size)}
    for task in tasks.values():
        if task not in opened:
            opened[task] = open_images(plan.data, plan.size, task)
    source = opened[None]
    options = {name: tuned.suited(name, source) for name in plan.systems}
    for name in plan.systems:
        fitting(name, opened[tasks[name]], options[name])
    take_folder(out, plan.settings(source, options))
    engine = Runtime.start()
    if engine.device.type == "cpu":
        torch.set_num_threads(1)  # a race by the processor's seconds: other programs take nothing from a contestant
    try:
        judge = Judge(source, N)
        references = _references(out / REFERENCES, judge, tell)
        for seed in range(plan.seeds):
            if not race_file(out, seed).exists():
                cases = [Case(stem(n), n, plan.data, seed, plan.seconds, options[n], (1.0,)) for n in plan.systems]
                contestants = [Contestant(c, opened[tasks[c.system]], engine) for c in cases]
                news = _News(tell, counting, f"seed {seed + 1} of {plan.seeds}", plan.seconds * len(cases))
                _race(contestants, judge, references, out, news)
    finally:
        torch.set_num_threads(started_with)
    records = [r for seed in range(plan.seeds) for r in json.loads(race_file(out, seed).read_text())["records"]]
    found = history.conclude(records, references, judge, about(plan.data, source, plan.seconds))
    write_whole(out / "progress.json", json.dumps(plain(found), indent=1) + "\n")
    strips = {n: read_sheet(sheet_file(out, n), 2 if tasks[n] else 1) for n in plan.systems}
    picture = history.figure(found, {**strips, **reference_strips(source)})
    provenance = {"model": ", ".join(plan.systems), "seed": SHEET_SEED}
    samples.save_png(picture, out / "progress.png", provenance, overwrite=True)
    return dict(plain(found))


def take_folder(out: Path, settings: Json) -> None:
    """Begin in a folder, or go on in it.

    Raises:
        ValueError: it holds other things, or races of other settings.
    """
    file = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise Mistake(f"-o {out} is a file; name a folder")
    if not file.exists():
        if out.exists() and any(out.iterdir()):
            raise Mistake(
                f"-o {out} holds other things; choose an empty folder, or one of an earlier mulligan progress"
            )
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(settings, indent=1) + "\n")
        return
    try:
        before = json.loads(file.read_text())
    except ValueError as error:
        raise Mistake(f"{file} is damaged ({error}); choose another folder with -o") from error
    if not isinstance(before, dict) or before.keys() != settings.keys():
        raise Mistake(f"{file} is not of a mulligan progress; choose another folder with -o")
    for key, value in settings.items():
        if before[key] != value:
            was, now = (", ".join(v) if key == "systems" else v for v in (before[key], value))
            why = f"{was}, not {now}" if was != now else "other options of the same systems"
            raise Mistake(f"-o {out} holds races of other settings ({key}: {why}); choose another folder")


def race_file(out: Path, seed: int) -> Path:
    return out / f"race-{seed}.json"


def sheet_file(out: Path, system: str) -> Path:
    return out / "samples" / f"{stem(system)}.png"


def stem(system: str) -> str:
    """A system's name; of a user's own file, without the path to it."""
    return Path(system).stem


def _references(file: Path, judge: Judge, tell: Tell) -> dict[str, Json]:
    if not file.exists():
        tell("measuring real data, a trivial generator and a PCA-Gaussian")
        write_whole(file, json.dumps(plain(judge.references()), indent=1) + "\n")
    references: dict[str, Json] = json.loads(file.read_text())
    return references


def _race(contestants: list[Contestant], judge: Judge, references: dict[str, Json], out: Path, news: _News) -> None:
    """One race to its end, and its record."""
    race.race(
        contestants,
        lambda c: judge(c.generate(judge.n)),
        news.tell,
        lambda: news(sum(c.seconds for c in contestants)),
    )
    seed = contestants[0].case.seed
    for c in contestants if seed == 0 else []:
        with c.shown():
            picture = sheet(strips(c))
        provenance = {"model": f"{c.case.system}, {c.seconds:.0f} s", "seed": SHEET_SEED}
        samples.save_png(picture, sheet_file(out, c.case.system), provenance, overwrite=True)
    content = {
        "seed": seed,
        "device": contestants[0].loop.runtime.describe(),
        "records": [record(c, judge, references) for c in contestants],
    }
    write_whole(race_file(out, seed), json.dumps(plain(content), indent=1) + "\n")


class _News:
    """How far a race is: a live line on a terminal, otherwise a line now and then."""

    def __init__(self, tell: Tell, counting: sources.Progress, doing: str, total: float) -> None:
        self.tell, self.counting, self.doing, self.total = tell, counting, doing, total
        self.told = time.monotonic()

    def __call__(self, done: float) -> None:
        self.counting(f"{self.doing}, seconds of training", min(round(done), round(self.total)), round(self.total))
        if time.monotonic() - self.told >= TELL_EVERY:
            self.told = time.monotonic()
            self.tell(f"{self.doing}: {done:.0f} of {self.total:.0f} seconds of training")


def record(c: Contestant, judge: Judge, references: dict[str, Json]) -> Json:
    """What is kept of a training. A game is lost too if its samples are no nearer to the data than trivial ones."""
    metric = judge.distance
    nearer = bool(c.measured) and c.measured[-1]["metrics"][metric] < references[metric][TRIVIAL]
    return {
        "system": c.case.system,
        "seed": c.case.seed,
        "config": c.case.config,
        "metrics": c.measured[-1]["metrics"] if c.measured else None,
        "lost": c.lost or (None if nearer else "no nearer to the data than the trivial generator"),
        "parameters": c.parameters,
        "seconds": round(c.seconds, 2),
        "images": c.loop.progress.images,
    }
