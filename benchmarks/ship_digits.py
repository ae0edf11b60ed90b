"""Train the generator of digits that ships with mulligan: `python benchmarks/ship_digits.py [MINUTES]`.

Writes src/mulligan/models/digits: config.json and the weights: the averaged G, and D in half precision.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

import mulligan
from mulligan import checkpoint
from mulligan.model import SHIPPED
from mulligan.train import resume

LIMIT = 2_000_000  # bytes


def main(minutes: float) -> None:
    run = Path("runs/ship-digits")
    command = f"python benchmarks/ship_digits.py {minutes:g}"
    model = resume(run) if run.exists() else mulligan.train("auto", "mnist", minutes=minutes, out=run, command=command)
    newest, _ = checkpoint.newest(run / "checkpoints")
    assert newest is not None
    tensors, average = checkpoint.load_model(newest / "model.safetensors")
    # D generates nothing: half precision will do for it, and keeps the file small
    rest = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items() if k not in average}
    tensors = rest | {f"ema.{k}": v for k, v in average.items()}
    folder = SHIPPED / "digits"
    folder.mkdir(parents=True, exist_ok=True)
    card = model.config["data"]["card"]
    save_file(tensors, folder / "model.safetensors", metadata={"shared": "{}", "credit": card["credit"]})
    (folder / "config.json").write_text(json.dumps(model.config, indent=1) + "\n")
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size:,} bytes")
    assert size <= LIMIT


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
