"""The space that a model's samples are made from: z, or for systems with styles w, a style a layer.

Projection, arithmetic and edits work on either, as (N, ...) tensors that they add to and step along.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mulligan.config import nearest
from mulligan.errors import Mistake
from mulligan.game import System, Translator
from mulligan.model import AT_ONCE, Model
from mulligan.signals import Signal

GRID = 64  # samples of `mulligan sample`, whose numbers name them
DRAWN = 1000  # latents that tell what is usual in the space
SEED = 0


class Space:
    """Where a system's samples come from.

    Attributes:
        name: z or w.
        makes: the key of what is made, and its signal.
        centre: the mean latent (1, ...).
        spread: the standard deviation of a latent's numbers (1, ...).
    """

    def __init__(self, system: System) -> None:
        check_latent(system)
        if system.given:
            told = " and ".join(system.given)
            raise Mistake(f"a system that is told {told} has a latent space for each: this works on those told nothing")
        # duck-typed, as nobody here may know a system by name
        self.system: Any = system
        self.styled = styled(system)
        self.name = "w" if self.styled else "z"
        self.key: str
        self.signal: Signal
        self.key, self.signal = next(iter(system.makes.items()))
        usual = self.draw(DRAWN, SEED)
        self.centre, self.spread = usual.mean(0, keepdim=True), usual.std(0, keepdim=True)
        if not self.styled:
            self.centre = torch.zeros_like(self.centre)
        self.length = usual.flatten(1).norm(dim=1).mean()  # of a latent

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Tensor:
        """n latents: (n, z_dim), or styles (n, num_ws, z_dim). The first ones are those of `mulligan sample`."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            z = self.system.latent(max(n, GRID))[:n]
        u: Tensor = self.system.w(z) if self.styled else z
        return u

    def decode(self, u: Tensor) -> Tensor:
        """Latents to samples (N, ...), with a gradient where one is wanted."""
        if self.styled:
            x: Tensor = self.system.synthesize(u)
        else:
            x = self.system.generate({"z": u})[self.key]
        return x.float().contiguous()

    @torch.no_grad()
    def samples(self, u: Tensor) -> Tensor:
        """Latents to samples, a few rows at a time."""
        return torch.cat([self.decode(part) for part in torch.split(u, AT_ONCE)])

    def pull(self, u: Tensor) -> Tensor:
        """How unusual latents are (N,), about 0 where they are as G has seen them: what projection is held back by.

        A Gaussian's length is nearly always the same; of styles, the distance from the mean style counts.
        """
        if self.styled:
            away: Tensor = (u - self.centre) / (self.spread + 1e-6)
            return away.square().flatten(1).mean(1)
        away = u.norm(dim=1) / self.length - 1
        return away.square()

    def usual(self, u: Tensor, length: Tensor | None = None) -> Tensor:
        """Latents (N, ...) made as long as G has seen them, or as `length` (N, 1) says; styles as they are."""
        if self.styled:
            return u
        longer: Tensor = torch.nn.functional.normalize(u, dim=1) * (self.length if length is None else length)
        return longer


def check_latent(system: System) -> None:
    """Raise ValueError where it is an image, not a latent, that says what is made."""
    if isinstance(system, Translator):
        what = "a system that makes images from images has no latent space"
        raise Mistake(f"{what}: mulligan apply gives it an image to make another of")


def styled(system: System) -> bool:
    """Whether a system has styles to mix and to synthesize from."""
    return all(hasattr(system, part) for part in ("w", "mix", "synthesize"))


def open_space(model: Model, verb: str) -> Space:
    """The space of a model that makes images.

    Raises:
        ValueError: it makes something else.
    """
    kind = next(iter(model.system.makes.values())).kind
    if kind != "image":
        raise Mistake(
            f"mulligan {verb} works on images, and {model.config['system']} made {kind} here; try an image run"
        )
    return Space(model.system)


def sample_number(word: str) -> int | None:
    """The number of `#12` or `12`, None if the word is no such thing.

    Raises:
        ValueError: the grid has no such sample.
    """
    digits = word.removeprefix("#")
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits[:9])
    if number >= GRID:
        raise Mistake(f"{word}: samples are numbered from 0 to {GRID - 1}, row by row in `mulligan sample`'s grid")
    return number


def known_tag(word: str, names: tuple[str, ...]) -> str:
    """The tag as the tagger writes it.

    Raises:
        ValueError: there is none of that name; the nearest stands beside it.
    """
    if word not in names:
        raise Mistake(f"there is no tag {word!r}{nearest(word, names)}")
    return word
