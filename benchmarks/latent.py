"""Does the latent space of a short run have directions for tags, and does it hold images that G was never shown?

On drawn characters of 32 px. Arithmetic (DCGAN): the shipped tag judge reads the tags of some samples, from which the
directions are taken; other samples, that lack a tag, are moved along its direction, and a second classifier, which had
no part in it, says whether the tag is there and what else has changed. Projection: of test images, the feature distance
to what is found, beside the best of 200 random samples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.edit import FARTHEST, Guide, guide, move
from mulligan.layers.sizes import resized
from mulligan.metrics import tags
from mulligan.networks.perceptual import FeatureDistance
from mulligan.project import search
from mulligan.space import Space
from mulligan.tagger import tag_judge
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main
from scorer import Scorer, train_scorer

SECONDS = 150.0
SEEDS = (0, 1, 2)
# small batches: at 128 and 8e-3, which suit MNIST, characters stand still for the first minute and a half (docs/log.md)
CONTESTANTS: dict[str, Json] = {"dcgan": {"width": 32, "z_dim": 64, "batch": 32, "lr": 2e-3}}
N_MOVED = 60  # samples a tag
N_PROJECTED, STEPS, STARTS = 20, 100, 3
ON, KEPT, ALL_KEPT, RANDOM_ON, RANDOM_KEPT = (
    "tag turned on", "other tags kept", "all other tags kept", "turned on by a random direction",
    "other tags kept by a random direction",
)  # fmt: skip
NAMES = (ON, KEPT, ALL_KEPT, RANDOM_ON, RANDOM_KEPT)
NEARER, RATIO, PIXELS = "projection nearer than the best of 200", "feature distance ratio", "pixel distance ratio"
"""The last two are of the projection by the best of 200 random samples."""


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """Arithmetic and projection."""
    measure, scorer, targets = (
        FeatureDistance(),
        second_reader(),
        source.test.fetch(torch.arange(N_PROJECTED).numpy())["x"],
    )

    def judged(c: Contestant) -> Metrics:
        c.system.requires_grad_(False)
        space = Space(c.system)
        return arithmetic(space, scorer) | projections(space, targets, measure)

    return judged


@cache
def second_reader() -> Scorer:
    scorer, right = train_scorer(open_source("characters", size=tags.SIDE))
    print(f"the scorer reads all tags of {right:.2%} of the test pictures right", flush=True)
    return scorer


# --- arithmetic --------------------------------------------------------------------------------------------


def arithmetic(space: Space, scorer: Callable[[Tensor], Tensor]) -> Metrics:
    """Means over all tags that at least one in a hundred random samples has, and of each tag; NaN of the other tags."""
    ways = guide(space, tag_judge())
    u = space.draw(1000, seed=2)  # other samples than those that told the directions
    before = read(scorer, space.samples(u))
    unknown = (math.nan,) * len(NAMES)
    rows = {t: _of_tag(ways, scorer, u, before, t) if _common(ways, t) else unknown for t in ways.tagger.names}
    known = [row for row in rows.values() if row is not unknown]
    found = {name: statistics.mean(row[i] for row in known) if known else 0.0 for i, name in enumerate(NAMES)}
    found["tags"] = float(len(known))
    return found | {f"{name}: {tag}": row[i] for i, name in enumerate((ON, KEPT)) for tag, row in rows.items()}


def _common(ways: Guide, tag: str) -> bool:
    share = float(ways.tags[:, ways.tagger.index(tag)].mean())
    return 0.01 <= share <= 0.99


def _of_tag(ways: Guide, scorer: Callable[[Tensor], Tensor], u: Tensor, before: Tensor, tag: str) -> tuple[float, ...]:
    t, others = ways.tagger.index(tag), ways.tagger.others(tag)
    lacks = (~before[:, t]).nonzero().flatten()[:N_MOVED]
    start, had = u[lacks], before[lacks]
    moved = move(ways, start, tag, True)
    length = (moved - start).flatten(1).norm(dim=1)
    generator = torch.Generator().manual_seed(t)
    aside = torch.nn.functional.normalize(torch.randn(start.shape, generator=generator), dim=1) * length[:, None]
    found: list[float] = []
    for place in (moved, start + aside):
        after = read(scorer, ways.space.samples(place))
        same = after[:, others] == had[:, others]
        found += [float(after[:, t].float().mean()), float(same.float().mean()), float(same.all(1).float().mean())]
    on, kept, all_kept, random_on, random_kept, _ = found
    return on, kept, all_kept, random_on, random_kept


@torch.no_grad()
def read(scorer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Tags (N, T), True where the scorer reads one."""
    return torch.cat([scorer(resized(part, tags.SIDE)) for part in torch.split(x, 500)]) > 0


# --- projection --------------------------------------------------------------------------------------------


def projections(space: Space, targets: Tensor, measure: FeatureDistance) -> Metrics:
    rows = []
    for target in targets:
        with torch.enable_grad():
            p = search(space, target[None], measure, seed=0, steps=STEPS, starts=STARTS)
        d = list(p.distances.values())
        rows.append((float(d[0] < d[1]), d[0] / d[1], d[3] / d[4]))
    nearer, ratio, pixels = (statistics.mean(column) for column in zip(*rows, strict=True))
    return {NEARER: nearer, RATIO: ratio, PIXELS: pixels}


# --- what was to be reached --------------------------------------------------------------------------------


def bars(summary: Json) -> list[tuple[str, bool]]:
    dcgan = find(summary, "dcgan")["end"]
    found = []
    for name, beside in ((ON, RANDOM_ON), (KEPT, RANDOM_KEPT), (ALL_KEPT, None)):
        values = dcgan[name]["values"]
        told = ", ".join(f"{v:.0%}" for v in values)
        random = f"; by a random direction {dcgan[beside]['mean']:.0%}" if beside else ""
        words = (
            f"dcgan, searching along the direction: {name}, at least 70 %, mean over tags, every seed ({told}{random})"
        )
        found.append((words, min(values) >= 0.7))
    for name in CONTESTANTS:
        values = find(summary, name)["end"][NEARER]["values"]
        told = ", ".join(f"{v:.0%}" for v in values)
        found.append(
            (f"{name}: {NEARER} random samples for at least 95 % of test images ({told})", min(values) >= 0.95)
        )
    return found


QUESTION = Question(
    name="latent",
    asks="Does the latent space of a short run have directions for tags, and hold images it was never shown?",
    cases=tuple(
        Case(system, system, "characters", seed, SECONDS, config, marks=(1.0,))
        for seed in SEEDS
        for system, config in CONTESTANTS.items()
    ),
    opens=lambda name: open_source(name, size=32),
    judge=judge,
    charts=(
        Chart(ON, ((0.7, "bar"),), title=f"tag turned on, share of samples (up to {FARTHEST:g} deviations away)"),
        Chart(KEPT, ((0.7, "bar"),), title="other tags kept, share"),
        Chart(RATIO, ((1.0, "best of 200 random"),), title="feature distance of projections"),
    ),
    bars=bars,
)

if __name__ == "__main__":
    main(QUESTION)
