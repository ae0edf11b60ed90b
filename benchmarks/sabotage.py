"""Does the referee notice a spoiled training, name its cause and mend it, and leave healthy ones alone?

Each case is trained once with the mulligans off, and the log is kept as its trace: verdicts are functions of the log
alone, so thresholds are tuned by replaying traces. A case that a remedy can mend is then trained with the mulligans on,
and its end held against that of the healthy game. Is its own runner: it measures verdicts, and not a race.

    python benchmarks/sabotage.py [--cases PAT] [--minutes M] [--replay]
"""

from __future__ import annotations

import argparse
import fnmatch
import gzip
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import runner
import spoil
from mulligan.evaluate import evaluate
from mulligan.model import Model
from mulligan.play import Lost
from mulligan.referee.course import Course
from mulligan.referee.verdict import HEALTHY, LOST, MENDABLE
from mulligan.rundir import RunDir
from mulligan.train import train
from sabotage_cases import CASES, Case
from sabotage_cases import HEALTHY as HEALTHY_CASES

Json = dict[str, Any]
ASKS = "Does the referee notice a spoiled training, name its cause and mend it, and leave healthy ones alone?"
QUARTER = 0.25  # of the budget, within which a sabotage has to be noticed
NEAR = 1.5  # times the healthy metric, that a mended game may end with
HALVES = ("tuned on", "never looked at", "fresh")
EARLY = 0.01  # of the budget: a fault may come as much before its time
SAMPLES = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=ASKS)
    parser.add_argument("--cases", default="", help="only cases whose name holds this")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no training that would end later")
    parser.add_argument("--replay", action="store_true", help="judge the kept traces anew; train nothing")
    parser.add_argument("--out", type=Path, default=runner.RESULTS)
    args = parser.parse_args()
    runner.wait_passively()
    torch.set_num_threads(1)
    store = runner.Store("sabotage", args.out)
    began = time.monotonic()
    chosen = [] if args.replay else [c for c in CASES if fnmatch.fnmatch(c.name, f"*{args.cases}*")]
    # all traces before any mulligan: which game is lost depends on thresholds that are tuned on traces
    for shot, case in [("spoiled", c) for c in chosen] + [("mended", c) for c in chosen if c.mends]:
        if _file(store, case, shot).exists():
            continue
        if time.monotonic() - began + 2 * case.game.seconds > 60 * args.minutes:
            break
        result = play(case, 3 if shot == "mended" else 0)
        _keep(store, case, shot, result)
        print(case.name, shot, result["metric"], [t["verdict"] for t in told(result["log"], case)], flush=True)
    conclude(store)


# --- one training ----------------------------------------------------------------------------------------------


def play(case: Case, mulligans: int) -> Json:
    """Train a case; its log, its mulligans, and the first number that evaluate gives of its end."""
    spoil.BUDGET["seconds"] = case.game.seconds
    with tempfile.TemporaryDirectory() as folder, case.spoil():
        out, lost = Path(folder) / "run", ""
        options = {**case.game.options, **case.options, "seed": case.seed, "mulligans": mulligans}
        try:
            train(case.game.system, case.game.data, out=out, minutes=case.game.seconds / 60, quiet=True, **options)
        except Lost as loss:
            lost = str(loss)
        run = RunDir(out)
        return {
            "log": run.read("log"), "mulligans": run.mulligans, "lost": lost, "metric": _metric(out),
            "events": [e for e in run.read("events") if e["kind"] in ("verdict", "mulligan", "lost")],
            "run": run.config["run"],
        }  # fmt: skip


def _metric(out: Path) -> Json | None:
    """Of what the run ends with; None where nothing was saved."""
    try:
        found = evaluate(Model.load(out), n=SAMPLES)[0].to_json()
    except ValueError:
        return None
    return {"name": found["name"], "value": found["value"], "floor": found["floor"], "better": found["better"]}


def _file(store: runner.Store, case: Case, shot: str) -> Path:
    return store.out / store.question / f"{case.name.replace(' ', '-').replace(',', '')}-{shot}.json"


def _keep(store: runner.Store, case: Case, shot: str, result: Json) -> None:
    """The result, and beside it the trace, compressed."""
    file = _file(store, case, shot)
    log = result.pop("log")
    keep_trace(file.with_suffix(".log.gz"), log)
    game = case.game
    about = {"case": case.name, "system": game.system, "data": game.data, "seed": case.seed, "half": case.half,
             "options": {**game.options, **case.options}, "seconds": game.seconds}  # fmt: skip
    runner.write_json(file, {**about, **result, **runner.stamp()})
    result["log"] = log


def keep_trace(file: Path, log: list[Json]) -> None:
    """A log, without what no verdict is made of, compressed."""
    lines = [{k: _short(x) for k, x in line.items() if k != "vital"} for line in log]
    trace = "".join(json.dumps(line) + "\n" for line in lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(trace.encode(), mtime=0))


def read_trace(file: Path) -> list[Json]:
    """What `keep_trace` wrote."""
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _short(x) for k, x in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


# --- judging ---------------------------------------------------------------------------------------------------


def told(log: list[Json], case: Case) -> list[Json]:
    """Every verdict that a log gives, line after line, with the share of the budget at which it was given."""
    course = Course({"minutes": case.game.seconds / 60})
    return [
        {"verdict": new.name, "text": new.text, "share": round(line["seconds"] / case.game.seconds, 4)}
        for line in log for new in course.hear(line) if new.name != HEALTHY
    ]  # fmt: skip


def conclude(store: runner.Store) -> None:
    """Judge all traces there are, and write the summary."""
    rows = [row for case in CASES if (row := _row(store, case)) is not None]
    if not rows:
        print("no results yet")
        return
    halves = {half: _counts([r for r in rows if r["half"] == half]) for half in HALVES}
    halves["both halves"] = _counts([r for r in rows if r["half"] != "fresh"])
    summary: Json = {
        "question": store.question, "asks": ASKS, "done": f"{len(rows)} of {len(CASES)} cases", "cases": rows,
        "halves": halves, "bars": _bars(halves["both halves"]),
    }  # fmt: skip
    runner.write_json(store.out / f"{store.question}.json", summary)
    for row in rows:
        print(f"{row['case']:36} {row['said']}")
    for name, counts in halves.items():
        print(name, {k: f"{c['n']} of {c['of']} ({c['low']:.2f} to {c['high']:.2f})" for k, c in counts.items()})
    for bar in summary["bars"]:
        print("reached:" if bar["reached"] else "MISSED:", bar["bar"])


def _row(store: runner.Store, case: Case) -> Json | None:
    file = _file(store, case, "spoiled")
    if not file.exists():
        return None
    verdicts = told(read_trace(file.with_suffix(".log.gz")), case)
    row: Json = {"case": case.name, "game": case.game.name, "half": case.half, "healthy": case.healthy}
    row["verdicts"] = verdicts[:12]
    if case.healthy:
        false = [t for t in verdicts if t["verdict"] in LOST | MENDABLE]
        said = ", ".join(f"{t['verdict']} at {t['share']:.0%}" for t in verdicts)
        return {**row, "false": bool(false), "said": said or "nothing, as it should be"}
    # a transient fault has its quarter from when it happens
    start = spoil.AT if case.spoil in spoil.TRANSIENT else 0.0
    first = next((t for t in verdicts if t["share"] >= start - EARLY), None)
    healthy, spoiled = _healthy_metric(store, case), (json.loads(file.read_text())["metric"] or {}).get("value")
    row |= {
        "healthy metric": healthy,
        "spoiled metric": spoiled,
        "harmful": spoiled is None or healthy is None or spoiled > NEAR * healthy,
        "right": list(case.right),
        "first": first,
        "noticed": first is not None and first["share"] - start <= QUARTER,
        "named": first is not None and first["verdict"] in case.right,
        "said": f"{first['verdict']} at {first['share']:.0%}" if first else "nothing",
    }
    if case.mends and (file := _file(store, case, "mended")).exists():
        result = json.loads(file.read_text())
        metric = (result["metric"] or {}).get("value")
        row |= {
            "mended": bool(metric is not None and healthy is not None and metric <= NEAR * healthy),
            "mended metric": metric, "mulligans": [m["words"] for m in result["mulligans"]],
        }  # fmt: skip
        row["said"] += f"; {len(result['mulligans'])} mulligans, {metric} where healthy is {healthy}"
    return row


def _healthy_metric(store: runner.Store, case: Case) -> float | None:
    """The mean of the healthy games' ends."""
    files = [_file(store, c, "spoiled") for c in HEALTHY_CASES if c.game is case.game]
    found = [json.loads(f.read_text())["metric"]["value"] for f in files if f.exists()]
    return sum(found) / len(found) if found else None


def _counts(rows: list[Json]) -> Json:
    bad = [r for r in rows if not r["healthy"]]
    good = [r for r in rows if r["healthy"]]
    harmful = [r for r in bad if r["harmful"]]  # the others end as a healthy game does: nothing was to be noticed
    mends = [r for r in bad if "mended" in r]
    return {
        "noticed": wilson(sum(r["noticed"] for r in bad), len(bad)),
        "noticed of the harmful": wilson(sum(r["noticed"] for r in harmful), len(harmful)),
        "named": wilson(sum(r["named"] for r in bad), len(bad)),
        "mended": wilson(sum(r["mended"] for r in mends), len(mends)),
        "false": wilson(sum(r["false"] for r in good), len(good)),
    }


def wilson(n: int, of: int, z: float = 1.96) -> Json:
    """n of so many, with Wilson's 95 % interval of the share."""
    if not of:
        return {"n": 0, "of": 0, "share": 0.0, "low": 0.0, "high": 1.0}
    p = n / of
    centre, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((centre + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return {"n": n, "of": of, "share": p, "low": low, "high": high}


def _bars(c: Json) -> list[Json]:
    bars = [
        (f"90 % of the sabotages noticed within a quarter of their budget: {c['noticed']['share']:.0%}",
         c["noticed"]["share"] >= 0.9),
        (f"80 % with the right cause: {c['named']['share']:.0%}", c["named"]["share"] >= 0.8),
        (f"70 % of those that a remedy can mend end within 1.5 times the healthy metric: {c['mended']['share']:.0%}",
         c["mended"]["share"] >= 0.7),
        (f"no false verdict of loss among the healthy: {c['false']['n']}", c["false"]["n"] == 0),
    ]  # fmt: skip
    return [{"bar": words, "reached": bool(reached)} for words, reached in bars]


if __name__ == "__main__":
    main()
