"""The vocabulary: a System's Stages are Turns, and a Turn is one player minimising one loss.

A system says who learns in each turn and what it minimises. It never calls `backward`, steps an optimizer
or sets `requires_grad`: `loop.py` does, for all of them.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mulligan.augment import Augment
from mulligan.config import Config
from mulligan.errors import Mistake
from mulligan.fused import FusedAdam
from mulligan.signals import Signal, mend

Batch = dict[str, Tensor]
Terms = dict[str, Tensor]  # named, weighted, scalar terms; their sum is minimised
Shown = tuple[Tensor, ...]  # what D is shown: (x,), or (x, c) where it is told a condition c too
Schedule = float | Callable[[int], float]  # of the images seen, never of the clock


def at(value: Schedule, images: int) -> float:
    """The value of a schedule after so many images."""
    return value(images) if callable(value) else value


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2014, with the fused implementation where torch has one."""

    lr: Schedule = 2e-4
    betas: tuple[Schedule, Schedule] = (0.5, 0.999)

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if parameters[0].device.type in ("cpu", "cuda"):
            return FusedAdam(parameters, lr=1e-3)
        return torch.optim.Adam(parameters, lr=1e-3, foreach=True)

    def settings(self, images: int) -> dict[str, Any]:
        b1, b2 = self.betas
        return {"lr": at(self.lr, images), "betas": (at(b1, images), at(b2, images))}


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as the papers before 2015 used it."""

    lr: Schedule = 0.1
    momentum: Schedule = 0.5

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.5, foreach=True)

    def settings(self, images: int) -> dict[str, Any]:
        return {"lr": at(self.lr, images), "momentum": at(self.momentum, images)}

    @classmethod
    def annealed(cls, lr: float, factor: float) -> Self:
        """As the GANs of 2014 used it, whose updates were of 100 images and whose epochs of 50,000: lr divided by
        `factor` an update down to 1e-6, momentum from 0.5 to 0.7 in 250 epochs.
        """
        return cls(
            lr=lambda seen: max(1e-6, lr / factor ** (seen / 100)),
            momentum=lambda seen: 0.5 + 0.2 * min(1.0, seen / (250 * 50_000)),
        )


@dataclass(frozen=True)
class RMSProp:
    """Tieleman & Hinton 2012: each gradient by the root of its running mean square; no momentum."""

    lr: Schedule = 5e-5
    alpha: float = 0.99  # of the running mean

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=1e-3, alpha=self.alpha, foreach=True)

    def settings(self, images: int) -> dict[str, Any]:
        return {"lr": at(self.lr, images)}


Rule = Adam | SGD | RMSProp


@dataclass(frozen=True)
class Turn:
    """One player minimising one loss.

    Attributes:
        player: its name in logs: D, G, E ...
        learns: the networks that move; every other parameter of the system is frozen while it plays.
        loss: takes a batch, returns named, weighted terms; their sum is minimised.
        optimizer: the rule, with its learning rate as a number or a schedule of images seen.
        repeat: plays a round (n_critic), each with a fresh batch and fresh noise.
        every: the turn is played in every so-manieth round (lazy penalties).
        after: called after each step; weight clipping, the only hook.
    """

    player: str
    learns: tuple[nn.Module, ...]
    loss: Callable[[Batch], Terms]
    optimizer: Rule = field(default_factory=Adam)
    repeat: int = 1
    every: int = 1
    after: Callable[[], None] | None = None


@dataclass(frozen=True)
class Stage:
    """Rounds with fixed turns.

    Attributes:
        name: in logs and checkpoints.
        turns: played in this order, once a round.
        share: of the run's budget, relative to the other stages.
        begin: called once on fresh entry with the loader, never on resume, for what a stage takes from data
            or trained weights; its results must live in buffers.
        shared_batch: all turns of a round see the same batch.
    """

    name: str
    turns: tuple[Turn, ...]
    share: float = 1.0
    begin: Callable[[Any], None] | None = None
    shared_batch: bool = False


class Kept:
    """What one turn of a round leaves for a later one of the same round.

    Worth an eighth of a round where G plays first: D need not wait for G's fakes again. What is left over is old by the
    next round, and in no checkpoint.
    """

    def __init__(self) -> None:
        self.left: deque[tuple[int, Shown]] = deque()

    def keep(self, images: int, *shown: Tensor) -> None:
        """Without their graph; `images`: seen by the begin of the round."""
        self._forget_before(images)
        self.left.append((images, tuple(part.detach() for part in shown)))

    def take(self, images: int) -> Shown | None:
        """The first that is left of this round; None where it is used up."""
        self._forget_before(images)
        return self.left.popleft()[1] if self.left else None

    def __len__(self) -> int:
        return len(self.left)

    def _forget_before(self, images: int) -> None:
        while self.left and self.left[0][0] != images:
            self.left.popleft()


class System(nn.Module, ABC):
    """One paper's networks and losses.

    Its file holds a class `Config` with its options. A subclass sets `needs`, builds its networks in `__init__`
    for the signals of the data, and defines `stages`, `generate`, `latent` and `scores`. Code between two yields
    of `stages` may shape networks but not read trained weights or data: on resume it runs before the checkpoint
    is loaded.
    """

    Config: ClassVar[type[Config]]
    needs: ClassVar[dict[str, tuple[Signal, ...]]]  # per key of a batch, the signals that would do
    made: ClassVar[tuple[str, ...]] = ("x",)  # keys of what it generates, each like the data's; the first is judged
    averaged: ClassVar[tuple[str, ...]] = ("G",)  # networks whose moving average generates
    conditions: ClassVar[tuple[str, ...]] = ()  # keys of a batch, any one of which can say what to make
    given: tuple[str, ...] = ()  # keys of a batch that `generate` reads beside z
    taught_by: tuple[str, ...] = ()  # networks that G learned from and others are judged by, by name

    def __init_subclass__(cls) -> None:
        """A system's options are the class `Config` in its file."""
        super().__init_subclass__()
        if "Config" not in vars(cls):
            cls.Config = getattr(sys.modules[cls.__module__], "Config", Config)

    def __init__(self, config: Any, signals: dict[str, Signal]) -> None:
        super().__init__()
        self.config = config
        self.signals = signals
        self.images = 0  # seen so far; the loop keeps it, for losses with a schedule
        self.makes: dict[str, Signal] = {key: signals[key] for key in self.made}

    @abstractmethod
    def stages(self) -> Iterator[Stage]:
        """The stages, in order."""

    @abstractmethod
    def generate(self, batch: Batch) -> Batch:
        """Samples, keyed as `makes`, in the data's own size and range; the first key is judged.

        `batch["z"]` (N, z_dim) is the latent to use; the keys in `given` say what to make.
        """

    @abstractmethod
    def latent(self, n: int) -> Tensor:
        """n latents z (n, z_dim), from torch's random state."""

    @abstractmethod
    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Per discriminating player, its logits (N,) on the batch's real samples and on fakes."""

    def pictured(self, batch: Batch, made: Batch) -> Batch:
        """What a picture shows of samples, from left to right: the images that they are made for, then what is made."""
        images = {f"given {key}": batch[key] for key in self.given if self.signals[key].kind == "image"}
        return {**images, **made}

    def vital(self) -> dict[str, float]:
        """Numbers of its own that a system has to show at a look."""
        return {}

    def in_force(self, option: str) -> Any:
        """The value of an option; of one that its Config leaves to the data, what it came to."""
        value = getattr(self.config, option, None)
        return vars(self).get(option) if value is None else value

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def to_channels_last(self) -> Self:
        """Convolution weights in the memory format that convolutions are fastest in."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Typical(System):
    """One G and one D: a random vector in, a sample out, where the system is told so with a condition c beside it.

    A subclass builds `self.G`, z -> x, and `self.D`, x -> logits; where `self.key` names a condition, (z, c) -> x and
    (x, c) -> logits. z has its Config's `z_dim` dimensions; a system in which that follows from the data sets
    `self.z_dim`.
    """

    G: nn.Module
    D: nn.Module

    def __init__(self, config: Any, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.z_dim: int = config.z_dim or 0
        self.key = condition_key(self, config, signals)
        self.given = (self.key,) if self.key else ()
        self.augment: Augment | None = None
        self.kept = Kept()  # fakes that G has learned from and D not

    def augment_d(self, *discriminators: nn.Module) -> None:
        """Let D, or the `discriminators` of a system with several, see augmented images alone while it or G learns, if
        `--augment` says so; called when D is built.

        A hook, so that every use of D is met, penalties included, and D's weights keep their names.
        """
        if strength := self._strength():
            augment = self.augment = Augment(strength)
            for D in discriminators or (self.D,):
                D.register_forward_pre_hook(lambda D, args: (augment(args[0]), *args[1:]) if D.training else None)

    def _strength(self) -> Any:
        """`--augment`, None where it says none."""
        strength = getattr(self.config, "augment", "none")
        if strength == "none":
            return None
        kind = self.signals["x"].kind
        if kind != "image":
            raise Mistake(f"--augment {strength}: {kind} are not augmented; leave it out")
        return strength

    def watch(self, margins: Tensor) -> None:
        """Tell the adaptive augmentation how surely D knew a batch of reals; see `Augment.watch`."""
        if self.augment is not None:
            self.augment.watch(margins, self.images, self.config.batch)

    def latent(self, n: int) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(n, self.z_dim, device=self.device)

    @property
    def told(self) -> Signal | None:
        """The condition's signal, None where there is none."""
        return self.signals[self.key] if self.key else None

    def condition(self, batch: Batch) -> Shown:
        """(c,), or () where there is none."""
        return (batch[self.key],) if self.key else ()

    def real(self, batch: Batch) -> Shown:
        """The batch's samples, as D is shown them."""
        return (batch["x"], *self.condition(batch))

    def fake(self, batch: Batch) -> Shown:
        """As many samples from fresh latents, as D is shown them: made for the batch's conditions."""
        c = self.condition(batch)
        return (self.G(self.latent(len(batch["x"])), *c), *c)

    def fake_for_g(self, batch: Batch) -> Shown:
        """Samples to learn from in G's turn, kept for D's turn of the same round; where G plays before D."""
        shown = self.fake(batch)
        self.kept.keep(self.images, *shown)
        return shown

    def fake_for_d(self, batch: Batch) -> Shown:
        """The fakes that G has learned from in this round; fresh ones when D has used them up."""
        kept = self.kept.take(self.images)
        return self.fake(batch) if kept is None else kept

    def vital(self) -> dict[str, float]:
        return {} if self.augment is None else {"augment.p": float(self.augment.p)}

    def generate(self, batch: Batch) -> Batch:
        x, range_ = self.G(batch["z"], *self.condition(batch)), self.makes["x"].range
        return {"x": x if range_ is None else x.clamp(*range_)}  # a G without tanh may overshoot

    def discriminate(self, x: Tensor, *c: Tensor) -> Tensor:
        """D's logits (N,) on x, told c; sigmoid of them is the D(x) of the papers."""
        logits: Tensor = self.D(x, *c)
        return logits

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return {"D": (self.discriminate(*self.real(batch)), self.discriminate(*self.fake(batch)))}


class Translator(System):
    """Makes an image from an image: no latent says what to make, the image that goes in does.

    A subclass sets `routes` and defines `translate`. Its `Config` has no `z_dim`.
    """

    # of a batch, key that goes in -> key that comes out; the first is the usual way
    routes: ClassVar[dict[str, str]] = {"input": "x"}
    multiple: int = 1  # sides that the networks can take are multiples of it
    least: int = 1  # and no smaller
    side: int | None = None  # the one side that they can take, of squares; None: any

    def __init__(self, config: Any, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.given = tuple(self.routes)

    @abstractmethod
    def translate(self, image: Tensor, key: str) -> Tensor:
        """What is made of images (N, C, H, W) in [-1, 1] of key `key`, (N, C', H, W) in [-1, 1].

        Sides may be any multiple of `multiple` from `least` on, whatever the data's, or `side` alone. Where a system
        draws noise, from torch's random state.
        """

    def generate(self, batch: Batch) -> Batch:
        return {made: self.translate(batch[key], key) for key, made in self.routes.items()}

    def pictured(self, batch: Batch, made: Batch) -> Batch:
        """Each image that is made stands right of the one that it is made of."""
        shown: Batch = {}
        for key, other in self.routes.items():
            shown |= {f"given {key}": batch[key], other: made[other]}
        return shown

    def latent(self, n: int) -> Tensor:
        """Nothing, (n, 0)."""
        return torch.empty(n, 0, device=self.device)


def condition_key(system: System, config: Any, signals: dict[str, Signal]) -> str:
    """The key of what a system is told: what its option `condition` says, or the first of its `conditions` that the
    data have; "" where it says none.

    Raises:
        ValueError: the data have no such thing.
    """
    asked: str | None = getattr(config, "condition", "none")
    if asked == "none":
        return ""
    has = [key for key in system.conditions if key in signals]
    if asked is None and has:
        return has[0]
    if asked in has:
        return asked
    if asked is not None and asked not in system.conditions:
        raise Mistake(f"--condition {asked}: this system can be told {' or '.join(system.conditions)}")
    wanted = asked or " or ".join(system.conditions)
    begin = f"--condition {asked}" if asked else "this system is told what to make"
    missing = asked or system.conditions[0]
    raise Mistake(f"{begin}: it needs {wanted}, but the data have {', '.join(signals)}{mend(missing)}")


def parameters(networks: tuple[nn.Module, ...]) -> list[nn.Parameter]:
    """The parameters of some networks, each once, however the networks share them."""
    return list(dict.fromkeys(p for network in networks for p in network.parameters()))
