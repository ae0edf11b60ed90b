"""How a folder of images lies: whether it is made for going from one kind of image to another, and from which.

Known are the layouts that image-to-image data sets have had since pix2pix and CycleGAN: two folders, with partners of
equal names or without; `trainA`, `trainB`, `testA` and `testB`; and two images side by side in each file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mulligan.config import Data
from mulligan.data import names as source_names
from mulligan.data.folder import Listing, find
from mulligan.data.images import UnreadableError, header, quiet
from mulligan.errors import Mistake

LOOKED_AT = 50  # headers that decide whether files hold two images
WHOLE = 0.01  # by which width over height may miss 2
# names of what is given and of what is to be made of it
GIVEN = ("a", "input", "source", "from", "label", "map", "edge", "sketch", "line", "grey", "gray", "bw", "mask", "low")
WANTED = ("b", "output", "target", "to", "photo", "picture", "image", "colour", "color", "real", "high", "aerial")


class Layout(NamedTuple):
    """What was found.

    Attributes:
        pair: as `--pair` would name it.
        words: for people.
    """

    pair: str
    words: str


def find_layout(root: Path, name: str) -> Layout | None:
    """How a folder lies; None where it holds one kind of images, or more than two.

    Raises:
        ValueError: it holds no images.
    """
    listing = find(root, name)
    if len(listing.classes) == 2:
        return _two_folders(listing)
    if not listing.classes and _side_by_side(listing):
        words = "two images side by side in each file; --pair right:left takes them the other way"
        return Layout("left:right", words)
    return None


def layout_of(spec: str) -> Layout | None:
    """Of what a user names as data: how it lies, where it is a folder; None for all else."""
    path = Path(spec).expanduser()
    return find_layout(path, spec) if spec not in source_names() and path.is_dir() else None


def suited(data: Data, needs: Iterable[str]) -> Data:
    """Pairs, or two domains, as a system needs it, where the user has not said otherwise.

    Args:
        data: what the user said.
        needs: keys of a batch that the system needs.

    Raises:
        ValueError: two domains are asked for and pairs are needed, or a folder holds no images.
    """
    wanted = {"input", "x2"} & set(needs)
    if data.unpaired and "input" in wanted:
        raise Mistake("--unpaired: this system learns from pairs; leave it out, or train one that needs two domains")
    if not wanted:
        return data
    found: dict[str, Any] = {"unpaired": data.unpaired or "x2" in wanted}
    if data.pair is None and data.task in (None, "labels"):
        layout = layout_of(data.data)
        found["pair"] = layout.pair if layout else None
    return data.model_copy(update=found)


def added(typed: Data, chosen: Data) -> list[str]:
    """The options that `suited` has set, as messages name them."""
    pair = [] if chosen.pair == typed.pair else [f"--pair {chosen.pair}"]
    return pair if chosen.unpaired == typed.unpaired else [*pair, "--unpaired"]


@contextmanager
def untyped(*flags: str) -> Iterator[None]:
    """Inside, a mistake's message does not begin with an option that nobody typed."""
    try:
        yield
    except Mistake as mistake:
        for flag in flags:
            if str(mistake).startswith(f"{flag}: "):
                raise Mistake(str(mistake).removeprefix(f"{flag}: ")) from mistake
        raise


def _two_folders(listing: Listing) -> Layout:
    a, b = _in_order(*listing.classes)
    names: list[set[str]] = [set(), set()]
    for file, its in zip(listing.files, listing.names(), strict=True):
        names[listing.classes.index(a) != file.label].add(its)
    both = len(names[0] & names[1])
    partners = f"{both:,} files have a partner of the same name" if both else "no file has a partner of the same name"
    counts = f"{len(names[0]):,} in {a} and {len(names[1]):,} in {b}"
    return Layout(f"{a}:{b}", f"two folders, {counts}: {partners}; --pair {b}:{a} takes them the other way")


def _in_order(a: str, b: str) -> tuple[str, str]:
    """Two folders, what is given first: by what their names say, else by the alphabet."""

    def given(name: str) -> int:
        word = name.lower().rstrip("s")
        return -(word in GIVEN) + (word in WANTED)

    first, second = sorted((a, b), key=lambda name: (given(name), name))
    return first, second


def _side_by_side(listing: Listing) -> bool:
    """Whether files are twice as wide as high, all of those that are looked at and can be read."""
    step = max(1, len(listing.files) // LOOKED_AT)
    sizes = []
    with quiet():
        for file in listing.files[::step]:
            try:
                sizes.append(header(file.path)[:2])
            except UnreadableError:
                continue
    return bool(sizes) and all(abs(w / h / 2 - 1) <= WHOLE for w, h in sizes)
