"""Model: a trained system read back from its run, ready to generate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mulligan import checkpoint, registry
from mulligan.config import Data, nearest
from mulligan.data import Progress, open_source
from mulligan.data.source import Source
from mulligan.errors import Mistake
from mulligan.game import System, Translator
from mulligan.layers.lab import as_bright
from mulligan.layers.tiles import TILE, bands
from mulligan.rundir import RunDir
from mulligan.signals import LIGHTNESS, Signal

SHIPPED = Path(__file__).parent / "models"
WEIGHTS = "model.safetensors"
AT_ONCE = 256  # samples generated in one pass
EXAMPLES = "examples.safetensors"  # in a run whose system is told what to make: conditions of held-out data


class Model:
    """A system in eval mode whose generators hold the moving average of their weights."""

    def __init__(
        self,
        directory: Path,
        weights: Path,
        config: dict[str, Any],
        *,
        round: int = 0,
        stage: int = 0,
        sha256: str | None = None,
    ) -> None:
        self.directory, self.config, self.round = directory, config, round
        self.hash = (sha256 or checkpoint.sha256(weights))[:16]
        with undrawn():
            self.system = build(config, stage)
        tensors, average = checkpoint.load_model(weights)
        _load(self.system, {**tensors, **average}, weights)
        self.ema = bool(average)
        self.examples = read_examples(directory, self.system)
        self.system.eval().requires_grad_(False)

    @classmethod
    def load(cls, run: Path | str) -> Model:
        """The newest whole checkpoint of a run directory, or a model that ships with mulligan, by name.

        Raises:
            ValueError: there is no such run or model, or it has no checkpoint that is whole.
        """
        shipped = SHIPPED / str(run)
        if not (Path(run) / "config.json").exists() and (shipped / "config.json").is_file():
            return cls(shipped, shipped / WEIGHTS, json.loads((shipped / "config.json").read_text()))
        if not Path(run).exists():
            known = [p.name for p in SHIPPED.glob("*")]
            raise Mistake(f"there is no run {str(run)!r}{nearest(str(run), known)}")
        rundir = RunDir.open(run)
        newest, damaged = checkpoint.newest(rundir.checkpoints, [WEIGHTS])  # the rest is for a training that goes on
        if newest is None:
            why = f"its checkpoints {', '.join(damaged)} are damaged" if damaged else "it has no checkpoint yet"
            raise Mistake(f"{run} cannot be loaded: {why}; train again, or --resume {run}")
        record = json.loads((newest / "state.json").read_text())
        which = {"round": record["round"], "stage": record["stage"], "sha256": record["sha256"][WEIGHTS]}
        return cls(rundir.path, newest / WEIGHTS, rundir.config, **which)

    @torch.no_grad()
    def generate(
        self, n: int, *, seed: int = 0, z: Tensor | None = None, given: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """n samples on the CPU, float32, keyed as the system makes them; the same seed, the same samples.

        Args:
            n: how many.
            seed: of the latents and of any other noise.
            z: the latents themselves (n, z_dim), instead of the seed's.
            given: what the samples are to be made for, (n, ...) by key, for systems that are told; whatever is left
                out is that of held-out data, in the order of `examples`. `mulligan.conditions` makes it from words.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            z = self.system.latent(n) if z is None else z
            batch = {"z": z, **self.told(n), **(given or {})}
            parts = [self._made({k: v[i : i + AT_ONCE] for k, v in batch.items()}) for i in range(0, n, AT_ONCE)]
        return {k: torch.cat([part[k] for part in parts]) for k in self.system.makes}

    @torch.no_grad()
    def translate(self, x: Tensor, *, back: bool = False, seed: int = 0, tile: int = TILE) -> Tensor:
        """What a system that makes images from images makes of x (N, C, H, W) in [-1, 1], (N, C', H, W) on the CPU.

        Args:
            x: of any size; see `layers.tiles`.
            back: the system's second way, where it has one.
            seed: of noise.
            tile: images with a longer side are cut into overlapping tiles of this side, in px.

        Raises:
            ValueError: the system makes no images from images, or has no second way, or takes other channels.
        """
        channels = self.translator().signals[self.route(back)[0]].shape[0]
        if x.ndim != 4 or x.shape[1] != channels:
            raise Mistake(f"x has shape {tuple(x.shape)}: this run takes (N, {channels}, H, W); bring it to that")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            some = max(1, AT_ONCE * 64 * 64 // (x.shape[2] * x.shape[3]))
            parts = [torch.cat(list(self.bands(part, back=back, tile=tile)), 2) for part in torch.split(x, some)]
        return torch.cat(parts)

    def bands(
        self,
        x: Tensor,
        *,
        back: bool = False,
        tile: int = TILE,
        see: Callable[[Tensor], Tensor] = lambda x: x,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Tensor]:
        """What `translate` makes of x, from top to bottom, each (N, C', h, W); noise is torch's random state's.

        Args:
            x: of any type that `see` takes.
            back: see `translate`.
            tile: see `translate`.
            see: makes of a part of x what the network takes.
            progress: called with the tiles done, and all.
        """
        system, key = self.translator(), self.route(back)[0]
        bright, top = system.signals[key].names == (LIGHTNESS,), 0
        if system.side is not None:
            tile = max(x.shape[2:])  # it has to be seen as a whole

        def make(part: Tensor) -> Tensor:
            return system.translate(see(part).to(system.device), key).float().cpu()

        for band in bands(x, make, multiple=system.multiple, least=system.least, tile=tile, progress=progress):
            given = x[:, :, top : top + band.shape[2]]
            top += band.shape[2]
            # the mean of two colours that are equally bright, in which tiles fade into each other, is not as bright
            yield as_bright(band, see(given)) if bright and band.shape[1] == 3 else band

    def translator(self) -> Translator:
        """The system, which makes images from images.

        Raises:
            ValueError: it does not.
        """
        if isinstance(self.system, Translator):
            return self.system
        run = self.directory.name if self.directory.parent == SHIPPED else self.directory
        raise Mistake(f"{self.config['system']} makes no images from images; see what it makes: mulligan sample {run}")

    def route(self, back: bool = False) -> tuple[str, str]:
        """Of a batch, the key that goes in and the key that comes out; `back`: those of the second way.

        Raises:
            ValueError: there is none.
        """
        routes = list(self.translator().routes.items())
        if not back:
            return routes[0]
        if len(routes) < 2:
            given, made = routes[0]
            raise Mistake(f"--back: {self.config['system']} has one way only, from {given} to {made}; leave it out")
        return routes[1]

    def _made(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        made = self.system.generate({k: v.to(self.system.device) for k, v in batch.items()})
        return {k: v.float().cpu().contiguous() for k, v in made.items()}

    @torch.no_grad()
    def discriminate(self, x: Tensor, c: Tensor) -> Tensor | None:
        """D's logits (N,) on samples x that are said to be c, on the CPU; None where no D is told c and nothing else.

        D's weights are the raw ones: only what generates has a moving average.
        """
        ask = getattr(self.system, "discriminate", None) if self.given == (getattr(self.system, "key", ""),) else None
        if ask is None:
            return None
        device, pairs = self.system.device, zip(torch.split(x, AT_ONCE), torch.split(c, AT_ONCE), strict=True)
        return torch.cat([ask(part.to(device), told.to(device)).float().cpu() for part, told in pairs])

    @property
    def given(self) -> tuple[str, ...]:
        """Keys of a batch that say what to make."""
        return self.system.given

    @property
    def taught_by(self) -> tuple[str, ...]:
        """Networks that it learned from, and that are no judges of it."""
        return self.system.taught_by

    def told(self, n: int) -> dict[str, Tensor]:
        """The examples' conditions, over and over until there are n."""
        return {k: v[torch.arange(n) % len(v)] for k, v in self.examples.items()}

    def source(self) -> Source:
        """The data that the run was trained on, opened again.

        Raises:
            ValueError: it is gone, or no longer what it was.
        """
        return reopen(self.config, self.directory)

    def provenance(self, seed: int) -> dict[str, Any]:
        """What every generated file says of itself."""
        return {
            "synthetic": True,
            "software": f"mulligan {self.config['mulligan']}",
            "system": self.config["system"],
            "model": self.hash,
            "seed": seed,
            "credit": self.config["data"]["card"].get("credit", ""),
        }


def read_examples(directory: Path, system: System) -> dict[str, Tensor]:
    """What a system may be told: the conditions of some held-out data, (n, ...) by key; {} if it is told nothing.

    Raises:
        ValueError: the file is missing or damaged.
    """
    if not system.given:
        return {}
    file = directory / EXAMPLES
    try:
        found = load_file(file)
        return {key: found[key] for key in system.given}
    except (OSError, SafetensorError, KeyError) as error:
        raise Mistake(f"{file} is missing or damaged ({error}): it says what can be asked for; train again") from error


def load(run: Path | str) -> Model:
    """See Model.load."""
    return Model.load(run)


def reopen(config: dict[str, Any], directory: Path, progress: Progress | None = None) -> Source:
    """The data that a config.json names.

    Raises:
        ValueError: it is gone, or no longer what it was.
    """
    data = config["data"]
    options = {k: data[k] for k in Data.model_fields if k in data and k != "data"}  # an older run lacks the newest
    source = open_source(data["data"], **options, progress=progress)
    if source.fingerprint != data["fingerprint"]:
        raise Mistake(
            f"{data['data']} is no longer the data of {directory} (fingerprint {source.fingerprint}, "
            f"was {data['fingerprint']}); bring the old files back or train again"
        )
    return source


def build(config: dict[str, Any], stage: int | None = None) -> System:
    """The system that a config.json describes, with fresh weights drawn from the run's seed.

    `stage`: shaped as it is in that stage; None leaves its `stages` untouched.
    """
    kind = registry.load(config["system"])
    signals = {k: Signal.from_json(v) for k, v in config["signals"].items()}
    with torch.random.fork_rng():  # a caller's random numbers are the caller's
        torch.manual_seed(config["run"]["seed"])
        system = kind(kind.Config(**config["config"]), signals)
        if stage is not None:
            stages = system.stages()
            for _ in range(stage + 1):
                next(stages)
    return system


class undrawn(TorchFunctionMode):  # noqa: N801, a context
    """Inside, weights are not drawn: those of a checkpoint take their place, all of them, and drawing them takes as
    long as all else that it takes to load a large network.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


# torch's layers draw by the first of these, ours by others too
DRAWS = {nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.uniform_, nn.init.normal_, Tensor.normal_}


def _load(system: System, tensors: dict[str, Tensor], weights: Path) -> None:
    """Load a state whose entries that are no tensors are missing, and nothing else.

    Raises:
        ValueError: the weights belong to another network.
    """
    try:
        result = system.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        odd = str(error).splitlines()[-1].strip()
    else:
        # a mulligan may have given D augmentation since these weights were saved
        spare = ("_extra_state", "augment.p", "augment.signs")
        odds = [k for k in result.missing_keys if not k.endswith(spare)] + result.unexpected_keys
        odd = odds[0] if odds else ""
    if odd:
        raise Mistake(f"the weights {weights} do not fit their config.json ({odd}); train again")
