"""Files that hold a latent, as `project` and `edit` write them: .npz with `latent` and what became of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan import samples
from mulligan.data.points import read_numpy
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.space import Space


def write(latent: Tensor, out: Path, provenance: dict[str, Any], *, overwrite: bool = False) -> Path:
    """Write a latent (1, ...) to the .npz `out`."""
    with samples.told(out):
        return samples.save(samples.npz(provenance, latent=latent.float().cpu().numpy()), out, overwrite=overwrite)


def read(path: Path, model: Model, space: Space) -> Tensor:
    """The latent (1, ...) of a file.

    Raises:
        ValueError: it is no such file, or of another model.
    """
    if not path.is_file():
        raise Mistake(f"{path} does not exist or is no file: give an image, a latent's .npz or a sample's number")
    array, _ = read_numpy(path, str(path))
    try:
        told = samples.read_provenance(path) or {}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise Mistake(f"{path} cannot be read: {error}") from error
    if array.shape != tuple(space.centre.shape) or array.dtype.kind != "f":
        want = "x".join(map(str, space.centre.shape))
        raise Mistake(f"{path} holds {array.dtype} of shape {array.shape}, no latent of this model ({want})")
    if told.get("model") not in (None, model.hash):
        raise Mistake(f"{path} is a latent of the model {told['model']}, and this is {model.hash}: project again")
    latent = torch.from_numpy(array).float()
    if not bool(latent.isfinite().all()):
        raise Mistake(f"{path} holds numbers that are not finite; project again")
    return latent
