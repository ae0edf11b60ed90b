"""Does G draw what the sentence says? That depends on what D is shown.

The lecture's claim: a D that sees images alone makes G ignore its condition; one that sees images with their sentences
need not ask whether they match; only mismatched pairs make it. Three trainings of gan_cls at equal time on characters
with sentences, 32 px, and the "traditional supervised approach" beside them: the same G learning to draw the training
image of each sentence by least squares. The tag judge, which took no part, reads the tags of what is made for test
sentences.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, mse_loss

from frechet import Distance
from mulligan.data import open_source
from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, STYLES, TAGS
from mulligan.data.source import Source, conditions
from mulligan.data.words import sentence
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.loader import Loader, Position
from mulligan.metrics import tags
from mulligan.metrics.agreement import share_shown, tags_read
from mulligan.metrics.features import Characters
from mulligan.observe import generate
from mulligan.race import AT_ONCE, SAMPLE_SEED
from mulligan.sheet import sheet, tile
from mulligan.systems.gan_cls import GANCLS, Config
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SIZE = 32
SECONDS = 180.0
SEEDS = (0, 1, 2)
N = 2_000
CONFIG: Json = {}
# by what D is shown
CONTESTANTS = {
    "images": {"d_terms": "image"},
    "pairs": {"d_terms": "pair"},
    "mismatches": {"d_terms": "mismatch"},
}
SEEN, UNSEEN, FD = "tags shown, combinations seen", "tags shown, combinations never seen", "FD (tag judge)"
MISMATCH, SHARP = "D knows mismatched real pairs", "sharpness"
DIVERSITY = "diversity within a sentence"
OF = {"hair colour": tuple(HAIR_COLOURS), "eye colour": tuple(EYE_COLOURS), "style": STYLES, "glasses": ("glasses",)}
EXCLUSIVE = (tuple(HAIR_COLOURS), tuple(EYE_COLOURS))
SHOWN = 8  # sentences in the picture
N_ASKED, EACH = 200, 4  # sentences of which samples are compared with each other, and how many of each


class Judge:
    """Judges images made for the test sentences."""

    def __init__(self, source: Source) -> None:
        self.rows = conditions(source.test, ("x", "text", "named", "tags"), N)
        self.named = self.rows["named"] > 0
        has = [self.named[:, [TAGS.index(tag) for tag in both]].all(1) for both in source.unseen]
        self.unseen = torch.stack(has).any(0)
        self.reader, _ = tags.load_judge()
        self.distance = Distance(Characters(), source.test, N)
        self.sharp = sharpness(self.rows["x"])

    def __call__(self, x: Tensor) -> Metrics:
        """Of images (N, 3, 32, 32), in the order of the sentences."""
        on = self.read(x)
        found = {
            SEEN: share_shown(on[~self.unseen], self.named[~self.unseen]),
            UNSEEN: share_shown(on[self.unseen], self.named[self.unseen]),
            FD: self.distance(x)[0],
            SHARP: sharpness(x) / self.sharp,
        }
        for kind, names in OF.items():
            columns = [TAGS.index(name) for name in names]
            found[f"shown: {kind}"] = share_shown(on[:, columns], self.named[:, columns])
        return found

    @torch.no_grad()
    def read(self, x: Tensor) -> Tensor:
        return tags_read(torch.cat([self.reader(part) for part in torch.split(x, 500)]), TAGS, EXCLUSIVE)

    @torch.no_grad()
    def mismatches(self, system: GANCLS) -> float:
        """How often D scores a real pair above the same image with the next row's sentence; 0.5: it does not look."""
        x, text = self.rows["x"], self.rows["text"]
        other = text.roll(1, 0)
        differs = (text != other).any(1)
        true, wrong = (
            torch.cat([system.discriminate(*pair) for pair in zip(x.split(500), t.split(500), strict=True)])
            for t in (text, other)
        )
        return float(((true > wrong).float() + (true == wrong).float() / 2)[differs].mean())

    def diversity(self, c: Contestant) -> float:
        """The mean distance of samples of one sentence by that of real images with the tags that it names, in 8 x 8
        mean colours."""
        asked = {"text": self.rows["text"][:N_ASKED].repeat_interleave(EACH, 0)}
        made = generate(c.system, N_ASKED * EACH, seed=SAMPLE_SEED, at_once=AT_ONCE, given=asked)["x"]
        ours = [float(torch.pdist(four).mean()) for four in coarse(made).view(N_ASKED, EACH, -1)]
        real, has = coarse(self.rows["x"]), self.rows["tags"] > 0
        fitting = [real[(has | ~named).all(1)] for named in self.named[:N_ASKED]]
        return statistics.mean(ours) / statistics.mean(float(torch.pdist(x).mean()) for x in fitting if len(x) >= EACH)


def coarse(x: Tensor) -> Tensor:
    """8 x 8 mean colours (N, 192) of images."""
    return adaptive_avg_pool2d(x, 8).flatten(1)


def sharpness(x: Tensor) -> float:
    """Mean square of the difference between neighbouring pixels, of images (N, C, H, W)."""
    return float(sum(x.diff(dim=d).square().mean() for d in (2, 3)))


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    judged = Judge(source)

    def measure(c: Contestant) -> Metrics:
        assert isinstance(c.system, GANCLS)
        return {**judged(c.generate(N)), MISMATCH: judged.mismatches(c.system), DIVERSITY: judged.diversity(c)}

    return measure


# --- beside them ----------------------------------------------------------------------------------------------


def references(source: Source) -> dict[str, Metrics]:
    """Real images, real images of other sentences (chance), pixel noise, and the regressor."""
    judged = Judge(source)
    x = judged.rows["x"]
    others = {
        "real data": x,
        "images of other sentences": x.roll(1, 0),
        "trivial": torch.cat(list(trivial_samples(source, N))),
        "L2 regressor": regressor()(judged.rows["text"]),
    }
    found = {name: judged(images) for name, images in others.items()}
    found["real data"][FD] = judged.distance(torch.cat(list(real_samples(source.held_out, N))))[0]  # not to itself
    return {metric: {name: values[metric] for name, values in found.items()} for metric in found["real data"]}


@cache
def regressor(seconds: float = 60.0, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """text (N, L) -> x (N, C, H, W): gan_cls's G without noise, trained to draw each training image of a sentence."""
    source = open_source("captions", size=SIZE)
    torch.manual_seed(seed)
    config = Config(**CONFIG)
    G = GANCLS(config, source.signals).G
    optimizer = torch.optim.Adam(G.parameters(), lr=1e-3)
    loader = Loader(source.train, config.batch, seed=seed)

    def draw(text: Tensor) -> Tensor:
        x: Tensor = G(torch.zeros(len(text), config.z_dim), text)
        return x

    until = time.process_time() + seconds
    for round in range(10**9):
        if time.process_time() > until:
            break
        batch = loader.at(Position(stage=0, round=round, turn=0, play=0, shard=0, shards=1))
        optimizer.zero_grad()
        mse_loss(draw(batch["text"]), batch["x"]).backward()
        optimizer.step()
    G.eval().requires_grad_(False)
    return draw


# --- what was to be reached -----------------------------------------------------------------------------------


def bars(summary: Json) -> list[tuple[str, bool]]:
    blind, pairs, three = (find(summary, name)["end"] for name in CONTESTANTS)
    chance = summary["references"]["captions"][SEEN]["images of other sentences"]
    found = []
    values = blind[SEEN]["values"]
    words = f"without a condition in D, tags are shown as by chance ({chance:.2f}), within 0.05: {told(values)}"
    found.append((words, max(abs(v - chance) for v in values) <= 0.05))
    best = all(t > p for t, p in zip(three[SEEN]["values"], pairs[SEEN]["values"], strict=True))
    found.append((f"mismatched pairs are best, every seed: {told(three[SEEN]['values'])} against "
                  f"{told(pairs[SEEN]['values'])}", best))  # fmt: skip
    for metric, least in ((SEEN, 0.85), (UNSEEN, 0.6)):
        values = three[metric]["values"]
        found.append(
            (f"mismatched pairs: {metric}, at least {least:.0%}, every seed: {told(values)}", min(values) >= least)
        )
    return found


def told(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def side_by_side(contestants: list[Contestant], folder: Path) -> None:
    """What each made of the first sentences from the first seed, beside the regressor and the data."""
    case, source = contestants[0].case, contestants[0].source
    if case.seed != SEEDS[0]:
        return
    rows = conditions(source.test, ("x", "text"), N)
    sentences = [sentence(row, source.signals["text"]) for row in rows["text"][:SHOWN]]
    lines = {"data": rows["x"], "L2 regressor": regressor()(rows["text"][:SHOWN])}
    for c in contestants:
        with c.shown():
            lines[c.case.name] = c.generate(N)
    rows_shown = [
        list(map(tile, images[:SHOWN], sentences if name == "data" else [name, *[""] * (SHOWN - 1)]))
        for name, images in lines.items()
    ]
    sheet(rows_shown).quantize(128).save(folder / "text-to-image.png")


QUESTION = Question(
    name="text_to_image",
    asks="Does G draw what the sentence says, and what must D be shown for that?",
    cases=tuple(
        Case(name, "gan_cls", "captions", seed, SECONDS, {**CONFIG, **config})
        for seed in SEEDS
        for name, config in CONTESTANTS.items()
    ),
    opens=partial(open_source, size=SIZE),
    judge=judge,
    references=references,
    charts=(
        Chart(SEEN),
        Chart(UNSEEN),
        Chart(MISMATCH, ((0.5, "D does not look"),)),
        Chart(FD, log=True),
        Chart(DIVERSITY),
    ),
    bars=bars,
    after=side_by_side,
)

if __name__ == "__main__":
    main(QUESTION)
