"""AC-GAN: its losses in closed form, D's two heads, its options, and whole commands with what can be asked."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import Command, Memory, tiny_loop, tiny_system, told
from mulligan import losses
from mulligan.observe import observing
from mulligan.rundir import RunDir
from mulligan.samples import read_provenance
from mulligan.systems.acgan import misnaming

TINY = ("--batch", "8", "--z-dim", "4", "--width", "4")


def system(key: str = "y", **options: Any) -> Any:
    return tiny_system("acgan", f"image+{key}", **options)


def batch_of(s: Any, n: int = 8) -> dict[str, Tensor]:
    return {"x": torch.rand(n, 3, 16, 16) * 2 - 1, **told(s, n)}


def norms(network: nn.Module) -> list[float]:
    return [0.0 if p.grad is None else p.grad.norm().item() for p in network.parameters()]


# --- the losses ---------------------------------------------------------------------------------------------


def test_misnaming_a_class_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    of_the_first = math.log(1 + math.exp(-2) + math.exp(-3))
    assert misnaming(logits, torch.tensor([0, 2])).item() == pytest.approx((of_the_first + math.log(3)) / 2)


def test_misnaming_tags_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    tags = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    each = [math.log(1 + math.exp(v)) for v in (-2.0, -1.0, 0.0, 3.0)]
    assert misnaming(logits, tags).item() == pytest.approx(sum(each) / 2), "of all tags, mean over images"


@pytest.mark.parametrize("c", [torch.tensor([1, 0]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])], ids=["label", "tags"])
def test_who_is_sure_and_right_pays_nothing(c: Tensor) -> None:
    """After a softmax or a sigmoid of their own, logits of 0 and 1 at best would leave log(1 + 1/e) to pay."""
    sure = torch.tensor([[-40.0, 40.0], [40.0, -40.0]])
    assert misnaming(sure, c).item() < 1e-6
    assert misnaming(-sure, c).item() >= 40


@pytest.mark.parametrize("key", ["y", "tags"])
def test_the_terms_are_the_papers(key: str) -> None:
    """L_S and L_C of reals with their own names, and of fakes with those that they were made for, not the batch's."""
    s = system(key, aux_weight=0.7).eval()
    batch = batch_of(s)
    asked = batch[key].roll(1, 0)
    fake = s.G(s.latent(8), asked)
    s.fake_for_d = lambda batch: (fake, asked)
    terms = s.d_loss(batch)
    (on_real, name_real), (on_fake, name_fake) = s.D(batch["x"]), s.D(fake)
    expected = losses.d_minimax(on_real, on_fake)
    expected |= {"aux_real": 0.7 * misnaming(name_real, batch[key]), "aux_fake": 0.7 * misnaming(name_fake, asked)}
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5), name
    s.fake_for_g = lambda batch: (fake, asked)
    terms = s.g_loss(batch)
    assert terms.keys() == {"adv", "aux"}
    assert terms["adv"].item() == pytest.approx(nn.functional.softplus(-on_fake).mean().item(), rel=1e-5)
    assert terms["aux"].item() == pytest.approx(0.7 * misnaming(name_fake, asked).item(), rel=1e-5)


def test_the_fakes_that_g_learned_from_keep_what_they_were_made_for() -> None:
    s = system()
    mine, its = batch_of(s), batch_of(s)
    its["y"] = (its["y"] + 1) % 3
    s.g_loss(mine)
    fake, asked = s.fake_for_d(its)
    assert torch.equal(asked, mine["y"])
    assert not fake.requires_grad


def test_without_weight_g_plays_the_game_that_is_told_nothing() -> None:
    s = system(aux_weight=0.0)
    terms = s.g_loss(batch_of(s))
    terms["adv"].backward(retain_graph=True)
    before = norms(s.G)
    assert any(before)
    terms["aux"].backward()
    assert norms(s.G) == before


# --- D's heads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "n"), [("y", 3), ("tags", 4)])
@pytest.mark.parametrize("options", [{}, {"d_norm": "spectral", "d_hidden": 8}], ids=["batch", "spectral"])
def test_d_has_two_heads_on_one_body(key: str, n: int, options: dict[str, Any]) -> None:
    s = system(key, **options)
    real, name = s.D(batch_of(s)["x"])
    assert real.shape == (8,) and name.shape == (8, n)
    real.sum().backward(retain_graph=True)
    assert any(norms(s.D.body)) and any(norms(s.D.source)) and not any(norms(s.D.name))
    s.D.zero_grad()
    name.square().sum().backward()
    assert any(norms(s.D.body)) and any(norms(s.D.name)) and not any(norms(s.D.source))


def test_what_a_sample_is_named_does_not_change_how_real_it_looks() -> None:
    s = system().eval()
    batch = batch_of(s)
    other = {**batch, "y": (batch["y"] + 1) % 3}
    with observing(s):
        assert torch.equal(s.discriminate(*s.real(batch)), s.discriminate(*s.real(other)))
        assert torch.equal(s.scores(batch)["D"][0], s.D(batch["x"])[0])


def test_dropout_is_behind_each_hidden_layer_and_only_in_training() -> None:
    """A share of 0.5 is 0, and what is left twice as large."""
    s = system(dropout=0.5)
    layers = list(s.D.body)
    rectified = [i for i, layer in enumerate(layers) if isinstance(layer, nn.LeakyReLU)]
    assert [i + 1 for i in rectified] == [i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    x = batch_of(s)["x"]
    first, second = s.D(x)[0], s.D(x)[0]
    assert not torch.equal(first, second)
    h = torch.ones(10_000)
    assert set(layers[rectified[0] + 1](h).unique().tolist()) == {0.0, 2.0}
    s.eval()
    assert torch.equal(s.D(x)[0], s.D(x)[0])
    assert not any(isinstance(m, nn.Dropout) for m in system(dropout=0.0).modules())


def test_a_spectral_d_is_normalised_but_for_what_it_names() -> None:
    loop = tiny_loop("acgan", "image+y", options={"d_norm": "spectral", "d_hidden": 8, "dropout": 0.0})
    for _ in range(10):
        loop.play()
    D: Any = loop.system.D
    weights = [m.weight for m in D.modules() if hasattr(m, "parametrizations")]
    assert len(weights) == 4
    for weight in weights:
        assert torch.linalg.svdvals(weight.detach().flatten(1))[0].item() == pytest.approx(1, abs=0.1)
    assert not hasattr(D.name, "parametrizations")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.modules())


# --- does it learn what is asked? -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["y", "tags"])
def test_three_shades_can_be_asked_for_after_a_moment(key: str) -> None:
    """Dark, grey and bright images: as asked, in that order."""
    torch.manual_seed(0)
    shade = torch.arange(96) % 3
    x = (shade[:, None, None, None] - 1) * 0.6 + 0.1 * torch.randn(96, 3, 16, 16)
    tags = torch.nn.functional.one_hot(shade, 4).float()
    options = {"lr": 5e-3, "beta1": 0.0, "dropout": 0.0, "batch": 16, "d_norm": "spectral", "d_hidden": 16}
    loop = tiny_loop("acgan", f"image+{key}", options=options)
    loop.loader.samples = Memory(x=x.clamp(-1, 1), y=shade, tags=tags)
    for _ in range(120):
        loop.play()
    c = {"y": shade[:30], "tags": tags[:30]}[key]
    with observing(loop.system), loop.average.swapped():
        made = loop.system.generate({"z": loop.system.latent(30), key: c})["x"].mean((1, 2, 3))
    dark, grey, bright = (made[shade[:30] == i].mean().item() for i in range(3))
    assert dark < grey - 0.2 and grey < bright - 0.2


# --- whole commands -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mulligan import cli

    out = tmp_path_factory.mktemp("acgan") / "digits"
    assert cli.run(["train", "acgan", "--data", "mnist", "--rounds", "3", "--out", str(out), *TINY]) == 0
    return out


def test_a_digit_is_asked_for_by_its_number(digits: Path, tmp_path: Path, mulligan: Command) -> None:
    assert RunDir.open(digits).config["config"]["aux_weight"] == 1.0
    assert mulligan("sample", digits, "--label", 7, "-n", 9, "-o", tmp_path / "seven.png").status == 0
    assert mulligan("sample", digits, "--label", 1, "-n", 9, "-o", tmp_path / "one.png").status == 0
    assert mulligan("sample", digits, "-n", 9, "-o", tmp_path / "any.png").status == 0
    assert (read_provenance(tmp_path / "seven.png") or {})["label"] == "7"
    with Image.open(tmp_path / "seven.png") as seven, Image.open(tmp_path / "one.png") as one:
        assert seven.size == one.size
        assert seven.tobytes() != one.tobytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--label", "10"), "--label 10: there is no such class"),
        (("--label", "seven"), "--label seven: there is no such class"),
        (("--label=-1",), "--label -1: there is no such class"),
        (("--tags", "red hair"), "--tags: this acgan is told with --label"),
        (("--text", "a seven"), "--text: this acgan is told with --label"),
    ],
)
def test_what_cannot_be_asked(
    words: tuple[str, ...], says: str, digits: Path, tmp_path: Path, mulligan: Command
) -> None:
    assert says in mulligan("sample", digits, *words, "-o", tmp_path / "a.png").mistake()
    assert not (tmp_path / "a.png").exists()


def test_a_folder_of_classes_is_asked_by_name_and_resumed(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    line = ("train", "acgan", "--data", pictures, "--rounds", 2, "--aux-weight", 0.5, "--out", run, *TINY)
    assert mulligan(*line).status == 0
    assert mulligan("train", "--resume", run, "--rounds", 4).status == 0
    assert mulligan("sample", run, "--label", "light", "-n", 4, "-o", tmp_path / "light.png").status == 0
    assert "did you mean light" in mulligan("sample", run, "--label", "ligth", "-o", tmp_path / "a.png").mistake()
    log = (run / "log.jsonl").read_text()
    assert all(term in log for term in ('"aux_real"', '"aux_fake"', '"aux"'))


def test_data_that_say_nothing_are_refused(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    plain = pictures / "dark"
    told = mulligan("train", "acgan", "--data", plain, "--rounds", 1, "--out", tmp_path / "a").mistake()
    assert "needs y or tags" in told and "a folder of its own" in told
    told = mulligan("train", "acgan", "--data", "grid", "--rounds", 1, "--out", tmp_path / "a").mistake()
    assert "acgan needs x (image)" in told or "acgan needs x as image" in told
    told = mulligan("train", "acgan", "--data", "mnist", "--condition", "tags", "--out", tmp_path / "a").mistake()
    assert "--condition tags: it needs tags" in told
    told = mulligan("train", "acgan", "--data", "mnist", "--aux-weight", "-1", "--out", tmp_path / "a").mistake()
    assert "--aux-weight -1" in told
    assert not (tmp_path / "a").exists()
