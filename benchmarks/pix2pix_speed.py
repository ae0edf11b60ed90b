"""How much faster does pix2pix play than in the loop that people write for it? 128 px, batches of 1 and 4, two threads.

Both play the same networks on the same random pairs, alternately in one process. The usual loop is that of the
collections: G's turn first, D's weights gathering gradients in it that nobody uses, float32, torch's convolutions, Adam
one tensor at a time, one tensor at a time, losses read each step. It makes its fakes once a round, as ours does.
Beside it stands the same loop with D frozen in G's turn, as pix2pix's own PyTorch code has it, and ours in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from loop_speed import allocator, step
from mulligan import registry
from mulligan.charts import number
from mulligan.data.source import ArraySplit
from mulligan.layers.products import Doubling, Halving
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.runtime import Runtime
from mulligan.signals import Signal
from runner import RESULTS, Json, spread, stamp, wait_passively, write_json

SIZE, WIDTH = 128, 64
SHAPE = (3, SIZE, SIZE)
ALTERNATIONS, SECONDS = 7, 4.0  # of each loop at each batch in each alternation, and at least two rounds
SEEN = 20_000  # images: what the moving average costs is what it costs within a run, not at its first rounds
BARS = {1: 1.4, 4: 1.6}
THEIRS, OURS = "the usual loop", "mulligan's loop, with its moving average"
FROZEN, FLOAT32 = "the usual loop, D frozen in G's turn", "mulligan's loop, float32"
Play = Callable[[], None]


def pairs() -> ArraySplit:
    random = np.random.default_rng(0)
    arrays = {key: random.integers(0, 256, (256, *SHAPE), dtype=np.uint8) for key in ("x", "input")}
    return ArraySplit(arrays, np.arange(256))


def ours(batch: int, data: ArraySplit, precision: str = "auto") -> Loop:
    kind = registry.load("pix2pix")
    torch.manual_seed(0)
    signal = Signal("image", SHAPE)
    config = kind.Config(batch=batch, g_width=WIDTH, d_width=WIDTH, mirror=False)
    system = kind(config, {"x": signal, "input": signal})
    loop = Loop(system, Loader(data, batch, seed=0), Runtime.start("cpu", precision), ema=20_000)
    loop.enter(0, next(system.stages()))
    loop.progress.images = SEEN
    return loop


def theirs(batch: int, data: ArraySplit, frozen: bool = False) -> Play:
    system = ours(batch, data).system
    G, D = system.G.to(memory_format=torch.contiguous_format), system.D.to(memory_format=torch.contiguous_format)
    for layer in G.modules():
        if isinstance(layer, Halving | Doubling):
            layer.__class__ = type(layer).__base__  # type: ignore[assignment]
    for p in system.parameters():
        p.requires_grad_(True)
    of_g, of_d = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (G, D))
    order = np.random.default_rng(0)

    def play() -> None:
        rows = data.fetch(order.integers(0, len(data), batch))
        x, y = rows["input"], rows["x"]
        fake = G(x)
        D.requires_grad_(not frozen)
        judged = D(fake, x)
        loss = binary_cross_entropy_with_logits(judged, torch.ones_like(judged)) + 100 * l1_loss(fake, y)
        step(of_g, loss)
        D.requires_grad_(True)
        on_real, on_fake = D(y, x), D(fake.detach(), x)
        real = binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        made = binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        step(of_d, (real + made) / 2)
        _ = loss.item(), real.item(), made.item()

    return play


def rate(play: Play, seconds: float) -> float:
    """Rounds a second, after a first that is not counted."""
    play()
    rounds, start = 0, time.perf_counter()
    while rounds < 2 or time.perf_counter() - start < seconds:
        play()
        rounds += 1
    return rounds / (time.perf_counter() - start)


def alternate(out: Path, seconds: float) -> None:
    data = pairs()
    for i in range(ALTERNATIONS):
        file = out / "pix2pix_speed" / f"alternation-{i}.json"
        if file.exists():
            continue
        rates: dict[str, dict[str, float]] = {}
        for batch in BARS:
            loops: list[tuple[str, Callable[[], Play]]] = [
                (THEIRS, partial(theirs, batch, data)),
                (OURS, lambda batch=batch: ours(batch, data).play),  # type: ignore[misc]
                (FROZEN, partial(theirs, batch, data, frozen=True)),
                (FLOAT32, lambda batch=batch: ours(batch, data, "fp32").play),  # type: ignore[misc]
            ]
            # the order turns round, so that none always follows the same
            rates[str(batch)] = {}
            for name, make in loops if i % 2 == 0 else loops[::-1]:
                play = make()
                with allocator(
                    keeps=name in (OURS, FLOAT32)
                ):  # the other gives freed memory back, as a program by itself does
                    rates[str(batch)][name] = rate(play, seconds)
        write_json(file, {"rates": rates, "precision": Runtime.start("cpu", "auto").describe(), **stamp()})
        print(f"alternation {i}: {rates}", flush=True)


def summarise(out: Path) -> Json:
    """The ratio is taken within each alternation."""
    found = [json.loads(f.read_text()) for f in sorted((out / "pix2pix_speed").glob("alternation-*.json"))]
    batches: Json = {}
    bars = []
    for batch, bar in BARS.items():
        rates = {name: [f["rates"][str(batch)][name] for f in found] for name in (THEIRS, FROZEN, OURS, FLOAT32)}
        median = statistics.median(times(rates, OURS, THEIRS))
        batches[str(batch)] = {
            "rounds_per_second": {name: spread(values) for name, values in rates.items()},
            "times": {
                f"{one} / {other}": statistics.median(times(rates, one, other))
                for one in (OURS, FLOAT32)
                for other in (THEIRS, FROZEN)
            },
        }
        words = f"batch {batch}: rounds/s at least {bar} times the usual loop's: {number(median)}"
        bars.append({"bar": words, "reached": median >= bar})
    return {
        "question": "pix2pix_speed",
        "asks": "How much faster does pix2pix play than in the loop that people write for it?",
        "preliminary": len(found) < ALTERNATIONS,
        "batches": batches,
        "machines": sorted({f["machine"] for f in found}),
        "commits": sorted({f["commit"] for f in found}),
        "threads": found[0]["threads"],
        "precision": sorted({f["precision"] for f in found}),
        "bars": bars,
    }


def times(rates: dict[str, list[float]], one: str, other: str) -> list[float]:
    return [a / b for a, b in zip(rates[one], rates[other], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each loop in each alternation")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    wait_passively()
    torch.set_num_threads(2)
    alternate(args.out, args.seconds)
    summary = summarise(args.out)
    write_json(args.out / "pix2pix_speed.json", summary)
    for bar in summary["bars"]:
        print(f"{'reached' if bar['reached'] else 'MISSED'}: {bar['bar']}")


if __name__ == "__main__":
    main()
