"""Sums and differences of latents, drawn as in DCGAN's figure 7: the operands, and nine results."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mulligan import latent
from mulligan.config import nearest
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.sheet import Tile, sheet, square, tile
from mulligan.space import GRID, open_space, sample_number
from mulligan.tagger import Tagger, tagger_of

N_SAMPLES = 3000  # whose tags are read
LEAST = 5  # of them that an operand is the mean of
NOISE = 0.25  # uniform, either way, in the space's standard deviations: the paper's
SIGNS = {"+": 1, "-": -1}


@dataclass(frozen=True)
class Operand:
    """A term of the sum.

    Attributes:
        sign: 1 or -1.
        name: a tag or a sample's number.
        n: samples that its latent is the mean of.
        latent: (1, ...).
    """

    sign: int
    name: str
    n: int
    latent: Tensor


@dataclass(frozen=True)
class Sum:
    """What came out.

    Attributes:
        operands: in order.
        shown: their samples (K, C, H, W).
        results: nine (9, C, H, W): the fifth is the result, the others have noise around it.
        latent: of the result (1, ...).
    """

    operands: list[Operand]
    shown: Tensor
    results: Tensor
    latent: Tensor


def arithmetic(model: Model, expression: str, *, seed: int = 0) -> Sum:
    """The value of an expression such as "red hair + glasses - short hair", or "3 - 7 + #12" of samples' numbers.

    Args:
        model: makes images; for tags, its data must have tags or labels.
        expression: tags and numbers of samples in `mulligan sample`'s grid, with + and - between them, spaces around.
            A number that is also a tag is the tag; with # it is the sample.
        seed: of the grid, and of the noise round the result.

    Raises:
        ValueError: a term is neither, or too few samples have a tag.
    """
    space = open_space(model, "arithmetic")
    terms = parsed(expression)
    grid = space.draw(GRID, seed)
    tagger = _tagger(model, [name for _, name in terms])
    known = None if tagger is None else (tagger, *tagger.of_random(space, N_SAMPLES, seed=1))
    operands = []
    for sign, name in terms:
        if known is not None and name in known[0].names:
            operands.append(_of_tag(sign, name, *known))
        else:
            number = sample_number(name)
            assert number is not None, f"{name} was checked to be a number"
            operands.append(Operand(sign, f"sample {number}", 1, grid[number][None]))
    found = space.usual(latent.total(space.centre, [(o.sign, o.latent) for o in operands]))
    shown = space.samples(space.usual(torch.cat([o.latent for o in operands])))
    generator = torch.Generator().manual_seed(seed)
    noise = NOISE * (2 * torch.rand(9, *found.shape[1:], generator=generator) - 1)
    noise[4] = 0
    around = found + noise.to(found.device) * space.spread
    return Sum(operands, shown.cpu(), space.samples(around).cpu(), found.cpu())


def parsed(expression: str) -> list[tuple[int, str]]:
    """Signs and names, in order.

    Raises:
        ValueError: a sign without a name behind it, or no name at all.
    """
    words = expression.split()
    if not words or words[0] not in SIGNS:
        words = ["+", *words]
    starts = [i for i, word in enumerate(words) if word in SIGNS]
    terms = [
        (SIGNS[words[start]], " ".join(words[start + 1 : end]))
        for start, end in zip(starts, [*starts[1:], len(words)], strict=True)
    ]
    if not all(name for _, name in terms):
        raise Mistake(f'{expression!r}: write tags or numbers with " + " or " - " between them, as in "3 - 7 + 12"')
    return terms


def _tagger(model: Model, names: list[str]) -> Tagger | None:
    """Whoever reads the tags; None where all terms are numbers and nothing knows tags.

    Raises:
        ValueError: a term is neither a tag nor a number.
    """
    if all(name.startswith("#") for name in names) and _are_numbers(names):
        return None
    try:
        tagger = tagger_of(model)
    except Mistake:
        if _are_numbers(names):
            return None
        raise
    for name in names:
        if name not in tagger.names and sample_number(name) is None:
            raise Mistake(f"there is no tag {name!r}{nearest(name, tagger.names)}")
    return tagger if any(name in tagger.names for name in names) else None


def _are_numbers(names: list[str]) -> bool:
    """Whether all are samples' numbers; one beyond the grid is refused, so ask only where none can be a tag."""
    return all(sample_number(name) is not None for name in names)


def _of_tag(sign: int, name: str, tagger: Tagger, u: Tensor, tags: Tensor) -> Operand:
    tag = tagger.index(name)
    n = int(tags[:, tag].sum())
    if n < LEAST:
        raise Mistake(
            f"{name!r}: the {tagger.name} reads it on {n} of {len(tags):,} samples, and the mean of {LEAST} is the "
            "least that can be trusted; train longer or take another tag"
        )
    return Operand(sign, name, n, latent.mean(u, tags, tag))


def picture(found: Sum) -> Image.Image:
    """The operands with their signs, and the nine results."""
    tiles: list[Tile] = []
    for i, operand in enumerate(found.operands):
        if i > 0 or operand.sign < 0:
            tiles.append(Tile("+" if operand.sign > 0 else "-"))
        words = operand.name if operand.n == 1 else f"{operand.name}, mean of {operand.n:,}"
        tiles.append(tile(found.shown[i], words))
    return sheet([[*tiles, Tile("="), square(found.results, f"the result, and noise of ±{NOISE:g} round it")]])
