"""The one runner of all benchmarks. A script beside it asks one question and lists the cases that answer it:

    python benchmarks/density.py [--list] [--cases PATTERN] [--minutes M]

It trains the cases that have no result yet and writes `results/QUESTION/CASE.json` after each race, then the
summary `results/QUESTION.json` and its picture `results/QUESTION.png`. Stopped at any moment, it goes on with
the next race when called again. A case whose definition changed counts as not done.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

import chart
from mulligan import __version__
from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.race import SLICE, Case, Contestant, plain, race, spread, training_clock
from mulligan.rundir import write_whole
from mulligan.runtime import Runtime

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parent.parent / "docs" / "figures"
ENOUGH_SEEDS = 3  # fewer is preliminary
OVER = {"seconds": "seconds of training", "images": "images seen"}

Metrics = dict[str, float]
Json = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A panel of the picture: one metric, on each kind of data that has it, over seconds or images of training."""

    metric: str
    rules: tuple[tuple[float, str], ...] = ()
    log: bool = False
    title: str = ""
    over: Literal["seconds", "images"] = "seconds"


@dataclass(frozen=True)
class Question:
    """What a benchmark asks and how it is answered.

    Attributes:
        name: of its script and its results.
        asks: in one sentence.
        cases: the trainings.
        judge: given the source, what measures a contestant.
        opens: the source of a case's `data`.
        references: given the source, what to read a metric against, {metric: {name: value}}; measured once.
        charts: the picture's panels.
        bars: given the summary, what was to be reached: (words, reached).
        lost: whether a run that ended on these metrics is a lost game.
        picture: of the summary, instead of the charts.
        after: called with the contestants of each finished race and the folder for pictures.
        threads: of torch.
    """

    name: str
    asks: str
    cases: tuple[Case, ...]
    judge: Callable[[Source], Callable[[Contestant], Metrics]]
    charts: tuple[Chart, ...]
    opens: Callable[[str], Source] = open_source
    references: Callable[[Source], dict[str, Metrics]] = lambda source: {}
    bars: Callable[[Json], list[tuple[str, bool]]] = lambda summary: []
    lost: Callable[[Metrics], bool] = lambda metrics: False
    picture: Callable[[Json], Image.Image] | None = None
    after: Callable[[list[Contestant], Path], None] = lambda contestants, folder: None
    threads: int = 1


@dataclass
class Store:
    """The results of one question on disk."""

    question: str
    out: Path = field(default_factory=lambda: RESULTS)

    def file(self, key: str) -> Path:
        return self.out / self.question / f"{key}.json"

    def load(self, case: Case) -> Json | None:
        """The result of a case; None if there is none, or one of another definition."""
        file = self.file(case.key)
        if not file.exists():
            return None
        result: Json = json.loads(file.read_text())
        return result if result["case"] == plain(case.to_json()) else None

    def references(self, data: str, source: Source, make: Callable[[Source], dict[str, Metrics]]) -> dict[str, Metrics]:
        """What numbers on this source are read against, from disk if measured before."""
        file = self.file(f"references-{data}")
        if not file.exists():
            write_json(file, {"source": source.fingerprint, "values": make(source), **stamp()})
        values: dict[str, Metrics] = json.loads(file.read_text())["values"]
        return values


def main(question: Question, words: list[str] | None = None) -> None:
    """What a script calls: its command line."""
    args = _parser(question).parse_args(words)
    if words is None:
        wait_passively()
    torch.set_num_threads(args.threads or question.threads)
    if args.seconds:
        if args.out is None:
            sys.exit("--seconds S: a trial must not overwrite results; add --out DIR")
        question = replace(question, cases=tuple(replace(c, seconds=args.seconds, images=None) for c in question.cases))
    store = Store(question.name, args.out or RESULTS)
    if args.list:
        _list(question, store)
        return
    chosen = [c for c in question.cases if fnmatch.fnmatch(c.key, f"*{args.cases}*")]
    if not chosen:
        sys.exit(f"--cases {args.cases}: no case has that name; see --list")
    run(question, store, chosen, minutes=args.minutes)
    conclude(question, store)


def _parser(question: Question) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=question.asks)
    parser.add_argument("--list", action="store_true", help="the cases and which are done; train nothing")
    parser.add_argument("--cases", default="", help="only cases whose name holds this; * and ? work")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no race that would end later")
    parser.add_argument("--seconds", type=float, help="a trial: train each case only so long; needs --out")
    parser.add_argument("--out", type=Path, help="where results go, instead of benchmarks/results")
    parser.add_argument("--threads", type=int, help=f"of torch; default {question.threads}")
    return parser


def _list(question: Question, store: Store) -> None:
    for case in question.cases:
        done = "done" if store.load(case) else "changed" if store.file(case.key).exists() else "to do"
        print(f"{done:8} {case.key:32} {case.system} {case.seconds:g} s {json.dumps(case.config)}")


def races(cases: Iterable[Case]) -> list[list[Case]]:
    """The cases in groups of the same data and seed: those that race each other."""

    def group(case: Case) -> tuple[int, str]:
        return case.seed, case.data

    return [list(found) for _, found in itertools.groupby(sorted(cases, key=group), key=group)]


def run(question: Question, store: Store, cases: list[Case], *, minutes: float = math.inf) -> None:
    """Race the cases that lack a result, until all are done or the next race would end too late."""
    started = time.monotonic()
    runtimes = {p: Runtime.start("auto", p) for p in {c.precision for c in cases}}
    sources: dict[str, Source] = {}
    for group in races(c for c in cases if store.load(c) is None):
        needs = sum(c.seconds for c in group)
        if time.monotonic() - started + needs > 60 * minutes:
            left = (time.monotonic() - started + needs) / 60
            print(f"the next race needs {needs / 60:.1f} minutes; to run it, --minutes {math.ceil(left)}")
            return
        data = group[0].data
        source = sources.setdefault(data, question.opens(data))
        store.references(data, source, question.references)
        contestants = [Contestant(c, source, runtimes[c.precision]) for c in group]
        race(contestants, question.judge(source), tell=lambda words: print(words, flush=True))
        for c in contestants:
            write_json(store.file(c.case.key), _result(question, c, group))
        question.after(contestants, FIGURES if store.out == RESULTS else store.out)


def _result(question: Question, c: Contestant, group: list[Case]) -> Json:
    p = c.loop.progress
    metrics = c.measured[-1]["metrics"] if c.measured else {}
    lost = c.lost or ("by its metrics" if c.measured and question.lost(metrics) else None)
    return {
        "question": question.name,
        "case": c.case.to_json(),
        "rounds": p.round,
        "images": p.images,
        "seconds": round(c.seconds, 2),
        "rate": round(p.images / max(c.seconds, 1e-9), 1),
        "lost": lost,
        "parameters": c.parameters,
        "measured": c.measured,
        "raced_with": [other.name for other in group if other.name != c.case.name],
        "slice": SLICE,
        "clock": training_clock().__name__,
        "device": c.loop.runtime.describe(),
        **stamp(),
    }


# --- what was found --------------------------------------------------------------------------------------


def conclude(question: Question, store: Store) -> Json:
    """Write the summary and the picture of all results there are, and print them."""
    results = [r for case in question.cases if (r := store.load(case)) is not None]
    if not results:
        print("no results yet")
        return {}
    summary = summarise(question, store, results)
    write_json(store.out / f"{question.name}.json", summary)
    picture = question.picture(summary) if question.picture else draw(question, summary)
    picture.save(store.out / f"{question.name}.png")
    print("\n".join(in_words(summary)))
    return summary


def summarise(question: Question, store: Store, results: list[Json]) -> Json:
    """Mean and spread over seeds, at the end and over time, of every contestant on every data."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for result in results:
        groups.setdefault((result["case"]["name"], result["case"]["data"]), []).append(result)
    data = dict.fromkeys(name for _, name in groups)
    files = {name: store.file(f"references-{name}") for name in data}
    summary: Json = {
        "question": question.name,
        "asks": question.asks,
        "done": f"{len(results)} of {len(question.cases)} cases",
        "preliminary": any(len(runs) < ENOUGH_SEEDS for runs in groups.values()),
        "contestants": [_contestant(name, data, runs) for (name, data), runs in groups.items()],
        "references": {k: json.loads(f.read_text())["values"] for k, f in files.items() if f.exists()},
        "machines": sorted({r["machine"] for r in results}),
        "commits": sorted({r["commit"] for r in results}),
    }
    bars: list[tuple[str, bool]] = []
    if len(results) == len(question.cases):
        ended = all(c["end"] for c in summary["contestants"])
        bars = question.bars(summary) if ended else [("a run of each contestant ends", False)]
    return {**summary, "bars": [{"bar": words, "reached": bool(reached)} for words, reached in bars]}


def _contestant(name: str, data: str, runs: list[Json]) -> Json:
    """One contestant's runs; `end` is of those that ended, so read `lost` beside it."""
    marks = range(max(len(r["measured"]) for r in runs))
    whole = [r for r in runs if len(r["measured"]) == len(r["case"]["marks"])]
    return {
        "name": name,
        "data": data,
        "system": runs[0]["case"]["system"],
        "config": runs[0]["case"]["config"],
        "parameters": runs[0].get("parameters"),
        "seeds": [r["case"]["seed"] for r in runs],
        "lost": sum(r["lost"] is not None for r in runs),
        "rate": spread([r["rate"] for r in runs]),
        "images": spread([r["images"] for r in runs]),
        "seconds": spread([r["seconds"] for r in runs]),
        "end": _spreads([r["measured"][-1]["metrics"] for r in whole]),
        "course": [_moment([r for r in runs if i < len(r["measured"])], i) for i in marks],
    }


def _moment(runs: list[Json], mark: int) -> Json:
    """One mark of the runs that reached it."""
    at = [r["measured"][mark] for r in runs]
    return {
        "seconds": statistics.mean(m["seconds"] for m in at),
        "images": statistics.mean(m["images"] for m in at),
        "seeds": [r["case"]["seed"] for r in runs],
        "metrics": _spreads([m["metrics"] for m in at]),
    }


def _spreads(metrics: list[dict[str, float | None]]) -> dict[str, Json]:
    return {k: spread([m[k] for m in metrics]) for k in metrics[0]} if metrics else {}


def find(summary: Json, name: str, data: str | None = None) -> Json:
    """A contestant of a summary."""
    return next(c for c in summary["contestants"] if c["name"] == name and data in (None, c["data"]))


def in_words(summary: Json) -> list[str]:
    """The summary as lines for people."""
    lines = [summary["asks"], summary["done"] + (" (preliminary)" if summary["preliminary"] else "")]
    for c in summary["contestants"]:
        lost = f"{c['lost']} of {len(c['seeds'])} lost"
        lines.append(f"{c['name']} on {c['data']}: {_plus(c['rate'])} samples/s, {lost}")
        lines += [f"    {metric}: {_plus(value)}" for metric, value in c["end"].items()]
    for data, references in summary["references"].items():
        for metric, values in references.items():
            lines += [f"{data}, {metric}, {name}: {value:.4g}" for name, value in values.items()]
    return lines + [f"{'reached' if b['reached'] else 'MISSED'}: {b['bar']}" for b in summary["bars"]]


def _plus(value: Json) -> str:
    beside = "" if value["spread"] is None else f" ± {value['spread']:.2g}"
    return f"{value['mean']:.4g}{beside}"


def draw(question: Question, summary: Json) -> Image.Image:
    """The picture: a panel a chart and kind of data."""
    panels = [panel for c in question.charts for panel in _panels(c, summary)]
    n = sorted({len(c["seeds"]) for c in summary["contestants"]})
    seeds = f"{n[0]} seed{'s' if n[0] > 1 else ''}" if len(n) == 1 else f"{n[0]} to {n[-1]} seeds"
    early = ", preliminary" if summary["preliminary"] else ""
    about = f"{seeds}{early}; mean and range; {'; '.join(summary['machines'])}"
    return chart.picture(question.asks, about, panels)


def _panels(c: Chart, summary: Json) -> list[chart.Panel]:
    panels = []
    several = len({one["data"] for one in summary["contestants"]}) > 1
    for data in dict.fromkeys(one["data"] for one in summary["contestants"]):
        courses = [
            _course(one, c) for one in summary["contestants"]
            if one["data"] == data and one["course"] and c.metric in one["course"][0]["metrics"]
        ]  # fmt: skip
        known = summary["references"].get(data, {}).get(c.metric, {})
        rules = [*c.rules, *((value, name) for name, value in known.items())]
        title = c.title or c.metric
        if courses:
            panels.append(chart.Panel(f"{data}: {title}" if several else title, courses, rules, c.log, OVER[c.over]))
    return panels


def _course(contestant: Json, c: Chart) -> chart.Course:
    """Rows of seeds, columns of moments; NaN where a run no longer was."""
    moments, seeds = contestant["course"], contestant["seeds"]
    y = np.full((len(seeds), len(moments)), math.nan)
    for i, moment in enumerate(moments):
        for seed, value in zip(moment["seeds"], moment["metrics"][c.metric]["values"], strict=True):
            y[seeds.index(seed), i] = value
    return chart.Course(contestant["name"], np.array([m[c.over] for m in moments]), y)


def wait_passively() -> None:
    """Start anew with OpenMP's waiting threads asleep: spinning, they slow shared cores many times over.

    OpenMP reads this when torch is imported, which the scripts have done by now.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


# --- records ---------------------------------------------------------------------------------------------


def write_json(file: Path, content: Json) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def stamp() -> Json:
    """Where, by what and when a result was made."""
    return {
        "machine": _machine(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {
            "mulligan": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "commit": _commit(),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@cache
def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {capability}"


@cache
def _commit() -> str:
    """The commit, with + if the package differs from it."""
    try:
        here = Path(__file__).parent.parent
        ask = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
