"""Growing: what is added fades in exactly, real images with it, and a run is taken up in the middle of a fade."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

import conftest
from conftest import bare_loop, clone, differences, everything, newest, rows, tiny_system
from mulligan import checkpoint
from mulligan.loop import Loop, Saved
from mulligan.model import Model
from mulligan.observe import observing
from mulligan.systems.progan import Discriminator, Generator, width_at
from mulligan.train import resume, train

OFF, ON = torch.tensor(0.0), torch.tensor(1.0)
STAGES = ["4 px", "8 px, fading in", "8 px", "16 px, fading in", "16 px"]


def played(*rounds: int, saved: Saved | None = None, **options: Any) -> Loop:
    return conftest.played(tiny_system("progan", "image", **options), *rounds, saved=saved)


def networks(**options: Any) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    return Generator(3, 4, 8, 16), Discriminator(3, 4, 16, 4)


# --- the networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doublings", [0, 1, 4])
def test_what_is_new_in_g_counts_by_alpha(doublings: int) -> None:
    G, _ = networks()
    for _ in range(doublings):
        G.grow()
        G.settle()
    z = torch.randn(5, 8)
    old = G(z, ON)
    G.grow()
    assert torch.equal(G(z, OFF), interpolate(old, scale_factor=2.0))
    blended, new = G(z, torch.tensor(0.25)), G(z, ON)
    torch.testing.assert_close(blended, 0.75 * interpolate(old, scale_factor=2.0) + 0.25 * new)
    G.settle()
    assert torch.equal(G(z, OFF), new), "settled, α no longer counts"
    assert new.shape == (5, 3, 8 * 2**doublings, 8 * 2**doublings)


@pytest.mark.parametrize("doublings", [0, 1, 4])
def test_what_is_new_in_d_counts_by_alpha(doublings: int) -> None:
    _, D = networks()
    for _ in range(doublings):
        D.grow()
        D.settle()
    x = torch.randn(8, 3, 2 * D.side, 2 * D.side)
    old = D(avg_pool2d(x, 2), ON)
    D.grow()
    assert torch.equal(D(x, OFF), old)
    new = D(x, ON)
    D.settle()
    assert torch.equal(D(x, OFF), new)
    assert not torch.equal(new, old)


def test_the_block_nearest_to_the_data_comes_first_in_d() -> None:
    """--freeze-d keeps the first half of the parameters."""
    _, D = networks()
    for _ in range(2):
        D.grow()
        D.settle()
    assert list(D.blocks) == ["16", "8"]
    names = [name for name, _ in D.named_parameters()]
    assert names.index("from_image.16.weight") < names.index("blocks.16.conv1.weight") < names.index("last.weight")


def test_widths_halve_beyond_32_px() -> None:
    """The paper's min(8192 / 2^stage, 512), where a stage's side is 2^(stage + 1)."""
    assert [width_at(2 ** (s + 1), 512) for s in range(1, 10)] == [min(8192 // 2**s, 512) for s in range(1, 10)]
    assert [width_at(side, 16) for side in (28, 56, 2048)] == [16, 9, 1]


def test_z_counts_by_its_direction() -> None:
    G, _ = networks()
    z = torch.randn(4, 8)
    torch.testing.assert_close(G(3 * z, ON), G(z, ON), rtol=1e-4, atol=1e-5)


# --- the stages --------------------------------------------------------------------------------------------


def test_stages_and_their_shares() -> None:
    system = tiny_system("progan", "image")
    sides, shares = [], []
    for stage, name in zip(system.stages(), STAGES, strict=True):
        assert stage.name == name
        shares.append(stage.share)
        sides.append(system.fake(rows(2))[0].shape[-1])
        assert system.generate({"z": system.latent(2)})["x"].shape == (2, 3, 16, 16), "always the data's size"
        assert system.G.fading is system.D.fading is name.endswith("fading in")
    assert sides == [4, 8, 8, 16, 16]
    assert shares == [1, 1, 2, 2, 4]


def test_alpha_rises_with_the_images_of_its_stage() -> None:
    """Sixteen rounds of 8 images, of which a fade lasts a quarter; then a fade as long that is cut off after two."""
    seen = []

    def note(loop: Loop) -> None:
        play = loop.system.d_loss

        def noted(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = play(batch)
            seen.append((loop.stage.name, loop.system.alpha.item()))
            return terms

        loop.system.d_loss = noted

    loop = bare_loop(tiny_system("progan", "image"))
    note(loop)
    for number, (stage, n) in enumerate(zip(loop.system.stages(), (16, 6, 16, 2, 1), strict=True)):
        loop.enter(number, stage)
        for _ in range(n):
            loop.play()
    rises = [alpha for name, alpha in seen if name == STAGES[1]]
    assert rises == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    cut = [alpha for name, alpha in seen if name == STAGES[3]]
    assert cut == [0.0, 0.25]
    assert {alpha for name, alpha in seen if "fading" not in name} == {1.0}
    assert played(4, 3, fade_images=64).system.alpha.item() == pytest.approx(16 / 64)


def test_real_images_are_as_coarse_as_the_fakes() -> None:
    system: Any = tiny_system("progan", "image")
    x = torch.rand(4, 3, 16, 16)
    stages = system.stages()
    next(stages)
    assert torch.equal(system.faded(x), avg_pool2d(x, 4))
    next(stages)
    fine, coarse = avg_pool2d(x, 2), interpolate(avg_pool2d(x, 4), scale_factor=2.0)
    for alpha in (0.0, 0.25, 1.0):
        system.alpha.fill_(alpha)
        torch.testing.assert_close(system.faded(x), (1 - alpha) * coarse + alpha * fine)
    assert torch.equal(system.faded(x), fine)
    *_, last = stages
    assert last.name == "16 px"
    assert torch.equal(system.faded(x), x)


def test_a_new_side_starts_with_fresh_optimizers_and_the_old_weights() -> None:
    before, after = played(2), played(2, 0)
    assert all(not optimizer.state for optimizer in after.optimizers)
    assert before.optimizers[0].state
    old, new = before.system.state_dict(), after.system.state_dict()
    kept = [k for k in old if isinstance(old[k], Tensor) and k != "alpha"]
    assert all(torch.equal(old[k], new[k]) for k in kept)
    assert all(torch.equal(v, after.average.shadow[k]) for k, v in before.average.shadow.items())
    assert len(new) > len(old)


def test_without_growing_the_networks_are_those_that_growing_ends_with() -> None:
    fixed, grown = tiny_system("progan", "image", grow=False), tiny_system("progan", "image")
    (stage,) = fixed.stages()
    *_, last = grown.stages()
    assert stage.name == last.name == "16 px"
    shapes = [{k: v.shape for k, v in s.named_parameters()} for s in (fixed, grown)]
    assert shapes[0] == shapes[1]


def test_every_stage_moves_all_that_counts() -> None:
    """At the end of a fade the old path still learns; what is settled away is gone, and no parameter is idle."""
    for number in range(len(STAGES)):
        loop = played(*[2] * number, 0)
        before = {k: p.detach().clone() for k, p in loop.system.named_parameters()}
        for _ in range(3):
            loop.play()
        still = [k for k, p in loop.system.named_parameters() if torch.equal(p, before[k])]
        # the Wasserstein loss does not depend on the critic's last bias, and the drift term alone moves it
        assert still == [], STAGES[number]


# --- the losses --------------------------------------------------------------------------------------------


def test_terms_by_hand() -> None:
    """For D(x) = 3 <x> over d pixels: real 3 <x>, drift its square, a slope of 3 / sqrt(d)."""
    system: Any = tiny_system("progan", "image", grow=False, gp_weight=10.0, drift_weight=0.5)
    x = torch.rand(8, 3, 16, 16)
    passes = []

    def D(x: Tensor, alpha: Tensor) -> Tensor:
        passes.append(x)
        return 3 * x.mean((1, 2, 3))

    del system.D
    system.D = D
    D.side = 16  # type: ignore[attr-defined]
    terms = {k: v.item() for k, v in system.d_loss({"x": x}).items()}
    means = 3 * x.mean((1, 2, 3))
    assert terms["real"] == pytest.approx(-means.mean().item())
    assert terms["drift"] == pytest.approx(0.5 * means.square().mean().item())
    assert terms["gp"] == pytest.approx(10 * (3 / (3 * 16 * 16) ** 0.5 - 1) ** 2, rel=1e-4)
    assert [len(p) for p in passes] == [8, 8, 8], "real samples, fakes and mixtures apart: D compares what it sees"
    assert torch.equal(passes[0], x)
    assert terms["fake"] == pytest.approx(3 * passes[1].mean().item())


# --- taking a run up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", range(len(STAGES)), ids=STAGES)
def test_resumed_in_any_stage_it_is_bit_for_bit_the_same(stage: int, tmp_path: Path) -> None:
    """Halfway through a fade, and through what follows it."""
    first, rest = [4] * stage + [2], [2] + [3] * (len(STAGES) - stage - 1)
    whole = played(*first[:-1], first[-1] + rest[0], *rest[1:])
    part = played(*first)
    assert part.stage.name == STAGES[stage]
    place = checkpoint.save(tmp_path, part.system.state_dict(), part.state(), {"round": 1})
    model, state, _ = checkpoint.load(place)
    torch.manual_seed(99)
    taken_up = played(*[0] * stage, *rest, saved=(model, state))
    assert differences(everything(whole), everything(taken_up)) == []


@pytest.mark.parametrize(("look_every", "kept"), [(5, "000015"), (100, "000012")], ids=["in a stage", "between two"])
def test_a_killed_run_goes_on_bit_for_bit(pictures: Path, tmp_path: Path, look_every: int, kept: str) -> None:
    """20 rounds: stages end after 2, 4, 8, 12 and 20. The length of a fade must not depend on a kill just before."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    options: dict[str, Any] = {"batch": 8, "z_dim": 4, "width": 4, "quiet": True, "precision": "fp32"}
    train("progan", str(pictures), out=whole, rounds=20, look_every=look_every, **options)
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints" / "000020")
    place, _ = checkpoint.newest(run / "checkpoints")
    assert place is not None
    assert place.name == kept
    resume(run, quiet=True)
    assert differences(newest(whole), newest(run)) == []


def test_a_model_is_of_the_moment_of_its_checkpoint(pictures: Path, tmp_path: Path) -> None:
    """Loaded from the middle of a fade, G has both paths, and α is that of the last round."""
    run = tmp_path / "run"
    options: dict[str, Any] = {"batch": 8, "z_dim": 4, "width": 4, "fade_images": 64, "quiet": True}
    train("progan", str(pictures), out=run, rounds=20, look_every=100, **options)
    shutil.rmtree(run / "checkpoints" / "000020")
    model = Model.load(run)
    system: Any = model.system
    assert model.round == 12
    assert system.G.fading
    assert system.alpha.item() == 3 * 8 / 64
    x = model.generate(6)["x"]
    assert x.shape == (6, 3, 16, 16)
    with torch.no_grad():
        system.alpha.fill_(0.0)
    coarse = model.generate(6)["x"]
    assert torch.equal(coarse, interpolate(avg_pool2d(coarse, 2), scale_factor=2.0))
    assert not torch.equal(x, coarse)


def test_another_runs_weights_bring_no_count_of_images() -> None:
    other = played(4, 4)
    weights = {k: clone(v) for k, v in other.system.state_dict().items() if isinstance(v, Tensor)}
    loop = bare_loop(tiny_system("progan", "image"))
    loop.enter(0, next(loop.system.stages()), start=weights)
    assert (loop.system.began, loop.system.images) == (0, 0)
    with observing(loop.system):
        assert loop.system.generate({"z": loop.system.latent(2)})["x"].shape == (2, 3, 16, 16)
