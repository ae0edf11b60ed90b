"""The games of sabotage.py: healthy ones, and each way in which one is spoiled, with the verdicts that are right.

Written down before the first run, and not changed after it; the fresh ones were added when both halves had been seen.
A sabotage is named by what was done; several verdicts are right where the same fault can end in more than one way.
`mends`: whether one of the referee's remedies can mend it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import spoil
from mulligan.referee import verdict as v

Spoiled = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Game:
    """A training: small enough that a laptop's core plays it in a minute or less."""

    name: str
    system: str
    data: str
    seconds: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A game with a seed, spoiled or not.

    Attributes:
        right: verdicts of which the first that is given has to be one; () for a healthy game.
        spoil: what is done to the code or the data while it is played.
        mends: whether one of the referee's remedies can mend it.
        fresh: whether it was written down when both halves had been seen, and the thresholds were done.
    """

    name: str
    game: Game
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    spoil: Spoiled = nullcontext
    right: tuple[str, ...] = ()
    mends: bool = False
    fresh: bool = False

    @property
    def half(self) -> str:
        """Thresholds are tuned on one half of the cases alone; none is tuned on the fresh ones."""
        if self.fresh:
            return "fresh"
        return ("tuned on", "never looked at")[int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 2]

    @property
    def healthy(self) -> bool:
        return not self.right


SMALL = {"size": 16, "batch": 64}
DCGAN = {**SMALL, "width": 32, "z_dim": 32, "lr": 2e-3}
PLAIN = {"network": "plain", "width": 16, "z_dim": 32}

RING = Game("gan-ring", "gan", "ring", 30)
RING_GP = Game("wgan_gp-ring", "wgan_gp", "ring", 30, {"batch": 128, "lr": 1e-3})
GRID = Game("r3gan-grid", "r3gan", "grid", 60, {"burn_in": 1_000_000})
CRITIC = Game("wgan-digits", "wgan", "mnist", 60, {**SMALL, "width": 32, "z_dim": 32, "lr": 2e-3})
DIGITS = Game("dcgan-digits", "dcgan", "mnist", 60, DCGAN)
PERCEPTRON = Game("gan-digits", "gan", "mnist", 60, {"size": 16, "batch": 32, "g_width": 200, "d_width": 80, "lr": 0.1})
SQUARES = Game("lsgan-digits", "lsgan", "mnist", 60, {**SMALL, "width": 32, "z_dim": 32, "lr": 1e-3})
SPECTRAL = Game(
    "sngan-digits", "sngan", "mnist", 60,
    {**SMALL, "network": "plain", "g_width": 16, "d_width": 16, "d_hidden": 64, "z_dim": 32, "n_dis": 1, "lr": 3e-3},
)  # fmt: skip
NAMED = Game(
    "acgan-digits", "acgan", "mnist", 90,
    {**SMALL, "width": 16, "z_dim": 32, "d_norm": "spectral", "d_hidden": 64, "dropout": 0.0, "beta1": 0.0, "lr": 3e-3},
)  # fmt: skip
TOLD = Game(
    "cgan-digits", "cgan", "mnist", 60,
    {**SMALL, "width": 0.25, "g_dropout": 0.0, "optimizer": "adam", "lr": 1e-3},
)  # fmt: skip
EMOJI = Game("r3gan-emoji", "r3gan", "emoji", 90, {"size": 32, "batch": 64, "lr": 1e-3, **PLAIN})
EDGES = Game("pix2pix-edges", "pix2pix", "emoji", 60, {"size": 32, "task": "edges", "g_width": 16, "d_width": 16})

GAMES = (RING, RING_GP, GRID, CRITIC, DIGITS, PERCEPTRON, SQUARES, SPECTRAL, NAMED, TOLD, EMOJI, EDGES)
HEALTHY = tuple(Case(f"{game.name}-{seed}", game, seed) for game in GAMES for seed in (0, 1))

RUNS_AWAY = (v.DIVERGING, v.COLLAPSE, v.NOT_FINITE, v.OSCILLATING)
SPOILED = (
    Case("both 100 times as fast", DIGITS, options={"lr": 0.2}, right=RUNS_AWAY, mends=True),
    Case("G 100 times as fast", RING, options={"g_pace": 100.0}, right=RUNS_AWAY, mends=True),
    Case("D 100 times as fast", DIGITS, options={"d_pace": 100.0}, right=(v.D_WINS, *RUNS_AWAY), mends=True),
    Case("G a hundredth as fast", DIGITS, options={"g_pace": 0.01}, right=(v.D_WINS, v.STALLED), mends=True),
    Case("D a hundredth as fast", DIGITS, options={"d_pace": 0.01}, right=(v.G_WINS, v.STALLED), mends=True),
    Case("saturating loss, no normalisation", PERCEPTRON, options={"loss": "saturating"}, right=(v.D_WINS, v.STALLED),
         mends=True),
    Case("no penalty", RING_GP, options={"gp_weight": 0.0}, right=(v.D_WINS, v.STALLED, *RUNS_AWAY), mends=True),
    Case("penalty times 1000", RING_GP, options={"gp_weight": 100.0}, right=(v.STALLED, v.G_WINS), mends=True),
    Case("gamma times 1000", EMOJI, options={"gamma": 1000.0}, right=(v.STALLED, v.G_WINS), mends=True),
    Case("BatchNorm eps 0.8", DIGITS, spoil=spoil.batchnorm_eps, right=(v.STALLED, v.D_WINS, v.COLLAPSE)),
    Case("labels shuffled", NAMED, spoil=spoil.labels_shuffled, right=(v.DATA, v.CONDITION)),
    Case("labels of one class", NAMED, spoil=spoil.labels_of_one_class, right=(v.DATA,)),
    Case("softmax before cross-entropy", NAMED, spoil=spoil.softmax_twice, right=(v.CONDITION,)),
    Case("data in 0 to 255", DIGITS, spoil=spoil.scaled(127.5, 127.5), right=(v.DATA,)),
    Case("data in 0 to 1", DIGITS, spoil=spoil.scaled(0.5, 0.5), right=(v.DATA,)),
    Case("20 images", DIGITS, options={"limit": 20}, right=(v.DATA, v.MEMORY, v.COPIES)),
    Case("90 % duplicates", DIGITS, spoil=spoil.duplicates, right=(v.DATA, v.MEMORY)),
    Case("NaN in G", DIGITS, spoil=spoil.nan_in_g, right=(v.NOT_FINITE,), mends=True),
    Case("NaN in D", RING, spoil=spoil.nan_in_d, right=(v.NOT_FINITE,), mends=True),
    Case("NaN in the data", SPECTRAL, spoil=spoil.nan_in_data, right=(v.NOT_FINITE, v.DATA)),
    Case("D 20 times a round", PERCEPTRON, options={"k": 20}, right=(v.D_WINS, v.STALLED), mends=True),
    Case("D never updated", SQUARES, spoil=spoil.never("D", "lsgan"), right=(v.STALLED,)),
    Case("G frozen", SPECTRAL, spoil=spoil.never("G", "sngan"), right=(v.STALLED,)),
    Case("latent of size 1", SQUARES, options={"z_dim": 1}, right=(v.COLLAPSE,)),
    Case("D is not told the condition", TOLD, spoil=spoil.d_not_told, right=(v.CONDITION,)),
    Case("no dropout", EDGES, options={"dropout": 0.0}, right=(v.NOISE,)),
    Case("overflow", SPECTRAL, spoil=spoil.overflow, right=(v.NOT_FINITE,), mends=True),
    Case("corrupted optimizer state", DIGITS, spoil=spoil.corrupted_optimizer, right=RUNS_AWAY, mends=True),
    Case("clip of 1e-6", CRITIC, options={"clip": 1e-6}, right=(v.STALLED, v.G_WINS), mends=True),
    Case("slow disk", SPECTRAL, spoil=spoil.slow_disk, right=(v.SLOW,)),
)  # fmt: skip
FRESH = tuple(replace(case, name=f"fresh {case.name}", fresh=True) for case in (
    *(Case(f"{game.name}-2", game, 2) for game in GAMES),
    Case("both 100 times as fast", SQUARES, options={"lr": 0.1}, right=RUNS_AWAY),
    Case("G 100 times as fast", SPECTRAL, options={"g_pace": 100.0}, right=RUNS_AWAY),
    Case("D 100 times as fast", NAMED, options={"d_pace": 100.0}, right=(v.D_WINS, *RUNS_AWAY)),
    Case("D a hundredth as fast", SQUARES, options={"d_pace": 0.01}, right=(v.G_WINS, v.STALLED)),
    Case("latent of size 1", EMOJI, options={"z_dim": 1}, right=(v.COLLAPSE,)),
    Case("labels shuffled", TOLD, spoil=spoil.labels_shuffled, right=(v.DATA, v.CONDITION)),
    Case("data in 0 to 1", SPECTRAL, spoil=spoil.scaled(0.5, 0.5), right=(v.DATA,)),
    Case("NaN in D", NAMED, spoil=spoil.nan_in_d, right=(v.NOT_FINITE,)),
    Case("D never updated", DIGITS, spoil=spoil.never("D", "dcgan"), right=(v.STALLED,)),
    Case("G frozen", EMOJI, spoil=spoil.never("G", "r3gan"), right=(v.STALLED,)),
    Case("overflow", SQUARES, spoil=spoil.overflow, right=(v.NOT_FINITE,)),
    Case("corrupted optimizer state", SPECTRAL, spoil=spoil.corrupted_optimizer, right=RUNS_AWAY),
))  # fmt: skip
CASES = (*HEALTHY, *SPOILED, *FRESH)
