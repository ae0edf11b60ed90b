"""Crops of photographs that come inside PyPI packages: what things are pasted onto.

Each split has photos of its own. The packages are read as folders and never imported, so what else they would need does
not have to be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from mulligan.data.images import planes
from mulligan.data.source import Array
from mulligan.errors import Mistake

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
SEED = 17
SMALLEST = 1 / 4  # of a photo's shorter side: the side of the closest crop


def read(name: str) -> Image.Image:
    """A photo by its package and path, in RGB.

    Raises:
        ValueError: the package is missing, or the photo in it.
    """
    package, _, path = name.partition("/")
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / path).is_file():
            with Image.open(file) as image:
                return image.convert("RGB")
    raise Mistake(f'{name}: the photos of a package are missing; get them with: pip install "mulligan[photos]"')


def crops(photos: Sequence[Image.Image], n: int, size: int, seed: int) -> Array:
    """uint8 (n, 3, size, size): squares of photos, from all of the shorter side down to a quarter, some mirrored."""
    state = np.random.RandomState([SEED, seed])
    which = state.randint(len(photos), size=n)
    # the side of the crop is drawn on a scale of ratios, its place evenly
    chosen = zip(which, state.random_sample((n, 4)), strict=True)
    return np.stack([_crop(photos[i], size, *u) for i, u in chosen])


def _crop(photo: Image.Image, size: int, close: float, left: float, top: float, mirrored: float) -> Array:
    width, height = photo.size
    side = max(min(width, height) * SMALLEST**close, min(width, height, size))
    x, y = left * (width - side), top * (height - side)
    box = (x, y, x + side, y + side)
    crop = photo.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    return planes(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored < 0.5 else crop)
