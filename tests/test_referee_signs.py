"""Vital signs: closed forms for games that are healthy or lost on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import FP32, samples_of, tiny_loop
from mulligan.data.source import ArraySplit, Source
from mulligan.game import Batch
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.referee.signs import Signs
from mulligan.signals import Signal
from quarters import CARD, NAMES, SIGNALS, SOURCE, TRAIN, Ask, Made, Make, drawn, drawn_as_told, guess, images, signs_of


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
