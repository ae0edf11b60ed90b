"""Does MC-GAN draw what a sentence says into a picture that it is given, and leave the rest of it alone?

On drawn characters pasted onto photos, 32 px, drawn into crops of photos that training never saw. Beside it GAN-CLS,
told the sentence alone. Two trivial ways stand beside both: the given picture as it is, and a random training character
pasted onto it by its true mask. Both leave the background alone and know nothing of the sentence.

Tags are read from whole pictures by a reader that is trained here, on real pasted characters; and, for whoever has a
mask, by the judge that ships, from what the mask cuts out, laid on white and enlarged. What both read of real pictures
is the most that can be reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.data.characters import EYE_COLOURS, HAIR_COLOURS, TAGS
from mulligan.data.cutouts import SCALE
from mulligan.data.source import Source, evenly
from mulligan.data.words import sentence
from mulligan.layers.sizes import resized
from mulligan.metrics import tags
from mulligan.metrics.agreement import share_shown, tags_read
from mulligan.metrics.features import to_8_bit
from mulligan.sheet import sheet, tile
from mulligan.systems.mcgan import outside
from mulligan.tagger import tag_judge
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main
from scorer import Scorer, train_scorer

SECONDS = 180.0
EPOCHS = 16  # of the reader
SEEDS = (0, 1, 2)
CONTESTANTS: dict[str, Json] = {"mcgan": {}, "gan_cls": {}}
SIDE = 32
N = 1_000
PICTURES = 8
RIM = 4  # px
GROUPS = (tuple(HAIR_COLOURS), tuple(EYE_COLOURS))  # each character has one of each
AWAY, AT_RIM = "background L1 outside the mask", "background L1 at the rim"
"""Mean distance to the given picture, of values in [-1, 1]; one pixel around the mask is left out. The rim is the same
for all: a mask that grows cannot make it smaller. Who makes no mask is given that of the real picture."""
SHOWN, HAIR, CUT = "named tags shown", "named hair colours shown", "named tags shown, cut out"
AREA, CHANGED = "mask area", "IoU of the mask and what changed"
CHANGE = 0.2  # of values in [-1, 1], in any colour


class Judge:
    """Judges pictures that were made for the test split's sentences and backgrounds."""

    def __init__(self, source: Source) -> None:
        self.rows = source.test.fetch(evenly(source.test, N))
        self.reader = reader()
        self.named = self.rows["named"]
        self.hair = self.named * torch.tensor([float(tag in HAIR_COLOURS) for tag in TAGS])

    def __call__(self, made: dict[str, Tensor]) -> Metrics:
        """Of x (N, 3, 32, 32) and, where there is one, mask (N, 1, 32, 32), both in [-1, 1]."""
        x = to_8_bit(made["x"])
        away = (x - self.rows["background"]).abs()
        on = tags_read(in_parts(self.reader, x), TAGS, GROUPS)
        found = {
            AWAY: mean_over(away, outside(made.get("mask", self.rows["mask"]))),
            AT_RIM: mean_over(away, rim()),
            SHOWN: share_shown(on, self.named),
            HAIR: share_shown(on, self.hair),
        }
        if "mask" not in made:
            return found
        mask, changed = made["mask"] >= 0, (away > CHANGE).any(1, keepdim=True)
        return found | {
            CUT: share_shown(tags_read(tag_judge()(cut_out(x, made["mask"])), TAGS, GROUPS), self.named),
            AREA: float(mask.double().mean()),
            CHANGED: float((mask & changed).sum() / (mask | changed).sum().clamp(min=1)),
        }


@cache
def reader() -> Scorer:
    """Of the tags of characters anywhere on anything."""
    scorer, right = train_scorer(open_source("characters", size=SIDE, task="paste"), epochs=EPOCHS)
    print(f"the reader reads all tags of {right:.2%} of the pasted test characters right", flush=True)
    return scorer


@torch.no_grad()
def in_parts(reader: Scorer, x: Tensor) -> Tensor:
    return torch.cat([reader(part) for part in torch.split(x, 500)])


def mean_over(values: Tensor, region: Tensor) -> float:
    """Of values (N, C, H, W), where a region (N or 1, 1, H, W) is 1."""
    region = region.expand(len(values), -1, -1, -1)
    return float((values * region).sum() / (values.shape[1] * region.sum()))


def rim() -> Tensor:
    """(1, 1, 32, 32), 1 in the outermost four pixels."""
    region = torch.ones(1, 1, SIDE, SIDE)
    region[:, :, RIM:-RIM, RIM:-RIM] = 0
    return region


def cut_out(x: Tensor, mask: Tensor) -> Tensor:
    """What masks cut out, on white, as large as the judge knows faces: (N, 3, 32, 32)."""
    share = (mask + 1) / 2
    white = torch.nn.functional.pad(share * x + 1 - share, (SIDE,) * 4, value=1.0)
    side = round(SCALE * SIDE)
    faces = []
    for picture, there in zip(white, mask[:, 0] >= 0, strict=True):
        top, left = (SIDE + (middle(there.any(1 - axis)) - side) // 2 for axis in (0, 1))
        faces.append(picture[:, top : top + side, left : left + side])
    return resized(torch.stack(faces), tags.SIDE)


def middle(there: Tensor) -> int:
    """Twice the middle of what is true in there (n,); that of all where nothing is."""
    places = there.nonzero().flatten()
    return int(places[0] + places[-1] + 1) if len(places) else len(there)


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    against = Judge(source)
    return lambda c: against(c.make(N))


def references(source: Source) -> dict[str, Metrics]:
    """The real pictures with their own sentences; a random character, and nothing, on the given background."""
    against = Judge(source)
    background = against.rows["background"]
    other = source.train.fetch(evenly(source.train, N))
    share = (other["mask"] + 1) / 2
    known = {
        "real": {"x": against.rows["x"], "mask": against.rows["mask"]},
        "paste random": {"x": share * other["x"] + (1 - share) * background, "mask": other["mask"]},
        "paste nothing": {"x": background},
    }
    scores = {name: against(made) for name, made in known.items()}
    del scores["real"][AWAY], scores["real"][AT_RIM], scores["real"][CHANGED]  # it stands on a background of its own
    return {m: {name: s[m] for name, s in scores.items() if m in s} for m in scores["paste random"]}


def bars(summary: Json) -> list[tuple[str, bool]]:
    ours, plain = (find(summary, name)["end"] for name in CONTESTANTS)
    found = []
    for metric in (AT_RIM, AWAY):
        a, b = ours[metric]["mean"], plain[metric]["mean"]
        found.append((f"{metric}: mcgan {a:.3f}, at most half of gan_cls's {b:.3f}", a <= b / 2))
    a, b = ours[SHOWN]["mean"], plain[SHOWN]["mean"]
    found.append((f"{SHOWN}: mcgan {a:.3f}, at most 5 points below gan_cls's {b:.3f}", a >= b - 0.05))
    return found


def into_pictures(contestants: list[Contestant], folder: Path) -> None:
    """Of the first seed: what was given, what mcgan made of it and its mask, and what gan_cls made of the sentence."""
    if contestants[0].case.seed != SEEDS[0]:
        return
    source = contestants[0].source
    rows = source.test.fetch(evenly(source.test, PICTURES))
    made = {}
    for c in contestants:
        with c.shown():
            made[c.case.name] = c.make(PICTURES)
    shown = []
    for i in range(PICTURES):
        row = [tile(rows["background"][i], sentence(rows["text"][i], source.signals["text"]))]
        for name, images in made.items():
            row += [tile(x[i].expand(3, -1, -1), name if key == "x" else key) for key, x in images.items()]
        shown.append(row)
    sheet([left + right for left, right in zip(shown[::2], shown[1::2], strict=True)]).save(folder / "mcgan-pasted.png")


QUESTION = Question(
    name="mcgan",
    asks="Does MC-GAN draw what a sentence says into a picture that it is given, and leave the rest of it alone?",
    cases=tuple(
        Case(system, system, "captions", seed, SECONDS, config)
        for seed in SEEDS
        for system, config in CONTESTANTS.items()
    ),
    opens=lambda name: open_source(name, size=SIDE, task="paste"),
    judge=judge,
    references=references,
    charts=(Chart(AT_RIM), Chart(SHOWN), Chart(HAIR), Chart(CUT)),
    lost=lambda metrics: not math.isfinite(metrics[AT_RIM]),
    bars=bars,
    after=into_pictures,
)

if __name__ == "__main__":
    main(QUESTION)
