"""Penalties on the gradient of D with respect to its input: of its square, in two forms, or of its length.

`gradient_penalty` is E_x |∇D(x)|², exact, by double backward. `finite_difference_penalty` estimates the same number
from two forward passes: for ε ~ N(0, I), E_ε[(∇D · ε)²] = |∇D|², and ∇D · ε ≈ (D(x + σε) - D(x)) / σ. It is
unbiased for a D that is linear over a step σ, needs no second derivative, and costs about one more pass of D.

R1 (Mescheder et al. 2018, eq. 9) is γ/2 times either on real samples, R2 the same on fakes.

`lipschitz_penalty` is E_x (|∇D(x)| - target)², exact. WGAN-GP (Gulrajani et al. 2017, 1704.00028, eq. 3) takes it
between real samples and fakes, at `mix(real, fake)`.

Where D is told something of its samples, conditions c stand behind x: gradients and directions are those of x alone.

`path_lengths` is its counterpart for G: how far a step in latent space moves an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Small enough that D hardly bends over a step, large enough that float32's rounding of the difference stays
# below the estimate's own spread; tests/test_penalties.py measures both ends.
STEP = 1e-3

Logits = Callable[..., Tensor]  # D: x (N, ...), or x and what it is told of x, c (N, ...) -> logits (N, ...)


def gradient_penalty(D: Logits, x: Tensor, *c: Tensor) -> Tensor:
    """E_x |∇D(x)|², exact; scalar. D gives each sample its logits from that sample alone.

    In float32: bfloat16 keeps three digits, too few for a squared gradient that decides stability.
    """
    return _gradients(D, x, *c).square().sum(1).mean()


def lipschitz_penalty(D: Logits, x: Tensor, *c: Tensor, target: float = 1.0) -> Tensor:
    """E_x (|∇D(x)| - target)², exact, one length a sample; scalar.

    In float32, as `gradient_penalty`. Where D looks at a whole batch, ∇D is that of the sum of all its logits.
    """
    lengths: Tensor = torch.linalg.vector_norm(_gradients(D, x, *c), dim=1)  # has a slope at 0, unlike a root
    return (lengths - target).square().mean()


def mix(real: Tensor, fake: Tensor) -> Tensor:
    """A point on the line from each real sample to its fake, (N, ...) like both: one weight ~ U(0, 1) a sample."""
    weight = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    return torch.lerp(real.float(), fake.float(), weight)


def _gradients(D: Logits, x: Tensor, *c: Tensor) -> Tensor:
    """∇D at each x (N, ...), flat (N, d), in float32 and with its graph."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(D(x, *c).sum(), x, create_graph=True)
    return gradient.flatten(1)


def finite_difference_penalty(D: Logits, x: Tensor, *c: Tensor, step: float = STEP) -> Tensor:
    """An estimate of E_x |∇D(x)|² from a random direction a sample; scalar.

    Both passes see the same dropout masks: otherwise the difference measures the masks.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float()
        moved = x + step * torch.randn_like(x)
        state = _random_state(x.device)
        here = D(x, *c)
        _restore(x.device, state)
        slope = (D(moved, *c) - here) / step
        return slope.flatten(1).sum(1).square().mean() if slope.dim() > 1 else slope.square().mean()


def path_lengths(g: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """|Jᵀy| (N,) of each sample, J = dg/dw, for a random image y (Karras et al. 2020, section 3.2).

    The network g maps styles w (N, L, d) to images (N, C, H, W), one sample's from that sample's alone. As in the
    reference code y ~ N(0, I) / sqrt(HW), and the square is the mean over the L layers. w is part of a graph.
    """
    with torch.autocast(w.device.type, enabled=False):
        x = g(w)
        y = torch.randn_like(x) / math.sqrt(x[0, 0].numel())
        (gradient,) = torch.autograd.grad((x * y).sum(), w, create_graph=True)
    lengths: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1) / math.sqrt(w.shape[1])
    return lengths


def _random_state(device: torch.device) -> Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def _restore(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.set_rng_state(state)
