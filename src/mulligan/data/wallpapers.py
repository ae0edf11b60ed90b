"""Crops of photographs of nature and things: wallpapers from Debian's packages, and photos from PyPI's.

Each split has photos of its own, unlike each other. What a package has of abstract pictures is left out.
"""

from __future__ import annotations

from functools import partial

from PIL import Image

from mulligan.data import Progress, debian, photos
from mulligan.data.source import DataCard, Source

MATE = "usr/share/backgrounds/mate/nature/"
LOMIRI = "usr/share/backgrounds/"
PACKAGES = (
    debian.Package(
        "mate-backgrounds",
        (
            MATE + "Aqua.jpg",
            MATE + "Blinds.jpg",
            MATE + "Dune.jpg",
            MATE + "FreshFlower.jpg",
            MATE + "Garden.jpg",
            MATE + "GreenMeadow.jpg",
            MATE + "LadyBird.jpg",
            MATE + "RainDrops.jpg",
            MATE + "Storm.jpg",
            MATE + "TwoWings.jpg",
            MATE + "Wood.jpg",
            MATE + "YellowFlower.jpg",
        ),
        47,
    ),
    debian.Package(
        "lomiri-wallpapers-16.04",
        (
            LOMIRI + "Bridge_by_Sander_Klootwijk.jpg",
            LOMIRI + "Dragonfly_by_Bolly.jpg",
            LOMIRI + "Picture_0B_by_freespace.jpg",
            LOMIRI + "Picture_1A_by_freespace.jpg",
            LOMIRI + "Wine_by_Jakkub_Mede.jpg",
            LOMIRI + "aitzgorri_by_Aitzol_Berasategi.jpg",
            LOMIRI + "free_by_Peter_Nerlich.jpg",
            LOMIRI + "friends_by_Aitzol_Berasategi.jpg",
            LOMIRI + "greentock_by_Peter_Nerlich.jpg",
            LOMIRI + "life_by_Aitzol_Berasategi.jpg",
            LOMIRI + "picosdeeuropa_by_Aitzol_Berasategi.jpg",
            LOMIRI + "seeding_by_Clements_Engelhardt.jpg",
            LOMIRI + "sunset_by_Aitzol_Berasategi.jpg",
        ),  # analogpattern and umang are abstract
        16,
    ),
    # Fossa, Infinite-Sea and Painting-Colors are abstract
    debian.Package("lomiri-wallpapers-20.04", (LOMIRI + "Kleiber_by_Lukas_Baubkus.jpg",), 11),
)
# A flower, a mountain, a cat, a face and buildings are to be judged; leaves, dogs, a sunset, a cup and a flower are for
# looks during training. All that Debian's packages have beside these is trained on.
HELD_OUT = (
    MATE + "RainDrops.jpg",
    LOMIRI + "friends_by_Aitzol_Berasategi.jpg",
    LOMIRI + "sunset_by_Aitzol_Berasategi.jpg",
    "skimage/data/coffee.png",
    "sklearn/datasets/images/flower.jpg",
)
TEST = (
    MATE + "Garden.jpg",
    LOMIRI + "aitzgorri_by_Aitzol_Berasategi.jpg",
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "sklearn/datasets/images/china.jpg",
)
TRAIN = (
    *(path for package in PACKAGES for path in package.wanted if path not in (*HELD_OUT, *TEST)),
    "skimage/data/rocket.jpg",  # the other photos there are grey, or taken through a microscope or telescope
)
PHOTOS = {"train": TRAIN, "held_out": HELD_OUT, "test": TEST}
COUNTS = {"train": 8_000, "held_out": 800, "test": 800}
SIZE = 64
SHARP = 8  # sizes that the shorter side of a photo has: a crop of a quarter has twice the pixels that are kept of it
CARD = DataCard(
    origin="Debian's mate-backgrounds, lomiri-wallpapers-16.04 and -20.04, photos that come with scikit-image and "
    "scikit-learn",
    licence="GPL-2+ (mate) / CC0, CC BY 4.0, CC BY-SA 3.0 and 4.0, by file (lomiri) / CC0, public domain and CC BY 2.0",
    authors="Charles Barbin, Lennart Poettering, Andrea Cimitan, Marco Cogoni, Hylke Bons, Jens Ansorg, "
    "Timothy Schellhase, Lapo Calamandrei, blackcombwhistler07, Sergey Nazarov, Jean-François Fortin Tam / "
    "Sander Klootwijk, Bolly, Trevor Freespace, Jakub Mede, Aitzol Berasategi, Peter Nerlich, Clemens Engelhardt, "
    "Lukas Baubkus / NASA, SpaceX, Rachel Michetti, Stefan van der Walt, danielbuechele, vultilion",
    changes="cut into squares, some mirrored",
)


def open_wallpapers(*, size: int | None = None, progress: Progress | None = None) -> Source:
    """x: (N, 3, 64, 64) in [-1, 1], or of side `size`: crops of photos that only their split has.

    Raises:
        ValueError: a package is not there yet and cannot be fetched, or the cache cannot be written.
    """
    side = size or SIZE
    cut = partial(photos.textured_splits, partial(pictures, side, progress), COUNTS, side, progress)
    return photos.open_crops("wallpapers", CARD, COUNTS, side, (PHOTOS, photos.PACKAGES, SHARP), cut)


def pictures(size: int, progress: Progress | None = None) -> dict[str, list[Image.Image]]:
    """The photos of each split, no larger than crops of that size need."""
    laid = {path: file for package in PACKAGES for path, file in debian.files(package, "wallpapers", progress).items()}

    def picture(name: str) -> Image.Image:
        image = photos.read(name) if name not in laid else Image.open(laid[name], formats=("JPEG",))
        with image:
            side = SHARP * size / min(image.size)
            if side < 1:
                width, height = image.size
                image.thumbnail((width * side, height * side), Image.Resampling.LANCZOS)
            return image.convert("RGB")

    return {split: [picture(name) for name in names] for split, names in PHOTOS.items()}
