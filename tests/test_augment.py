"""Augmentation: what each transform does, that gradients pass, that D sees nothing else, and how p moves."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from conftest import CASES, Command, bare_loop, differences, entered, everything, tiny_loop, tiny_system, told
from mulligan import augment, checkpoint
from mulligan.augment import LIMIT, SPEED, Augment
from mulligan.observe import observing

ALL = torch.ones(6, 1, 1, 1)
NONE = torch.zeros(6, 1, 1, 1)
TRANSFORMS = [augment.brightness, augment.saturation, augment.contrast, augment.translation, augment.cutout]
# mcgan has no --augment: its masks would have to be moved too
# whose D sees an image alone: what is moved no longer lies on what it was made from, or on its mask
TWO_IMAGES = {"mcgan", "pix2pix", "cyclegan", "dtn"}
IMAGE_SYSTEMS = sorted({name for name, kind in CASES if kind.startswith("image")} - TWO_IMAGES)


def pictures(channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(6, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda f: f.__name__)
def test_who_is_not_chosen_stays_and_who_is_changes(transform, channels: int) -> None:
    x = pictures(channels)
    assert torch.allclose(transform(x, NONE), x, atol=1e-6)
    changed = transform(x, ALL)
    assert changed.shape == x.shape
    grey = channels == 1 or channels == 2
    if transform is augment.saturation and grey:
        assert torch.allclose(changed, x, atol=1e-6), "grey has no saturation"
    else:
        assert not torch.allclose(changed, x, atol=1e-3)
    if channels in (2, 4) and transform in TRANSFORMS[:3]:
        assert torch.equal(changed[:, -1], x[:, -1]), "transparency is no colour"


def test_colours_by_hand() -> None:
    x = pictures()
    shift = augment.brightness(x, ALL) - x
    assert torch.allclose(shift, shift[:, :1, :1, :1].expand_as(shift), atol=1e-6), "one shift an image"
    assert shift.abs().max() <= 0.5
    assert len(shift[:, 0, 0, 0].unique()) == 6
    ratio = (augment.contrast(x, ALL) - x.mean((1, 2, 3), keepdim=True)).flatten(1).norm(dim=1)
    ratio /= (x - x.mean((1, 2, 3), keepdim=True)).flatten(1).norm(dim=1)
    assert ratio.min() >= 0.5
    assert ratio.max() <= 1.5
    assert torch.allclose(augment.saturation(x, ALL).mean(1), x.mean(1), atol=1e-5), "brightness is kept"


def test_translation_moves_whole_pixels_and_shows_grey() -> None:
    x = pictures(side=16).abs() + 0.1  # no 0 in it
    for _ in range(20):
        moved = augment.translation(x, ALL)
        for before, after in zip(x, moved, strict=True):
            fits = [
                torch.equal(after, shifted(before, dy, dx)) for dy in range(-2, 3) for dx in range(-2, 3)
            ]  # an eighth of 16 px
            assert sum(fits) == 1


def shifted(x: Tensor, dy: int, dx: int) -> Tensor:
    """x (C, H, W) with out[y] = x[y + dy], 0 from beyond."""
    h, w = x.shape[1:]
    out = torch.zeros_like(x)
    ys, xs = torch.arange(h) + dy, torch.arange(w) + dx
    rows, columns = ((ys >= 0) & (ys < h)).nonzero()[:, 0], ((xs >= 0) & (xs < w)).nonzero()[:, 0]
    out[:, rows[:, None], columns] = x[:, ys[rows][:, None], xs[columns]]
    return out


def test_cutout_takes_a_square_of_half_the_side() -> None:
    x = torch.ones(500, 1, 16, 16)
    gone = (augment.cutout(x, torch.ones(500, 1, 1, 1)) == 0)[:, 0]
    heights, widths = gone.any(2).sum(1), gone.any(1).sum(1)
    assert (gone.sum((1, 2)) == heights * widths).all(), "a rectangle: a square that may hang over the edge"
    assert heights.max() == widths.max() == 8
    assert heights.min() >= 4


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda f: f.__name__)
def test_gradients_pass_exactly_twice(transform) -> None:
    """G learns through them, and penalties differentiate twice."""
    x = pictures(side=4)[:2].double().requires_grad_()
    chosen = torch.ones(2, 1, 1, 1, dtype=torch.float64)

    def fixed(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return transform(x, chosen)

    assert torch.autograd.gradcheck(fixed, (x,))
    assert torch.autograd.gradgradcheck(lambda x: fixed(x).square(), (x,))


@pytest.mark.parametrize("name", IMAGE_SYSTEMS)
def test_d_sees_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every image made black on its way to D, D cannot tell anything, in no turn and in no penalty."""
    monkeypatch.setattr(augment, "brightness", lambda x, chosen: x * 0)
    system = tiny_system(name, "image", augment="fixed").train()
    system.D.eval() if name == "gan" else None  # its dropout is not what is asked for here
    batch = {"x": pictures(), "x2": pictures(), **told(system, len(pictures()))}
    for turn in next(system.stages()).turns:
        system.zero_grad()
        sum(turn.loss(batch).values()).backward()
    generators = [getattr(system, name) for name in system.averaged]
    learned = {n for G in generators for n, p in G.named_parameters() if p.grad is not None and p.grad.any()}
    assert all(n.startswith("code.") for n in learned), "and G learns nothing then, but what KL asks of a code"
    with observing(system):
        real, _ = system.scores(batch)["D"]
        assert real.std() > 0, "who only looks sees the images themselves"


@pytest.mark.parametrize("strength", ["fixed", "adaptive"])
@pytest.mark.parametrize("name", ["dcgan", "r3gan", "wgan"])
def test_resumed_in_mid_stage_it_is_bit_for_bit_the_same(name: str, strength: str, tmp_path: Path) -> None:
    options = {"augment": strength, "batch": 8}
    whole, first = (tiny_loop(name, "image", options=options) for _ in range(2))
    for loop in (whole, first):
        loop.system.augment.p.fill_(0.5)  # as if it had risen
        for _ in range(5):
            loop.play()
    place = checkpoint.save(tmp_path, first.system.state_dict(), first.state(), {"round": 5})
    model, state, _ = checkpoint.load(place)
    second = tiny_loop(name, "image", options=options, saved=(model, state))
    for loop in (whole, second):
        for _ in range(6):
            loop.play()
    assert differences(everything(whole), everything(second)) == []
    assert (whole.system.augment.p.item() != 0.5) == (strength == "adaptive")


def test_halves_of_a_batch_set_the_same_p() -> None:
    whole = entered(bare_loop(tiny_system("lsgan", "image", augment="adaptive")))
    halves = entered(bare_loop(tiny_system("lsgan", "image", augment="adaptive"), micro_batches=2))
    for loop in (whole, halves):
        loop.system.watch(torch.ones(0))
        for _ in range(9):
            loop.play()
    assert whole.system.augment.signs[1] == halves.system.augment.signs[1]


def test_p_follows_r_t() -> None:
    """Every fourth batch by the four batches' images over SPEED, up above 0.6 and down below, from 0 to 0.8."""
    a, batch, images = Augment("adaptive"), 1000, 0

    def play(rounds: int, sure: float) -> float:
        """`sure` of the reals lie above 0: r_t = 2 sure - 1."""
        nonlocal images
        for _ in range(rounds):
            margins = torch.where(torch.arange(batch) < sure * batch, 2.0, -3.0)
            a.watch(margins, images, batch)
            images += batch
        return a.p.item()

    assert play(4, 1.0) == 0, "the first four are only measured"
    assert play(4, 1.0) == pytest.approx(4 * batch / SPEED)
    assert play(4, 0.81) == pytest.approx(8 * batch / SPEED)  # r_t of the four before was 1
    assert play(4, 0.79) == pytest.approx(12 * batch / SPEED)  # 0.62
    assert play(4, 0.79) == pytest.approx(8 * batch / SPEED)  # 0.58
    assert play(400, 1.0) == pytest.approx(LIMIT)
    assert play(400, 0.0) == 0


def test_points_are_not_augmented(mulligan: Command) -> None:
    answer = mulligan("train", "wgan", "--data", "ring", "--augment", "fixed")
    assert "--augment fixed: points are not augmented; leave it out" in answer.mistake()
