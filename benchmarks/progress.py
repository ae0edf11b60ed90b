"""Draws the lecture's figure of progress from what `systems.py` found on characters; it trains nothing.

    python benchmarks/progress.py

Writes results/progress.json, results/progress.png and docs/figures/progress.png; `docs/generate.py` takes the caption
for docs/progress.md from the first.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import systems
from mulligan import history, samples
from mulligan.progress import SHEET_SEED, about, known, needs_task, read_sheet, reference_strips
from runner import FIGURES, RESULTS, Case, Json, Store, write_json

DATA = "characters"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where a trial's results are, and where the figure goes")
    out = parser.parse_args(words).out
    draw(
        Store("systems", out or RESULTS),
        out / "systems" if out else FIGURES / "systems",
        [out] if out else [RESULTS, FIGURES],
    )


def draw(store: Store, sheets: Path, places: list[Path]) -> None:
    cases = [c for c in systems.QUESTION.cases if systems.base(c.data) == DATA and c.system in known()]
    load = loaded_trial if store.out != RESULTS else Store.load
    results = [result for case in cases if (result := load(store, case)) is not None]
    there = {r["case"]["system"] for r in results if (sheets / f"{r['case']['system']}-{DATA}.png").exists()}
    missing = [name for name in known() if name not in there]
    if missing:
        sys.exit(f"no results of {', '.join(missing)} yet: run python benchmarks/systems.py")
    source = systems.opens(DATA)
    references = json.loads(store.file(f"references-{DATA}").read_text())["values"]
    judge = systems.Judge(source, systems.N[DATA])
    found = history.conclude(
        [record(r) for r in results], references, judge, about(DATA, source, results[0]["case"]["seconds"])
    )
    lines = {n: read_sheet(sheets / f"{n}-{DATA}.png", 2 if needs_task(n) else 1) for n in known()}
    picture = history.figure(found, {**lines, **reference_strips(source)})
    write_json(places[0] / "progress.json", found)
    for place in places:
        samples.save_png(
            picture, place / "progress.png", {"model": ", ".join(known()), "seed": SHEET_SEED}, overwrite=True
        )
    print("\n".join(history.table(found)))


def loaded_trial(store: Store, case: Case) -> Json | None:
    """The result of a case with another number of seconds."""
    file = store.file(case.key)
    return json.loads(file.read_text()) if file.exists() else None


def record(result: Json) -> Json:
    """A result as `history.conclude` takes it."""
    return {
        "system": result["case"]["system"],
        "seed": result["case"]["seed"],
        "config": result["case"]["config"],
        "metrics": result["measured"][-1]["metrics"] if result["measured"] else None,
        **{key: result[key] for key in ("lost", "parameters", "seconds", "images")},
    }


if __name__ == "__main__":
    main()
