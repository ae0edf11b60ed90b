"""AC-GAN: Odena, Olah & Shlens 2017, https://arxiv.org/abs/1610.09585

D is not told the condition c of a sample but names it, beside telling real from fake, and both players are paid for the
right name: G for samples that D names as asked.

    L_S = E[log P(real | x)] + E[log P(fake | G(z, c))]        L_C = E[log P(c | x)] + E[log P(c | G(z, c))]
    D maximises  L_S + λ L_C        G maximises  λ L_C - L_S        λ: `aux_weight`, 1 in the paper

D learns to name from reals and from fakes. A label's P is a softmax over classes, its term the cross-entropy; tags
have a sigmoid each, and their cross-entropies add up (as in Jin et al. 2017, 1708.05509). Both come from logits.

Differs: G's part of L_S is the non-saturating -log P(real | G(z, c)); the networks are DCGAN's, with kernels of 4, and
c stands beside z as 64 numbers that are learned, not one-hot; dropout stands behind BatchNorm and LeakyReLU; no noise
on activations; the paper's ImageNet was a hundred AC-GANs of ten classes, this is one for all classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mulligan import losses
from mulligan.config import ImageConfig as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Stage, Terms, Turn, Typical
from mulligan.layers.spectral import spectral_norm
from mulligan.networks.dcgan import ConvGenerator, discriminator_layers, identity, init_normal
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=100, ge=2, description="images in a batch")
    condition: Literal["y", "tags"] | None = Field(
        default=None, description="what G is told and D names; default: the first of these that the data have"
    )
    z_dim: int = Field(default=100, ge=1, description="dimensions of the latent z")
    width: int = Field(default=64, ge=1, description="channels of D's first and G's last hidden map")
    d_norm: Literal["batch", "spectral"] = Field(
        default="batch", description="D's normalisation: BatchNorm as in the paper, or that of sngan's weights"
    )
    d_hidden: int = Field(default=0, ge=0, description="units of a layer before D's two heads; 0: none")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="share of D's activations that are dropped")
    aux_weight: float = Field(
        default=1.0, ge=0, description="λ, weight of the right name, for both players", json_schema_extra=role("told")
    )
    lr: float = Field(default=2e-4, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, width=4)


class ACGAN(Typical):
    """Images whose side is a multiple of 4, with a class or tags each."""

    needs = {"x": (Signal("image", (None, None, None)),)}
    conditions = ("y", "tags")
    D: Discriminator

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        shape, told = signals["x"].shape, signals[self.key]
        self.G = ConvGenerator(shape, config.z_dim, config.width, told)
        self.D = Discriminator(shape, told, config)
        self.augment_d()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, 0.999))
        yield Stage("train", (Turn("G", (self.G,), self.g_loss, rule), Turn("D", (self.D,), self.d_loss, rule)))

    def d_loss(self, batch: Batch) -> Terms:
        (x, c), (fake, asked) = self.real(batch), self.fake_for_d(batch)
        # real and fake pass apart: BatchNorm must not see them mixed
        (on_real, name_real), (on_fake, name_fake) = self.D(x), self.D(fake)
        self.watch(on_real)
        w = self.config.aux_weight
        aux = {"aux_real": w * misnaming(name_real, c), "aux_fake": w * misnaming(name_fake, asked)}
        return losses.d_minimax(on_real, on_fake) | aux

    def g_loss(self, batch: Batch) -> Terms:
        fake, asked = self.fake_for_g(batch)
        on_fake, name = self.D(fake)
        return losses.g_nonsaturating(on_fake) | {"aux": self.config.aux_weight * misnaming(name, asked)}

    def discriminate(self, x: Tensor, *c: Tensor) -> Tensor:
        """D's logits (N,) on x, real or fake; what it is named counts for nothing."""
        logits: Tensor = self.D(x)[0]
        return logits


def misnaming(logits: Tensor, c: Tensor) -> Tensor:
    """-E[log P(c | x)] of the logits (N, n) of a label c (N,), or of tags c (N, n), independent of each other."""
    logits = losses.wide(logits)
    if not c.is_floating_point():
        return cross_entropy(logits, c)
    return binary_cross_entropy_with_logits(logits, c, reduction="sum") / len(c)


class Discriminator(nn.Module):
    """x (N, C, S, S) -> (logits (N,) of real, logits (N, n) of n classes or tags): DCGAN's with two heads."""

    def __init__(self, shape: tuple[int | None, ...], told: Signal, c: Config) -> None:
        super().__init__()
        batch = c.d_norm == "batch"
        wrap = identity if batch else spectral_norm
        *body, (*flatten, last) = discriminator_layers(shape, c.width, norm=batch, wrap=wrap, hidden=c.d_hidden)
        assert isinstance(last, nn.Linear)
        drop = [nn.Dropout(c.dropout)] if c.dropout else []
        self.body = nn.Sequential(*chain(*([*layers, *drop] for layers in body)), *flatten)
        n = told.n_classes if told.kind == "label" else told.shape[0]
        assert n is not None, told
        # what is named is not held back: a softmax of a D that must not be steep would be sure of nothing
        self.source, self.name = last, nn.Linear(last.in_features, n)
        if batch:
            self.apply(init_normal)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.source(h).squeeze(1), self.name(h)
