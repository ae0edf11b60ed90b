"""A run whose system makes images from images, applied to pictures, folders of them and videos."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mulligan import pictures, samples, video
from mulligan.arrays import to_uint8
from mulligan.data import images
from mulligan.data.images import TooLargeError, UnreadableError, shown
from mulligan.errors import Mistake
from mulligan.inputs import Door, Picture, UnsuitedError
from mulligan.layers.tiles import TILE
from mulligan.model import Model
from mulligan.signals import Signal

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]
WRITABLE = (1, 2, 3, 4)  # channels
READ = (*images.SUFFIXES, *video.READ)  # what is taken of a folder
BAD = (UnreadableError, TooLargeError, UnsuitedError)  # what is wrong with one file, and no reason to stop


@dataclass
class Applied:
    """What became of some inputs.

    Attributes:
        written: files, in order.
        failed: why an input could not be translated.
        notes: what was done to inputs to suit the run, each once.
    """

    written: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Job(NamedTuple):
    """One file to be made of another."""

    source: Path
    target: Path


def apply(
    model: Model,
    inputs: Iterable[Path | str],
    out: Path | str,
    *,
    back: bool = False,
    seed: int = 0,
    size: int | None = None,
    tile: int = TILE,
    overwrite: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Applied:
    """Translate files.

    Args:
        model: of a system that makes images from images.
        inputs: pictures, videos, and folders of them.
        out: a file for one input, else a folder, in which paths are as they were below their folders.
        back: the system's second way, where it has one.
        seed: of noise; each picture, and each frame, has the same.
        size: the longer side that pictures are scaled to before, in px; None: each keeps its own.
        tile: pictures with a longer side are cut into overlapping tiles of this side, in px.
        overwrite: replace what is there.
        progress: called with what is done, how far, of how much.
        say: called with what there is to say of an input, as soon as it is known.

    Raises:
        ValueError: the run does not make images from images, an input or the place for the output is not fit, or no
            input can be translated.
        OSError: the disk is full or cannot be written.
    """
    door = Door(_given(model, back), size, model.translator().side)
    hand = Hand(model, door, back, seed, tile, progress)
    jobs, aside = planned([Path(given) for given in inputs], Path(out), overwrite)
    applied = Applied(notes=_left_out(aside))
    if say is not None:
        for note in applied.notes:
            say(note)
    for i, job in enumerate(jobs):
        try:
            with samples.told(job.target):
                notes = (_film if job.target.suffix.lower() in video.WRITTEN else _picture)(hand, job, overwrite)
        except BAD as error:
            applied.failed[job.source] = str(error)
            notes = [f"{shown(str(job.source))} cannot be translated ({error})"] if len(jobs) > 1 else []
        else:
            applied.written.append(job.target)
            notes = [note for note in notes if note not in applied.notes]
            applied.notes += notes
        if progress is not None:
            progress("translating", i + 1, len(jobs))
        if say is not None:
            for note in notes:
                say(note)
    if not applied.written:
        raise Mistake(_nothing(applied.failed))
    return applied


def _left_out(aside: list[str]) -> list[str]:
    """What to say of files that were passed over, if there are any."""
    if not aside:
        return []
    return [f"left out, being no pictures or videos of a kind that is read, or links: {images.some(aside)}"]


def _given(model: Model, back: bool) -> Signal:
    """Of the images that go in.

    Raises:
        ValueError: those that come out are none that a file can hold.
    """
    given, made = (model.system.signals[key] for key in model.route(back))
    if made.shape[0] not in WRITABLE:
        rule = "files have 1 to 4; from Python: Model.translate"
        raise Mistake(f"this run makes images of {made.shape[0]} channels: {rule}")
    return given


def _nothing(failed: dict[Path, str]) -> str:
    source, why = next(iter(failed.items()))
    if len(failed) == 1:
        return f"{shown(str(source))} cannot be translated ({why}); give a picture or a video that can"
    return f"none of the {len(failed)} inputs could be translated; the first, {shown(str(source))}: {why}"


# --- pictures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """Translates one picture after the other; see `apply`."""

    model: Model
    door: Door
    back: bool
    seed: int
    tile: int
    progress: Progress | None

    def translate(self, picture: Image.Image, doing: str = "") -> tuple[Image.Image, list[str]]:
        """Of a picture, RGB or RGBA, what is made of it, and what was done to it to suit the run.

        `doing`: for the progress of its tiles.

        Raises:
            UnsuitedError: it is not what the run was trained on.
        """
        given = self.door.enter(picture)
        made = pictures.image(self._pixels(given.pixels, doing))
        if given.alpha is not None and made.mode in ("L", "RGB"):
            made.putalpha(given.alpha)
        return made, self._notes(given)

    def _notes(self, given: Picture) -> list[str]:
        side, grey = self.door.side, "brightness" if self.door.lightness else "grey"
        cropped = f"this run takes {side} x {side} px alone: the middle of each picture was cut out and scaled to that"
        coloured = f"this run sees {grey} alone: colours were not looked at"
        return [note for note, true in ((cropped, given.cropped), (coloured, given.coloured)) if true]

    @torch.no_grad()
    def _pixels(self, pixels: Tensor, doing: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """uint8 (1, C, H, W) -> uint8 (H, W, C'), of which float32 is only ever a band."""
        progress = partial(self._count, doing) if doing else None
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            made = self.model.bands(pixels, back=self.back, tile=self.tile, see=self.door.see, progress=progress)
            return np.concatenate([to_uint8(band)[0] for band in made])

    def _count(self, doing: str, done: int, n: int) -> None:
        if self.progress is not None and n > 1:
            self.progress(doing, done, n)

    def provenance(self, source: Path) -> dict[str, Any]:
        given, made = self.model.route(self.back)
        return {**self.model.provenance(self.seed), "made_of": source.name, "way": f"{given} to {made}"}


def _picture(hand: Hand, job: Job, overwrite: bool) -> list[str]:
    with images.quiet():
        picture = images.whole(job.source, indices=hand.door.palette is not None)
        moves = images.frames(job.source) > 1
    made, notes = hand.translate(picture, f"tiles of {shown(job.source.name)}")
    if moves:
        notes.append(f"of a moving {job.source.suffix.lower()} the first frame is taken")
    suffix = job.target.suffix.lower()
    if suffix in (".jpg", ".jpeg") and made.mode in ("LA", "RGBA"):
        notes.append(f"{suffix} has no transparency: it was laid on white; write .png or .webp to keep it")
    samples.save(samples.encoded(made, suffix, hand.provenance(job.source)), job.target, overwrite=overwrite)
    return notes


def _film(hand: Hand, job: Job, overwrite: bool) -> list[str]:
    told: list[str] = []

    def translated(film: video.Film) -> Iterator[video.Frame]:
        for i, frame in enumerate(film.frames):
            made, notes = hand.translate(frame.picture)
            told.extend(note for note in notes if note not in told)
            yield video.Frame(made, frame.time)
            if hand.progress is not None:
                hand.progress(f"frames of {shown(job.source.name)}", i + 1, max(film.n, i + 2))

    with video.opened(job.source) as film:
        provenance = hand.provenance(job.source)
        video.write(translated(film), film.rate, job.target, provenance, overwrite=overwrite)
        return [*told, *film.notes, *(["the sound of videos is left out"] if film.sound else [])]


# --- which files ------------------------------------------------------------------------------------------------


def planned(inputs: list[Path], out: Path, overwrite: bool) -> tuple[list[Job], list[str]]:
    """What is to be made of what; and files and folders of the inputs that nothing is made of.

    Raises:
        ValueError: an input is not there, nothing is, or `out` is not fit for it.
    """
    aside: list[str] = []
    found = list(dict.fromkeys((file, below) for given in inputs for file, below in _files(given, out, aside)))
    if not found:
        raise Mistake(f"{', '.join(map(str, inputs)) or 'INPUT'}: no picture and no video; give some")
    suffix = out.suffix.lower()
    if suffix and not out.is_dir():
        jobs = [Job(found[0][0], out)]
        if len(found) > 1:
            raise Mistake(f"-o {out}: {len(found)} inputs do not go into one file; name a folder")
        _check_suffix(jobs[0])
    else:
        jobs = _into(out, found)
    _check(jobs, overwrite)
    return jobs, aside


def _into(out: Path, found: list[tuple[Path, Path]]) -> list[Job]:
    """A file for each in a folder; a.bmp becomes a.png, or a.bmp.png beside an a.png."""
    targets = [below.with_suffix(_suffix(file)) for file, below in found]
    many = {target for target, n in Counter(targets).items() if n > 1}
    jobs = []
    for (file, below), target in zip(found, targets, strict=True):
        apart = target in many and target.suffix != below.suffix
        jobs.append(Job(file, out / (below.with_name(below.name + target.suffix) if apart else target)))
    return jobs


def _files(given: Path, out: Path, aside: list[str]) -> Iterator[tuple[Path, Path]]:
    """Files, each with its path in the folder of outputs; hidden ones, and what is below `out`, are passed over, other
    kinds and links to folders too, which are put `aside`.
    """
    if given.is_symlink() and not given.exists():
        raise Mistake(f"{given} is a link to what is not there: give a picture, a video or a folder of them")
    if not given.exists():
        raise Mistake(f"{given} does not exist: give a picture, a video or a folder of them")
    if not given.is_dir():
        yield given, Path(given.name)
        return
    for folder, folders, names in os.walk(given):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != out.resolve())
        aside += [str(here / f) for f in folders if (here / f).is_symlink()]
        for name in sorted(names):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in READ and (here / name).exists():
                yield here / name, (here / name).relative_to(given)
            else:
                aside.append(str(here / name))


def _suffix(file: Path) -> str:
    """What a file becomes in a folder."""
    suffix = file.suffix.lower()
    if _moves(file):
        return suffix if suffix in video.WRITTEN else ".mp4"
    return suffix if suffix in samples.PICTURES else ".png"


def _moves(file: Path) -> bool:
    """Whether a file is a video; a GIF is one where it has several frames."""
    suffix = file.suffix.lower()
    if suffix != ".gif":
        return suffix in video.READ
    try:
        with Image.open(file, formats=["GIF"]) as picture:
            return bool(getattr(picture, "is_animated", False))
    except Exception:
        return False  # as a picture it is told what is wrong


def _check_suffix(job: Job) -> None:
    source, target = job
    kind, known = ("a video", list(video.WRITTEN)) if _moves(source) else ("a picture", list(samples.PICTURES))
    suffix = target.suffix.lower()
    still = source.suffix.lower() == ".gif" and suffix in samples.PICTURES  # its first frame
    if suffix not in known and not still:
        raise Mistake(f"-o {target}: {kind} is written as {', '.join(known)}, or into a folder")


def _check(jobs: list[Job], overwrite: bool) -> None:
    sources = {job.source.resolve() for job in jobs}
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if target.resolve() in sources:
            raise Mistake(f"-o {target} is an input itself and is not replaced; choose another place")
        if target.is_dir() or (target.exists() and not overwrite):
            raise Mistake(f"-o {target} exists; choose another name, or --overwrite")
        if target in targets:
            both = f"{shown(str(targets[target]))} and {shown(str(source))}"
            raise Mistake(f"{both} would both become {target}; rename one, or give them a folder each")
        targets[target] = source
    if any(target.suffix.lower() in video.WRITTEN for _, target in jobs):
        video.library()
