"""A user's system that loses games on purpose, and how a run of it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulligan import checkpoint
from mulligan.rundir import RunDir
from mulligan.train import train

if TYPE_CHECKING:
    from conftest import Answer

# A layer of D that breaks down in a round, for good or the first time only: then it leaves a file.
SYSTEM = '''"""Faulty: a system that loses, 2030, https://example.org"""

from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.config import role
from mulligan.game import SGD, Stage, Turn, Typical
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = 8
    z_dim: int = 2
    once: bool = False
    at: int = 7
    lr: float = 0.05
    gamma: float = Field(default=1.0, json_schema_extra=role("penalty"))


class Fault(nn.Module):
    """x -> x, until it has been played with for `at` rounds."""

    def __init__(self, at, once):
        super().__init__()
        self.at, self.once, self.broken = at, once, False
        self.register_buffer("played", torch.zeros(()))

    def forward(self, x):
        flag = Path(__file__).with_name("was-lost")
        if self.training and self.played >= self.at and not (self.once and flag.exists()):
            flag.touch()
            self.broken = True
        return x * torch.nan if self.broken else x


class Faulty(Typical):
    Config = Config
    needs = {"x": (Signal("points", (None,), None),)}

    def __init__(self, config, signals):
        super().__init__(config, signals)
        d = signals["x"].shape[0]
        self.G = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, d))
        self.D = nn.Sequential(nn.Linear(d, 8), Fault(config.at, config.once), nn.Tanh(), nn.Linear(8, 1),
                               nn.Flatten(0))

    def stages(self):
        yield Stage("train", (Turn("D", (self.D,), self.d_loss, SGD(self.config.lr)),
                              Turn("G", (self.G,), self.g_loss, SGD(0.05), after=lambda: self.D[1].played.add_(1))))

    def d_loss(self, batch):
        return losses.d_minimax(self.D(batch["x"]), self.D(*self.fake(batch)))

    def g_loss(self, batch):
        return losses.g_nonsaturating(self.D(*self.fake(batch)))
'''
# looks at 3 and 6, lost in the eighth round
OPTIONS: dict[str, Any] = {
    "data": "ring", "rounds": 12, "look_every": 3, "precision": "bf16", "once": True, "quiet": True,
}  # fmt: skip
WORDS = ("--data", "ring", "--rounds", 12, "--look-every", 3, "--precision", "bf16")


def lose_once(folder: Path) -> Path:
    """A run that took one mulligan."""
    (folder / "faulty.py").write_text(SYSTEM)
    train(str(folder / "faulty.py"), out=folder / "run", **OPTIONS)
    return folder / "run"


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in RunDir(run).read("events") if event["kind"] == kind]


def saved(run: Path) -> list[str]:
    """The checkpoints, all of them checked to be whole."""
    places = checkpoint.all_in(run / "checkpoints")
    assert all(map(checkpoint.is_whole, places))
    return [place.name for place in places]


def lost(answer: Answer) -> str:
    """The last line of a command that ends with a lost game."""
    assert answer.status == 1
    assert "Traceback" not in answer.err
    assert answer.out == ""
    return answer.err.strip().splitlines()[-1]
