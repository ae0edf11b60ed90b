"""DTN: Taigman, Polyak & Wolf 2017, https://arxiv.org/abs/1611.02200

Images of a source domain S are translated into a target domain T, no pair of them known. What must stay is what a
given network f sees: f has learned to tell the images of S apart, is frozen, and is the first half of G = g ∘ f. D
tells three kinds of image in T apart: made from S (1), made from T (2), and real (3).

    D minimises  -E_s log D₁(G(x)) - E_t log D₂(G(x)) - E_t log D₃(x)                                            (eq. 3)
    g minimises  -E_s log D₃(G(x)) - E_t log D₃(G(x))                                                            (eq. 4)
                 + α E_s |f(x) - f(G(x))|²     CONST: f sees the same before and after                           (eq. 5)
                 + β E_t |x - G(x)|²           TID: what is in T already stays as it is                          (eq. 6)
                 + γ TV(G(x))                                                                                    (eq. 7)

In a batch S is x2, with labels y2, and T is x. f is trained here too, in a stage of its own, as a classifier of S.

Differs: f is smaller than the paper's, and learns from the data's own labels; distances are means, not sums. D has no
BatchNorm, and its slopes are penalised (R1), for the time that a CPU has. The paper publishes no code.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.config import role
from mulligan.errors import Mistake
from mulligan.game import Adam, Batch, Kept, Stage, Terms, Translator, Turn
from mulligan.layers.sizes import square
from mulligan.networks.dcgan import ConvGenerator, discriminator_layers, init_he
from mulligan.penalties import gradient_penalty
from mulligan.signals import Signal

FROM_S, FROM_T, REAL = 0, 1, 2  # D's classes


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images of each domain in a batch")
    f_width: int = Field(default=32, ge=1, description="channels of f's first layer (paper: 64)")
    features: int = Field(default=128, ge=1, description="numbers that f sees an image as")
    width: int = Field(default=32, ge=1, description="channels of g's last and D's first map, doubled at each halving")
    const_weight: float = Field(default=15.0, ge=0, description="α, weight of CONST")
    tid_weight: float = Field(default=15.0, ge=0, description="β, weight of TID")
    tv_weight: float = Field(default=0.0, ge=0, description="γ, weight of TV (paper: 0.05 for faces)")
    adv_weight: float = Field(default=1.0, ge=0, description="weight of D's judgement")
    f_in_g: bool = Field(default=True, description="G begins with f; no: with a network of that shape of its own")
    first_share: float = Field(default=0.25, gt=0, lt=1, description="share of the rounds or minutes in which f learns")
    gamma: float = Field(default=1.0, ge=0, description="weight of R1", json_schema_extra=role("penalty"))
    lr: float = Field(default=1e-3, gt=0, description="learning rate of all players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, f_width=4, features=8, width=4)


class DTN(Translator):
    """Images whose side is a multiple of 4, of two domains, those of the second with a label each."""

    needs = {
        "x": (Signal("image", (None, None, None)),),
        "y2": (Signal("label", ()),),
        "x2": (Signal("image", (None, None, None)),),
    }
    routes = {"x2": "x"}
    averaged = ("f", "g", "e")

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        c, target = config, signals["x"].shape
        self.channels, self.size = square(signals["x2"].shape)
        self.side = self.size
        _check_alike(square(target), (self.channels, self.size))
        self.f = Features(self.channels, c.f_width, c.features)
        self.name = nn.Linear(c.features, signals["y2"].n_classes)  # what f has learned to tell apart
        self.e = nn.Identity() if c.f_in_g else Features(self.channels, c.f_width, c.features)
        self.g = ConvGenerator(target, c.features, c.width)
        self.D = ternary(target, c.width)
        self.translating = False  # whether f has learned
        self.kept = Kept()

    def stages(self) -> Iterator[Stage]:
        c = self.config
        rule = Adam(c.lr, (c.beta1, c.beta2))
        learns = Turn("f", (self.f, self.name), self.f_loss, Adam(c.lr))
        yield Stage("f", (learns,), c.first_share)
        self.translating = True
        own = (self.g,) if c.f_in_g else (self.e, self.g)
        turns = Turn("G", own, self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)
        yield Stage("translate", turns, 1 - c.first_share, shared_batch=True)

    def train(self, mode: bool = True) -> Self:
        """f is in eval mode for good when it no longer learns."""
        super().train(mode)
        self.f.train(mode and not self.translating)
        return self

    def f_loss(self, batch: Batch) -> Terms:
        return {"class": cross_entropy(losses.wide(self.name(self.f(batch["x2"]))), batch["y2"])}

    def g_loss(self, batch: Batch) -> Terms:
        c, s, t = self.config, batch["x2"], batch["x"]
        both = torch.cat([s, self.as_source(t)])
        seen = self.f(both if c.f_in_g else s)  # once, for G and for CONST
        from_s, from_t = torch.chunk(self.g(seen if c.f_in_g else self.e(both)), 2)
        self.kept.keep(self.images, from_s, from_t)
        terms = {
            "adv": c.adv_weight * (self.asked(from_s, REAL) + self.asked(from_t, REAL)),
            "const": c.const_weight * mse_loss(self.f(self.as_source(from_s)).float(), seen[: len(s)].float()),
            "tid": c.tid_weight * mse_loss(from_t.float(), t),
        }
        return terms | ({"tv": c.tv_weight * total_variation(from_s)} if c.tv_weight else {})

    def d_loss(self, batch: Batch) -> Terms:
        s, t, kept = batch["x2"], batch["x"], self.kept.take(self.images)
        from_s, from_t = (self.G(s), self.G(self.as_source(t))) if kept is None else kept
        terms = {
            "real": self.asked(t, REAL),
            "from_s": self.asked(from_s, FROM_S),
            "from_t": self.asked(from_t, FROM_T),
        }
        if gamma := self.config.gamma:
            terms["r1"] = gamma / 2 * gradient_penalty(lambda x: surely_real(self.D(x)), t)
        return terms

    def asked(self, x: Tensor, kind: int) -> Tensor:
        """-E log D_kind(x)."""
        logits = losses.wide(self.D(x))
        return cross_entropy(logits, torch.full((len(x),), kind, device=x.device))

    def G(self, x: Tensor) -> Tensor:
        """x (N, C, S, S), as f sees it -> (N, C', S, S) in [-1, 1]."""
        code = self.f(x) if self.config.f_in_g else self.e(x)
        made: Tensor = self.g(code)
        return made

    def as_source(self, x: Tensor) -> Tensor:
        """Images of T with the channels of S: grey ones three times, of colours the mean where S is grey."""
        return x.mean(1, keepdim=True) if self.channels == 1 else x.expand(-1, self.channels, -1, -1)

    def translate(self, image: Tensor, key: str) -> Tensor:
        """Of the data's own side alone: f sees the image as a whole.

        Raises:
            ValueError: the image has another side.
        """
        if image.shape[2:] != (self.size, self.size):
            raise Mistake(f"dtn makes images of {self.size} x {self.size} px from such: scale yours to that")
        return self.G(image)

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        return {"D": (surely_real(self.D(batch["x"])), surely_real(self.D(self.G(batch["x2"]))))}


def _check_alike(target: tuple[int, int], source: tuple[int, int]) -> None:
    """Raise ValueError unless f, which has learned from S, can look at T: (channels, side) of each."""
    (want, side), (have, size) = target, source
    if side != size:
        raise Mistake(f"images of {side} and {size} px: dtn needs one side for both; add --size {min(side, size)}")
    if 1 not in (want, have) and want != have:
        raise Mistake(f"images of {want} and {have} channels: f looks at both; bring them to the same, or one to grey")


def surely_real(logits: Tensor) -> Tensor:
    """How much surer D is of class 3 than of the others (N,), as a logit."""
    others = torch.logsumexp(losses.wide(logits)[:, :REAL], 1)
    return logits[:, REAL] - others


def total_variation(x: Tensor) -> Tensor:
    """The mean length of the gradient of images x (N, C, H, W), by differences to the next pixel (eq. 7, B = 1)."""
    down, right = x.diff(dim=2)[..., :, :-1], x.diff(dim=3)[..., :-1, :]
    return (down.square() + right.square() + 1e-8).sqrt().mean()


def ternary(shape: tuple[int | None, ...], width: int) -> nn.Sequential:
    """D: x (N, C, S, S) -> logits (N, 3): DCGAN's, without BatchNorm."""
    *layers, last = discriminator_layers(shape, width, norm=False)
    n = last[-1].in_features
    assert isinstance(n, int)
    net = nn.Sequential(*chain(*layers), nn.Flatten(), nn.Linear(n, 3))
    return net.apply(init_he)


class Features(nn.Module):
    """f: x (N, C, S, S) in [-1, 1] -> (N, d): four convolutions, each with BatchNorm, ReLU and a halving, as far as a
    side of at least 2 is left."""

    def __init__(self, channels: int, width: int, d: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise([channels, width, 2 * width, 4 * width, d]):
            layers += [
                nn.Conv2d(a, b, 3, 1, 1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
                nn.AvgPool2d(2, ceil_mode=True),
            ]
        self.layers = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.layers(x)
        return seen
