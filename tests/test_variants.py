"""The choices inside a system: each must play, and do what it says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import rows, tiny_loop, tiny_system
from mulligan import auto, registry
from mulligan.data import open_source
from mulligan.losses import d_minimax, g_nonsaturating, g_saturating
from mulligan.metrics.digits import load_judge
from mulligan.model import SHIPPED, Model
from mulligan.penalties import finite_difference_penalty, gradient_penalty
from mulligan.plan import first_half
from mulligan.train import train

CHOICES: list[tuple[str, str, dict[str, Any]]] = [
    ("gan", "points", {"loss": "saturating"}),
    ("gan", "points", {"prior": "uniform"}),
    ("gan", "points", {"k": 3}),
    ("gan", "image", {"prior": "gaussian", "dropout": False}),
    ("sngan", "image", {"network": "plain"}),
    ("sngan", "image", {"network": "plain", "d_hidden": 16}),
    ("sngan", "image", {"decay_images": 100}),
    ("lsgan", "image", {"code": "pearson"}),
    ("dragan", "points", {"k": 0.0, "c": 0.1}),
    ("r3gan", "image", {"network": "plain"}),
    ("stylegan2", "image", {"path_weight": 0.0, "mixing": 0.0, "mapping_layers": 8}),
    ("r3gan", "image", {"penalty": "finite"}),
    ("r3gan", "points", {"loss": "minimax"}),
    ("r3gan", "points", {"loss": "minimax", "r2": False}),
    ("r3gan", "image", {"r2": False, "penalty": "finite"}),
    ("r3gan", "points", {"penalty": "finite", "gamma": 0.1, "gamma_end": 0.01, "lr_end": 1e-5, "burn_in": 100}),
]


def build(name: str, kind: str, options: dict[str, Any]) -> Any:
    return tiny_system(name, kind, **options)


@pytest.mark.parametrize(("name", "kind", "options"), CHOICES)
def test_every_choice_gives_finite_terms_and_gradients(name: str, kind: str, options: dict[str, Any]) -> None:
    system = build(name, kind, options)
    shape = system.signals["x"].shape
    batch = {"x": torch.rand(system.config.batch, *shape) * 2 - 1}
    (stage,) = system.stages()
    for turn in stage.turns:
        terms = turn.loss(batch)
        assert all(torch.isfinite(t) and t.dim() == 0 for t in terms.values())
        torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in system.parameters())


def test_the_choices_choose() -> None:
    assert build("r3gan", "image", {}).penalty is gradient_penalty
    assert build("r3gan", "image", {"penalty": "finite"}).penalty is finite_difference_penalty
    assert build("r3gan", "points", {}).penalty is gradient_penalty
    system = build("gan", "points", {"loss": "saturating"})
    x = torch.zeros(8, *system.signals["x"].shape)
    torch.manual_seed(1)
    loss = system.g_loss({"x": x})["adv"]
    torch.manual_seed(1)
    assert loss == g_saturating(system.discriminate(*system.fake(rows(8))))["adv"]
    assert [t.repeat for t in next(build("gan", "points", {"k": 3}).stages()).turns] == [3, 1]


def test_r3gan_without_its_steps_is_the_gan_of_2014_with_r1() -> None:
    system = build("r3gan", "points", {"loss": "minimax", "r2": False, "gamma": 0.3})
    x = torch.randn(8, *system.signals["x"].shape)
    torch.manual_seed(1)
    terms = system.d_loss({"x": x})
    torch.manual_seed(1)
    (fake,) = system.fake(rows(8))
    assert terms.keys() == {"real", "fake", "r1"}
    adversarial = d_minimax(system.D(x), system.D(fake))
    assert terms["real"].item() == pytest.approx(adversarial["real"].item(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(adversarial["fake"].item(), rel=1e-5)
    assert terms["r1"].item() == pytest.approx(0.15 * gradient_penalty(system.D, x).item(), rel=1e-5)
    torch.manual_seed(1)
    assert system.g_loss({"x": x})["adv"].item() == pytest.approx(
        g_nonsaturating(system.D(fake))["adv"].item(), rel=1e-5
    )


def test_schedules_read_the_images_seen() -> None:
    rule = next(build("sngan", "image", {"decay_images": 100, "lr": 1.0}).stages()).turns[0].optimizer
    assert [rule.settings(n)["lr"] for n in (0, 50, 100, 200)] == [1.0, 0.5, 0.0, 0.0]
    r3gan = build("r3gan", "points", {"gamma": 1.0, "gamma_end": 0.0, "burn_in": 100})
    gammas = []
    for seen in (0, 50, 100, 500):
        r3gan.images = seen
        gammas.append(float(r3gan.gamma()))
    assert gammas == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("source", ["mnist", "stacked", "grid"])
def test_auto_chooses_what_can_be_built(source: str) -> None:
    opened = open_source(source)
    choice = auto.choose(opened)
    system = registry.load(choice.system)
    built = system(system.Config(**choice.options), opened.signals)
    assert built.fake(rows(2))[0].shape == (2, *opened.signals["x"].shape)
    assert choice.why


def test_from_another_run_takes_its_weights_and_none_of_its_clock(tmp_path: Path) -> None:
    """Schedules begin anew, and what a stage takes from the data does not overwrite what was learned."""
    told: dict[str, Any] = {"batch": 8, "g_width": 8, "d_width": 4, "quiet": True, "ema": 0}
    first = train("gan", "mnist", out=tmp_path / "a", rounds=3, **told)
    second = train("gan", "mnist", out=tmp_path / "b", rounds=0, from_run=tmp_path / "a", **told)
    for k, v in first.system.state_dict().items():
        assert torch.equal(v, second.system.state_dict()[k]), k
    assert second.system.images == 0


def test_freeze_d_asks_for_a_run_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add --from RUN"):
        train("gan", "ring", out=tmp_path / "a", rounds=1, freeze_d=True)


def test_half_of_d_is_whole_layers() -> None:
    """Spectral norm keeps a layer's weight in a parametrization; its bias must be frozen with it."""
    system = tiny_system("sngan", "image", network="plain")
    names = {id(p): n.split(".parametrizations")[0] for n, p in system.named_parameters()}
    frozen = {names[id(p)].removesuffix(".bias") for p in first_half(system)}
    kept = {names[id(p)].removesuffix(".bias") for p in system.D.parameters()} - frozen
    assert frozen and kept
    assert not any(p is q for p in first_half(system) for q in system.G.parameters())
    both = [n for n in frozen if f"{n}.bias" in kept]
    assert both == []


def test_the_shipped_digits() -> None:
    model = Model.load("digits")
    assert (SHIPPED / "digits" / "model.safetensors").stat().st_size <= 2_000_000
    x = model.generate(500, seed=1)["x"]
    assert x.shape == (500, 1, 28, 28) and torch.equal(x[:5], model.generate(500, seed=1)["x"][:5])
    shares = torch.bincount(load_judge()[0](x).argmax(1), minlength=10) / 500
    assert shares.min() > 0.03 and shares.max() < 0.2


@pytest.mark.parametrize("name", ["dcgan", "sngan"])
def test_d_learns_from_the_fakes_that_g_has_just_made(name: str) -> None:
    loop = tiny_loop(name, "image", micro_batches=2)
    system: Any = loop.system
    made: list[torch.Tensor] = []
    used: list[torch.Tensor] = []
    keep, take = system.fake_for_g, system.fake_for_d

    def note(into: list[torch.Tensor], make: Any) -> Any:
        return lambda batch: into.append((shown := make(batch))[0]) or shown

    system.fake_for_g, system.fake_for_d = note(made, keep), note(used, take)
    loop.play()
    assert len(made) == 2
    assert all(torch.equal(a, b) and a.requires_grad and not b.requires_grad for a, b in zip(made, used, strict=False))
    assert len(used) == 2 * loop.stage.turns[1].repeat  # more steps of D take fresh ones
    assert not any(torch.equal(u, m) for u in used[2:] for m in made)
    assert not system.kept


def test_fakes_that_d_did_not_use_do_not_outlive_their_round() -> None:
    system: Any = tiny_system("dcgan", "image")
    for system.images in (0, 8, 16):
        for _ in range(2):
            (newest,) = system.fake_for_g(rows(4))
    assert len(system.kept) == 2
    system.images = 24
    assert not torch.equal(system.fake_for_d(rows(4))[0], newest)
    assert not system.kept


def test_gan_starts_at_the_mean_image() -> None:
    loop = tiny_loop("gan", "image")
    *_, last = (layer for layer in loop.system.G.children() if isinstance(layer, torch.nn.Linear))
    x = torch.cat([loop.loader.samples.fetch(torch.tensor([i]).numpy())["x"] for i in range(len(loop.loader.samples))])
    mean = (x.flatten(1).mean(0) + 1) / 2
    torch.testing.assert_close(torch.sigmoid(last.bias), mean.clamp(1e-7, 1 - 1e-7), rtol=1e-4, atol=1e-6)
