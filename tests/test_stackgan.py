"""Two stages: the second draws what the first sketched, which no longer moves, and a run is taken up in either."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus

import conftest
from conftest import Command, clone, differences, everything, newest, samples_of, signals_of, tiny_system, told
from mulligan import checkpoint, losses
from mulligan.data import characters
from mulligan.loop import Loop, Saved
from mulligan.model import Model
from mulligan.observe import observing
from mulligan.signals import Signal
from mulligan.systems.stackgan import Config, Refiner, StackGAN, enlarged
from mulligan.train import resume, train

STAGES = ["stage I, 8 px", "stage II, 16 px"]
SMALL: dict[str, Any] = {"batch": 8, "z_dim": 4, "code": 4, "width": 4, "refiner_width": 4, "blocks": 1}


def system(**options: Any) -> Any:
    return tiny_system("stackgan", "image+text", **options)


def played(*rounds: int, saved: Saved | None = None, ema: int = 64, **options: Any) -> Loop:
    return conftest.played(system(**options), *rounds, saved=saved, ema=ema)


def refining(**options: Any) -> Any:
    """A system in stage II."""
    found = system(**options)
    assert [stage.name for stage in found.stages()] == STAGES
    return found


def asked(found: Any, n: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return {"z": found.latent(n), **told(found, n)}


def state(*networks: nn.Module) -> list[dict[str, Tensor]]:
    """Parameters and buffers as they are now."""
    return [clone(dict(network.state_dict())) for network in networks]


# --- the stages --------------------------------------------------------------------------------------------


def test_each_stage_has_its_share_and_its_own_players() -> None:
    found = system(first_share=0.25)
    first, second = found.stages()
    assert [first.name, second.name] == STAGES
    assert (first.share, second.share) == (0.25, 0.75)
    assert [turn.learns for turn in first.turns] == [(found.D1,), (found.G1,)]
    assert [turn.learns for turn in second.turns] == [(found.D2,), (found.G2,)]
    assert [turn.player for turn in first.turns] == [turn.player for turn in second.turns] == ["D", "G"]


@torch.no_grad()
def test_the_first_plays_with_half_the_side_and_the_second_with_all_of_it() -> None:
    found = system()
    rows = samples_of(found.signals).fetch(torch.arange(6).numpy())
    assert torch.equal(found.real(rows)[0], avg_pool2d(rows["x"], 2))
    assert found.fake(rows)[0].shape == (6, 3, 8, 8)
    list(found.stages())
    assert torch.equal(found.real(rows)[0], rows["x"])
    assert found.fake(rows)[0].shape == (6, 3, 16, 16)
    for shown in (found.real(rows), found.fake(rows)):
        assert torch.equal(shown[1], rows["text"]), "D is told the sentence"


@torch.no_grad()
def test_samples_always_have_the_full_side() -> None:
    """Of stage I bilinear, and of stage II what G2 makes of the same sketch."""
    found = system().eval()
    batch = asked(found)
    z, first, second = torch.split(batch["z"], [8, 8, 8], 1)
    sketch, _ = found.G1(z, first, batch["text"])
    coarse = found.generate(batch)["x"]
    assert torch.equal(coarse, interpolate(sketch, size=16, mode="bilinear", align_corners=False))
    torch.testing.assert_close(enlarged(torch.full((1, 1, 4, 4), 0.3)), torch.full((1, 1, 8, 8), 0.3))
    list(found.stages())
    fine = found.G2(sketch, second, batch["text"])[0]
    assert torch.equal(found.generate(batch)["x"], fine)
    assert not torch.equal(fine, coarse)


@torch.no_grad()
def test_noise_and_both_codes_count_in_stage_ii() -> None:
    found = refining().eval()
    batch = asked(found)
    z, first, second = torch.split(batch["z"], [8, 8, 8], 1)
    x = found.generate(batch)["x"]
    for changed in ((z + 1, first, second), (z, first + 1, second), (z, first, second + 1)):
        assert not torch.equal(found.generate({**batch, "z": torch.cat(changed, 1)})["x"], x)


def test_in_stage_ii_g1_and_d1_stand_still_in_every_bit() -> None:
    """BatchNorm's statistics too, and after a look, which puts all networks into training mode again."""
    loop = played(3, 0)
    G1, D1, G2, D2 = (getattr(loop.system, name) for name in ("G1", "D1", "G2", "D2"))
    assert any("running_mean" in name for name, _ in G1.named_buffers())
    before, others = state(G1, D1), state(G2, D2)
    for _ in range(3):
        loop.play()
        with observing(loop.system), loop.average.swapped():
            loop.system.generate(asked(loop.system))
        assert not G1.training
        assert G2.training
    assert differences(before, state(G1, D1)) == []
    for name, network, was in (("G2", G2, others[0]), ("D2", D2, others[1])):
        still = [k for k, p in network.named_parameters() if torch.equal(p, was[k])]
        assert still == [], name
    average = {k: v for k, v in loop.average.shadow.items() if k.startswith("G1.")}
    assert differences(average, {f"G1.{k}": v for k, v in before[0].items()}) == [], "what is shown is what G2 is given"


def test_in_stage_i_g2_and_d2_stand_still() -> None:
    loop = played(0)
    before = state(loop.system.G2, loop.system.D2)
    for _ in range(3):
        loop.play()
    assert differences(before, state(loop.system.G2, loop.system.D2)) == []
    assert loop.system.G1.training


def test_stage_ii_sees_g1s_moving_average() -> None:
    end = played(4)
    average = {k.removeprefix("G1."): v for k, v in end.average.shadow.items() if k.startswith("G1.")}
    assert not torch.equal(average["body.rest.0.weight"], end.system.G1.body.rest[0].weight)
    assert differences(average, state(played(4, 0).system.G1)[0]) == []


def test_the_average_of_g2_forgets_its_random_weights_as_g1s_did() -> None:
    """However long stage I was: the half-life is a part of what G2 has seen."""
    loop = played(40, 4)
    assert loop.progress.began == {"G1": 0, "G2": 40 * 8}
    live, shadow = loop.system.G2.first[0].weight.detach(), loop.average.shadow["G2.first.0.weight"]
    before = live.clone()
    loop.play()
    assert (live - shadow).norm() < 0.1 * (live - before).norm(), "behind by a part of one step"


def test_without_an_average_stage_ii_sees_g1_as_it_is() -> None:
    assert differences(state(played(4, ema=0).system.G1), state(played(4, 0, ema=0).system.G1)) == []


# --- the losses --------------------------------------------------------------------------------------------


def test_terms_by_hand() -> None:
    found = system(kl_weight=0.5)
    rows = samples_of(found.signals).fetch(torch.arange(8).numpy())
    torch.manual_seed(1)
    terms = found.g_loss(rows)
    torch.manual_seed(1)
    z, noise, _ = torch.split(found.latent(8), [8, 8, 8], 1)
    x, (mu, log_var) = found.G1(z, noise, rows["text"])
    real = found.D1(avg_pool2d(rows["x"], 2), rows["text"])
    torch.testing.assert_close(terms["adv"], softplus(real - found.D1(x, rows["text"])).mean())
    torch.testing.assert_close(terms["kl"], 0.5 * losses.kl_standard_normal(mu, log_var))


def test_d_s_terms_by_hand() -> None:
    """A D that is linear in the image and says of a sentence its first word's number."""
    found = system(gamma=0.5)
    rows = samples_of(found.signals).fetch(torch.arange(8).numpy())
    w = torch.randn(3, 8, 8)

    def D(x: Tensor, c: Tensor) -> Tensor:
        return (x * w).sum((1, 2, 3)).repeat(len(c) // len(x)) + c[:, 0]

    found.D1.forward = D
    torch.manual_seed(1)
    terms = found.d_loss(rows)
    torch.manual_seed(1)
    x, c = avg_pool2d(rows["x"], 2), rows["text"]
    fake, other = found.fake(rows)[0], c.roll(1, 0)
    torch.testing.assert_close(terms["adv"], softplus(D(fake, c) - D(x, c)).mean())
    differs = (c != other).any(1)
    torch.testing.assert_close(terms["mismatch"], softplus(D(x, other) - D(x, c))[differs].mean())
    torch.testing.assert_close(terms["r1_r2"], 0.5 * w.square().sum())


def test_without_conditioning_augmentation_a_code_is_fixed() -> None:
    found = system(augment_code=False)
    assert found.z_dim == 8, "no ε among the latents"
    rows = samples_of(found.signals).fetch(torch.arange(4).numpy())
    assert found.g_loss(rows).keys() == {"adv"}
    list(found.stages())
    assert found.g_loss(rows).keys() == {"adv"}
    assert found.eval().generate(asked(found))["x"].shape == (5, 3, 16, 16)


def test_augmented_are_both_games() -> None:
    loop = played(2, 1, augment="adaptive")
    for D in (loop.system.D1, loop.system.D2):
        assert len(D._forward_pre_hooks) == 1
    assert "augment.p" in loop.system.vital()


# --- the networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "smallest"), [(16, 4), (28, 7), (32, 4), (36, 9), (64, 8)])
def test_the_refiner_looks_at_a_quarter_of_the_side_where_it_can(size: int, smallest: int) -> None:
    text = signals_of("image")["text"]
    G2 = Refiner((3, size // 2, size // 2), text, 8, 4, 1, augment=True)
    x = torch.zeros(2, 3, size // 2, size // 2)
    h = G2.first(x)
    for halve in G2.encode:
        h = halve(h)
    assert h.shape[2:] == (smallest, smallest)
    made, _ = G2(x, torch.zeros(2, 8), torch.ones(2, 6, dtype=torch.int64))
    assert made.shape == (2, 3, size, size)
    whole = StackGAN(Config.tiny(), {"x": Signal("image", (3, size, size)), "text": text})
    assert whole.generate(asked(whole, 2))["x"].shape == (2, 3, size, size)


def test_a_side_that_cannot_be_reached_is_told_by_its_own_name() -> None:
    signals = {"x": Signal("image", (3, 50, 50)), "y": Signal("label", (), (0, 2))}
    with pytest.raises(ValueError, match="--size 50: this network needs a multiple of 4, 16 or more; try 48 or 52"):
        StackGAN(Config.tiny(), signals)


# --- taking a run up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [0, 1], ids=STAGES)
def test_resumed_in_either_stage_it_is_bit_for_bit_the_same(stage: int, tmp_path: Path) -> None:
    first, rest = [4] * stage + [2], [2] + [3] * (1 - stage)
    whole = played(*first[:-1], first[-1] + rest[0], *rest[1:])
    part = played(*first)
    assert part.stage.name == STAGES[stage]
    place = checkpoint.save(tmp_path, part.system.state_dict(), part.state(), {"round": 1})
    model, saved, _ = checkpoint.load(place)
    torch.manual_seed(99)
    taken_up = played(*[0] * stage, *rest, saved=(model, saved))
    assert differences(everything(whole), everything(taken_up)) == []


@pytest.mark.parametrize(
    ("look_every", "kept"), [(4, "000004"), (8, "000008"), (100, "000006")], ids=["in I", "in II", "between the two"]
)
def test_a_killed_run_goes_on_bit_for_bit(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look_every: int, kept: str
) -> None:
    """Twelve rounds, six a stage; every checkpoint stays."""
    monkeypatch.setattr(checkpoint, "prune", lambda *_: None)
    whole, run = tmp_path / "whole", tmp_path / "run"
    options: dict[str, Any] = {
        **SMALL,
        "first_share": 0.5,
        "quiet": True,
        "precision": "fp32",
        "look_every": look_every,
    }
    train("stackgan", str(pictures), out=whole, rounds=12, **options)
    shutil.copytree(whole, run)
    for place in (run / "checkpoints").iterdir():
        if place.name > kept:
            shutil.rmtree(place)
    assert (run / "checkpoints" / kept).is_dir()
    resume(run, quiet=True)
    assert differences(newest(whole), newest(run)) == []


# --- commands ----------------------------------------------------------------------------------------------


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 characters with a sentence each, instead of thousands."""
    monkeypatch.setattr(characters, "ROWS", {"train": (0, 24), "held_out": (24, 30), "test": (30, 36)})
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.getbasetemp() / "captions"))


@pytest.mark.usefixtures("few")
def test_trained_on_sentences_it_is_told_one(tmp_path: Path, mulligan: Command) -> None:
    run, words = tmp_path / "run", [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items()]
    trained = mulligan("train", "stackgan", "--data", "captions", "--size", 16, "--rounds", 4, "--out", run, *words)
    assert trained.status == 0, trained
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in log][-1] == STAGES[1]
    assert log[-1]["terms"]["G"].keys() == {"adv", "kl"}
    assert log[-1]["terms"]["D"].keys() == {"adv", "mismatch", "r1_r2"}
    for n, text in enumerate(("a girl with short red hair", "a person with blue eyes and glasses")):
        done = mulligan("sample", run, "-n", 4, "--text", text, "-o", tmp_path / f"{n}.png")
        assert done.status == 0, done
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
    again = mulligan("sample", run, "-n", 4, "--text", "a girl with short red hair", "-o", tmp_path / "again.png")
    assert again.status == 0
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert "none of these words" in mulligan("sample", run, "--text", "xyzzy", "-o", tmp_path / "no.png").mistake()
    assert "--tags" in mulligan("sample", run, "--tags", "red hair", "-o", tmp_path / "no.png").mistake()
    assert not (tmp_path / "no.png").exists()


def test_a_model_of_stage_i_makes_the_full_side(pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train("stackgan", str(pictures), out=run, rounds=4, look_every=100, quiet=True, **SMALL)
    whole = Model.load(run)
    assert whole.system.refining  # type: ignore[attr-defined]
    shutil.rmtree(run / "checkpoints" / "000004")
    early = Model.load(run)
    assert early.round == 1
    assert not early.system.refining  # type: ignore[attr-defined]
    assert whole.generate(3)["x"].shape == early.generate(3)["x"].shape == (3, 3, 16, 16)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--first-share", 1), "--first-share"),
        (("--first-share", 0), "--first-share"),
        (("--kl-weight", -1), "--kl-weight"),
        (("--blocks", -1), "--blocks"),
        (("--condition", "text"), "it needs text"),
        (("--size", 50), "--size 50"),
        (("--freeze-d", "--from", "digits"), "--freeze-d"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[object, ...], answer: str, pictures: Path, tmp_path: Path, mulligan: Command
) -> None:
    out = tmp_path / "run"
    said = mulligan("train", "stackgan", "--data", pictures, "--rounds", 1, "--out", out, *words).mistake()
    assert answer in said
    assert not out.exists()


def test_without_a_condition_it_cannot_play(tmp_path: Path, mulligan: Command) -> None:
    (tmp_path / "plain").mkdir()
    conftest.draw_pictures(tmp_path / "plain", n=12)
    for file in (tmp_path / "plain").glob("*/*.png"):
        file.rename(tmp_path / "plain" / file.name)
    for folder in ("dark", "light"):
        (tmp_path / "plain" / folder).rmdir()
    said = mulligan("train", "stackgan", "--data", tmp_path / "plain", "--rounds", 1, "--out", tmp_path / "r").mistake()
    assert "told what to make: it needs text or tags or y" in said
