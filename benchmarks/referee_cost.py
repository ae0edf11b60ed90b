"""What does watching cost? Rounds a second with the referee and without, alternately in one process, on one thread.

With: as in training, a line of the log each second, vital signs when they are due, each term looked at, updates
measured. Without: the same loop with all of that left out. Slices of two seconds of the processor, the order turning
round. Some slices hold a measurement and some none, so the cost is that of all slices together, and no median; its
standard error is told from how the alternations differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from mulligan import loop
from mulligan.race import spread
from mulligan.referee.watch import Referee
from mulligan.train import prepare
from runner import RESULTS, Json, stamp, wait_passively, write_json

NAME = "referee_cost"
GAMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "points": ("gan", "ring", {}),
    "digits": ("dcgan", "mnist", {"width": 32, "batch": 64}),
    "told": ("acgan", "mnist", {"width": 32, "batch": 64}),
    "pairs": ("pix2pix", "emoji", {"task": "edges", "size": 32, "g_width": 16, "d_width": 16}),
    "colour": ("r3gan", "emoji", {"network": "plain", "width": 32, "batch": 64, "size": 64}),
}
ALTERNATIONS, SECONDS, TICK, BAR = 60, 2.0, 1.0, 0.03


class Played:
    """A game in training, with the referee or without."""

    def __init__(self, system: str, data: str, options: dict[str, Any], watched: bool) -> None:
        plan = prepare(system, data, minutes=1.0, **options)
        self.loop, self.watched = plan.loop, watched
        self.loop.seed(0)
        self.loop.enter(0, next(plan.system.stages()))
        self.referee = Referee(plan.system, plan.source, self.loop, {"minutes": 1.0}) if watched else None

    def rate(self, seconds: float) -> float:
        """Rounds a second of the processor, the referee's time among them."""
        rounds, began = 0, time.process_time()
        start, ticked = self.loop.progress.seconds, 0.0
        never = 1 << 62  # rounds between two measurements of the gradients
        with patch.object(loop, "MEASURE_EVERY", loop.MEASURE_EVERY if self.watched else never):
            while (spent := time.process_time() - began) < seconds or rounds < 2:
                self.loop.play()
                rounds += 1
                self.loop.progress.seconds = start + spent
                if spent - ticked >= TICK:
                    ticked = spent
                    line = {"round": self.loop.progress.round, "seconds": self.loop.progress.seconds,
                            "terms": self.loop.values()}  # fmt: skip
                    if self.referee is not None:
                        self.referee.hear({**line, **self.referee.look()})
        return rounds / (time.process_time() - began)


def alternate(out: Path, seconds: float) -> None:
    for name, (system, data, options) in GAMES.items():
        file = out / NAME / f"{name}.json"
        if file.exists():
            continue
        both = {watched: Played(system, data, options, watched) for watched in (False, True)}
        unwatched = patch.object(loop.Loop, "_watches", False)
        for played in both.values():
            played.rate(2.0)  # the first rounds are not counted
        rates: dict[bool, list[float]] = {False: [], True: []}
        for i in range(ALTERNATIONS):
            for watched in (False, True) if i % 2 else (True, False):
                if watched:
                    rates[watched].append(both[watched].rate(seconds))
                else:
                    with unwatched:
                        rates[watched].append(both[watched].rate(seconds))
        costs = [1 - a / b for a, b in zip(rates[True], rates[False], strict=True)]
        cost, error = 1 - sum(rates[True]) / sum(rates[False]), statistics.stdev(costs) / ALTERNATIONS**0.5
        write_json(file, {"game": name, "system": system, "data": data, "options": options,
                          "rounds_per_second": {"watched": rates[True], "unwatched": rates[False]},
                          "cost": cost, "error": error, "costs": costs, **stamp()})  # fmt: skip
        print(f"{name}: {cost:.2%} ± {error:.2%}", flush=True)


def summarise(out: Path) -> Json:
    found = [json.loads(f.read_text()) for f in sorted((out / NAME).glob("*.json"))]
    worst = max(found, key=lambda f: f["cost"])
    most = f"{worst['cost']:.1%} ± {worst['error']:.1%} at most, of {worst['game']}"
    words = f"watching costs at most 3 % of the rounds: {most}"
    return {
        "question": NAME, "asks": "What does watching cost?", "preliminary": len(found) < len(GAMES),
        "games": {f["game"]: {"cost": f["cost"], "error": f["error"], "alternations": spread(f["costs"])}
                  for f in found},
        "machines": sorted({f["machine"] for f in found}), "commits": sorted({f["commit"] for f in found}),
        "bars": [{"bar": words, "reached": worst["cost"] <= BAR}],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each slice")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    wait_passively()
    torch.set_num_threads(1)
    alternate(args.out, args.seconds)
    summary = summarise(args.out)
    write_json(args.out / f"{NAME}.json", summary)
    for bar in summary["bars"]:
        print(f"{'reached' if bar['reached'] else 'MISSED'}: {bar['bar']}")


if __name__ == "__main__":
    main()
