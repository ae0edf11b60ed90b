"""mulligan sample and mulligan walk: what a run can make."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from mulligan.cli.parsing import parse, positional
from mulligan.config import Options
from mulligan.errors import Mistake


class Sample(Options):
    run: str = positional("a run's directory or a shipped model's name")
    n: int = Field(default=64, ge=1, le=1_000_000, description="how many", json_schema_extra={"short": "n"})
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the latents")
    label: int | None = Field(default=None, ge=0, description="the class, for conditional systems")
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
    """
    options = parse(sample, words, [Sample])
    if options["out"].lower().endswith(".gif"):
        keep = ["--overwrite"] if options["overwrite"] else []
        return walk([options["run"], "--out", options["out"], "--seed", str(options["seed"]), *keep])
    from mulligan import samples
    from mulligan.model import Model

    model = Model.load(options["run"])
    if options["label"] is not None and "y" not in model.system.needs:
        raise Mistake(f"--label {options['label']}: {model.config['system']} takes no label; leave it out")
    made = model.generate(options["n"], seed=options["seed"], label=options["label"])
    first, *others = model.system.makes
    written = samples.write(
        made[first],
        model.system.makes[first],
        Path(options["out"]),
        beside={key: made[key] for key in others},
        provenance=model.provenance(options["seed"]),
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
