"""MC-GAN: Park, Yoo & Kwak 2018, https://arxiv.org/abs/1805.01123

An object is drawn into a picture that is given, as a sentence says, and a mask says where it is. G draws the object
from noise and the sentence as GANs do, and at each resolution a synthesis block, which has read the given background
too, decides how much of it to let through: half of the block's maps are new content h, the other half a switch s.

    h, s = block(object's maps)        next maps = up(h + sigmoid(s) * background's maps)

D has three heads: on image, mask and sentence (weight 2), on the image alone (2), on image and mask (1). Each of them
knows what is real, of four kinds of input:

                                              image, mask, sentence     image     image, mask
    real x, its mask, its sentence t                   yes               yes          yes
    the same with the sentence of another              no
    the same with the mask of another                  no                              no
    G(z, t, b), a background b of its own              no                no            no

    G minimises   the same, with what it made for the real
                  + 15 mean |(x' - b) * outside|     outside: what G's own mask m' leaves to b, less a rim
                  + 0.2 KL                           of the code of the sentence (Zhang et al. 2017)

Nothing but D's heads keeps G from calling everything object, where no background would be asked of it.

Reference code: github.com/HYOJINPARK/MC_GAN.

Differs: a head compares a real input with one that is not (see gan_cls), there each is to say 1 or 0 (LSGAN); the
slopes of what the heads say together are penalised, D has no BatchNorm, and it meets the sentence by a projection. G
and D each learn to read it, where D there is told the mean of G's code, of a sentence that an encoder trained before
has read. Blocks at 4, 8 ... px up to half the side, with half the reference's maps inside and a second convolution of
1 x 1, and transposed convolutions behind them, which can put back the pixels that the background's encoder packed away;
there nearest neighbours are enlarged. Where the table has nothing the reference asks for "yes" once more. KL weighs
0.2, there 2, and G is given a quarter of the code. The rim is one pixel, there two of 128. Widths are for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import layer_norm, max_pool2d

from mulligan import losses
from mulligan.config import Config as BaseConfig
from mulligan.config import role
from mulligan.game import Adam, Batch, Shown, Stage, Terms, Turn, Typical
from mulligan.layers.conditioning import ConditioningAugmentation, Moments
from mulligan.layers.sizes import first_map, square
from mulligan.networks.dcgan import ConvDiscriminator, init_he, init_normal
from mulligan.networks.matching import differ
from mulligan.networks.reader import LOUD, reader
from mulligan.penalties import finite_difference_penalty
from mulligan.signals import Signal


class Config(BaseConfig):
    batch: int = Field(default=32, ge=2, description="images in a batch")
    condition: Literal["text", "tags"] | None = Field(
        default=None, description="what G and D are told beside the background; default: the first that the data have"
    )
    z_dim: int = Field(default=64, ge=1, description="dimensions of the noise z")
    code: int = Field(default=64, ge=1, description="numbers that a sentence is read as")
    width: int = Field(default=32, ge=1, description="channels of G's last and D's first map, doubled at each halving")
    match_weight: float = Field(default=2.0, ge=0, description="weight of D's head on image, mask and sentence")
    image_weight: float = Field(default=2.0, ge=0, description="weight of D's head on the image alone")
    mask_weight: float = Field(default=1.0, ge=0, description="weight of D's head on image and mask")
    background_weight: float = Field(default=15.0, ge=0, description="weight of G's L1 distance to the background")
    kl_weight: float = Field(default=0.2, ge=0, description="weight of the KL term, which is a mean over the code")
    gamma: float = Field(
        default=0.2, ge=0, description="γ, weight of the penalties R1 and R2", json_schema_extra=role("penalty")
    )
    lr: float = Field(default=1e-3, gt=0, description="learning rate of both players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.9, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=8, z_dim=8, code=8, width=4)


class Heads(NamedTuple):
    """D's logits, (N,) a head."""

    match: Tensor  # of image, mask and sentence
    image: Tensor
    mask: Tensor  # of image and mask


class MCGAN(Typical):
    """Images whose side is a multiple of 4, with masks, other images as backgrounds, and a text or tags each.

    The latent is (z, ε): the noise, and what draws the code of the sentence.
    """

    needs = {
        "x": (Signal("image", (None, None, None)),),
        "background": (Signal("image", (None, None, None)),),
        "mask": (Signal("mask", (None, None, None)),),
    }
    made = ("x", "mask")
    conditions = ("text", "tags")
    G: Generator
    D: Discriminator

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        self.given = (self.key, "background")
        self.z_dim = config.z_dim + config.code
        shape, told = signals["x"].shape, signals[self.key]
        self.G = Generator(shape, told, config.z_dim, config.code, config.width)
        self.D = Discriminator(shape, told, config.width)
        self.weights = {"match": config.match_weight, "image": config.image_weight, "mask": config.mask_weight}

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, self.config.beta2))
        yield Stage("train", (Turn("D", (self.D,), self.d_loss, rule), Turn("G", (self.G,), self.g_loss, rule)))

    def real(self, batch: Batch) -> Shown:
        return batch["x"], batch["mask"], batch[self.key]

    def fake(self, batch: Batch) -> Shown:
        x, mask, _ = self.G(self.latent(len(batch["x"])), *self.told_of(batch))
        return x, mask, batch[self.key]

    def told_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch[self.key], batch["background"]

    def d_loss(self, batch: Batch) -> Terms:
        made = self.fake(batch)
        fake = self.D(*made)
        x, mask, c = given = self.real(batch)
        other = c.roll(1, 0)
        real = self.D(x, mask, torch.cat([c, other]))  # looked at once for both sentences
        match, wrong = real.match.chunk(2)
        misfit, wrong_mask = self.D.pair(x, mask.roll(1, 0), c)
        matching = losses.d_matching_relativistic(match, wrong, fake.match, differ(c, other))
        w = self.weights
        return {
            "fake": w["match"] * matching["adv"]
            + w["image"] * surer(real.image, fake.image)
            + w["mask"] * surer(real.mask, fake.mask),
            "mismatch": w["match"] * matching["mismatch"],
            "misfit": w["match"] * surer(match, misfit) + w["mask"] * surer(real.mask, wrong_mask),
            "r1_r2": self.config.gamma * self.slopes(given, made),
        }

    def slopes(self, *shown: Shown) -> Tensor:
        """E|∇D|² over what is shown, D being the mean of its heads and ∇ that of image and mask. Estimated: of two
        networks the exact one would be the longest part of a round.
        """
        x, mask, c = map(torch.cat, zip(*shown, strict=True))
        return finite_difference_penalty(
            lambda both, c: torch.stack(self.D(both[:, :-1], both[:, -1:], c)).mean(0), torch.cat([x, mask], 1), c
        )

    def g_loss(self, batch: Batch) -> Terms:
        c, background = self.told_of(batch)
        x, mask, moments = self.G(self.latent(len(c)), c, background)
        fake, real = self.D(x, mask, c), self.D(*self.real(batch))
        away = (losses.wide(x) - background) * outside(mask)
        return {
            **{head: w * surer(getattr(fake, head), getattr(real, head)) for head, w in self.weights.items()},
            "background": self.config.background_weight * away.abs().mean(),
            "kl": self.config.kl_weight * losses.kl_standard_normal(*moments),
        }

    def generate(self, batch: Batch) -> Batch:
        x, mask, _ = self.G(batch["z"], *self.told_of(batch))
        return {"x": x, "mask": mask}

    def discriminate(self, x: Tensor, *c: Tensor) -> Tensor:
        """Of the head that sees all."""
        logits: Tensor = self.D(x, *c).match
        return logits


def surer(this: Tensor, that: Tensor) -> Tensor:
    """What it costs that D is not surer of this than of that, of logits (N,) each."""
    return losses.d_relativistic(this, that)["adv"]


def outside(mask: Tensor) -> Tensor:
    """1.0 where a mask (N, 1, H, W) in [-1, 1] is below 0 and so are all pixels beside it, else 0.0; no gradient."""
    return 1 - max_pool2d((mask.detach() >= 0).float(), 3, stride=1, padding=1)


class Generator(nn.Module):
    """(z and ε (N, z_dim + code), c, background (N, C, S, S)) -> x (N, C, S, S), mask (N, 1, S, S), both in [-1, 1],
    and the moments of the code of c."""

    def __init__(self, shape: tuple[int | None, ...], told: Signal, z_dim: int, code: int, width: int) -> None:
        super().__init__()
        channels, size = square(shape)
        side, doublings = first_map(size)
        widths = [width * 2 ** (doublings - 1 - i) for i in range(doublings)]  # from the first map on
        self.first = nn.Sequential(
            nn.Linear(z_dim + code, widths[0] * side * side, bias=False),
            nn.Unflatten(1, (widths[0], side, side)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        down = [channels, *reversed(widths)]
        self.encode = nn.ModuleList(  # linear: what is let through can be undone
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b)) for a, b in pairwise(down)
        )
        self.blocks = nn.ModuleList(Synthesis(n) for n in widths)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.last = nn.Sequential(nn.ConvTranspose2d(width, channels + 1, 4, 2, 1), nn.Tanh())
        self.apply(init_normal)
        self.reader = reader(told, code)
        self.code = ConditioningAugmentation(code, code)
        self.split = [z_dim, code]

    def forward(self, latent: Tensor, c: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Moments]:
        z, noise = torch.split(latent, self.split, 1)
        code, moments = self.code(layer_norm(self.reader(c).float(), self.split[1:]), noise)
        behind = [background]
        for layer in self.encode:
            behind.append(layer(behind[-1]))
        h = self.first(torch.cat([z, LOUD * code], 1))
        for block, up in zip(self.blocks, [*self.up, self.last], strict=True):
            h = up(block(h, behind.pop()))
        return h[:, :-1], h[:, -1:], moments


class Synthesis(nn.Module):
    """Maps of the object and of the background, each (N, n, H, W) -> both in one (section 3.1)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n, n, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n),
            nn.LeakyReLU(0.02),
            nn.Conv2d(n, 2 * n, 1, bias=False),
            nn.BatchNorm2d(2 * n),
        )

    def forward(self, h: Tensor, behind: Tensor) -> Tensor:
        content, switch = self.layers(h).chunk(2, 1)
        both: Tensor = content + switch.sigmoid() * behind
        return both


class Discriminator(nn.Module):
    """(x (N, C, S, S), mask (N, 1, S, S), c) -> `Heads`: DCGAN's D without BatchNorm, once for x and once for both.

    c may have k N rows, k sentences for each image: then `match` is (k N,).
    """

    def __init__(self, shape: tuple[int | None, ...], told: Signal, width: int) -> None:
        super().__init__()
        channels, *size = shape
        self.of_image = ConvDiscriminator(shape, width, norm=False, init=init_he)
        self.of_both = ConvDiscriminator(((channels or 0) + 1, *size), width, norm=False, init=init_he, told=told)
        self.fits = nn.Linear(self.of_both.d, 1)
        init_normal(self.fits)  # all but silent at first; measured so

    def pair(self, x: Tensor, mask: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """What the two heads say that see image and mask."""
        h = self.of_both.features(torch.cat([x, mask], 1))
        return self.of_both.judge(h, c), self.fits(h).squeeze(1)

    def forward(self, x: Tensor, mask: Tensor, c: Tensor) -> Heads:
        match, fits = self.pair(x, mask, c)
        return Heads(match, self.of_image(x), fits)
