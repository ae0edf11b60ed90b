"""Does the default system, with default settings, lose a game? Six kinds of data, three seeds, three minutes each.

Each case is what a user does: `mulligan train auto --data DATA --minutes 3`, with mulligans on, on one thread. A run is
lost if the referee says so once, mended or not. Is its own runner: it judges whole runs, and no race.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mulligan.evaluate import evaluate
from mulligan.model import Model
from mulligan.play import Lost
from mulligan.race import spread
from mulligan.referee.course import Course
from mulligan.referee.verdict import HEALTHY, LOST
from mulligan.rundir import RunDir
from mulligan.train import train
from runner import RESULTS, Json, stamp, wait_passively, write_json
from sabotage import keep_trace, read_trace

NAME = "no_lost_run"
ASKS = "Does the default system, with default settings, lose a game?"
DATA: dict[str, dict[str, Any]] = {
    "mnist": {}, "stacked": {}, "grid": {}, "ring": {}, "emoji": {"size": 32}, "characters": {"size": 32},
}  # fmt: skip
SEEDS, MINUTES, SAMPLES = (0, 1, 2), 3.0, 1_000


def play(data: str, seed: int, minutes: float, keep: Path) -> Json:
    """Train and judge; the newest picture of samples goes to `keep`, and the log beside it."""
    with tempfile.TemporaryDirectory() as folder:
        out, lost = Path(folder) / "run", ""
        try:
            train("auto", data, out=out, minutes=minutes, seed=seed, quiet=True, **DATA[data])
        except Lost as loss:
            lost = str(loss)
        run = RunDir(out)
        told = [e["verdict"] for e in run.read("events") if e["kind"] == "verdict"]
        found = evaluate(Model.load(out), n=SAMPLES)[0].to_json()
        pictures = sorted(run.samples.glob("*.png"))
        if pictures:
            keep.write_bytes(pictures[-1].read_bytes())
        log = run.read("log")
        keep_trace(keep.with_suffix(".log.gz"), log)
        return {
            "data": data, "seed": seed, "minutes": minutes, "system": run.config["system"], "lost": lost,
            "verdicts": [{k: t[k] for k in ("name", "text", "since", "lost")} for t in told if t["name"] != HEALTHY],
            "mulligans": run.mulligans, "rounds": log[-1]["round"], "seconds": log[-1]["seconds"],
            "metric": {k: found[k] for k in ("name", "value", "floor")},
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="", help="only data whose name holds this")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no training that would end later")
    parser.add_argument("--seconds", type=float, help="a trial: of each training; needs --out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    wait_passively()
    torch.set_num_threads(1)
    began = time.monotonic()
    for seed in SEEDS:
        for data in [name for name in DATA if args.cases in name]:
            file = args.out / NAME / f"{data}-{seed}.json"
            if file.exists() or time.monotonic() - began + 60 * MINUTES > 60 * args.minutes:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            minutes = args.seconds / 60 if args.seconds else MINUTES
            result = play(data, seed, minutes, file.with_suffix(".png"))
            write_json(file, {**result, **stamp()})
            print(data, seed, result["metric"], [t["name"] for t in result["verdicts"]], result["lost"], flush=True)
    conclude(args.out)


def conclude(out: Path) -> None:
    files = sorted((out / NAME).glob("*.json"))
    found = [{**json.loads(file.read_text()), "again": replayed(file)} for file in files]
    if not found:
        return
    lost = [f"{r['data']}-{r['seed']}" for r in found
            if r["lost"] or any(t["lost"] for t in r["verdicts"]) or set(r["again"]) & LOST]  # fmt: skip
    rows = {
        data: {
            "system": runs[0]["system"],
            "metric": runs[0]["metric"]["name"], "floor": runs[0]["metric"]["floor"],
            "value": spread([r["metric"]["value"] for r in runs]), "rounds": spread([r["rounds"] for r in runs]),
            "verdicts": sorted({name for r in runs for name in (*r["again"], *(t["name"] for t in r["verdicts"]))}),
        }
        for data in DATA if (runs := [r for r in found if r["data"] == data])
    }  # fmt: skip
    words = f"no lost run of {len(found)}" + (f"; lost: {', '.join(lost)}" if lost else "")
    summary = {
        "question": NAME, "asks": ASKS, "preliminary": len(found) < len(DATA) * len(SEEDS), "data": rows,
        "machines": sorted({r["machine"] for r in found}), "commits": sorted({r["commit"] for r in found}),
        "bars": [{"bar": words, "reached": not lost}],
    }  # fmt: skip
    write_json(out / f"{NAME}.json", summary)
    for data, row in rows.items():
        print(data, row)
    print("MISSED:" if lost else "reached:", words)


def replayed(file: Path) -> list[str]:
    """What the referee of today says to a run's trace."""
    course = Course({"minutes": MINUTES})
    trace = read_trace(file.with_suffix(".log.gz"))
    return [new.name for line in trace for new in course.hear(line) if new.name != HEALTHY]


if __name__ == "__main__":
    main()
