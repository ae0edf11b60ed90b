"""What measuring costs, and that it changes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import FP32, differences, each_system, everything, samples_of, tiny_loop
from mulligan.data.source import ArraySplit, Source
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.referee import signs as signs_module
from mulligan.referee.signs import SHARE, Remembered, Signs
from mulligan.referee.watch import Referee
from quarters import CARD, SOURCE, Made, drawn, guess, signs_of

# --- it is a look and no touch ------------------------------------------------------------------------------


@each_system
def test_measuring_changes_nothing(name: str, kind: str) -> None:
    watched, alone = tiny_loop(name, kind), tiny_loop(name, kind)
    for loop in (watched, alone):
        loop.play()
        loop.seed(5)
    signals = watched.system.signals
    rows = samples_of(signals)
    split = ArraySplit({k: v.numpy() for k, v in rows.tensors.items()}, np.arange(len(rows)))
    source = Source(name="", signals=signals, train=split, held_out=split, test=split, fingerprint="", card=CARD)
    before, state = everything(watched), torch.get_rng_state()
    found, _ = Signs(watched.system, source, watched).measure()
    assert {"diversity", "distance", "modes"} <= found.keys()
    assert any(key.endswith(".auc") for key in found)
    assert differences(before, everything(watched)) == []
    assert torch.equal(state, torch.get_rng_state())
    for loop in (watched, alone):
        loop.play()
        loop.play()
    assert differences(everything(watched), everything(alone)) == []


# --- what it costs ------------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Signs:
    """Signs of which each measurement takes a tenth of a second by their own clock."""
    now = iter(0.1 * i for i in range(1000))
    found = signs_of()
    monkeypatch.setattr(signs_module, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    return found


def test_measuring_keeps_within_its_share_of_the_time(slow: Signs) -> None:
    measurements = 0
    for second in range(1, 101):
        slow.loop.progress.seconds = second
        if slow.due():
            slow.measure()
            measurements += 1
        assert slow.spent <= max(SHARE * second, 0.1) + 1e-6  # nobody knows what the first will cost
    assert measurements == pytest.approx(SHARE * 100 / 0.1, abs=1)


def test_what_is_measured_at_a_look_is_not_counted(slow: Signs) -> None:
    slow.measure(counted=False)
    assert slow.spent == 0
    assert slow.cost == pytest.approx(0.1)


def test_rows_are_computed_once_unless_they_are_many() -> None:
    fetched: list[int] = []

    class Counted(ArraySplit):
        def fetch(self, index: Any) -> dict[str, Tensor]:
            fetched.append(len(index))
            return super().fetch(index)

    split = Remembered(Counted(SOURCE.train.arrays, SOURCE.train.rows))  # type: ignore[attr-defined]
    few, others = np.arange(8), np.arange(8, 16)
    assert torch.equal(split.fetch(few)["x"], split.fetch(few)["x"])
    assert not torch.equal(split.fetch(others)["x"], split.fetch(few)["x"])
    assert fetched == [8, 8]
    split.room = 0
    split.fetch(np.arange(16)), split.fetch(np.arange(16))
    assert fetched == [8, 8, 16, 16]


def test_what_was_trained_before_a_resume_is_no_time_to_spend_now() -> None:
    system = Made(drawn, guess, ())
    loop = Loop(system, Loader(SOURCE.train, 64, seed=0), FP32)
    referee = Referee(system, SOURCE, loop, {"minutes": 1200.0})
    loop.progress.seconds, loop.progress.images, loop.waited = 36_000.0, 1_000_000, 5.0
    referee.take_up([])
    referee.signs.cost = 0.5
    assert not referee.signs.due()
    loop.progress.seconds += 0.5 / SHARE + 1
    assert referee.signs.due()
    loop.progress.images, loop.waited = 1_000_000 + 2600, 5.0 + 0.25 * (0.5 / SHARE + 1)
    signs = referee.look()["signs"]
    assert signs["waiting"] == pytest.approx(0.25)
    assert signs["rate"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("steps", "told"), [([0.01, 10.0, 0.01], 0.01), ([10.0, 0.01, 0.01], 10.0), ([0.01, 0.02, 0.03], 0.02)]
)
def test_a_long_step_tells_of_a_pace_where_it_was_the_first(steps: list[float], told: float) -> None:
    """In the middle it is an accident, and the pace was as always."""
    system = Made(drawn, guess, ())
    referee = Referee(system, SOURCE, Loop(system, Loader(SOURCE.train, 64, seed=0), FP32), {"minutes": 1.0})
    referee.take_up([
        {"round": 50 * i, "stage": "only", "images": 64 * i, "seconds": i, "signs": {"distance": 1}, "update": {"D": x}}
        for i, x in enumerate(steps)
    ])  # fmt: skip
    assert referee.updates == {"D": told}
