"""CoGAN: what its players share, its two games in closed form, and whole commands with their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import softplus

from conftest import Command, draw_pictures, tiny_loop, tiny_system, tree
from mulligan.game import parameters
from mulligan.observe import observing
from mulligan.rundir import RunDir

TINY = ("--batch", "8", "--z-dim", "4", "--g-width", "4", "--d-width", "4", "--d-hidden", "4")
LAYERS = {"G": 5, "D": 4}  # at 16 px: linear, two that enlarge, two convolutions; two convolutions, two linear


def system(**options: Any) -> Any:
    return tiny_system("cogan", "image", **options)


def batch_of(n: int = 6) -> dict[str, torch.Tensor]:
    return {key: torch.rand(n, 3, 16, 16) * 2 - 1 for key in ("x", "x2")}


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --- sharing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("player", LAYERS)
def test_each_layer_that_is_shared_is_there_once(player: str) -> None:
    """From none, twice the parameters of one network, to all, once."""
    sizes = [count(getattr(system(**{f"{player.lower()}_shared": n}), player)) for n in range(LAYERS[player] + 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert sizes[0] == 2 * sizes[-1]


def test_a_player_learns_each_parameter_once() -> None:
    s = system()
    for network in (s.G, s.D):
        found = parameters((network,))
        assert len({id(p) for p in found}) == len(found)
        of_domains = [{id(p) for p in [*network.shared.parameters(), *own.parameters()]} for own in network.own]
        assert of_domains[0] & of_domains[1] == {id(p) for p in network.shared.parameters()}
        assert of_domains[0] | of_domains[1] == {id(p) for p in found}


def test_generators_that_share_all_make_the_same_image_twice() -> None:
    s = system(g_shared=LAYERS["G"]).eval()
    made = s.generate({"z": s.latent(3)})
    assert torch.equal(made["x"], made["x2"])


def test_generators_that_share_nothing_still_start_from_one_z() -> None:
    s = system(g_shared=0).eval()
    z = s.latent(3)
    made, other = s.generate({"z": z}), s.generate({"z": torch.cat([z[:1], s.latent(2)])})
    assert not torch.allclose(made["x"], made["x2"])
    for key in made:
        assert torch.allclose(made[key][0], other[key][0], atol=1e-6)
        assert not torch.allclose(made[key][1], other[key][1])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"g_shared": 6}, "--g-shared 6: there are 5 layers"), ({"d_shared": 5}, "--d-shared 5: there are 4 layers")],
)
def test_more_than_there_is_cannot_be_shared(options: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        system(**options)


# --- the games ----------------------------------------------------------------------------------------------


def test_the_losses_are_those_of_two_gans_added() -> None:
    s = system().eval()
    batch = batch_of()
    torch.manual_seed(1)
    z = s.latent(6)
    fakes = s.G(z)
    for own in ("g", "d"):
        torch.manual_seed(1)
        terms = getattr(s, f"{own}_loss")(batch)
        s.kept.left.clear()
        for i, key in enumerate(("x", "x2")):
            real, fake = s.D(batch[key], i), s.D(fakes[:, i], i)
            expected = (
                {f"adv_{key}": softplus(-fake).mean()}
                if own == "g"
                else {f"real_{key}": softplus(-real).mean(), f"fake_{key}": softplus(fake).mean()}
            )
            for name, value in expected.items():
                assert terms.pop(name).item() == pytest.approx(value.item(), rel=1e-5)
        assert terms == {}


def test_a_domain_alone_moves_what_is_shared_and_its_own() -> None:
    s = system()
    s.g_loss(batch_of())["adv_x2"].backward()
    assert all(p.grad is None or not p.grad.any() for p in s.G.own[0].parameters())
    for part in (s.G.shared, s.G.own[1]):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())


def test_scores_are_of_each_domain() -> None:
    loop = tiny_loop("cogan", "image")
    batch = batch_of()
    with observing(loop.system):
        torch.manual_seed(2)
        scores = loop.system.scores(batch)
        torch.manual_seed(2)
        other = loop.system.scores({**batch, "x2": -batch["x2"]})
    assert list(scores) == ["D", "D2"]
    assert torch.equal(scores["D"][0], other["D"][0])
    assert not torch.equal(scores["D2"][0], other["D2"][0])


# --- whole commands -----------------------------------------------------------------------------------------


def test_train_resume_and_what_is_made_of_it(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    words = ("cogan", "--data", pictures, "--task", "dilation", "--look-every", "2", *TINY)
    assert mulligan("train", *words, "--rounds", "6", "--out", whole).status == 0
    assert mulligan("train", *words, "--rounds", "4", "--out", halted).status == 0
    assert mulligan("train", "--resume", halted, "--rounds", "6").status == 0
    assert (
        tree(whole / "checkpoints/000006")["model.safetensors"]
        == tree(halted / "checkpoints/000006")["model.safetensors"]
    )
    assert "began with dilation" in mulligan("train", "--resume", halted, "--task", "negative").mistake()

    stored = RunDir.open(whole).config
    assert (stored["data"]["task"], stored["data"]["pair"]) == ("dilation", None)
    assert stored["signals"]["x2"] == stored["signals"]["x"]
    assert {"D.auc", "D2.auc"} <= RunDir.open(whole).read("log")[-1]["vital"].keys()
    assert (whole / "report.html").exists()

    assert mulligan("sample", whole, "-n", "6", "-o", tmp_path / "pairs.npz").status == 0
    with np.load(tmp_path / "pairs.npz") as arrays:
        x, x2 = arrays["samples"], arrays["x2"]
    assert x.shape == x2.shape == (6, 16, 16, 3)
    assert mulligan("sample", whole, "-n", "6", "-o", tmp_path / "pairs").status == 0
    for i in range(6):
        pair = pixels(tmp_path / f"pairs/{i:05d}.png")
        assert np.array_equal(pair, np.concatenate([x[i], x2[i]], 1)), "side by side"
    assert mulligan("sample", whole, "-n", "1", "-o", tmp_path / "pair.png").status == 0
    assert (
        mulligan("walk", whole, "--stops", "2", "--steps", "2", "--side", "1", "-o", tmp_path / "walk.gif").status == 0
    )
    for file in (tmp_path / "pair.png", tmp_path / "walk.gif"):
        h, w = pixels(file).shape[:2]
        assert w == 2 * h
    h, w = pixels(whole / "samples/000006.png").shape[:2]
    tiles = 64 * (64 * 2 * 64)  # 64 samples, two images of 16 px each, enlarged to 64
    assert tiles < h * w < 1.1 * tiles


def test_two_folders_of_the_users(tmp_path: Path, mulligan: Command) -> None:
    run, pictures = tmp_path / "run", tmp_path / "pictures"
    draw_pictures(pictures, 400)
    words = ("--pair", "dark:light", "--rounds", "3", "--out", run, *TINY)
    assert mulligan("train", "cogan", "--data", pictures, *words).status == 0
    assert RunDir.open(run).config["data"]["pair"] == "dark:light"
    assert mulligan("train", "--resume", run, "--rounds", "5").status == 0
    assert mulligan("evaluate", run, "-n", "20", "--judge", "pixels").status == 0


def test_without_a_second_domain_it_says_how_to_get_one(mulligan: Command) -> None:
    said = mulligan("train", "cogan", "--data", "mnist").mistake()
    assert "cogan needs x2 (image), but mnist supplies only x" in said
    assert "add --pair A:B, or --task edges" in said
