"""Is a second stage worth its time? StackGAN on characters of 32 px with a sentence each: what stage II makes of stage
I's images of 16 px, beside the same images enlarged, and beside GAN-CLS with the same seconds at the full side.

Also: what stage II makes of a sketch that was spoilt; and what conditioning augmentation is worth, by the way from one
sentence to another and by how various the images of one sentence are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from frechet import Distance
from mulligan import pictures
from mulligan.arrays import to_uint8
from mulligan.data import open_source
from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, TAGS
from mulligan.data.source import Source, conditions, evenly
from mulligan.data.words import sentence
from mulligan.evaluate import real_samples
from mulligan.metrics.agreement import diversity_ratio, share_shown, tags_read
from mulligan.metrics.features import Characters, to_8_bit
from mulligan.plot import font
from mulligan.race import SAMPLE_SEED
from mulligan.systems.stackgan import StackGAN, enlarged
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SECONDS = 180.0
SEEDS = (0, 1, 2)
CONTESTANTS: dict[str, tuple[str, Json]] = {
    "stackgan": ("stackgan", {}),
    "fixed codes": ("stackgan", {"augment_code": False}),
    "gan_cls": ("gan_cls", {}),
}
N = 2_000
PAIRS, STEPS = 200, 8  # ways from a sentence to another
SENTENCES, EACH = 40, 25  # for variety
SPOILT = 500
SHOWN = 8  # sentences in the picture
FD, TAGS_SHOWN = "FD (tag judge)", "named tags shown"
SKETCH = ", stage I enlarged"
LARGEST, HALF_WAY = "largest of 8 steps between two sentences", "FD half way between two sentences"
VARIETY = "variety at one sentence, real = 1"
SPOILS = ("noise", "hole")
DISTANCE = "distance from the whole"


class Judge:
    """What the tag judge sees in images that were made for the test sentences."""

    def __init__(self, source: Source) -> None:
        self.extractor = Characters()
        self.distance = Distance(self.extractor, source.test, N)
        self.named = conditions(source.test, ("named",), N)["named"]
        self.text = conditions(source.test, ("text",), N)["text"]
        rows = source.test.fetch(evenly(source.test, len(source.test)))
        self.real, self.tags = self.extractor(rows["x"]), rows["tags"]

    def __call__(self, c: Contestant) -> Metrics:
        found = self.of(c.make(N)["x"])
        if isinstance(c.system, StackGAN):
            with sketching(c.system):
                found |= {key + SKETCH: value for key, value in self.of(c.make(N)["x"]).items()}
        if c.spent >= c.case.budget:
            found |= self.between(c.system) | {VARIETY: self.variety(c.system)}
            if isinstance(c.system, StackGAN):
                found |= repairs(c.system, self.text[:SPOILT])
        return found

    def of(self, x: Tensor) -> Metrics:
        """Of images (N, 3, 32, 32), each for its test sentence."""
        distance, features = self.distance(x)
        return {FD: distance, TAGS_SHOWN: share_shown(self.read(features), self.named)}

    @torch.no_grad()
    def read(self, features: Tensor) -> Tensor:
        return tags_read(self.extractor.judge.head(features), TAGS, (tuple(HAIR_COLOURS), tuple(EYE_COLOURS)))

    def between(self, system: Any) -> Metrics:
        """On ways from one sentence's code to another's: how even they are, 1/8 at best, and what lies half way."""
        u, here, there = latents(system, N // 2), self.text[: N // 2], self.text[N // 2 :]
        half_way, _ = self.distance(on_the_way(system, u, here, there, 0.5))
        few = [part[:PAIRS] for part in (u, here, there)]
        stops = torch.stack([self.extractor(to_8_bit(on_the_way(system, *few, i / STEPS))) for i in range(STEPS + 1)])
        steps = (stops[1:] - stops[:-1]).norm(dim=2)
        return {LARGEST: float((steps.amax(0) / steps.sum(0)).mean()), HALF_WAY: half_way}

    def variety(self, system: Any) -> float:
        """Of images of one sentence; real are all test images that show what it names."""
        fakes, reals, fake_groups, real_groups = [], [], [], []
        for group, (text, named) in enumerate(zip(self.text[:SENTENCES], self.named[:SENTENCES], strict=True)):
            made = system.generate({"z": latents(system, EACH, seed=group), "text": text.expand(EACH, -1)})["x"]
            fakes.append(self.extractor(to_8_bit(made)))
            reals.append(self.real[(self.tags >= named).all(1)])
            fake_groups.append(torch.full((EACH,), group))
            real_groups.append(torch.full((len(reals[-1]),), group))
        return diversity_ratio(*map(torch.cat, (fakes, reals, fake_groups, real_groups)))


@contextmanager
def sketching(system: StackGAN) -> Iterator[None]:
    """Inside, a system in stage II makes what stage I makes, enlarged."""
    refining, system.refining = system.refining, False
    try:
        yield
    finally:
        system.refining = refining


def latents(system: Any, n: int, seed: int = 0) -> Tensor:
    torch.manual_seed(SAMPLE_SEED + seed)
    u: Tensor = system.latent(n)
    return u


def on_the_way(system: Any, u: Tensor, here: Tensor, there: Tensor, t: float) -> Tensor:
    """Images from latents u (N, z_dim), with codes at t between those of two sentences each (N, L)."""
    if not isinstance(system, StackGAN):
        x: Tensor = system.G.draw(system.G.latent(u, here).lerp(system.G.latent(u, there), t))
        return x
    z, *noise = torch.split(u, system.parts, 1)
    first, second = (
        G.code(here, e)[0].lerp(G.code(there, e)[0], t) for G, e in zip((system.G1, system.G2), noise, strict=True)
    )
    sketch = system.G1.draw(z, first)
    return system.G2.draw(sketch, second) if system.refining else enlarged(sketch)


def repairs(system: StackGAN, text: Tensor) -> Metrics:
    """How far a spoilt sketch takes what stage II makes of it from what it makes of the whole one, by the distance of
    two different samples: a G2 that ignores its sketch mends nothing. The same of sketches enlarged."""
    z, first, second = torch.split(latents(system, len(text)), system.parts, 1)
    sketch, _ = system.G1(z, first, text)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "after stage II": lambda x: system.G2(x, second, text)[0],
        "enlarged": enlarged,
    }
    found = {}
    for how in SPOILS:
        for name, way in ways.items():
            whole = way(sketch)
            found[f"{how}: {DISTANCE} {name}"] = distance(way(spoil(sketch, how)), whole) / distance(
                whole.roll(1, 0), whole
            )
    return found


def distance(x: Tensor, y: Tensor) -> float:
    """The root of the pixels' mean square, a mean over images."""
    return float((x - y).square().mean((1, 2, 3)).sqrt().mean())


def spoil(x: Tensor, how: str) -> Tensor:
    """Images (N, C, S, S) under noise of deviation 0.3, or with a grey square in the middle, a quarter of the side."""
    if how == "noise":
        return (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    x, side = x.clone(), x.shape[-1]
    inside = slice(3 * side // 8, 5 * side // 8)
    x[:, :, inside, inside] = 0
    return x


def references(source: Source) -> dict[str, Metrics]:
    """Real images as they are, of another split for the distance; and at 16 px, enlarged: what a perfect stage I would
    reach."""
    judge = Judge(source)
    other = torch.cat(list(real_samples(source.held_out, N)))
    own = source.test.fetch(evenly(source.test, N))["x"]
    coarse = partial(avg_pool2d, kernel_size=2)
    return {
        FD: {
            "real data": judge.distance(other)[0],
            "real data of 16 px, enlarged": judge.distance(enlarged(coarse(other)))[0],
        },
        TAGS_SHOWN: {
            "real data": judge.of(own)[TAGS_SHOWN],
            "real data of 16 px, enlarged": judge.of(enlarged(coarse(own)))[TAGS_SHOWN],
        },
    }


def bars(summary: Json) -> list[tuple[str, bool]]:
    end = find(summary, "stackgan")["end"]
    both = list(zip(end[FD]["values"], end[FD + SKETCH]["values"], strict=True))
    told = ", ".join(f"{fine:.0f} against {coarse:.0f}" for fine, coarse in both)
    fine, coarse = end[TAGS_SHOWN], end[TAGS_SHOWN + SKETCH]
    spread = fine["spread"] + coarse["spread"]
    return [
        (f"stage II is nearer to the data than stage I enlarged, every seed ({told})", all(f < c for f, c in both)),
        (
            f"it shows {fine['mean']:.1%} of the named tags, stage I {coarse['mean']:.1%}: no loss beyond the spread",
            fine["mean"] >= coarse["mean"] - spread,
        ),
    ]


# --- the picture -------------------------------------------------------------------------------------------


def rows(contestants: list[Contestant], folder: Path) -> None:
    """The first seed's images of the first test sentences: of stage I, these enlarged, of stage II."""
    c = contestants[0]
    if c.case.seed != SEEDS[0] or not isinstance(c.system, StackGAN):
        return
    told = conditions(c.source.test, ("text",), N)["text"][:SHOWN]
    with c.shown():
        u = latents(c.system, SHOWN)
        z, noise, _ = torch.split(u, c.system.parts, 1)
        sketch, _ = c.system.G1(z, noise, told)
        lines = [
            interpolate(sketch, scale_factor=2.0),
            enlarged(sketch),
            c.system.generate({"z": u, "text": told})["x"],
        ]
    tiles = pictures.grid(to_uint8(torch.cat(lines).float()), SHOWN)
    tiles = tiles.resize((2 * tiles.width, 2 * tiles.height), Image.Resampling.NEAREST)
    texts = [sentence(row, c.source.signals["text"]) for row in told]
    under(tiles, texts, ["stage I", "enlarged", "stage II"]).save(folder / "stackgan.png")


def under(tiles: Image.Image, texts: list[str], names: list[str]) -> Image.Image:
    """A grid of images with a name before each row and a sentence below each column."""
    left, below, width = 110, 112, tiles.width / len(texts)
    sheet = Image.new("RGB", (left + tiles.width, tiles.height + below), "white")
    sheet.paste(tiles, (left, 0))
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(names):
        draw.text((left - 10, (i + 0.5) * tiles.height / len(names)), name, "black", font(18), anchor="rm")
    for i, text in enumerate(texts):
        lines = "\n".join(textwrap.wrap(text, 17))
        draw.multiline_text(
            (left + (i + 0.5) * width, tiles.height + 8), lines, "black", font(14), "ma", align="center"
        )
    return sheet


QUESTION = Question(
    name="stackgan",
    asks="Is a second stage worth its time, against stage I enlarged and against one stage at the full side?",
    cases=tuple(
        Case(name, system, "captions", seed, SECONDS, config, (0.25, 0.5, 0.75, 1.0))
        for seed in SEEDS
        for name, (system, config) in CONTESTANTS.items()
    ),
    opens=partial(open_source, size=32),
    judge=Judge,
    references=references,
    charts=(
        Chart(FD, log=True),
        Chart(FD + SKETCH, log=True),
        Chart(TAGS_SHOWN, title="share of the named tags that are shown"),
    ),
    bars=bars,
    after=rows,
)

if __name__ == "__main__":
    main(QUESTION)
