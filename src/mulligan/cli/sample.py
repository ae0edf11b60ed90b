"""mulligan sample and mulligan walk: what a run can make."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from mulligan.cli.parsing import parse, positional
from mulligan.config import Options
from mulligan.errors import Mistake

ASKED = ("label", "tags", "text")


class Sample(Options):
    run: str = positional("a run's directory or a shipped model's name")
    n: int = Field(default=64, ge=1, le=1_000_000, description="how many", json_schema_extra={"short": "n"})
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    label: str | None = Field(default=None, description="the class, by name or number, where the system is told one")
    tags: str | None = Field(default=None, description="such as `red hair, blue eyes`, where the system is told tags")
    text: tuple[str, ...] = Field(
        default=(),
        description="a sentence, where the system is told one; several share the samples",
        json_schema_extra={"append": True},
    )
    out: str = Field(
        default="samples.png",
        description=".png grid, folder, .npz, .csv or .gif walk",
        json_schema_extra={"short": "o"},
    )
    overwrite: bool = Field(default=False, description="replace what is there")


def sample(words: list[str]) -> int:
    """Generate samples.

    Examples: mulligan sample digits -o digits.png
              mulligan sample runs/dcgan-mnist -n 10000 -o fakes.npz
              mulligan sample runs/acgan-mnist --label 7
              mulligan sample runs/gan_cls-captions --text "a girl with short red hair and blue eyes" -o faces.png
    """
    options = parse(sample, words, [Sample])
    if options["out"].lower().endswith(".gif"):
        if asked := next((name for name in ASKED if options[name]), None):
            raise Mistake(f"--{asked}: a walk is asked for nothing; write a .png, a folder or .npz")
        keep = ["--overwrite"] if options["overwrite"] else []
        return walk([options["run"], "--out", options["out"], "--seed", str(options["seed"]), *keep])
    from mulligan import samples
    from mulligan.conditions import wished
    from mulligan.model import Model

    model = Model.load(options["run"])
    n, seed, texts = options["n"], options["seed"], list(options["text"])
    wish = wished(model, n, label=options["label"], tags=options["tags"], texts=texts, seed=seed)
    for note in wish.notes:
        print(f"mulligan: {note}", file=sys.stderr)
    made = model.generate(n, seed=seed, given=wish.given)
    first, *others = model.system.makes
    written = samples.write(
        made[first],
        model.system.makes[first],
        Path(options["out"]),
        beside={key: made[key] for key in others},
        row=model.system.pictured({**model.told(n), **wish.given}, made),
        provenance={**model.provenance(seed), **{k: v for k in ASKED if (v := options[k])}},
        columns=n // len(texts) if len(texts) > 1 and n % len(texts) == 0 else None,  # a row a sentence
        overwrite=options["overwrite"],
    )
    print(written)
    return 0


class Walk(Options):
    run: str = positional("a run's directory or a shipped model's name")
    out: str = Field(default="walk.gif", description="a .gif", json_schema_extra={"short": "o"})
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    stops: int = Field(default=6, ge=2, le=100, description="latents to walk between, in a circle")
    steps: int = Field(default=12, ge=1, le=200, description="frames from one to the next")
    side: int = Field(default=4, ge=1, le=16, description="walks shown at once: side x side")
    overwrite: bool = Field(default=False, description="replace what is there")


def walk(words: list[str]) -> int:
    """Walk from latent to latent and back, as a GIF.

    Example: mulligan walk digits -o walk.gif
    """
    options = parse(walk, words, [Walk])
    from mulligan.model import Model
    from mulligan.walk import write

    model = Model.load(options["run"])
    numbers = {k: options[k] for k in ("seed", "stops", "steps", "side", "overwrite")}
    print(write(model, Path(options["out"]), **numbers))
    return 0
