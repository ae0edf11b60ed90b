"""StyleGAN2: styles and how they mix, noise, the mean style, and penalties that are played lazily."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import bare_loop, entered, rows, tiny_loop, tiny_system
from mulligan.game import Turn
from mulligan.observe import observing
from mulligan.penalties import gradient_penalty
from mulligan.systems.stylegan2 import W_DECAY, Mapping, StyledConv, lazy, map_widths


def system_with_noise(**options: Any) -> Any:
    """The tiny system, with noise that is not of strength 0 as at the start."""
    system: Any = tiny_system("stylegan2", "image", **options)
    for name, p in system.G.named_parameters():
        if name.endswith("strength"):
            nn.init.constant_(p, 0.3)
    return system


def turn_of(system: Any, loss: str) -> Turn:
    return next(t for t in next(system.stages()).turns if t.loss.__name__ == loss)


# --- styles ------------------------------------------------------------------------------------------------


def test_crossovers_at_either_end_are_single_styles() -> None:
    system = system_with_noise().eval()
    n = system.G.num_ws
    assert n == 6  # 4 px: a convolution; 8 and 16 px: two each; and the last image's own
    a, b = system.w(system.latent(4)), system.w(system.latent(4))
    assert a.shape == (4, n, 8)
    for crossover, expected in ((0, b), (n, a)):
        mixed = system.mix(a, b, torch.full((4,), crossover))
        assert torch.equal(mixed, expected)
        assert torch.equal(system.synthesize(mixed), system.synthesize(expected))
    ladder = system.mix(a, b, torch.tensor([0, 2, 3, n]))
    for sample, crossover in enumerate([0, 2, 3, n]):
        assert torch.equal(ladder[sample, :crossover], a[sample, :crossover])
        assert torch.equal(ladder[sample, crossover:], b[sample, crossover:])


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_so_many_samples_mix_two_styles(mixing: float) -> None:
    system = system_with_noise(mixing=mixing)
    w = system.mixed(400)
    changes = (w[:, 1:] != w[:, :-1]).any(2).sum(1)
    assert changes.max() <= 1, "one crossover"
    assert changes.float().mean().item() == pytest.approx(mixing, abs=0.1 if mixing == 0.5 else 0)


def test_generate_is_w_then_synthesize() -> None:
    system = system_with_noise().eval()
    z = system.latent(5)
    x = system.generate({"z": z})["x"]
    assert torch.equal(system.synthesize(system.w(z)), x)
    torch.testing.assert_close(system.generate({"z": 7 * z})["x"], x)  # only the direction of z counts


def test_truncation_draws_towards_the_mean_style() -> None:
    system = system_with_noise().eval()
    nn.init.normal_(system.G.mapping.w_mean)
    z = system.latent(5)
    w, mean = system.w(z), system.G.mapping.w_mean
    torch.testing.assert_close(system.w(z, psi=0.5), (w + mean) / 2)
    assert torch.equal(system.w(z, psi=0.0), mean.expand_as(w))


def test_the_mean_style_is_learned_in_training_only() -> None:
    system = system_with_noise()
    mapping = system.G.mapping
    z = system.latent(1000)
    w = mapping(z)
    torch.testing.assert_close(mapping.w_mean, W_DECAY * w.detach().mean(0))
    with observing(system):
        before = mapping.w_mean.clone()
        mapping(z)
        assert torch.equal(mapping.w_mean, before)
    loop = tiny_loop("stylegan2", "image", ema=64)
    for _ in range(3):
        loop.play()
    live = loop.system.G.mapping.w_mean.clone()
    assert live.abs().sum() > 0
    with loop.average.swapped():
        assert not torch.equal(loop.system.G.mapping.w_mean, live), "the average has its own, of its own mapping"


def test_d_has_no_part_in_the_mean_style() -> None:
    loop = tiny_loop("stylegan2", "image")
    for number, turn in enumerate(loop.stage.turns):
        before = loop.system.G.mapping.w_mean.clone()
        loop._play_turn(number, turn)
        assert torch.equal(loop.system.G.mapping.w_mean, before) == (turn.player == "D")


# --- noise -------------------------------------------------------------------------------------------------


def test_a_sample_is_a_function_of_its_latent() -> None:
    """Whatever was drawn before, and whatever else is in the batch."""
    system = system_with_noise().eval()
    z = system.latent(6)
    x = system.generate({"z": z})["x"]
    torch.rand(3)
    assert torch.equal(system.generate({"z": z})["x"], x)
    torch.testing.assert_close(system.generate({"z": z[4:]})["x"], x[4:], atol=1e-5, rtol=0)


def test_d_sees_fresh_noise() -> None:
    system = system_with_noise()
    w = system.w(system.latent(1)).expand(2, -1, -1)
    first, second = system.G.synthesis(w, fresh=True)
    assert (first - second).abs().mean() > 0.01, "another one for each sample"
    torch.manual_seed(1)
    (x,) = system.fake(rows(3))
    assert not torch.equal(system.fake(rows(3))[0], x)
    torch.manual_seed(1)
    assert torch.equal(system.fake(rows(3))[0], x), "from torch's random state"


# --- penalties ---------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """D(x) = w · x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 16 * 16))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def test_r1_is_16_times_its_due_in_every_16th_round() -> None:
    system: Any = tiny_system("stylegan2", "image", r1_every=16)
    system.D = Linear()
    assert system.gamma == pytest.approx(0.0002 * 16 * 16 / 8)
    seen: list[tuple[int, float, float]] = []
    original = system.r1_loss

    def noted(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = original(batch)
        seen.append((system.images // 8, terms["r1"].detach().item(), system.D.weight.detach().square().sum().item()))
        return terms

    system.r1_loss = noted
    loop = entered(bare_loop(system))
    for _ in range(34):
        loop.play()
    assert [at for at, _, _ in seen] == [0, 16, 32]
    for _, r1, squares in seen:
        assert r1 == pytest.approx(16 * system.gamma / 2 * squares, rel=1e-5)
    (state,) = loop.optimizers[2].state.values()
    assert float(state["step"]) == 34 + 3, "one optimizer for both turns"


def test_path_lengths_are_drawn_to_their_mean() -> None:
    """The term is 4 · 2 · E(length - a)², and a, kept in a buffer, follows the lengths by a hundredth."""
    system: Any = tiny_system("stylegan2", "image", path_every=4, mixing=0.0)
    system.path_mean.fill_(0.5)
    torch.manual_seed(3)
    term = system.path_loss({"x": torch.zeros(8, 3, 16, 16)})["path"]
    torch.manual_seed(3)
    w = system.mixed(4).detach().requires_grad_()  # half a batch
    x = system.G.synthesis(w, fresh=True)
    y = torch.randn_like(x) / 16
    (slope,) = torch.autograd.grad((x * y).sum(), w)
    lengths = slope.square().sum(2).mean(1).sqrt()
    mean = 0.99 * 0.5 + 0.01 * lengths.mean()
    torch.testing.assert_close(system.path_mean, mean)
    torch.testing.assert_close(term.detach(), 8 * (lengths - mean).square().mean())
    assert "path_mean" in system.state_dict()


def test_path_lengths_reach_mapping_and_synthesis() -> None:
    system: Any = tiny_system("stylegan2", "image")
    system.path_loss({"x": torch.zeros(8, 3, 16, 16)})["path"].backward()
    for part in (system.G.mapping.layers[0].weight, system.G.synthesis.ups[0].conv.weight):
        assert part.grad is not None and part.grad.abs().sum() > 0


def test_penalties_are_computed_in_float32() -> None:
    system: Any = tiny_system("stylegan2", "image")
    batch = {"x": torch.rand(8, 3, 16, 16) * 2 - 1}
    for loss in (system.path_loss, system.r1_loss):
        values = []
        for bf16 in (False, True):
            system.path_mean.zero_()
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                values.append(sum(loss(batch).values()).item())
        assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_a_lazy_player_takes_smaller_steps_and_forgets_less() -> None:
    """k + 1 steps of the corrected rule are k of the uncorrected one (appendix B)."""
    settings = lazy(2.5e-3, 16).settings(0)
    assert 17 * settings["lr"] == pytest.approx(16 * 2.5e-3)
    assert settings["betas"][0] == 0
    assert settings["betas"][1] ** 17 == pytest.approx(0.99**16)
    assert lazy(1.0, 0).settings(0) == {"lr": 1.0, "betas": (0.0, 0.99)}
    system: Any = tiny_system("stylegan2", "image", path_every=4, r1_every=16, lr=1.0)
    rates = {t.loss.__name__: t.optimizer.settings(0)["lr"] for t in next(system.stages()).turns}
    assert rates == {"g_loss": 0.8, "path_loss": 0.8, "d_loss": 16 / 17, "r1_loss": 16 / 17}


def test_without_path_lengths_g_has_one_turn_at_the_full_rate() -> None:
    turns = next(tiny_system("stylegan2", "image", path_weight=0.0, lr=1.0).stages()).turns
    assert [t.player for t in turns] == ["G", "D", "D"]
    assert turns[0].optimizer.settings(0)["lr"] == 1.0


# --- networks ----------------------------------------------------------------------------------------------


def test_widths_and_layers() -> None:
    assert map_widths(64, 2) == [64, 32, 16]
    assert map_widths(64, 4) == [64, 32, 16, 16, 16]
    assert map_widths(8, 2) == [8, 8, 8]
    layers = [len(tiny_system("stylegan2", "image", mapping_layers=n).G.mapping.layers) for n in (None, 5)]  # type: ignore[union-attr]
    assert layers == [2, 5]


def test_g_keeps_its_scale_from_layer_to_layer() -> None:
    """What equalised weights, gains and demodulation are for; each blur takes a part of what is noise at the start."""
    system: Any = tiny_system("stylegan2", "image", width=64, z_dim=64)
    squares: list[float] = []
    for module in system.G.modules():
        if isinstance(module, Mapping | StyledConv):
            module.register_forward_hook(lambda _m, _x, y: squares.append(y.detach().square().mean().item()))
    system.fake(rows(16))
    assert len(squares) == 1 + 5
    assert all(0.2 < s < 2 for s in squares), squares


def test_g_exports_for_any_number_of_samples() -> None:
    """Of plain operations alone: no weights of one sample's own, no groups beyond the blur's."""
    system = system_with_noise().eval()
    n = torch.export.Dim("n", min=2, max=64)
    exported = torch.export.export(system.G, (system.latent(3),), dynamic_shapes={"z": {0: n}})
    z = system.latent(5)
    torch.testing.assert_close(exported.module()(z), system.G(z))


def test_r1_reaches_every_weight_of_d() -> None:
    """The double backward passes blurs, strides and the minibatch's deviation."""
    D = tiny_system("stylegan2", "image").D
    penalty = gradient_penalty(D, torch.randn(4, 3, 16, 16))
    weights = [p for p in D.parameters() if p.dim() > 1]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(penalty, weights))
