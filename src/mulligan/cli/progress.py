"""mulligan progress: the lecture's figure of what GANs learned to do over the years."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional


class Progress(AsJson):
    systems: tuple[str, ...] = positional("systems to race; gan, dcgan, cogan, progan and r3gan if none is named", ())
    data: str = Field(default="characters", description="a name, a folder of images, or a .npy or .npz file")
    size: int = Field(default=32, ge=4, le=2048, description="side of the images in px")
    seconds: float = Field(default=60.0, gt=0, description="of training, for each system and seed")
    seeds: int = Field(default=3, ge=1, le=100, description="trainings of each system")
    out: str = Field(
        default="runs/progress",
        description="a folder; one that was begun is gone on with",
        json_schema_extra={"short": "o"},
    )


def progress(words: list[str]) -> int:
    """Draw the lecture's figure of progress: systems of several years, each with the same data, size and seconds.

    Examples: mulligan progress
              mulligan progress gan dcgan r3gan --data mnist --size 28 --seconds 60
    """
    options = parse(progress, words, [Progress])
    from mulligan import history
    from mulligan import progress as racing
    from mulligan.display import counting

    systems = tuple(history.in_order(options["systems"] or racing.known()))
    numbers = {name: options[name] for name in ("data", "size", "seconds", "seeds")}
    out = Path(options["out"])
    found = racing.progress(racing.Plan(systems=systems, **numbers), out, _tell, counting)
    lines = [*history.table(found), "", f"{out / 'progress.png'}, {out / 'progress.json'}"]
    answer(options["json_"], found, lines)
    return 0


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
