"""Vital signs: closed forms for games that are healthy or lost on purpose, what measuring costs, what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import FP32, differences, each_system, everything, samples_of, tiny_loop
from mulligan.config import Config
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.game import Batch, Stage, System, Turn
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.referee import signs as signs_module
from mulligan.referee.modes import Modes, clusters
from mulligan.referee.signs import SHARE, Remembered, Signs
from mulligan.referee.watch import Referee
from mulligan.signals import Signal

NAMES = ("north", "east", "south", "west")
SIGNALS = {"x": Signal("image", (1, 8, 8)), "y": Signal("label", (), (0, 3), names=NAMES)}
CARD = DataCard("drawn", "CC0-1.0", "the tests", "none")
Make = Callable[[Tensor, Tensor], Tensor]
Ask = Callable[[Tensor], Tensor]


def images(y: Tensor, seed: int) -> Tensor:
    """Noise, with one quarter of the image bright: which one is the class."""
    x = torch.rand(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.4 - 1
    for i, (top, left) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        x[y == i, :, top : top + 4, left : left + 4] += 1.2
    return x


def split_of(n: int, seed: int) -> ArraySplit:
    y = torch.arange(n) % 4
    return ArraySplit({"x": images(y, seed).numpy(), "y": y.numpy()}, np.arange(n))


SOURCE = Source(
    name="quarters", signals=SIGNALS, train=split_of(800, 1), held_out=split_of(200, 2), test=split_of(200, 3),
    fingerprint="", card=CARD,
)  # fmt: skip
TRAIN = SOURCE.train.fetch(np.arange(800))


class Made(System):
    """A system whose G and D are any functions."""

    needs = {}

    def __init__(self, make: Make, ask: Ask, given: tuple[str, ...]) -> None:
        super().__init__(Config(), SIGNALS)
        self.make, self.ask, self.given = make, ask, given
        self.D = nn.Linear(1, 1)

    def stages(self) -> Iterator[Stage]:
        yield Stage("only", (Turn("D", (self.D,), lambda batch: {"none": self.D.weight.sum()}),))

    def latent(self, n: int) -> Tensor:
        return torch.rand(n, 2)

    def generate(self, batch: Batch) -> Batch:
        return {"x": self.make(batch["z"], batch.get("y", torch.zeros(len(batch["z"]))))}

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        n = len(batch["x"])
        return {"D": (self.ask(batch["x"]), self.ask(self.make(self.latent(n), batch["y"])))}


def drawn(z: Tensor, y: Tensor) -> Tensor:
    """Training images, of any class."""
    return TRAIN["x"][(z[:, 0] * 800).long()]


def drawn_as_told(z: Tensor, y: Tensor) -> Tensor:
    return TRAIN["x"][(z[:, 0] * 200).long() * 4 + y]


def guess(x: Tensor) -> Tensor:
    return torch.zeros(len(x))


def signs_of(make: Make = drawn, ask: Ask = guess, *, given: tuple[str, ...] = ()) -> Signs:
    system = Made(make, ask, given)
    return Signs(system, SOURCE, Loop(system, Loader(SOURCE.train, 64, seed=0), FP32))


def measured(make: Make = drawn, ask: Ask = guess, **more: Any) -> tuple[dict[str, float], list[str]]:
    return signs_of(make, ask, **more).measure()


# --- samples ------------------------------------------------------------------------------------------------


def test_training_images_are_as_diverse_as_the_data_and_copies() -> None:
    found, missing = measured()
    assert found["diversity"] == pytest.approx(1, abs=0.05)
    assert found["distance"] == pytest.approx(0, abs=0.02)
    assert found["nearest"] == pytest.approx(0, abs=0.01)
    assert (found["modes"], missing, found["finite"]) == (1, [], 1)


def test_unseen_images_are_no_copies() -> None:
    new = images(torch.arange(800) % 4, 9)
    found, _ = measured(lambda z, y: new[(z[:, 0] * 800).long()])
    assert found["nearest"] == pytest.approx(1, abs=0.1)
    assert found["distance"] == pytest.approx(0, abs=0.02)


def test_one_image_for_all_latents_has_no_diversity() -> None:
    found, missing = measured(lambda z, y: TRAIN["x"][:1].expand(len(z), -1, -1, -1))
    assert found["diversity"] == pytest.approx(0, abs=1e-3)
    assert found["distance"] > 0.3
    assert missing == list(NAMES[1:])


def test_half_of_the_classes_is_half_of_the_modes_and_the_others_are_named() -> None:
    found, missing = measured(lambda z, y: TRAIN["x"][(z[:, 0] * 400).long() * 2])
    assert (found["modes"], missing) == (0.5, ["east", "west"])


def test_the_energy_distance_of_a_shift_is_its_closed_form() -> None:
    """Two points that are `far` apart, against one of them: 2 E|X - Y| - E|X - X'| - E|Y - Y'|, over the last."""
    points = np.repeat([[0.0], [3.0]], 100, 0).astype(np.float32)
    rows = ArraySplit({"x": points}, np.arange(200))
    source = Source(
        name="two", signals={"x": Signal("points", (1,), None)}, train=rows, held_out=rows, test=rows, fingerprint="",
        card=CARD,
    )  # fmt: skip
    system = Made(lambda z, y: torch.zeros(len(z), 1), guess, ())
    system.makes = source.signals
    found = Signs(system, source, Loop(system, Loader(rows, 64, seed=0), FP32)).views[0].distances(torch.zeros(50, 1))
    spread = 2 * 64 * 64 / (128 * 127)  # of one half of the real points from the other, of 128 that are looked at
    assert found["diversity"] == 0
    assert found["distance"] == pytest.approx((2 * 0.5 - spread) / spread, abs=1e-5)


def test_samples_that_are_not_finite_are_told_and_nothing_else_of_them() -> None:
    found, _ = measured(lambda z, y: torch.full((len(z), 1, 8, 8), torch.nan))
    assert found["finite"] == 0
    assert "distance" not in found


def test_swing_is_the_share_of_samples_in_another_mode() -> None:
    choice = [0]
    wanders = signs_of(lambda z, y: TRAIN["x"][choice].expand(len(z), -1, -1, -1))
    assert "swing" not in wanders.measure()[0]
    choice[0] = 1
    assert wanders.measure()[0]["swing"] == 1


def test_samples_that_trade_places_swing_although_the_shares_stay() -> None:
    """Sample by sample: half of them are north and half are east, before and after."""
    turn = [0]
    trades = signs_of(lambda z, y: TRAIN["x"][((z[:, 0] > 0.5).long() + turn[0]) % 2])
    trades.measure()
    turn[0] = 1
    found, missing = trades.measure()
    assert (found["swing"], missing) == (1, ["south", "west"])


def test_the_same_latents_at_each_tick() -> None:
    signs = signs_of(ask=lambda x: x.mean((1, 2, 3)), given=("y",))
    first, _ = signs.measure()
    torch.rand(7)
    assert signs.measure()[0] == {**first, "swing": 0, "circling": 0}


# --- conditions ---------------------------------------------------------------------------------------------


def test_a_g_that_does_as_told() -> None:
    found, _ = measured(drawn_as_told, given=("y",))
    assert found["agreement"] == pytest.approx(1, abs=0.01)
    assert found["agreement floor"] == pytest.approx(1, abs=0.01)
    assert found["agreement chance"] == pytest.approx(0.25)
    assert found["condition"] > 0.2
    assert found["noise"] > 0.2


def test_a_g_that_ignores_its_condition_agrees_by_chance() -> None:
    found, _ = measured(drawn, given=("y",))
    assert found["condition"] == 0
    assert found["agreement"] == pytest.approx(found["agreement chance"], abs=0.12)  # of 128 samples, 3 deviations
    assert found["noise"] > 0.2


def test_a_g_that_ignores_its_noise() -> None:
    found, _ = measured(lambda z, y: TRAIN["x"][y], given=("y",))
    assert found["noise"] == 0
    assert found["condition"] > 0.2
    assert found["agreement"] == 1


def test_who_is_told_nothing_has_no_such_signs() -> None:
    assert not {"condition", "noise", "agreement", "agreement floor", "D.matching"} & measured()[0].keys()


# --- several things at once ---------------------------------------------------------------------------------


def both(second: Make, source: Source) -> tuple[dict[str, float], list[str]]:
    """What is measured of a game that makes training images, and beside them something else."""
    system = Made(drawn, guess, ())
    system.makes = {"x": SIGNALS["x"], "other": SIGNALS["x"]}
    first = system.generate
    system.generate = lambda batch: {**first(batch), "other": second(batch["z"], batch["z"])}  # type: ignore[method-assign]
    return Signs(system, source, Loop(system, Loader(source.train, 64, seed=0), FP32)).measure()


def with_other(x: np.ndarray) -> Source:
    """The data, and under another key other images."""
    splits = {}
    for name in ("train", "held_out", "test"):
        split = getattr(SOURCE, name)
        n = len(split)
        rows = split.fetch(np.arange(n))
        splits[name] = ArraySplit({"x": rows["x"].numpy(), "y": rows["y"].numpy(), "other": x[:n]}, np.arange(n))
    return replace(SOURCE, signals={**SIGNALS, "other": SIGNALS["x"]}, **splits)


def test_of_two_things_the_worse_one_counts() -> None:
    source = with_other(TRAIN["x"].numpy())
    well, missing = both(drawn, source)
    assert well["diversity"] == pytest.approx(1, abs=0.05)
    assert missing == []
    lost, missing = both(lambda z, y: TRAIN["x"][:1].expand(len(z), -1, -1, -1), source)
    assert lost["diversity"] == pytest.approx(0, abs=1e-3)
    assert lost["distance"] > 0.3
    assert lost["modes"] < 0.5
    assert all(name.startswith("other: group") for name in missing), "the labels are those of the first"


def test_where_all_real_ones_are_the_same_there_is_nothing_to_see() -> None:
    found, _ = both(drawn, with_other(np.zeros((800, 1, 8, 8), np.float32)))
    assert found["distance"] == pytest.approx(0, abs=0.02)


# --- D ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign", "auc"), [(1, 1.0), (0, 0.5), (-1, 0.0)], ids=["knows", "guesses", "is wrong"])
def test_the_auc_of_a_d_that(sign: int, auc: float) -> None:
    found, _ = measured(lambda z, y: -torch.ones(len(z), 1, 8, 8), lambda x: sign * (x.mean((1, 2, 3)) + 0.9))
    assert (found["D.auc"], found["D.auc_train"]) == (auc, auc)
    assert sign * (found["D.real"] - found["D.fake"]) >= sign**2 * 0.1


def test_a_d_that_knows_the_training_data_by_heart() -> None:
    def by_heart(x: Tensor) -> Tensor:
        return (torch.cdist(x.flatten(1), TRAIN["x"].flatten(1)).amin(1) < 1e-2).float()

    found, _ = measured(lambda z, y: -torch.ones(len(z), 1, 8, 8), by_heart)
    assert (found["D.memory"], found["D.auc_train"], found["D.auc"]) == (1, 1, 0.5)
    assert (found["D.real"], found["D.held_out"]) == (1, 0)
    fair, _ = measured(ask=lambda x: x.mean((1, 2, 3)))
    assert fair["D.memory"] == pytest.approx(0.5, abs=0.12)


def quarters(batch: Batch) -> Tensor:
    """Whether the bright quarter is the one of the label."""
    x = batch["x"][:, 0]
    light = torch.stack([x[:, a : a + 4, b : b + 4].mean((1, 2)) for a in (0, 4) for b in (0, 4)], 1)
    return (light.argmax(1) == batch["y"]).float()


def in_order(split: ArraySplit) -> ArraySplit:
    """As folders of classes are read: one class after the other."""
    y = split.fetch(np.arange(len(split)))["y"]
    return ArraySplit({k: x.numpy() for k, x in split.fetch(y.argsort(stable=True).numpy()).items()}, np.arange(len(y)))


@pytest.mark.parametrize(("asks", "auc"), [(True, 1.0), (False, 0.5)])
@pytest.mark.parametrize("sorted_", [False, True])
@pytest.mark.parametrize("batch", [16, 64])
def test_whether_d_asks_if_a_sample_matches_its_condition(asks: bool, auc: float, sorted_: bool, batch: int) -> None:
    """Real samples with their own condition, and with another's."""
    source = replace(SOURCE, held_out=in_order(SOURCE.held_out)) if sorted_ else SOURCE
    system = Made(drawn_as_told, guess, ("y",))
    signs = Signs(system, source, Loop(system, Loader(source.train, batch, seed=0), FP32))
    system.scores = lambda rows: {"D": (quarters(rows) * asks, torch.zeros(len(rows["x"])))}  # type: ignore[method-assign]
    assert signs.measure()[0]["D.matching"] == auc


def test_a_d_that_names_classes_instead_of_being_told_is_not_asked_what_matches() -> None:
    """Its logits are of the image alone by design."""
    loop = tiny_loop("acgan", "image")
    rows = samples_of(loop.system.signals)
    split = ArraySplit({k: v.numpy() for k, v in rows.tensors.items()}, np.arange(len(rows)))
    source = replace(SOURCE, signals=loop.system.signals, train=split, held_out=split, test=split)
    assert not [name for name in Signs(loop.system, source, loop).measure()[0] if "matching" in name]


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


# --- modes --------------------------------------------------------------------------------------------------


def blobs(k: int, n: int = 20) -> tuple[Tensor, Tensor]:
    """n points around each of k corners, ten deviations apart, in no order."""
    source = torch.Generator().manual_seed(0)
    y = torch.arange(k).repeat(n)
    corners = 10.0 * torch.stack([torch.arange(k) % 3, torch.arange(k) // 3], 1)
    return corners[y] + torch.randn(k * n, 2, generator=source), y


def test_clusters_that_are_apart_are_found() -> None:
    x, y = blobs(5)
    label = clusters(x, 5)
    assert sorted(label.bincount().tolist()) == [20] * 5
    assert all(len(set(label[y == i].tolist())) == 1 for i in range(5))


def test_without_labels_the_modes_are_clusters() -> None:
    x, y = blobs(5)
    modes = Modes(x, None, None, 256)
    assert (modes.named, modes.expected) == (False, 5)
    missing = modes.missing(modes.read(x[y < 3]))
    assert len(missing) == 2
    assert set(missing) < {f"group {i}" for i in range(1, 6)}


def test_more_classes_than_can_be_told_are_clusters() -> None:
    x, y = blobs(4)
    assert Modes(x, y, Signal("label", (), (0, 3)), 256).named
    assert not Modes(x, y, Signal("label", (), (0, 99)), 256).named


def test_of_a_rare_class_nothing_is_no_news() -> None:
    """One in a hundred: that none is among 60 samples says nothing."""
    x, y = torch.cat([torch.zeros(99, 2), torch.ones(1, 2)]), torch.arange(100) // 99
    modes = Modes(x, y, Signal("label", (), (0, 1), names=("many", "one")), 256)
    assert modes.missing(modes.read(torch.zeros(60, 2))) == []
    assert modes.missing(modes.read(torch.ones(60, 2))) == ["many"]


def test_agreement_is_the_share_that_is_of_the_class_it_was_made_for() -> None:
    x, y = blobs(4)
    modes = Modes(x, y, Signal("label", (), (0, 3)), 256)
    assert modes.agreement(modes.read(x), y) == 1
    assert modes.agreement(modes.read(x), (y + (y > 1).long()) % 4) == 0.5


def test_more_clusters_than_points_are_no_error() -> None:
    assert sorted(clusters(torch.randn(3, 2), 3).tolist()) == [0, 1, 2]
    assert clusters(torch.zeros(6, 2), 3).tolist() == [0] * 6
