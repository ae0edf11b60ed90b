"""pix2pix: its losses in closed form, what its patches see, colours, noise and whole commands with their files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import Command, bare_loop, entered, samples_of, signals_of, tiny_system
from mulligan import registry
from mulligan.layers.lab import to_lab, to_rgb
from mulligan.metrics.features import EfficientNet
from mulligan.model import Model
from mulligan.networks.patchgan import FIELDS, PatchDiscriminator, whole
from mulligan.networks.unet import UNet
from mulligan.signals import LIGHTNESS, Signal

TINY = ("--batch", "4", "--g-width", "4", "--d-width", "4", "--patch", "16", "--size", "16")


def system(**options: Any) -> Any:
    return tiny_system("pix2pix", "image", **options)


def batch_of(s: Any, n: int = 6) -> dict[str, Tensor]:
    return samples_of(s.signals).fetch(np.arange(n))


# --- what a patch is ----------------------------------------------------------------------------------------


def footprint(D: nn.Module, side: int) -> tuple[int, int]:
    """Height and width of the part of an image that one logit in the middle depends on."""
    x = torch.randn(1, 2, side, side, requires_grad=True)
    logits = D(x)
    middle = logits.shape[2] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], x)
    seen = (gradient[0] != 0).any(0)
    return int(seen.any(1).sum()), int(seen.any(0).sum())


@pytest.mark.parametrize("field", [1, *(field for field in FIELDS if field < 600)])
@pytest.mark.parametrize("norm", [False, True])
def test_a_logit_sees_a_square_of_that_side(field: int, norm: bool) -> None:
    """By the gradient; BatchNorm in eval mode, for in train mode each value depends on all."""
    torch.manual_seed(0)
    D = PatchDiscriminator(2, 2, field, nn.BatchNorm2d if norm else None).eval()
    for p in D.parameters():
        nn.init.uniform_(p, 0.1, 1.0)  # nothing cancels
    assert footprint(D, 2 * field + 40) == (field, field)


@pytest.mark.parametrize(
    ("side", "field"), [(16, 16), (28, 34), (64, 70), (128, 142), (256, 286), (512, 574), (2048, 2302)]
)
def test_the_smallest_field_that_covers_an_image(side: int, field: int) -> None:
    assert whole(side) == field


# --- the game -----------------------------------------------------------------------------------------------


class Known(nn.Module):
    """A D that says 0.4 of real pairs and -0.7 of others."""

    def __init__(self, real: Tensor) -> None:
        super().__init__()
        self.real, self.seen = real, 0

    def forward(self, y: Tensor, *x: Tensor) -> Tensor:
        self.seen = 1 + len(x)
        says = torch.where((y == self.real).flatten(1).all(1), 0.4, -0.7)
        return says[:, None, None, None].expand(-1, 1, 2, 2)


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        ("minimax", {"real": softplus(-0.4) / 2, "fake": softplus(-0.7) / 2}, softplus(0.7)),
        ("least_squares", {"real": 0.6**2 / 4, "fake": 0.7**2 / 4}, 1.7**2 / 2),
        ("relativistic", {"adv": softplus(-1.1)}, softplus(1.1)),
    ],
)
def test_terms_in_closed_form(loss: str, d: dict[str, float], g: float) -> None:
    s = system(loss=loss, mirror=False, l1_weight=7.0, adv_weight=0.5)
    batch = batch_of(s)
    s.D = Known(batch["x"])
    terms = s.g_loss(batch)
    (_, (x, y, fake)) = s.kept.left[0]
    assert torch.equal(x, batch["input"]) and torch.equal(y, batch["x"])
    assert float(terms["l1"].detach()) == pytest.approx(7 * float((y - fake).abs().mean()))
    assert float(terms["adv"].detach()) == pytest.approx(g / 2)
    assert {k: float(v) for k, v in s.d_loss(batch).items()} == pytest.approx(d)


@pytest.mark.parametrize("told", [True, False])
def test_a_d_that_is_told_sees_both_images(told: bool) -> None:
    s = system(told_d=told)
    batch = batch_of(s)
    s.D = Known(batch["x"])
    s.g_loss(batch)
    assert s.D.seen == 1 + told
    other = {**batch, "input": batch["input"].roll(1, 0)}
    real = system(told_d=told).eval()
    same = torch.equal(real.judge(batch["input"], batch["x"]), real.judge(other["input"], batch["x"]))
    assert same != told


def test_slopes_are_a_mean_over_patches() -> None:
    """Of a D of patches that do not overlap, each logit w·patch: |w|²."""
    s = system(gamma=1.0, told_d=False)
    s.D = nn.Conv2d(3, 1, 4, 4)
    batch = batch_of(s)
    expected = float(s.D.weight.detach().square().sum())
    assert float(s.slopes(batch["input"], batch["x"]).detach()) == pytest.approx(expected, rel=1e-5)


def test_d_takes_the_fakes_of_gs_turn() -> None:
    loop = entered(bare_loop(system()))
    s: Any = loop.system
    taken: list[Tensor] = []
    judge = s.judge

    def noted(x: Tensor, y: Tensor) -> Tensor:
        taken.append(y)
        return judge(x, y)

    s.judge = noted
    loop.play()
    by_g, real, by_d = taken
    assert torch.equal(by_g, by_d) and by_g.requires_grad and not by_d.requires_grad and not real.requires_grad
    assert not s.kept


def test_without_a_weight_for_d_there_is_none() -> None:
    s = system(adv_weight=0.0)
    (stage,) = s.stages()
    assert [turn.player for turn in stage.turns] == ["G"]
    assert s.scores(batch_of(s)) == {}
    assert set(s.g_loss(batch_of(s))) == {"l1"}


def test_pairs_are_mirrored_together() -> None:
    s = system()
    batch = batch_of(s)
    torch.manual_seed(0)
    x, y = s.pair(batch)
    turned = [not torch.equal(a, b) for a, b in zip(x, batch["input"], strict=True)]
    assert 0 < sum(turned) < len(turned)
    for i, t in enumerate(turned):
        for now, before in ((x, batch["input"]), (y, batch["x"])):
            assert torch.equal(now[i], before[i].flip(2) if t else before[i])


# --- networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("halvings", "sides"), [(2, (8, 12)), (3, (8, 16)), (5, (32, 64))])
def test_a_u_net_keeps_the_sides(halvings: int, sides: tuple[int, int], antialias: bool) -> None:
    net = UNet((2, 3), 2, halvings, antialias=antialias)
    made = net(torch.randn(2, 2, *sides))
    assert made.shape == (2, 3, *sides)
    assert net.multiple == 2**halvings


def test_the_papers_u_net() -> None:
    """54.4 million numbers, as the reference code's unet_256 has with BatchNorm."""
    net = UNet((3, 3), 64, 8)
    assert sum(p.numel() for p in net.parameters()) == 54_413_955
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == 3


def test_the_papers_patchgan() -> None:
    """2.77 million numbers, as the reference code's with two images of three channels."""
    assert sum(p.numel() for p in PatchDiscriminator(6, 64, 70).parameters()) == 2_768_705


def test_noise_is_what_z_says_and_is_there_when_generating() -> None:
    s = system().eval()
    batch = {**batch_of(s), "z": torch.arange(6.0)[:, None]}
    with torch.no_grad():
        one, same = (s.generate(batch)["x"] for _ in range(2))
        other = s.generate({**batch, "z": batch["z"] + 1})["x"]
        quiet = system(test_dropout=False).eval()
        still = [quiet.generate({**batch, "z": batch["z"] + i})["x"] for i in range(2)]
    assert torch.equal(one, same) and not torch.equal(one, other) and torch.equal(*still)


@pytest.mark.parametrize("options", [{"test_norm": "own"}, {"norm": "instance"}, {}])
def test_an_images_result_depends_on_no_other(options: dict[str, Any]) -> None:
    s = system(test_dropout=False, **options).eval()
    x = batch_of(s)["input"]
    with torch.no_grad():
        alone = torch.cat([s.translate(one, "input") for one in torch.split(x, 1)])
        assert torch.allclose(s.translate(x, "input"), alone, atol=1e-5)


def test_own_means_are_those_of_training_at_a_batch_of_one() -> None:
    s = system(test_norm="own", test_dropout=False, dropout=0.0)
    x = batch_of(s)["input"][:1]
    with torch.no_grad():
        trained = s.train().translate(x, "input")
        assert torch.allclose(s.eval().translate(x, "input"), trained, atol=1e-5)


# --- colours ------------------------------------------------------------------------------------------------


def in_colour(**options: Any) -> Any:
    kind = registry.load("pix2pix")
    signals = {**signals_of("image"), "input": Signal("image", (1, 16, 16), names=(LIGHTNESS,))}
    return kind(kind.Config(**{**kind.Config.tiny().model_dump(), **options}), signals)


def test_of_grey_the_colours_are_made_and_the_brightness_stays() -> None:
    s = in_colour().eval()
    assert s.G(torch.zeros(1, 1, 16, 16)).shape == (1, 2, 16, 16)
    grey = to_lab(torch.rand(3, 3, 16, 16) * 2 - 1)[:, :1]
    with torch.no_grad():
        made = s.translate(grey, "input")
    assert made.shape == (3, 3, 16, 16)
    assert torch.allclose(to_lab(made)[:, :1], grey, atol=2e-3)


def test_what_g_should_make_are_the_colours() -> None:
    s = in_colour(mirror=False, adv_weight=0.0)
    batch = batch_of(s)
    batch["input"] = to_lab(batch["x"])[:, :1]

    class Knows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return to_lab(batch["x"])[:, 1:]

    s.G = Knows()
    assert float(s.g_loss(batch)["l1"]) == 0
    assert torch.allclose(s.translate(batch["input"], "input"), batch["x"], atol=2e-3)


KNOWN = {(255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86), (119, 119, 119): (50.03, 0, 0),
         (255, 255, 255): (100, 0, 0), (0, 0, 0): (0, 0, 0), (0, 128, 0): (46.23, -51.70, 49.90)}  # fmt: skip


@pytest.mark.parametrize("rgb", KNOWN)
def test_lab_of_known_colours(rgb: tuple[int, int, int]) -> None:
    x = torch.tensor(rgb, dtype=torch.float32)[None, :, None, None] / 127.5 - 1
    lightness, a, b = to_lab(x).flatten().tolist()
    assert ((lightness + 1) * 50, a * 110, b * 110) == pytest.approx(KNOWN[rgb], abs=0.05)
    assert torch.allclose(to_rgb(to_lab(x)), x, atol=4e-3)


def test_a_colour_that_no_screen_shows_keeps_its_brightness_and_hue() -> None:
    lab = torch.tensor([0.7, 0.9, -0.9])[None, :, None, None]
    back = to_lab(to_rgb(lab)).flatten()
    assert float(back[0]) == pytest.approx(0.7, abs=2e-3)
    assert float(back[1] / -back[2]) == pytest.approx(1.0, abs=0.03)
    assert 0 < float(back[1]) < 0.9


# --- the command line ---------------------------------------------------------------------------------------


def draw_pairs(folder: Path, n: int = 24, side: int = 16) -> None:
    """Flat maps and what they are maps of."""
    rng = np.random.default_rng(0)
    for i in range(n):
        labels = rng.integers(0, 2, (4, 4)).repeat(4, 0).repeat(4, 1)
        colours = np.array([[200, 30, 30], [30, 30, 200]], np.uint8)[labels]
        picture = np.clip(colours + rng.integers(-20, 20, (side, side, 3)), 0, 255).astype(np.uint8)
        for name, pixels in (("maps", colours), ("photos", picture)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.png")


def test_whole_commands(tmp_path: Path, mulligan: Command) -> None:
    draw_pairs(tmp_path / "pairs")
    run = tmp_path / "run"
    words = ("train", "pix2pix", "--data", tmp_path / "pairs", "--task", "labels", *TINY)
    assert "maps:photos" in mulligan("data", "check", tmp_path / "pairs").out
    assert mulligan(*words, "--rounds", "4", "--look-every", "2", "--out", run).status == 0
    model = Model.load(run)
    assert model.config["data"]["pair"] == "maps:photos"
    assert len(model.system.signals["input"].names) == 2
    assert mulligan("train", "--resume", run, "--rounds", "6").status == 0
    assert mulligan("sample", run, "-n", "4", "-o", tmp_path / "s.png").status == 0
    assert (run / "samples" / "000006.png").exists()


def test_evaluate_holds_what_was_made_against_the_true_partner(tmp_path: Path, mulligan: Command) -> None:
    draw_pairs(tmp_path / "pairs", n=120)
    run = tmp_path / "run"
    words = ("train", "pix2pix", "--data", tmp_path / "pairs", *TINY, "--rounds", "2", "--out", run)
    assert mulligan(*words).status == 0
    answer = mulligan("evaluate", run, "--json")
    assert answer.status == 0
    found = {metric["name"]: metric for metric in json.loads(answer.out)["metrics"]}
    assert found["L1 distance"]["floor"] == 0 < found["L1 distance"]["value"]
    assert set(found["L1 distance"]["baseline"]) == {"nearest neighbour", "mean picture"}
    assert found["sharpness"]["baseline"]["mean picture"] < 0.2 < found["sharpness"]["floor"]
    assert found["colours in common"]["floor"] > 0.8


def test_flat_pictures_have_no_sharpness_to_be_reached(tmp_path: Path, mulligan: Command) -> None:
    for i in range(120):
        for folder, colours in (("a", np.random.default_rng(i).integers(0, 256, (16, 16, 3))), ("b", (2 * i, 90, 20))):
            (tmp_path / "pairs" / folder).mkdir(parents=True, exist_ok=True)
            picture = np.broadcast_to(np.array(colours, np.uint8), (16, 16, 3))
            Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / "pairs" / folder / f"{i}.png")
    run = tmp_path / "run"
    trained = mulligan("train", "pix2pix", "--data", tmp_path / "pairs", *TINY, "--rounds", "2", "--out", run)
    assert f"next: mulligan apply {run} PICTURE -o made.png" in trained.out
    answer = mulligan("evaluate", run, "--json")
    assert answer.status == 0
    found = {metric["name"] for metric in json.loads(answer.out)["metrics"]}
    assert "L1 distance" in found and "sharpness" not in found


def test_a_network_that_taught_g_is_known_to_judges() -> None:
    assert system(perceptual_weight=1.0).taught_by == (EfficientNet.name,)
    assert system().taught_by == ()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--l1-weight", "0", "--adv-weight", "0"), "G needs one to learn from"),
        (("--patch", "70"), "--patch 70: images of 16 px are too small for it; take 34 or image"),
        (("--data", "mnist", "--size", "30", "--task", "edges"), "--size 30: this network needs a multiple of 4"),
        (("--task", "colour", "--data", "mnist"), "have 1 channels, not 3"),
    ],
)
def test_mistakes_take_one_line(words: tuple[str, ...], says: str, pictures: Path, mulligan: Command) -> None:
    assert "pix2pix needs input (image), but mnist supplies only x" in mulligan("train", "pix2pix").mistake()
    known = ("--data", pictures, "--task", "edges", *TINY, "--rounds", "1")
    assert says in mulligan("train", "pix2pix", *known, *words).mistake()


def test_colours_are_exact_where_training_computes_in_bfloat16() -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        lab = to_lab(x)
        assert torch.equal(lab, to_lab(x)) and (to_rgb(lab) - x).abs().max() < 0.01
    assert torch.equal(lab, to_lab(x))


def test_some_noise_at_any_side() -> None:
    for halvings in range(2, 9):
        found = sum(isinstance(m, nn.Dropout) for m in UNet((1, 1), 1, halvings).modules())
        assert found == min(3, max(1, halvings - 2)), halvings


def test_unpaired_is_refused_where_it_means_nothing(pictures: Path, mulligan: Command) -> None:
    said = mulligan("train", "pix2pix", "--data", pictures, "--task", "edges", "--unpaired", *TINY).mistake()
    assert "this system learns from pairs" in said
    assert "mnist has no pairs to be taken apart" in mulligan("train", "dcgan", "--unpaired").mistake()


def test_both_ways_of_a_folder_have_their_own_fingerprint(tmp_path: Path) -> None:
    from mulligan.data import open_source

    for i in range(12):
        rng = np.random.default_rng(i)
        Image.fromarray(rng.integers(0, 255, (8, 16, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    ways = [open_source(str(tmp_path), pair=pair).fingerprint for pair in ("left:right", "right:left")]
    assert len({*ways, open_source(str(tmp_path)).fingerprint}) == 3


def test_folders_named_left_and_right_are_two_folders(tmp_path: Path) -> None:
    from mulligan.data import open_source

    draw_pairs(tmp_path, n=30)
    (tmp_path / "maps").rename(tmp_path / "left")
    (tmp_path / "photos").rename(tmp_path / "right")
    source = open_source(str(tmp_path), pair="left:right")
    assert sum(map(len, source.splits.values())) == 30 and "y" not in source.signals
