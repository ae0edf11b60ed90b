"""The latent space of a finished run: a walk, a sum, mixed styles, and edits of some tags, from the newest checkpoint.

Left out where they would take seconds: the page is written at the end of every training.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from html import escape
from typing import Any

import torch
from PIL import Image

from mulligan import pictures, samples
from mulligan.arithmetic import arithmetic
from mulligan.arithmetic import picture as sum_picture
from mulligan.arrays import to_uint8
from mulligan.edit import LEAST, Guide, apply, guide, tiles
from mulligan.mixing import mix
from mulligan.mixing import picture as mix_picture
from mulligan.model import Model
from mulligan.report.record import Record, group
from mulligan.sheet import Tile, sheet
from mulligan.space import Space
from mulligan.tagger import shipped
from mulligan.walk import slerp

SEED = 1  # of the latents that the looks show
STEPS, WALKS = 9, 3
N_GUIDE = 500  # samples whose tags are read here; `mulligan edit` reads more
N_EDITS = 3
MAX_SECONDS = 2.5


def latent(run: Record) -> str:
    """The section; nothing for points, unfinished runs, systems that are told what to make (they have a latent space
    for each condition), and whatever cannot be drawn: a report never fails of it."""
    if run.told or not run.finished or group(run.part("signals"), "x").get("kind") != "image":
        return ""
    try:
        figures = _figures(Model.load(run.path))
    except Exception:  # a run of another version, a checkpoint that is gone: the rest of the page is worth reading
        figures = ["<p>It could not be drawn from the newest checkpoint; mulligan walk would say why.</p>"]
    if not figures:
        return ""
    return f"<section class=latent><h2>The latent space</h2>{''.join(figures)}</section>"


def _figures(model: Model) -> list[str]:
    space = Space(model.system)
    space.samples(space.draw(1, SEED))  # the first takes longer
    started, few = time.monotonic(), 16
    space.samples(space.draw(few, SEED))
    each = (time.monotonic() - started) / few  # seconds a sample
    found = []
    for draw, n in ((_walk, STEPS * WALKS), (_sum, 12), (_mix, 30), (_edits, 2 * N_GUIDE)):
        left = MAX_SECONDS - (time.monotonic() - started)
        if n * each < left and (shown := draw(model, space)) is not None:
            found.append(_figure(*shown, model))
    return found


def _walk(model: Model, space: Space) -> tuple[Image.Image, str]:
    u = space.draw(2 * WALKS, SEED)
    a, b = u[:WALKS], u[WALKS:]
    between: Callable[..., Any] = torch.lerp if space.styled else slerp
    steps = torch.stack([between(a, b, i / (STEPS - 1)) for i in range(STEPS)], 1)
    x = space.samples(steps.flatten(0, 1))
    return pictures.grid(
        to_uint8(x), STEPS
    ), "From latent to latent. A G that knew its images by heart would jump from one to the next."


def _sum(model: Model, space: Space) -> tuple[Image.Image, str]:
    words = "A sum of latents: the first samples of mulligan sample; mulligan arithmetic makes others, of tags too."
    return sum_picture(arithmetic(model, "#0 + #1 - #2")), words


def _mix(model: Model, space: Space) -> tuple[Image.Image, str] | None:
    if not space.styled:
        return None
    found = mix(model, rows=3, columns=5, seed=SEED)
    words = f"Mixed styles: layers before {found.from_layer} from the left, the others from above."
    return mix_picture(found), words


def _edits(model: Model, space: Space) -> tuple[Image.Image, str] | None:
    tagger = shipped(model)
    if tagger is None:
        return None
    ways = guide(space, tagger, n=N_GUIDE)
    shown: list[Tile] = []
    for tag in _chosen(ways):
        lacks = (ways.tags[:, tagger.index(tag)] == 0).nonzero().flatten()
        shown += tiles(apply(ways, ways.latents[lacks[:1]], {tag: True}), f"{tag} on")
    if not shown:
        return None
    return sheet([shown]), f"Edits, as the {tagger.name} reads them; mulligan edit makes others."


def _chosen(ways: Guide) -> list[str]:
    """Some tags, each of another group as far as there are groups, those first that most samples differ in."""
    share = dict(zip(ways.tagger.names, ways.tags.mean(0).tolist(), strict=True))
    known = [t for t in share if LEAST <= share[t] * len(ways.tags) <= len(ways.tags) - LEAST]
    known.sort(key=lambda tag: abs(share[tag] - 0.5))
    first = {next(t for t in known if t in group): None for group in ways.tagger.groups if set(group) & set(known)}
    return [*first, *(t for t in known if t not in first)][:N_EDITS]


def _figure(picture: Image.Image, words: str, model: Model) -> str:
    data = base64.b64encode(samples.png(picture, model.provenance(SEED))).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(words)}" width="{picture.width}" '
        f'height="{picture.height}"><figcaption>{escape(words)}</figcaption></figure>'
    )
