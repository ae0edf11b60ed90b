"""The lecture's figure against closed forms, and the drawing under it."""

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mulligan import charts, figure, plot
from mulligan.figure import Snapshot
from mulligan.game import Batch, Stage, System
from mulligan.signals import Signal


def normal(x: Any, mean: float, std: float) -> Any:
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


class Linear(System):
    """G(z) = 1 + 0.5 z with Gaussian z, so p_g = N(1, 0.5²); D is the optimum against N(0, 1)."""

    def __init__(self, signals: dict[str, Signal]) -> None:
        super().__init__(None, signals)
        self.G = nn.Linear(1, 1)

    def stages(self) -> Iterator[Stage]:
        raise NotImplementedError

    def generate(self, batch: Batch) -> Batch:
        assert not self.training
        return {"x": 1 + 0.5 * batch["z"]}

    def latent(self, n: int) -> Tensor:
        return torch.randn(n, 1)

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        raise NotImplementedError

    def discriminate(self, x: Tensor) -> dict[str, Tensor]:
        x = x[:, 0]
        return {"D": -0.5 * x**2 + 0.5 * ((x - 1) / 0.5) ** 2 + math.log(0.5)}


def source(**more: Any) -> Any:
    real = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    train = type("Train", (), {"__len__": lambda s: len(real), "fetch": lambda s, i: {"x": real[i]}})()
    return SimpleNamespace(train=train, **more)


def linear(**units: Any) -> Linear:
    return Linear({"x": Signal("points", (1,), None, **units)}).train()


@pytest.fixture(scope="module")
def moment() -> Snapshot:
    return figure.snapshot(linear(), source(density=lambda x: normal(x[:, 0], 0, 1)), 1500)


def test_snapshot_agrees_with_the_closed_forms(moment: Snapshot) -> None:
    p_data, p_g = normal(moment.x, 0, 1), normal(moment.x, 1, 0.5)
    assert np.abs(moment.p_data - p_data).max() < 1e-9
    assert np.abs(moment.p_g - p_g).max() < 0.03 * p_g.max()
    assert np.abs(moment.D - p_data / (p_data + p_g)).max() < 1e-5
    assert np.allclose(moment.G_z, 1 + 0.5 * moment.z, atol=1e-6)
    assert (np.diff(moment.z) > 0).all()


def test_arrows_are_even_in_probability(moment: Snapshot) -> None:
    below = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in moment.z])
    assert np.abs(below - (np.arange(len(below)) + 0.5) / len(below)).max() < 0.01


def test_a_snapshot_changes_nothing_in_training() -> None:
    system = linear()
    torch.manual_seed(3)
    figure.snapshot(system, source(), 0)
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(3))
    assert system.training


def test_without_a_closed_form_the_data_is_smoothed() -> None:
    got = figure.snapshot(linear(), source(), 0)
    assert np.abs(got.p_data - normal(got.x, 0, 1)).max() < 0.05
    assert abs(float(got.p_data.sum() * (got.x[1] - got.x[0])) - 1) < 0.01


def test_units_are_the_users() -> None:
    plain, scaled = (figure.snapshot(linear(**u), source(), 0) for u in ({}, {"offset": (100.0,), "scale": (4.0,)}))
    assert np.allclose(scaled.x, 100 + 4 * plain.x)
    assert np.allclose(scaled.p_g, plain.p_g / 4)
    assert np.allclose(scaled.G_z, 100 + 4 * plain.G_z)
    assert np.allclose(scaled.D, plain.D)


def test_smoothing_keeps_mass_and_place() -> None:
    x = np.linspace(-2, 2, 401)
    p = figure.smooth_density(np.zeros(100), x, 0.04)
    assert np.abs(p - normal(x, 0, 0.04)).max() < 0.05 * p.max()
    half = figure.smooth_density(np.array([0.0, 50.0]), x, 0.04)
    assert abs(half.sum() * 0.01 - 0.5) < 1e-4
    assert figure.smooth_density(np.array([np.nan]), x, 0.04).max() == 0


def test_json_round_trip(moment: Snapshot, tmp_path: Path) -> None:
    moment.save(tmp_path / "000500.json")
    back = Snapshot.load(tmp_path / "000500.json")
    assert back.round == 1500
    assert np.allclose(back.x, moment.x, rtol=1e-5)
    assert np.allclose(back.G_z, moment.G_z, rtol=1e-5)
    broken = {**moment.to_json(), "D": [0.5]}
    with pytest.raises(ValueError, match="differ in length"):
        Snapshot.from_json(broken)
    with pytest.raises(ValueError, match="no snapshot"):
        Snapshot.from_json({"round": 3})


def test_the_picture_has_the_three_curves_and_the_arrows(moment: Snapshot) -> None:
    pixels = np.asarray(figure.draw(moment)).astype(int)
    assert pixels.shape == (796, 1200, 3)
    for role in ("G", "D", "data", "ink"):
        assert (np.abs(pixels - plot.rgb(role)).sum(2) < 12).sum() > 200, role


def test_panels_and_animation(moment: Snapshot, tmp_path: Path) -> None:
    other = Snapshot.from_json({**moment.to_json(), "round": 3000})
    assert figure.panels([moment, other]).width > 1.9 * 600
    out = figure.animate([moment, other], tmp_path / "game.gif", {"model": "ab", "seed": 1})
    with Image.open(out) as gif:
        assert gif.n_frames == 2
        assert gif.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    with pytest.raises(ValueError, match="no moments"):
        figure.animate([], tmp_path / "none.gif", {"model": "ab", "seed": 1})


def test_a_generator_gone_astray_is_still_drawn(moment: Snapshot) -> None:
    lost = {**moment.to_json(), "G_z": [1e9] * 33, "p_g": [0.0] * 401}
    figure.draw(Snapshot.from_json(lost))
    figure.draw(Snapshot.from_json({**lost, "G_z": [float("nan")] * 33}))
    json.dumps(lost)


def test_svg_is_well_formed_and_says_what_it_shows(moment: Snapshot) -> None:
    root = ET.fromstring(figure.svg([moment]))
    assert "share" in root.attrib["aria-label"]
    assert any("stroke-dasharray" in (e.get("style") or "") for e in root.iter())


# Drawing


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 12, [0, 5, 10]),
        (0, 6000, [0, 1000, 2000, 3000, 4000, 5000, 6000]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, want: list[float]) -> None:
    got = charts.ticks(low, high)
    assert set(np.round(want, 9)) <= set(np.round(got, 9))
    assert low <= min(got)
    assert max(got) <= high + 1e-9


def test_no_span_no_endless_ticks() -> None:
    assert charts.ticks(2.0, 2.0) == [2.0]
    assert charts.log_ticks(1e-9, 1e9)[0] == pytest.approx(1e-9)
    assert len(charts.log_ticks(1e-9, 1e9)) <= 6


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (1500, "1,500"), (0.25, "0.25"), (12.3456, "12.35"), (2e-5, "2e-05"), (-3, "-3")],
)
def test_numbers_for_people(value: float, words: str) -> None:
    assert charts.number(value) == words


def test_an_axis_is_logarithmic_over_three_decades() -> None:
    assert charts.y_axis(np.array([0.001, 1.0, 20.0]), 0, 100).log
    assert not charts.y_axis(np.array([-1.0, 1.0, 2000.0]), 0, 100).log
    assert float(charts.Axis(1, 100, 0, 200, log=True)(10)) == pytest.approx(100)


def test_a_spike_does_not_flatten_the_rest() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(1, 0.1, 500), [90.0]])
    axis = charts.y_axis(values, 0, 100)
    assert axis.high < 3
    chart = charts.line_chart("loss", [charts.Series("real", np.arange(501.0), values)])
    assert "1 above the chart, up to 90" in chart


def test_decimation_keeps_means_and_extremes() -> None:
    y = np.random.default_rng(0).normal(size=100_000)
    y[70_001] = 50
    mean, low, high = charts.decimate(charts.Series("y", np.arange(100_000.0), y), 100)
    assert len(mean.x) == 100
    assert high.max() == 50
    assert mean.y.mean() == pytest.approx(y.mean())
    assert (low <= mean.y).all()


def test_dashes_lie_on_the_line() -> None:
    corner = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    strokes = plot.dashes(corner, (3.0, 2.0))
    assert len(strokes) == 5
    assert strokes[0].tolist() == [[0, 0], [3, 0]]
    assert strokes[2].tolist() == [[10, 0], [10, 3]]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_charts_of_hardly_anything(n: int) -> None:
    y = np.array([1.0, np.nan, 3.0])[:n]
    ET.fromstring(charts.line_chart("a < b & c", [charts.Series.of("x", np.arange(float(n)), y)]))
