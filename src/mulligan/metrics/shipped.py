"""The weights of a judge that ships with mulligan, and what their file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import nn

JUDGES = Path(__file__).parent / "judges"
Judge = TypeVar("Judge", bound=nn.Module)


def load(judge: Judge, file: Path) -> tuple[Judge, dict[str, Any]]:
    """The judge with the file's weights, in eval mode, and the file's metadata: accuracy, data hash, seed, epochs."""
    with safe_open(file, framework="pt") as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        about = json.loads(opened.metadata()["about"])
    judge.load_state_dict(state)
    # Twice as fast on a CPU.
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return judge.eval().requires_grad_(False), about
