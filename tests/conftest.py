"""What many tests share: one thread, one cache, small sources, a loop in memory, the command line in process."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: also for the processes that tests start
os.environ["OMP_WAIT_POLICY"] = "passive"

import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from faulty import SYSTEM, lose_once
from mulligan import checkpoint, cli, registry
from mulligan.game import System
from mulligan.loader import Loader
from mulligan.loop import Loop, Saved
from mulligan.runtime import Runtime
from mulligan.signals import Signal
from translated import Run, trainer

torch.set_num_threads(1)

FP32 = Runtime(torch.device("cpu"), bf16=False)
SHAPES: dict[str, tuple[int, ...]] = {"image": (3, 16, 16), "points": (2,)}


def optional(kind: type[System]) -> bool:
    """Whether a system can do without a condition."""
    field = kind.Config.model_fields.get("condition")
    return field is None or field.default == "none"


# every system with every kind of signal that it takes
# told nothing, where that is possible, and, of images, told each condition that it takes: "image", "image+tags"
CASES = [
    (name, f"{way.kind}+{key}".removesuffix("+"))
    for name in registry.names()
    for kind in [registry.load(name)]
    for way in kind.needs["x"]
    for key in (*([""] if optional(kind) else []), *(kind.conditions if way.kind == "image" else []))
]
each_system = pytest.mark.parametrize(("name", "kind"), CASES, ids=["-".join(case) for case in CASES])


@pytest.fixture(scope="session", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this test run's own, shared by pytest-xdist's workers: MNIST is unpacked once."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULLIGAN_CACHE", str(base / "cache"))
        yield


# --- a system and a loop in memory --------------------------------------------------------------------------


class Memory:
    """A split in memory."""

    def __init__(self, **tensors: Tensor) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def fetch(self, index: np.ndarray) -> dict[str, Tensor]:
        return {k: v[torch.from_numpy(index)] for k, v in self.tensors.items()}


def signals_of(kind: str) -> dict[str, Signal]:
    kind = kind.split("+")[0]
    reach = (-1.0, 1.0) if kind == "image" else None
    x = Signal(kind, SHAPES[kind], reach)  # type: ignore[arg-type]
    text = Signal("text", (6,), (0, 9), names=tuple("abcdefghi"))
    tags = Signal("tags", (4,), (0, 1), names=("red", "blue", "long", "short"), exclusive=(("red", "blue"),))
    mask = Signal("mask", (1, *SHAPES["image"][1:]))
    features = Signal("points", (5,), None)
    label = Signal("label", (), (0, 2))
    conditions = {"y": label, "y2": label, "tags": tags, "text": text, "features": features}
    return {"x": x, "x2": x, "input": x, "background": x, "mask": mask, **conditions}


def samples_of(signals: dict[str, Signal], n: int = 40) -> Memory:
    source = torch.Generator().manual_seed(5)

    def uniform(shape: tuple[int | None, ...]) -> Tensor:
        return torch.rand(n, *(size or 1 for size in shape), generator=source) * 2 - 1

    x, x2 = uniform(signals["x"].shape), uniform(signals["x"].shape)
    tags = torch.rand(n, 4, generator=source).round()
    text = torch.randint(1, 10, (n, 6), generator=source) * (torch.arange(6) < 4)
    background = uniform(signals["x"].shape)
    mask = uniform((1, *signals["x"].shape[1:]))
    features = torch.randn(n, 5, generator=source)
    y = torch.arange(n) % 3
    return Memory(
        x=x, y=y, y2=y, x2=x2, input=x2, background=background, mask=mask, tags=tags, text=text, features=features
    )


def told(system: System, n: int) -> dict[str, Tensor]:
    """What some samples are told of, where a system is told."""
    found = samples_of(system.signals).fetch(np.arange(n))
    return {key: found[key] for key in system.given}


def rows(n: int) -> dict[str, Tensor]:
    """A batch of which nothing but the number of its rows counts."""
    return {"x": torch.empty(n)}


def tiny_system(name: str, kind: str, **options: Any) -> System:
    system = registry.load(name)
    torch.manual_seed(0)
    config = system.Config.tiny()
    if "+" in kind:
        options = {"condition": kind.split("+")[1], **options}
    return system(type(config)(**{**config.model_dump(), **options}), signals_of(kind))


def tiny_loop(name: str, kind: str, *, saved: Saved | None = None, ema: int = 64, **more: Any) -> Loop:
    """A system's first stage, entered."""
    loop = bare_loop(tiny_system(name, kind, **more.pop("options", {})), ema=ema, **more)
    return entered(loop, saved)


def bare_loop(system: System, *, ema: int = 64, runtime: Runtime = FP32, **more: Any) -> Loop:
    loader = Loader(samples_of(system.signals), system.config.batch, seed=3, device=runtime.device)
    return Loop(system, loader, runtime, ema=ema, **more)


def entered(loop: Loop, saved: Saved | None = None) -> Loop:
    if saved is not None:
        for key, value in saved[1]["progress"].items():
            setattr(loop.progress, key, value)
    loop.seed(0)
    loop.enter(0, next(loop.system.stages()), saved)
    return loop


def played(system: System, *rounds: int, saved: Saved | None = None, **more: Any) -> Loop:
    """A loop after so many rounds of each stage; with `saved`, after so many more in its stage and those to come."""
    loop = bare_loop(system, **more)
    if saved is not None:
        vars(loop.progress).update(saved[1]["progress"])
    stages = loop.system.stages()
    for number, n in enumerate(rounds):
        loop.seed(number)
        stage = next(stages)
        if number < loop.progress.stage:
            continue
        loop.enter(number, stage, saved)
        saved = None
        for _ in range(n):
            loop.play()
    return loop


def newest(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(model, state) of a run's newest checkpoint, its progress left out: a clock is in it."""
    place, _ = checkpoint.newest(run / "checkpoints")
    assert place is not None
    model, state, _ = checkpoint.load(place)
    return model, {k: v for k, v in state.items() if k != "progress"}


def everything(loop: Loop) -> dict[str, Any]:
    """All that a run consists of: weights, buffers, optimizers, average, progress; the clock left out."""
    state = loop.state()
    progress = {k: v for k, v in state.pop("progress").items() if "seconds" not in k}
    copy = {"model": loop.system.state_dict(), **state, "progress": progress}
    return clone(copy)  # type: ignore[no-any-return]


def clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: clone(v) for k, v in value.items()}
    return [clone(v) for v in value] if isinstance(value, list | tuple) else value


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two nested states differ in any bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return [] if torch.equal(a, b) and a.dtype == b.dtype else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{where}: {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [d for k in a for d in differences(a[k], b[k], f"{where}/{k}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [f"{where}: {len(a)} and {len(b)}"]
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}/{i}")]
    return [] if a == b else [f"{where}: {a} and {b}"]


# --- the command line ---------------------------------------------------------------------------------------


class Answer(NamedTuple):
    status: int
    out: str
    err: str

    def mistake(self) -> str:
        """The one line that answers a mistake, checked to be that."""
        lines = self.err.strip().splitlines()
        assert self.status == 2, self
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[0]


Command = Callable[..., Answer]


@pytest.fixture
def mulligan(capsys: pytest.CaptureFixture[str]) -> Command:
    """`mulligan("train", "gan", ...)`: a command line in this process."""

    def command(*words: object) -> Answer:
        capsys.readouterr()
        try:
            status = cli.run([str(word) for word in words])
        except SystemExit as stop:  # --help
            status = int(stop.code or 0)
        return Answer(status, *capsys.readouterr())

    return command


def start(*words: object, **more: Any) -> subprocess.Popen[str]:
    """A command line in a process of its own."""
    line = [sys.executable, "-c", "from mulligan.cli import main; main()", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def separate(*words: object, **more: Any) -> Answer:
    process = start(*words, **more)
    out, err = process.communicate(timeout=280)
    return Answer(process.returncode, out, err)


def processes() -> multiprocessing.context.BaseContext:
    """Processes that start quickly: forked from one that has imported torch and nothing else."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mulligan.train"])
    return context


# --- runs and files -----------------------------------------------------------------------------------------

TINY_GAN = ("--batch", "8", "--g-width", "8", "--d-width", "8")
TINY_DCGAN = ("--batch", "4", "--z-dim", "4", "--width", "4")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 120 small colour images in two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    draw_pictures(folder)
    return folder


def draw_pictures(folder: Path, n: int = 120, side: int = 16) -> None:
    rng = np.random.default_rng(0)
    for i in range(n):
        place = folder / ("dark", "light")[i % 2]
        place.mkdir(exist_ok=True, parents=True)
        pixels = rng.integers(0, 128, (side, side, 3)) + 120 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i:02d}.png")


@pytest.fixture(scope="session")
def density_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on points; copy it before changing it."""
    out = tmp_path_factory.mktemp("runs") / "density"
    assert cli.run(["train", "gan", "--data", "density", "--rounds", "6", "--look-every", "3", "--out", str(out),
                    *TINY_GAN]) == 0  # fmt: skip
    return out


@pytest.fixture(scope="session")
def picture_run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A finished run on images; copy it before changing it."""
    out = tmp_path_factory.mktemp("runs") / "pictures"
    assert cli.run(["train", "dcgan", "--data", str(pictures), "--rounds", "4", "--look-every", "2", "--out", str(out),
                    *TINY_DCGAN]) == 0  # fmt: skip
    return out


@pytest.fixture
def own_run(density_run: Path, tmp_path: Path) -> Path:
    """A copy of the run on points."""
    return Path(shutil.copytree(density_run, tmp_path / "own"))


def tree(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this system lets root mount nothing")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# --- images from images -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trainer(tmp_path_factory.mktemp("apply"))


@pytest.fixture
def same(trained: Run) -> Path:
    """A run that makes of each picture the same picture."""
    return trained("same", "--pair", "maps:photos")


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A system's file; see faulty.py."""
    file = tmp_path / "faulty.py"
    file.write_text(SYSTEM)
    return file


@pytest.fixture(scope="session")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of it that took one mulligan; nobody changes it."""
    return lose_once(tmp_path_factory.mktemp("mended"))
