"""A plan: everything that a training needs, checked and put together before the first round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mulligan.config import Run
from mulligan.data.source import Source
from mulligan.errors import Mistake
from mulligan.game import System
from mulligan.loader import Loader
from mulligan.loop import Loop
from mulligan.model import Model, build
from mulligan.runtime import Runtime


@dataclass(frozen=True)
class Plan:
    """Everything a training needs, checked, before anything is written."""

    config: dict[str, Any]  # as it goes into config.json
    source: Source
    run: Run
    loop: Loop

    @property
    def system(self) -> System:
        return self.loop.system

    @property
    def runtime(self) -> Runtime:
        return self.loop.runtime


def assemble(config: dict[str, Any], source: Source, run: Run, runtime: Runtime) -> Loop:
    system = build(config)
    loader = Loader(source.train, system.config.batch, seed=run.seed, device=runtime.device)
    fixed = first_half(system) if run.freeze_d else []
    paces = {"D": run.d_pace, "G": run.g_pace}
    return Loop(system, loader, runtime, ema=run.ema, micro_batches=run.micro_batches, fixed=fixed, paces=paces)


def start_weights(system: System, model: Model) -> dict[str, Tensor]:
    """The state of another model, the generator's averaged, wherever names and shapes agree with the system's.

    Raises:
        ValueError: nothing agrees.
    """
    theirs, ours = model.system.state_dict(), system.state_dict()
    same = {k: v for k, v in theirs.items() if isinstance(v, Tensor) and k in ours and ours[k].shape == v.shape}
    if not any(k in dict(system.named_parameters()) for k in same):
        raise Mistake(f"--from {model.directory}: none of its weights fits; use the same system and widths")
    return same


def told_to_start_from(plan: Plan) -> dict[str, Tensor]:
    """The weights that the run was told to start from."""
    told = plan.config["from"]
    model = Model.load(told["run"])
    if model.hash != told["model"]:
        raise Mistake(f"{told['run']} has other weights by now than when this run began; start a new run")
    return start_weights(plan.system, model)


def first_half(system: System) -> list[torch.nn.Parameter]:
    """The parameters of the first half of D's layers, those nearest to the data (FreezeD, Mo et al. 2020)."""
    D = getattr(system, "D", None)
    if D is None:
        raise Mistake("--freeze-d: this system has no single network D; leave the option out")
    layers: dict[str, list[torch.nn.Parameter]] = {}
    for name, p in D.named_parameters():
        layer = name.split(".parametrizations")[0] if ".parametrizations" in name else name.rpartition(".")[0]
        layers.setdefault(layer, []).append(p)
    return [p for layer in list(layers.values())[: len(layers) // 2] for p in layer]
