"""What does each system reach on a CPU in equal time? Every system of the registry, on digits and on drawn characters.

Each plays with the settings of `mulligan.tuned`; docs/log.md has the trials that chose them. `progress.py` draws the
lecture's figure from these results, and `docs/generate.py` the tables of the docs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image

import digits
from mulligan import history, registry, timeline, tuned
from mulligan.data.source import Source
from mulligan.game import Translator
from mulligan.judge import PCA, REAL, TRIVIAL, Judge
from mulligan.metrics.class_shares import class_shares
from mulligan.metrics.features import Digits, to_8_bit
from mulligan.progress import needs_task, open_images, sheet, strips
from mulligan.samples import save_png
from mulligan.timeline import Row, Timeline
from runner import Case, Contestant, Json, Metrics, Question, main

SECONDS = {"mnist": 24.0, "characters": 60.0}
SIZE = {"mnist": 28, "characters": 32}
N = {"mnist": 5_000, "characters": 2_000}
SEEDS = (0, 1, 2)
SHARE = "FD by the trivial generator's"


def data_of(system: str, data: str) -> str:
    """mnist, or mnist+edges for a system that needs a second domain."""
    return f"{data}+edges" if needs_task(system) else data


def base(data: str) -> str:
    """mnist+edges -> mnist"""
    return data.split("+")[0]


def opens(data: str) -> Source:
    name, _, edges = data.partition("+")
    return open_images(name, SIZE[name], "dilation" if edges else None)


@cache
def _judged(data: str) -> tuple[Judge, dict[str, Metrics]]:
    """The judge of a source and its references, once a process."""
    judge = Judge(opens(data), N[data])
    return judge, judge.references()


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against, references = _judged(base(source.name))
    trivial = references[against.distance][TRIVIAL]

    def measure(c: Contestant) -> Metrics:
        x = c.generate(against.n)
        metrics = against(x)
        metrics[SHARE] = metrics[against.distance] / trivial
        if isinstance(against.extractor, Digits) and math.isfinite(metrics[against.distance]):
            found = class_shares(against.extractor.labels(against.extractor(to_8_bit(x))), 10)
            metrics[digits.LEAST] = float(found.min())
        return metrics

    return measure


def references(source: Source) -> dict[str, Metrics]:
    return _judged(base(source.name))[1]


def lost(metrics: Metrics) -> bool:
    """A digit that is no longer made, or samples that are no nearer to the data than the trivial generator's."""
    return not metrics[SHARE] < 1 or metrics.get(digits.LEAST, 1.0) < 0.01


def sheets(contestants: list[Contestant], folder: Path) -> None:
    """What each made from the first seed, none chosen."""
    for c in contestants if contestants[0].case.seed == SEEDS[0] else []:
        with c.shown():
            picture = sheet(strips(c))
        provenance = {"model": f"{c.case.system}, {c.seconds:.0f} s", "seed": SEEDS[0]}
        file = folder / "systems" / f"{c.case.name}-{base(c.case.data)}.png"
        save_png(small(picture), file, provenance, overwrite=True)


def small(picture: Image.Image) -> Image.Image:
    """Twice as large, for pages; in colour with a palette of its own: half the file, no difference to the eye."""
    larger = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    return larger if larger.mode == "L" else larger.quantize(128, dither=Image.Dither.NONE)


def picture(summary: Json) -> Image.Image:
    """The systems by year on each kind of data, beside what they are read against."""
    panels = [panel(summary, data) for data in SECONDS if any(base(c["data"]) == data for c in summary["contestants"])]
    whole = Image.new("RGB", (max(p.width for p in panels), sum(p.height for p in panels)), "white")
    for i, one in enumerate(panels):
        whole.paste(one, (0, sum(p.height for p in panels[:i])))
    return whole


def panel(summary: Json, data: str) -> Image.Image:
    found = {c["name"]: c for c in summary["contestants"] if base(c["data"]) == data}
    references = next(summary["references"][c["data"]] for c in found.values())
    metric = next(iter(references))
    rows = [row(name, found[name], metric) for name in history.in_order(found)]
    about = f"{data}, {SIZE[data]} px: {SECONDS[data]:g} s of one thread each, {len(SEEDS)} seeds; {summary['done']}"
    rules = [(references[metric][name], name) for name in (REAL, TRIVIAL, PCA)]
    return timeline.draw(Timeline(summary["asks"], about, metric, rows, rules, ("FD", "recall", "lost")))


def row(name: str, contestant: Json, metric: str) -> Row:
    end = contestant["end"] or {metric: history.NONE, "recall": history.NONE}
    lost_of = f"{contestant['lost']} of {len(contestant['seeds'])}"
    cells = [history.with_spread(end[metric]), history.with_spread(end["recall"]), lost_of]
    return Row(history.label(name), str(history.year(name) or ""), end[metric]["values"], cells)


def takes_part(system: str) -> bool:
    """Whether images, and a domain made from them, are all that it needs, and it makes images from nothing."""
    kind = registry.load(system)
    images = set(kind.needs) <= {"x", "x2"} and any(way.kind == "image" for way in kind.needs["x"])
    return images and not issubclass(kind, Translator)


QUESTION = Question(
    name="systems",
    asks="What does each system reach on a CPU in equal time?",
    cases=tuple(
        Case(system, system, data_of(system, data), seed, seconds, tuned.options(system, grey=data == "mnist"), (1.0,))
        for data, seconds in SECONDS.items()
        for seed in SEEDS
        for system in registry.names()
        if takes_part(system)
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(),
    picture=picture,
    lost=lost,
    after=sheets,
)

if __name__ == "__main__":
    main(QUESTION)
