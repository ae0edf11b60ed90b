"""CycleGAN: Zhu, Park, Isola & Efros 2017, https://arxiv.org/abs/1703.10593

Two domains, X and Y, and no pair among them. G makes a y of an x and F an x of a y; D_Y and D_X judge whether what
they make looks like the other domain. What ties it to what went in is that the way back must lead there again.

    D_Y minimises  ½ (E[(D_Y(y) - 1)²] + E[D_Y(G(x))²]), and D_X the same of x and F(y)      (section 4)
    G   minimises  E[(D_Y(G(x)) - 1)²]                                                      (L_GAN, eq. 1, section 4)
    F   minimises  E[(D_X(F(y)) - 1)²]
    both           λ (E|F(G(x)) - x|₁ + E|G(F(y)) - y|₁)                                    (L_cyc, eq. 2)
                   and ½ λ (E|G(y) - y|₁ + E|F(x) - x|₁): what is there already stays       (L_identity, section 5.2)

Here the paper's Y is `x` in a batch, what one wants and what is judged, and its X is `x2`, what one has. Reference
code: github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

Differs: images are mirrored, not enlarged and cropped. The rate does not decay: a moving average of G and F is what
generates. D's field is no larger than an image needs: 34 px for one of 32. Instance normalisation has gains. The
identity term is on by default, as in the reference code; the paper has it for paintings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from mulligan import losses
from mulligan.augment import mirrored
from mulligan.config import Config as BaseConfig
from mulligan.config import role
from mulligan.errors import Mistake
from mulligan.game import Adam, Batch, Kept, Stage, Terms, Translator, Turn
from mulligan.layers.norms import instance
from mulligan.layers.pool import Pool
from mulligan.layers.sizes import square
from mulligan.networks.dcgan import init_normal
from mulligan.networks.patchgan import Patch, PatchDiscriminator, field_of, whole, whole_logits
from mulligan.signals import Signal

USUAL = 70  # px, D's receptive field in the paper
LARGE = 128  # px: sides above it have nine residual blocks instead of six


class Config(BaseConfig):
    batch: int = Field(default=1, ge=1, description="images of each domain in a batch")
    g_width: int = Field(default=64, ge=1, description="channels of G's and F's first map, doubled at each halving")
    d_width: int = Field(default=64, ge=1, description="channels of the first map of D_X and D_Y, likewise")
    blocks: int | None = Field(
        default=None, ge=0, description="residual blocks of G and F; default: 6 up to 128 px, 9 above"
    )
    patch: Patch | None = Field(
        default=None,
        description="side of D's receptive field in px; image: the smallest that covers it; default: that, 70 at most",
    )
    cycle_weight: float = Field(default=10.0, ge=0, description="λ, weight of the way there and back; 0: GAN alone")
    identity_weight: float | None = Field(
        default=None,
        ge=0,
        description="weight of leaving alone what is there already, as a share of λ; default: 0.5, or 0 where the "
        "domains differ in channels (paper: 0.5 for paintings, else 0)",
    )
    adv_weight: float = Field(default=1.0, ge=0, description="weight of D_X's and D_Y's judgement; 0: they do not play")
    pool: int = Field(default=50, ge=0, description="past fakes that D_X and D_Y each are shown again")
    mirror: bool = Field(default=True, description="mirror half of the images in training")
    lr: float = Field(default=2e-4, gt=0, description="learning rate of all players", json_schema_extra=role("lr"))
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's β2")

    @classmethod
    def tiny(cls) -> Config:
        return cls(batch=2, g_width=4, d_width=4, blocks=1, patch="16", pool=3)

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if not (self.adv_weight or self.cycle_weight):
            raise Mistake("--adv-weight and --cycle-weight are both 0: G and F need one to learn from")
        return self


class CycleGAN(Translator):
    """Two domains of images of the same side, a multiple of 4; their channels may differ."""

    needs = {key: (Signal("image", (None, None, None)),) for key in ("x", "x2")}
    routes = {"x2": "x", "x": "x2"}
    made = ("x", "x2")
    averaged = ("G", "F")
    multiple, least = 4, 8

    def __init__(self, config: Config, signals: dict[str, Signal]) -> None:
        super().__init__(config, signals)
        c = config
        (have, size), (want, side) = (square(signals[key].shape) for key in ("x2", "x"))
        assert size == side, (size, side)
        _check_side(size)
        self.identity_weight = _identity_weight(c.identity_weight, have, want)
        blocks = (6 if size <= LARGE else 9) if c.blocks is None else c.blocks
        field = min(USUAL, whole(size)) if c.patch is None else field_of(c.patch, size)
        self.G, self.F = (ResidualTranslator(ab, c.g_width, blocks) for ab in ((have, want), (want, have)))
        self.D_X, self.D_Y = (PatchDiscriminator(n, c.d_width, field, instance) for n in (have, want))
        self.pool_x, self.pool_y = (Pool(c.pool, (n, size, size)) for n in (have, want))
        self.kept_x, self.kept_y = Kept(), Kept()

    def stages(self) -> Iterator[Stage]:
        rule = Adam(self.config.lr, (self.config.beta1, self.config.beta2))
        g = Turn("G", (self.G, self.F), self.g_loss, rule)
        d = (Turn("D_X", (self.D_X,), self.d_x_loss, rule), Turn("D_Y", (self.D_Y,), self.d_y_loss, rule))
        yield Stage("train", (g, *(d if self.config.adv_weight else ())), shared_batch=True)

    def g_loss(self, batch: Batch) -> Terms:
        """Of G and of F, who learn together."""
        c, x, y = self.config, *self.domains(batch)
        fake_y, fake_x = self.G(x), self.F(y)
        self.kept_x.keep(self.images, fake_x)
        self.kept_y.keep(self.images, fake_y)
        terms: Terms = {}
        if c.adv_weight:
            terms["adv_y"] = c.adv_weight * _persuaded(self.D_Y(fake_y))
            terms["adv_x"] = c.adv_weight * _persuaded(self.D_X(fake_x))
        if c.cycle_weight:
            terms["cycle_x"] = c.cycle_weight * _apart(self.F(fake_y), x)
            terms["cycle_y"] = c.cycle_weight * _apart(self.G(fake_x), y)
        if weight := c.cycle_weight * self.identity_weight:
            terms["identity_y"] = weight * _apart(self.G(y), y)
            terms["identity_x"] = weight * _apart(self.F(x), x)
        return terms

    def d_x_loss(self, batch: Batch) -> Terms:
        x, y = self.domains(batch)
        kept = self.kept_x.take(self.images)
        return _judged(self.D_X, x, self.pool_x(self.F(y) if kept is None else kept[0]))

    def d_y_loss(self, batch: Batch) -> Terms:
        x, y = self.domains(batch)
        kept = self.kept_y.take(self.images)
        return _judged(self.D_Y, y, self.pool_y(self.G(x) if kept is None else kept[0]))

    def domains(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The paper's x and y of a batch, some of each mirrored."""
        x, y = batch["x2"], batch["x"]
        if self.config.mirror:
            (x,), (y,) = mirrored(x), mirrored(y)
        return x, y

    def translate(self, image: Tensor, key: str) -> Tensor:
        made: Tensor = self.G(image) if key == "x2" else self.F(image)
        return made

    def scores(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if not self.config.adv_weight:
            return {}
        x, y = batch["x2"], batch["x"]
        asked = {"D_X": (self.D_X, x, self.F(y)), "D_Y": (self.D_Y, y, self.G(x))}
        return {name: (whole_logits(D(real)), whole_logits(D(fake))) for name, (D, real, fake) in asked.items()}


def _judged(D: nn.Module, real: Tensor, fake: Tensor) -> Terms:
    return losses.d_least_squares(D(real), D(fake), 0, 1)


def _persuaded(logits: Tensor) -> Tensor:
    return 2 * losses.g_least_squares(logits, 1)["adv"]


def _apart(made: Tensor, true: Tensor) -> Tensor:
    return (losses.wide(made) - true).abs().mean()


def _identity_weight(asked: float | None, have: int, want: int) -> float:
    """As a share of λ.

    Raises:
        ValueError: it is asked for, and the domains differ in channels.
    """
    if have == want:
        return 0.5 if asked is None else asked
    if asked:
        raise Mistake(f"--identity-weight {asked}: the domains have {have} and {want} channels; leave it out")
    return 0.0


def _check_side(size: int) -> None:
    """Raise ValueError unless a side can be halved twice, and padded by its own reflection then."""
    if size % 4 or size < 8:
        raise Mistake(f"--size {size}: this network needs a multiple of 4, 8 or more; try {max(8, size // 4 * 4)}")


# --- the network ------------------------------------------------------------------------------------------------


class ResidualTranslator(nn.Module):
    """x (N, a, H, W) -> (N, b, H, W) in [-1, 1], sides multiples of 4 (Johnson et al. 2016; appendix 7.2).

    c7s1-w, d2w, d4w, blocks, u2w, uw, c7s1-b in the paper's words.

    Args:
        channels: a and b.
        width: w, channels of the first map.
        blocks: residual ones, at a quarter of the side.
    """

    def __init__(self, channels: tuple[int, int], width: int, blocks: int) -> None:
        super().__init__()
        (a, b), w = channels, width
        self.layers = nn.Sequential(
            *_mapped(a, w, 7),
            *_mapped(w, 2 * w, 3, stride=2), *_mapped(2 * w, 4 * w, 3, stride=2),
            *(Residual(4 * w) for _ in range(blocks)),
            *_doubled(4 * w, 2 * w), *_doubled(2 * w, w),
            nn.Conv2d(w, b, 7, padding=3, padding_mode="reflect"), nn.Tanh(),
        )  # fmt: skip
        self.apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made


class Residual(nn.Module):
    """h (N, C, H, W) -> h + f(h), f of two 3 x 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        *second, _ = _mapped(width, width, 3)  # no ReLU before the sum
        self.f = nn.Sequential(*_mapped(width, width, 3), *second)

    def forward(self, h: Tensor) -> Tensor:
        changed: Tensor = h + self.f(h)
        return changed


def _mapped(a: int, b: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False, padding_mode="reflect")
    return [conv, instance(b), nn.ReLU()]


def _doubled(a: int, b: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1, bias=False)
    return [conv, instance(b), nn.ReLU()]
