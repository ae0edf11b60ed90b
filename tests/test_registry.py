"""Systems by name, and a user's own system as a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Command
from mulligan import registry
from mulligan.game import System

OWN = '''"""Mine: a GAN of my own, 2030, https://example.org"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.game import Batch, Stage, Terms, Turn, Typical
from mulligan.signals import Signal


class Config(BaseConfig):
    z_dim: int = Field(default=3, ge=1, description="dimensions of z")
    depth: Literal["one", "two"] = Field(default="one", description="layers")


class Mine(Typical):
    Config = Config
    needs = {"x": (Signal("points", (None,), None),)}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        d = signals["x"].shape[0]
        self.G = nn.Linear(config.z_dim, d)
        self.D = nn.Sequential(nn.Linear(d, 4), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0))

    def stages(self) -> Iterator[Stage]:
        yield Stage("train", (Turn("D", (self.D,), self.d_loss), Turn("G", (self.G,), self.g_loss)))

    def d_loss(self, batch: Batch) -> Terms:
        return losses.d_minimax(self.D(batch["x"]), self.D(*self.fake(batch)))

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake(batch)))
'''


def test_names_are_the_files() -> None:
    folder = Path(registry.__file__).parent / "systems"
    assert registry.names() == sorted(p.stem for p in folder.glob("[!_]*.py"))


def test_only_the_one_asked_for_is_imported() -> None:
    program = (
        "import sys; from mulligan import registry; registry.names(); assert 'torch' not in sys.modules\n"
        "registry.load('dcgan')\n"
        "print([m for m in sys.modules if m.startswith('mulligan.systems.')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['mulligan.systems.dcgan']"


@pytest.mark.parametrize(("wrong", "right"), [("dcgn", "dcgan"), ("sn-gan", "sngan"), ("R3GAN", "r3gan")])
def test_an_unknown_system_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"no system '{wrong}'; did you mean {right}"):
        registry.load(wrong)


def test_what_resembles_nothing_gets_the_list() -> None:
    with pytest.raises(ValueError, match="there are: acgan, auto, cgan, cogan, cyclegan, dcgan, dragan"):
        registry.load("zzzzzzzzz")


@pytest.mark.parametrize("name", ["", "__init__", "os.path", "../gan", "gan.py"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="there is no"):
        registry.load(name)


def test_own_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    system = registry.load(str(file))
    assert issubclass(system, System)
    assert system.__name__ == "Mine"
    assert system.Config(depth="two").batch == 64  # type: ignore[call-arg]


def test_own_file_from_the_command_line(tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, resumed, sampled; its options are in --help."""
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    run = ("--data", "ring", "--rounds", "3", "--depth", "two", "--batch", "8", "--out", "run")
    assert "--depth" in mulligan("train", "./mine.py", "--help").out
    assert mulligan("train", "./mine.py", *run).status == 0
    assert mulligan("train", "--resume", "run", "--rounds", "5").status == 0
    assert mulligan("sample", "run", "-n", "4", "-o", "points.npz").status == 0
    assert "did you mean --depth" in mulligan("train", "./mine.py", "--deph", "two").mistake()


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "defines 0 systems"), (OWN + "\nclass Other(Mine):\n    pass\n", "defines 2 systems")],
    ids=["none", "two"],
)
def test_a_file_defines_exactly_one(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ValueError, match=says):
        registry.load(str(file))


def test_a_file_that_is_not_there(mulligan: Command) -> None:
    assert "there is no file mein.py" in mulligan("train", "./mein.py").mistake()


def test_a_file_with_a_mistake_is_named(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\nclass Mine(:\n")
    assert "mine.py" in mulligan("train", file).mistake()
