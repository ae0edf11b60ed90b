"""The benchmark runner on races of a second: records, stopping and going on, summaries, pictures."""

from __future__ import annotations

import importlib
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import Memory, samples_of, signals_of
from mulligan import race

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about it: it takes a second."""
    monkeypatch.setattr(script("runner"), "draw", lambda *_: Image.new("RGB", (8, 8)))


def script(name: str) -> Any:
    return importlib.import_module(name)


def tiny(seeds: tuple[int, ...] = (0,), **changes: Any) -> Any:
    """Two losses of `gan` on the grid, a quarter of a second each."""
    runner, grid = script("runner"), script("grid")
    cases = tuple(
        runner.Case(loss, "gan", "grid", seed, 0.25, {"loss": loss, "batch": 16}, (0.5, 1.0))
        for seed in seeds
        for loss in ("nonsaturating", "saturating")
    )
    known = {"judge": grid.judge, "references": grid.references, "charts": grid.QUESTION.charts}
    return runner.Question(name="tiny", asks="Does it run?", **{"cases": cases, **known, **changes})


def test_a_race_leaves_results_summary_and_picture(tmp_path: Path) -> None:
    runner = script("runner")
    question = tiny()
    runner.main(question, ["--out", str(tmp_path)])
    result = json.loads((tmp_path / "tiny" / "nonsaturating-grid-0.json").read_text())
    assert result["raced_with"] == ["saturating"]
    assert [m["seconds"] for m in result["measured"]] == pytest.approx([0.125, 0.25], abs=0.1)
    assert result["images"] == 16 * result["rounds"] > 0
    assert {"machine", "versions", "commit", "command", "load"} <= result.keys()
    summary = json.loads((tmp_path / "tiny.json").read_text())
    assert summary["preliminary"]
    assert runner.find(summary, "saturating")["end"]["within 3 sigma"]["n"] == 1
    assert (tmp_path / "tiny.png").stat().st_size > 10_000
    assert summary["references"]["grid"]["within 3 sigma"]["real data"] == pytest.approx(0.989, abs=0.01)


@pytest.mark.usefixtures("no_picture")
def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    runner = script("runner")
    question = tiny(seeds=(0, 1))
    runner.main(question, ["--out", str(tmp_path), "--cases", "*-0"])
    first = tmp_path / "tiny" / "saturating-grid-0.json"
    before = first.read_bytes()
    runner.main(question, ["--out", str(tmp_path)])
    assert first.read_bytes() == before
    assert (tmp_path / "tiny" / "saturating-grid-1.json").exists()


@pytest.mark.usefixtures("no_picture")
def test_begins_no_race_that_would_end_too_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script("runner").main(tiny(), ["--out", str(tmp_path), "--minutes", "0.001"])
    assert "to run it, --minutes" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*-grid-*.json"))


@pytest.mark.usefixtures("no_picture")
def test_a_definition_with_long_fractions_is_known_again(tmp_path: Path) -> None:
    """Files hold six digits of a third; the case asks for all of them."""
    runner = script("runner")
    (first, *_) = tiny().cases
    question = tiny(cases=(replace(first, marks=(1 / 3, 1.0)),))
    runner.main(question, ["--out", str(tmp_path)])
    assert runner.Store("tiny", tmp_path).load(question.cases[0]) is not None


def test_a_changed_case_is_not_done(tmp_path: Path) -> None:
    runner = script("runner")
    question = tiny()
    store = runner.Store("tiny", tmp_path)
    case = question.cases[0]
    runner.write_json(store.file(case.key), {"case": case.to_json()})
    assert store.load(case) is not None
    changed = runner.replace(case, config={"loss": "saturating"})
    assert store.load(changed) is None


@pytest.mark.parametrize(
    ("words", "answer"), [(["--cases", "nothing"], "see --list"), (["--seconds", "1"], "add --out")]
)
def test_mistakes_are_named(words: list[str], answer: str) -> None:
    with pytest.raises(SystemExit, match=answer):
        script("runner").main(tiny(), words)


def test_contestants_take_turns_and_only_their_own_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = script("runner")
    monkeypatch.setattr(race, "SLICE", 0.05)
    order: list[str] = []
    train = race.Contestant.train

    def noted(self: Any, seconds: float) -> None:
        order.append(self.case.name)
        train(self, seconds)

    monkeypatch.setattr(race.Contestant, "train", noted)
    source, runtime = runner.open_source("grid"), runner.Runtime.start("cpu", "fp32")
    contestants = [race.Contestant(c, source, runtime) for c in tiny().cases]
    race.race(contestants, lambda c: {})
    assert order[:4] == ["nonsaturating", "saturating"] * 2
    assert all(c.case.seconds <= c.seconds < c.case.seconds + 0.2 for c in contestants)


def test_a_contestant_goes_through_its_stages_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of progan's on images of 16 px: 1, 1, 2, 2 and 4 parts of its own seconds, whatever the slices."""
    runner = script("runner")
    hundredths = itertools.count()  # a clock on which each round takes one

    def tick() -> float:
        return next(hundredths) / 100

    monkeypatch.setattr(race, "time", SimpleNamespace(process_time=tick, perf_counter=tick))
    config = {"batch": 4, "z_dim": 4, "width": 4, "group": 4}
    case = runner.Case("growing", "progan", "noise", 0, 1.0, config, (0.05, 0.35, 1.0))
    signals = signals_of("image")
    source: Any = SimpleNamespace(name="noise", signals=signals, train=samples_of(signals), test=samples_of(signals))
    contestant = race.Contestant(case, source, runner.Runtime.start("cpu", "fp32"))
    entered: list[tuple[int, str]] = []
    enter = contestant.loop.enter

    def noted(number: int, stage: Any) -> None:
        entered.append((contestant.loop.progress.round, stage.name))
        enter(number, stage)

    contestant.loop.enter = noted
    names = []
    while not contestant.done:
        contestant.train(0.15)
        if contestant.seconds >= contestant.goal:
            contestant.measure(lambda c: {"side": c.generate(2).shape[-1]})
            names.append(contestant.loop.stage.name)
    assert contestant.ends == pytest.approx([0.1, 0.2, 0.4, 0.6, 1.0])
    assert [name for _, name in entered] == ["8 px, fading in", "8 px", "16 px, fading in", "16 px"]
    assert [n for n, _ in entered] == pytest.approx([10, 20, 40, 60], abs=2)
    assert names == ["4 px", "8 px", "16 px"]
    assert {m["metrics"]["side"] for m in contestant.measured} == {16}


@pytest.mark.usefixtures("no_picture")
def test_a_loss_that_is_not_finite_ends_a_run_and_is_counted(tmp_path: Path) -> None:
    runner = script("runner")
    case = runner.Case("broken", "gan", "grid", 0, 0.25, {"lr": 1e30, "batch": 16}, (1.0,))
    question = tiny(cases=(case, *tiny().cases))
    runner.main(question, ["--out", str(tmp_path)])
    summary = json.loads((tmp_path / "tiny.json").read_text())
    assert runner.find(summary, "broken")["lost"] == 1
    assert runner.find(summary, "saturating")["lost"] == 0


def test_spread_of_known_values() -> None:
    spread = script("runner").spread
    assert spread([1.0, 2.0, 3.0]) == {"mean": 2.0, "spread": 1.0, "n": 3, "values": [1.0, 2.0, 3.0]}
    assert spread([4.0])["spread"] is None
    assert math.isinf(spread([1.0, None])["mean"])


def test_json_is_written_whole_and_without_infinities(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.json"
    script("runner").write_json(file, {"x": math.inf, "y": [1 / 3]})
    assert json.loads(file.read_text()) == {"x": None, "y": [0.333333]}
    assert [f.name for f in file.parent.iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    "name",
    [
        "density",
        "grid",
        "penalty",
        "parzen",
        "default_lr",
        "growing",
        "stackgan",
        "systems",
        "tag_model",
        "nearest_neighbour",
        "conditional",
        "auxiliary",
    ],
)
def test_every_case_fits_its_system(name: str) -> None:
    """Names are unique and options valid, without training."""
    from mulligan import registry

    question = script(name).QUESTION
    assert question.name == name
    assert len({c.key for c in question.cases}) == len(question.cases)
    for case in question.cases:
        registry.load(case.system).Config(**case.config)
        assert case.marks[-1] == 1.0
        assert list(case.marks) == sorted(case.marks)


def test_the_density_judge_knows_an_optimal_game() -> None:
    """G that draws from the data and D = 1/2 have no error."""
    import torch

    from mulligan.data import open_source

    source = open_source("density")

    class Perfect:
        signals, training, device = source.signals, False, torch.device("cpu")

        def eval(self) -> None: ...
        def train(self, mode: bool) -> None: ...

        def latent(self, n: int) -> torch.Tensor:
            return torch.randn(n, 2)

        def generate(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            z = batch["z"]
            left = torch.special.ndtr(z[:, 1:]) < 0.4
            return {"x": torch.where(left, -1.0, 1.0) + 0.5 * z[:, :1]}

        def discriminate(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x))

    system = Perfect()
    contestant = SimpleNamespace(
        system=system,
        case=SimpleNamespace(key="perfect"),
        loop=SimpleNamespace(progress=SimpleNamespace(round=0)),
        generate=lambda n: system.generate({"z": system.latent(n)})["x"],
    )
    density = script("density")
    found = density.judge(source)(contestant)
    assert found[density.D_ERROR] < 0.02
    assert found[density.V_ERROR] < 1e-6
    assert found[density.W1] < 0.05


def test_the_chart_draws_lost_runs_and_logarithms() -> None:
    chart = script("chart")
    y = np.array([[100.0, 10.0, np.nan], [90.0, 12.0, 3.0]])
    course = chart.Course("one", np.array([1.0, 2.0, 3.0]), y)
    picture = chart.picture("Title", "about", [chart.Panel("FD", [course], ((5.0, "floor"),), log=True)])
    assert picture.size[0] > 900
    assert len(picture.getcolors(1 << 24)) > 20


def test_y_ticks_of_a_logarithmic_axis_are_round() -> None:
    chart = script("chart")
    assert chart.fine_ticks(chart.Axis(3.0, 60.0, 0, 1, log=True)) == [5.0, 10.0, 20.0, 50.0]


def test_each_question_has_its_row_in_the_docs() -> None:
    docs = (FOLDER.parent / "docs" / "benchmarks.md").read_text()
    asking = [f for f in FOLDER.glob("*.py") if "Question(\n" in f.read_text() or f.stem == "loop_speed"]
    assert len(asking) >= 7
    assert [f.name for f in asking if f"| `{f.name}` |" not in docs] == []


def test_the_parzen_protocol_is_blind_to_nothing() -> None:
    """Kernels on the test images themselves beat kernels on noise."""
    import torch

    from mulligan.data import open_source

    parzen = script("parzen")
    source = open_source("mnist")
    few = SimpleNamespace(held_out=source.held_out, test=source.test)
    parzen_n, parzen.N = parzen.N, 500
    try:
        measure = parzen.protocol(few)
        own = source.test.fetch(np.arange(500))["x"]
        noise = torch.rand(500, 1, 28, 28) * 2 - 1
        assert measure(own)[parzen.LL] > measure(noise)[parzen.LL] + 100
    finally:
        parzen.N = parzen_n


def test_the_parzen_protocol_of_cgan_asks_for_as_many_of_each_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    parzen = script("parzen")
    monkeypatch.setattr(parzen, "N", 40)
    asked: list[torch.Tensor] = []

    class Told:
        given, makes, device = ("y",), ("x",), torch.device("cpu")

        def latent(self, n: int) -> torch.Tensor:
            return torch.zeros(n, 1)

        def generate(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            asked.append(batch["y"])
            return {"x": batch["z"]}

    parzen.drawn(SimpleNamespace(system=Told()))
    assert torch.cat(asked).bincount().tolist() == [4] * 10


def test_the_tag_model_tells_answers_from_their_mean() -> None:
    """Each of an image's tags, one of them alone, their mean, and any tag."""
    import torch

    tag_model = script("tag_model")
    n, several = tag_model.IMAGES * tag_model.SAMPLES, torch.arange(tag_model.SAMPLES)
    tags = torch.zeros(tag_model.IMAGES, 21)
    tags[:, [2, 9, 20]] = 1
    split: Any = Memory(features=torch.zeros(len(tags), 3), tags=tags)
    test = tag_model.Test(split, 21)
    right = test.vectors[torch.tensor([2, 9, 20])]
    names = (tag_model.RECALL, tag_model.PRECISION, tag_model.COSINE)

    def found(x: torch.Tensor) -> list[float]:
        return [test(x)[name] for name in names]

    assert found(right[several % 3].repeat(len(tags), 1)) == pytest.approx([1, 1, 1])
    assert found(right[:1].expand(n, -1)) == pytest.approx([1 / 3, 1, 1])
    recall, _, cosine = found(right.mean(0).expand(n, -1))
    assert recall < 0.34
    assert cosine < 0.9
    assert found(test.vectors[torch.arange(n) % 21])[:2] == pytest.approx([1, 3 / 21], abs=0.01)
    assert found(torch.full((n, 16), math.nan))[:2] == [0, 0]


def test_the_nearest_neighbour_test_knows_data_from_what_lacks_their_variety(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose label is the sign of a product of two numbers: the mean of a class says nothing."""
    import torch

    nn_test = script("nearest_neighbour")
    monkeypatch.setattr(nn_test, "SIZES", (50, 400))
    x = torch.rand(600, 1, 1, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = (x.prod(3).flatten() > 0).long()
    rows: list[Any] = [Memory(x=x[part], y=y[part]) for part in (slice(0, 400), slice(400, 600))]
    test = nn_test.Test(SimpleNamespace(train=rows[0], test=rows[1]))
    few, many = (nn_test.error(n) for n in (50, 400))
    real = test(x[:400])
    assert real[many] < 0.1
    assert real[many] < real[few] < 0.25
    assert test(nn_test.mean_and_noise(x[:400], y[:400]))[many] > 0.25
    assert test(torch.full_like(x[:400], math.nan))[many] == math.inf
    made = nn_test.mean_and_noise(torch.cat([x - 3, x + 3]), torch.arange(2).repeat_interleave(600))
    assert made[:600].mean() == pytest.approx(-3, abs=0.1)
    assert made[600:].std() == pytest.approx(float(x.std()), abs=0.05)


def test_loop_speed_measures_each_variant_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = script("loop_speed")
    monkeypatch.setattr(speed, "WIDTH", 4)
    monkeypatch.setattr(speed, "BATCH", 4)
    monkeypatch.setattr(speed, "ALTERNATIONS", 2)
    monkeypatch.setattr(speed, "matmul_rate", lambda dtype: 1e9)
    speed.main(["--out", str(tmp_path), "--seconds", "0.01", "--threads", "1"])
    summary = json.loads((tmp_path / "loop_speed.json").read_text())
    assert summary["rows"][0]["ratio"] == 1
    assert summary["alternations"] == 2
    assert summary["preliminary"]
    assert [r["name"] for r in summary["rows"]] == [v.name for v in speed.variants()]
    assert (tmp_path / "loop_speed.png").exists()


def test_what_was_asked_is_judged_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real digits are right and various; one digit for all is right for its own class, and not various."""
    import torch

    from mulligan.data import open_source
    from mulligan.data.source import evenly

    asked = script("asked")
    monkeypatch.setattr(asked, "N", 500)
    source = open_source("mnist")
    judge = asked.Judge(source)
    rows = source.held_out.fetch(evenly(source.held_out, 500))
    x, y = rows["x"], rows["y"]
    real, off = judge.measure(x, y), judge.measure(x, (y + 1) % 10)
    assert real[asked.ACCURACY] > 0.98 > 0.02 > off[asked.ACCURACY]
    assert real[asked.DIVERSITY] == pytest.approx(1, abs=0.05)
    one = judge.measure(x[:1].expand(500, -1, -1, -1), y)
    assert one[asked.DIVERSITY] == 0
    assert one[asked.ACCURACY] == pytest.approx(float((y == y[0]).float().mean()))
    assert judge.measure(torch.full_like(x, torch.nan), y)[asked.ACCURACY] == 0


def test_shuffled_labels_are_of_training_alone() -> None:
    from mulligan.data import open_source

    source, shuffled = open_source("mnist"), script("conditional").opens("shuffled")
    ours, theirs = (s.train.labels() for s in (shuffled, source))
    assert sorted(ours) == sorted(theirs)
    assert np.mean(ours == theirs) == pytest.approx(0.1, abs=0.02)
    assert np.array_equal(shuffled.test.labels(), source.test.labels())
    assert shuffled.fingerprint != source.fingerprint


def test_the_picture_of_accuracy_over_diversity_takes_lost_runs() -> None:
    auxiliary = script("auxiliary")

    def end(*values: float) -> Any:
        return {m: {"values": list(values)} for m in (auxiliary.ACCURACY, auxiliary.DIVERSITY, auxiliary.FD)}

    ends = [("acgan, weight 0.1", end(0.3, 0.4)), ("acgan, weight 1", end(0.7, math.inf)), ("concat", {})]
    summary = {
        "asks": "Why?",
        "preliminary": True,
        "machines": ["one"],
        "contestants": [{"name": name, "end": values} for name, values in ends],
        "references": {
            auxiliary.DATA: {m: {"real data": 0.99} for m in (auxiliary.ACCURACY, auxiliary.DIVERSITY, auxiliary.FD)}
        },
    }
    assert len(auxiliary.picture(summary).getcolors(1 << 24)) > 20
