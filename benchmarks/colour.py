"""Grey photographs to colour: does D keep the colours that distance alone washes out?

Crops of photographs of nature, 64 px; whole photographs are held out. Of each the brightness L is given and stays, and
a and b are made. Beside pix2pix stand the same G with distance alone, the colours of the training crop that is nearest
in brightness, and grey.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.source import Source, evenly
from mulligan.game import Translator
from mulligan.layers.lab import to_lab, to_rgb
from mulligan.partners import nearest_partner
from pairs import COLOURS, FD, L1, Judge, draw
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 150.0
SIZE, PICTURES = 64, 8
SEEDS = (0, 1, 2)
WAYS: dict[str, Json] = {"L1": {"adv_weight": 0.0}, "L1+cGAN": {}}
CONFIG: Json = {"g_width": 16, "d_width": 16, "lr": 5e-4}
VIVID, BRIGHT = "colour strength", "change of brightness"


def opens(name: str) -> Source:
    return open_source(name, size=SIZE, task="colour")


def judge(source: Source) -> Judge:
    against = Judge(source)
    chroma, given = strength(against.true), against.rows["input"]
    against.more = {
        VIVID: lambda x: strength(x) / chroma,
        BRIGHT: lambda x: float((to_lab(x)[:, :1] - given).abs().mean()) * 50,
    }
    return against


def strength(x: Tensor) -> float:
    """The mean length of (a, b), in units of Lab."""
    return float(to_lab(x)[:, 1:].square().sum(1).sqrt().mean()) * 110


def references(source: Source) -> dict[str, Metrics]:
    against = judge(source)
    given = against.rows["input"]
    nearest = nearest_partner(source, given, len(source.train))
    ways = {
        "nearest neighbour": to_rgb(torch.cat([given, to_lab(nearest)[:, 1:]], 1)),
        "grey": to_rgb(torch.cat([given, torch.zeros_like(given).repeat(1, 2, 1, 1)], 1)),
        "real": against.true,
    }
    scores = {name: against(made) for name, made in ways.items()}
    scores["real"][FD] = against.floor()  # not of the same photographs
    return {m: {name: s[m] for name, s in scores.items()} for m in (FD, COLOURS, L1, VIVID, BRIGHT)}


def bars(summary: Json) -> list[tuple[str, bool]]:
    l1, both = (find(summary, way)["end"] for way in WAYS)
    a, b = (way[COLOURS]["mean"] for way in (l1, both))
    changed = both[BRIGHT]["mean"]
    return [
        (f"{COLOURS}: {b:.3f}, above L1's {a:.3f}", b > a),
        (f"{BRIGHT}: {changed:.3f} of 100, below the rounding of 8 bits, 0.3", changed < 0.3),
    ]


def drawn(contestants: list[Contestant], folder: Path) -> None:
    """Of photographs that may be shown anywhere, none of which training saw."""
    if contestants[0].case.seed != SEEDS[0]:
        return
    test = opens("photos").test
    rows = test.fetch(evenly(test, PICTURES))

    def coloured(c: Contestant) -> Tensor:
        assert isinstance(c.system, Translator)
        return c.system.translate(rows["input"], "input").float()

    shown = {"given": rows["input"], "true": rows["x"]}
    draw(contestants, shown, folder / "colour.png", coloured, side_by_side=2)


QUESTION = Question(
    name="colour",
    asks="Grey photographs to colour: does D keep the colours that distance alone washes out?",
    cases=tuple(
        Case(way, "pix2pix", "wallpapers", seed, SECONDS, {**CONFIG, **config}, (0.25, 0.5, 0.75, 1.0))
        for seed in SEEDS
        for way, config in WAYS.items()
    ),
    opens=opens,
    judge=lambda source: judge(source).contestant,
    references=references,
    charts=(Chart(COLOURS), Chart(VIVID), Chart(FD), Chart(L1)),
    bars=bars,
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
