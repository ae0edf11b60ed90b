"""Does the way there and back find who belongs to whom? CycleGAN on two domains whose true pairs it never sees.

Digits from blurred negatives of other digits, where the true map is known; and emoji as Microsoft renders them from
emoji as Google draws them, where artists drew both. Half of the pairs give one image, the other half the other. Beside
it: no identity term, and no way back (GAN alone). It is judged by pairs of the test split: how far what is made is from
the true partner, whether the digit stays, and whether the true partner is the nearest of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.game import Translator
from mulligan.metrics.features import Digits, EfficientNet, Extractor, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from mulligan.metrics.translation import l1
from pairs import draw
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = {"digits": 60.0, "emoji": 120.0}
SEEDS = (0, 1, 2)
N, AT_ONCE, PICTURES = 500, 50, 8
ERROR, NEAREST, KEPT, FD = "L1 to the true partner", "true partner nearest", "digit kept", "FD"
WAYS: dict[str, Json] = {"CycleGAN": {}, "no identity": {"identity_weight": 0.0}, "GAN alone": {"cycle_weight": 0.0}}
CONFIG: Json = {"g_width": 16, "d_width": 16, "blocks": 3, "batch": 4, "lr": 1e-3}


def paired(name: str, *, unpaired: bool) -> Source:
    if name == "digits":
        return open_source("mnist", size=32, task="blurred", unpaired=unpaired)
    return open_source("emoji3", size=32, pair="google:fluent", unpaired=unpaired)


class Judge:
    """Of what is made from the inputs of test pairs."""

    def __init__(self, name: str) -> None:
        test = paired(name, unpaired=False).test
        self.rows = test.fetch(evenly(test, min(N, len(test))))
        self.true, self.given = self.rows["x"], self.rows["input"]
        self.digits = Digits() if name == "digits" else None
        self.extractor: Extractor = self.digits or EfficientNet()
        self.real = gaussian(self.extractor(self.true))

    def __call__(self, x: Tensor) -> Metrics:
        x = to_8_bit(x)
        if not bool(x.isfinite().all()):
            return {ERROR: math.inf, NEAREST: 0.0, FD: math.inf, **({KEPT: 0.0} if self.digits else {})}
        found = self.extractor(x)
        distances = torch.cdist(x.flatten(1), self.true.flatten(1))
        metrics = {
            ERROR: l1(x, self.true),
            NEAREST: float((distances.argmin(1) == torch.arange(len(x))).double().mean()),
            FD: gaussian_distance(self.real, gaussian(found)),
        }
        if self.digits is not None:
            metrics[KEPT] = float((self.digits.labels(found) == self.rows["y"]).double().mean())
        return metrics

    def made_by(self, c: Contestant) -> Tensor:
        system = c.system
        assert isinstance(system, Translator)
        parts = [system.translate(part, "x2").float() for part in torch.split(self.given, AT_ONCE)]
        return torch.cat(parts)


@cache
def judge_of(name: str) -> Judge:
    return Judge(name)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    return lambda c: judge_of(c.case.data)(judge_of(c.case.data).made_by(c))


def references_of(name: str) -> dict[str, Metrics]:
    """The input as it is, the mean of all true ones, some other true one, and the true one."""
    against = judge_of(name)
    ways = {
        "input itself": against.given,
        "mean picture": against.true.mean(0).expand_as(against.true),
        "another": against.true.roll(1, 0),
        "real": against.true,
    }
    scores = {way: against(x) for way, x in ways.items()}
    return {m: {way: s[m] for way, s in scores.items()} for m in scores["real"]}


def opens(name: str) -> Source:
    source = paired(name, unpaired=True)
    source.name = name
    return source


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for data in SECONDS:
        full, _, alone = (find(summary, way, data)["end"] for way in WAYS)
        known = summary["references"][data][ERROR]["input itself"]
        a, b = full[ERROR]["mean"], alone[ERROR]["mean"]
        words = f"{data}: {ERROR} {a:.3f}, below the input's own {known:.3f} and GAN alone's {b:.3f}"
        found.append((words, a < min(known, b)))
    full, _, alone = (find(summary, way, "digits")["end"][KEPT]["values"] for way in WAYS)
    told = ", ".join(f"{value:.2f}" for value in full), ", ".join(f"{value:.2f}" for value in alone)
    found.append((f"digits: {KEPT} on every seed (0.8): {told[0]}; permuted by GAN alone: {told[1]}",
                  min(full) >= 0.8 and max(alone) < 0.8))  # fmt: skip
    return found


def drawn(contestants: list[Contestant], folder: Path) -> None:
    case = contestants[0].case
    if case.seed != SEEDS[0]:
        return
    against = judge_of(case.data)
    shown = {"given": against.given[:PICTURES], "true": against.true[:PICTURES]}
    draw(contestants, shown, folder / f"cyclegan-{case.data}.png", against.made_by, side_by_side=2)


QUESTION = Question(
    name="cyclegan",
    asks="Does the way there and back find who belongs to whom?",
    cases=tuple(
        Case(way, "cyclegan", data, seed, seconds, {**CONFIG, **config}, (0.25, 0.5, 0.75, 1.0))
        for seed in SEEDS
        for data, seconds in SECONDS.items()
        for way, config in WAYS.items()
    ),
    opens=opens,
    judge=judge,
    references=lambda source: references_of(source.name),
    charts=(Chart(ERROR), Chart(KEPT), Chart(NEAREST), Chart(FD)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
