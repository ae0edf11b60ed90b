"""CGAN: the paper's networks, two branches that are both heard, its schedule, and whole commands."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from conftest import Command, Memory, bare_loop, entered, samples_of, signals_of, tiny_system, tree
from mulligan.model import Model
from mulligan.rundir import RunDir
from mulligan.signals import Signal
from mulligan.systems.cgan import CGAN, Config

MNIST = {"x": Signal("image", (1, 28, 28)), "y": Signal("label", (), (0, 9))}
WORDS = {"x": Signal("points", (200,), None), "features": Signal("points", (4096,), None)}
TINY = ("--batch", "4", "--z-dim", "4", "--width", "0.02")
POINTS_TOLD = [("points", key) for key in ("features", "y", "tags")]
IMAGES_TOLD = [("image", key) for key in ("features", "y", "tags")]


def shapes(network: torch.nn.Module) -> list[tuple[int, ...]]:
    """Of the weights, in order; biases left out."""
    return [tuple(p.shape) for p in network.parameters() if p.dim() == 2]


def batch_of(system: Any, n: int = 8) -> dict[str, Tensor]:
    return samples_of(system.signals).fetch(np.arange(n))


# --- the paper's networks -----------------------------------------------------------------------------------


def test_the_networks_for_mnist() -> None:
    system = CGAN(Config(), MNIST)
    assert system.z_dim == 100
    assert shapes(system.G.own) == [(200, 100)]
    assert shapes(system.G.told) == [(1000, 10)]
    assert shapes(system.G.both) == [(1200, 1200), (784, 1200)]
    assert shapes(system.D.own) == [(240 * 5, 784)]
    assert shapes(system.D.told) == [(50 * 5, 10)]
    assert shapes(system.D.both) == [(240 * 4, 290), (1, 240)]


def test_the_networks_for_the_vectors_of_words() -> None:
    system = CGAN(Config(), WORDS)
    assert (shapes(system.G.own), shapes(system.G.told), shapes(system.G.both)) == (
        [(500, 100)], [(2000, 4096)], [(200, 2500)],
    )  # fmt: skip
    assert (shapes(system.D.own), shapes(system.D.told), shapes(system.D.both)) == (
        [(500, 200)], [(1200, 4096)], [(3000, 1700), (1, 1000)],
    )  # fmt: skip


def test_width_is_a_share_of_every_hidden_layer() -> None:
    system = CGAN(Config(width=0.1), MNIST)
    assert shapes(system.G) == [(20, 100), (100, 10), (120, 120), (784, 120)]
    assert shapes(system.D) == [(24 * 5, 784), (5 * 5, 10), (24 * 4, 29), (1, 24)]


def test_noise_has_variance_1_uniform_for_images_and_gaussian_for_points() -> None:
    z = CGAN(Config(width=0.01), MNIST).latent(1000)
    assert float(z.abs().max()) <= 3**0.5
    for u in (z, CGAN(Config(width=0.01), WORDS).latent(1000)):
        assert float(u.mean()) == pytest.approx(0, abs=0.02)
        assert float(u.std()) == pytest.approx(1, abs=0.02)


def test_weights_start_as_in_2014_by_sgd_and_as_pytorchs_by_adam() -> None:
    for optimizer, bounds in (("sgd", (0.05, 0.005)), ("adam", (100**-0.5, 784**-0.5))):
        system = CGAN(Config(width=0.5, optimizer=optimizer), MNIST)
        for network, bound in zip((system.G, system.D), bounds, strict=True):
            first = next(m for m in network.own.modules() if isinstance(m, nn.Linear))
            assert float(first.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-2)


def test_how_loud_a_condition_is() -> None:
    y = torch.arange(10)
    system = CGAN(Config(width=0.01), MNIST)
    assert torch.allclose(system.D.told[:2](y), 10**0.5 * torch.eye(10)), "a mean square of 1"
    assert torch.equal(system.G.told[0](y), torch.eye(10))
    features = torch.randn(3, WORDS["features"].shape[0] or 0)
    assert torch.equal(CGAN(Config(width=0.01), WORDS).G.told[:2](features), features / 4)


def test_penalised_are_the_slopes_at_real_samples_and_fakes() -> None:
    system: Any = tiny_system("cgan", "points+features", gamma=0.5)
    batch = batch_of(system)
    w = torch.randn(batch["x"].shape[1])
    seen = []

    def linear(x: Tensor, c: Tensor) -> Tensor:
        seen.append((x, c))
        return x @ w

    system.D.forward = linear
    assert float(system.d_loss(batch)["r1_r2"]) == pytest.approx(0.5 * float(w.square().sum()), rel=1e-4)
    x, c = seen[-1]
    assert torch.equal(x[:8], batch["x"]) and len(x) == 16
    assert torch.equal(x[8:], seen[1][0]), "the fakes that D has just judged"
    assert torch.equal(c, torch.cat([batch["features"]] * 2))
    assert tiny_system("cgan", "points+features").d_loss(batch).keys() == {"real", "fake"}


@pytest.mark.parametrize("batch", [100, 25])
def test_the_papers_schedule(batch: int) -> None:
    """lr 0.1 divided by 1.00004 an update of 100, to 1e-6; momentum from 0.5 to 0.7."""
    rule = next(CGAN(Config(width=0.01, batch=batch), MNIST).stages()).turns[0].optimizer
    at = {n: rule.settings(100 * n) for n in (0, 1, 10_000, 10**7)}
    assert at[0] == {"lr": 0.1, "momentum": 0.5}
    assert at[1]["lr"] == pytest.approx(0.1 / 1.00004)
    assert at[10_000]["lr"] == pytest.approx(0.1 * math.exp(-0.4), rel=1e-3)
    assert at[10**7] == {"lr": 1e-6, "momentum": pytest.approx(0.7)}


def test_images_start_around_the_mean_image() -> None:
    system = tiny_system("cgan", "image+y", g_dropout=0.0)
    samples = samples_of(system.signals)
    entered(bare_loop(system))
    with torch.no_grad():
        made = system.eval().generate({"z": system.latent(64), "y": torch.arange(64) % 3})["x"]
    assert torch.allclose(made.mean(0), samples.tensors["x"].mean(0), atol=0.05)


# --- both branches are heard --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "key"), POINTS_TOLD + IMAGES_TOLD)
def test_what_is_made_and_what_is_judged_depend_on_z_x_and_the_condition(kind: str, key: str) -> None:
    system: Any = tiny_system("cgan", f"{kind}+{key}").eval()
    batch = batch_of(system)
    c, other, z = batch[key], batch[key].roll(1, 0), system.latent(8)
    with torch.no_grad():
        made = system.G(z, c)
        assert not torch.equal(made, system.G(z, other))
        assert not torch.equal(made, system.G(system.latent(8), c))
        logits = system.D(batch["x"], c)
        assert logits.shape == (8,)
        assert not torch.equal(logits, system.D(batch["x"], other))
        assert not torch.equal(logits, system.D(-batch["x"], c))


def test_a_label_is_heard_as_one_number_of_ten() -> None:
    """A unit of the branch for y is relu(w_y + b), column y of its weights."""
    system: Any = CGAN(Config(width=0.01), MNIST).eval()
    y = torch.tensor([3, 9])
    layer = system.G.told[1][0]
    assert torch.allclose(system.G.told(y), torch.relu(layer.weight[:, y].T + layer.bias))


def test_the_losses_are_the_papers_value_halved_and_its_other_form_for_g() -> None:
    system: Any = tiny_system("cgan", "image+y").eval()  # eval: no dropout, so that both passes are the same
    batch = batch_of(system)
    torch.manual_seed(1)
    z = system.latent(8)
    fake = system.D(system.G(z, batch["y"]), batch["y"])
    torch.manual_seed(1)
    assert system.g_loss(batch)["adv"].item() == pytest.approx(softplus(-fake).mean().item(), rel=1e-6)
    terms = system.d_loss(batch)
    real = system.D(batch["x"], batch["y"])
    assert terms["real"].item() == pytest.approx(softplus(-real).mean().item() / 2, rel=1e-6)
    assert terms["fake"].item() == pytest.approx(softplus(fake).mean().item() / 2, rel=1e-6)


def test_units_are_dropped_in_training_alone() -> None:
    system: Any = tiny_system("cgan", "points+y")
    z, y, x = system.latent(8), torch.arange(8) % 3, torch.randn(8, 2)
    for network, a in ((system.G, z), (system.D, x)):
        assert not torch.equal(network.train()(a, y), network(a, y))
        assert torch.equal(network.eval()(a, y), network(a, y))
    undropped: Any = tiny_system("cgan", "points+y", g_dropout=0.0, d_dropout=0.0)
    for network, a in ((undropped.G, z), (undropped.D, x)):
        assert torch.equal(network.train()(a, y), network(a, y))


def test_it_learns_what_goes_with_what() -> None:
    """Three blobs, of which the label says which."""
    torch.manual_seed(0)
    y = torch.arange(600) % 3
    centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5]])
    data = Memory(x=centres[y] + 0.1 * torch.randn(600, 2), y=y)
    signals = {k: signals_of("points")[k] for k in ("x", "y")}
    system = CGAN(Config(batch=32, z_dim=4, width=0.05, g_dropout=0.0, d_dropout=0.0), signals)
    loop = bare_loop(system)
    loop.loader.samples = data
    entered(loop)
    for _ in range(250):
        loop.play()
    asked = torch.arange(3).repeat_interleave(100)
    with torch.no_grad():
        made = system.eval().generate({"z": system.latent(300), "y": asked})["x"]
    assert float((torch.cdist(made, centres).argmin(1) == asked).float().mean()) > 0.9


# --- whole commands -----------------------------------------------------------------------------------------


def test_train_resume_and_ask(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    words = ("cgan", "--data", pictures, "--look-every", "2", *TINY)
    assert mulligan("train", *words, "--rounds", "6", "--out", whole).status == 0
    assert mulligan("train", *words, "--rounds", "4", "--out", halted).status == 0
    assert mulligan("train", "--resume", halted, "--rounds", "6").status == 0
    one, other = (tree(run / "checkpoints/000006")["model.safetensors"] for run in (whole, halted))
    assert one == other
    assert (whole / "report.html").is_file()
    model = Model.load(whole)
    assert model.given == ("y",)
    assert model.examples["y"].unique().tolist() == [0, 1]

    made = []
    for label in ("dark", "1"):
        file = tmp_path / f"{label}.npz"
        assert mulligan("sample", whole, "-n", "5", "--label", label, "-o", file).status == 0
        with np.load(file) as arrays:
            made.append(arrays["samples"])
    assert made[0].shape == (5, 16, 16, 3)
    assert not np.array_equal(*made)
    assert "no such class; did you mean dark?" in mulligan("sample", whole, "--label", "drak").mistake()
    assert "this cgan is told with --label; leave it out" in mulligan("sample", whole, "--tags", "red").mistake()
    assert mulligan("evaluate", whole, "-n", "10", "--judge", "pixels").status == 0


@pytest.mark.parametrize("data", ["density", "ring"])
def test_points_of_a_named_mode(data: str, tmp_path: Path, mulligan: Command) -> None:
    """On a line there is no figure with one D: it has a curve for each label."""
    run, file = tmp_path / "run", tmp_path / "points.csv"
    assert mulligan("train", "cgan", "--data", data, "--rounds", "3", "--out", run, *TINY).status == 0
    assert not list((run / "samples").glob("*.json"))
    assert (run / "samples/000003.png").is_file()
    assert "D.auc" in RunDir.open(run).read("log")[-1]["vital"]
    assert mulligan("sample", run, "-n", "7", "--label", "1", "-o", file).status == 0
    assert len([line for line in file.read_text().splitlines() if not line.startswith("#")]) == 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--condition", "tags"), "--condition tags: it needs tags, but the data have x, y; --data characters"),
        (("--condition", "features"), "but the data have x, y; --data characters --task tag_vectors supplies them"),
        (("--data", "FLAT"), "it needs features or y or tags, but the data have x"),
        (("--data", "ring", "--augment", "fixed"), "--augment fixed: points are not augmented; leave it out"),
        (("--width", "0"), "--width"),
    ],
)  # fmt: skip
def test_mistakes_take_one_line(words: tuple[str, ...], says: str, tmp_path: Path, mulligan: Command) -> None:
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32))
    chosen = [str(tmp_path / "flat.npy") if word == "FLAT" else word for word in words]
    data = () if "--data" in words else ("--data", "mnist")
    assert says in mulligan("train", "cgan", *data, *chosen, "--rounds", "1", "--out", tmp_path / "run").mistake()
