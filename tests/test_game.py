"""The vocabulary: stages, turns, schedules, and parameters counted once."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import Memory, bare_loop, clone, differences, everything
from mulligan import losses
from mulligan.config import Config
from mulligan.game import SGD, Adam, Batch, Stage, System, Terms, Turn, Typical, at, parameters
from mulligan.signals import Signal

POINTS = {"x": Signal("points", (2,), None)}


class Two(Config):
    batch: int = 8
    z_dim: int = 2


class Pool(nn.Module):
    """Remembers the means of batches: state that is no tensor of fixed size."""

    def __init__(self) -> None:
        super().__init__()
        self.means: list[float] = []

    def get_extra_state(self) -> dict[str, list[float]]:
        return {"means": list(self.means)}

    def set_extra_state(self, state: dict[str, list[float]]) -> None:
        self.means = list(state["means"])


class Growing(Typical):
    """Two stages; between them both players get another layer."""

    Config = Two
    needs = {"x": (Signal("points", (None,), None),)}
    last: Tensor
    begun: Tensor

    def __init__(self, config: Any, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.G = nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 2))
        self.D = nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Flatten(0))
        self.pool = Pool()
        self.register_buffer("begun", torch.zeros(2))
        self.register_buffer("reference", torch.zeros(4, 2))
        self.calls: list[tuple[str, float]] = []

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "small",
            (Turn("D", (self.D,), self.d_loss, repeat=2, after=self.clip), Turn("G", (self.G,), self.g_loss)),
            begin=self.begin(0),
        )
        for network in (self.G, self.D):
            network.insert(2, nn.Linear(6, 6))
        yield Stage(
            "large",
            (
                Turn("D", (self.D,), self.d_loss),
                Turn("lazy", (self.D,), self.lazy, SGD(1e-3), every=3),
                Turn("G", (self.G,), self.g_loss),
            ),
            share=2.0,
            begin=self.begin(1),
            shared_batch=True,
        )

    def begin(self, stage: int) -> Any:
        def run(loader: Any) -> None:
            self.begun[stage] += 1
            self.reference.copy_(loader.samples.fetch(loader.index(stage, 0, 0, 0, 4))["x"])

        return run

    def clip(self) -> None:
        with torch.no_grad():
            for p in self.D.parameters():
                p.clamp_(-0.3, 0.3)

    def seen(self, player: str, batch: Batch) -> Tensor:
        mean = float(batch["x"].mean())
        self.calls.append((player, mean))
        self.pool.means.append(mean)
        return batch["x"]

    def d_loss(self, batch: Batch) -> Terms:
        x = self.seen("D", batch)
        return losses.d_minimax(self.D(x), self.D(*self.fake({"x": x})))

    def lazy(self, batch: Batch) -> Terms:
        return {"size": self.D(self.seen("lazy", batch)).square().mean()}

    def g_loss(self, batch: Batch) -> Terms:
        return losses.g_nonsaturating(self.D(*self.fake({"x": self.seen("G", batch)})))


def growing() -> Growing:
    torch.manual_seed(0)
    return Growing(Two(), POINTS)


def play(rounds: tuple[int, int], saved: Any = None) -> Any:
    """A loop after so many rounds of the two stages, fresh or from a saved second stage."""
    system = growing()
    loop = bare_loop(system)
    if saved is not None:
        for key, value in saved[1]["progress"].items():
            setattr(loop.progress, key, value)
    for number, stage in enumerate(system.stages()):
        loop.seed(number)
        if saved is not None and number < saved[1]["progress"]["stage"]:
            continue
        loop.enter(number, stage, saved)
        for _ in range(rounds[number]):
            loop.play()
        saved = None
        if number == 0 and rounds[1] < 0:
            break
    return loop


def test_resume_in_the_second_stage_is_exact() -> None:
    whole, first = play((3, 7)), play((3, 4))
    saved = clone((first.system.state_dict(), first.state()))
    second = bare_loop(growing())
    for key, value in saved[1]["progress"].items():
        setattr(second.progress, key, value)
    stages = second.system.stages()
    next(stages)
    torch.manual_seed(77)  # what the new layers are drawn from does not matter
    second.enter(1, next(stages), saved)
    for _ in range(3):
        second.play()
    assert differences(everything(whole), everything(second)) == []
    assert second.system.begun.tolist() == [1, 1]
    assert second.system.pool.means == whole.system.pool.means


def test_begin_runs_once_a_stage_with_the_loader() -> None:
    loop = play((2, 2))
    assert loop.system.begun.tolist() == [1, 1]
    assert loop.system.reference.abs().sum() > 0


def test_a_stage_begins_with_the_images_seen() -> None:
    """Also where a run is taken up at the end of the stage before, with no round played since."""
    seen = []
    loop = bare_loop(growing())
    loop.progress.images = 40
    stage = next(loop.system.stages())
    loop.enter(1, replace(stage, begin=lambda loader: seen.append(loop.system.images)))
    assert seen == [40]


def test_repeat_every_after_and_batches() -> None:
    loop = play((2, 6))
    players = [player for player, _ in loop.system.calls]
    assert players == ["D", "D", "G"] * 2 + ["D", "lazy", "G", "D", "G", "D", "G"] * 2
    first = loop.system.calls[:3]
    assert len({mean for _, mean in first}) == 3, "a fresh batch for each play"
    shared = loop.system.calls[6:9]
    assert len({mean for _, mean in shared}) == 1, "the stage shares its batch"
    clipped = play((2, -1))
    assert max(p.abs().max().item() for p in clipped.system.D.parameters()) <= 0.3 + 1e-6


def test_grown_layers_learn() -> None:
    loop = play((1, 0))
    before = clone(loop.system.G[2].weight)
    assert before.shape == (6, 6)
    loop.play()
    assert not torch.equal(loop.system.G[2].weight, before)


def test_progress_counts() -> None:
    p = play((3, 4)).progress
    assert (p.round, p.images, p.stage, p.stage_round) == (7, 7 * 8, 1, 4)


def test_parameters_are_counted_once_however_they_are_shared() -> None:
    trunk = nn.Linear(2, 2)
    a, b = nn.Sequential(trunk, nn.Linear(2, 1)), nn.Sequential(trunk, nn.Linear(2, 1))
    assert len(parameters((a, b))) == 6
    assert parameters((a, a)) == list(a.parameters())


def test_schedules_read_images() -> None:
    assert at(0.5, 10) == 0.5
    assert at(lambda n: n / 2, 10) == 5.0
    assert Adam(lambda n: 1 / n, (0.5, lambda n: 0.9 + n / 1000)).settings(10) == {"lr": 0.1, "betas": (0.5, 0.91)}
    assert SGD(0.1, lambda n: n * 0.01).settings(50) == {"lr": 0.1, "momentum": 0.5}


@pytest.mark.parametrize("rule", [Adam(1e-2), SGD(1e-2, 0.9)], ids=["Adam", "SGD"])
def test_optimizers_minimise(rule: Adam | SGD) -> None:
    x = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = rule.build([x])
    optimizer.param_groups[0].update(rule.settings(0))
    for _ in range(5):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.abs().sum() < 3.0


def test_adam_is_the_papers() -> None:
    """One step of Adam moves each weight by the learning rate, whatever the gradient (Kingma & Ba, section 2.1)."""
    x = nn.Parameter(torch.tensor([1.0, -2.0]))
    rule = Adam(0.01, (0.5, 0.999))
    optimizer = rule.build([x])
    optimizer.param_groups[0].update(rule.settings(0))
    (3 * x[0] - 0.1 * x[1]).backward()
    optimizer.step()
    assert x.tolist() == pytest.approx([0.99, -1.99], abs=1e-5)


def test_adam_copies_no_weight_whichever_way_it_lies() -> None:
    """torch's own copies those with channels last, there and back; numbers and state are the same, to the bit."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 1, 4), nn.ConvTranspose2d(1, 4, 4))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    twin = deepcopy(net)
    ours = Adam(1e-2).build(list(net.parameters()))
    theirs = torch.optim.Adam(twin.parameters(), lr=1e-2, fused=True)
    ours.param_groups[0].update(lr=1e-2)
    for _ in range(3):
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            ours.step()
        theirs.step()
        copies = sum(event.count for event in seen.key_averages() if event.key == "aten::copy_")
        assert copies <= len(list(net.parameters()))  # of how many steps were taken
    assert not differences(dict(net.state_dict()), dict(twin.state_dict()))
    assert not differences(ours.state_dict()["state"], theirs.state_dict()["state"])


def test_a_system_without_its_methods_is_refused() -> None:
    class Half(System):
        Config = Two

    with pytest.raises(TypeError, match="abstract"):
        Half(Two(), POINTS)  # type: ignore[abstract]


def test_memory_is_a_split() -> None:
    batch = Memory(x=torch.arange(4)).fetch(torch.tensor([2, 0]).numpy())
    assert batch["x"].tolist() == [2, 0]
