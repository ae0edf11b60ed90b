"""A small system of images from images, trained runs of it, and files to give them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mulligan import cli

OWN = '''"""Mine: images from images, 2030, https://example.org"""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.game import Batch, Stage, Terms, Translator, Turn
from mulligan.layers.lab import to_rgb
from mulligan.signals import Signal


class Config(BaseConfig):
    play: Literal["same", "local", "noisy", "tinted"] = Field(default="same", description="what translate does")


class Mine(Translator):
    Config = Config
    routes = {"input": "x"}
    needs = {key: (Signal("image", (None, None, None)),) for key in ("x", "input")}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        a, b = (signals[key].shape[0] for key in next(iter(self.routes.items())))
        self.multiple = 4
        self.G = nn.Sequential(
            nn.Conv2d(a, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, b, 4, 2, 1), nn.Tanh())
        self.D = nn.Sequential(nn.Conv2d(b, 4, 4, 4), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def stages(self) -> Iterator[Stage]:
        yield Stage("train", (Turn("D", (self.D,), self.d_loss), Turn("G", (self.G,), self.g_loss)))

    def fake(self, batch: Batch) -> Tensor:
        return self.G(batch[next(iter(self.routes))])

    def d_loss(self, batch: Batch) -> Terms:
        return losses.d_minimax(self.logits(batch["x"]), self.logits(self.fake(batch)))

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.logits(self.fake(batch)))

    def logits(self, x: Tensor) -> Tensor:
        return self.D(x).mean((1, 2, 3))

    def translate(self, image: Tensor, key: str) -> Tensor:
        assert all(side % self.multiple == 0 for side in image.shape[2:])
        if self.config.play == "local":
            return self.G(image)
        if self.config.play == "noisy":
            return image + 0.3 * torch.randn_like(image)
        if self.config.play == "tinted":
            colour = torch.rand(len(image), 2, 1, 1) - 0.5
            return to_rgb(torch.cat([image, colour.expand(-1, -1, *image.shape[2:])], 1))
        made = image.expand(-1, self.signals[self.routes[key]].shape[0], -1, -1) if image.shape[1] == 1 else image
        return -made if key == "x" else made

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return {"D": (self.logits(batch["x"]), self.logits(self.fake(batch)))}
'''
PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
Run = Callable[..., Path]


def trainer(root: Path) -> Run:
    """`train("same", "--task", "colour")`: a finished run of OWN in the folder; `two` ways and `square` images by other
    files, or of a system that there is.
    """
    rng = np.random.default_rng(0)
    for name in range(40):
        for folder in ("maps", "photos"):
            (root / "data" / folder).mkdir(parents=True, exist_ok=True)
            pixels = PALETTE[rng.integers(0, 3, (16, 16))] if folder == "maps" else rng.integers(0, 256, (16, 16, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / "data" / folder / f"{name}.png")
    (root / "mine.py").write_text(OWN)
    two = OWN.replace('routes = {"input": "x"}', 'routes = {"x2": "x", "x": "x2"}\n    made = ("x", "x2")')
    two = two.replace('("x", "input")', '("x", "x2")')
    (root / "two.py").write_text(two)
    square = OWN.replace("self.multiple = 4", 'self.side = signals["x"].shape[1]').replace(
        "all(side % self.multiple == 0 for side in image.shape[2:])", "image.shape[2:] == (self.side, self.side)"
    )
    (root / "square.py").write_text(square)
    known: dict[tuple[str, ...], Path] = {}

    def train(play: str, *words: str, file: str = "mine.py") -> Path:
        key = (play, *words, file)
        if key not in known:
            out = root / f"run{len(known)}"
            options = (
                "--data",
                root / "data",
                "--rounds",
                "1",
                "--batch",
                "4",
                *(("--play", play) if play else ()),
                "--out",
                out,
                "--size",
                "16",
            )
            assert cli.run(["train", str(root / file) if play else file, *map(str, options), *words]) == 0
            known[key] = out
        return known[key]

    return train


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(pixels: np.ndarray, file: Path, **more: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **more)  # type: ignore[arg-type]
    return file


def read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)
