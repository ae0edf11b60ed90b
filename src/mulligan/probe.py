"""Before the first round: does a batch fit into memory, and how long does a round take?

Some samples are played through every turn of every stage by a copy of the system that nobody keeps. What autograd saves
for the way back is counted, not guessed: it grows with the samples along a line, whose two ends are measured.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan import runtime
from mulligan.errors import Mistake
from mulligan.game import parameters
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.model import build
from mulligan.plan import Plan, assemble

SIZES = (2, 4)  # samples that are played
KEPT = 4  # numbers beside each weight: its gradient, Adam's two and the moving average
SPARE = 2.0  # times what is saved: backward holds gradients beside it, and layers their scratch space
LEAST = 4  # samples in a part: what compares the samples of a batch has others to compare with
FREE = 0.9  # of the free memory may be taken
REPEATS, PATIENCE = 5, 0.3  # times that a turn is timed, unless that takes more seconds
LEAST_ROUNDS = 2  # in a budget: with fewer there is nothing to see
GB = 1e9
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cost:
    """What playing takes.

    Attributes:
        fixed: bytes, whatever the batch.
        sample: bytes more for each sample that a network sees at a time.
        seconds: of a round of no samples, and for each more.
    """

    fixed: float
    sample: float
    seconds: tuple[float, float]

    def memory(self, shard: int) -> float:
        return self.fixed + SPARE * self.sample * shard

    def round(self, batch: int) -> float:
        """Seconds of a round, about."""
        return self.seconds[0] + self.seconds[1] * batch


def probed(plan: Plan) -> tuple[Plan, list[str]]:
    """The plan, in as many parts of a batch as fit into memory, and what is to be said of it.

    Raises:
        ValueError: not even the smallest part fits, or the budget ends before there is anything to see.
    """
    found = cost(plan)
    parts, said = _parts(plan, found)
    if parts != plan.run.micro_batches:
        run = plan.run.model_copy(update={"micro_batches": parts})
        config = {**plan.config, "run": run.model_dump()}
        plan = replace(plan, config=config, run=run, loop=assemble(config, plan.source, run, plan.runtime))
    micro = plan.runtime.agree(round(1e6 * found.round(plan.loop.loader.batch)))  # seconds, of rank 0
    seconds = micro / 1e6 / plan.runtime.world
    _check_budget(plan, seconds)
    return plan, [*said, _expected(plan, seconds)]


def cost(plan: Plan) -> Cost:
    """Measure some samples of each of two sizes, in the hungriest of the turns and stages."""
    saved, seconds = [], []
    for n in SIZES:
        most, took, shares = 0, 0.0, 0.0
        for loop in _stages(plan, n):
            shares += loop.stage.share
            for number, turn in enumerate(loop.stage.turns):
                most = max(most, _saved_by(loop, number))  # before it is timed: the first time costs more
                took += _seconds_of(loop, number) * loop.stage.share * turn.repeat / turn.every
        saved.append(most)
        seconds.append(took / shares)
    sample, slope = ((b - a) / (SIZES[1] - SIZES[0]) for a, b in (saved, seconds))
    weights = sum(p.numel() * p.element_size() for p in parameters((loop.system,)))
    fixed = KEPT * weights + max(0.0, saved[0] - SIZES[0] * sample)
    slope = min(max(slope, 0.0), seconds[1] / SIZES[1])
    return Cost(fixed, sample, (max(0.0, seconds[0] - SIZES[0] * slope), slope))


def _stages(plan: Plan, n: int) -> Iterator[Loop]:
    """A loop that has entered each stage in turn, with a batch of n."""
    system = build(plan.config)
    loader = Loader(plan.source.train, n, seed=plan.run.seed, device=plan.runtime.device)
    alone = replace(plan.runtime, rank=0, world=1)  # every rank measures all of it by itself
    loop = Loop(system, loader, alone, fixed=[])
    for number, stage in enumerate(system.stages()):
        loop.enter(number, stage)
        yield loop


def _saved_by(loop: Loop, number: int) -> int:
    """Bytes that autograd keeps for the way back of one turn."""
    weights = {p.untyped_storage().data_ptr() for p in loop.everything}
    saved: dict[int, int] = {}
    loop.rehearse(number, _saving(saved))
    return sum(size for place, size in saved.items() if place not in weights)


def _seconds_of(loop: Loop, number: int) -> float:
    """Of one turn, at best: a busy machine, and the first times, say nothing of a round."""
    best, spent = math.inf, 0.0
    for _ in range(REPEATS):
        runtime.synchronize(loop.runtime.device)
        began = time.perf_counter()
        loop.rehearse(number)
        runtime.synchronize(loop.runtime.device)
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
        if spent > PATIENCE:
            break
    return best


@contextmanager
def _saving(saved: dict[int, int]) -> Iterator[None]:
    """Inside, note the bytes of the storages that autograd saves, by where they lie."""

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return x

    def give(x: Any) -> Any:
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, give):
        yield


# --- what it means ----------------------------------------------------------------------------------------------


def _parts(plan: Plan, found: Cost) -> tuple[int, list[str]]:
    """In how many parts a batch is to be played, and why."""
    free = free_memory(plan.runtime.device)
    batch, asked, world = plan.loop.loader.batch, plan.run.micro_batches, plan.runtime.world
    if free is None:
        return asked, []
    free = plan.runtime.least(free)
    fits = [
        m
        for m in _divisors(batch // world)
        if m >= asked
        and (batch // world // m >= LEAST or m == asked)
        and found.memory(batch // world // m) <= FREE * free
    ]
    parts = plan.runtime.agree(min(fits, default=0))
    needs = found.memory(min(LEAST, batch // world)) / GB
    if not parts:
        raise Mistake(
            f"--size and widths: {LEAST} samples at a time need about {needs:.1f} GB, {free / GB:.1f} are free; lower "
            "--size or a width"
        )
    if parts == asked:
        return asked, []
    whole = found.memory(batch // world // asked) / GB
    return parts, [
        f"A batch of {batch} needs about {whole:.1f} GB, {free / GB:.1f} are free: it is played in {parts} parts of "
        f"{batch // world // parts} (--micro-batches {parts}); BatchNorm sees one part at a time."
    ]


def _divisors(n: int) -> list[int]:
    return [m for m in range(1, n + 1) if n % m == 0]


def _check_budget(plan: Plan, seconds: float) -> None:
    budget = 60 * (plan.run.minutes or 0)
    if plan.run.rounds is None and budget < LEAST_ROUNDS * seconds and seconds > 1:
        raise Mistake(
            f"--minutes {plan.run.minutes:g}: one round takes about {seconds:.0f} s here, so that is over before "
            f"anything is learned; try --minutes {max(1, round(100 * seconds / 60))}, or a smaller --size or --batch"
        )


def _expected(plan: Plan, seconds: float) -> str:
    """How long it takes, or how far it comes."""
    pace = f"about {1 / seconds:.1f} rounds a second" if seconds < 1 else f"about {seconds:.1f} s a round"
    if plan.run.rounds is not None:
        return f"Expected: {pace}, {_time(plan.run.rounds * seconds)} for {plan.run.rounds:,} rounds."
    rounds = 60 * (plan.run.minutes or 0) / max(seconds, 1e-6)
    return f"Expected: {pace}, some {float(f'{rounds:.2g}'):,.0f} rounds in {_time(60 * (plan.run.minutes or 0))}."


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def free_memory(device: torch.device) -> float | None:
    """Bytes that this rank may still take; None where nobody says."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    lines = MEMINFO.read_text().splitlines() if MEMINFO.exists() else []
    free = [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    try:  # a container may have less than the machine
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        free += [float(limit) - float(used)] if limit != "max" else []
    except OSError:
        pass
    # the ranks of a machine share its memory
    return min(free) / int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if free else None
