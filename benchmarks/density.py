"""Does D come to rest at its optimum, p_data / (p_data + p_g), and V(D, G) at -log 4?

`gan` on one number whose density is known (Goodfellow et al. 2014, proposition 1 and theorem 1), with both
of its losses for G. Also draws docs/figures/density.png and density.gif, the lecture's figure, from the
networks it trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch.nn.functional import softplus

from mulligan import __version__, figure
from mulligan.data.source import Source
from mulligan.figure import Snapshot
from mulligan.metrics.wasserstein import wasserstein_1
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 40.0
SEEDS = (0, 1, 2)
LOSSES = ("nonsaturating", "saturating")
MARKS = tuple(round((i / 32) ** 2, 5) for i in range(1, 33))  # dense at first, where the game moves
SHOWN = (0, 3, 8, 31)  # of the marks, in the picture
N = 50_000  # generated numbers
D_ERROR, V_ERROR, W1 = "|D - optimum|", "|V + log 4|", "W1"
BAR = 0.06

SNAPSHOTS: dict[str, list[Snapshot]] = {}  # of each case, a mark each


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """D against its optimum where p_data is above a hundredth of its peak; V on held-out data; W1."""
    held_out, test = (s.fetch(np.arange(len(s)))["x"] for s in (source.held_out, source.test))

    def measure(c: Contestant) -> Metrics:
        shot = figure.snapshot(c.system, source, c.loop.progress.round)
        SNAPSHOTS.setdefault(c.case.key, []).append(shot)
        support = shot.p_data > 0.01 * shot.p_data.max()
        optimum = shot.p_data / (shot.p_data + shot.p_g)
        fake = c.generate(N)
        # log D = -softplus(-logit), log(1 - D) = -softplus(logit)
        v = -softplus(-c.system.discriminate(held_out)).mean() - softplus(c.system.discriminate(fake)).mean()
        return {
            D_ERROR: float(np.abs(shot.D - optimum)[support].mean()),
            V_ERROR: abs(float(v) + math.log(4)),
            W1: wasserstein_1(fake[:, 0], test[:, 0]),
        }

    return measure


def references(source: Source) -> dict[str, Metrics]:
    held_out, test = (s.fetch(np.arange(len(s)))["x"][:, 0] for s in (source.held_out, source.test))
    return {W1: {"real data": wasserstein_1(held_out, test)}}


def bars(summary: Json) -> list[tuple[str, bool]]:
    end = find(summary, "nonsaturating")["end"]
    return [(f"nonsaturating: {m} <= {BAR}, every seed", max(end[m]["values"]) <= BAR) for m in (D_ERROR, V_ERROR)]


def figures(contestants: list[Contestant], folder: Path) -> None:
    """The lecture's figure of the first seed."""
    case = contestants[0].case
    if case.seed != SEEDS[0] or case.name != LOSSES[0]:
        return
    shots = SNAPSHOTS[case.key]
    figure.panels([shots[i] for i in SHOWN]).save(folder / "density.png")
    about = {
        "software": f"mulligan {__version__}",
        "system": case.system,
        "model": case.key,
        "seed": case.seed,
    }
    figure.animate(shots, folder / "density.gif", about, overwrite=True)


QUESTION = Question(
    name="density",
    asks="Does D come to rest at its optimum?",
    cases=tuple(
        Case(loss, "gan", "density", seed, SECONDS, {"loss": loss}, MARKS) for seed in SEEDS for loss in LOSSES
    ),
    judge=judge,
    references=references,
    charts=(
        Chart(D_ERROR, ((BAR, "bar"),), log=True, title="|D(x) - p_data / (p_data + p_g)|, mean"),
        Chart(V_ERROR, ((BAR, "bar"),), log=True, title="distance of V(D, G) from -log 4"),
        Chart(W1, log=True, title="Wasserstein-1 distance to test data"),
    ),
    bars=bars,
    after=figures,
)

if __name__ == "__main__":
    main(QUESTION)
