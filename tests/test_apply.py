"""mulligan apply: whatever goes in, of any size, comes out whole; what cannot be is named."""

import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import mulligan as package
from conftest import Command, separate, tree
from mulligan import cli, display, samples, video
from mulligan.errors import Mistake
from mulligan.inputs import Door
from mulligan.layers.lab import as_bright, to_lab
from mulligan.layers.tiles import OVERLAP, bands, cut, fade, up
from mulligan.model import Model
from mulligan.networks.unet import UNet
from mulligan.signals import LIGHTNESS, Signal

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`trained("same", "--task", "colour")`: a finished run of OWN; `two` ways and `square` images by other files, or
    of a system that there is.
    """
    root = tmp_path_factory.mktemp("apply")
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


@pytest.fixture
def same(trained: Run) -> Path:
    """A run that makes of each picture the same picture."""
    return trained("same", "--pair", "maps:photos")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(pixels: np.ndarray, file: Path, **more: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **more)  # type: ignore[arg-type]
    return file


def read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


# --- tiles --------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 1500), st.integers(1, 700), st.sampled_from([1, 4, 32, 128, 256]), st.sampled_from([192, 300, 512])
)
def test_tiles_give_back_every_pixel_to_the_bit(height: int, width: int, multiple: int, tile: int) -> None:
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height))
    sides: set[int] = set()

    def make(part: Tensor) -> Tensor:
        sides.update(part.shape[2:])
        return part

    assert torch.equal(torch.cat(list(bands(x, make, multiple=multiple, tile=tile)), 2), x)
    assert all(side % multiple == 0 for side in sides)
    assert max(sides) <= max(tile, 2 * up(OVERLAP, multiple))


@given(st.integers(1, 40), st.sampled_from([1, 4, 32]), st.integers(1, 300))
def test_no_side_is_below_the_least(side: int, multiple: int, least: int) -> None:
    seen, length, starts = cut(side, multiple, 192, least)
    assert len(seen) == length == up(max(side, least), multiple)
    assert starts == [0]


@given(st.integers(1, 9000), st.integers(1, 600), st.integers(192, 2048))
def test_tiles_overlap_enough_and_keep_the_phase(side: int, multiple: int, tile: int) -> None:
    seen, length, starts = cut(side, multiple, tile)
    assert starts[0] == 0
    assert starts[-1] + length == len(seen) == up(side, multiple)
    assert all(start % multiple == 0 for start in (*starts, length))
    steps = np.diff(starts)
    assert all(0 < step <= length - max(64, multiple) for step in steps)


def test_a_side_is_padded_by_its_mirror_or_by_its_last_pixel() -> None:
    assert cut(5, 8, 512).seen.tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert cut(3, 8, 512).seen.tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert cut(1, 4, 512).seen.tolist() == [0, 0, 0, 0]


def test_fades_are_smooth_and_leave_the_rims_out() -> None:
    weights = fade(96)
    assert (weights[:32] == 0).all()
    assert (weights[-32:] == 1).all()
    assert (weights.diff() >= 0).all()
    assert weights.diff().max() < 0.06
    torch.testing.assert_close(weights + weights.flip(0), torch.ones(96))


def local() -> nn.Module:
    """Strides 2 down and up; a pixel sees 29 around it."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1)
    ).requires_grad_(False)  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(300, 500), (192, 193), (801, 97), (450, 450)])
def test_a_local_network_makes_the_same_in_tiles(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width) * 2 - 1
    whole, tiled = (torch.cat(list(bands(x, local(), multiple=4, tile=tile)), 2) for tile in (4096, 192))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def test_a_network_that_sees_the_whole_tile_leaves_no_seam() -> None:
    """Each tile shifted by a number of its own: steps between pixels stay as small as a fade makes them."""

    def make(part: Tensor) -> Tensor:
        return part + torch.rand(1)

    y = torch.cat(list(bands(torch.zeros(1, 1, 1500, 1500), make, tile=512)), 2)
    assert y.amax() - y.amin() > 0.3
    assert max(float(y.diff(dim=dim).abs().max()) for dim in (2, 3)) < 0.06  # of at most 1


def noisy_unet() -> UNet:
    """That of pix2pix with fresh weights, whose dropout is as loud as it gets; sides are multiples of 32."""
    torch.manual_seed(0)
    G = UNet((1, 3), 8, 5).requires_grad_(False)
    for layer in G.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    G(lines(256))
    G.eval()
    for layer in G.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    return G


def lines(side: int) -> Tensor:
    """Alike every 32 px, and none of them where a tile begins."""
    x = torch.ones(1, 1, side, side)
    x[..., 16::32], x[..., 16::32, :] = -1, -1
    return x


def test_a_unet_with_dropout_leaves_no_seam() -> None:
    """Each tile draws its own: where they meet, means of 8 px differ as much as elsewhere."""
    G, side, tile = noisy_unet(), 896, 256
    torch.manual_seed(1)
    made = torch.cat([torch.cat(list(bands(lines(side), G, multiple=32, tile=tile)), 2) for _ in range(3)])
    assert (made[0] - made[1]).std() > 0.1 * made.std(), "there is noise"
    _, length, starts = cut(side, 32, tile)
    rims = {*starts[1:], *(start + length for start in starts[:-1])}
    means = avg_pool2d(made, 8)
    for dim in (2, 3):
        steps = means.diff(dim=dim).abs().mean([d for d in range(4) if d != dim])[3:-4].view(-1, 4)
        usual = steps.median(0).values  # step 0 is the one across a multiple of 32
        assert all(steps[rim // 32 - 1, 0] < 1.08 * usual[0] for rim in rims), "1.06 to 1.25 where nothing fades"
        assert steps.mean(1).min() > 0.8 * usual.mean(), "the mean of two noises is a little quieter"


def test_model_translates_tensors(trained: Run) -> None:
    model = Model.load(trained("local", "--pair", "maps:photos"))
    x = torch.rand(3, 3, 250, 215) * 2 - 1
    whole, tiled = (model.translate(x, tile=tile) for tile in (512, 192))
    assert whole.shape == x.shape
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    noisy = Model.load(trained("noisy", "--pair", "maps:photos"))
    before = torch.random.get_rng_state()
    a, b, c = (noisy.translate(x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(Mistake, match=r"\(N, 3, H, W\)"):
        model.translate(x[:, :1])


# --- pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 4), (64, 31), (201, 333), (777, 50)])
def test_any_size_comes_back_to_the_pixel(same: Path, size: tuple[int, int], tmp_path: Path, mulligan: Command) -> None:
    file = save(noise(*size, 3), tmp_path / "a.png")
    answer = mulligan("apply", same, file, "-o", tmp_path / "b.png", "--tile", 192)
    assert (answer.status, answer.out, answer.err) == (0, f"{tmp_path / 'b.png'}\n", "")
    assert (read(tmp_path / "b.png") == read(file)).all()


REAL = {
    "cyclegan": ("--task", "negative", "--unpaired", "--blocks", "1"),
    "pix2pix": ("--pair", "maps:photos"),
    "pix2pix of own norms": ("--pair", "maps:photos", "--test-norm", "own"),
}


@pytest.mark.parametrize("system", REAL)
def test_real_systems_take_any_size(trained: Run, system: str, tmp_path: Path, mulligan: Command) -> None:
    words = ("--g-width", "4", "--d-width", "4", "--patch", "16", *REAL[system])
    run = trained("", *words, file=system.split()[0])
    sizes = [(1, 1), (1, 7), (3, 2), (4, 4), (5, 4), (600, 3), (64, 31), (201, 333)]
    for i, size in enumerate(sizes):
        save(noise(*size, 3), tmp_path / f"in/{i}.png")
    answer = mulligan("apply", run, tmp_path / "in", "-o", tmp_path / "out", "--tile", 192)
    assert (answer.status, answer.err) == (0, "")
    assert [read(tmp_path / f"out/{i}.png").shape[:2] for i in range(len(sizes))] == sizes


def test_a_network_of_one_size_gets_the_middle(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", file="square.py")
    save(noise(16, 16, 3), tmp_path / "in/a.png")
    save(np.pad(noise(16, 16, 3), [(0, 0), (4, 4), (0, 0)]), tmp_path / "in/b.png")
    save(noise(700, 300, 4), tmp_path / "in/c.png")
    save(noise(1, 1, 3), tmp_path / "in/d.png")
    answer = mulligan("apply", run, tmp_path / "in/a.png", "-o", tmp_path / "a.png", "--size", 16)
    assert (answer.status, answer.err) == (0, ""), "nothing was done to it"
    answer = mulligan("apply", run, tmp_path / "in", "-o", tmp_path / "out")
    said = "this run takes 16 x 16 px alone: the middle of each picture was cut out and scaled to that"
    assert (answer.status, answer.err) == (0, f"mulligan: {said}\n")
    assert (read(tmp_path / "out/a.png") == noise(16, 16, 3)).all()
    assert (read(tmp_path / "out/b.png") == noise(16, 16, 3)).all()
    assert [read(tmp_path / f"out/{name}.png").shape for name in "cd"] == [(16, 16, 4), (16, 16, 3)]
    answer = mulligan("apply", run, tmp_path / "in/a.png", "-o", tmp_path / "b.png", "--size", 50)
    assert "--size 50: this run takes images of 16 x 16 px alone; leave it out" in answer.mistake()


def test_size_scales_the_longer_side(same: Path, tmp_path: Path, mulligan: Command) -> None:
    file = save(noise(40, 100, 3), tmp_path / "a.png")
    assert mulligan("apply", same, file, "-o", tmp_path / "b.png", "--size", 50).status == 0
    assert read(tmp_path / "b.png").shape == (20, 50, 3)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_is_kept(same: Path, suffix: str, tmp_path: Path, mulligan: Command) -> None:
    pixels = noise(33, 20, 4)
    pixels[:10, :, 3] = 0
    file = save(pixels, tmp_path / "a.png")
    out = tmp_path / f"b{suffix}"
    assert mulligan("apply", same, file, "-o", out).err == ""
    made = read(out)
    assert (made[..., 3] == pixels[..., 3]).all()
    if suffix == ".png":
        assert (made[:10, :, :3] == 255).all(), "what cannot be seen is white to the network"


def test_transparency_is_laid_on_white_in_a_jpeg(same: Path, tmp_path: Path, mulligan: Command) -> None:
    file = save(np.zeros((16, 16, 4), np.uint8), tmp_path / "a.png")
    answer = mulligan("apply", same, file, "-o", tmp_path / "b.jpg")
    assert answer.status == 0
    assert "has no transparency" in answer.err
    assert (read(tmp_path / "b.jpg") == 255).all()


def test_a_network_with_transparency_makes_its_own(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", "--alpha")
    pixels = noise(20, 30, 4)
    file = save(pixels, tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png").status == 0
    assert (read(tmp_path / "b.png") == pixels).all()


def test_pictures_are_turned_upright(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pixels = noise(20, 31, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    file = save(pixels, tmp_path / "a.png", exif=exif)
    assert mulligan("apply", same, file, "-o", tmp_path / "b.png").status == 0
    assert (read(tmp_path / "b.png") == np.rot90(pixels, -1)).all()


def test_grey_for_colour_and_colour_for_grey(trained: Run, same: Path, tmp_path: Path, mulligan: Command) -> None:
    grey = save(noise(20, 31), tmp_path / "grey.png")
    assert mulligan("apply", same, grey, "-o", tmp_path / "a.png").err == ""
    assert (read(tmp_path / "a.png") == read(grey)[..., None]).all()
    edges = trained("same", "--task", "edges")
    assert mulligan("apply", edges, grey, "-o", tmp_path / "b.png").err == ""
    assert (read(tmp_path / "b.png") == read(grey)[..., None]).all()
    colours = [save(noise(9, 9, 3, seed=i), tmp_path / "many" / f"{i}.png") for i in range(3)]
    answer = mulligan("apply", edges, *colours, "-o", tmp_path / "out")
    assert answer.status == 0
    assert answer.err == "mulligan: this run sees grey alone: colours were not looked at\n"
    with Image.open(colours[0]) as picture:
        wanted = np.asarray(picture.convert("L")).astype(int)
    assert np.abs(read(tmp_path / "out/0.png")[..., 0] - wanted).max() <= 1


def test_brightness_is_that_of_training() -> None:
    """L of CIE Lab: middle grey, 119, is 50 of 100."""
    door = Door(Signal("image", (1, 16, 16), names=(LIGHTNESS,)))
    assert abs(float(door.see(torch.full((1, 3, 1, 1), 119, dtype=torch.uint8)))) < 2e-3


def test_colours_are_as_bright_as_what_they_are_given_to(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    """Also where tiles of different colours fade into each other."""
    run = trained("tinted", "--task", "colour")
    file = save(noise(260, 400), tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png", "--tile", 192).err == ""
    grey, made = (torch.from_numpy(np.array(Image.open(tmp_path / name).convert("RGB"))) for name in ("a.png", "b.png"))
    assert not (made[..., 0] == made[..., 1]).all()
    before, after = (to_lab(x.movedim(2, 0)[None] / 127.5 - 1)[:, 0] * 50 for x in (grey, made))
    assert (before - after).abs().max() < 0.5, "of 100; what rounding to 8 bits leaves"


def test_brightness_is_put_back_where_it_is_off_and_nowhere_else() -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    lightness = to_lab(x)[:, :1].clone()
    assert as_bright(x, lightness) is x
    lightness[:, :, :4] = torch.rand(2, 1, 4, 8) * 2 - 1
    y = as_bright(x, lightness)
    assert torch.equal(y[:, :, 4:], x[:, :, 4:])
    torch.testing.assert_close(to_lab(y)[:, :1], lightness, rtol=0, atol=2e-3)


def test_maps_have_the_colours_of_training(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", "--task", "labels")
    pixels = PALETTE[np.random.default_rng(1).integers(0, 3, (41, 30))]
    file = save(pixels, tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png", "--size", 20).status == 0
    made = read(tmp_path / "b.png")
    assert made.shape == (20, 15, 3)
    assert {tuple(c) for c in made.reshape(-1, 3).tolist()} <= {tuple(c) for c in PALETTE.tolist()}
    pixels[7, 12] = (250, 3, 0)
    save(pixels, file)
    said = mulligan("apply", run, file, "-o", tmp_path / "c.png").mistake()
    assert "a.png" in said
    assert "#fa0300 at (12, 7)" in said
    assert "nearest is #ff0000" in said
    assert mulligan("apply", run, save(noise(300, 300, 3), file), "-o", tmp_path / "c.png").status == 2
    assert not (tmp_path / "c.png").exists()


def test_the_way_back(trained: Run, same: Path, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--task", "negative", "--unpaired", file="two.py")
    file = save(noise(16, 16, 3), tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "there.png").status == 0
    assert mulligan("apply", run, file, "-o", tmp_path / "back.png", "--back").status == 0
    assert (read(tmp_path / "there.png") == read(file)).all()
    assert (read(tmp_path / "back.png") == 255 - read(file)).all()
    assert samples.read_provenance(tmp_path / "back.png")["way"] == "x to x2"  # type: ignore[index]
    assert "one way only" in mulligan("apply", same, file, "-o", tmp_path / "c.png", "--back").mistake()


@pytest.mark.parametrize("suffix", samples.PICTURES)
def test_every_file_says_what_it_is_and_is_the_same_again(
    trained: Run, suffix: str, tmp_path: Path, mulligan: Command
) -> None:
    run = trained("noisy", "--pair", "maps:photos")
    file = save(noise(16, 20, 3), tmp_path / "a.png")
    for name, seed in (("b", 7), ("c", 7), ("d", 8)):
        assert mulligan("apply", run, file, "-o", tmp_path / (name + suffix), "--seed", seed).status == 0
    told = samples.read_provenance(tmp_path / f"b{suffix}")
    assert told is not None
    assert told["synthetic"] is True
    assert (told["model"], told["seed"], told["made_of"]) == (Model.load(run).hash, 7, "a.png")
    with Image.open(tmp_path / f"b{suffix}") as picture:
        assert "Synthetic" in str(picture.info.get("Description") or picture.getexif()[0x010E])
    b, c, d = ((tmp_path / (name + suffix)).read_bytes() for name in "bcd")
    assert b == c
    assert b != d


# --- folders ------------------------------------------------------------------------------------------------


def test_a_folder_is_mirrored_and_a_broken_file_is_named(same: Path, tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "in"
    names = ["a.png", "deep/er/b.jpg", "deep/c.bmp", "deep/d.webp", "e.gif"]
    for name in names:
        save(noise(20, 20, 3), folder / name)
    (folder / "f.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "g.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("hello")
    save(noise(8, 8, 3), folder / ".hidden.png")
    answer = mulligan("apply", same, folder, "-o", folder / "out")
    assert answer.status == 1
    *lines, last = answer.err.splitlines()
    assert last == "mulligan: 2 of 7 could not be translated"
    assert [name in line for name, line in zip(["f.png", "g.jpg"], lines, strict=True)] == [True, True]
    made = [str(p.relative_to(folder / "out")) for p in sorted((folder / "out").rglob("*")) if p.is_file()]
    assert made == ["a.png", "deep/c.png", "deep/d.webp", "deep/er/b.jpg", "e.png"]
    assert (read(folder / "out/a.png") == read(folder / "a.png")).all()
    before = tree(folder)
    assert "--overwrite" in mulligan("apply", same, folder, "-o", folder / "out").mistake()
    assert tree(folder) == before
    again = mulligan("apply", same, folder, "-o", folder / "out", "--overwrite", "--json")
    assert again.status == 1
    told = json.loads(again.out)
    assert len(told["written"]) == 5, "what was made is no input"
    assert list(told["failed"]) == [str(folder / "f.png"), str(folder / "g.jpg")]
    assert tree(folder) == before


def test_what_is_refused(same: Path, density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    a, b, c = (save(noise(16, 16, 3), tmp_path / name) for name in ("x/a.png", "x/b.png", "y/a.png"))
    before = tree(tmp_path)
    (tmp_path / "bad.png").write_text("no")
    (tmp_path / "none").mkdir()
    for words, says in [
        ([tmp_path / "z.png", "-o", "o.png"], "does not exist"),
        ([tmp_path / "none", "-o", "o"], "no picture and no video"),
        ([a, b, "-o", tmp_path / "o.png"], "2 inputs do not go into one file; name a folder"),
        ([a, "-o", tmp_path / "o.tif"], "a picture is written as .png"),
        ([a, "-o", tmp_path / "o.mp4"], "a picture is written as .png"),
        ([a, "-o", b], "exists"),
        ([a, b, "-o", tmp_path / "x", "--overwrite"], "is an input itself"),
        ([a, c, "-o", tmp_path / "o"], "would both become"),
        ([tmp_path / "bad.png", "-o", tmp_path / "o.png"], "bad.png cannot be translated (not an image)"),
        ([a, "-o", tmp_path / "o.png", "--tile", "8"], "--tile 8"),
        (["-o", tmp_path / "o.png"], "INPUT"),
    ]:  # fmt: skip
        assert says in mulligan("apply", same, *words).mistake()
    assert "mulligan sample" in mulligan("apply", density_run, a, "-o", tmp_path / "o.png").mistake()
    assert "mulligan sample digits" in mulligan("apply", "digits", a, "-o", tmp_path / "o.png").mistake()
    (tmp_path / "bad.png").unlink()
    assert tree(tmp_path) == before


def test_channels_that_no_file_has_are_refused(same: Path, tmp_path: Path) -> None:
    file = save(noise(16, 16, 3), tmp_path / "a.png")
    for key, channels in (("input", 2), ("x", 6)):
        model = Model.load(same)
        model.system.signals = {**model.system.signals, key: Signal("image", (channels, 16, 16))}
        with pytest.raises(Mistake, match=f"{channels} channels.*Model.translate"):
            package.apply(model, [file], tmp_path / "b.png")


def test_none_of_many(same: Path, tmp_path: Path, mulligan: Command) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no")
    answer = mulligan("apply", same, tmp_path, "-o", tmp_path / "o")
    assert answer.status == 2
    assert "none of the 2 inputs" in answer.err.splitlines()[-1]


def test_progress_counts_tiles_and_files(same: Path, tmp_path: Path) -> None:
    save(noise(300, 200, 3), tmp_path / "in/a.png")
    save(noise(10, 10, 3), tmp_path / "in/b.png")
    told: list[tuple[str, int, int]] = []
    applied = package.apply(
        Model.load(same), [tmp_path / "in"], tmp_path / "out", tile=192, progress=lambda *now: told.append(now)
    )
    assert [file.name for file in applied.written] == ["a.png", "b.png"]
    tiles = [now for now in told if now[0] == "tiles of a.png"]
    assert tiles == [("tiles of a.png", i + 1, len(tiles)) for i in range(len(tiles))]
    assert told[-1] == ("translating", 2, 2)


def test_notes_do_not_stand_behind_what_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    display.counting("translating", 1, 3)
    display.note("b.png is broken")
    assert capsys.readouterr().err == "\r\033[Ktranslating: 1 of 3\r\033[Kmulligan: b.png is broken\n"


# --- videos -------------------------------------------------------------------------------------------------


def film(file: Path, n: int = 12, size: tuple[int, int] = (48, 64), sound: bool = False) -> Path:
    """A square that moves over grey."""
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264" if file.suffix != ".webm" else "libvpx-vp9", rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if sound:
            voice = container.add_stream("aac", rate=8000)
            voice.layout = "mono"
        for i in range(n):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving(i, size), format="rgb24")))
        container.mux(stream.encode())
        if sound:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            tone.rate = 8000
            container.mux(voice.encode(tone))
            container.mux(voice.encode())
    return file


def moving(i: int, size: tuple[int, int]) -> np.ndarray:
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[10:30, 2 * i : 2 * i + 20] = (200, 120, 40)
    return pixels


@pytest.mark.parametrize(("source", "out"), [(".mp4", ".mp4"), (".mov", ".webm"), (".mkv", ".gif"), (".webm", ".mp4")])
def test_videos_keep_their_frames_and_their_rate(
    same: Path, source: str, out: str, tmp_path: Path, mulligan: Command
) -> None:
    av = pytest.importorskip("av")
    file = film(tmp_path / f"a{source}")
    target = tmp_path / f"b{out}"
    assert mulligan("apply", same, file, "-o", target).status == 0
    with av.open(str(target)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == 12
    assert all(abs(frame.time - i / 24) < 0.006 for i, frame in enumerate(decoded)), "GIF counts hundredths"
    frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    for i, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - moving(i, (48, 64))).mean() < 4
    told = samples.read_provenance(target)
    assert told is not None
    assert (told["synthetic"], told["made_of"]) == (True, file.name)
    first = target.read_bytes()
    assert "exists" in mulligan("apply", same, file, "-o", target).mistake()
    assert mulligan("apply", same, file, "-o", target, "--overwrite").status == 0
    assert target.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([file.name, target.name])


def test_sound_is_left_out_and_odd_sides_are_made_even(
    trained: Run, same: Path, tmp_path: Path, mulligan: Command
) -> None:
    av = pytest.importorskip("av")
    answer = mulligan("apply", same, film(tmp_path / "a.mp4", sound=True), "-o", tmp_path / "b.mp4", "--size", "47")
    assert answer.status == 0
    assert answer.err == "mulligan: the sound of videos is left out\n"
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio
        assert (container.streams.video[0].width, container.streams.video[0].height) == (48, 36)


def test_a_video_of_a_telephone_held_upright_is_turned(same: Path, tmp_path: Path, mulligan: Command) -> None:
    av = pytest.importorskip("av")
    content = film(tmp_path / "a.mp4").read_bytes()
    lying, standing = (struct.pack(">5i", *numbers) for numbers in ([65536, 0, 0, 0, 65536], [0, 65536, 0, -65536, 0]))
    place = content.index(lying, content.index(b"tkhd"))  # the matrix that players turn pictures by: clockwise
    (tmp_path / "a.mp4").write_bytes(content[:place] + standing + content[place + len(standing) :])
    assert mulligan("apply", same, tmp_path / "a.mp4", "-o", tmp_path / "b.mp4").status == 0
    with av.open(str(tmp_path / "b.mp4")) as container:
        first = next(container.decode(video=0))
    assert first.rotation == 0
    assert np.abs(first.to_ndarray(format="rgb24").astype(int) - np.rot90(moving(0, (48, 64)), -1)).mean() < 4


def test_a_gif_is_a_video_if_it_moves(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    frames = [Image.fromarray(moving(i, (40, 60))) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    assert mulligan("apply", same, tmp_path / "a.gif", "-o", tmp_path / "out").status == 0
    assert mulligan("apply", same, tmp_path / "a.gif", "-o", tmp_path / "first.png").status == 0
    with Image.open(tmp_path / "out/a.gif") as made:
        assert made.n_frames == 5  # type: ignore[attr-defined]
        assert np.abs(np.asarray(made.convert("RGB")).astype(int) - moving(0, (40, 60))).max() < 8
    assert read(tmp_path / "first.png").shape == (40, 60, 3)


def test_a_broken_video_is_named(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(film(tmp_path / "b.mp4").read_bytes()[:300])
    answer = mulligan("apply", same, tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", tmp_path / "out")
    assert answer.status == 1
    assert "a.mp4 cannot be translated" in answer.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.mp4"]
    frames = [Image.fromarray(noise(40, 60, 3, seed=i)) for i in range(5)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    content = (tmp_path / "c.gif").read_bytes()
    (tmp_path / "c.gif").write_bytes(content[: len(content) * 3 // 4])
    answer = mulligan("apply", same, tmp_path / "c.gif", "-o", tmp_path / "c.mp4")
    assert "c.gif" in answer.mistake()
    assert not list(tmp_path.glob(".c*"))


def test_a_video_of_no_frame_is_none(same: Path, tmp_path: Path, mulligan: Command) -> None:
    content = film(tmp_path / "a.webm", 48).read_bytes()
    (tmp_path / "a.webm").write_bytes(
        content[: content.index(b"\x1f\x43\xb6\x75") + 40]
    )  # where the first cluster of frames begins
    before = tree(tmp_path)
    for name in ("b.mp4", "b.webm", "b.gif"):
        said = mulligan("apply", same, tmp_path / "a.webm", "-o", tmp_path / name).mistake()
        assert "a.webm cannot be translated (no frame in it)" in said
    assert tree(tmp_path) == before


def test_a_video_that_is_cut_short_says_so(same: Path, tmp_path: Path, mulligan: Command) -> None:
    av = pytest.importorskip("av")
    content = film(tmp_path / "a.webm", 48).read_bytes()
    (tmp_path / "a.webm").write_bytes(content[: len(content) * 3 // 4])
    answer = mulligan("apply", same, tmp_path / "a.webm", "-o", tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        n = len(list(container.decode(video=0)))
    assert 0 < n < 48
    assert answer.status == 0
    assert answer.err == f"mulligan: a.webm is cut short: of 48 frames {n} could be read\n"
    for name in ("c.mp4", "c.mov", "c.mkv"):
        assert mulligan("apply", same, film(tmp_path / name, 48), "-o", tmp_path / f"of {name}.mp4").err == ""


def test_a_missing_package_is_named(
    same: Path, tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    assert 'pip install "mulligan[video]"' in mulligan("apply", same, tmp_path / "a.mp4", "-o", "o.mp4").mistake()


def test_a_full_disk_is_said(same: Path, small_disk: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    file = save(noise(1200, 1200, 3), tmp_path / "a.png")
    assert "cannot be written" in mulligan("apply", same, file, "-o", small_disk / "a.png").mistake()
    (small_disk / "full").write_bytes(bytes(2**21 - 2**17))
    frames = [Image.fromarray(noise(300, 300, 3, seed=i)) for i in range(16)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    for name in ("b.mp4", "b.webm", "b.gif"):
        assert "cannot be written" in mulligan("apply", same, tmp_path / "b.gif", "-o", small_disk / name).mistake()
    (small_disk / "full").unlink()
    assert list(small_disk.iterdir()) == []


# --- costs --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no children's memory")
def test_a_photograph_of_twelve_megapixels_stays_small(tmp_path: Path, trained: Run) -> None:
    down, right = np.mgrid[0:3000, 0:4000]
    pixels = np.stack([down // 12, right // 16, (down + right) // 28], 2).astype(np.uint8)
    file = save(pixels, tmp_path / "a.jpg", quality=90)
    answer = separate("apply", trained("local", "--pair", "maps:photos"), file, "-o", tmp_path / "b.jpg")
    assert answer.status == 0, answer.err
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    assert peak < 2048, "MiB"


def test_one_small_picture_is_quick(same: Path, tmp_path: Path) -> None:
    """Processor seconds beyond the import of torch, the least of three."""
    file = save(noise(64, 64, 3), tmp_path / "a.png")
    torch_alone = least(["-c", "import torch"])
    words = ["apply", str(same), str(file), "-o", str(tmp_path / "b.png"), "--overwrite"]
    assert least(["-c", f"from mulligan.cli import main; main({words!r})"]) - torch_alone < 0.7


def least(words: list[str]) -> float:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_a_film_without_times_of_its_own(same: Path, tmp_path: Path, mulligan: Command) -> None:
    """An .avi with frames that are stored in another order than they are shown in."""
    film(tmp_path / "c.avi", 48)
    assert mulligan("apply", same, tmp_path / "c.avi", "-o", tmp_path / "c.mp4").status == 0
    with video.opened(tmp_path / "c.mp4") as found:
        times = [frame.time for frame in found.frames]
    assert len(times) == 48 and times == sorted(set(times))
