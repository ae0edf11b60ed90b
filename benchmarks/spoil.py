"""Ways to spoil a training, each a context in which it is played: they last through its mulligans, as a fault would."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from mulligan import loader, loop, registry
from mulligan.data.source import Source, Split
from mulligan.game import Adam, Stage, System
from mulligan.systems import acgan, cgan

train = importlib.import_module("mulligan.train")  # mulligan.train is the function
AT = 0.3  # of the budget: when a transient fault happens
Rows = dict[str, Tensor]
Spoiled = AbstractContextManager[Any]


def swapped(owner: Any, name: str, new: Any) -> Spoiled:
    """Inside, an attribute is another."""
    return patch.object(owner, name, new)


# --- the data --------------------------------------------------------------------------------------------------


class Altered(Split):
    """Another split's rows, changed."""

    def __init__(self, split: Split, change: Callable[[Rows, np.ndarray], Rows]) -> None:
        self.split, self.change = split, change

    def __len__(self) -> int:
        return len(self.split)

    def fetch(self, index: np.ndarray) -> Rows:
        return self.change(self.split.fetch(index), index)

    def labels(self) -> Any:
        every = np.arange(len(self))
        return self.fetch(every)["y"].numpy() if self.split.labels() is not None else None


@contextmanager
def data(change: Callable[[Rows, np.ndarray], Rows], splits: tuple[str, ...]) -> Iterator[None]:
    opened = train.open_source

    def altered(*args: Any, **more: Any) -> Source:
        source: Source = opened(*args, **more)
        spoiled: Any = {name: Altered(source.splits[name], change) for name in splits}
        return replace(source, **spoiled)

    with patch.object(train, "open_source", altered):
        yield


EVERYWHERE = ("train", "held_out", "test")


def labels_shuffled() -> Spoiled:
    return data(lambda rows, index: {**rows, "y": torch.from_numpy(index * 7919 // 13 % 10)}, EVERYWHERE)


def labels_of_one_class() -> Spoiled:
    return data(lambda rows, index: {**rows, "y": torch.zeros_like(rows["y"])}, EVERYWHERE)


def scaled(factor: float, offset: float) -> Callable[[], Spoiled]:
    return lambda: data(lambda rows, index: {**rows, "x": rows["x"] * factor + offset}, EVERYWHERE)


@contextmanager
def duplicates() -> Iterator[None]:
    """Nine of ten training samples are one of twenty."""
    opened = train.open_source

    def altered(*args: Any, **more: Any) -> Source:
        source: Source = opened(*args, **more)
        return replace(source, train=Repeated(source.train))

    with patch.object(train, "open_source", altered):
        yield


class Repeated(Altered):
    def __init__(self, split: Split) -> None:
        super().__init__(split, lambda rows, index: rows)

    def fetch(self, index: np.ndarray) -> Rows:
        return self.split.fetch(np.where(index % 10 == 0, index, index % 20))


def nan_in_data() -> Spoiled:
    """One training sample of a thousand is NaN."""

    def broken(rows: Rows, index: np.ndarray) -> Rows:
        hit = torch.from_numpy(index % 1000 == 123)
        return {**rows, "x": torch.where(hit[:, None, None, None], torch.nan, rows["x"])}

    return data(broken, ("train",))


def slow_disk() -> Spoiled:
    read = loader.Loader.at

    def slow(self: loader.Loader, position: loader.Position) -> Rows:
        time.sleep(0.1)
        return read(self, position)

    return swapped(loader.Loader, "at", slow)


# --- the networks and losses -----------------------------------------------------------------------------------


def batchnorm_eps() -> Spoiled:
    return swapped(nn.BatchNorm2d, "__init__", _with_eps(nn.BatchNorm2d.__init__))


def _with_eps(build: Callable[..., None]) -> Callable[..., None]:
    def built(self: nn.Module, features: int, *args: Any, **more: Any) -> None:
        build(self, features, **{**more, "eps": 0.8})

    return built


def softmax_twice() -> Spoiled:
    correct = torch.nn.functional.cross_entropy
    return swapped(acgan, "cross_entropy", lambda logits, y: correct(logits.float().softmax(1), y))


@contextmanager
def d_not_told() -> Iterator[None]:
    build = cgan.CGAN.__init__

    def built(self: cgan.CGAN, *args: Any) -> None:
        build(self, *args)
        self.D.register_forward_pre_hook(lambda D, shown: (shown[0], torch.zeros_like(shown[1])))

    with patch.object(cgan.CGAN, "__init__", built):
        yield


# --- the turns -------------------------------------------------------------------------------------------------


def never(player: str, system: str) -> Callable[[], Spoiled]:
    """A player who takes steps of no length."""
    return partial(turns, registry.load(system), player, optimizer=Adam(0.0))


@contextmanager
def turns(kind: type[System], player: str, **changes: Any) -> Iterator[None]:
    stages = kind.stages

    def spoiled(self: System) -> Iterator[Stage]:
        for stage in stages(self):
            played = [replace(turn, **changes) if turn.player == player else turn for turn in stage.turns]
            yield replace(stage, turns=tuple(played))

    with patch.object(kind, "stages", spoiled):
        yield


# --- once, in the middle ---------------------------------------------------------------------------------------


@contextmanager
def once(strike: Callable[[loop.Loop], None]) -> Iterator[None]:
    """Strike when AT of the budget is over, once in a training, however often it is played again."""
    play = loop.Loop.play
    struck: list[int] = []

    def played(self: loop.Loop) -> None:
        if not struck and self.progress.seconds > AT * BUDGET["seconds"]:
            struck.append(self.progress.round)
            strike(self)
        play(self)

    with patch.object(loop.Loop, "play", played):
        yield


BUDGET = {"seconds": 60.0}  # of the training that is played; sabotage.py keeps it


def nan_in_g() -> Spoiled:
    return once(lambda game: _strike(game, "G", torch.nan))


def nan_in_d() -> Spoiled:
    return once(lambda game: _strike(game, "D", torch.nan))


def overflow() -> Spoiled:
    """As where a number is too large for 16 bits: a weight of D becomes infinite."""
    return once(lambda game: _strike(game, "D", torch.inf))


@torch.no_grad()
def _strike(game: loop.Loop, player: str, value: float) -> None:
    weight = next(p for p in getattr(game.system, player).parameters() if p.dim() > 1)
    weight.view(-1)[:1] = value


def corrupted_optimizer() -> Spoiled:
    """Adam's second moments become next to nothing, so that its next steps are gigantic."""

    def strike(game: loop.Loop) -> None:
        for optimizer in game.optimizers:
            for state in optimizer.state.values():
                state["exp_avg_sq"].mul_(1e-8)

    return once(strike)


TRANSIENT = (nan_in_g, nan_in_d, overflow, corrupted_optimizer)
