"""GAN-CLS: Reed, Akata, Yan, Logeswaran, Schiele & Lee 2016, https://arxiv.org/abs/1605.05396

A sentence t is turned into an image by a D that is told the sentence too, and that learns from three kinds of pairs:
real images with their own sentence, fakes with the sentence they were made for, and real images with a sentence of
another. Without the third D could tell real from fake and never ask whether image and sentence match.

    D maximises  log D(x, t) + ½ [log(1 - D(x', t)) + log(1 - D(G(z, t), t))]     x': an image of another sentence
    G maximises  log D(G(z, t), t)

Reference code: github.com/reedscot/icml2016.

`d_terms` takes the two other games that this one is measured against: `pair` leaves the third term out, `image` leaves
the sentence out of D altogether. `interpolate` is GAN-INT: G is also judged between two sentences, half way from the
code of one to that of the other.

Differs: G and D each learn to read, with a small network of their own, where the paper has one encoder trained before
and then frozen; a class or tags can stand in for the sentence; an image whose condition is the same as the other's is
no mismatch and is left out; widths for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.dcgan import ConvGenerator
from mulligan.networks.matching import MatchingDiscriminator
from mulligan.networks.reader import reader
from mulligan.signals import Signal


class Config(BaseConfig):
    condition: Literal["text", "tags", "y"] | None = Field(
        default=None, description="what G and D are told; default: the first of these that the data have"
    )
    d_terms: Literal["mismatch", "pair", "image"] = Field(
        default="mismatch", description="D learns from mismatched pairs too, from pairs alone, or from images alone"
    )
    interpolate: bool = Field(default=False, description="GAN-INT: G learns from codes between two sentences as well")
    z_dim: int = Field(default=64, ge=1, description="dimensions of the latent z")
    code: int = Field(default=128, ge=1, description="numbers that a sentence is read as")
    width: int = Field(default=32, ge=1, description="channels of G's last and D's first map, doubled at each halving")
    lr: float = Field(default=1e-3, gt=0, description="learning rate of both players")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, code=8, width=4, interpolate=True)


class GANCLS(Typical):
    """Images whose side is a multiple of 4, with a text, tags or a class each."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("text", "tags", "y")
    G: Generator
    D: MatchingDiscriminator

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        shape, told = signals["x"].shape, signals[self.key]
        self.G = Generator(shape, told, config.z_dim, config.code, config.width)
        judged = None if config.d_terms == "image" else told
        self.D = MatchingDiscriminator(shape, judged, config.code, config.width)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, 0.999))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        x, c = batch["x"], batch[self.key]
        fake = self.D(*self.fake_for_d(batch))  # apart from the reals: BatchNorm must not see them mixed
        if self.config.d_terms != "mismatch":
            real = self.D(x, c)
            self.watch(real)
            return losses.d_minimax(real, fake)
        real, wrong, differs = self.D.compare(x, c)
        self.watch(real)
        return losses.d_matching(real, wrong, fake, differs)

    def g_loss(self, batch: Batch) -> Terms:
        terms = losses.g_nonsaturating(self.D(*self.fake_for_g(batch)))
        if self.config.interpolate:
            between = self.between(batch[self.key])
            terms["between"] = losses.g_nonsaturating(between)["adv"]
        return terms

    def between(self, c: Tensor) -> Tensor:
        """D's logits (N,) on images made half way from the code of one sentence to that of the next."""
        mine = (code := self.G.read(c)).lerp(code.roll(1, 0), 0.5)
        its = None if self.D.reader is None else (code := self.D.read(c)).lerp(code.roll(1, 0), 0.5)
        logits: Tensor = self.D(self.G.draw(self.latent(len(c)), mine), None, its)
        return logits


class Generator(nn.Module):
    """(z (N, z_dim), c) -> x (N, C, S, S) in [-1, 1]: DCGAN's, with the code of c beside z."""

    def __init__(self, shape: tuple[int | None, ...], told: Signal, z_dim: int, code: int, width: int) -> None:
        super().__init__()
        self.body = ConvGenerator(shape, z_dim + code, width)
        self.reader = reader(told, code)

    def read(self, c: Tensor) -> Tensor:
        """The code (N, code) of a condition, each number of variance about 1, as z's."""
        h: Tensor = self.reader(c)
        return layer_norm(h.float(), h.shape[1:])

    def draw(self, z: Tensor, code: Tensor) -> Tensor:
        x: Tensor = self.body(torch.cat([z, code], 1))
        return x

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.draw(z, self.read(c))
