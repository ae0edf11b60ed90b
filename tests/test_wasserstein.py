"""The critics: clipped, or held by a penalty; and what each system feeds to its penalty."""

import pytest
import torch
from torch import nn

from conftest import tiny_loop, tiny_system
from mulligan import penalties
from mulligan.systems import dragan, wgan_gp


@pytest.mark.parametrize("name", ["wgan", "pokegan"])
@pytest.mark.parametrize("kind", ["image", "points"])
def test_after_every_step_the_critic_is_clipped(name: str, kind: str) -> None:
    """G meets a clipped critic; BatchNorm's gains stay near 1, where clipping them would leave no signal."""
    loop = tiny_loop(name, kind, options={"clip": 0.02, "lr": 1e-2})
    critic, g = loop.stage.turns
    assert (critic.player, g.player) == ("D", "G")
    for _ in range(3):
        loop._play_turn(0, critic)
        norms = [m for m in loop.system.D.modules() if isinstance(m, nn.BatchNorm2d)]
        gains = {id(m.weight) for m in norms}
        largest = [p.abs().max().item() for p in loop.system.D.parameters() if id(p) not in gains]
        assert max(largest) == pytest.approx(0.02)  # a learning rate of 0.01 drives some to the edge
        assert all(m.weight.min() > 0.5 for m in norms)
    assert bool(norms) == (kind == "image")
    assert max(p.abs().max().item() for p in loop.system.G.parameters()) > 0.02


def test_pokegan_is_wgan_at_its_own_learning_rate() -> None:
    a, b = tiny_loop("pokegan", "image"), tiny_loop("wgan", "image", options={"lr": 2e-4})
    for _ in range(2):
        a.play()
        b.play()
    for (name, p), q in zip(a.system.named_parameters(), b.system.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_the_critic_sees_fresh_noise_in_each_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """pokeGAN's project drew one batch of noise for all five steps and G's."""
    loop = tiny_loop("pokegan", "image", options={"n_critic": 3})
    drawn = []
    fresh = loop.system.latent
    monkeypatch.setattr(loop.system, "latent", lambda n: drawn.append(fresh(n)) or drawn[-1])
    loop.play()
    assert len(drawn) == 4
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
@pytest.mark.parametrize("kind", ["image", "points"])
def test_the_penalty_is_of_each_sample_alone(name: str, kind: str) -> None:
    """One share a sample, and one norm a sample: on D(x) = w · x the penalty is λ (|w| - 1)², however x is batched."""
    system = tiny_system(name, kind)
    shape = system.signals["x"].shape
    w = torch.randn(*shape)  # type: ignore[arg-type]
    del system.D
    system.__dict__["D"] = lambda x: (x * w).flatten(1).sum(1)
    length = w.norm().item()
    for n in (2, 8):
        x = torch.rand(n, *shape) * 2 - 1
        terms = system.d_loss({"x": x})
        weight = 0.1 if (name, kind) == ("wgan_gp", "points") else 10
        assert terms["gp"].item() == pytest.approx(weight * (length - 1) ** 2, rel=1e-4)


def test_wgan_gp_penalises_between_data_and_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    system = tiny_system("wgan_gp", "points")
    seen: list[torch.Tensor] = []

    def spy(D: object, x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return penalties.lipschitz_penalty(system.D, x)

    monkeypatch.setattr(wgan_gp, "lipschitz_penalty", spy)
    fake = torch.full((6, 2), -1.0)
    monkeypatch.setattr(system, "fake", lambda batch: (fake,))
    system.d_loss({"x": torch.ones(6, 2)})
    (x,) = seen
    assert x.abs().max() <= 1
    assert torch.equal(x[:, 0], x[:, 1]), "one share for all values of a sample"
    assert len(x[:, 0].unique()) == 6, "and another for each sample"


def test_dragan_penalises_around_data_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fakes have no part in it; the distance from the data grows with `c` and with the data's own spread."""
    system = tiny_system("dragan", "points", c=0.5)
    x = torch.randn(4000, 2)
    away = (system.around(x) - x).norm(dim=1)
    # |δ| = α · 0.5 · s · |n| with E α = 1/2 and E|n| = sqrt(π / 2) in two dimensions
    assert away.mean().item() == pytest.approx(0.5 * 0.5 * x.std().item() * (torch.pi / 2) ** 0.5, rel=0.05)
    wide = (system.around(10 * x) - 10 * x).norm(dim=1)
    assert wide.mean().item() == pytest.approx(10 * away.mean().item(), rel=0.1)
    targets = []
    monkeypatch.setattr(dragan, "lipschitz_penalty", lambda D, x, target: targets.append(target) or x.sum())
    tiny_system("dragan", "points", k=3.0).d_loss({"x": x[:8]})
    assert targets == [3.0]
