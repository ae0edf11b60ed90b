"""How much faster is the one loop than the loop as peers write it? DCGAN at 64 px, batch 64, two threads.

Both play the same networks on the same random images, alternately in one process, with the habits that make
the difference added one by one in between. A row's ratio is the median over alternations of its rate by that
of the peers' loop in the same alternation. Says also what share of the machine's own matrix-product rate is
reached.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from mulligan import registry
from mulligan.charts import number
from mulligan.data.source import ArraySplit
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator
from mulligan.plot import Scene
from mulligan.runtime import Runtime, keep_freed_memory
from mulligan.signals import Signal
from runner import RESULTS, Json, spread, stamp, wait_passively, write_json

BATCH, WIDTH, SIZE = 64, 64, 64
ALTERNATIONS = 7
SECONDS = 6.0  # of each variant in each alternation, and at least two rounds
BAR = 1.8
SHAPE = (3, SIZE, SIZE)


@dataclass(frozen=True)
class Variant:
    """The loop of peers with some habits changed; `ours` is mulligan's own instead."""

    name: str
    frozen: bool = False  # no gradients for D's weights in G's turn, and no `.item()` each step
    fused: bool = False
    channels_last: bool = False
    keeps_memory: bool = False
    bf16: bool = False
    ours: bool = False


def variants() -> list[Variant]:
    """Each adds one habit to the one before; bf16 only where the processor multiplies it."""
    rows = [Variant("the loop as peers write it")]
    rows.append(replace(rows[-1], name="+ others frozen, no .item()", frozen=True))
    rows.append(replace(rows[-1], name="+ fused Adam", fused=True))
    rows.append(replace(rows[-1], name="+ channels_last", channels_last=True))
    rows.append(replace(rows[-1], name="+ freed memory kept", keeps_memory=True))
    if Runtime.start("cpu", "auto").bf16:
        rows.append(replace(rows[-1], name="+ bf16", bf16=True))
    return [*rows, Variant("mulligan's loop, with its moving average", keeps_memory=True, ours=True)]


def images() -> ArraySplit:
    x = np.random.default_rng(0).integers(0, 256, (1024, *SHAPE), dtype=np.uint8)
    return ArraySplit({"x": x}, np.arange(len(x)))


def our_round(data: ArraySplit) -> Callable[[], None]:
    system = registry.load("dcgan")
    torch.manual_seed(0)
    dcgan = system(system.Config(batch=BATCH, width=WIDTH), {"x": Signal("image", SHAPE)})
    loop = Loop(dcgan, Loader(data, BATCH, seed=0), Runtime.start("cpu", "auto"), ema=20_000)
    loop.enter(0, next(dcgan.stages()))
    return loop.play


def their_round(v: Variant, data: ArraySplit) -> Callable[[], None]:
    """A round in plain torch: fakes are made once, D learns from them detached, then G through D."""
    torch.manual_seed(0)
    G, D = ConvGenerator(SHAPE, 100, WIDTH), ConvDiscriminator(SHAPE, WIDTH)
    if v.channels_last:
        for net in (G, D):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_g, of_d = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=v.fused) for n in (G, D))
    order = np.random.default_rng(0)
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)

    def play() -> None:
        real = data.fetch(order.integers(0, len(data), BATCH))["x"]
        with torch.autocast("cpu", torch.bfloat16, enabled=v.bf16):
            fake = G(torch.randn(BATCH, 100))
            on_real = binary_cross_entropy_with_logits(D(real), ones)
            on_fake = binary_cross_entropy_with_logits(D(fake.detach()), zeros)
        step(of_d, on_real + on_fake)
        D.requires_grad_(not v.frozen)
        with torch.autocast("cpu", torch.bfloat16, enabled=v.bf16):
            adv = binary_cross_entropy_with_logits(D(fake), ones)
        step(of_g, adv)
        D.requires_grad_(True)
        if not v.frozen:
            _ = on_real.item(), on_fake.item(), adv.item()

    return play


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@contextmanager
def allocator(keeps: bool) -> Iterator[None]:
    """Inside, freed memory is kept, or given back as glibc does by itself.

    Once told anything glibc no longer adapts its thresholds; the other form sets those that it adapts to in
    a program of 17 MB tensors: the greatest it allows, 32 MB, and twice that.
    """
    keep_freed_memory()
    if not keeps and sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 << 20)
        libc.mallopt(-1, 64 << 20)
        libc.malloc_trim(0)
    try:
        yield
    finally:
        keep_freed_memory()


def rate(v: Variant, data: ArraySplit, seconds: float) -> float:
    """Images a second, after a first round that is not counted."""
    play = our_round(data) if v.ours else their_round(v, data)
    with allocator(v.keeps_memory):
        play()
        rounds, start = 0, time.perf_counter()
        while rounds < 2 or time.perf_counter() - start < seconds:
            play()
            rounds += 1
        return BATCH * rounds / (time.perf_counter() - start)


def matmul_rate(dtype: torch.dtype, n: int = 2048) -> float:
    """FLOP/s of square matrix products: the best of a second. bf16 without hardware is slow: a smaller one."""
    n = n if dtype == torch.float32 or Runtime.start("cpu", "auto").bf16 else n // 4
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    best, end = math.inf, time.perf_counter() + 1
    while math.isinf(best) or time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def flops_a_round(data: ArraySplit) -> int:
    """Multiplications and additions of our loop's round, counted."""
    play = our_round(data)
    with FlopCounterMode(display=False) as counter:
        play()
    return int(counter.get_total_flops())


def alternate(out: Path, seconds: float, minutes: float) -> None:
    """Measure every variant once an alternation, until all alternations have a result."""
    data, rows, started = images(), variants(), time.monotonic()
    for i in range(ALTERNATIONS):
        file = out / "loop_speed" / f"alternation-{i}.json"
        if file.exists() or time.monotonic() - started > 60 * minutes:
            continue
        # the order turns round, so that none always follows the same
        rates = {v.name: rate(v, data, seconds) for v in (rows if i % 2 == 0 else rows[::-1])}
        matmul = {"fp32": matmul_rate(torch.float32), "bf16": matmul_rate(torch.bfloat16)}
        flops = flops_a_round(data)
        write_json(file, {"rates": rates, "matmul": matmul, "flops_a_round": flops, **stamp()})
        print(f"alternation {i}: " + ", ".join(f"{k} {v:.1f}" for k, v in rates.items()), flush=True)


def summarise(out: Path) -> Json:
    """Medians over alternations; the ratio is taken within each."""
    found = [json.loads(f.read_text()) for f in sorted((out / "loop_speed").glob("alternation-*.json"))]
    names = [v.name for v in variants()]
    rates = {name: [f["rates"][name] for f in found] for name in names}
    ratios = {n: [a / b for a, b in zip(rates[n], rates[names[0]], strict=True)] for n in names}
    flops, matmul = found[0]["flops_a_round"], [f["matmul"] for f in found]
    best = {kind: statistics.median(m[kind] for m in matmul) for kind in matmul[0]}
    ours = statistics.median(rates[names[-1]])
    ratio = statistics.median(ratios[names[-1]])
    return {
        "question": "loop_speed",
        "asks": "How much faster is the one loop than the loop as peers write it?",
        "preliminary": len(found) < 5,
        "alternations": len(found),
        "rows": [
            {"name": n, "rate": statistics.median(rates[n]), "rates": spread(rates[n]),
             "ratio": statistics.median(ratios[n]), "ratios": spread(ratios[n])}
            for n in names
        ],
        "gflops_a_round": flops / 1e9,
        "matmul_gflops_a_second": {kind: value / 1e9 for kind, value in best.items()},
        "precision": (kind := "bf16" if Runtime.start("cpu", "auto").bf16 else "fp32"),
        "share_of_matmul_rate": ours / BATCH * flops / best[kind],
        "machines": sorted({f["machine"] for f in found}),
        "commits": sorted({f["commit"] for f in found}),
        "bars": [{"bar": f"at least {BAR} times: it is {ratio:.2f}", "reached": ratio >= BAR}],
    }  # fmt: skip


def in_words(summary: Json) -> list[str]:
    lines = [f"{summary['asks']} {summary['alternations']} alternations; images/s and ratio, medians"]
    for row in summary["rows"]:
        low, high = min(row["ratios"]["values"]), max(row["ratios"]["values"])
        lines.append(f"{row['name']:42} {row['rate']:7.1f}  {row['ratio']:5.2f}  ({low:.2f} to {high:.2f})")
    for kind, value in summary["matmul_gflops_a_second"].items():
        lines.append(f"matrix products, {kind}: {value:.3g} GFLOP/s")
    lines.append(_share(summary))
    return lines + [f"{'reached' if b['reached'] else 'MISSED'}: {b['bar']}" for b in summary["bars"]]


def draw(summary: Json) -> Scene:
    """A bar a row: images a second, the ratio and its range beside it."""
    rows, left, top, pitch = summary["rows"], 300.0, 84.0, 34.0
    scene = Scene(900, top + pitch * len(rows) + 46, summary["asks"])
    scene.text(20, 28, summary["asks"], size=17)
    about = f"DCGAN, 64 px, batch {BATCH}, images/s; {summary['alternations']} alternations, median and range"
    scene.text(20, 50, f"{about}; {'; '.join(summary['machines'])}", size=12, role="muted")
    unit = 430 / max(max(r["rates"]["values"]) for r in rows)
    for i, row in enumerate(rows):
        y, role = top + i * pitch, ("c0" if i == len(rows) - 1 else "muted")
        end = left + unit * row["rate"]
        scene.text(left - 12, y + 15, row["name"], size=12.5, anchor="end")
        scene.area([(left, y), (end, y), (end, y + 21), (left, y + 21)], role, 0.85)
        low, high = (left + unit * f(row["rates"]["values"]) for f in (min, max))
        scene.line([(low, y + 10.5), (high, y + 10.5)], "ink", 1.4)
        words = f"{number(round(row['rate'], 1))} images/s, {row['ratio']:.2f}x"
        scene.text(max(end, high) + 10, y + 15, words, size=12.5)
    scene.text(20, scene.height - 18, _share(summary), size=12, role="muted")
    return scene


def _share(summary: Json) -> str:
    share = 100 * summary["share_of_matmul_rate"]
    return f"mulligan's loop reaches {share:.0f} % of the machine's {summary['precision']} matrix-product rate"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no alternation later")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each variant; a trial needs --out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results go")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(words)
    if words is None:
        wait_passively()
    if args.seconds != SECONDS and args.out == RESULTS:
        parser.error("--seconds: a trial must not overwrite results; add --out DIR")
    torch.set_num_threads(args.threads)
    alternate(args.out, args.seconds, args.minutes)
    summary = summarise(args.out)
    write_json(args.out / "loop_speed.json", summary)
    draw(summary).image(2).save(args.out / "loop_speed.png")
    print("\n".join(in_words(summary)))


if __name__ == "__main__":
    main()
