"""pix2pix: Isola, Zhu, Zhou & Efros 2017, https://arxiv.org/abs/1611.07004

An image y is made from an image x that goes with it: G is a U-Net, whose noise is its dropout, and D judges patches of
y beside x. Distance alone asks for the mean of all that y might be, which is blurred; D alone lets G do what it likes.

    D minimises  ½ (-E[log D(x, y)] - E[log(1 - D(x, G(x)))])                              (eq. 1, negated and halved)
    G minimises  -E[log D(x, G(x))] + λ E|y - G(x)|₁                                       (eq. 4)

Here the paper's x is `input` in a batch, and y is x, as what is made is called everywhere. Reference code:
github.com/phillipi/pix2pix, github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

Differs: a batch of 4 and running means in BatchNorm at test time; with a batch of 1 the paper's tests are
`--batch 1 --test-norm own`. Images are mirrored, not enlarged and cropped. The rate does not decay: a moving average
of G is what generates. Of a grey photograph the colours a, b are made and shown to D; brightness stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mulligan import losses
from mulligan.augment import mirrored
from mulligan.config import Config as BaseConfig
from mulligan.config import role
from mulligan.errors import Mistake
from mulligan.game import Adam, Batch, Kept, Shown, Stage, Terms, Translator, Turn
from mulligan.layers.lab import to_lab, to_rgb
from mulligan.layers.norms import OwnNorm, instance
from mulligan.layers.sizes import first_map, square
from mulligan.networks.dcgan import Norm, init_he
from mulligan.networks.patchgan import Patch, PatchDiscriminator, field_of, whole_logits
from mulligan.networks.perceptual import FeatureDistance
from mulligan.networks.unet import UNet
from mulligan.penalties import gradient_penalty
from mulligan.signals import LIGHTNESS, Signal

LOSSES = {
    "minimax": (losses.d_minimax, losses.g_nonsaturating),
    "least_squares": (
        lambda real, fake: losses.d_least_squares(real, fake, 0, 1),
        lambda fake: losses.g_least_squares(fake, 1),
    ),
}


class Config(BaseConfig):
    batch: int = Field(default=4, ge=1, description="images in a batch (paper: 1 to 10)")
    g_width: int = Field(default=64, ge=1, description="channels of G's first map, doubled at each halving")
    d_width: int = Field(default=64, ge=1, description="channels of D's first map, likewise")
    patch: Patch = Field(
        default="70", description="side of D's receptive field in px; image: the smallest that covers it"
    )
    told_d: bool = Field(default=True, description="D sees x too (cGAN); no: it judges y alone (GAN)")
    l1_weight: float = Field(default=100.0, ge=0, description="λ, weight of the L1 distance")
    adv_weight: float = Field(default=1.0, ge=0, description="weight of D's judgement; 0: there is no D")
    perceptual_weight: float = Field(
        default=0.0, ge=0, description="weight of a distance in EfficientNet-Lite0's features; 0: none, as the paper"
    )
    loss: Literal["minimax", "least_squares", "relativistic"] = Field(
        default="minimax", description="D's question; relativistic: which of two is real; with --gamma, R1 and R2"
    )
    gamma: float = Field(default=0.0, ge=0, description="γ, weight of R1, and of R2 where D is relativistic")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="share of maps left out, G's only noise")
    test_dropout: bool = Field(default=True, description="dropout when generating, as the paper has it")
    norm: Literal["batch", "instance"] = Field(default="batch", description="how maps are normalised")
    test_norm: Literal["running", "own"] = Field(
        default="running", description="BatchNorm when generating: means of training, or of each image itself"
    )
    antialias: bool = Field(default=False, description="filtered halvings and doublings in G")
    mirror: bool = Field(default=True, description="mirror half of the pairs in training")
    lr: float = Field(default=2e-4, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=4, g_width=4, d_width=4, patch="16")

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if not (self.l1_weight or self.adv_weight or self.perceptual_weight):
            raise Mistake("--l1-weight, --adv-weight and --perceptual-weight are all 0: G needs one to learn from")
        return self


class Pix2Pix(Translator):
    """Pairs of images of the same even side."""

    needs = {key: (Signal("image", (None, None, None)),) for key in ("x", "input")}

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        c, given = config, signals["input"]
        (made, size), (seen, _) = (square(signals[key].shape) for key in ("x", "input"))
        self.lab = given.names == (LIGHTNESS,)
        made = made - seen if self.lab else made
        norm: Norm = instance if c.norm == "instance" else nn.BatchNorm2d if c.test_norm == "running" else OwnNorm
        self.G = UNet((seen, made), c.g_width, _halvings(size), norm, dropout=c.dropout, antialias=c.antialias)
        self.multiple = self.G.multiple
        self.D = _discriminator(c, (seen, made), size, norm) if c.adv_weight else None
        self._distance: FeatureDistance | None = None
        self.taught_by = (FeatureDistance.reads,) if c.perceptual_weight else ()
        self.kept = Kept()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, self.config.beta2))
        g = Turn("G", (self.G,), self.g_loss, rule)
        d = () if self.D is None else (Turn("D", (self.D,), self.d_loss, rule),)
        yield Stage("train", (g, *d), shared_batch=True)

    def g_loss(self, batch: Batch) -> Terms:
        c, x, y = self.config, *self.pair(batch)
        fake = self.G(x)
        self.kept.keep(self.images, x, y, fake)
        terms = {"l1": c.l1_weight * (y - losses.wide(fake)).abs().mean()} if c.l1_weight else {}
        if c.perceptual_weight:
            terms["perceptual"] = c.perceptual_weight * self.distance(self.shown(x, y), self.shown(x, fake)).mean()
        if self.D is not None:
            terms["adv"] = c.adv_weight * self.adversarial(x, y, fake)
        return terms

    @property
    def distance(self) -> FeatureDistance:
        """Read when it is first asked for: whoever only generates needs no such network."""
        self._distance = self._distance or FeatureDistance()
        return self._distance

    def adversarial(self, x: Tensor, y: Tensor, fake: Tensor) -> Tensor:
        judged = self.judge(x, fake)
        if self.config.loss == "relativistic":
            return losses.g_relativistic(self.judge(x, y), judged)["adv"]
        return LOSSES[self.config.loss][1](judged)["adv"]

    def d_loss(self, batch: Batch) -> Terms:
        c, kept = self.config, self.kept.take(self.images)
        x, y, fake = self.play(batch) if kept is None else kept
        real, made = self.judge(x, y), self.judge(x, fake)
        if c.loss == "relativistic":
            terms = losses.d_relativistic(real, made)
        else:
            terms = {key: term / 2 for key, term in LOSSES[c.loss][0](real, made).items()}
        if c.gamma:
            terms["r1"] = c.gamma / 2 * self.slopes(x, y)
            if c.loss == "relativistic":
                terms["r2"] = c.gamma / 2 * self.slopes(x, fake)
        return terms

    def slopes(self, x: Tensor, y: Tensor) -> Tensor:
        """|∇D|² with respect to y, a mean over patches: exact where their receptive fields do not overlap."""

        def share(y: Tensor) -> Tensor:
            logits = self.judge(x, y)
            return logits / math.sqrt(logits[0].numel())  # the penalty squares their sum

        return gradient_penalty(share, y)

    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        """D's logits (N, 1, h, w) of y, beside x where D is told."""
        assert self.D is not None
        logits: Tensor = self.D(y, x) if self.config.told_d else self.D(y)
        return logits

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The paper's x and y of a batch, some of them mirrored."""
        x, y = batch["input"], self.target(batch)
        if self.config.mirror:
            x, y = mirrored(x, y)
        return x, y

    def target(self, batch: Batch) -> Tensor:
        """What G makes of real pairs: the images, or their colours a and b."""
        return to_lab(batch["x"])[:, 1:] if self.lab else batch["x"]

    def play(self, batch: Batch) -> Shown:
        """x, y and what G makes of x."""
        x, y = self.pair(batch)
        return x, y, self.G(x)

    def shown(self, x: Tensor, y: Tensor) -> Tensor:
        """y as an image for eyes: where it is the colours alone, with the brightness x."""
        return to_rgb(torch.cat([x, losses.wide(y)], 1)) if self.lab else y

    def translate(self, image: Tensor, key: str) -> Tensor:
        return self.shown(image, self.G(image))

    def latent(self, n: int) -> Tensor:
        """A number for each image, (n, 1): what its dropout is drawn from."""
        return torch.randn(n, 1, device=self.device)

    def generate(self, batch: Batch) -> Batch:
        """The same z, all of a batch's, the same dropout."""
        seed = int(batch["z"].double().cpu().square().sum() * 1e9)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return super().generate(batch)

    def train(self, mode: bool = True) -> Self:
        """Dropout goes on in eval mode where it is the noise that G draws from."""
        super().train(mode)
        if self.config.test_dropout:
            for layer in self.G.modules():
                if isinstance(layer, nn.Dropout):
                    layer.train()
        return self

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if self.D is None:
            return {}
        x, y = batch["input"], self.target(batch)
        return {"D": (whole_logits(self.judge(x, y)), whole_logits(self.judge(x, self.G(x))))}


def _discriminator(c: Config, channels: tuple[int, int], size: int, norm: Norm) -> nn.Module:
    field = field_of(c.patch, size)
    seen, made = channels
    shown = made + (seen if c.told_d else 0)
    if c.gamma or c.loss == "relativistic":  # no BatchNorm: a patch's slopes are its own
        return PatchDiscriminator(shown, c.d_width, field, None, init_he)
    return PatchDiscriminator(shown, c.d_width, field, norm)


def _halvings(size: int) -> int:
    """Of a side, to one pixel or an odd number.

    Raises:
        ValueError: fewer than two.
    """
    _, n = first_map(size, smallest=1, least=0)
    if n < 2:
        raise Mistake(f"--size {size}: this network needs a multiple of 4, 8 or more; try {max(8, size // 4 * 4)}")
    return n
