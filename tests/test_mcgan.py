"""MC-GAN: its table of heads in closed form, what its blocks let through, and whole commands with their files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from conftest import Command, samples_of, tiny_loop, tiny_system
from mulligan import losses
from mulligan.data import characters, open_source
from mulligan.data.tasks import paste
from mulligan.model import Model
from mulligan.systems.mcgan import Heads, Synthesis, outside

TINY = ("--batch", "4", "--z-dim", "4", "--code", "4", "--width", "2")
FEW = {"train": (0, 40), "held_out": (40, 52), "test": (52, 64)}


def system(**options: Any) -> Any:
    return tiny_system("mcgan", "image+text", **options)


def batch_of(s: Any, n: int = 6) -> dict[str, Tensor]:
    return samples_of(s.signals).fetch(np.arange(n))


# --- the game -----------------------------------------------------------------------------------------------


class Known(nn.Module):
    """A D whose heads say of real inputs, of fakes, of a wrong sentence and of a wrong mask what they are told to."""

    REAL: ClassVar = {"match": 0.3, "image": 0.6, "mask": -0.2}
    FAKE: ClassVar = {"match": -0.5, "image": 0.1, "mask": 0.4}
    WRONG, MISFIT, WRONG_MASK = 0.7, -0.1, 0.9

    def __init__(self, batch: dict[str, Tensor]) -> None:
        super().__init__()
        self.batch = batch

    def pair(self, x: Tensor, mask: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        assert torch.equal(x, self.batch["x"]) and torch.equal(mask, self.batch["mask"].roll(1, 0))
        assert torch.equal(c, self.batch["text"])
        return torch.full((len(x),), self.MISFIT), torch.full((len(x),), self.WRONG_MASK)

    def forward(self, x: Tensor, mask: Tensor, c: Tensor) -> Heads:
        n = len(x)
        says = self.REAL if torch.equal(x[:6], self.batch["x"]) else self.FAKE
        match, image, fits = (torch.full((n,), says[head]) for head in Heads._fields)
        if len(c) == 2 * n:
            assert torch.equal(c, torch.cat([self.batch["text"], self.batch["text"].roll(1, 0)]))
            match = torch.cat([match, torch.full((n,), self.WRONG)])
        return Heads(match, image, fits)


def lost(this: float, that: float) -> float:
    """softplus(-(this - that))."""
    return math.log1p(math.exp(that - this))


def test_what_each_head_is_to_tell_apart() -> None:
    s = system(gamma=0.0)
    batch = batch_of(s)
    s.D = D = Known(batch)
    terms = {k: float(v.detach()) for k, v in s.d_loss(batch).items()}
    match, image, fits = (lost(D.REAL[head], D.FAKE[head]) for head in Heads._fields)
    assert terms["fake"] == pytest.approx(2 * match + 2 * image + fits)
    assert terms["mismatch"] == pytest.approx(2 * lost(0.3, 0.7))
    assert terms["misfit"] == pytest.approx(2 * lost(0.3, -0.1) + lost(-0.2, 0.9))
    terms = {k: float(v.detach()) for k, v in s.g_loss(batch).items()}
    weighed = [w * lost(D.FAKE[head], D.REAL[head]) for w, head in zip((2, 2, 1), Heads._fields, strict=True)]
    assert [terms[head] for head in Heads._fields] == pytest.approx(weighed)


def test_the_weights_are_the_options() -> None:
    s = system(match_weight=0.0, image_weight=3.0, mask_weight=0.0, gamma=0.0)
    batch = batch_of(s)
    s.D = Known(batch)
    terms = {k: float(v.detach()) for k, v in s.d_loss(batch).items()}
    assert terms == pytest.approx({"fake": 3 * lost(0.6, 0.1), "mismatch": 0, "misfit": 0, "r1_r2": 0})


def test_the_slopes_are_weighed_and_taken_at_the_real_and_at_what_g_made() -> None:
    s = system(gamma=0.5)
    batch = batch_of(s)
    seen: list[Any] = []

    def slopes(*shown: Any) -> Tensor:
        seen.extend(shown)
        return torch.tensor(3.0)

    s.slopes = slopes
    assert float(s.d_loss(batch)["r1_r2"]) == 1.5
    real, made = seen
    assert all(map(torch.equal, real, (batch["x"], batch["mask"], batch["text"])))
    assert made[0].shape == real[0].shape and not torch.equal(made[0], real[0])
    assert torch.equal(made[2], batch["text"])


def test_the_same_sentence_is_no_mismatch() -> None:
    s = system()
    batch = batch_of(s)
    batch["text"] = batch["text"][:1].expand(6, -1)
    s.D = Known(batch)
    assert float(s.d_loss(batch)["mismatch"]) == 0
    batch["text"] = torch.stack([batch["text"][0]] * 5 + [batch["text"][0].roll(1)])
    s.D = Known(batch)
    assert float(s.d_loss(batch)["mismatch"]) == pytest.approx(2 * lost(0.3, 0.7)), "a mean over those that differ"


def test_slopes_are_of_image_and_mask_and_of_all_heads() -> None:
    """For heads that are linear: a step ε moves their mean by its slope times ε, whatever the step's length."""
    s = system()
    batch = batch_of(s)

    class Linear(nn.Module):
        def forward(self, x: Tensor, mask: Tensor, c: Tensor) -> Heads:
            return Heads(x.sum((1, 2, 3)) + 2 * mask.sum((1, 2, 3)), 4 * x.sum((1, 2, 3)), mask.sum((1, 2, 3)))

    s.D = Linear()
    shown = batch["x"], batch["mask"], batch["text"]
    torch.manual_seed(1)
    found = s.slopes(shown, shown)
    torch.manual_seed(1)
    step = torch.randn(12, 4, *batch["x"].shape[2:])
    slope = (5 * step[:, :3].sum((1, 2, 3)) + 3 * step[:, 3:].sum((1, 2, 3))) / 3
    assert float(found) == pytest.approx(float(slope.square().mean()), rel=0.02)


@pytest.mark.parametrize(
    ("off", "mask", "expected"),
    [(0.0, -1.0, 0.0), (0.2, -1.0, 15 * 0.2), (0.2, 1.0, 0.0)],
    ids=["kept", "moved", "all of it called object"],
)
def test_the_background_is_asked_for_where_the_mask_leaves_it(off: float, mask: float, expected: float) -> None:
    s = system()
    batch = batch_of(s)
    moments = (torch.zeros(6, 8), torch.zeros(6, 8))
    s.G.forward = lambda z, c, b: (b + off, torch.full_like(b[:, :1], mask), moments)
    terms = s.g_loss(batch)
    assert float(terms["background"]) == pytest.approx(expected, abs=1e-5)
    assert float(terms["kl"]) == 0


def test_outside_leaves_a_rim() -> None:
    mask = torch.full((1, 1, 7, 7), -0.4)
    assert (outside(mask) == 1).all()
    mask[0, 0, 0, 3] = 0.0
    expected = torch.ones(7, 7)
    expected[:2, 2:5] = 0
    assert torch.equal(outside(mask.requires_grad_())[0, 0], expected)
    assert not outside(mask).requires_grad


def test_kl_to_the_standard_normal() -> None:
    mu, log_var = torch.randn(5, 3), torch.randn(5, 3)
    known = kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(0.0, 1.0)).mean()
    assert torch.allclose(losses.kl_standard_normal(mu, log_var), known)


# --- the networks -------------------------------------------------------------------------------------------


def test_the_switch_lets_the_background_through_or_not() -> None:
    block = Synthesis(3).eval()
    h, behind = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        content = block.layers(h)[:, :3]
        for bias, share in ((-60.0, 0.0), (60.0, 1.0)):
            block.layers[-1].bias[3:] = bias
            assert torch.allclose(block(h, behind), content + share * behind, atol=1e-6)


def test_all_that_is_told_matters() -> None:
    s = system().eval()
    batch = batch_of(s)
    z = s.latent(6)
    other_code = torch.cat([z[:, :8], z[:, 8:].flip(0)], 1)
    with torch.no_grad():
        x = s.generate({"z": z, **batch})["x"]
        others = [
            {"z": z.flip(0), **batch},
            {"z": other_code, **batch},
            {"z": z, **batch, "text": batch["text"].flip(0)},
            {"z": z, **batch, "background": batch["background"].flip(0)},
        ]
        assert all(not torch.equal(s.generate(other)["x"], x) for other in others)


def test_d_judges_several_sentences_at_once_as_one_by_one() -> None:
    D = system().D.eval()
    batch = batch_of(system())
    x, mask, c = batch["x"], batch["mask"], batch["text"]
    with torch.no_grad():
        both = D(x, mask, torch.cat([c, c.flip(0)]))
        one, two = D(x, mask, c), D(x, mask, c.flip(0))
    assert torch.allclose(both.match, torch.cat([one.match, two.match]), atol=1e-6)
    assert torch.allclose(both.image, one.image, atol=1e-6) and torch.allclose(both.mask, one.mask, atol=1e-6)


def test_no_head_but_two_see_the_mask() -> None:
    D = system().D.eval()
    batch = batch_of(system())
    with torch.no_grad():
        one, two = (D(batch["x"], mask, batch["text"]) for mask in (batch["mask"], -batch["mask"]))
    assert torch.equal(one.image, two.image)
    assert not torch.equal(one.match, two.match) and not torch.equal(one.mask, two.mask)


def test_it_learns_to_leave_the_background() -> None:
    """With nothing but the term that asks for it."""
    loop = tiny_loop("mcgan", "image+text", ema=0, options={
        "match_weight": 0.0, "image_weight": 0.0, "mask_weight": 0.0, "lr": 1e-2, "width": 8,
    })  # fmt: skip
    away = []
    for _ in range(40):
        loop.play()
        away.append(loop.values()["G"]["background"])
    assert sum(away[-5:]) < 0.7 * sum(away[:5])


# --- commands -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on 40 pasted characters of 16 px."""
    from mulligan import cli

    out = tmp_path_factory.mktemp("runs") / "mcgan"
    with pytest.MonkeyPatch.context() as patch:
        few(patch, tmp_path_factory.getbasetemp())
        words = ["train", "mcgan", "--data", "captions", "--task", "paste", "--size", "16", "--rounds", "3"]
        assert cli.run([*words, "--out", str(out), *TINY]) == 0
        yield out


def few(patch: pytest.MonkeyPatch, base: Path) -> None:
    patch.setattr(characters, "ROWS", FEW)
    patch.setattr(paste, "CROPS", {"train": 20, "held_out": 8, "test": 8})
    patch.setenv("MULLIGAN_CACHE", str(base / "pasted-16"))


def test_a_look_shows_pictures_and_masks(run: Path) -> None:
    looks = sorted((run / "samples").glob("*.png"))
    assert len(looks) >= 2
    with Image.open(looks[-1]) as look:
        assert look.mode == "RGB"
        assert look.width > look.height / 2, "each picture has its mask at its right"


def test_sample_draws_into_backgrounds_that_were_held_out(run: Path, mulligan: Command, tmp_path: Path) -> None:
    source = open_source("captions", size=16, task="paste")
    given = Model.load(run).told(64)["background"]
    assert {b.numpy().tobytes() for b in given} <= {
        b.numpy().tobytes() for b in source.held_out.fetch(np.arange(len(source.held_out)))["background"]
    }
    file = tmp_path / "faces.npz"
    assert mulligan("sample", run, "-n", 6, "--text", "short red hair", "-o", file).status == 0
    with np.load(file) as arrays:
        assert arrays["samples"].shape == (6, 16, 16, 3)
        assert arrays["mask"].shape == (6, 16, 16, 1)
    assert mulligan("sample", run, "-n", 6, "--text", "short red hair", "-o", tmp_path / "faces.png").status == 0
    with Image.open(tmp_path / "faces.png") as picture:
        assert picture.mode == "RGB"


def test_a_background_of_ones_own(run: Path) -> None:
    model = Model.load(run)
    own = torch.zeros(2, 3, 16, 16)
    first, second = (model.generate(2, given={"background": b})["x"] for b in (own, own + 0.5))
    assert not torch.equal(first, second)
    assert torch.equal(first, model.generate(2, given={"background": own})["x"])


def test_evaluate(run: Path, mulligan: Command) -> None:
    answer = mulligan("evaluate", run, "--judge", "pixels", "-n", 8)
    assert answer.status == 0, answer.err
    assert "FD (8x8 pixels)" in answer.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--text", "zebras"), "the model was trained on none of these words"),
        (("--tags", "red hair"), "this mcgan is told with --text; leave it out"),
        (("--label", "1"), "--label: this mcgan is told with --text; leave it out"),
    ],
)
def test_mistakes_take_one_line(
    run: Path, words: tuple[str, ...], says: str, mulligan: Command, tmp_path: Path
) -> None:
    assert says in mulligan("sample", run, "-o", tmp_path / "a.png", *words).mistake()


def test_it_can_be_told_tags(mulligan: Command, tmp_path: Path, run: Path) -> None:
    words = ("--data", "characters", "--task", "paste", "--size", 16, "--rounds", 1, "--out", tmp_path / "tags")
    assert mulligan("train", "mcgan", *words, *TINY).status == 0
    answer = mulligan("sample", tmp_path / "tags", "-n", 4, "--tags", "red hair", "-o", tmp_path / "a.png")
    assert answer.status == 0, answer.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--condition", "tags", "--size", 18), "--size 18: this network needs a multiple of 4, 16 or more"),
        (("--condition", "y", "--size", 16), "--condition"),
    ],
)
def test_options_that_cannot_work(run: Path, words: tuple[Any, ...], says: str, mulligan: Command) -> None:
    answer = mulligan("train", "mcgan", "--data", "captions", "--task", "paste", *words)
    assert answer.status == 2
    assert says in answer.err
