"""From the air to the map, and back: does pix2pix draw regions of the globe that it never saw?

At 64 px, squares of Blue Marble and of the relief map etopo1, no region of training among those that judge. Beside
pix2pix stand the same G with distance alone, and the picture of the training square whose input is nearest.
"""

from __future__ import annotations

from pathlib import Path

from mulligan.data import open_source
from mulligan.data.source import Source
from pairs import COLOURS, FD, L1, SHARP, Judge, draw_pairs
from runner import Case, Chart, Contestant, Json, Question, find, main

SECONDS = 120.0
SIZE, PICTURES = 64, 8
SEEDS = (0, 1, 2)
WAYS: dict[str, Json] = {"L1": {"adv_weight": 0.0}, "L1+cGAN": {}}
DATA = {"to map": "aerial:map", "to aerial": "map:aerial"}
CONFIG: Json = {"g_width": 16, "d_width": 16, "lr": 5e-4}


def opens(name: str) -> Source:
    return open_source("earth", size=SIZE, pair=DATA[name])


def bars(summary: Json) -> list[tuple[str, bool]]:
    found = []
    for data in DATA:
        l1, both = (find(summary, way, data)["end"][FD]["mean"] for way in WAYS)
        nearest = summary["references"][data][FD]["nearest neighbour"]
        words = f"{data}: {FD} {both:.0f}, below L1's {l1:.0f} and the nearest neighbour's {nearest:.0f}"
        found.append((words, both < min(l1, nearest)))
    return found


def drawn(contestants: list[Contestant], folder: Path) -> None:
    case = contestants[0].case
    if case.seed == SEEDS[0]:
        draw_pairs(contestants, PICTURES, folder / f"maps-{case.data.replace(' ', '-')}.png")


QUESTION = Question(
    name="maps",
    asks="From the air to the map, and back: does pix2pix draw regions of the globe that it never saw?",
    cases=tuple(
        Case(way, "pix2pix", data, seed, SECONDS, {**CONFIG, **config}, (0.25, 0.5, 0.75, 1.0))
        for seed in SEEDS
        for data in DATA
        for way, config in WAYS.items()
    ),
    opens=opens,
    judge=lambda source: Judge(source).contestant,
    references=lambda source: Judge(source).references(),
    charts=(Chart(FD), Chart(L1), Chart(SHARP), Chart(COLOURS)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
