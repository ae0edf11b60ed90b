"""Over the registry: what every system must do, in its tiny form, with each kind of signal it takes.

A new file in systems/ is tested here by being there.
"""

import math
import re
from pathlib import Path

import pytest
import torch

from conftest import (
    CASES,
    Command,
    clone,
    differences,
    each_system,
    everything,
    signals_of,
    tiny_loop,
    tiny_system,
    told,
)
from mulligan import catalog, checkpoint, registry
from mulligan.config import Data, Run, role_of
from mulligan.game import parameters
from mulligan.observe import observing

EXACT_RESUME = 3


def test_every_system_is_here() -> None:
    assert {name for name, _ in CASES} == set(registry.names()) >= {"dcgan", "gan", "r3gan", "sngan"}


@each_system
def test_a_learning_rate_that_nobody_sets_comes_to_a_number(name: str, kind: str) -> None:
    """So that the referee can put one back that is far from it."""
    system = tiny_system(name, kind)
    found = [option for option, field in type(system.config).model_fields.items() if role_of(field) == "lr"]
    assert all(0 < system.in_force(option) < 1 for option in found)
    assert found == (["lr"] if hasattr(system.config, "lr") else [])


@each_system
def test_each_turn_moves_its_player_and_nobody_else(name: str, kind: str) -> None:
    """A parameter of the player rests only where its gradient was always zero: a relativistic D's last bias."""
    loop = tiny_loop(name, kind)
    named = dict(loop.system.named_parameters())
    moved: dict[str, set[str]] = {turn.player: set() for turn in loop.stage.turns}
    for _ in range(3):
        for number, turn in enumerate(loop.stage.turns):
            before = {k: p.detach().clone() for k, p in named.items()}
            loop._play_turn(number, turn)
            moved[turn.player] |= {k for k, p in named.items() if not torch.equal(p, before[k])}
            assert [k for k, p in named.items() if p.grad is not None] == [], "gradients left behind"
        loop.progress.stage_round += 1
    for number, turn in enumerate(loop.stage.turns):
        mine = {k for k, p in named.items() if any(p is q for q in parameters(turn.learns))}
        memory = loop.optimizers[number].state
        had_gradients = {
            k for k in mine
            if any(v.dim() and v.any() for v in memory[named[k]].values() if isinstance(v, torch.Tensor))
        }  # fmt: skip
        assert moved[turn.player] <= mine, turn.player
        assert moved[turn.player] >= had_gradients
        assert len(moved[turn.player]) > 0.7 * len(mine)


@each_system
def test_terms_are_finite_scalars_with_names(name: str, kind: str) -> None:
    loop = tiny_loop(name, kind)
    for _ in range(5):
        loop.play()
    values = loop.values()
    assert values.keys() == {turn.player for turn in loop.stage.turns}
    for player, terms in values.items():
        assert terms, player
        for term, value in terms.items():
            assert re.fullmatch(r"[a-z][a-z0-9_]*", term), term
            assert math.isfinite(value), (player, term)
        assert all(t.shape == () and not t.requires_grad for t in loop.terms[player].values())
    assert {k: float(v) for k, v in loop.gradient_norms.items()}.keys() == values.keys()
    assert all(torch.isfinite(v) and v > 0 for v in loop.gradient_norms.values())


@each_system
def test_generate_and_scores(name: str, kind: str) -> None:
    loop = tiny_loop(name, kind)
    loop.play()
    system = loop.system
    with observing(system):
        made = system.generate({"z": system.latent(5), **told(system, 5)})
        scores = system.scores(loop.loader.samples.fetch(torch.arange(6).numpy()))
    assert list(made) == list(system.makes)
    for key, signal in system.makes.items():
        assert made[key].shape == (5, *signal.shape)
        assert made[key].dtype == torch.float32
        assert made[key].isfinite().all()
        if signal.range is not None:
            low, high = signal.range
            assert low <= made[key].min().item(), f"{key} in the data's own range"
            assert made[key].max().item() <= high, f"{key} in the data's own range"
    assert scores
    for player, (real, fake) in scores.items():
        assert real.shape == fake.shape == (6,), player
        assert real.isfinite().all()
        assert fake.isfinite().all()


@each_system
def test_latents_of_any_number_follow_the_seed(name: str, kind: str) -> None:
    system = tiny_system(name, kind).eval()
    for n in (1, 7):
        torch.manual_seed(4)
        first = system.latent(n)
        torch.manual_seed(4)
        assert torch.equal(first, system.latent(n))
        assert len(first) == n
        assert first.dim() == 2
        with torch.no_grad():
            assert len(system.generate({"z": first, **told(system, n)})["x"]) == n


@each_system
def test_save_load_same_samples(name: str, kind: str, tmp_path: Path) -> None:
    loop = tiny_loop(name, kind)
    for _ in range(3):
        loop.play()
    place = checkpoint.save(tmp_path, loop.system.state_dict(), loop.state(), {"round": 3})
    asked = {"z": loop.system.latent(6), **told(loop.system, 6)}
    with observing(loop.system):
        raw = loop.system.generate(asked)["x"]
        with loop.average.swapped():
            average = loop.system.generate(asked)["x"]
    model, state, _ = checkpoint.load(place)
    other = registry.load(name)(loop.system.config, signals_of(kind))  # other random weights
    other.to_channels_last()  # as the loop has it: another layout sums in another order
    with torch.no_grad():
        for part, expected in ((model, raw), (state["average"], average)):
            other.load_state_dict(part, strict=part is model)
            assert torch.equal(other.eval().generate(asked)["x"], expected)


@each_system
def test_resumed_in_mid_stage_it_is_bit_for_bit_the_same(name: str, kind: str, tmp_path: Path) -> None:
    whole = tiny_loop(name, kind)
    for _ in range(2 * EXACT_RESUME):
        whole.play()
    first = tiny_loop(name, kind)
    for _ in range(EXACT_RESUME):
        first.play()
    place = checkpoint.save(tmp_path, first.system.state_dict(), first.state(), {"round": EXACT_RESUME})
    torch.manual_seed(99)  # whatever was drawn in between
    model, state, _ = checkpoint.load(place)
    second = tiny_loop(name, kind, saved=(model, state))
    assert differences(everything(first), everything(second)) == []
    for _ in range(EXACT_RESUME):
        second.play()
    assert differences(everything(whole), everything(second)) == []


@each_system
def test_looking_changes_nothing(name: str, kind: str) -> None:
    looked, other = tiny_loop(name, kind), tiny_loop(name, kind)
    for _ in range(4):
        before = clone(everything(looked))
        with observing(looked.system), looked.average.swapped():
            looked.system.generate({"z": looked.system.latent(3), **told(looked.system, 3)})
            looked.system.scores(looked.loader.samples.fetch(torch.arange(6).numpy()))
        looked.values()
        assert differences(before, everything(looked)) == []
        looked.play()
        other.play()
    assert differences(everything(looked), everything(other)) == []


@each_system
def test_another_seed_is_another_game(name: str, kind: str) -> None:
    a, b = tiny_loop(name, kind), tiny_loop(name, kind)
    b.loader.seed = 4
    a.play()
    b.play()
    assert differences(everything(a)["model"], everything(b)["model"]) != []


@pytest.mark.parametrize("name", registry.names())
def test_help_lists_every_field(name: str, mulligan: Command) -> None:
    answer = mulligan("train", name, "--help")
    assert answer.status == 0
    fields = {**Run.model_fields, **Data.model_fields, **registry.load(name).Config.model_fields}
    for field, info in fields.items():
        flag = "--" + field.replace("_", "-")
        assert re.search(rf"{flag}(?![\w-])", answer.out), flag
        assert info.description, field
        plain = re.sub(r"[│\s]+", "", answer.out)
        assert re.sub(r"\s+", "", info.description)[:40] in plain, f"{flag}: its description"
    for flag in ("--from", "--out", "--resume", "--json"):
        assert re.search(rf"{flag}(?![\w-])", answer.out), flag


@pytest.mark.parametrize("name", registry.names())
def test_tiny_is_its_own_config_and_small(name: str) -> None:
    system = registry.load(name)
    assert type(system.Config.tiny()) is system.Config
    assert system.Config.tiny().batch <= 16
    assert system.Config.model_config["frozen"]
    assert system.Config.model_config["extra"] == "forbid"
    for kind in (kind for case, kind in CASES if case == name):
        assert sum(p.numel() for p in tiny_system(name, kind).parameters()) < 300_000


@pytest.mark.parametrize("name", registry.names())
def test_its_docstring_names_paper_and_link(name: str) -> None:
    entry = catalog.entry(name)
    assert re.search(r"(19|20)\d\d", entry["title"])
    assert "https://" in entry["title"]
    assert set(entry["options"]) == set(registry.load(name).Config.model_fields)
