"""Some samples of a system that is told what to make, each with the words that it was made for."""

from __future__ import annotations

import base64
from html import escape

import torch

from mulligan import samples
from mulligan.conditions import in_words
from mulligan.model import Model
from mulligan.report.record import Record, group
from mulligan.sheet import sheet, tile

SEED = 1  # of the latents that the looks show
N, COLUMNS = 8, 4


def wishes(run: Record) -> str:
    """The figure, from the newest checkpoint; nothing where no words tell a condition, or the model is gone."""
    if not (run.told and run.finished and group(run.part("signals"), "x").get("kind") == "image"):
        return ""
    try:
        return _figure(Model.load(run.path))
    except (ValueError, OSError, KeyError):  # another version's run, a file that is gone: the rest is worth reading
        return ""


def _figure(model: Model) -> str:
    """Of the first examples that differ in words."""
    key = next(iter(model.given), "")
    told, signal = model.examples[key], model.system.signals[key]
    rows: dict[str, int] = {}
    for i, c in enumerate(told):
        rows.setdefault(in_words(c, signal), i)
    rows.pop("", None)
    words = list(rows)[:N]
    if not words:
        return ""
    given = {k: v[torch.tensor([rows[w] for w in words])] for k, v in model.examples.items()}
    x = next(iter(model.generate(len(words), seed=SEED, given=given).values()))
    tiles = [tile(image, w) for image, w in zip(x, words, strict=True)]
    picture = sheet([tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)])
    data = base64.b64encode(samples.png(picture, model.provenance(SEED))).decode("ascii")
    made_for = escape("; ".join(words))
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="Samples, made for: {made_for}" '
        f'width="{picture.width}" height="{picture.height}"><figcaption>what each was made for</figcaption></figure>'
    )
