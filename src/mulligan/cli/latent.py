"""mulligan project, edit, arithmetic and mix: a run's latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.errors import Mistake


class Places(AsJson):
    run: str = positional("a run's directory or a shipped model's name")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the samples and of the search")
    overwrite: bool = Field(default=False, description="replace what is there")


class Search(Places):
    steps: int = Field(default=200, ge=1, le=10_000, description="of the search for the latent")
    starts: int = Field(default=4, ge=1, le=64, description="random samples that the search goes on from, at once")
    pixels: bool = Field(default=False, description="compare pixels alone, where the extra `features` is missing")


class Project(Search):
    image: str = positional("an image file")
    out: str = Field(
        default="projection.png",
        description="a .png; the latent goes into an .npz beside it",
        json_schema_extra={"short": "o"},
    )


def project(words: list[str]) -> int:
    """Find an image in a run's latent space: the latent whose sample is nearest to it.

    Example: mulligan project runs/stylegan2-characters face.png -o found.png
    """
    options = parse(project, words, [Project])
    from mulligan import latents
    from mulligan.display import counting
    from mulligan.model import Model
    from mulligan.project import picture
    from mulligan.project import project as project_

    out = _png(options["out"], options["overwrite"], ".npz")
    model = Model.load(options["run"])
    found = project_(model, Path(options["image"]), progress=counting, **_search(options))
    told = {
        "projection_of": Path(options["image"]).name,
        "space": found.space,
        "measure": found.measure,
        "distances": found.distances,
    }
    _save(picture(found), out, model, options, {**told, "real": "the picture on the left"})
    file = latents.write(
        found.latent, out.with_suffix(".npz"), {**model.provenance(options["seed"]), **told},
        overwrite=options["overwrite"],
    )  # fmt: skip
    lines = [f"{name}: {value:.4f}" for name, value in found.distances.items()]
    shown = {"picture": str(out), "latent": str(file), **told}
    answer(options["json_"], shown, [found.measure, *lines, str(out), str(file)])
    return 0


class Edit(Search):
    input: str = positional("an image file, a latent's .npz, or a sample's number (#12)")
    set_: tuple[str, ...] = Field(
        default=(),
        description="a tag and 1 (on) or 0 (off): glasses=1; give it once or more",
        json_schema_extra={"append": True},
    )
    out: str = Field(
        default="edit.png",
        description="a .png; the latent goes into an .npz beside it",
        json_schema_extra={"short": "o"},
    )


def edit(words: list[str]) -> int:
    """Change tags of a picture: project it, then move along the tags' directions, and keep the rest.

    Example: mulligan edit runs/dcgan-characters '#12' --set "glasses=1" -o edit.png
    """
    options = parse(edit, words, [Edit])
    from mulligan import latents
    from mulligan.display import counting
    from mulligan.edit import edit as edit_
    from mulligan.edit import in_words, parsed, picture, summary
    from mulligan.model import Model
    from mulligan.project import project as project_
    from mulligan.space import known_tag, open_space, sample_number
    from mulligan.tagger import tagger_of

    out = _png(options["out"], options["overwrite"], ".npz")
    changes = parsed(options["set_"])
    model = Model.load(options["run"])
    space = open_space(model, "edit")
    tagger = tagger_of(model)
    for tag in changes:
        known_tag(tag, tagger.names)  # before a search of half a minute
    given = Path(options["input"])
    target = None
    number = None if given.exists() else sample_number(options["input"])
    if number is not None:
        source: Any = number
    elif given.suffix.lower() == ".npz":
        source = latents.read(given, model, space)
    else:
        projection = project_(model, given, progress=counting, **_search(options))
        source, target = projection.latent, projection.target
    found = edit_(model, source, changes, seed=options["seed"], tagger=tagger)
    told = {"edit_of": given.name, **summary(found)}
    if target is not None:
        told["real"] = "the picture on the left"
    _save(picture(found, target), out, model, options, told)
    file = latents.write(
        found.latent, out.with_suffix(".npz"), {**model.provenance(options["seed"]), **told},
        overwrite=options["overwrite"],
    )  # fmt: skip
    answer(
        options["json_"], {"picture": str(out), "latent": str(file), **told}, [*in_words(found), str(out), str(file)]
    )
    return 0


class Arithmetic(Places):
    expression: str = positional('tags or numbers of samples: "red hair + glasses - short hair", "3 - 7 + 12"')
    out: str = Field(default="arithmetic.png", description="a .png", json_schema_extra={"short": "o"})


def arithmetic(words: list[str]) -> int:
    """Add and subtract the mean latents of tags, or the latents of samples.

    Example: mulligan arithmetic runs/dcgan-characters "red hair + glasses - short hair" -o sum.png
    """
    options = parse(arithmetic, words, [Arithmetic])
    from mulligan.arithmetic import arithmetic as arithmetic_
    from mulligan.arithmetic import picture
    from mulligan.model import Model

    out = _png(options["out"], options["overwrite"])
    model = Model.load(options["run"])
    found = arithmetic_(model, options["expression"], seed=options["seed"])
    _save(picture(found), out, model, options, {"expression": options["expression"]})
    terms = [{"sign": o.sign, "name": o.name, "mean_of": o.n} for o in found.operands]
    answer(options["json_"], {"picture": str(out), "terms": terms}, [str(out)])
    return 0


class Mix(Places):
    out: str = Field(default="mix.png", description="a .png", json_schema_extra={"short": "o"})
    from_layer: int | None = Field(
        default=None, ge=1, description="the first layer with the fine source's style; default: half of them"
    )
    rows: int = Field(default=5, ge=1, le=32, description="coarse sources")
    columns: int = Field(default=5, ge=1, le=32, description="fine sources")


def mix(words: list[str]) -> int:
    """Mix the styles of samples: coarse features from the left, fine ones from above.

    Example: mulligan mix runs/stylegan2-characters -o mix.png
    """
    options = parse(mix, words, [Mix])
    from mulligan.mixing import mix as mix_
    from mulligan.mixing import picture
    from mulligan.model import Model

    out = _png(options["out"], options["overwrite"])
    model = Model.load(options["run"])
    found = mix_(model, **{k: options[k] for k in ("rows", "columns", "from_layer", "seed")})
    _save(picture(found), out, model, options, {"mixed_from_layer": found.from_layer})
    answer(options["json_"], {"picture": str(out), "from_layer": found.from_layer}, [str(out)])
    return 0


def _png(out: str, overwrite: bool, beside: str = "") -> Path:
    """The picture's path, checked before anything is computed."""
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise Mistake(f"-o {out}: this writes a picture; name it .png")
    for file in (path, path.with_suffix(beside)) if beside else (path,):
        if file.exists() and not overwrite:
            raise Mistake(f"-o {file} exists; choose another name, or --overwrite")
    return path


def _search(options: dict[str, Any]) -> dict[str, Any]:
    return {
        **{k: options[k] for k in ("seed", "steps", "starts")},
        "by_pixels": options["pixels"],
    }


def _save(picture: Any, out: Path, model: Any, options: dict[str, Any], told: dict[str, Any]) -> None:
    from mulligan import samples

    with samples.told(out):
        samples.save_png(picture, out, {**model.provenance(options["seed"]), **told}, overwrite=options["overwrite"])
