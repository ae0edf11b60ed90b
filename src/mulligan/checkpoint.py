"""Checkpoints that are whole or not there: written aside, hashed, renamed; found by hash.

A checkpoint is a folder `checkpoints/000500/`:
    model.safetensors  the system's parameters and buffers, and `ema.*`, the moving average of its generators
    training.pt        optimizers and progress, read by torch's weights_only reader
    state.json         the SHA-256 of the two, the round, and whatever else the caller records
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

FILES = ("model.safetensors", "training.pt")
KEEP = 2


def save(folder: Path, model: dict[str, Any], state: dict[str, Any], record: dict[str, Any]) -> Path:
    """Write a checkpoint below `folder` and return its path.

    Args:
        folder: the run's `checkpoints`.
        model: a `state_dict`; entries that are no tensors travel in training.pt.
        state: of the loop.
        record: facts for state.json; `round` names the checkpoint.

    Raises:
        OSError: the disk is full or cannot be written; nothing half-written is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = of_round(folder, record["round"])
    aside = folder / f".{final.name}.{os.getpid()}"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _write(aside, model, state, record)
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return final


def _write(aside: Path, model: dict[str, Any], state: dict[str, Any], record: dict[str, Any]) -> None:
    tensors, shared, extra = _separate(model)
    averages = {f"ema.{k}": v for k, v in state["average"].items()}
    weights = {k: v.detach().contiguous().cpu() for k, v in {**tensors, **averages}.items()}
    rest = io.BytesIO()
    torch.save({**{k: v for k, v in state.items() if k != "average"}, "extra": extra}, rest)
    content: dict[str, bytes | memoryview] = {
        "model.safetensors": to_bytes(weights, metadata={"shared": json.dumps(shared)}),
        "training.pt": rest.getbuffer(),
    }
    for name in FILES:
        # by our own hand: safetensors and torch report a full disk as errors of their own kinds
        (aside / name).write_bytes(content[name])
    # of what was meant to be written: a disk that garbles it is found out
    record = {**record, "sha256": {name: hashlib.sha256(content[name]).hexdigest() for name in FILES}}
    (aside / "state.json").write_text(json.dumps({**record, "self": _fingerprint(record)}, indent=1))
    for name in (*FILES, "state.json"):
        _sync(aside / name)


def _fingerprint(record: dict[str, Any]) -> str:
    """Of a state.json, without the entry that holds it."""
    rest = {k: v for k, v in record.items() if k != "self"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _separate(model: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """(tensors, each storage once; names of those shared with them; entries that are no tensors)."""
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    extra: dict[str, Any] = {}
    first: dict[tuple[Any, ...], str] = {}
    for key, value in model.items():
        if not isinstance(value, Tensor):
            extra[key] = value
            continue
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and place in first:
            shared[key] = first[place]
        else:
            first[place] = key
            tensors[key] = value
    return tensors, shared, extra


def load_model(file: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(the system's tensors, the moving average's) of a model.safetensors, on the CPU."""
    from safetensors import safe_open

    tensors = load_file(file)
    with safe_open(file, "pt") as opened:
        shared = json.loads((opened.metadata() or {}).get("shared", "{}"))
    average = {k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")}
    model = {k: v for k, v in tensors.items() if not k.startswith("ema.")}
    return {**model, **{k: model[owner] for k, owner in shared.items()}}, average


def load(checkpoint: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(model, state, record) as they were given to `save`."""
    model, average = load_model(checkpoint / "model.safetensors")
    state = torch.load(checkpoint / "training.pt", map_location="cpu", weights_only=True)
    extra = state.pop("extra")
    record = json.loads((checkpoint / "state.json").read_text())
    return {**model, **extra}, {**state, "average": average}, record


def is_whole(checkpoint: Path, files: Iterable[str] = FILES) -> bool:
    """Whether the files are there and are those that were written; `files`: of them, those that are looked at."""
    try:
        record = json.loads((checkpoint / "state.json").read_text())
        if record["self"] != _fingerprint(record):
            return False
        return all(sha256(checkpoint / name) == record["sha256"][name] for name in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest(folder: Path, files: Iterable[str] = FILES) -> tuple[Path | None, list[str]]:
    """(the newest whole checkpoint or None, the names of newer ones that are damaged); see `is_whole`."""
    damaged: list[str] = []
    for checkpoint in reversed(all_in(folder)):
        if is_whole(checkpoint, files):
            return checkpoint, damaged
        damaged.append(checkpoint.name)
    return None, damaged


def of_round(folder: Path, round: int) -> Path:
    """Where the checkpoint of a round is, if there is one."""
    return folder / f"{round:06d}"


def all_in(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first, whole or not."""
    return sorted((p for p in folder.glob("[0-9]*") if p.is_dir()), key=lambda p: int(p.name))


def remove(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint, ignore_errors=True)


def prune(folder: Path, best: Iterable[str], saved: Path | None = None) -> None:
    """Keep the newest two that are whole, and those that are named; remove what a killed process left half-written.

    Args:
        folder: the run's `checkpoints`.
        best: names of checkpoints.
        saved: what `save` has just returned; it is whole, and not read again.
    """
    kept = 0
    for checkpoint in reversed(all_in(folder)):
        if kept < KEEP and (checkpoint == saved or is_whole(checkpoint)):
            kept += 1
        elif checkpoint.name not in best:
            remove(checkpoint)
    for aside in folder.glob(".[0-9]*"):
        shutil.rmtree(aside, ignore_errors=True)


def sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have the operating system put a file or folder on the disk, so that a power cut does not undo it."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
