"""Adversarial losses: logits in, named scalars out.

Each objective is a pair `d_<name>(real, fake)` and `g_<name>(...)`. Logits have shape (N,) or (N, 1, h, w) for
patch discriminators; every loss is a mean over all of them, so it does not depend on how a batch is split.
D(x) in the papers is sigmoid(logit); log sigmoid(t) = -softplus(-t) and log(1 - sigmoid(t)) = -softplus(t), which
stay finite where the logarithm of a sigmoid does not. Losses are computed in float32 whatever the logits are: bfloat16
has three digits, and a difference of two logits soon none.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus


def wide(logits: Tensor) -> Tensor:
    """In float32 at least."""
    return logits.float() if logits.element_size() < 4 else logits


def d_minimax(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1, negated: D minimises)."""
    return {"real": softplus(-wide(real)).mean(), "fake": softplus(wide(fake)).mean()}


def g_saturating(fake: Tensor) -> dict[str, Tensor]:
    """E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1): its gradient fades where D rejects the fakes."""
    return {"adv": -softplus(wide(fake)).mean()}


def g_nonsaturating(fake: Tensor) -> dict[str, Tensor]:
    """-E[log D(G(z))] (Goodfellow et al. 2014, section 3, the form used in practice)."""
    return {"adv": softplus(-wide(fake)).mean()}


def d_matching(real: Tensor, mismatch: Tensor, fake: Tensor, differs: Tensor) -> dict[str, Tensor]:
    """-E[log D(x, t)] - ½ (E[log(1 - D(x, t'))] + E[log(1 - D(G(z, t), t))]) (Reed et al. 2016, algorithm 1, negated).

    `differs` (N,): whether the t' of a pair is not its t; where it is the same the pair is no mismatch, and left out.
    """
    return {
        "real": softplus(-wide(real)).mean(),
        "mismatch": (softplus(wide(mismatch)) * differs).sum() / differs.sum().clamp(min=1) / 2,
        "fake": softplus(wide(fake)).mean() / 2,
    }


def d_hinge(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, eq. 16, negated)."""
    return {"real": relu(1 - wide(real)).mean(), "fake": relu(1 + wide(fake)).mean()}


def g_hinge(fake: Tensor) -> dict[str, Tensor]:
    """-E[D(G(z))] (Miyato et al. 2018, eq. 17)."""
    return {"adv": -wide(fake).mean()}


def d_wasserstein(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """E[D(G(z))] - E[D(x)] (Arjovsky et al. 2017, eq. 2 and 3, negated): D is a critic, its output no logit."""
    return {"real": -wide(real).mean(), "fake": wide(fake).mean()}


def g_wasserstein(fake: Tensor) -> dict[str, Tensor]:
    """-E[D(G(z))] (Arjovsky et al. 2017, theorem 3)."""
    return {"adv": -wide(fake).mean()}


def d_least_squares(real: Tensor, fake: Tensor, a: float, b: float) -> dict[str, Tensor]:
    """½ E[(D(x) - b)²] + ½ E[(D(G(z)) - a)²] (Mao et al. 2017, eq. 2)."""
    return {"real": (wide(real) - b).square().mean() / 2, "fake": (wide(fake) - a).square().mean() / 2}


def g_least_squares(fake: Tensor, c: float) -> dict[str, Tensor]:
    """½ E[(D(G(z)) - c)²] (Mao et al. 2017, eq. 2)."""
    return {"adv": (wide(fake) - c).square().mean() / 2}


def d_relativistic(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """E[softplus(-(D(x) - D(G(z))))], each real sample paired with one fake (Huang et al. 2024, eq. 2)."""
    return {"adv": softplus(wide(fake) - wide(real)).mean()}


def d_matching_relativistic(real: Tensor, mismatch: Tensor, fake: Tensor, differs: Tensor) -> dict[str, Tensor]:
    """The same asked of two at a time: which is the matching pair, this one or the fake; this one or the mismatch?

    E[softplus(-(s_r - s_f))] + E[softplus(-(s_r - s_w))] of logits s; `differs` as of `d_matching`.
    """
    confused = softplus(wide(mismatch) - wide(real))
    return {**d_relativistic(real, fake), "mismatch": (confused * differs).sum() / differs.sum().clamp(min=1)}


def g_relativistic(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """E[softplus(-(D(G(z)) - D(x)))] (Huang et al. 2024, eq. 2): G plays D's game with the signs exchanged."""
    return {"adv": softplus(wide(real) - wide(fake)).mean()}


def kl_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) || N(0, I)) = ½ Σ (μ² + σ² - log σ² - 1), here its mean over the dimensions and the rows.

    Args:
        mu: (N, d).
        log_var: log σ² (N, d).
    """
    mu, log_var = wide(mu), wide(log_var)
    return (mu.square() + log_var.exp() - log_var - 1).mean() / 2
