"""Projection discriminator: the condition in G's BatchNorm and in D's inner product, and whole commands."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import Command, Memory, signals_of, tiny_loop, tiny_system, told
from mulligan import losses
from mulligan.layers.conditional_norm import Chain, ConditionalNorm
from mulligan.observe import observing

TINY = ("--batch", "8", "--z-dim", "4", "--g-width", "4", "--d-width", "4", "--n-dis", "1", "--network", "plain")
KEYS = ("y", "tags")
NETWORKS = ("residual", "plain")
WAYS = ("projection", "concat")
LABEL, TAGS = signals_of("image")["y"], signals_of("image")["tags"]


def system(key: str = "y", **options: Any) -> Any:
    return tiny_system("projection", f"image+{key}", **options)


def batch_of(s: Any, n: int = 8) -> dict[str, Tensor]:
    return {"x": torch.rand(n, 3, 16, 16) * 2 - 1, **told(s, n)}


def norm_of(told: Any, *, seed: int = 0) -> ConditionalNorm:
    """Each condition with a gain and a bias of its own."""
    torch.manual_seed(seed)
    layer = ConditionalNorm(5, told)
    for p in layer.parameters():
        nn.init.normal_(p)
    return layer


# --- conditional BatchNorm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [torch.tensor([0, 2, 1, 0]), torch.eye(4)], ids=KEYS)
def test_conditions_that_are_all_equal_leave_batchnorm(c: Tensor) -> None:
    """In training and after it: outputs, running statistics, and the gradient of x."""
    ours = norm_of(LABEL if c.dim() == 1 else TAGS)
    with torch.no_grad():
        ours.gain[:], ours.bias[:] = ours.gain[0].clone(), ours.bias[0].clone()
    theirs = nn.BatchNorm2d(5)
    with torch.no_grad():
        theirs.weight.copy_(ours.norm.weight * (1 + ours.gain[0]))
        theirs.bias.copy_(ours.norm.bias * (1 + ours.gain[0]) + ours.bias[0])
    x = torch.randn(4, 5, 3, 3) * 2 + 1
    for training in (True, False):
        mine, its = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = ours.train(training)(mine, c), theirs.train(training)(its)
        torch.testing.assert_close(y, expected)
        y.square().sum().backward(), expected.square().sum().backward()
        torch.testing.assert_close(mine.grad, its.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)


def test_at_first_it_is_batchnorm() -> None:
    x = torch.randn(6, 5, 4, 4)
    torch.testing.assert_close(ConditionalNorm(5, LABEL)(x, torch.arange(6) % 3), nn.BatchNorm2d(5)(x))


def test_each_class_has_its_own_gain_and_bias() -> None:
    layer = norm_of(LABEL)
    x, y = torch.randn(6, 5, 4, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    made, h = layer(x, y), layer.norm(x)
    for i, label in enumerate(y):
        gain, bias = layer.gain[label][:, None, None], layer.bias[label][:, None, None]
        torch.testing.assert_close(made[i], (1 + gain) * h[i] + bias)
    made[y == 1].sum().backward()
    for table in (layer.gain, layer.bias):
        assert table.grad is not None
        assert table.grad[1].any() and not table.grad[[0, 2]].any()


def test_tags_add_up_and_one_tag_is_as_a_class() -> None:
    layer = norm_of(TAGS)
    tags = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    x = torch.randn(3, 5, 4, 4)
    made, h = layer(x, tags), layer.norm(x)
    gain, bias = (t[0] + t[3] for t in (layer.gain, layer.bias))
    torch.testing.assert_close(made[0], (1 + gain[:, None, None]) * h[0] + bias[:, None, None])
    torch.testing.assert_close(made[1], h[1])
    of_classes = norm_of(LABEL)
    of_classes.load_state_dict({k: v[:3] if k in ("gain", "bias") else v for k, v in layer.state_dict().items()})
    torch.testing.assert_close(of_classes(x, torch.arange(3)), layer(x, torch.eye(3, 4)))


def test_it_keeps_bfloat16() -> None:
    layer, x = norm_of(LABEL), torch.randn(3, 5, 4, 4)
    exact = layer(x, torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16(), torch.arange(3))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, atol=0.1, rtol=0.05)


def test_a_chain_tells_those_that_are_to_be_told() -> None:
    chain = Chain(nn.Conv2d(5, 5, 1), norm_of(LABEL), nn.ReLU())
    x, y = torch.randn(3, 5, 4, 4), torch.arange(3)
    torch.testing.assert_close(chain(x, y), chain[1](chain[0](x), y).relu())
    assert torch.equal(Chain(chain[0], nn.ReLU())(x), chain[0](x).relu())


# --- G ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("network", NETWORKS)
def test_g_is_told_by_its_norms_alone(network: str, key: str) -> None:
    """At first it draws the same for all; each of its norms can change that, and no two conditions are one."""
    s = system(key, network=network).eval()
    z, c = s.latent(1).expand(2, -1), {"y": torch.tensor([0, 1]), "tags": torch.eye(2, 4)}[key]
    made = s.G(z, c)
    assert torch.equal(made[0], made[1])
    norms = [m for m in s.G.modules() if isinstance(m, ConditionalNorm)]
    assert len(norms) == {"residual": 4, "plain": 2}[network]  # two doublings of 4 px
    for norm in norms:
        torch.nn.init.normal_(norm.bias)
        made = s.G(z, c)
        assert not torch.allclose(made[0], made[1])
        torch.nn.init.zeros_(norm.bias)


@pytest.mark.parametrize("network", NETWORKS)
def test_its_networks_are_those_of_sngan(network: str) -> None:
    """The names too, so that weights of one can start the other."""
    ours, theirs = system(network=network), tiny_system("sngan", "image", network=network)
    names = {k.replace(".norm.", "."): v.shape for k, v in ours.G.state_dict().items() if v.dim() != 2 or "0" in k}
    assert {k: v.shape for k, v in theirs.G.state_dict().items()}.items() <= names.items()
    assert ours.D.body.state_dict().keys() == theirs.D.state_dict().keys()
    assert type(ours.D.body) is type(theirs.D)


# --- D ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_d_is_an_inner_product_and_what_it_is_told_nothing_of(network: str) -> None:
    s = system(network=network).eval()
    x, y = torch.randn(6, 3, 16, 16), torch.arange(6) % 3
    phi = s.D.body.features(x)
    torch.testing.assert_close(s.D(x, y), s.D.body(x) + (s.D.v.weight[y] * phi).sum(1))
    for other in range(3):
        v = s.D.v.weight[other] - s.D.v.weight[y]
        torch.testing.assert_close(s.D(x, torch.full((6,), other)) - s.D(x, y), (v * phi).sum(1), atol=1e-5, rtol=1e-4)


def test_the_vectors_of_tags_add_up_and_none_is_nothing() -> None:
    s = system("tags").eval()
    x = torch.randn(1, 3, 16, 16)
    tags = torch.eye(4)
    apart = [s.D(x, t[None]) - s.D.body(x) for t in tags]
    both = s.D(x, (tags[0] + tags[2])[None]) - s.D.body(x)
    torch.testing.assert_close(both, apart[0] + apart[2], atol=1e-5, rtol=1e-4)
    assert torch.equal(s.D(x, torch.zeros(1, 4)), s.D.body(x))


@pytest.mark.parametrize("network", NETWORKS)
def test_concatenated_it_still_relates_image_and_class(network: str) -> None:
    """A last layer alone on both would give D(x, y) = f(x) + g(y), whatever was drawn."""
    s = system(network=network, d_condition="concat", d_hidden=8).eval()
    x, y = torch.randn(2, 3, 16, 16), torch.tensor([0, 1])
    mixed = s.D(x, y) - s.D(x, y.flip(0))
    assert (mixed[0] + mixed[1]).abs().item() > 1e-5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_of_d_is_normalised_the_vectors_too(network: str, key: str, way: str) -> None:
    """But where they stand beside φ(x): no path from x leads through them there."""
    options = {"network": network, "d_condition": way, "d_hidden": 8}
    loop = tiny_loop("projection", f"image+{key}", options=options)
    for _ in range(15):
        loop.play()
    D: Any = loop.system.D
    layers = [m for m in D.modules() if hasattr(m, "parametrizations")]
    assert (D.v in layers) == (way == "projection")
    for layer in layers:
        sigma = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item()
        assert sigma == pytest.approx(1, abs=0.1), layer
    of_x = {id(p) for p in D.parameters()} - ({id(p) for p in D.v.parameters()} if way == "concat" else set())
    assert {id(p) for m in layers for p in m.parameters()} == of_x, "nothing with weights is left out"
    assert not any(p.dim() == 1 for p in D.v.parameters()), "a bias beside the vectors would not be normalised"


def test_the_game_is_the_hinge_of_pairs() -> None:
    """Reals with their own label, fakes with the one that they were made for."""
    s = system().eval()
    batch = batch_of(s)
    asked = (batch["y"] + 1) % 3
    fake = s.G(s.latent(8), asked)
    s.fake_for_d = s.fake_for_g = lambda batch: (fake, asked)
    real_logits, fake_logits = s.D(batch["x"], batch["y"]), s.D(fake, asked)
    for terms, expected in (
        (s.d_loss(batch), losses.d_hinge(real_logits, fake_logits)),
        (s.g_loss(batch), losses.g_hinge(fake_logits)),
    ):
        assert terms.keys() == expected.keys()
        for name, value in expected.items():
            assert terms[name].item() == pytest.approx(value.item(), abs=1e-5)


def test_g_plays_once_and_d_as_often_as_told() -> None:
    (stage,) = system(n_dis=3).stages()
    assert [(turn.player, turn.repeat) for turn in stage.turns] == [("G", 1), ("D", 3)]


@pytest.mark.parametrize("way", WAYS)
def test_three_shades_can_be_asked_for_after_a_moment(way: str) -> None:
    """Dark, grey and bright images: as asked, in that order."""
    torch.manual_seed(0)
    shade = torch.arange(96) % 3
    x = (shade[:, None, None, None] - 1) * 0.6 + 0.1 * torch.randn(96, 3, 16, 16)
    options = {"network": "plain", "d_hidden": 16, "n_dis": 1, "lr": 1e-2, "batch": 16, "d_condition": way}
    loop = tiny_loop("projection", "image+y", options=options)
    loop.loader.samples = Memory(x=x.clamp(-1, 1), y=shade)
    for _ in range(100):
        loop.play()
    with observing(loop.system), loop.average.swapped():
        made = loop.system.generate({"z": loop.system.latent(30), "y": shade[:30]})["x"].mean((1, 2, 3))
    dark, grey, bright = (made[shade[:30] == i].mean().item() for i in range(3))
    assert dark < grey - 0.2 and grey < bright - 0.2


# --- whole commands -----------------------------------------------------------------------------------------


def test_train_resume_and_ask(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    assert mulligan("train", "projection", "--data", pictures, "--rounds", 2, "--out", run, *TINY).status == 0
    assert mulligan("train", "--resume", run, "--rounds", 4).status == 0
    for name in ("dark", 1):
        out = tmp_path / f"{name}.png"
        assert mulligan("sample", run, "--label", name, "-n", 4, "-o", out).status == 0
        assert out.exists()
    assert "--label 2: there is no such class" in mulligan("sample", run, "--label", 2).mistake()


def test_mistakes(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    def mistake(*words: object) -> str:
        return mulligan("train", "projection", *words, "--rounds", 1, "--out", tmp_path / "a").mistake()

    assert "needs y or tags" in mistake("--data", pictures / "dark")
    assert "projection needs x" in mistake("--data", "ring")
    assert "--d-condition" in mistake("--data", pictures, "--d-condition", "sum")
    assert "--condition tags: it needs tags" in mistake("--data", pictures, "--condition", "tags")
    assert not (tmp_path / "a").exists()
