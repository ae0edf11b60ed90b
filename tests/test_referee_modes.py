"""The modes of data, by label or found, and which of them samples lack."""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.referee.modes import Modes, clusters
from mulligan.signals import Signal


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
