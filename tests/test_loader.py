"""Batches by position, and the moving average's arithmetic."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Memory
from mulligan.average import RAMP_UP, Average
from mulligan.loader import Loader, Position


def loader(n: int, batch: int, seed: int = 0) -> Loader:
    return Loader(Memory(x=torch.arange(n)), batch, seed=seed)


def at(source: Loader, round: int, shard: int = 0, shards: int = 1, turn: int = 0, play: int = 0) -> list[int]:
    numbers: list[int] = source.at(Position(0, round, turn, play, shard, shards))["x"].tolist()
    return numbers


def test_the_same_position_the_same_batch() -> None:
    first, second = loader(50, 8), loader(50, 8)
    forward = [at(first, r) for r in range(20)]
    backward = [at(second, r) for r in reversed(range(20))][::-1]
    assert forward == backward


def test_seed_turn_play_and_stage_each_have_their_own_order() -> None:
    a = loader(50, 8)
    others = [at(loader(50, 8, seed=1), 0), at(a, 0, turn=1), at(a, 0, play=1),
              a.at(Position(1, 0, 0, 0, 0, 1))["x"].tolist()]  # fmt: skip
    everyone = [at(a, 0), *others]
    assert len({tuple(batch) for batch in everyone}) == len(everyone)


@pytest.mark.parametrize(("n", "batch"), [(40, 8), (41, 8), (50, 7), (16, 16)])
def test_an_epoch_covers_every_sample_once(n: int, batch: int) -> None:
    a = loader(n, batch)
    seen = [i for r in range(5 * n // batch + 1) for i in at(a, r)]
    for epoch in range(5):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert seen[:n] != seen[n : 2 * n]


@pytest.mark.parametrize("shards", [2, 4, 8])
def test_shards_partition_the_batch(shards: int) -> None:
    whole, parts = loader(50, 8), loader(50, 8)
    for r in range(15):
        assert [i for s in range(shards) for i in at(parts, r, s, shards)] == at(whole, r)


def test_fewer_samples_than_a_batch() -> None:
    a = loader(3, 8)
    counts = np.bincount([i for r in range(3) for i in at(a, r)])
    assert counts.tolist() == [8, 8, 8]


def test_one_sample() -> None:
    assert at(loader(1, 4), 0) == [0, 0, 0, 0]


# --- the moving average -------------------------------------------------------------------------------------


def one(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_closed_form_for_constant_weights() -> None:
    """k rounds of b images halve the distance k · b / half-life times."""
    net = one(4.0)
    average = Average({"G": net}, 1000)
    nn.init.constant_(net.weight, 10.0)
    for k in range(1, 8):
        average.update(10**9, 100)  # far beyond the beginning, where the half-life is shorter
        expected = 10 + (4 - 10) * 0.5 ** (k * 100 / 1000)
        assert average.shadow["G.weight"].item() == pytest.approx(expected, rel=1e-5)


def test_a_half_life_halves() -> None:
    net = one(0.0)
    average = Average({"G": net}, 640)
    nn.init.constant_(net.weight, 1.0)
    for _ in range(10):
        average.update(10**9, 64)
    assert average.shadow["G.weight"].item() == pytest.approx(0.5, rel=1e-5)


def test_the_batch_does_not_change_the_half_life() -> None:
    averages = []
    for batch in (10, 100):
        net = one(0.0)
        average = Average({"G": net}, 500)
        nn.init.constant_(net.weight, 1.0)
        for _ in range(1000 // batch):
            average.update(10**9, batch)
        averages.append(average.shadow["G.weight"].item())
    assert averages[0] == pytest.approx(averages[1], rel=1e-4)


def test_small_rounds_are_averaged_a_few_at_a_time_and_come_to_the_same() -> None:
    """Of a weight that grows by 1 an image: its average lags behind by half-life / ln 2."""
    net, halflife, began = one(0.0), 1000, 10**6
    average = Average({"G": net}, halflife)
    moved = 0
    for images in range(began + 1, began + 12 * halflife):
        nn.init.constant_(net.weight, images - began)
        before = average.shadow["G.weight"].item()
        average.update(images, 1)
        moved += average.shadow["G.weight"].item() != before
    assert moved == (12 * halflife - 1) // 16  # the largest power of two within 1000 / 32
    lag = net.weight.item() - average.shadow["G.weight"].item()
    assert lag == pytest.approx(halflife / math.log(2), abs=16)


def test_early_on_the_half_life_is_a_part_of_the_images_seen() -> None:
    net = one(0.0)
    average = Average({"G": net}, 1_000_000)
    nn.init.constant_(net.weight, 1.0)
    average.update(2000, 100)
    assert average.shadow["G.weight"].item() == pytest.approx(1 - 0.5 ** (100 / (RAMP_UP * 2000)), rel=1e-5)


def test_a_network_that_begins_late_has_a_beginning_of_its_own() -> None:
    nets = {"f": one(0.0), "g": one(0.0)}
    average = Average(nets, 1_000_000, {"f": 0, "g": 9000})
    for net in nets.values():
        nn.init.constant_(net.weight, 1.0)
    average.update(10_000, 100)
    for name, seen in (("f", 10_000), ("g", 1000)):
        expected = 1 - 0.5 ** (100 / (RAMP_UP * seen))
        assert average.shadow[f"{name}.weight"].item() == pytest.approx(expected, rel=1e-5)


def test_buffers_floats_averaged_integers_copied() -> None:
    net = nn.BatchNorm1d(2)
    average = Average({"G": net}, 100)
    net(torch.randn(8, 2) + 5)
    average.update(10**9, 100)
    live, shadow = net.running_mean, average.shadow["G.running_mean"]
    assert live is not None
    torch.testing.assert_close(shadow, live / 2)
    assert average.shadow["G.num_batches_tracked"].item() == 1


def test_swapped_holds_the_average_inside_and_restores() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average({"G": net}, 100)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1)
    average.update(10**9, 50)
    live = {k: v.clone() for k, v in net.state_dict().items()}
    shadow = {k: v.clone() for k, v in average.shadow.items()}
    with average.swapped():
        assert all(torch.equal(v, shadow[f"G.{k}"]) for k, v in net.state_dict().items())
    with pytest.raises(ZeroDivisionError), average.swapped():
        raise ZeroDivisionError
    assert all(torch.equal(v, live[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(v, shadow[k]) for k, v in average.shadow.items())


def test_swapped_restores_what_two_networks_share() -> None:
    trunk = nn.Linear(2, 2)
    a, b = nn.Sequential(trunk, nn.Linear(2, 1)), nn.Sequential(trunk, nn.Linear(2, 1))
    average = Average({"G": a, "E": b}, 100)
    nn.init.constant_(trunk.weight, 3.0)
    average.update(10**9, 100)
    for _ in range(3):
        with average.swapped():
            assert trunk.weight[0, 0].item() != 3.0
            assert a[0].weight is b[0].weight
        assert trunk.weight.unique().tolist() == [3.0]


def test_no_average() -> None:
    net = one(1.0)
    average = Average({"G": net}, 0)
    average.update(100, 10)
    with average.swapped():
        assert net.weight.item() == 1.0
    assert average.shadow == {}
