"""Run: the options that every training has; Config: the base of every system's own options.

Both are flat, frozen pydantic models. The command line, the `config.json` of a run and the tables in the
docs are all made from them. Nothing here imports torch, so `--help` stays fast.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from mulligan.errors import Mistake


def role(name: str) -> dict[str, Any]:
    """What an option is to the referee, who may change it when a game is lost: lr, penalty, augment, n_critic ...

    Never of an option that gives a network its shape.
    """
    return {"role": name}


def role_of(field: FieldInfo) -> str | None:
    """Of an option that has one."""
    extra = field.json_schema_extra
    return str(extra["role"]) if isinstance(extra, dict) and "role" in extra else None


class Options(BaseModel):
    """A flat, frozen set of options; an unknown name is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Config(Options):
    """Options that every system has; a system's own Config adds the paper's."""

    batch: int = Field(default=64, ge=2, le=65536, description="images (or points) in a batch")

    @classmethod
    def tiny(cls) -> Self:
        """The smallest form that still is this system, for tests that take seconds."""
        return cls()


class ImageConfig(Config):
    """The base for systems that take images."""

    augment: Literal["none", "fixed", "adaptive"] = Field(
        default="none",
        description="recolour, move and cut all images that D sees: never, always, or when D overfits",
        json_schema_extra=role("augment"),
    )


class ToldConfig(ImageConfig):
    """The base for systems of images that may be told what to make."""

    condition: Literal["none", "y", "tags", "text"] = Field(
        default="none", description="what G and D are told of a sample: nothing, its label y, its tags or its text"
    )


class Data(Options):
    """Which data, and how images are brought to one size."""

    data: str = Field(default="mnist", description="a name, a folder of images, or a .npy, .npz or .csv file")
    size: int | None = Field(default=None, ge=4, le=2048, description="side of the images in px")
    fit: Literal["crop", "pad", "stretch"] = Field(default="crop", description="how images become square")
    alpha: bool = Field(default=False, description="keep transparency as a fourth channel")
    limit: int | None = Field(default=None, ge=2, description="train on the first so many samples only")
    task: str | None = Field(
        default=None,
        description="pairs: edges, colour (from grey), labels (from flat maps), negative, blurred, dilation; paste: "
        "characters on photos; tag_vectors: each tag of an image as an answer",
    )
    pair: str | None = Field(
        default=None,
        description="A:B, from a class (folder) or tag to another: pairs where files have equal names; left:right and "
        "right:left, the halves of each file; default: found by itself for systems that need it",
    )
    unpaired: bool = Field(
        default=False, description="of pairs two domains of different images; set where the system needs that"
    )
    encoder: Literal["words", "minilm"] = Field(
        default="words",
        description="a sentence as words, which the system learns to read, or as a frozen network reads it",
    )


class Auto(Options):
    """The one option of a system that `auto` leaves to the user."""

    batch: int | None = Field(default=None, ge=2, le=65536, description="samples in a batch, if not auto's choice")


LATER = ("minutes", "rounds", "device", "mulligans", "stop")  # of Run: may change when a run is gone on with


class Run(Options):
    """Options of a training run, whatever the system."""

    minutes: float | None = Field(default=None, gt=0, description="training time; looks are not counted")
    rounds: int | None = Field(default=None, ge=0, description="rounds to play, instead of --minutes")
    stop: Literal["budget", "auto"] = Field(
        default="budget",
        description="auto: when FD has not improved beyond its noise for a third of the time so far; the best is kept",
    )
    mulligans: int = Field(default=3, ge=0, le=20, description="times that a lost game is played again; 0: never")
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="the same seed, the same run", json_schema_extra=role("seed")
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="where to compute")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="auto: bf16 where the processor multiplies it in hardware",
        json_schema_extra=role("precision"),
    )
    ema: int = Field(default=20_000, ge=0, description="half-life of the moving average of G, in images; 0: none")
    look_every: int | None = Field(
        default=None, ge=1, description="rounds between two looks (samples, checkpoint); default: by time"
    )
    g_pace: float = Field(default=1.0, gt=0, description="times G's learning rate", json_schema_extra=role("g_lr"))
    d_pace: float = Field(default=1.0, gt=0, description="times D's learning rate", json_schema_extra=role("d_lr"))
    micro_batches: int = Field(default=1, ge=1, description="parts in which a batch is played, to save memory")
    freeze_d: bool = Field(default=False, description="with --from: keep the first half of D as it is")

    @model_validator(mode="after")
    def _one_budget(self) -> Run:
        if self.minutes is not None and self.rounds is not None:
            raise Mistake("--minutes and --rounds are both set: give one of them")
        return self


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as `; did you mean dcgan?`, or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(known)}"
