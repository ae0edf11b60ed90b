"""What do distance, D, and a D that sees what an image is made from, each add? The lecture's ablation of pix2pix.

On two kinds of pairs: maps of labels to Earth from above (earth), 128 px, squares of regions that training never saw;
and line drawings to emoji, 64 px. Beside the four ways of the paper stand D's receptive fields and what users ask for
today, on earth. Two trivial ways: the picture of the training pair whose input is nearest, and the mean picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.data.tasks.edges import edges
from mulligan.data.unpaired import columns
from mulligan.metrics.features import EfficientNet, to_8_bit
from mulligan.metrics.frechet import gaussian, gaussian_distance
from mulligan.metrics.translation import histogram_intersection, l1, sharpness
from mulligan.sheet import sheet, tile
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main
from segmenter import Segmenter, share_recovered, train_segmenter

SECONDS = {"earth": 180.0, "emoji": 120.0}
SIZE = {"earth": 128, "emoji": 64}
SEEDS = (0, 1, 2)
N, PICTURES = 400, 6
L1, SHARP, COLOURS = "L1 distance", "sharpness", "histogram intersection"
FD, RECOVERED = "FD (EfficientNet-Lite0)", "input recovered"
WIDTH: Json = {"g_width": 16, "d_width": 16}
WAYS: dict[str, Json] = {
    "L1": {"adv_weight": 0.0},
    "GAN": {"l1_weight": 0.0, "told_d": False},
    "cGAN": {"l1_weight": 0.0},
    "L1+cGAN": {},
}
FIELDS: dict[str, Json] = {f"patch {field}": {"patch": field} for field in ("1", "16", "image")}  # 70: L1+cGAN
TODAY: dict[str, Json] = {
    "antialiased": {"antialias": True},
    "relativistic": {"loss": "relativistic", "gamma": 0.2},
    "perceptual": {"perceptual_weight": 10.0},
}
CONTESTANTS: dict[str, dict[str, Json]] = {"earth": {**WAYS, **FIELDS, **TODAY}, "emoji": WAYS}
MARKS = (0.25, 0.5, 0.75, 1.0)


@cache
def opens(name: str) -> Source:
    return open_source(name, size=SIZE[name], task="edges" if name == "emoji" else None)


class Judge:
    """Judges pictures that were made from the inputs of test pairs."""

    def __init__(self, source: Source) -> None:
        self.source, self.features = source, EfficientNet()
        self.rows = source.test.fetch(evenly(source.test, min(N, len(source.test))))
        self.true = self.rows["x"]
        self.real = gaussian(self.features(self.true))
        self.segmenter = reader() if source.name == "earth" else None

    def __call__(self, x: Tensor) -> Metrics:
        x = to_8_bit(x)
        if not bool(x.isfinite().all()):
            return {L1: math.inf, SHARP: 0.0, COLOURS: 0.0, FD: math.inf, RECOVERED: 0.0}
        return {
            L1: l1(x, self.true),
            SHARP: sharpness(x, self.true),
            COLOURS: sum(histogram_intersection(x, self.true)) / 3,
            FD: gaussian_distance(self.real, gaussian(self.features(x))),
            RECOVERED: self.recovered(x),
        }

    def recovered(self, x: Tensor) -> float:
        if self.segmenter is None:
            return lines_found(edges(x), self.rows["input"])
        return share_recovered(self.segmenter, x, self.rows["input"], self.source.signals["input"].names)


@cache
def reader() -> Segmenter:
    """Of labels from pictures of Earth."""
    return train_segmenter(opens("earth"))


def lines_found(made: Tensor, drawn: Tensor) -> float:
    """F-score of lines (N, 1, H, W), -1 on a line: within a pixel of each other they are the same."""
    made, drawn = made < 0, drawn < 0
    near_made, near_drawn = (max_pool2d(lines.float(), 3, 1, 1) > 0 for lines in (made, drawn))
    precision = float((made & near_drawn).sum() / made.sum().clamp(min=1))
    recall = float((drawn & near_made).sum() / drawn.sum())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against = Judge(source)
    return lambda c: against(c.generate(len(against.true)))


def references(source: Source) -> dict[str, Metrics]:
    """Real pictures, of which FD has the floor; and two ways that draw nothing."""
    against = Judge(source)
    other = source.held_out.fetch(evenly(source.held_out, len(against.true)))
    x, given = (torch.cat(list(columns(source.train, key))) for key in ("x", "input"))
    nearest = torch.cdist(small(against.rows["input"]), small(given)).argmin(1)
    trivial = {"nearest neighbour": x[nearest], "mean picture": x.mean(0).expand_as(against.true)}
    scores = {name: against(made) for name, made in trivial.items()}
    floor = gaussian_distance(against.real, gaussian(against.features(other["x"])))
    scores["real"] = {FD: floor, RECOVERED: against.recovered(against.true)}
    return {m: {name: s[m] for name, s in scores.items() if m in s} for m in scores["mean picture"]}


def small(x: Tensor) -> Tensor:
    """Inputs at 16 px, flat."""
    return torch.nn.functional.adaptive_avg_pool2d(x, 16).flatten(1)


def bars(summary: Json) -> list[tuple[str, bool]]:
    """What the paper says of its own data."""
    found = []
    for data in CONTESTANTS:
        l1_, gan, cgan, both = (find(summary, way, data)["end"] for way in WAYS)
        sharp, alike = (tuple(way[m]["mean"] for way in (l1_, both)) for m in (SHARP, COLOURS))
        found += [
            (f"{data}: L1 alone is blurred: sharpness {sharp[0]:.2f}, with cGAN {sharp[1]:.2f}", sharp[0] < sharp[1]),
            (f"{data}: colours: {COLOURS} {alike[0]:.3f}, with cGAN {alike[1]:.3f}", alike[0] < alike[1]),
        ]
        read = [way[RECOVERED]["mean"] for way in (gan, l1_, cgan, both)]
        told = ", ".join(f"{value:.3f}" for value in read)
        found.append((f"{data}: {RECOVERED}: GAN < L1 < cGAN < L1+cGAN, as in the paper: {told}", read == sorted(read)))
    return found


def drawn(contestants: list[Contestant], folder: Path) -> None:
    """Of the first seed: what was given, what is true, and what each made of it."""
    case = contestants[0].case
    if case.seed != SEEDS[0]:
        return
    rows = contestants[0].source.test.fetch(evenly(contestants[0].source.test, PICTURES))
    made = {"given": rows["input"], "true": rows["x"]}
    for c in contestants:
        with c.shown():
            made[c.case.name] = c.generate(PICTURES)
    shown = [[tile(x[i].expand(3, -1, -1), name) for name, x in made.items()] for i in range(PICTURES)]
    sheet(shown).save(folder / f"image-to-image-{case.data}.png")


QUESTION = Question(
    name="image_to_image",
    asks="What do distance, D, and a D that sees what an image is made from, each add?",
    cases=tuple(
        Case(way, "pix2pix", data, seed, SECONDS[data], {**WIDTH, **config}, MARKS)
        for seed in SEEDS
        for data, ways in CONTESTANTS.items()
        for way, config in ways.items()
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(Chart(FD), Chart(SHARP), Chart(COLOURS), Chart(RECOVERED)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
