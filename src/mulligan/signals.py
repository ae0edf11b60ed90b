"""Signal: what one tensor of a batch is, and whether a source supplies what a system needs.

A batch is a dict of tensors. A data source publishes `signals: dict[str, Signal]`, a system states
`needs` and `makes` in the same words, and `match` compares them before the first round. This module
knows neither torch nor numpy.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mulligan.errors import Mistake

Kind = Literal["image", "points", "label", "tags", "text", "audio", "video", "voxels", "mask", "map"]
LIGHTNESS = "L"  # the name of a channel that is the brightness of another image, L of CIE Lab
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Signal:
    """One tensor of a batch.

    Tensors are float32 in [-1, 1] unless `range` says otherwise: image (N, C, H, W), audio (N, C, T),
    video (N, C, T, H, W), voxels (N, 1, D, H, W); points are (N, D) real numbers (range None); a label is
    int64 (N,) in range (0, n_classes - 1); tags are (N, T) in range (0, 1): 1.0 where a tag is true, else 0.0. A text
    is either word numbers, int64 (N, L) in range (0, n_words), 0 after the last, or an embedding (N, d), range None.

    Attributes:
        kind: one of KINDS.
        shape: the shape without the batch; None where any size will do (in `needs`).
        range: smallest and largest value, or None for the whole real line.
        rate: samples or frames a second, for audio and video.
        names: of a label's classes or a points' columns, where known; of tags always; of a text's words from 1 on; of
            the colours, "#rrggbb", of an image that is a map of labels, or LIGHTNESS of its channel.
        exclusive: of tags, groups of which at most one is true.
        offset: of points, one number a column; the user's unit is `offset + scale * x`.
        scale: see offset.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()
    range: tuple[float, float] | None = (-1.0, 1.0)
    rate: float | None = None
    names: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Mistake(f"signal kind {self.kind!r} is not known; use one of {', '.join(KINDS)}")

    @property
    def n_classes(self) -> int:
        """Number of classes of a label."""
        assert self.kind == "label" and self.range is not None, f"{self.kind} has no classes"
        return int(self.range[1]) + 1

    @property
    def size(self) -> int:
        """Numbers of one sample; what has any size counts once."""
        return math.prod(n or 1 for n in self.shape)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Signal:
        return cls(**{k: _tuples(v) for k, v in data.items()})

    def __str__(self) -> str:
        if all(n is None for n in self.shape):
            return self.kind
        return f"{self.kind} {'x'.join('any' if n is None else str(n) for n in self.shape)}"


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def fits(need: Signal, has: Signal) -> bool:
    """Whether `has` can serve as `need`: same kind, same rank, and each stated size equal."""
    if need.kind != has.kind or len(need.shape) != len(has.shape):
        return False
    return all(n is None or n == h for n, h in zip(need.shape, has.shape, strict=True))


def match(needs: dict[str, tuple[Signal, ...]], signals: dict[str, Signal], *, system: str, source: str) -> None:
    """Raise ValueError unless every need is met by the source's signal of that name.

    Args:
        needs: for each key of a batch, the signals that would do (any one of them).
        signals: what the source publishes.
        system: its name, for the message.
        source: its name, for the message.
    """
    for key, wanted in needs.items():
        has = signals.get(key)
        if has is not None and any(fits(need, has) for need in wanted):
            continue
        words = " or ".join(str(need) for need in wanted)
        if has is None:
            have = ", ".join(f"{k} ({s})" for k, s in signals.items())
            raise Mistake(f"{system} needs {key} ({words}), but {source} supplies only {have}{mend(key)}")
        raise Mistake(f"{system} needs {key} as {words}, but {source} supplies {has}; try another system")


def mend(key: str) -> str:
    """What would supply a key that is missing."""
    if key == "y":
        return "; put the images of each class in a folder of its own"
    if key == "tags":
        return "; --data characters supplies them, or a tags.csv beside your images"
    if key == "text":
        return "; --data captions supplies it, or a captions.csv beside your images"
    if key == "features":
        return "; --data characters --task tag_vectors supplies them"
    if key == "x2":
        return "; add --pair A:B, or --task edges"
    if key == "y2":
        return "; folders of each label within the folder of what is given, or --data mnist --task on_photos"
    if key == "input":
        return "; add --pair A:B, two folders or left:right, or --task edges or colour"
    if key in ("mask", "background"):
        return "; --data captions --task paste supplies it"
    return ""
