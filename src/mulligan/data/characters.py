"""Drawn faces with exact tags: "Adventurer" by Lisa Wischofsky, put together on the spot from parts that we choose.

The artist's parts come with the Python port of DiceBear, so nothing is fetched. A picture's tags are the parts and
colours it was drawn from. Parts that would make a tag untrue are left out: closed or winking eyes, hair that falls over
an eye, dark lenses, a bald head. docs/log.md says how each tag looks at 32 px.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from mulligan.data import Progress, cache
from mulligan.data.images import planes
from mulligan.data.source import ArraySplit, DataCard, Source, content_keys, fingerprint
from mulligan.errors import Mistake
from mulligan.signals import Signal

PACKAGES = ("dicebear-core==10.7.0", "dicebear-styles==10.6.0", "resvg-py==0.5.0")  # as pyproject.toml pins them
SIZE = 64
SEED = 7
ROWS = {"train": (0, 10_000), "held_out": (10_000, 12_000), "test": (12_000, 14_000)}
ZOOM = (1.05, 1.2)  # of the style's canvas: at 32 px an iris is two pixels wide
TILT = (-10.0, 10.0)  # in degrees; upright faces would differ too little from each other

HAIR_COLOURS = {
    "black hair": "#17141c",
    "brown hair": "#5f3413",
    "blonde hair": "#f5d45e",
    "red hair": "#cf2b1f",
    "pink hair": "#f78fc2",
    "purple hair": "#8038b8",
    "blue hair": "#2b5fe0",
    "green hair": "#37a048",
}
EYE_COLOURS = {
    "blue eyes": "#1e78ff",
    "green eyes": "#0fa53c",
    "red eyes": "#e61919",
    "purple eyes": "#a32be6",
    "yellow eyes": "#f2b600",
}
# Long or short is what the part's name says; hair that is pinned up shows neither.
HAIR = {
    "long01": ("long hair",),
    "long05": ("long hair",),
    "long06": ("long hair", "curly hair"),
    "long07": ("long hair",),
    "long09": ("long hair",),
    "long10": ("buns",),
    "long11": ("buns",),
    "long12": ("long hair", "buns"),
    "long13": ("buns",),
    "long14": ("long hair", "twintails"),
    "long15": ("twintails",),
    "long16": ("long hair", "ponytail"),
    "long17": ("long hair",),
    "long19": ("long hair", "ponytail"),
    "long23": ("buns",),
    "short01": ("short hair",),
    "short02": ("short hair",),
    "short03": ("short hair", "curly hair"),
    "short07": ("short hair",),
    "short08": ("short hair",),
    "short09": ("short hair",),
    "short10": ("short hair",),
    "short11": ("short hair",),
    "short14": ("short hair",),
    "short15": ("short hair", "spiky hair"),
    "short16": ("short hair", "spiky hair"),
    "short17": ("short hair", "curly hair"),
    "short18": ("short hair", "curly hair"),
}
EYES = tuple(f"variant{n:02}" for n in (1, 2, 3, 23, 24, 25, 26))
GLASSES = (None, None, None, None, "variant02", "variant04")
# what no tag speaks of
SKIN = ("#f6dcc0", "#e8b483", "#c07d4a", "#96582f")
EYEBROWS = tuple(f"variant{n:02}" for n in range(2, 16))  # the first covers part of the iris
MOUTHS = tuple(f"variant{n:02}" for n in range(1, 31) if n != 13)  # that one drools in green

STYLES = ("long hair", "short hair", "curly hair", "spiky hair", "ponytail", "twintails", "buns")
EXCLUSIVE = (tuple(HAIR_COLOURS), tuple(EYE_COLOURS), ("long hair", "short hair"))
TAGS = (*HAIR_COLOURS, *EYE_COLOURS, *STYLES, "glasses")
CARD = DataCard(
    origin='"Adventurer"',
    licence="CC BY 4.0",
    authors="Lisa Wischofsky",
    changes="modified: parts chosen, coloured anew and put together",
)
Array = npt.NDArray[Any]
Part = TypeVar("Part")


def open_characters(*, size: int | None = None, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1], or of side `size`, on white; tags: (N, T), 1.0 where a tag is true, else 0.0.

    Raises:
        ValueError: a package to draw with is missing, or the cache cannot be written.
    """
    side = size or SIZE
    make, load = partial(_make, size=side, progress=progress), partial(_load, size=side)
    arrays, content = cache.opened(entry(side), make, load, family=_family(side))
    splits = {name: ArraySplit(arrays, np.arange(*rows)) for name, rows in ROWS.items()}
    return Source(
        name="characters",
        signals={
            "x": Signal("image", (3, side, side)),
            "tags": Signal("tags", (len(TAGS),), (0, 1), names=TAGS, exclusive=EXCLUSIVE),
        },
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=content,
        card=CARD,
    )


def cached(size: int = SIZE, progress: Progress | None = None) -> Path:
    """The cache's folder with x.npy and tags.npy."""
    return cache.stored(entry(size), partial(_make, size=size, progress=progress), family=_family(size))


def character(number: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What DiceBear is told to draw, and the tags that are true of it; the same number, the same character."""
    state = np.random.RandomState([SEED, number])

    def pick(parts: Sequence[Part]) -> Part:
        return parts[int(state.random_sample() * len(parts))]

    def between(low: float, high: float) -> float:
        return low + (high - low) * state.random_sample()

    hair, hair_colour = pick(tuple(HAIR)), pick(tuple(HAIR_COLOURS))
    eyes, eye_colour = pick(EYES), pick(tuple(EYE_COLOURS))
    glasses = pick(GLASSES)
    options = {
        "hairVariant": hair,
        "hairColor": HAIR_COLOURS[hair_colour],
        "eyesVariant": eyes,
        "eyesColor": EYE_COLOURS[eye_colour],
        "glassesVariant": [glasses] if glasses else [],
        "glassesProbability": 100,
        "skinColor": pick(SKIN),
        "eyebrowsVariant": pick(EYEBROWS),
        "mouthVariant": pick(MOUTHS),
        "earringsProbability": 0,
        "detailsProbability": 0,
        "flip": pick(("none", "horizontal")),
        "rotate": between(*TILT),
        "scale": between(*ZOOM),
    }
    return options, (hair_colour, eye_colour, *HAIR[hair], *(["glasses"] if glasses else []))


def drawer(size: int, background: str | None = "white") -> Callable[[dict[str, Any]], Array]:
    """A function from DiceBear's options to a picture, uint8 (3, size, size); (4, size, size) with no background.

    Raises:
        ValueError: a package is missing.
    """
    try:
        import resvg_py
        from dicebear import Avatar, Style

        style = Style(json.loads((files("dicebear_styles") / "adventurer.json").read_text(encoding="utf-8")))
    except ImportError as error:
        raise Mistake(
            f'characters are drawn by a package that is missing ({error.name}): pip install "mulligan[characters]"'
        ) from error

    def draw(options: dict[str, Any]) -> Array:
        svg = str(Avatar(style, options))
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=size, height=size, background=background, skip_system_fonts=True
        )
        return planes(Image.open(io.BytesIO(bytes(png))).convert("RGB" if background else "RGBA"))

    return draw


# --- the cache ----------------------------------------------------------------------------------------------


def _family(size: int) -> str:
    return f"characters-{size}-"


def entry(size: int) -> str:
    """Changes with what draws and what is drawn: the first characters have every part and colour among them."""
    recipe = (PACKAGES, ROWS, TAGS, [character(number) for number in range(300)])
    return _family(size) + fingerprint([repr(recipe).encode()])


def _n() -> int:
    return max(high for _, high in ROWS.values())


def _make(place: Path, *, size: int, progress: Progress | None) -> dict[str, Any]:
    """Draw characters 0, 1, 2 ... until there are enough, passing over those that look like an earlier one."""
    draw = drawer(size)
    total = _n()
    keys: dict[bytes, None] = {}  # a fringe hides eyebrows: two characters may look alike, and splits share no picture
    tags = np.zeros((total, len(TAGS)), np.float32)
    with cache.ArrayWriter(place / "x.npy", (3, size, size), np.uint8) as out:
        for number in count():
            if len(keys) == total:
                break
            options, true = character(number)
            picture = draw(options)
            (key,) = content_keys(picture[None])
            if key in keys:
                continue
            tags[len(keys), [TAGS.index(tag) for tag in true]] = 1
            keys[key] = None
            out.append(picture)
            if progress is not None and len(keys) % 100 == 0:
                progress("drawing characters", len(keys), total)
    np.save(place / "tags.npy", tags)
    content = fingerprint([str(size).encode(), *keys, tags.tobytes()])
    return {"source": "characters", "tags": TAGS, "fingerprint": content, "credit": CARD.credit}


def _load(place: Path, *, size: int) -> tuple[dict[str, Array], str]:
    """The arrays, memory-mapped, and the fingerprint."""
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    tags = np.load(place / "tags.npy", allow_pickle=False)
    if x.shape[1:] != (3, size, size) or not len(x) == len(tags) == _n():
        raise Mistake("the parts of the cache entry have another shape")
    return {"x": x, "tags": tags}, cache.meta(place)["fingerprint"]
