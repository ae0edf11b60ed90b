"""Whole trainings from Python: budgets, stages, weights of another run, and games lost to NaN."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import mulligan as package
from conftest import TINY_GAN, Command, differences, tree
from mulligan import checkpoint
from mulligan.clock import Budget, Clock, Due
from mulligan.config import Run
from mulligan.loop import Loop, Progress
from mulligan.model import Model
from mulligan.plan import first_half
from mulligan.play import Interrupted
from mulligan.train import resume, train

GAN: dict[str, Any] = {"batch": 8, "g_width": 8, "d_width": 8, "quiet": True}

STAGES = '''"""Stages: a system in two stages, 2030, https://example.org"""

import torch
from torch import nn

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.game import SGD, Adam, Stage, Turn, Typical
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = 8
    z_dim: int = 2


class Pool(nn.Module):
    """State that is no tensor."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


class Stages(Typical):
    Config = Config
    needs = {"x": (Signal("points", (None,), None),)}

    def __init__(self, config, signals):
        super().__init__(config, signals)
        d = signals["x"].shape[0]
        self.G = nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, d))
        self.D = nn.Sequential(nn.Linear(d, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Flatten(0))
        self.pool = Pool()
        self.register_buffer("begun", torch.zeros(2))

    def stages(self):
        yield Stage("small", (Turn("D", (self.D,), self.d_loss, repeat=2), Turn("G", (self.G,), self.g_loss)),
                    begin=lambda loader: self.begun[0].add_(1))
        for network in (self.G, self.D):
            network.insert(2, nn.Linear(6, 6))
        yield Stage("large", (Turn("D", (self.D,), self.d_loss), Turn("G", (self.G,), self.g_loss, SGD(0.01))),
                    share=3.0, begin=lambda loader: self.begun[1].add_(1), shared_batch=True)

    def d_loss(self, batch):
        self.pool.count += 1
        return losses.d_minimax(self.D(batch["x"]), self.D(*self.fake(batch)))

    def g_loss(self, batch):
        return losses.g_nonsaturating(self.D(*self.fake(batch)))
'''

# a loss that becomes NaN in round 7; and one that is finite while its gradient is not
LOST = '''"""Lost: a system that loses, 2030, https://example.org"""

import torch
from torch import nn

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.game import Stage, Turn, Typical
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = 8
    z_dim: int = 2
    gradient_only: bool = False


class Lost(Typical):
    Config = Config
    needs = {"x": (Signal("points", (None,), None),)}

    def __init__(self, config, signals):
        super().__init__(config, signals)
        d = signals["x"].shape[0]
        self.G, self.D = nn.Linear(2, d), nn.Sequential(nn.Linear(d, 1), nn.Flatten(0))
        self.register_buffer("played", torch.zeros(()))

    def stages(self):
        yield Stage("train", (Turn("D", (self.D,), self.d_loss, after=lambda: self.played.add_(1)),
                              Turn("G", (self.G,), self.g_loss)))

    def d_loss(self, batch):
        logits = self.D(batch["x"])
        if self.config.gradient_only:
            odd = (logits * (self.played < 6)).abs().sqrt().mean()
        else:
            odd = logits.mean() * torch.where(self.played < 6, 1.0, torch.nan)
        return {**losses.d_minimax(logits, self.D(*self.fake(batch))), "odd": odd}

    def g_loss(self, batch):
        return losses.g_nonsaturating(self.D(*self.fake(batch)))
'''


@pytest.fixture
def stages(tmp_path: Path) -> str:
    (tmp_path / "stages.py").write_text(STAGES)
    return str(tmp_path / "stages.py")


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def state(run: Path) -> Any:
    newest = checkpoint.newest(run / "checkpoints")[0]
    assert newest is not None
    model, training, _ = checkpoint.load(newest)
    training["progress"] = {k: v for k, v in training["progress"].items() if "seconds" not in k}
    return model, training


# --- the run directory --------------------------------------------------------------------------------------


def test_everything_is_there(density_run: Path) -> None:
    names = {p.name for p in density_run.iterdir()}
    assert names == {"config.json", "log.jsonl", "events.jsonl", "samples", "checkpoints", "report.html", "game.gif"}
    looks = {p.name for p in (density_run / "samples").iterdir()}
    assert looks >= {f"{n:06d}.{kind}" for n in (0, 3, 6) for kind in ("png", "json")}
    assert sorted(p.name for p in (density_run / "checkpoints").iterdir()) == ["000003", "000006"]
    line = log(density_run)[-1]
    assert line["round"] == 6
    assert line["images"] == 48
    assert line["terms"].keys() == {"D", "G"}
    assert line["terms"]["D"].keys() == {"real", "fake"}
    assert line["grad_norm"].keys() == {"D", "G"}
    assert {"D.auc", "FD", "FD floor"} <= line["vital"].keys()
    assert 0 <= line["vital"]["D.auc"] <= 1
    assert line["stage"] == "train"
    kinds = [json.loads(e)["kind"] for e in (density_run / "events.jsonl").read_text().splitlines()]
    assert kinds.count("checkpoint") == 2
    assert kinds[-1] == "finish"


def test_the_python_call_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the package are functions, also after their modules were imported."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        model = package.train("gan", data="ring", rounds=2, **GAN)
    assert model.directory == Path("runs/gan-ring-2")
    assert package.load(model.directory).generate(3)["x"].shape == (3, 2)
    assert isinstance(package.evaluate(model, n=100), list)


def test_the_same_seed_the_same_run(tmp_path: Path) -> None:
    a, b, c = (
        train("gan", "ring", out=tmp_path / n, rounds=4, seed=s, **GAN) for n, s in [("a", 1), ("b", 1), ("c", 2)]
    )
    assert a.hash == b.hash != c.hash


@pytest.mark.parametrize("micro", [1, 2])
def test_precision_and_micro_batches_are_played(tmp_path: Path, micro: int) -> None:
    model = train("gan", "ring", out=tmp_path / "r", rounds=3, precision="bf16", micro_batches=micro, **GAN)
    assert model.round == 3
    assert "bf16" in model.config["machine"]


def test_no_rounds_at_all_is_a_run_of_the_fresh_weights(tmp_path: Path) -> None:
    model = train("gan", "ring", out=tmp_path / "r", rounds=0, **GAN)
    assert model.round == 0
    assert model.generate(2)["x"].shape == (2, 2)
    assert resume(tmp_path / "r", rounds=2, quiet=True).round == 2


def test_minutes(tmp_path: Path) -> None:
    model = train("gan", "ring", out=tmp_path / "r", minutes=0.01, **GAN)
    seconds = log(tmp_path / "r")[-1]["seconds"]
    assert 0.6 <= seconds < 5
    assert model.round >= 1
    # half a minute more would be another budget, the same one is spent
    assert resume(tmp_path / "r", quiet=True).round == model.round


def test_no_average(tmp_path: Path) -> None:
    model = train("gan", "ring", out=tmp_path / "r", rounds=3, ema=0, **GAN)
    assert not model.ema
    file = next((tmp_path / "r" / "checkpoints").glob("000003/model.safetensors"))
    assert not [k for k in load_file(file) if k.startswith("ema.")]


def test_the_model_holds_the_average(density_run: Path) -> None:
    weights = load_file(density_run / "checkpoints" / "000006" / "model.safetensors")
    live = dict(Model.load(density_run).system.named_parameters())
    averaged = [k.removeprefix("ema.") for k in weights if k.startswith("ema.")]
    assert averaged
    assert all(k.startswith("G.") for k in averaged)
    for key in set(averaged) & set(live):
        assert torch.equal(live[key], weights[f"ema.{key}"])
    assert torch.equal(live["D.1.linear.weight"], weights["D.1.linear.weight"])


# --- budgets ------------------------------------------------------------------------------------------------


def test_a_budget_is_divided_by_share() -> None:
    rounds = [Budget.of(Run(rounds=100), [1.0, 3.0], stage) for stage in range(2)]
    assert [b.rounds for b in rounds] == [25, 100]
    minutes = [Budget.of(Run(minutes=8), [1.0, 3.0], stage) for stage in range(2)]
    assert [b.seconds for b in minutes] == [120, 360]
    assert not rounds[0].spent(Progress(round=24))
    assert rounds[0].spent(Progress(round=25))
    assert not minutes[1].spent(Progress(stage_seconds=359))
    assert minutes[1].spent(Progress(stage_seconds=360))


@pytest.mark.parametrize("n_stages", [1, 2, 3, 7])
def test_all_rounds_are_played_whatever_the_shares(n_stages: int) -> None:
    ends = [Budget.of(Run(rounds=10), [1.0] * n_stages, s).rounds for s in range(n_stages)]
    assert ends == sorted(ends)  # type: ignore[type-var]
    assert ends[-1] == 10


def test_looks_do_not_count_as_training() -> None:
    progress = Progress()
    clock = Clock(progress, Run(minutes=1))
    clock.last -= 2.0  # two seconds passed
    assert clock.due(Budget(None, 60.0), Due.NOTHING) & Due.LOG == Due.NOTHING  # round 0 has no terms
    assert progress.seconds == pytest.approx(2, abs=0.5)
    clock.last -= 30.0
    clock.resume()
    clock.due(Budget(None, 60.0), Due.NOTHING)
    assert progress.seconds == pytest.approx(2, abs=0.5)


def test_what_is_due() -> None:
    progress = Progress(round=6)
    clock = Clock(progress, Run(rounds=10, look_every=3))
    clock.looked_round = 3
    due = clock.due(Budget(10, None), Due.NOTHING)
    assert due & Due.LOOK
    assert not due & (Due.OVER | Due.STOP)
    assert clock.due(Budget(10, None), Due.STOP) & Due.STOP
    assert clock.due(Budget(6, None), Due.NOTHING) & Due.OVER


# --- stages -------------------------------------------------------------------------------------------------


def test_stages_share_the_rounds_and_grow(stages: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = train(stages, "ring", out=run, rounds=8, look_every=8, quiet=True)
    assert isinstance(model.system.G, nn.Sequential)
    assert len(model.system.G) == 4, "the model is the one of the last stage"
    assert model.system.begun.tolist() == [1, 1]
    saved, training = state(run)
    assert training["progress"] | {"images": 64} == training["progress"]
    assert (training["progress"]["stage"], training["progress"]["stage_round"]) == (1, 6)
    assert saved["pool._extra_state"] == {"count": 2 * 2 + 6}
    assert torch.equal(model.system.D[2].weight, saved["D.2.weight"])
    assert model.generate(5, seed=1)["x"].shape == (5, 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of both stages."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "stages.py").write_text(STAGES)
    train(str(folder / "stages.py"), "ring", out=folder / "run", rounds=8, look_every=4, quiet=True)
    return folder / "run"


@pytest.mark.parametrize("rounds", [1, 2, 5], ids=["in the first stage", "between the stages", "in the second"])
def test_stages_resume_exactly(stages: str, whole: Path, tmp_path: Path, rounds: int) -> None:
    run = tmp_path / "run"
    interrupt(stages, run, rounds)
    assert checkpoint.newest(run / "checkpoints")[0] == run / "checkpoints" / f"{rounds:06d}"
    assert resume(run, quiet=True).round == 8
    assert differences(state(run), state(whole)) == []


def interrupt(system: str, run: Path, rounds: int) -> None:
    """A run of eight rounds that Ctrl-C stops after so many."""
    play = Loop.play

    def played(loop: Loop) -> None:
        play(loop)
        if loop.progress.round == rounds:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "play", played)
        with pytest.raises(Interrupted):
            train(system, "ring", out=run, rounds=8, look_every=4, quiet=True)


def test_stages_share_the_minutes(stages: str, tmp_path: Path) -> None:
    train(stages, "ring", out=tmp_path / "run", minutes=0.02, quiet=True)
    _, training, _ = checkpoint.load(tmp_path / "run" / "checkpoints" / f"{log(tmp_path / 'run')[-1]['round']:06d}")
    p = training["progress"]
    assert p["stage"] == 1
    assert p["stage_seconds"] == pytest.approx(0.9, abs=0.5)  # three quarters of 1.2 s
    assert p["seconds"] - p["stage_seconds"] == pytest.approx(0.3, abs=0.3)


# --- from another run ---------------------------------------------------------------------------------------


def test_from_copies_the_weights(density_run: Path, tmp_path: Path) -> None:
    theirs = Model.load(density_run).system.state_dict()
    ours = train("gan", "density", out=tmp_path / "r", from_run=density_run, rounds=0, **GAN).system.state_dict()
    assert [k for k in theirs if not torch.equal(theirs[k], ours[k])] == []


def test_from_and_freeze_d(density_run: Path, tmp_path: Path) -> None:
    """The first half of D's layers keeps the other run's weights; all else moves."""
    theirs = Model.load(density_run).system
    fixed = {id(p) for p in first_half(theirs)}
    names = {k for k, p in theirs.named_parameters() if id(p) in fixed}
    assert names == {"D.1.linear.weight", "D.1.linear.bias"}
    model = train("gan", "density", out=tmp_path / "r", from_run=density_run, freeze_d=True, rounds=5, ema=0, **GAN)
    before = dict(theirs.named_parameters())
    rest = {k for k, p in model.system.named_parameters() if torch.equal(p, before[k])}
    assert rest == names


def test_freeze_d_with_convolutions(picture_run: Path, pictures: Path, tmp_path: Path) -> None:
    theirs = Model.load(picture_run).system
    fixed = {id(p) for p in first_half(theirs)}
    names = {k for k, p in theirs.named_parameters() if id(p) in fixed}
    assert names
    assert all(k.startswith("D.layers.") for k in names)
    model = train("dcgan", str(pictures), out=tmp_path / "r", from_run=picture_run, freeze_d=True, rounds=2, ema=0,
                  batch=4, width=4, z_dim=4, quiet=True)  # fmt: skip
    before, after = dict(theirs.named_parameters()), dict(model.system.named_parameters())
    assert all(torch.equal(before[k], after[k]) for k in names)
    assert not any(torch.equal(before[k], after[k]) for k in before if k.startswith("D.") and k not in names)


@pytest.mark.parametrize("rows", [np.zeros((300, 2)), np.full((300, 3), 7.0)])
def test_where_all_samples_are_one_there_is_nothing_to_learn(rows: Any, tmp_path: Path, mulligan: Command) -> None:
    np.save(tmp_path / "same.npy", rows)
    words = ["gan", "--data", tmp_path / "same.npy", "--rounds", 4, "--out", tmp_path / "run"]
    assert "all samples are the same" in mulligan("train", *words).mistake()
    assert not (tmp_path / "run").exists()


def test_one_column_that_never_changes_is_learned_beside_others(tmp_path: Path, mulligan: Command) -> None:
    """And is no reason for the referee to call a sample that differs in it a hair's breadth a lost one."""
    rows = np.random.default_rng(0).standard_normal((400, 3))
    rows[:, 1] = 3.0
    np.save(tmp_path / "points.npy", rows)
    assert (
        mulligan("train", "gan", "--data", tmp_path / "points.npy", "--rounds", 4, "--out", tmp_path / "run").status
        == 0
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert 0 < log[-1]["signs"]["distance"] < 100


def test_from_a_run_that_does_not_fit(density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    before = tree(density_run)
    out = tmp_path / "r"
    said = mulligan("train", "sngan", "--data", "ring", "--from", density_run, "--out", out, "--rounds", 1).mistake()
    assert "none of its weights fits" in said
    assert "no run" in mulligan("train", "gan", "--data", "ring", "--from", "nowhere", "--out", out).mistake()
    assert not out.exists()
    assert tree(density_run) == before


def test_from_a_system_with_other_state(stages: str, tmp_path: Path) -> None:
    """State that is no tensor neither breaks the copy nor goes along."""
    train(stages, "ring", out=tmp_path / "a", rounds=8, quiet=True)
    model = train(stages, "ring", out=tmp_path / "b", rounds=0, from_run=tmp_path / "a", quiet=True)
    assert model.round == 0


# --- lost to NaN --------------------------------------------------------------------------------------------


def finite_checkpoints(run: Path) -> list[str]:
    names = []
    for place in checkpoint.all_in(run / "checkpoints"):
        tensors = load_file(place / "model.safetensors")
        assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point()), place
        names.append(place.name)
    return names


@pytest.mark.parametrize("look_every", [1, 2, 100])
def test_a_loss_that_becomes_nan_stops_and_is_named(tmp_path: Path, mulligan: Command, look_every: int) -> None:
    file, run = tmp_path / "lost.py", tmp_path / "run"
    file.write_text(LOST)
    answer = mulligan("train", file, "--data", "ring", "--rounds", 30, "--look-every", look_every, "--out", run)
    assert answer.status == 1
    assert "Traceback" not in answer.err
    last = answer.err.strip().splitlines()[-1]
    assert "player D" in last
    assert "odd" in last or look_every > 1  # a round later all terms are lost, and the first is named
    assert "nan" in last.lower()
    assert answer.out == ""
    assert all(int(name) <= 6 for name in finite_checkpoints(run))
    told = json.loads((run / "events.jsonl").read_text().splitlines()[-1])
    assert told["kind"] == "lost"
    assert "player D" in told["text"]
    assert "player D" in (run / "report.html").read_text()


def test_an_error_in_ones_own_system_keeps_its_traceback(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "lost.py"
    file.write_text(LOST.replace('logits = self.D(batch["x"])', 'logits, _ = self.D(batch["x"])[:3]'))
    with pytest.raises(ValueError, match="unpack"):
        mulligan("train", file, "--data", "ring", "--rounds", 2, "--out", tmp_path / "run")


@pytest.mark.parametrize("look_every", [1, 100])
def test_a_gradient_that_becomes_nan_saves_nothing(tmp_path: Path, mulligan: Command, look_every: int) -> None:
    """√0 is finite, its slope is not: the terms are fine in the very round in which the weights are lost."""
    file, run = tmp_path / "lost.py", tmp_path / "run"
    file.write_text(LOST)
    words = ("train", file, "--data", "ring", "--rounds", 30, "--gradient-only", "--look-every", look_every)
    answer = mulligan(*words, "--out", run)
    assert answer.status == 1
    assert "player" in answer.err.strip().splitlines()[-1]
    assert all(int(name) <= 6 for name in finite_checkpoints(run))


def test_the_log_of_a_good_run_is_finite(density_run: Path) -> None:
    for line in log(density_run):
        assert all(math.isfinite(v) for terms in line["terms"].values() for v in terms.values())
        assert all(map(math.isfinite, line["vital"].values()))


# --- auto ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["ring", "pictures"])
def test_auto_chooses(data: str, pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    source = pictures if data == "pictures" else data
    out = tmp_path / "r"
    answer = mulligan("train", "auto", "--data", source, "--rounds", 1, "--out", out)
    assert answer.status == 0, answer.err
    config = json.loads((out / "config.json").read_text())
    assert config["system"] in ("gan", "dcgan", "sngan", "r3gan")
    assert Model.load(out).generate(2)["x"].isfinite().all()


def test_tiny_options_are_recorded(density_run: Path) -> None:
    config = json.loads((density_run / "config.json").read_text())
    assert config["config"]["batch"] == int(TINY_GAN[1])
    assert config["command"].startswith("mulligan train gan --data density --rounds 6")
