"""GAN-CLS: Reed, Akata, Yan, Logeswaran, Schiele & Lee 2016, https://arxiv.org/abs/1605.05396

A sentence t is turned into an image by a D that is told the sentence too, and that learns from three kinds of pairs:
real images with their own sentence, fakes with the sentence they were made for, and real images with a sentence of
another. Without the third D could tell real from fake and never ask whether image and sentence match.

    D maximises  log D(x, t) + ½ [log(1 - D(x, t')) + log(1 - D(G(z, t), t))]        t': another image's sentence
    G maximises  log D(G(z, t), t)

Reference code: github.com/reedscot/icml2016.

`d_terms` takes the two other games that this one is measured against: `pair` leaves the mismatched pairs out, `image`
leaves the sentence out of D altogether. `interpolate` is GAN-INT: G is also judged between two sentences, half way from
the code of one to that of the other.

Differs: by default D compares two pairs at a time, the matching one with the fake and with the wrong one, and its
slopes are penalised, R1 and R2, as in R3GAN (2501.05441): in equal time far better drawings (docs/log.md); `loss`
minimax is the paper's. D ends in a projection, not in a concatenation, and has no BatchNorm. G and D each learn to
read, with a small network of their own, where the paper has one encoder trained before and then frozen; a class or tags
can stand in for the sentence. A pair whose two sentences are the same is no mismatch and is left out. Widths and rates
are for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.networks.dcgan import ConvDiscriminator, ConvGenerator, init_he
from mulligan.networks.matching import compare
from mulligan.penalties import gradient_penalty
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images in a batch")
    condition: Literal["text", "tags", "y"] | None = Field(
        default=None, description="what G and D are told; default: the first of these that the data have"
    )
    d_terms: Literal["mismatch", "pair", "image"] = Field(
        default="mismatch", description="D learns from mismatched pairs too, from pairs alone, or from images alone"
    )
    loss: Literal["relativistic", "minimax"] = Field(
        default="relativistic", description="D compares two pairs at a time or, as in the paper, judges each"
    )
    interpolate: bool = Field(default=False, description="GAN-INT: G learns from codes between two conditions as well")
    z_dim: int = Field(default=64, ge=1, description="dimensions of the latent z")
    width: int = Field(default=32, ge=1, description="channels of G's last and D's first map, doubled at each halving")
    gamma: float = Field(
        default=0.2, ge=0, description="γ, weight of the penalties R1 and R2", json_schema_extra=role("penalty")
    )
    lr: float = Field(default=1e-3, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.9, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=4, interpolate=True)


class GANCLS(Typical):
    """Images whose side is a multiple of 4, with a text, tags or a class each."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("text", "tags", "y")
    G: ConvGenerator

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        shape = signals["x"].shape
        self.G = ConvGenerator(shape, config.z_dim, config.width, self.told)
        self.D = ConvDiscriminator(
            shape, config.width, norm=False, init=init_he, told=None if self.blind else self.told
        )
        self.augment_d()
        self.relativistic = config.loss == "relativistic"

    @property
    def blind(self) -> bool:
        """Whether D sees images alone."""
        return bool(self.config.d_terms == "image")

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, self.config.beta2))
        yield Stage("train", (Turn("D", (self.D,), self.d_loss, rule), Turn("G", (self.G,), self.g_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        (x, c), (fake, _) = self.real(batch), self.fake(batch)
        both, twice = torch.cat([x, fake]), torch.cat([c, c])
        if self.config.d_terms == "mismatch":
            pairs = compare(self.D, x, fake, c)
            real, of_fake = pairs.real, pairs.fake
            matching = losses.d_matching_relativistic if self.relativistic else losses.d_matching
            terms = matching(real, pairs.wrong, of_fake, pairs.differs)
        else:
            real, of_fake = self.D(both, twice).chunk(2)
            terms = (losses.d_relativistic if self.relativistic else losses.d_minimax)(real, of_fake)
        self.watch(real - of_fake if self.relativistic else real)
        return {**terms, "r1_r2": self.config.gamma * gradient_penalty(self.D, both, twice)}

    def g_loss(self, batch: Batch) -> Terms:
        c = batch[self.key]
        terms = self.g_terms(self.D(*self.fake(batch)), batch)
        if self.config.interpolate:
            terms["between"] = self.g_terms(self.between(c), batch)["adv"]
        return terms

    def g_terms(self, fake: Tensor, batch: Batch) -> Terms:
        if not self.relativistic:
            return losses.g_nonsaturating(fake)
        return losses.g_relativistic(self.D(*self.real(batch)), fake)

    def between(self, c: Tensor) -> Tensor:
        """D's logits (N,) on images made half way from one sentence's code to the next one's.

        D's logit is linear in its code: half way it is the mean of the two.
        """
        other = c.roll(1, 0)
        z = self.latent(len(c))
        x = self.G.draw(self.G.latent(z, c).lerp(self.G.latent(z, other), 0.5))
        mine, its = self.D(x, torch.cat([c, other])).chunk(2) if not self.blind else (self.D(x, c),) * 2
        return torch.lerp(mine, its, 0.5)
