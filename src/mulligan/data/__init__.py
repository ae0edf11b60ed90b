"""Data sources: built-in ones by name, a folder of images, or an array file.

Importing this package is cheap; torch, numpy and Pillow are imported by the source that is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mulligan.data.examine import Report
    from mulligan.data.source import Source

Fit = Literal["crop", "pad", "stretch"]
Encoder = Literal["words", "minilm"]
Progress = Callable[[str, int, int], None]  # what is being done, how many are, how many in all

_BUILT_IN: dict[str, dict[str, Any]] = {
    "captions": {
        "kind": "image 3x64x64, 21 tags, text",
        "counts": {"train": 8_080, "held_out": 1_616, "test": 2_000},
        "licence": "CC BY 4.0",
        "about": "the characters with a sentence each; some combinations of hair colour and style are in test alone",
    },
    "characters": {
        "kind": "image 3x64x64, 21 tags",
        "counts": {"train": 10_000, "held_out": 2_000, "test": 2_000},
        "licence": "CC BY 4.0",
        "about": "drawn faces tagged with hair colour, eye colour, length and style of hair, glasses",
    },
    "earth": {
        "kind": "image 3x64x64, input",
        "counts": {"train": 4_098, "held_out": 591, "test": 603},
        "licence": "public domain / public domain / public domain / LGPL-3.0-or-later",
        "about": "squares of the globe from labels to the aerial picture, or between other layers that --pair names",
    },
    "emoji": {
        "kind": "image 3x64x64, 9 classes",
        "counts": {"train": 1_521, "held_out": 194, "test": 191},
        "licence": "Apache-2.0",
        "about": "Noto emoji as sprites in their categories, fetched by npm",
    },
    "emoji3": {
        "kind": "image 3x64x64, 3 classes, text",
        "counts": {"train": 4_320, "held_out": 582, "test": 654},
        "licence": "Apache-2.0 / CC BY 4.0 / MIT / MIT",
        "about": "1,852 emoji as Google, Twitter and Microsoft draw them, with names and keywords, fetched by npm",
    },
    "mnist": {
        "kind": "image 1x28x28, 10 classes",
        "counts": {"train": 50_000, "held_out": 10_000, "test": 10_000},
        "licence": "CC BY-SA 3.0",
        "about": "handwritten digits, the whole of MNIST, embedded in the package",
    },
    "painting": {
        "kind": "image 3x64x64, x2",
        "counts": {"train": 8_000, "held_out": 800, "test": 800},
        "licence": "GPL-2+; test only, not for pictures that are published",
        "about": "two domains: squares of one painting, and photos of nature, fetched by apt-get",
    },
    "photos": {
        "kind": "image 3x64x64",
        "counts": {"train": 4_000, "held_out": 500, "test": 500},
        "licence": "CC0 / public domain / no known restrictions / CC BY 2.0",
        "about": "crops of thirteen photos that come with scikit-image and scikit-learn",
    },
    "stacked": {
        "kind": "image 3x28x28, 1000 classes",
        "counts": {"train": 128_000, "held_out": 10_000, "test": 26_000},
        "licence": "CC BY-SA 3.0",
        "about": "three MNIST digits as red, green and blue: 1,000 modes to find",
    },
    "density": {
        "kind": "points 1",
        "counts": {"train": 100_000, "held_out": 10_000, "test": 10_000},
        "licence": "CC0-1.0",
        "about": "two Gaussians on a line, with the density known in closed form",
    },
    "ring": {
        "kind": "points 2",
        "counts": {"train": 100_000, "held_out": 10_000, "test": 10_000},
        "licence": "CC0-1.0",
        "about": "eight Gaussians on a circle",
    },
    "grid": {
        "kind": "points 2",
        "counts": {"train": 100_000, "held_out": 10_000, "test": 10_000},
        "licence": "CC0-1.0",
        "about": "twenty-five Gaussians in a square",
    },
    "wallpapers": {
        "kind": "image 3x64x64",
        "counts": {"train": 8_000, "held_out": 800, "test": 800},
        "licence": "GPL-2+ (mate) / CC0, CC BY 4.0, CC BY-SA 3.0 and 4.0, by file (lomiri) / CC0, public domain and "
        "CC BY 2.0",
        "about": "crops of 32 photos of nature and things, each in one split alone, fetched by apt-get",
    },
}


def names() -> list[str]:
    """The names of the built-in sources, sorted."""
    return sorted(_BUILT_IN)


def describe() -> list[dict[str, Any]]:
    """The built-in sources for a table: name, kind, counts by split, licence, about."""
    return [{"name": name, **_BUILT_IN[name]} for name in names()]


def open_source(
    spec: str,
    *,
    size: int | None = None,
    fit: Fit = "crop",
    alpha: bool = False,
    limit: int | None = None,
    task: str | None = None,
    pair: str | None = None,
    unpaired: bool = False,
    encoder: Encoder = "words",
    progress: Progress | None = None,
) -> Source:
    """Open a source: one of `names()`, a folder of images, or a .npy, .npz or .csv file.

    Args:
        spec: the name or path.
        size: side of the square images in pixels; None chooses one and says it in the source's notes.
        fit: how an image that is not square becomes so: its middle (crop), whole with white edges (pad) or
            distorted (stretch).
        alpha: keep transparency as a fourth channel instead of laying the image on white.
        limit: train on the first so many samples only; None: on all. The other splits stay whole.
        task: a name of `tasks.names()`: what else a batch holds, computed from its images.
        pair: `A:B`, from a class or a tag to another, which x is of: files of equal name are pairs, with `input` beside
            x, otherwise the first is a second domain, x2. `left:right` and `right:left` are the halves of each file.
        unpaired: two domains, x and x2, of different images, instead of pairs.
        encoder: sentences as word numbers (words), or as embeddings by a frozen network (minilm).
        progress: told how far it is while images are decoded, drawn or fetched for the first time.

    Raises:
        ValueError: in one line with value, rule and mend.
    """
    from mulligan.data.opening import open_any

    return open_any(
        spec, size=size, fit=fit, alpha=alpha, limit=limit, task=task, pair=pair, unpaired=unpaired, encoder=encoder,
        progress=progress,
    )  # fmt: skip


def check(
    spec: str,
    *,
    size: int | None = None,
    fit: Fit = "crop",
    alpha: bool = False,
    limit: int | None = None,
    task: str | None = None,
    pair: str | None = None,
    unpaired: bool = False,
    encoder: Encoder = "words",
    conditional: bool = False,
    progress: Progress | None = None,
) -> Report:
    """What is in a source, what stops a training with it and what hurts; see `examine.Report`.

    Args:
        spec: as for `open_source`.
        size: likewise.
        fit: likewise.
        alpha: likewise.
        limit: likewise.
        task: likewise.
        pair: likewise.
        unpaired: likewise.
        encoder: likewise.
        conditional: whether a system that needs at least two classes is to be trained.
        progress: likewise.

    Raises:
        ValueError: there is no such source, or an option does not fit it.
    """
    from mulligan.data.examine import examine
    from mulligan.data.layout import layout_of, untyped

    found = layout_of(spec) if task == "labels" and pair is None else None  # as training finds it
    open_it: Callable[..., Source] = partial(
        open_source, size=size, fit=fit, alpha=alpha, limit=limit, task=task, pair=found.pair if found else pair,
        unpaired=unpaired, encoder=encoder, progress=progress,
    )  # fmt: skip
    if found:
        open_it = untyped(f"--pair {found.pair}")(open_it)
    return examine(spec, open_it, conditional=conditional, progress=progress)


def get(name: str, *, progress: Progress | None = None) -> Path:
    """Lay a built-in source into the cache and return the folder with its .npy files.

    Raises:
        ValueError: no such name, what makes or fetches it is missing, or the cache cannot be written.
    """
    from mulligan.data.opening import materialise

    return materialise(name, progress)
