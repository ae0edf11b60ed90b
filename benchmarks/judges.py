"""Train the judges that ship in `metrics/judges/`: `python benchmarks/judges.py` (five minutes on two cores).

The digit judge sees only the first 50,000 images of MNIST's training file; the last 10,000 and the test
images are read once, at the end, for the accuracies that its file states. The same machine and number of
threads give the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from mulligan.data import open_source
from mulligan.data.source import Source, Split
from mulligan.metrics.digits import WEIGHTS, DigitJudge

EPOCHS = 7
BATCH = 128
SEED = 0
THREADS = 2
LR = 6e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=WEIGHTS, help="the file to write")
    parser.add_argument("--steps", type=int, default=None, help="stop early, write nothing: to try the script")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    source = open_source("mnist")
    judge = train(source, args.steps)
    if args.steps is None:
        about = describe(judge, source)
        tensors = {name: t.contiguous() for name, t in judge.state_dict().items()}
        save_file(tensors, args.out, metadata={"about": json.dumps(about)})
        args.out.chmod(0o644)  # safetensors keeps it to the owner, and a package is for all
        print(json.dumps(about, indent=1))


def train(source: Source, stop: int | None = None) -> DigitJudge:
    """Adam with decoupled decay and one cycle of the learning rate, on digits that are bent a little."""
    torch.manual_seed(SEED)
    judge = DigitJudge()
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = whole(source.train)
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.2)
    generator = torch.Generator().manual_seed(SEED)
    started = time.monotonic()
    for step in range(steps if stop is None else stop):
        batch = step % (len(images) // BATCH)
        if batch == 0:
            order = torch.randperm(len(images), generator=generator)
        rows = order[batch * BATCH : (batch + 1) * BATCH]
        x = bent(images[rows], generator).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(judge(x), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 10 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1} of {steps}, loss {loss.item():.4f}, {seconds:.0f} s", flush=True)
    return judge.eval()


def bent(x: Tensor, generator: torch.Generator) -> Tensor:
    """Digits (N, 1, 28, 28), each turned by up to 11°, scaled by 12 %, sheared, moved by 2 pixels."""

    def within(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    n = len(x)
    angle = within(n) * 0.2
    across, down = 1 + within(n) * 0.12, 1 + within(n) * 0.12
    shear = within(n) * 0.15
    affine = torch.zeros(n, 2, 3)
    affine[:, 0, 0], affine[:, 0, 1] = torch.cos(angle) * across, -torch.sin(angle) + shear
    affine[:, 1, 0], affine[:, 1, 1] = torch.sin(angle), torch.cos(angle) * down
    affine[:, :, 2] = within(n, 2) * (2 * 2 / 28)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def describe(judge: DigitJudge, source: Source) -> dict[str, Any]:
    """What the file says of itself."""
    images, labels = whole(source.train)
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).numpy()
    content = pixels.tobytes() + labels.to(torch.uint8).numpy().tobytes()
    return {
        "judge": "digits",
        "test_accuracy": accuracy(judge, source.test),
        "held_out_accuracy": accuracy(judge, source.held_out),
        "data": "MNIST, first 50,000 training images",
        "data_hash": hashlib.sha256(content).hexdigest()[:16],
        "seed": SEED,
        "epochs": EPOCHS,
        "threads": THREADS,
        "torch": torch.__version__,
        "made_by": "benchmarks/judges.py",
    }


@torch.no_grad()
def accuracy(judge: DigitJudge, split: Split) -> float:
    images, labels = whole(split)
    logits = torch.cat([judge(part) for part in torch.split(images, 500)])
    return int((logits.argmax(1) == labels).sum()) / len(labels)


def whole(split: Split) -> tuple[Tensor, Tensor]:
    rows = split.fetch(np.arange(len(split)))
    return rows["x"], rows["y"]


if __name__ == "__main__":
    main()
