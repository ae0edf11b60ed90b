"""Before the first round: what a batch costs in counted bytes, what is done about it, and that it leaves no trace."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import FP32, TINY_GAN, Command, differences, each_system, newest, samples_of, signals_of
from mulligan import probe, registry
from mulligan.config import Run
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.plan import Plan, assemble
from mulligan.probe import FREE, KEPT, LEAST, SPARE, Cost, cost, free_memory, probed
from mulligan.train import prepare, train

# D learns alone: x -> 5 -> 1 numbers. Each Linear keeps its input for the way back, and their mean keeps nothing.
SYSTEM = '''"""Linear: a system whose bytes can be counted, 2030, https://example.org"""

import torch
from torch import nn

from mulligan.config import Config as BaseConfig
from mulligan.game import Stage, Turn, Typical
from mulligan.signals import Signal


class Config(BaseConfig):
    z_dim: int = 1
    second: bool = False


class Linear(Typical):
    Config = Config
    needs = {"x": (Signal("points", (None,), None),)}

    def __init__(self, config, signals):
        super().__init__(config, signals)
        d = signals["x"].shape[0]
        self.G = nn.Linear(1, d)
        self.D = nn.Sequential(nn.Linear(d, 5), nn.Linear(5, 1))

    def stages(self):
        turn = Turn("D", (self.D,), self.d_loss)
        yield Stage("first", (turn,))
        if self.config.second:
            yield Stage("second", (Turn("G", (self.G,), self.g_loss), turn))
            yield Stage("third", (turn,))

    def d_loss(self, batch):
        return {"mean": self.D(batch["x"]).mean()}

    def g_loss(self, batch):
        return {"mean": torch.cat([self.D(self.G(self.latent(len(batch["x"])))) for _ in range(9)]).mean()}
'''
WEIGHTS = (2 * 5 + 5) + (5 + 1) + (2 + 2)


@pytest.fixture
def linear(tmp_path: Path) -> str:
    (tmp_path / "linear.py").write_text(SYSTEM)
    return str(tmp_path / "linear.py")


def plan_of(system: str, **options: Any) -> Plan:
    return prepare(system, "ring", **{"rounds": 4, "device": "cpu", "precision": "fp32", "batch": 64, **options})


# --- what is measured ---------------------------------------------------------------------------------------


def test_a_linear_layer_keeps_its_input(linear: str) -> None:
    found = cost(plan_of(linear))
    assert found.sample == 4 * (2 + 5)
    assert found.fixed == KEPT * 4 * WEIGHTS
    assert found.memory(10) == KEPT * 4 * WEIGHTS + SPARE * 10 * 4 * (2 + 5)


def test_it_grows_along_a_line(linear: str) -> None:
    """What more samples save is what the two sizes that were played say."""
    plan = plan_of(linear)
    found = cost(plan)
    for n in (8, 32):
        (loop,) = probe._stages(plan, n)
        assert probe._saved_by(loop, 0) == n * found.sample


def test_the_hungriest_of_turns_and_stages_counts(linear: str) -> None:
    found = cost(plan_of(linear, second=True))
    # G's turn keeps nine latents of one number; of D, which learns nothing in it, only weights
    assert found.sample == 9 * 4 > 4 * (2 + 5)
    assert found.fixed == KEPT * 4 * WEIGHTS


def test_seconds_are_of_a_round_and_no_less_than_nothing(linear: str) -> None:
    found = cost(plan_of(linear))
    assert min(found.seconds) >= 0
    assert found.round(64) == pytest.approx(found.seconds[0] + 64 * found.seconds[1])
    assert 0 < found.round(64) < 1


def test_each_of_many_ranks_measures_by_itself(linear: str) -> None:
    """Samples that are played need not divide among them."""
    plan = plan_of(linear)
    many = replace(plan, loop=assemble(plan.config, plan.source, plan.run, replace(plan.runtime, rank=3, world=4)))
    assert cost(many).sample == cost(plan).sample


@each_system
def test_every_system_can_be_probed(name: str, kind: str) -> None:
    signals = signals_of(kind)
    rows = samples_of(signals)
    split = ArraySplit({k: v.numpy() for k, v in rows.tensors.items()}, np.arange(len(rows)))
    card = DataCard("", "", "", "")
    source = Source(name="", signals=signals, train=split, held_out=split, test=split, fingerprint="", card=card)
    tiny = registry.load(name).Config.tiny().model_dump()
    told = {"condition": kind.split("+")[1]} if "+" in kind else {}
    run = Run(rounds=1)
    config = {
        "system": name, "config": {**tiny, **told}, "run": run.model_dump(),
        "signals": {k: signal.to_json() for k, signal in signals.items()},
    }  # fmt: skip
    found = cost(Plan(config, source, run, assemble(config, source, run, FP32)))
    assert found.sample > 0
    assert found.fixed > 0
    assert 0 < found.round(8) < 60


# --- what is done about it ----------------------------------------------------------------------------------


def with_memory(patch: pytest.MonkeyPatch, free: float | None) -> None:
    patch.setattr(probe, "free_memory", lambda device: free)


@pytest.mark.parametrize(("shard", "parts"), [(64, 1), (32, 2), (16, 4), (4, 16)])
def test_a_batch_is_played_in_as_many_parts_as_fit(
    linear: str, monkeypatch: pytest.MonkeyPatch, shard: int, parts: int
) -> None:
    plan = plan_of(linear)
    with_memory(monkeypatch, cost(plan).memory(shard) / FREE + 1e-3)
    found, said = probed(plan)
    assert found.run.micro_batches == found.loop.micro_batches == found.config["run"]["micro_batches"] == parts
    assert [f"--micro-batches {parts}" in line for line in said] == ([True, False] if parts > 1 else [False])
    with_memory(monkeypatch, cost(plan).memory(shard) / FREE - 1e-3)
    if shard > LEAST:
        assert probed(plan)[0].run.micro_batches == 2 * parts


def test_more_parts_than_needed_are_the_user_s_choice(linear: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for free in (None, 1e12):
        with_memory(monkeypatch, free)
        plan, said = probed(plan_of(linear, micro_batches=4))
        assert plan.run.micro_batches == 4
        assert len(said) == 1


def test_a_run_with_little_memory_is_played_in_parts(
    tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cost(prepare("gan", "ring", rounds=2, g_width=8, d_width=8, batch=8))
    with_memory(monkeypatch, (found.memory(4) + 1) / FREE)
    run = tmp_path / "run"
    answer = mulligan("train", "gan", "--data", "ring", "--rounds", 2, *TINY_GAN, "--out", run)
    assert answer.status == 0
    assert "played in 2 parts of 4 (--micro-batches 2)" in answer.err
    assert json.loads((run / "config.json").read_text())["run"]["micro_batches"] == 2
    monkeypatch.undo()
    assert mulligan("train", "--resume", run, "--rounds", 3).status == 0, "also where there is more of it by then"


def test_next_to_no_memory_is_refused_in_one_line(
    tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_memory(monkeypatch, 1.0)
    run = tmp_path / "run"
    said = mulligan("train", "gan", "--data", "ring", "--rounds", 2, *TINY_GAN, "--out", run).mistake()
    assert "4 samples at a time need" in said
    assert "lower --size or a width" in said
    assert not run.exists()


def test_a_budget_of_less_than_two_rounds_is_refused(
    tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "cost", lambda plan: Cost(0, 0, (37.0, 1.0)))  # 45 s for a batch of 8
    run = tmp_path / "run"
    words = ("train", "gan", "--data", "ring", *TINY_GAN, "--out", run)
    said = mulligan(*words, "--minutes", 1).mistake()
    assert "--minutes 1: one round takes about 45 s here" in said
    assert "try --minutes 75" in said
    assert not run.exists()
    answer = mulligan(*words, "--rounds", 1)
    assert answer.status == 0, "rounds are what they are"
    assert "about 45.0 s a round" in answer.err


def test_quick_rounds_in_a_short_budget_are_no_mistake(linear: str) -> None:
    _, said = probed(plan_of(linear, rounds=None, minutes=0.001))
    assert "Expected: about" in said[-1]


# --- it leaves no trace -------------------------------------------------------------------------------------

RUNS: dict[str, dict[str, Any]] = {
    "gan": {"data": "ring", "batch": 8, "g_width": 8, "d_width": 8},
    "dcgan": {"width": 4, "z_dim": 4, "batch": 4},  # BatchNorm
    "sngan": {"size": 16, "g_width": 4, "d_width": 4, "batch": 4},  # spectral normalisation
    "progan": {"size": 16, "batch": 4, "width": 4, "z_dim": 4},  # stages
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_same_with_and_without(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"data": str(pictures), "rounds": 4, "look_every": 4, "quiet": True, **RUNS[name]}
    train(name, out=tmp_path / "with", **options)
    # by its module: mulligan.train is the function
    monkeypatch.setattr(sys.modules[train.__module__], "probed", lambda plan: (plan, []))
    train(name, out=tmp_path / "without", **options)
    assert differences(newest(tmp_path / "with"), newest(tmp_path / "without")) == []


def test_the_plan_s_own_system_is_not_touched(linear: str) -> None:
    plan = plan_of(linear)
    before = {k: x.clone() for k, x in plan.system.state_dict().items()}
    assert probed(plan)[0] is plan
    assert differences(before, plan.system.state_dict()) == []
    assert all(p.grad is None for p in plan.system.parameters())
    assert plan.loop.progress.round == 0


# --- free memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "limit", "free"),
    [("2000", "max", 2000 * 1024), ("2000", "5000", 5000 - 400), ("2", "5000", 2 * 1024), ("2000", None, 2000 * 1024),
     (None, "5000", 4600), (None, None, None)],
)  # fmt: skip
def test_free_is_what_both_the_machine_and_its_container_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available: str | None, limit: str | None, free: float | None
) -> None:
    monkeypatch.setattr(probe, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(probe, "CGROUP", tmp_path)
    if available is not None:
        (tmp_path / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable:   {available} kB\nBuffers: 1 kB\n")
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text("400\n")
    assert free_memory(torch.device("cpu")) == free


def test_ranks_share_the_memory_of_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(probe, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemAvailable: 2000 kB\n")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory(torch.device("cpu")) == 500 * 1024
