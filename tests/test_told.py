"""r3gan and stylegan2 told what to make: what both players do with it; told nothing, they are as before."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import Command, samples_of, tiny_system
from mulligan.game import Batch
from mulligan.systems.stylegan2 import ConditionMapping

FORMS: list[tuple[str, dict[str, Any]]] = [("r3gan", {}), ("r3gan", {"network": "plain"}), ("stylegan2", {})]
each_form = pytest.mark.parametrize(("name", "options"), FORMS, ids=["r3gan", "r3gan-plain", "stylegan2"])
each_condition = pytest.mark.parametrize("key", ["y", "tags", "text"])


def told_system(name: str, key: str = "y", **options: Any) -> Any:
    return tiny_system(name, f"image+{key}", **options)


def batch_of(system: Any, n: int = 8) -> Batch:
    return samples_of(system.signals).fetch(np.arange(n))


@each_condition
@each_form
def test_told_another_thing_both_players_answer_otherwise(name: str, options: dict[str, Any], key: str) -> None:
    system = told_system(name, key, **options).eval()
    for n, p in system.D.named_parameters():
        if n.endswith("project.weight"):  # r3gan's blocks begin as the identity
            nn.init.normal_(p, 0, 0.1)
    x, c = batch_of(system)["x"], batch_of(system)[key]
    other = c.roll(1, 0)
    changed = (c != other).view(len(c), -1).any(1)
    assert changed.sum() >= 6
    z = system.latent(len(c))
    with torch.no_grad():
        logits = system.D(x, c), system.D(x, other)
        made = system.generate({"z": z, key: c})["x"], system.generate({"z": z, key: other})["x"]
    assert torch.equal(logits[0] != logits[1], changed)
    assert torch.equal((made[0] != made[1]).flatten(1).any(1), changed)


# SHA-256 of the names and shapes of weights and buffers, of each form from before it could be told anything
EARLIER = ("1489f3e0602a4a57", "49bba797befc5fa0", "e2afa9dfac1a88af")


@pytest.mark.parametrize(("form", "earlier"), list(zip(FORMS, EARLIER, strict=True)))
def test_told_nothing_they_have_the_weights_of_earlier_runs(form: tuple[str, dict[str, Any]], earlier: str) -> None:
    name, options = form
    state = tiny_system(name, "image", **options).state_dict()
    lines = "".join(f"{key} {tuple(value.shape)}\n" for key, value in sorted(state.items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == earlier
    more = told_system(name, **options).state_dict().keys() - state.keys()
    assert more and all("reader" in key or "match" in key for key in more)
    assert state.keys() <= told_system(name, **options).state_dict().keys()


def test_points_are_told_nothing(tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("train", "r3gan", "--data", "ring", "--condition", "y", "--rounds", 1, "--out", tmp_path / "run")
    assert "--condition y: r3gan can be told of images, not of points; leave it out" in answer.mistake()


# --- r3gan -------------------------------------------------------------------------------------------------


class ByClass(nn.Module):
    """D(x, y) = w_y · x + b_y."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(3, 3 * 16 * 16)), nn.Parameter(torch.tensor([-50.0, 0.0, 50.0]))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x.flatten(1) * self.w[y]).sum(1) + self.b[y]


@pytest.mark.parametrize("r2", [True, False])
@pytest.mark.parametrize("penalty", ["exact", "finite"])
def test_r3gan_pays_for_the_slope_of_the_d_that_is_told(penalty: str, r2: bool) -> None:
    """|w_y|² of the classes that the batch has, as often as it has them; those of the fakes are the batch's own."""
    system = told_system("r3gan", penalty=penalty, r2=r2, gamma=0.3)
    system.D = ByClass()
    batch = batch_of(system, 9)
    slopes = system.D.w[batch["y"]].square().sum(1).mean().item()
    torch.manual_seed(0)
    found = [system.d_loss(batch)["r1_r2" if r2 else "r1"].item() for _ in range(1 if penalty == "exact" else 100)]
    expected = (1 if r2 else 0.5) * 0.3 * slopes
    assert np.mean(found) == pytest.approx(expected, rel=1e-5 if penalty == "exact" else 0.15)


def test_the_two_of_a_pair_are_told_the_same() -> None:
    """A D that looks at nothing but the condition cannot tell them apart, and neither player gains by it."""
    system = told_system("r3gan")
    system.D = ByClass()
    nn.init.zeros_(system.D.w)
    batch = batch_of(system)
    assert system.d_loss(batch)["adv"].item() == pytest.approx(math.log(2))
    assert system.g_loss(batch)["adv"].item() == pytest.approx(math.log(2))


def test_without_pairs_g_is_judged_with_its_condition() -> None:
    system = told_system("r3gan", loss="minimax", r2=False)
    system.D = ByClass()
    nn.init.zeros_(system.D.w)
    batch = {**batch_of(system), "y": torch.full((8,), 2)}
    assert system.g_loss(batch)["adv"].item() == pytest.approx(math.log1p(math.exp(-50)), abs=1e-6)
    terms = system.d_loss({**batch, "y": torch.zeros(8, dtype=torch.long)})
    assert terms["real"].item() == pytest.approx(50)
    assert terms["fake"].item() == pytest.approx(0, abs=1e-6)


# --- stylegan2 ---------------------------------------------------------------------------------------------


class OnlyTheCondition(nn.Module):
    """(z, y) -> w: eight times y, whatever z is."""

    w_mean = torch.zeros(8)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return y[:, None].float().expand(-1, 8)


def test_styles_mix_between_latents_of_one_condition() -> None:
    system = told_system("stylegan2", mixing=1.0)
    y = torch.arange(30) % 3
    w = system.mixed(30, y)
    assert (w[:, 1:] != w[:, :-1]).any(2).sum(1).eq(1).all(), "each sample has two latents"
    system.G.mapping = OnlyTheCondition()
    assert torch.equal(system.mixed(30, y), y[:, None, None].float().expand(30, 6, 8))


def test_w_is_told() -> None:
    system = told_system("stylegan2").eval()
    nn.init.normal_(system.G.mapping.w_mean)
    z, y = system.latent(6), torch.arange(6) % 3
    w, mean = system.w(z, y), system.G.mapping.w_mean
    assert torch.equal(system.synthesize(w), system.generate({"z": z, "y": y})["x"])
    torch.testing.assert_close(system.w(z, y, psi=0.5), (w + mean) / 2)
    assert not torch.equal(system.w(z, (y + 1) % 3), w)


def test_the_mapping_brings_what_it_reads_to_the_length_of_z() -> None:
    """However large an embedding has grown, z counts as much."""
    system = told_system("stylegan2").eval()
    z, y = system.latent(6), torch.arange(6) % 3
    before = system.w(z, y)
    with torch.no_grad():
        system.G.mapping.reader.weight *= 7
    torch.testing.assert_close(system.w(z, y), before)


def test_d_projects_its_features_on_the_mapped_condition() -> None:
    """D(x, c) = <φ(x), M(c)> / sqrt(d)."""
    system = told_system("stylegan2").eval()
    batch = batch_of(system)
    parts: dict[str, Tensor] = {}
    system.D.last.register_forward_hook(lambda _m, _x, y: parts.update(features=y))
    logits = system.D(batch["x"], batch["y"])
    mapped = system.D.match.reader
    assert isinstance(mapped, ConditionMapping)
    assert parts["features"].shape == mapped(batch["y"]).shape == (8, 16)
    torch.testing.assert_close(logits, (parts["features"] * mapped(batch["y"])).sum(1) / 4)


def test_penalties_are_told_and_reach_what_reads() -> None:
    system = told_system("stylegan2")
    batch = batch_of(system)
    for loss, player in ((system.path_loss, system.G.mapping), (system.r1_loss, system.D.match.reader)):
        (term,) = loss(batch).values()
        (gradient,) = torch.autograd.grad(term, player.reader.weight)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_path_lengths_are_told_what_their_half_of_the_batch_is() -> None:
    system = told_system("stylegan2", mixing=0.0)
    seen: list[Tensor] = []
    mapping = system.G.mapping
    mapping.register_forward_pre_hook(lambda _m, args: seen.append(args[1]))
    system.path_loss({"x": torch.zeros(8, 3, 16, 16), "y": torch.tensor([0, 1, 2, 1, 0, 0, 0, 0])})
    assert seen[0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1], "two latents for each of four"


# --- whole commands ----------------------------------------------------------------------------------------

SMALL = {"r3gan": ("--width", 16, "--z-dim", 4), "stylegan2": ("--width", 8, "--z-dim", 4)}


@pytest.mark.parametrize("name", SMALL)
def test_train_resume_and_sample_what_is_asked_for(
    name: str, pictures: Path, tmp_path: Path, mulligan: Command
) -> None:
    run, out = tmp_path / "run", tmp_path / "dark.npz"
    told = ("train", name, "--data", pictures, "--condition", "y", "--batch", 4, *SMALL[name])
    assert mulligan(*told, "--rounds", 2, "--out", run).status == 0
    assert mulligan("train", "--resume", run, "--rounds", 3).status == 0
    assert (run / "samples" / "000003.png").exists()
    assert mulligan("sample", run, "-n", 5, "--label", "dark", "-o", out).status == 0
    assert np.load(out)["samples"].shape == (5, 16, 16, 3)
    assert "there is no such class; did you mean dark?" in mulligan("sample", run, "--label", "darc").mistake()
    assert "told y" in mulligan("mix", run, "-o", tmp_path / "mix.png").mistake()
