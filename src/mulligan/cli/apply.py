"""mulligan apply: images from images."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.errors import Mistake


class Apply(AsJson):
    run: str = positional("a run's directory, of a system that makes images from images")
    input: tuple[str, ...] = positional("pictures, videos, and folders of them")
    out: str = Field(
        description="for one input a .png, .jpg, .webp, for a video a .mp4, .webm, .gif; else a folder",
        json_schema_extra={"short": "o"},
    )
    back: bool = Field(default=False, description="the system's second way, from what it makes to what it is given")
    size: int | None = Field(
        default=None, ge=1, le=16384, description="scale the longer side to so many px before; default: as it is"
    )
    tile: int = Field(
        default=512, ge=192, le=8192, description="px; larger pictures are made in overlapping tiles of this side"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the system's noise, where it has any")
    overwrite: bool = Field(default=False, description="replace what is there")


def apply(words: list[str]) -> int:
    """Translate pictures and videos by a system that makes images from images.

    Examples: mulligan apply runs/pix2pix-maps map.png -o photo.png
              mulligan apply runs/cyclegan-painting holidays -o painted --size 512
              mulligan apply runs/cyclegan-painting walk.mov -o walk.mp4
    """
    options = parse(apply, words, [Apply])
    if not options["input"]:
        raise Mistake("mulligan apply: name one INPUT or more: a picture, a video or a folder of them")
    from mulligan.apply import apply as apply_
    from mulligan.display import counting, note
    from mulligan.model import Model

    model = Model.load(options["run"])
    model.translator()
    chosen = {name: options[name] for name in ("back", "seed", "size", "tile", "overwrite")}
    try:
        applied = apply_(model, options["input"], Path(options["out"]), **chosen, progress=counting, say=note)
    finally:
        counting("", 0, 0)  # what it shows goes, also before a mistake is told
    failed = {str(source): why for source, why in applied.failed.items()}
    written = [str(file) for file in applied.written]
    found = {"written": written, "failed": failed, "notes": applied.notes}
    answer(options["json_"], found, written if len(written) == 1 else [f"{options['out']}: {len(written):,} files"])
    if failed:
        note(f"{len(failed)} of {len(failed) + len(written)} could not be translated")
    return 1 if failed else 0
