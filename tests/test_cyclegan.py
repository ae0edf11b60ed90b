"""CycleGAN: its terms in closed form, its pool of past fakes, which way is which, whole commands with their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import FP32, Command, bare_loop, differences, draw_pictures, entered, everything, tiny_loop, tiny_system
from mulligan import registry
from mulligan.layers.pool import Pool
from mulligan.model import Model
from mulligan.observe import observing
from mulligan.pictures import side_by_side
from mulligan.rundir import RunDir
from mulligan.signals import Signal
from mulligan.systems.cyclegan import ResidualTranslator

TINY = ("--batch", "2", "--g-width", "4", "--d-width", "4", "--blocks", "1", "--size", "16")


def system(**options: Any) -> Any:
    return tiny_system("cyclegan", "image", **options)


def batch_of(n: int = 4, channels: int = 3, side: int = 16) -> dict[str, Tensor]:
    return {"x": torch.rand(n, 3, side, side) * 2 - 1, "x2": torch.rand(n, channels, side, side) * 2 - 1}


class Times(nn.Module):
    """A translator that multiplies."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return self.by * x


class Mean(nn.Module):
    """A D whose one logit is the image's mean, plus a number of its own."""

    def __init__(self, plus: float) -> None:
        super().__init__()
        self.plus = plus

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3), keepdim=True) + self.plus


def known(**options: Any) -> Any:
    """G halves, F triples."""
    s = system(mirror=False, **options)
    s.G, s.F, s.D_X, s.D_Y = Times(0.5), Times(3.0), Mean(0.25), Mean(-0.5)
    return s


def means(x: Tensor) -> Tensor:
    return x.mean((1, 2, 3))


# --- the game -----------------------------------------------------------------------------------------------


def test_terms_of_g_and_f_in_closed_form() -> None:
    s, batch = known(cycle_weight=4.0, identity_weight=0.25, adv_weight=2.0), batch_of()
    y, x = batch["x"], batch["x2"]
    expected = {
        "adv_y": 2 * (0.5 * means(x) - 0.5 - 1).square().mean(),
        "adv_x": 2 * (3 * means(y) + 0.25 - 1).square().mean(),
        "cycle_x": 4 * 0.5 * x.abs().mean(),
        "cycle_y": 4 * 0.5 * y.abs().mean(),
        "identity_y": 1 * 0.5 * y.abs().mean(),
        "identity_x": 1 * 2 * x.abs().mean(),
    }
    found = {k: float(v.detach()) for k, v in s.g_loss(batch).items()}
    assert found == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-5)


def test_terms_of_the_discriminators_in_closed_form() -> None:
    s, batch = known(), batch_of()
    y, x = batch["x"], batch["x2"]
    s.pool_x, s.pool_y = Pool(0, ()), Pool(0, ())
    found = {"X": s.d_x_loss(batch), "Y": s.d_y_loss(batch)}
    for name, real, fake, plus in (("X", x, 3 * y, 0.25), ("Y", y, 0.5 * x, -0.5)):
        expected = {
            "real": float((means(real) + plus - 1).square().mean() / 2),
            "fake": float((means(fake) + plus).square().mean() / 2),
        }
        assert {k: float(v.detach()) for k, v in found[name].items()} == pytest.approx(expected, rel=1e-5)


def test_identity_is_asked_of_what_is_in_the_target_already() -> None:
    """G of y and F of x, not G of x: a G that leaves every y alone has no such term, whatever it does to x."""

    class Leaves(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.where((image > 0).all(), image, -image)

    s = system(mirror=False)
    batch = {"x": torch.rand(2, 3, 16, 16) / 2 + 0.25, "x2": -torch.rand(2, 3, 16, 16) / 2 - 0.25}
    s.G, s.F = Leaves(), Times(1.0)
    with torch.no_grad():
        terms = s.g_loss(batch)
    assert float(terms["identity_y"]) == float(terms["identity_x"]) == 0
    assert float(terms["cycle_x"]) > 0


@pytest.mark.parametrize(
    ("options", "terms", "players"),
    [
        ({"cycle_weight": 0.0}, {"adv_x", "adv_y"}, ["G", "D_X", "D_Y"]),
        ({"adv_weight": 0.0, "identity_weight": 0.0}, {"cycle_x", "cycle_y"}, ["G"]),
        ({"identity_weight": 0.0}, {"adv_x", "adv_y", "cycle_x", "cycle_y"}, ["G", "D_X", "D_Y"]),
    ],
)
def test_what_weighs_nothing_is_not_computed(options: dict[str, float], terms: set[str], players: list[str]) -> None:
    s = system(**options)
    (stage,) = s.stages()
    assert [turn.player for turn in stage.turns] == players
    assert set(s.g_loss(batch_of())) == terms
    assert bool(s.scores(batch_of())) == (len(players) > 1)


def test_the_discriminators_take_the_fakes_of_gs_turn() -> None:
    loop = entered(bare_loop(system()))
    s: Any = loop.system
    made: dict[str, list[Tensor]] = {}
    for name in ("G", "F"):
        network = getattr(s, name)
        network.register_forward_hook(lambda _, __, out, name=name: made.setdefault(name, []).append(out.detach()))
    loop.play()
    assert torch.equal(s.pool_y.images[:2], made["G"][0])
    assert torch.equal(s.pool_x.images[:2], made["F"][0])
    assert [len(made[name]) for name in ("G", "F")] == [3, 3], "adv, cycle, identity, and no more"
    assert not s.kept_x and not s.kept_y


# --- the pool -----------------------------------------------------------------------------------------------


def numbered(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1)


def test_a_pool_returns_what_it_is_given_until_it_is_full() -> None:
    pool = Pool(5, (1, 1, 1))
    for fakes in (numbered(1, 2), numbered(3, 4, 5)):
        assert torch.equal(pool(fakes), fakes)
    assert pool.images.flatten().tolist() == [1, 2, 3, 4, 5]


def test_then_half_come_back_from_before_and_leave_their_place() -> None:
    torch.manual_seed(0)
    pool, n = Pool(50, (1, 1, 1)), 4000
    given = numbered(*range(n))
    got = torch.cat([pool(part) for part in given.split(8)]).flatten()
    old = (got != given.flatten())[50:]
    assert abs(float(old.float().mean()) - 0.5) < 4 * 0.5 / (n - 50) ** 0.5
    ages = (given.flatten() - got)[50:][old]
    assert float(ages.mean()) == pytest.approx(100, rel=0.15), "each is exchanged at one in a hundred fakes"
    held = pool.images.flatten()
    assert sorted([*got[50:].tolist(), *held.tolist()]) == list(range(n)), "none is lost and none doubled"


def test_a_pool_of_none_is_none() -> None:
    fakes = torch.randn(3, 2, 4, 4)
    assert Pool(0, (2, 4, 4))(fakes) is fakes


def test_a_pool_resumes_exactly() -> None:
    torch.manual_seed(0)
    pool, other = Pool(4, (1, 2, 2)), Pool(4, (1, 2, 2))
    for _ in range(5):
        pool(torch.randn(3, 1, 2, 2))
    other.load_state_dict(pool.state_dict())
    fakes = torch.randn(9, 1, 2, 2)
    for p in (pool, other):
        torch.manual_seed(7)
        p.returned = p(fakes)
    assert torch.equal(pool.returned, other.returned)
    assert differences(dict(pool.state_dict()), dict(other.state_dict())) == []
    assert not torch.equal(pool.returned, fakes)


def test_micro_batches_fill_it_as_a_batch_does() -> None:
    loop = entered(bare_loop(system(batch=4), runtime=FP32, micro_batches=2))
    loop.play()
    s: Any = loop.system
    assert int(s.pool_x.kept) == int(s.pool_y.kept) == 3, "full after four"
    assert not s.kept_x


# --- ways, sides, channels ----------------------------------------------------------------------------------


def test_g_makes_x_of_x2_and_f_x2_of_x() -> None:
    s, batch = known(), batch_of()
    made = s.generate(batch)
    assert list(made) == ["x", "x2"]
    assert torch.equal(made["x"], batch["x2"] * 0.5)
    assert torch.equal(made["x2"], batch["x"] * 3)
    assert torch.equal(s.translate(batch["x"], "x"), made["x2"])
    assert s.given == ("x2", "x") and s.averaged == ("G", "F")


@pytest.mark.parametrize("sides", [(8, 8), (20, 12), (64, 32)])
def test_other_sides_than_the_datas(sides: tuple[int, int]) -> None:
    s = system().eval()
    with torch.no_grad():
        made = s.translate(torch.rand(1, 3, *sides), "x2")
    assert made.shape == (1, 3, *sides)
    assert all(side % s.multiple == 0 for side in sides)


def test_the_least_side_is_the_least() -> None:
    s = system().eval()
    assert s.translate(torch.rand(1, 3, s.least, s.least), "x2").shape == (1, 3, 8, 8)
    with pytest.raises(ValueError):
        s.translate(torch.rand(1, 3, s.least - s.multiple, s.least - s.multiple), "x2")


def test_an_images_result_depends_on_no_other() -> None:
    s, x = system(), batch_of()["x2"]
    with torch.no_grad():
        both, alone = s.translate(x, "x2"), s.translate(x[:1], "x2")
    assert torch.allclose(both[:1], alone, atol=1e-6)


def test_the_papers_network() -> None:
    """11,378,179 numbers at nine blocks, the reference code's, which has biases in place of gains and biases."""
    net = ResidualTranslator((3, 3), 64, 9)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 24
    assert sum(m.weight.numel() for m in layers) + 64 + 128 + 256 + 18 * 256 + 128 + 64 + 3 == 11_378_179


def of_channels(n: int, **options: Any) -> Any:
    kind = registry.load("cyclegan")
    config = kind.Config(**{**kind.Config.tiny().model_dump(), **options})
    return kind(config, {"x": Signal("image", (3, 16, 16)), "x2": Signal("image", (n, 16, 16))})


def test_domains_of_unlike_channels() -> None:
    s, batch = of_channels(1), batch_of(channels=1)
    made = s.generate(batch)
    assert made["x"].shape == (4, 3, 16, 16) and made["x2"].shape == (4, 1, 16, 16)
    assert set(s.g_loss(batch)) == {"adv_x", "adv_y", "cycle_x", "cycle_y"}
    s.d_x_loss(batch)
    with pytest.raises(ValueError, match=r"--identity-weight 0\.5: the domains have 1 and 3 channels; leave it out"):
        of_channels(1, identity_weight=0.5)


# --- pictures -----------------------------------------------------------------------------------------------


def test_what_was_given_stands_left_of_what_was_made_of_it() -> None:
    s, batch = known(), batch_of()
    shown = side_by_side(s.pictured(batch, s.generate(batch)))
    parts = [batch["x2"], batch["x2"] * 0.5, batch["x"], batch["x"] * 3]
    assert np.array_equal(shown, torch.cat(parts, 3).detach().numpy())


def test_grey_stands_beside_colours() -> None:
    batch = batch_of(channels=1)
    for names in (("x", "x2"), ("x2", "x")):
        shown = side_by_side({name: batch[name] for name in names})
        assert shown.shape == (4, 3, 16, 32)
        at = 16 * names.index("x2")
        assert np.array_equal(shown[..., at : at + 16], batch["x2"].expand(-1, 3, -1, -1).numpy())


# --- whole commands -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mulligan import cli

    folder = tmp_path_factory.mktemp("cyclegan")
    draw_pictures(folder / "pictures", 400)
    words = ["train", "cyclegan", "--data", str(folder / "pictures"), "--pair", "dark:light", *TINY]
    assert cli.run([*words, "--rounds", "4", "--look-every", "2", "--out", str(folder / "run")]) == 0
    return folder / "run"


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def test_train_resume_sample_evaluate(run: Path, tmp_path: Path, mulligan: Command) -> None:
    assert {"D_X.auc", "D_Y.auc"} <= RunDir.open(run).read("log")[-1]["vital"].keys()
    whole = tmp_path / "whole"
    data = RunDir.open(run).config["data"]["data"]
    words = ("cyclegan", "--data", data, "--pair", "dark:light", *TINY, "--look-every", "2")
    assert mulligan("train", *words, "--rounds", "6", "--out", whole).status == 0
    assert mulligan("train", "--resume", run, "--rounds", "6").status == 0
    model, other = Model.load(run), Model.load(whole)
    assert differences(dict(model.system.state_dict()), dict(other.system.state_dict())) == []
    assert int(model.system.pool_x.kept) == 12

    assert mulligan("sample", run, "-n", "4", "-o", tmp_path / "s.npz").status == 0
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["samples"].shape == arrays["x2"].shape == (4, 16, 16, 3)
    assert mulligan("sample", run, "-n", "1", "-o", tmp_path / "s.png").status == 0
    h, w = pixels(tmp_path / "s.png").shape[:2]
    assert w == 4 * h, "x2, what was made of it, x, what was made of it"
    h, w = pixels(run / "samples/000006.png").shape[:2]
    assert 64 * 64 * 4 * 64 < h * w < 1.1 * 64 * 64 * 4 * 64
    assert mulligan("evaluate", run, "-n", "20", "--judge", "pixels").status == 0
    assert (run / "report.html").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("walk", "-o", "walk.gif"),
        ("sample", "-o", "walk.gif"),
        ("project", "picture.png"),
        ("edit", "#1", "--set", "glasses=1"),
        ("arithmetic", "1 + 2"),
        ("mix",),
    ],
)
def test_it_has_no_latent_space(run: Path, words: tuple[str, ...], mulligan: Command) -> None:
    said = mulligan(words[0], run, *words[1:]).mistake()
    assert "a system that makes images from images has no latent space: mulligan apply" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--cycle-weight", "0", "--adv-weight", "0"), "G and F need one to learn from"),
        (("--patch", "70"), "--patch 70: images of 16 px are too small for it; take 34 or image"),
        (("--size", "30"), "--size 30: this network needs a multiple of 4, 8 or more; try 28"),
    ],
)
def test_mistakes_take_one_line(run: Path, words: tuple[str, ...], says: str, mulligan: Command) -> None:
    data = RunDir.open(run).config["data"]["data"]
    start = ("train", "cyclegan", "--data", data, "--pair", "dark:light", *TINY, "--rounds", "1")
    assert says in mulligan(*start, *words).mistake()


def test_scores_are_of_each_domain() -> None:
    loop = tiny_loop("cyclegan", "image")
    batch = batch_of()
    with observing(loop.system):
        scores, other = (loop.system.scores(b) for b in (batch, {**batch, "x": -batch["x"]}))
    assert list(scores) == ["D_X", "D_Y"]
    assert torch.equal(scores["D_X"][0], other["D_X"][0]) and not torch.equal(scores["D_X"][1], other["D_X"][1])
    assert not torch.equal(scores["D_Y"][0], other["D_Y"][0])


def test_a_resumed_game_has_the_same_pool() -> None:
    loop = tiny_loop("cyclegan", "image")
    for _ in range(4):
        loop.play()
    state = everything(loop)["model"]
    assert int(state["pool_x.kept"]) == 3
    assert state["pool_x.images"].abs().sum() > 0
