"""Crops of photographs that come inside PyPI packages: to learn from, and what things are pasted onto.

Each split has photos of its own. The packages are read as folders and never imported, so what else they would need does
not have to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mulligan.data import Progress, cache
from mulligan.data.images import planes
from mulligan.data.packaged import located
from mulligan.data.source import Array, ArraySplit, DataCard, Source, Splits, fingerprint
from mulligan.errors import Mistake
from mulligan.signals import Signal

PACKAGES = ("scikit-image==0.26.0", "scikit-learn==1.9.1")  # as pyproject.toml pins them
# CC0, public domain or without known restrictions, as scikit-image says of each; flower and china are CC BY 2.0
PHOTOS: dict[str, tuple[str, ...]] = {
    "train": (
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/gravel.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/retina.jpg",
        "skimage/data/rocket.jpg",
    ),
    "held_out": ("skimage/data/grass.png", "sklearn/datasets/images/flower.jpg"),
    "test": ("skimage/data/astronaut.png", "sklearn/datasets/images/china.jpg"),
}
CREDIT = (
    "photos that come with scikit-image (NASA, SpaceX, STScI, CMMI, Lav Varshney, Mikael Häggström, Rachel Michetti, "
    "Stefan van der Walt, cc0textures.com) and scikit-learn (danielbuechele, vultilion; CC BY 2.0)"
)
CARD = DataCard(
    origin="photos that come with scikit-image 0.26.0 and scikit-learn 1.9.1",
    licence="CC0 / public domain / no known restrictions / CC BY 2.0",
    authors="NASA, SpaceX, STScI, CMMI, Lav Varshney, Mikael Häggström, Rachel Michetti, Stefan van der Walt, "
    "cc0textures.com / danielbuechele, vultilion (CC BY 2.0)",
    changes="cut into squares, some mirrored",
)
SIZE = 64
COUNTS = {"train": 4_000, "held_out": 500, "test": 500}
BATCH = 500  # crops that are looked at at a time
LEAST = 4.0  # 8-bit levels between neighbours at 32 px, on average: below are skies, walls and blurs
SEED = 17
SMALLEST = 1 / 4  # of a photo's shorter side: the side of the closest crop


def read(name: str) -> Image.Image:
    """A photo by its package and path, in RGB.

    Raises:
        ValueError: the package is missing, or the photo in it.
    """
    package, _, path = name.partition("/")
    missing = f'{name}: the photos of a package are missing; get them with: pip install "mulligan[photos]"'
    with Image.open(located(package, path, missing)) as image:
        return image.convert("RGB")


def open_photos(*, size: int | None = None, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1], or of side `size`: crops of photos that only their split has.

    Raises:
        ValueError: a package is missing, or the cache cannot be written.
    """

    def pictures() -> dict[str, list[Image.Image]]:
        return {name: [read(photo) for photo in names] for name, names in PHOTOS.items()}

    cut = partial(textured_splits, pictures, COUNTS, size or SIZE, progress)
    return open_crops("photos", CARD, COUNTS, size or SIZE, (PACKAGES, PHOTOS), cut)


# --- crops --------------------------------------------------------------------------------------------------


def crops(photos: Sequence[Image.Image], n: int, size: int, seed: int) -> Array:
    """uint8 (n, 3, size, size): squares of photos, from all of the shorter side down to a quarter, some mirrored."""
    state = np.random.RandomState([SEED, seed])
    which = state.randint(len(photos), size=n)
    # the side of the crop is drawn on a scale of ratios, its place evenly
    chosen = zip(which, state.random_sample((n, 4)), strict=True)
    return np.stack([_crop(photos[i], size, *u) for i, u in chosen])


def _crop(photo: Image.Image, size: int, close: float, left: float, top: float, mirrored: float) -> Array:
    shorter = min(photo.size)
    return square(photo, size, max(shorter * SMALLEST**close, min(shorter, size)), left, top, mirrored)


def square(photo: Image.Image, size: int, side: float, left: float, top: float, mirrored: float) -> Array:
    """uint8 (3, size, size): the square of a side in px of the photo, at a place in [0, 1), and mirrored or not."""
    width, height = photo.size
    x, y = left * (width - side), top * (height - side)
    box = (x, y, x + side, y + side)
    crop = photo.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    return planes(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored < 0.5 else crop)


def texture(crop: Array) -> float:
    """How much there is to learn from uint8 (3, H, W): the mean step between neighbours at 32 px, in 8-bit levels."""
    grey = Image.fromarray(crop.transpose(1, 2, 0)).convert("L").resize((32, 32), Image.Resampling.BOX)
    levels = np.asarray(grey).astype(np.float32)
    return float(np.abs(np.diff(levels, axis=0)).mean() + np.abs(np.diff(levels, axis=1)).mean()) / 2


def textured_splits(
    pictures: Callable[[], dict[str, list[Image.Image]]],
    counts: dict[str, int],
    size: int,
    progress: Progress | None,
    out: cache.ArrayWriter,
) -> None:
    """Write crops of the pictures of each split, those left out that are flat."""
    photos, total = pictures(), sum(counts.values())
    for number, (name, n) in enumerate(counts.items()):
        end = out.count + n
        # `crops` draws as many photos and places as it is asked for: new ones for each batch of each split
        for seed in count(len(counts) + number, len(counts)):
            kept = [crop for crop in crops(photos[name], BATCH, size, seed) if texture(crop) >= LEAST]
            assert kept, f"all photos of {name} are flat"
            for crop in kept[: end - out.count]:
                out.append(crop)
            if progress is not None:
                progress("cutting photos", out.count, total)
            if out.count == end:
                break


# --- the cache ----------------------------------------------------------------------------------------------


def open_crops(
    name: str,
    card: DataCard,
    counts: dict[str, int],
    size: int,
    recipe: tuple[Any, ...],
    cut: Callable[[cache.ArrayWriter], None],
) -> Source:
    """A source of crops, cut where the cache has none of that size.

    Args:
        name: of the source.
        card: its origin.
        counts: of crops by split.
        size: their side in px.
        recipe: what they follow from, beside what is said here.
        cut: writes the crops of training, then those of held_out, then those of test.
    """
    family = f"{name}-{size}-"
    entry = family + fingerprint([repr((counts, recipe, SEED, SMALLEST, BATCH, LEAST)).encode()])
    make = partial(_make, name=name, card=card, size=size, cut=cut)
    load = partial(_load, n=sum(counts.values()), size=size)
    x, content = cache.opened(entry, make, load, family=family)
    image = Signal("image", (3, size, size))
    return Source(name=name, signals={"x": image}, **in_turn(x, counts), fingerprint=content, card=card)


def in_turn(x: Array, counts: dict[str, int]) -> Splits:
    """The rows of x as splits, one after the other."""
    ends = np.cumsum(list(counts.values()))
    train, held_out, test = (
        ArraySplit({"x": x}, np.arange(end - n, end)) for end, n in zip(ends, counts.values(), strict=True)
    )
    return Splits(train=train, held_out=held_out, test=test)


def _make(
    place: Path, *, name: str, card: DataCard, size: int, cut: Callable[[cache.ArrayWriter], None]
) -> dict[str, Any]:
    with cache.ArrayWriter(place / "x.npy", (3, size, size), np.uint8) as out:
        cut(out)
    content = fingerprint([np.load(place / "x.npy", mmap_mode="r").data])
    return {"source": name, "fingerprint": content, "credit": card.credit}


def _load(place: Path, *, n: int, size: int) -> tuple[Array, str]:
    """The crops, memory-mapped, and the fingerprint."""
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    if x.shape != (n, 3, size, size):
        raise Mistake("the crops of the cache entry have another shape")
    return x, cache.meta(place)["fingerprint"]
