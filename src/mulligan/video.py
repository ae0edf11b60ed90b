"""Videos, a frame at a time: one longer than the memory is read and written too. Their sound is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from mulligan import samples
from mulligan.data.images import MAX_PIXELS, UnreadableError, shown
from mulligan.errors import Mistake

READ = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif")
WRITTEN: dict[str, tuple[str, str, dict[str, str]]] = {  # codec, pixels, its options
    # without cpu-independent, on CPUs with AVX-512, 8 in 100 equal videos were other bytes
    ".mp4": ("libx264", "yuv420p", {"crf": "18", "x264-params": "cpu-independent=1"}),
    ".webm": ("libvpx-vp9", "yuv420p", {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"}),
    ".gif": ("gif", "pal8", {}),
}
GIF_BLOCK = 255  # bytes at most
SOUND_LONGER = Fraction(1, 4)  # seconds that it may go on behind the last frame


class Frame(NamedTuple):
    """An upright picture, RGB or RGBA, and when it is shown, in seconds."""

    picture: Image.Image
    time: Fraction


class Film(NamedTuple):
    """A video that is open.

    Attributes:
        frames: one after the other.
        rate: frames a second, on average.
        n: how many there are, as far as the file says.
        sound: whether there is any.
        notes: when all frames are read, what there is to say of them.
    """

    frames: Iterator[Frame]
    rate: Fraction
    n: int
    sound: bool
    notes: list[str]


def library() -> ModuleType:
    """PyAV.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise Mistake('videos are read by a package that is missing (av): pip install "mulligan[video]"') from error
    return av


@contextmanager
def opened(path: Path) -> Iterator[Film]:
    """A video, to be read inside.

    Raises:
        UnreadableError: it is none, or no frame of it can be read; inside too.
    """
    if path.suffix.lower() == ".gif":
        with _opened_gif(path) as film:
            yield film
        return
    av = library()
    with _read_errors():
        container = av.open(str(path))
    with container:
        if not container.streams.video:
            raise UnreadableError("no picture in it")
        stream = container.streams.video[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise UnreadableError(f"frames of {stream.width:,} x {stream.height:,} px, too large")
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        n = stream.frames or round((container.duration or 0) / av.time_base * rate)
        film = Film(_frames(container, rate), rate, n, bool(container.streams.audio), [])
        yield film._replace(frames=_counted(film, stream, path.name))


@contextmanager
def _opened_gif(path: Path) -> Iterator[Film]:
    """By Pillow: FFmpeg sees one frame alone where a GIF does not say how long each is shown."""
    try:
        picture = Image.open(path, formats=["GIF"])
        n = getattr(picture, "n_frames", 1)
    except Exception as error:
        raise UnreadableError("not a GIF") from error
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise UnreadableError(f"frames of {picture.width:,} x {picture.height:,} px, too large")
        yield Film(_gif_frames(picture, n), 1 / _shown_for(picture), n, False, [])


def _gif_frames(picture: Image.Image, n: int) -> Iterator[Frame]:
    time = Fraction(0)
    for i in range(n):
        try:
            picture.seek(i)
            now = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        except Exception as error:  # as for other broken pictures, of many kinds
            raise UnreadableError(f"frame {i} is broken") from error
        yield Frame(now, time)
        time += _shown_for(picture)


def _shown_for(picture: Image.Image) -> Fraction:
    """Seconds; 1/10 where a GIF says nothing, as browsers have it."""
    return Fraction(round(picture.info.get("duration") or 100), 1000)


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except library().FFmpegError as error:
        raise UnreadableError((error.strerror or "not a video").lower()) from error


def _frames(container: Any, rate: Fraction) -> Iterator[Frame]:
    first: Fraction | None = None
    last: Fraction | None = None
    decoded = container.decode(video=0)
    while True:
        with _read_errors():
            frame = next(decoded, None)
        if frame is None:
            return
        told = None if frame.pts is None else Fraction(frame.pts) * frame.time_base
        if last is not None and (told is None or told <= last):
            told = last + 1 / rate  # .avi has no times of its own: where they are missing, or go back
        time = Fraction(0) if told is None else told
        first, last = time if first is None else first, time
        clear = any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8"
        pixels = frame.to_ndarray(format="rgba" if clear else "rgb24")
        yield Frame(Image.fromarray(np.rot90(pixels, round(frame.rotation / 90)).copy()), time - first)


def _counted(film: Film, stream: Any, name: str) -> Iterator[Frame]:
    """The frames; UnreadableError where there are none, a note where the file says that there are more."""
    n, end = 0, Fraction(0)
    for frame in film.frames:
        yield frame
        n, end = n + 1, frame.time + 1 / film.rate
    if n == 0:
        raise UnreadableError("no frame in it")
    if n < film.n and end + _slack(film, stream) < _seconds(stream):
        film.notes.append(f"{shown(name)} is cut short: of {film.n:,} frames {n:,} could be read")


def _seconds(stream: Any) -> Fraction:
    """How long a stream is shown, as its file says. Its frames alone do not tell: a file may have some to leave out."""
    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(stream.container.duration or 0, library().time_base)


def _slack(film: Film, stream: Any) -> Fraction:
    """Seconds: half a frame, more where a file says alone how long all of it is, for sound may be longer."""
    return 1 / (2 * film.rate) if stream.duration is not None else SOUND_LONGER


class Disk:
    """A file that PyAV writes to, which says nothing of a full disk: what goes wrong is kept here."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None
        self.seek, self.tell = file.seek, file.tell

    def write(self, content: bytes) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = error
            return len(content)

    def check(self) -> None:
        """Raise what went wrong."""
        if self.error is not None:
            raise self.error


def write(frames: Iterable[Frame], rate: Fraction, out: Path, provenance: dict[str, Any], *, overwrite: bool) -> Path:
    """Write a video as the suffix of `out` says, with its provenance; pictures get even sides, as videos must.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    suffix = out.suffix.lower()

    def fill(aside: Path) -> None:
        with aside.open("wb") as file:
            disk = Disk(file)
            _encode(frames, rate, disk, suffix, provenance)
            disk.check()
        if suffix == ".gif":
            _comment(aside, json.dumps(samples.full(provenance)).encode("ascii"))

    return samples.save_by(out, overwrite, fill)


def _encode(frames: Iterable[Frame], rate: Fraction, disk: Disk, suffix: str, provenance: dict[str, Any]) -> None:
    codec, pixels, options = WRITTEN[suffix]
    tick = 1 / (rate * 512)  # fine enough for frames that do not come at even times
    # without bitexact a .webm has a random number in it
    with library().open(disk, "w", format=suffix[1:], options={"fflags": "+bitexact"}) as container:
        full = samples.full(provenance)
        container.metadata.update(title=samples.sentence(full), comment=json.dumps(full))
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt, stream.codec_context.time_base = pixels, tick
        for i, (picture, time) in enumerate(frames):
            frame = _frame(picture, pixels)
            if i == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
            disk.check()
        container.mux(stream.encode())


def _frame(picture: Image.Image, pixels: str) -> Any:
    make = library().VideoFrame.from_ndarray
    if pixels != "pal8":
        array = np.asarray(picture.convert("RGB"))
        even = np.pad(array, [(0, n % 2) for n in array.shape[:2]] + [(0, 0)], "edge")
        # converted here: what the encoder would do by itself is not always the same to the bit
        return make(even, format="rgb24").reformat(format=pixels)
    few = picture.convert("RGB").quantize(256)
    colours = np.array(few.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[: len(colours), 1:] = colours
    return make((np.asarray(few), palette), format="pal8")


def _comment(file: Path, text: bytes) -> None:
    """Put a comment into a GIF, behind its header, where readers look for it before they decode."""
    blocks = [text[i : i + GIF_BLOCK] for i in range(0, len(text), GIF_BLOCK)]
    comment = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"
    whole = file.with_name(file.name + ".whole")
    try:
        with file.open("rb") as old, whole.open("wb") as new:
            header = old.read(13)
            flags = header[10]
            palette = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
            new.write(header + old.read(palette) + comment)
            shutil.copyfileobj(old, new)
        whole.replace(file)
    finally:
        whole.unlink(missing_ok=True)


def read_comment(file: Path) -> str | None:
    """The comment of a video that was written here."""
    with library().open(str(file)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    return found.get("comment")
