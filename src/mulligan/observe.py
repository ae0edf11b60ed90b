"""Looking at a system in training without a trace: samples, and how well D tells them from real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mulligan import runtime
from mulligan.game import Batch, System


@contextmanager
def observing(system: System) -> Iterator[None]:
    """Inside: eval mode, no gradients, and torch's random state put back at the end."""
    state = torch.get_rng_state()
    system.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        system.train()
        torch.set_rng_state(state)


def generate(system: System, n: int, *, seed: int, at_once: int, given: Batch | None = None) -> Batch:
    """n samples of a system in training, float32 on the CPU, keyed as it makes them; for use inside `observing`.

    Args:
        system: in training.
        n: how many.
        seed: of the latents; the same seed and `at_once`, the same latents.
        at_once: samples generated in one pass.
        given: what the samples are to be made for, (n, ...) by key, for a system that is told.
    """
    runtime.seed(seed, system.device)
    parts = []
    for start in range(0, n, at_once):
        z = system.latent(min(at_once, n - start))
        told = {k: v[start : start + at_once].to(system.device) for k, v in (given or {}).items()}
        made = system.generate({"z": z, **told})
        parts.append({key: made[key].float().cpu() for key in system.makes})
    return {key: torch.cat([part[key] for part in parts]) for key in system.makes}


def scored(system: System, batches: Iterable[Batch]) -> dict[str, tuple[Tensor, Tensor]]:
    """By player who judges, its logits on real samples and on fakes, float32 (N,) on the CPU. Inside `observing`.

    Fakes are of latents from torch's random state.

    Args:
        system: in training.
        batches: of real samples, with what they are told to be.
    """
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for batch in batches:
        for player, logits in system.scores({k: x.to(system.device) for k, x in batch.items()}).items():
            parts.setdefault(player, []).append(logits)
    joined = {player: tuple(map(torch.cat, zip(*found, strict=True))) for player, found in parts.items()}
    return {player: (real.float().cpu(), fake.float().cpu()) for player, (real, fake) in joined.items()}


def auc(real: Tensor, fake: Tensor) -> float:
    """Area under the ROC curve: the chance that a real sample's logit exceeds a fake's; ties count half."""
    real, fake = real.float().flatten(), fake.float().flatten().sort().values
    below = torch.searchsorted(fake, real, right=False)
    not_above = torch.searchsorted(fake, real, right=True)
    return float((below + not_above).double().mean() / (2 * len(fake)))
