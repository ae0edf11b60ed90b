"""What do distance, D, and a D that sees what an image is made from, each add? The lecture's ablation of pix2pix.

On two kinds of pairs: maps of labels to Earth from above (earth), 128 px, squares of regions that training never saw;
and line drawings to emoji, 64 px. Beside the four ways of the paper stand D's receptive fields and what users ask for
today, on earth. Two trivial ways: the picture of the training pair whose input is nearest, and the mean picture.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from torch import Tensor
from torch.nn.functional import max_pool2d

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.data.tasks.edges import edges
from pairs import COLOURS, FD, SHARP, Judge, N, draw_pairs
from runner import Case, Chart, Contestant, Json, Question, find, main
from segmenter import Segmenter, share_recovered, train_segmenter

SECONDS = {"earth": 120.0, "emoji": 90.0}
SIZE = {"earth": 128, "emoji": 64}
SEEDS = (0, 1, 2)
PICTURES = 6
RECOVERED = "input recovered"
CONFIG: Json = {"g_width": 16, "d_width": 16, "lr": 5e-4}
WAYS: dict[str, Json] = {
    "L1": {"adv_weight": 0.0},
    "GAN": {"l1_weight": 0.0, "told_d": False},
    "cGAN": {"l1_weight": 0.0},
    "L1+cGAN": {},
}
FIELDS: dict[str, Json] = {f"patch {field}": {"patch": field} for field in ("1", "16", "image")}  # 70: L1+cGAN
TODAY: dict[str, Json] = {
    "antialiased": {"antialias": True},
    "relativistic": {"loss": "relativistic", "gamma": 1.0, "l1_weight": 20.0},
    "perceptual": {"perceptual_weight": 10.0},
}
CONTESTANTS: dict[str, dict[str, Json]] = {"earth": {**WAYS, **FIELDS, **TODAY}, "emoji": WAYS}
MARKS = (0.25, 0.5, 0.75, 1.0)


@cache
def opens(name: str) -> Source:
    return open_source(name, size=SIZE[name], task="edges" if name == "emoji" else None)


def judge_of(source: Source) -> Judge:
    rows = source.test.fetch(evenly(source.test, min(N, len(source.test))))["input"]
    if source.name != "earth":
        return Judge(source, **{RECOVERED: lambda x: lines_found(edges(x), rows)})
    palette, segmenter = source.signals["input"].names, reader()
    return Judge(source, **{RECOVERED: lambda x: share_recovered(segmenter, x, rows, palette)})


@cache
def reader() -> Segmenter:
    """Of labels from pictures of Earth."""
    return train_segmenter(opens("earth"))


def lines_found(made: Tensor, drawn: Tensor) -> float:
    """F-score of lines (N, 1, H, W), -1 on a line: within a pixel of each other they are the same."""
    made, drawn = made < 0, drawn < 0
    near_made, near_drawn = (max_pool2d(lines.float(), 3, 1, 1) > 0 for lines in (made, drawn))
    precision = float((made & near_drawn).sum() / made.sum().clamp(min=1))
    recall = float((drawn & near_made).sum() / drawn.sum().clamp(min=1))
    return 2 * precision * recall / max(precision + recall, 1e-9)


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
    case = contestants[0].case
    if case.seed == SEEDS[0]:
        draw_pairs(contestants, PICTURES, folder / f"image-to-image-{case.data}.png")


QUESTION = Question(
    name="image_to_image",
    asks="What do distance, D, and a D that sees what an image is made from, each add?",
    cases=tuple(
        Case(way, "pix2pix", data, seed, SECONDS[data], {**CONFIG, **config}, MARKS)
        for seed in SEEDS
        for data, ways in CONTESTANTS.items()
        for way, config in ways.items()
    ),
    opens=opens,
    judge=lambda source: judge_of(source).contestant,
    references=lambda source: judge_of(source).references(),
    charts=(Chart(FD), Chart(SHARP), Chart(COLOURS), Chart(RECOVERED)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
