"""A race: contestants on the same data and seed, trained in alternating slices in one process.

A machine that others share varies threefold within a minute. In slices of seconds a slow minute hits every
contestant; each has its own loop, and its budget is its own training seconds: measuring is not counted. On one thread
they are the processor's seconds, so that a contestant loses nothing while another program has the core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from mulligan import registry
from mulligan.data.source import Source
from mulligan.game import Batch, System
from mulligan.loader import Loader
from mulligan.look import generate, observing
from mulligan.loop import Loop
from mulligan.runtime import Runtime
from mulligan.signals import match

SLICE = 5.0  # seconds
AT_ONCE = 500  # samples generated in one pass
SAMPLE_SEED = 12345


@dataclass(frozen=True)
class Case:
    """One training: what, on which data, from which seed, for how long.

    Attributes:
        name: of the contestant; cases that differ in data and seed alone share it.
        system, config: as `mulligan train` takes them.
        seconds: of training.
        marks: moments to measure at, as shares of the budget, ascending; the last is 1.
        ema: half-life of G's moving average in images, 0 for none; what is measured is the average.
    """

    name: str
    system: str
    data: str
    seed: int
    seconds: float
    config: dict[str, Any] = field(default_factory=dict)
    marks: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    ema: int = 20_000
    precision: str = "auto"

    @property
    def key(self) -> str:
        """Its file's name."""
        return f"{self.name}-{self.data}-{self.seed}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "marks": list(self.marks)}


def training_clock() -> Callable[[], float]:
    """The processor's seconds where one thread trains; those of several threads would add up."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


class Contestant:
    """A case in training."""

    def __init__(self, case: Case, source: Source, runtime: Runtime) -> None:
        self.case, self.source = case, source
        kind = registry.load(case.system)
        match(kind.needs, source.signals, system=case.system, source=source.name)
        config = kind.Config(**case.config)
        # of a second system: going through the stages shapes networks
        shares = [stage.share for stage in kind(config, source.signals).stages()]
        self.ends = [case.seconds * share / sum(shares) for share in accumulate(shares)]  # of the stages, in seconds
        torch.manual_seed(case.seed)
        self.system: System = kind(config, source.signals)
        loader = Loader(source.train, self.system.config.batch, seed=case.seed, device=runtime.device)
        self.loop = Loop(self.system, loader, runtime, ema=case.ema)
        self.stages = self.system.stages()
        self.enter(0)
        self.seconds = 0.0
        self.measured: list[dict[str, Any]] = []  # one a mark that was reached
        self.lost: str | None = None  # what ended the training early

    @property
    def goal(self) -> float:
        """Seconds of training at the next mark; infinite when there is none."""
        marks = self.case.marks
        over = self.lost is not None or len(self.measured) == len(marks)
        return math.inf if over else marks[len(self.measured)] * self.case.seconds

    @property
    def done(self) -> bool:
        return math.isinf(self.goal)

    def enter(self, number: int) -> None:
        """Enter the next stage."""
        self.loop.seed(number)  # for networks that it adds
        self.loop.enter(number, next(self.stages))

    def train(self, seconds: float) -> None:
        """Train for a slice, or to the next mark; a stage ends when its share of the seconds is over."""
        clock = training_clock()
        start = now = clock()
        stop = start + min(seconds, self.goal - self.seconds)
        while now < stop:
            stage = self.loop.progress.stage
            if stage + 1 < len(self.ends) and self.seconds + now - start >= self.ends[stage]:
                self.enter(stage + 1)
            self.loop.play()
            now = clock()
        self.seconds += now - start
        try:
            self.loop.values()
        except FloatingPointError as error:
            self.lost = str(error)

    def measure(self, measure: Callable[[Contestant], dict[str, float]]) -> None:
        """Note the metrics of the mark that was reached."""
        p = self.loop.progress
        with observing(self.system), self.loop.average.swapped():
            metrics = measure(self)
        about = {"seconds": round(self.seconds, 2), "rounds": p.round, "images": p.images}
        self.measured.append({**about, "metrics": metrics})

    def generate(self, n: int) -> Tensor:
        """n samples on the CPU, from the same latents at every mark; inside `measure` alone."""
        return next(iter(self.make(n).values()))

    def make(self, n: int) -> Batch:
        """The same with every key that the system makes."""
        return generate(self.system, n, seed=SAMPLE_SEED, at_once=AT_ONCE)


def race(
    contestants: list[Contestant],
    measure: Callable[[Contestant], dict[str, float]],
    tell: Callable[[str], None] = lambda words: None,
) -> None:
    """Train and measure all of them to their ends."""
    while running := [c for c in contestants if not c.done]:
        for c in running:
            if c.seconds < c.goal:
                c.train(SLICE)
            if c.lost is None and c.seconds >= c.goal:
                c.measure(measure)
                shown = ", ".join(f"{k} {v:.4g}" for k, v in c.measured[-1]["metrics"].items())
                tell(f"{c.case.key} at {c.seconds:.1f} s: {shown}")
            if c.lost is not None:
                tell(f"{c.case.key} lost at {c.seconds:.1f} s: {c.lost}")
