"""Looks at a source before training does: what is there, what stops, what hurts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mulligan.data import Progress, names
from mulligan.data.images import NAMED, some
from mulligan.data.layout import layout_of, untyped
from mulligan.data.opening import locate
from mulligan.data.pair import NO_PAIRS
from mulligan.data.source import Source, content_keys
from mulligan.data.unpaired import plain
from mulligan.errors import Mistake
from mulligan.metrics.prdc import K
from mulligan.signals import Signal

FEW = 400  # to train on; below this a discriminator learns them by heart within minutes
IMBALANCE = 10.0  # largest class over smallest
MANY_DUPLICATES = 0.05
EXTREME_ASPECT = 2.5
UPSCALING = 1.5
NEAR_BITS = 4  # of 64 bits of the difference hash
NEAR_ERROR = 0.02  # squared difference of the thumbnails over their variance
NEAR_LIMIT = 60_000  # images compared with each other; more take minutes
FETCH = 512
Array = npt.NDArray[Any]


@dataclass
class Report:
    """What `examine` found.

    Attributes:
        source: its name.
        kind: what x is, as a Signal says it.
        layout: of a folder that is made for going from one kind of image to another.
        pairs: of each split, what a system of pairs would get of such a folder.
        no_pairs: why it would get none.
        single: files without a partner, with the folder that lacks it.
        unequal: files whose partners differ in shape, with both sizes, or of two images and another shape than most.
        counts: of each split, and "total".
        sizes: the most frequent original sizes of images, "640 x 480", and how often.
        aspect: width over height: smallest, median, largest; empty for points.
        modes: Pillow's modes of the originals (L, RGB, P ...) and how often.
        classes: images of each class.
        tags: images with each tag.
        exact_duplicates: rows equal to an earlier one, pairs in both images.
        near_duplicates: images that differ from an earlier one by next to nothing; None if not looked for.
        unreadable: files that were skipped, and why.
        notes: what the source said on opening.
        problems: sentences; any one stops a training.
        warnings: sentences; each hurts a training.
    """

    source: str
    kind: str = ""
    layout: str = ""
    pairs: dict[str, int] = field(default_factory=dict)
    no_pairs: str = ""
    single: dict[str, str] = field(default_factory=dict)
    unequal: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    aspect: list[float] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    exact_duplicates: int = 0
    near_duplicates: int | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def stops(self) -> bool:
        """Whether a training cannot work."""
        return bool(self.problems)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "stops": self.stops}

    def lines(self) -> list[str]:
        """The report for people, a line each."""
        rows = [
            ("source", f"{self.source}, {self.kind}" if self.kind else self.source),
            ("layout", self.layout),
            ("pairs", self.no_pairs or ", ".join(f"{k} {n:,}" for k, n in self.pairs.items())),
            ("no partner", _counted([f"{name} (not in {folder})" for name, folder in self.single.items()])),
            ("unequal", _counted([f"{name} ({sizes})" for name, sizes in self.unequal.items()])),
            ("counts", ", ".join(f"{k} {n:,}" for k, n in self.counts.items())),
            ("sizes", _most(self.sizes)),
            ("aspect", "{0:.2f} to {2:.2f}, median {1:.2f}".format(*self.aspect) if self.aspect else ""),
            ("modes", _most(self.modes)),
            ("classes", _most(self.classes)),
            ("tags", _most(self.tags, 40)),
            ("duplicates", self._duplicates()),
            ("unreadable", "; ".join(f"{f} ({why})" for f, why in self.unreadable.items())),
            *(("note", note) for note in self.notes),
            *(("stops", problem) for problem in self.problems),
            *(("hurts", warning) for warning in self.warnings),
        ]
        verdict = "cannot be trained on" if self.stops else "has weak points" if self.warnings else "is fine"
        return [
            *(f"{key:<11}{text}" for key, text in rows if text),
            f"{'verdict':<11}{self.source} {verdict}",
        ]

    def _duplicates(self) -> str:
        if not self.counts:
            return ""
        near = "" if self.near_duplicates is None else f", {self.near_duplicates:,} near"
        return f"{self.exact_duplicates:,} exact{near}"


def _counted(files: list[str]) -> str:
    more = " (--json lists them)" if len(files) > NAMED else ""
    return f"{len(files):,}: {some(files)}{more}" if files else ""


def _most(histogram: dict[str, int], at_most: int = 12) -> str:
    shown = ", ".join(f"{key}: {n:,}" for key, n in list(histogram.items())[:at_most])
    return shown + (f", and {len(histogram) - at_most} more" if len(histogram) > at_most else "")


def examine(spec: str, open_it: Callable[..., Source], *, conditional: bool, progress: Progress | None) -> Report:
    """See `mulligan.data.check`."""
    report = Report(spec)
    if spec not in names():
        locate(spec)  # a name or path that is not there is the caller's mistake, not the data's
    try:
        source = open_it(spec)
    except ValueError as error:
        report.problems.append(str(error))
        return report
    _describe(report, source)
    pairs = _layout(report, spec, source, open_it)
    judged = source if conditional or pairs is None else pairs
    report.notes = list(judged.notes)
    _find_duplicates(report, judged, progress)
    _classes(report, source, conditional)
    _conditions(report, source)
    _judge(report, judged)
    return report


def _describe(report: Report, source: Source) -> None:
    report.source, report.kind = source.name, str(source.signals["x"])
    report.counts = _counts(source)
    facts = source.facts
    report.sizes, report.modes = facts.get("sizes", {}), facts.get("modes", {})
    report.aspect, report.unreadable = facts.get("aspect", []), facts.get("unreadable", {})


def _layout(report: Report, spec: str, source: Source, open_it: Callable[..., Source]) -> Source | None:
    """What a folder looks like, and what a system of pairs would get of it: the pairs, where most images are in one."""
    if spec in names() or not locate(spec).is_dir():
        return None
    found = layout_of(spec)
    report.layout = f"{found.words} (--pair {found.pair})" if found else ""
    if found and not {"input", "x2"} & source.signals.keys():
        try:
            with untyped(f"--pair {found.pair}"):
                source = _as_pairs(spec, found.pair, open_it)
        except ValueError as error:
            report.no_pairs = str(error)
            return None
    report.no_pairs = source.facts.get(NO_PAIRS, "")
    report.single, report.unequal = source.facts.get("single", {}), source.facts.get("unequal", {})
    if "input" not in source.signals:
        return None
    report.pairs = _counts(source)
    return source if 4 * report.pairs["total"] > report.counts["total"] else None  # else equal names are chance


def _as_pairs(spec: str, pair: str, open_it: Callable[..., Source]) -> Source:
    source = open_it(spec, pair=pair)
    if NO_PAIRS in source.facts:
        raise Mistake(source.facts[NO_PAIRS])
    return source


def _counts(source: Source) -> dict[str, int]:
    counts = {name: len(split) for name, split in source.splits.items()}
    return {**counts, "total": sum(counts.values())}


# --- classes ------------------------------------------------------------------------------------------------


def _classes(report: Report, source: Source, conditional: bool) -> None:
    signal = source.signals.get("y")
    if signal is not None:
        report.classes = _histogram(source, signal)
    filled = sum(n > 0 for n in report.classes.values())
    if conditional and filled < 2 and not {"tags", "text"} & source.signals.keys():
        what = "no classes" if signal is None else "one class"
        mend = "put the images of each class in a folder of its own, or write a labels.csv"
        report.problems.append(f"{what}: a conditional system needs at least two; {mend}")
    empty = [name for name, n in report.classes.items() if n == 0]
    if empty and len(report.classes) <= 1000:
        report.warnings.append(f"{len(empty)} classes are empty: {', '.join(empty[:5])}")
    counts = [n for n in report.classes.values() if n]
    if counts and max(counts) > IMBALANCE * min(counts):
        report.warnings.append(
            f"the largest class has {max(counts):,}, the smallest {min(counts):,}: the small one will be learned badly"
        )


def _histogram(source: Source, signal: Signal) -> dict[str, int]:
    labels = [split.labels() for split in source.splits.values()]
    present = np.concatenate([y for y in labels if y is not None])
    counts = np.bincount(present, minlength=signal.n_classes)
    titles = signal.names or tuple(map(str, range(signal.n_classes)))
    return dict(zip(titles, counts.tolist(), strict=True))


def _conditions(report: Report, source: Source) -> None:
    """Counts of tags, and what would be told of a sample that is nothing, or cannot be true."""
    if "tags" in source.signals:
        signal, tags = source.signals["tags"], torch.cat(list(_batches(source, "tags"))) > 0
        report.tags = dict(zip(signal.names, tags.sum(0).tolist(), strict=True))
        _warn_of(report, ~tags.any(1), "have no tag", "say what they show, or take them out")
        for group in signal.exclusive:
            both = tags[:, [signal.names.index(name) for name in group]].sum(1) > 1
            _warn_of(report, both, f"have more than one of {', '.join(group)}", "at most one can be true")
    text = source.signals.get("text")
    if text is not None and text.range is not None:  # word numbers
        empty = torch.cat([(numbers == 0).all(1) for numbers in _batches(source, "text")])
        _warn_of(report, empty, "have an empty text", "say what they show, or take them out")


def _warn_of(report: Report, rows: torch.Tensor, have: str, mend: str) -> None:
    if n := int(rows.sum()):
        report.warnings.append(f"{n:,} of {len(rows):,} samples {have}: {mend}")


# --- duplicates ---------------------------------------------------------------------------------------------


def _find_duplicates(report: Report, source: Source, progress: Progress | None) -> None:
    if "features" in source.signals:
        return  # what goes with many features is there many times
    if "input" in source.signals:
        report.exact_duplicates = _repeated_pairs(source)
        return  # one image may well be in several pairs
    keys: list[bytes] = []
    hashes: list[Array] = []
    thumbs: list[Array] = []
    picture = source.signals["x"].kind == "image"
    for x in _batches(source, "x"):
        keys += content_keys(x.numpy())
        if picture and len(keys) <= NEAR_LIMIT:
            hashes.append(difference_hash(x))
            thumbs.append(thumbnails(x))
    report.exact_duplicates = len(keys) - len(set(keys))
    if not thumbs:
        return
    n = sum(map(len, thumbs))
    if len(keys) > n:
        report.notes.append(f"Near duplicates were looked for among the first {n:,} images.")
    first = _first_of_each(keys[:n])
    distinct = np.concatenate(hashes)[first], np.concatenate(thumbs)[first]
    report.near_duplicates = near_duplicates(*distinct, progress)


def _repeated_pairs(source: Source) -> int:
    """Those of which both images are equal to an earlier pair's; an input that is computed is if x is."""
    keys: list[tuple[bytes, ...]] = []
    for rows in _rows(source):
        keys += zip(*(content_keys(rows[key].numpy()) for key in ("x", "input") if key in rows), strict=True)
    return len(keys) - len(set(keys))


def _rows(source: Source) -> Iterator[dict[str, torch.Tensor]]:
    """Of every sample, of all splits, in parts, without what is computed of x."""
    for split in map(plain, source.splits.values()):
        for start in range(0, len(split), FETCH):
            yield split.fetch(np.arange(start, min(start + FETCH, len(split))))


def _batches(source: Source, key: str) -> Iterator[torch.Tensor]:
    """One signal of every sample, of all splits."""
    return (rows[key] for rows in _rows(source))


def _first_of_each(keys: list[bytes]) -> Array:
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return np.fromiter(first.values(), np.int64)


def thumbnails(x: torch.Tensor) -> Array:
    """uint8 (N, 1024): 32 x 32 px, grey, area-averaged, of images (N, C, H, W) in [-1, 1], alpha left out."""
    small = torch.nn.functional.adaptive_avg_pool2d(x[:, :3].mean(1, keepdim=True), (32, 32))
    levels: Array = ((small + 1) * 127.5).round().to(torch.uint8).flatten(1).numpy()
    return levels


def difference_hash(x: torch.Tensor) -> npt.NDArray[np.uint64]:
    """64 bits an image: whether brightness falls from each of 8 x 9 areas to its right neighbour."""
    small = torch.nn.functional.adaptive_avg_pool2d(x[:, :3].mean(1, keepdim=True), (8, 9)).numpy()
    bits = np.packbits((small[..., :-1] > small[..., 1:]).reshape(-1, 64), axis=1)
    return np.ascontiguousarray(bits).view(np.uint64).ravel()


def near_duplicates(hashes: npt.NDArray[np.uint64], thumbs: Array, progress: Progress | None = None) -> int:
    """How many images have an earlier one with nearly the same hash and nearly the same thumbnail.

    Every pair is compared: n² / 2 differences of 64-bit words, some ten seconds for 60,000 images.
    """
    near = np.zeros(len(hashes), bool)
    coarse = thumbs.reshape(-1, 8, 4, 8, 4).mean((2, 4), dtype=np.float32).reshape(-1, 64)
    allowed = NEAR_ERROR * thumbs.var(1, dtype=np.float32) + 1.0  # + 1 level², for flat images
    for start in range(0, len(hashes), 16):  # 16 rows of distances stay in the processor's cache
        rows = np.arange(start, min(start + 16, len(hashes)))
        distance = np.bitwise_count(hashes[rows, None] ^ hashes[None, : rows[-1]])
        a, b = np.divmod(np.flatnonzero(distance <= NEAR_BITS), max(int(rows[-1]), 1))
        later = rows[a] > b
        a, b = rows[a][later], b[later]
        for level in (
            coarse,
            thumbs,
        ):  # averaging only lowers the error: most pairs are out after the coarse one
            a, b = _closer(level, allowed, a, b)
        near[a] = True
        if progress is not None and start % 1024 == 0:
            progress("comparing images", start, len(hashes))
    return int(near.sum())


def _closer(level: Array, allowed: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Those pairs whose mean squared difference is allowed: simple shapes share a hash by chance."""
    close = np.zeros(len(a), bool)
    for start in range(0, len(a), 4096):
        part = slice(start, start + 4096)
        difference = level[a[part]].astype(np.float32) - level[b[part]]
        close[part] = np.einsum("ij,ij->i", difference, difference) <= allowed[a[part]] * level.shape[1]
    return a[close], b[close]


# --- what hurts ---------------------------------------------------------------------------------------------


def _judge(report: Report, source: Source) -> None:
    counts = _counts(source)
    n = counts.pop("total")
    what = "images" if source.signals["x"].kind == "image" else "points"
    if "input" in source.signals:
        what = "pairs"
    distinct = n - report.exact_duplicates
    if distinct < 2:
        report.problems.append(f"all {n} {what} are the same: there is nothing to learn")
    if (seen := min([counts.pop("train"), *source.facts.get("domains", {}).values()])) < FEW:
        report.warnings.append(
            f"{seen} {what} to train on are few (below {FEW}): the discriminator will know them by heart"
        )
    if few := [f"{its} in {split}" for split, its in counts.items() if its <= K]:
        report.warnings.append(
            f"{' and '.join(few)} are too few for mulligan evaluate, which takes more than {K}: add data"
        )
    if report.exact_duplicates > MANY_DUPLICATES * n:
        report.warnings.append(f"{report.exact_duplicates:,} of {n:,} {what} are exact duplicates: take them out")
    if (report.near_duplicates or 0) > MANY_DUPLICATES * n:
        report.warnings.append(f"{report.near_duplicates:,} of {n:,} images are near duplicates of others")
    if single := source.facts.get("single"):
        report.warnings.append(f"images without a partner are left out: {len(single):,}")
    if unequal := source.facts.get("unequal"):
        report.warnings.append(f"pairs are left out for their shape: {len(unequal):,}")
    if report.unreadable:
        report.warnings.append(f"{len(report.unreadable):,} files cannot be read and are skipped")
    _judge_pictures(report, source)


def _judge_pictures(report: Report, source: Source) -> None:
    facts, n = source.facts, report.counts["total"]
    grey = facts.get("n_grey", 0)
    if 0 < grey < n and not report.pairs:  # what is given may be of another kind than what is made
        report.warnings.append(f"{grey:,} of {n:,} images are grey, the others in colour: keep one kind")
    size, short = facts.get("size", 0), facts.get("short_side", [])
    if short and size > UPSCALING * short[1]:
        report.warnings.append(
            f"the median short side is {short[1]:.0f} px: at --size {size} images are blown up; try a smaller one"
        )
    if report.aspect and max(report.aspect[2], 1 / report.aspect[0]) > EXTREME_ASPECT:
        report.warnings.append(
            f"width over height goes from {report.aspect[0]:.2f} to {report.aspect[2]:.2f}: "
            "crop loses much of such images, --fit pad keeps them whole"
        )
