"""A race: contestants on the same data and seed, trained in alternating slices in one process.

A machine that others share varies threefold within a minute. In slices of seconds a slow minute hits every
contestant; each has its own loop, and its budget is its own training seconds: measuring is not counted. On one thread
they are the processor's seconds, so that a contestant loses nothing while another program has the core.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from mulligan import registry
from mulligan.data.source import Source, conditions
from mulligan.game import Batch, System, parameters
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.observe import generate, observing
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
        seconds: of training; where `images` is the budget, about what they take.
        marks: moments to measure at, as shares of the budget, ascending; the last is 1.
        ema: half-life of G's moving average in images, 0 for none; what is measured is the average.
        images: to be seen in training, a budget instead of the seconds.
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
    images: int | None = None

    @property
    def key(self) -> str:
        """Its file's name."""
        return f"{self.name}-{self.data}-{self.seed}"

    @property
    def budget(self) -> float:
        """Images or seconds."""
        return self.images or self.seconds

    def to_json(self) -> dict[str, Any]:
        found = {**asdict(self), "marks": list(self.marks)}
        return {k: v for k, v in found.items() if v is not None}  # what a case does not set is not in its record


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
        self.ends = [case.budget * share / sum(shares) for share in accumulate(shares)]  # of the stages
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
    def parameters(self) -> dict[str, int]:
        """How many numbers each player learns, with the networks as they stand."""
        learns: dict[str, tuple[nn.Module, ...]] = {}
        for turn in self.loop.stage.turns:
            learns[turn.player] = learns.get(turn.player, ()) + turn.learns
        return {player: sum(p.numel() for p in parameters(networks)) for player, networks in learns.items()}

    @property
    def spent(self) -> float:
        """Of the budget, in its unit."""
        return self.loop.progress.images if self.case.images else self.seconds

    @property
    def goal(self) -> float:
        """What is spent of the budget at the next mark; infinite when there is none."""
        marks = self.case.marks
        over = self.lost is not None or len(self.measured) == len(marks)
        return math.inf if over else marks[len(self.measured)] * self.case.budget

    @property
    def done(self) -> bool:
        return math.isinf(self.goal)

    def enter(self, number: int) -> None:
        """Enter the next stage."""
        self.loop.seed(number)  # for networks that it adds
        self.loop.enter(number, next(self.stages))

    def train(self, seconds: float) -> None:
        """Train for a slice, or to the next mark; a number that is not finite ends it."""
        try:
            self._train(seconds)
            self.loop.values()
        except FloatingPointError as error:
            self.lost = str(error)

    def _train(self, seconds: float) -> None:
        """A stage ends when its share of the budget is over."""
        clock = training_clock()
        last = clock()
        stop = self.seconds + seconds
        while self.seconds < stop and self.spent < self.goal:
            stage = self.loop.progress.stage
            if stage + 1 < len(self.ends) and self.spent >= self.ends[stage]:
                self.enter(stage + 1)
            self.loop.play()
            now = clock()
            self.seconds, last = self.seconds + now - last, now

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the system is as a run shows it: eval mode, no gradients, G's moving average."""
        with observing(self.system), self.loop.average.swapped():
            yield

    def measure(self, measure: Callable[[Contestant], dict[str, float]]) -> None:
        """Note the metrics of the mark that was reached."""
        p = self.loop.progress
        with self.shown():
            metrics = measure(self)
        about = {"seconds": round(self.seconds, 2), "rounds": p.round, "images": p.images}
        self.measured.append({**about, "metrics": metrics})

    def generate(self, n: int) -> Tensor:
        """n samples on the CPU, from the same latents at every mark; inside `measure` or `shown` alone."""
        return next(iter(self.make(n).values()))

    def make(self, n: int) -> Batch:
        """The same with every key that the system makes."""
        return generate(self.system, n, seed=SAMPLE_SEED, at_once=AT_ONCE, given=self.told(n))

    def told(self, n: int) -> Batch:
        """What those samples are made for: what n test samples are told of."""
        return conditions(self.source.test, self.system.given, n)


def race(
    contestants: list[Contestant],
    measure: Callable[[Contestant], dict[str, float]],
    tell: Callable[[str], None] = lambda words: None,
    after_slice: Callable[[], None] = lambda: None,
) -> None:
    """Train and measure all of them to their ends."""
    while running := [c for c in contestants if not c.done]:
        for c in running:
            if c.spent < c.goal:
                c.train(SLICE)
                after_slice()
            if c.lost is None and c.spent >= c.goal:
                c.measure(measure)
                shown = ", ".join(f"{k} {v:.4g}" for k, v in c.measured[-1]["metrics"].items())
                tell(f"{c.case.key} at {c.seconds:.1f} s: {shown}")
            if c.lost is not None:
                tell(f"{c.case.key} lost at {c.seconds:.1f} s: {c.lost}")


# --- records ---------------------------------------------------------------------------------------------


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation over seeds (None of fewer than two), values; null counts as infinite."""
    known = [math.inf if v is None else float(v) for v in values]
    finite = all(math.isfinite(v) for v in known)
    deviation = statistics.stdev(known) if finite and len(known) > 1 else None
    return {"mean": statistics.mean(known), "spread": deviation, "n": len(known), "values": known}


def plain(value: Any) -> Any:
    """JSON knows no infinity: null stands for what is not finite; floats get six digits."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
