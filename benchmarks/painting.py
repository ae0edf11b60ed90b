"""Photographs as a painter would have painted them: does the way back keep what is shown?

Crops of photographs of nature to crops of one painting, 64 px, no pair among them. The style is judged by the distance
of what is made to the painting's own patches, what is shown by how much of the photograph's gradients is found again,
in place and direction. CycleGAN stands beside the same without the way back, and beside the photographs as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.data.tasks.edges import slopes, smoothed
from mulligan.layers.colours import grey
from mulligan.metrics.features import EfficientNet, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from pairs import draw
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 150.0
SIZE, N, PICTURES = 64, 400, 8
SEEDS = (0, 1, 2)
STYLE, KEPT = "FD to the painting's patches", "edges kept"
WAYS: dict[str, Json] = {"CycleGAN": {}, "GAN alone": {"cycle_weight": 0.0, "identity_weight": 0.0}}
CONFIG: Json = {"g_width": 16, "d_width": 16, "blocks": 3, "batch": 4, "lr": 1e-3}


def edges_kept(made: Tensor, photo: Tensor) -> float:
    """The correlation of the slopes of brightness of images (N, 3, H, W), both directions together, a mean over images.

    1 where each edge is where it was and as it was, 0 where none is; a change of contrast does not count.
    """
    a, b = (torch.cat(slopes(smoothed(grey(x))), 1).flatten(1) for x in (made, photo))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=1).mean())


class Judge:
    """Of what is made of test photographs."""

    def __init__(self, source: Source) -> None:
        self.rows = source.test.fetch(evenly(source.test, min(N, len(source.test))))
        self.features = EfficientNet()
        self.painted = gaussian(self.features(self.rows["x"]))

    def __call__(self, x: Tensor) -> Metrics:
        x = to_8_bit(x)
        if not bool(x.isfinite().all()):
            return {STYLE: math.inf, KEPT: 0.0}
        style = gaussian_distance(self.painted, gaussian(self.features(x)))
        return {STYLE: style, KEPT: edges_kept(x, self.rows["x2"])}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against = Judge(source)
    return lambda c: against(c.generate(len(against.rows["x"])))


def references(source: Source) -> dict[str, Metrics]:
    """Photographs as they are, and another part of the painting."""
    against = Judge(source)
    other = source.held_out.fetch(evenly(source.held_out, len(against.rows["x"])))["x"]
    scores = {"photographs": against(against.rows["x2"]), "the painting elsewhere": against(other)}
    return {m: {way: s[m] for way, s in scores.items()} for m in (STYLE, KEPT)}


def bars(summary: Json) -> list[tuple[str, bool]]:
    full, alone = (find(summary, way)["end"] for way in WAYS)
    as_they_are = summary["references"]["painting"][STYLE]["photographs"]
    kept = full[KEPT]["mean"], alone[KEPT]["mean"]
    return [
        (f"{STYLE}: {full[STYLE]['mean']:.0f}, photographs {as_they_are:.0f}", full[STYLE]["mean"] < as_they_are),
        (f"{KEPT}: {kept[0]:.2f}, more than GAN alone's {kept[1]:.2f}", kept[0] > kept[1]),
    ]


def drawn(contestants: list[Contestant], folder: Path) -> None:
    """For a trial alone: the painting is not ours to publish."""
    if contestants[0].case.seed != SEEDS[0] or "docs" in folder.parts:
        return
    test = contestants[0].source.test
    given = {"photograph": test.fetch(evenly(test, PICTURES))["x2"]}
    draw(contestants, given, folder / "painting-made.png")  # painting.png is the chart


QUESTION = Question(
    name="painting",
    asks="Photographs as a painter would have painted them: does the way back keep what is shown?",
    cases=tuple(
        Case(way, "cyclegan", "painting", seed, SECONDS, {**CONFIG, **config}, (0.25, 0.5, 0.75, 1.0))
        for seed in SEEDS
        for way, config in WAYS.items()
    ),
    opens=lambda name: open_source(name, size=SIZE),
    judge=judge,
    references=references,
    charts=(Chart(STYLE), Chart(KEPT)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
