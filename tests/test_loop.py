"""The one loop: micro-batches, frozen parts, seeds, norms, and terms that stop being finite."""

import math
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from conftest import FP32, bare_loop, clone, differences, each_system, entered, everything, tiny_loop, tiny_system
from mulligan.game import SGD, Adam, Batch, Stage, Terms, Turn
from mulligan.loop import MEASURE_EVERY
from mulligan.observe import observing
from mulligan.runtime import Runtime, _device
from test_game import POINTS, Growing, Two


class Plain(Growing):
    """One stage of losses without noise, so that a batch's gradient is exactly the mean of its parts'."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(Two(), POINTS)
        self.log: list[Any] = []

    def stages(self) -> Any:
        yield Stage("only", (Turn("D", (self.D,), self.d_loss, SGD(0.1, 0.0)),))

    def d_loss(self, batch: Batch) -> Terms:
        self.log.append((len(batch["x"]), torch.rand(1).item()))
        return {"fit": (self.D(batch["x"]) - 1).square().mean()}


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_micro_batches_give_the_gradient_of_the_batch(parts: int) -> None:
    whole, split = entered(bare_loop(Plain())), entered(bare_loop(Plain(), micro_batches=parts))
    for _ in range(5):
        whole.play()
        split.play()
    for a, b in zip(whole.system.parameters(), split.system.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert [n for n, _ in split.system.log] == [8 // parts] * 5 * parts
    noise = [r for _, r in split.system.log]
    assert len(set(noise)) == len(noise), "each play its own noise"


def test_a_step_is_the_gradient_times_the_rate() -> None:
    loop = entered(bare_loop(Plain()))
    before = clone(dict(loop.system.D.named_parameters()))
    x = loop.loader.samples.fetch(loop.loader.index(0, 0, 0, 0, 8))["x"]
    for p in loop.system.D.parameters():
        p.requires_grad_(True)
    gradients = torch.autograd.grad((loop.system.D(x) - 1).square().mean(), list(loop.system.D.parameters()))
    loop.play()
    for (name, p), g in zip(loop.system.D.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(p, before[name] - 0.1 * g)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    assert float(loop.gradient_norms["D"]) == pytest.approx(norm, rel=1e-5)


def test_norms_are_read_every_so_often() -> None:
    loop = entered(bare_loop(Plain()))
    norms = []
    for _ in range(2 * MEASURE_EVERY):
        loop.play()
        norms.append(float(loop.gradient_norms["D"]))
    assert len(set(norms)) == 2


@pytest.mark.parametrize("parts", [3, 16])
def test_a_batch_that_does_not_divide_names_one_that_does(parts: int) -> None:
    with pytest.raises(ValueError, match=rf"--batch 8 does not divide into {parts} shards; try {32 * parts}"):
        bare_loop(Plain(), micro_batches=parts)


def test_noise_follows_from_seed_and_place_alone() -> None:
    loop = entered(bare_loop(Plain()))
    draws = {}
    for key in [(0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1), (1, 0, 0, 0, 0)]:
        loop.seed(*key)
        draws[key] = torch.rand(1).item()
    assert len(set(draws.values())) == len(draws)
    loop.seed(0, 0, 0, 0, 0)
    assert torch.rand(1).item() == draws[0, 0, 0, 0, 0]
    loop.loader.seed = 4
    loop.seed(0, 0, 0, 0, 0)
    assert torch.rand(1).item() != draws[0, 0, 0, 0, 0]


def test_what_is_fixed_never_moves() -> None:
    system = tiny_system("dcgan", "image")
    fixed = list(system.D.parameters())[:2]
    loop = entered(bare_loop(system, fixed=fixed))
    before = clone(list(system.D.parameters()))
    for _ in range(3):
        loop.play()
    moved = [not torch.equal(a, b) for a, b in zip(before, system.D.parameters(), strict=True)]
    assert moved[:2] == [False, False]
    assert all(moved[2:])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_term_that_is_not_finite_is_named(value: float) -> None:
    loop = entered(bare_loop(Plain()))
    loop.play()
    loop.values()
    loop.terms["D"]["fit"] = torch.tensor(value)
    with pytest.raises(FloatingPointError, match=rf"term 'fit' of player D became {value} by round 1"):
        loop.values()


def test_the_schedule_of_a_turn_follows_the_images() -> None:
    class Scheduled(Plain):
        def stages(self) -> Any:
            yield Stage("only", (Turn("D", (self.D,), self.d_loss, SGD(lambda images: 1e-3 * images)),))

    loop = entered(bare_loop(Scheduled()))
    rates = []
    for _ in range(3):
        loop.play()
        rates.append(loop.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.0, 8e-3, 16e-3])


# --- a player with two turns -------------------------------------------------------------------------------


class Lazy(Growing):
    """D plays a loss and, every third round, a penalty on the side; another player shares no network with it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(Two(), POINTS)

    def stages(self) -> Any:
        rule = Adam(1e-2, (0.0, 0.9))
        d = Turn("D", (self.D,), self.d_loss, rule)
        g = Turn("G", (self.G,), self.g_loss, rule)
        yield Stage("only", (d, Turn("D", (self.D,), self.lazy, rule, every=3), g))
        yield Stage("after", (d, g))


def test_a_players_turns_share_what_adam_remembers() -> None:
    """Ten rounds, and a penalty in rounds 0, 3, 6 and 9, are fourteen steps of one optimizer; saved once."""
    loop = entered(bare_loop(Lazy()))
    for _ in range(10):
        loop.play()
    loss, penalty, g = loop.optimizers
    assert loss is penalty is not g
    steps = [float(o.state[next(iter(o.state))]["step"]) for o in (loss, g)]
    assert steps == [14, 10]
    assert len(loop.state()["optimizers"]) == 2


@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_resume_between_two_penalties_is_exact(rounds: int) -> None:
    whole, first = entered(bare_loop(Lazy())), entered(bare_loop(Lazy()))
    for _ in range(8):
        whole.play()
    for _ in range(rounds):
        first.play()
    second = entered(bare_loop(Lazy()), clone((first.system.state_dict(), first.state())))
    for _ in range(8 - rounds):
        second.play()
    assert differences(everything(whole), everything(second)) == []


def test_terms_of_all_turns_stand_side_by_side_until_the_stage_is_over() -> None:
    system = Lazy()
    loop, stages = bare_loop(system), system.stages()
    loop.enter(0, next(stages))
    loop.play()
    size = loop.values()["D"]["size"]
    loop.play()
    assert loop.values()["D"].keys() == {"real", "fake", "size"}
    assert loop.values()["D"]["size"] == size, "of the newest penalty, one round ago"
    loop.enter(1, next(stages))
    loop.play()
    assert loop.values()["D"].keys() == {"real", "fake"}


def test_a_players_norm_is_that_of_its_loss() -> None:
    """Not of the penalty that is played later in the same round."""
    loop, alone = entered(bare_loop(Lazy())), entered(bare_loop(Lazy()))
    loop.play()
    alone._play_turn(0, alone.stage.turns[0])
    assert loop.gradient_norms["D"] == alone.gradient_norms["D"]


@each_system
def test_bf16_plays_too(name: str, kind: str) -> None:
    """Under bf16 autocast weights stay float32 and terms finite."""
    loop = entered(bare_loop(tiny_system(name, kind), runtime=Runtime(torch.device("cpu"), bf16=True)))
    for _ in range(2):
        loop.play()
    loop.values()
    assert {p.dtype for p in loop.system.parameters()} == {torch.float32}
    other = entered(bare_loop(tiny_system(name, kind), runtime=FP32))
    for _ in range(2):
        other.play()
    differ = differences(everything(loop)["model"], everything(other)["model"])
    assert bool(differ) == (name not in ("gan", "cgan"))  # which ask for float32 whatever the runtime has


def test_convolutions_are_channels_last() -> None:
    loop = tiny_loop("dcgan", "image")
    weights = [p for p in loop.system.parameters() if p.dim() == 4]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_runtime_on_one_machine() -> None:
    assert FP32.agree(7) == 7
    gradient = torch.ones(3)
    FP32.average([gradient])
    assert gradient.tolist() == [1, 1, 1]
    FP32.broadcast(nn.Linear(1, 1))
    assert "fp32" in FP32.describe()
    assert Runtime.start("cpu", "fp32") == FP32
    assert Runtime.start("cpu", "bf16").bf16


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"--device cuda: torch sees no such device here; try --device cpu"):
        _device("cuda", 0)


def test_observing_puts_everything_back() -> None:
    system = tiny_system("dcgan", "image")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with suppress(ZeroDivisionError), observing(system):
        torch.rand(5)
        assert not system.D.training
        assert not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert torch.equal(torch.rand(1), expected)
    assert all(m.training for m in system.modules())
    assert torch.is_grad_enabled()
