"""Train the judges that ship in `metrics/judges/`: `python benchmarks/judges.py digits` (five minutes on two cores),
`python benchmarks/judges.py tags` (two minutes on one).

A judge sees training data alone; its test data are read once, at the end, for the accuracies that its file states. The
same machine and number of threads give the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mulligan.data import open_source
from mulligan.data.source import Split
from mulligan.layers.sizes import resized
from mulligan.metrics import digits, tags

SEED = 0
LR = 6e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("judge", choices=JUDGES)
    parser.add_argument("-o", "--out", type=Path, default=None, help="the file to write")
    parser.add_argument("--steps", type=int, default=None, help="stop early, write nothing: to try the script")
    args = parser.parse_args()
    make, file = JUDGES[args.judge]
    judge, about = make(args.steps)
    about |= {"seed": SEED, "threads": torch.get_num_threads(), "torch": torch.__version__}
    about |= {"made_by": f"benchmarks/judges.py {args.judge}"}
    print(json.dumps(about, indent=1))
    if args.steps is None:
        save(judge, about, args.out or file)


def save(judge: nn.Module, about: dict[str, Any], file: Path) -> None:
    tensors = {name: t.contiguous() for name, t in judge.state_dict().items()}
    save_file(tensors, file, metadata={"about": json.dumps(about)})
    file.chmod(0o644)  # safetensors keeps it to the owner, and a package is for all


# --- digits ------------------------------------------------------------------------------------------------


def digit_judge(stop: int | None) -> tuple[digits.DigitJudge, dict[str, Any]]:
    """On the first 50,000 images of MNIST's training file, bent a little; what it says of itself beside it."""
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    source, judge, epochs = open_source("mnist"), digits.DigitJudge(), 7
    rows = whole(source.train)
    x, y = rows["x"], rows["y"]

    def loss(i: Tensor, generator: Generator) -> Tensor:
        warped = bent(x[i], generator, angle=0.2, scale=0.12, shear=0.15, shift=2)
        return F.cross_entropy(judge(last(warped)), y[i])

    fit(judge, loss, len(x), epochs, stop)
    return judge, {
        "judge": "digits",
        "test_accuracy": digit_accuracy(judge, source.test),
        "held_out_accuracy": digit_accuracy(judge, source.held_out),
        "data": "MNIST, first 50,000 training images",
        "data_hash": content_hash(x, y),
        "epochs": epochs,
    }


@torch.no_grad()
def digit_accuracy(judge: nn.Module, split: Split) -> float:
    rows = whole(split)
    logits = torch.cat([judge(part) for part in torch.split(rows["x"], 500)])
    return int((logits.argmax(1) == rows["y"]).sum()) / len(logits)


# --- tags --------------------------------------------------------------------------------------------------


def tag_judge(stop: int | None) -> tuple[tags.TagJudge, dict[str, Any]]:
    """On the training characters, drawn at 32 px and drawn at 64 and made smaller, and then spoilt a little."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    judge, epochs = tags.TagJudge(), 8
    sources = {side: open_source("characters", size=side) for side in (32, 64)}
    train = [small(source.train) for source in sources.values()]
    x, y = train[0]["x"], train[0]["tags"]

    def loss(i: Tensor, generator: Generator) -> Tensor:
        from_64 = torch.rand(len(i), generator=generator) < 0.3
        drawn = torch.where(from_64[:, None, None, None], train[1]["x"][i], x[i])
        wanted = torch.where(from_64[:, None], train[1]["tags"][i], y[i])  # the sizes pass over other doubles
        return F.binary_cross_entropy_with_logits(judge(last(spoilt(drawn, generator))), wanted)

    fit(judge, loss, len(x), epochs, stop)
    return judge, {
        "judge": "tags",
        "tags": tags.TAGS,
        "test": {f"{side} px": tag_accuracies(judge, source.test) for side, source in sources.items()},
        "data": "characters, 10,000 training pictures, of 32 px and of 64 px",
        "data_hash": content_hash(x, y),
        "epochs": epochs,
    }


def small(split: Split) -> dict[str, Tensor]:
    rows = whole(split)
    return {"x": resized(rows["x"], tags.SIDE), "tags": rows["tags"]}


def tag_accuracies(judge: nn.Module, split: Split) -> dict[str, Any]:
    rows = small(split)
    each, whole_rows = tags.accuracies(judge, rows["x"], rows["tags"])
    return {
        "all_tags_right": round(whole_rows, 4),
        "each": {tag: round(value, 4) for tag, value in zip(tags.TAGS, each.tolist(), strict=True)},
    }


def spoilt(x: Tensor, generator: Generator) -> Tensor:
    """Faces (N, 3, 32, 32) as a G that is still learning draws them: moved, some of them mirrored, blurred, noisy or
    with colours that are slightly off."""

    def some(share: float, most: float) -> Tensor:
        there = torch.rand(len(x), generator=generator) < share
        return (torch.rand(len(x), generator=generator) * most * there)[:, None, None, None]

    mirrored = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    x = bent(x, generator, angle=0.06, scale=0.06, shear=0.04, shift=1.5)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.lerp(x, soft, some(0.5, 0.8))
    gain = 1 + some(0.5, 0.12) * torch.randn(len(x), 3, 1, 1, generator=generator)
    offset = some(0.5, 0.1) * torch.randn(len(x), 3, 1, 1, generator=generator)
    noise = some(0.5, 0.15) * torch.randn(x.shape, generator=generator)
    return (x * gain + offset + noise).clamp(-1, 1)


# --- any judge ---------------------------------------------------------------------------------------------


def fit(
    judge: nn.Module, loss: Callable[[Tensor, Generator], Tensor], n: int, epochs: int, stop: int | None,
    batch: int = 128, seed: int = SEED,
) -> None:  # fmt: skip
    """Adam with decoupled decay and one cycle of the learning rate; `loss` is of some of n rows."""
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = epochs * (n // batch)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.2)
    generator = Generator().manual_seed(seed)
    started = time.monotonic()
    for step in range(steps if stop is None else stop):
        at = step % (n // batch)
        if at == 0:
            order = torch.randperm(n, generator=generator)
        now = loss(order[at * batch : (at + 1) * batch], generator)
        optimizer.zero_grad()
        now.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 10 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1} of {steps}, loss {now.item():.4f}, {seconds:.0f} s", flush=True)
    judge.eval()


def bent(x: Tensor, generator: Generator, *, angle: float, scale: float, shear: float, shift: float) -> Tensor:
    """Images (N, C, S, S), each turned by up to `angle` radians, scaled, sheared, moved by `shift` pixels."""

    def within(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    n = len(x)
    turned = within(n) * angle
    across, down = 1 + within(n) * scale, 1 + within(n) * scale
    slant = within(n) * shear
    affine = torch.zeros(n, 2, 3)
    affine[:, 0, 0], affine[:, 0, 1] = torch.cos(turned) * across, -torch.sin(turned) + slant
    affine[:, 1, 0], affine[:, 1, 1] = torch.sin(turned), torch.cos(turned) * down
    affine[:, :, 2] = within(n, 2) * (shift * 2 / x.shape[3])
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def content_hash(x: Tensor, y: Tensor) -> str:
    pixels = ((x + 1) * 127.5).round().to(torch.uint8).numpy()
    return hashlib.sha256(pixels.tobytes() + y.to(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def whole(split: Split) -> dict[str, Tensor]:
    return split.fetch(np.arange(len(split)))


JUDGES: dict[str, tuple[Callable[[int | None], tuple[Any, dict[str, Any]]], Path]] = {
    "digits": (digit_judge, digits.WEIGHTS),
    "tags": (tag_judge, tags.WEIGHTS),
}

if __name__ == "__main__":
    main()
