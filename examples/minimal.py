"""A GAN in plain torch; a comment that begins with "mulligan" says what mulligan does at that place.

Data: eight Gaussians on a circle. Loss: relativistic pairing, R1 and R2 (https://arxiv.org/abs/2501.05441).
Run: python examples/minimal.py [weights.pt]
"""

import copy
import math
import os
import sys

import torch
from torch import nn
from torch.nn.functional import softplus

ROUNDS, BATCH, Z, WIDTH, GAMMA, HALFLIFE = 1200, 128, 8, 64, 0.05, 20_000
SIGMA = 0.1
ANGLE = torch.arange(8) * (2 * math.pi / 8)
MODES = math.sqrt(2) * torch.stack([ANGLE.cos(), ANGLE.sin()], 1)  # coordinates of standard deviation 1


def real(n: int) -> torch.Tensor:
    """n points (n, 2). mulligan reads a memory-mapped source in shuffled epochs, the same after a resume."""
    return MODES[torch.randint(8, (n,))] + SIGMA * torch.randn(n, 2)


def mlp(d_in: int, d_out: int) -> nn.Sequential:
    hidden = [nn.Linear(d_in, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2)]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, d_out))


def d_loss(G: nn.Module, D: nn.Module) -> torch.Tensor:
    """D says which of a pair is real, and pays γ/2 |∇D|² on reals (R1) and on fakes (R2)."""
    # G is frozen: its fakes carry no graph, and need no detach
    x, fake = real(BATCH).requires_grad_(), G(torch.randn(BATCH, Z)).requires_grad_()
    real_logits, fake_logits = D(x), D(fake)
    # mulligan: finite differences by default, which need no second derivative
    slopes = torch.autograd.grad(real_logits.sum() + fake_logits.sum(), (x, fake), create_graph=True)
    r1_r2 = torch.stack([s.square().sum(1).mean() for s in slopes]).sum()
    return softplus(fake_logits - real_logits).mean() + GAMMA / 2 * r1_r2


def g_loss(G: nn.Module, D: nn.Module) -> torch.Tensor:
    """The same game with the signs exchanged, on a fresh batch and fresh noise."""
    return softplus(D(real(BATCH)) - D(G(torch.randn(BATCH, Z)))).mean()


def main(save_to: str = "") -> int:
    torch.manual_seed(0)  # mulligan: anew for each play, from (seed, stage, round, turn, play, shard)
    G, D = mlp(Z, 2), mlp(2, 1)
    average = copy.deepcopy(G).requires_grad_(False)  # mulligan averages BatchNorm's statistics as well
    adams = {net: torch.optim.Adam(net.parameters(), betas=(0.0, 0.9), fused=True) for net in (D, G)}
    for round in range(ROUNDS):
        for learner, loss in ((D, d_loss), (G, g_loss)):  # the turns; mulligan's systems are such lists
            for net in (G, D):  # all others are frozen: no time goes into gradients that nobody uses
                net.requires_grad_(net is learner)
            adam = adams[learner]
            adam.param_groups[0]["lr"] = 1e-3 * (1 - 0.9 * round / ROUNDS)  # mulligan: of the images seen
            adam.zero_grad(set_to_none=True)
            loss(G, D).backward()  # mulligan: bf16 where the hardware has it; then the mean over ranks
            adam.step()  # fused, one call for all weights; no .item() in a round: it waits for the GPU
        halflife = min(HALFLIFE, 0.05 * (round + 1) * BATCH)  # in images, short at first
        weights = list(average.parameters()), list(G.parameters())
        torch._foreach_lerp_(*weights, 1 - 0.5 ** (BATCH / halflife))
    if save_to:  # written aside, then renamed; mulligan: as safetensors, hashed, every optimizer beside it
        torch.save(average.state_dict(), f"{save_to}.part")
        os.replace(f"{save_to}.part", save_to)
    distance, mode = torch.cdist(average(torch.randn(10_000, Z)), MODES).min(1)
    close = distance < 3 * SIGMA  # mulligan: `evaluate`, with real data and a trivial model beside it
    found = int((mode[close].bincount(minlength=8) >= 100).sum())
    print(f"{found} of 8 modes, {close.float().mean():.0%} of samples within 3 sigma")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
