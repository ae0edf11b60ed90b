"""Losses against numbers worked out by hand, at extremes, and however a batch is split."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mulligan import losses

PAIRED = [losses.d_minimax, losses.d_hinge, losses.d_wasserstein, losses.d_relativistic, losses.g_relativistic]
SINGLE = [losses.g_saturating, losses.g_nonsaturating, losses.g_hinge, losses.g_wasserstein]


def d_least_squares(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return losses.d_least_squares(real, fake, -1.0, 1.0)


def g_least_squares(fake: Tensor) -> dict[str, Tensor]:
    return losses.g_least_squares(fake, 0.5)


PAIRED.append(d_least_squares)
SINGLE.append(g_least_squares)


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_minimax_of_a_d_that_cannot_tell_is_log_4() -> None:
    terms = losses.d_minimax(logits(0, 0, 0), logits(0, 0))
    assert terms.keys() == {"real", "fake"}
    assert sum(terms.values()).item() == pytest.approx(2 * math.log(2))


def test_minimax_is_the_cross_entropy() -> None:
    real, fake = logits(0.3, -1.2, 4.0), logits(-0.5, 2.0)
    terms = losses.d_minimax(real, fake)
    assert terms["real"].item() == pytest.approx(-torch.sigmoid(real).log().mean().item())
    assert terms["fake"].item() == pytest.approx(-(1 - torch.sigmoid(fake)).log().mean().item())


def test_generators_losses_by_hand() -> None:
    fake = logits(0.7, -2.0)
    d = torch.sigmoid(fake)
    assert losses.g_saturating(fake)["adv"].item() == pytest.approx((1 - d).log().mean().item())
    assert losses.g_nonsaturating(fake)["adv"].item() == pytest.approx(-d.log().mean().item())
    assert losses.g_hinge(fake)["adv"].item() == pytest.approx((2.0 - 0.7) / 2)


def test_hinge_by_hand() -> None:
    terms = losses.d_hinge(logits(2.0, 0.5, -1.0), logits(-3.0, 0.0, 1.0))
    assert terms["real"].item() == pytest.approx((0 + 0.5 + 2) / 3)
    assert terms["fake"].item() == pytest.approx((0 + 1 + 2) / 3)


def test_hinge_leaves_what_is_beyond_the_margin_alone() -> None:
    real = logits(1.5, 0.9).requires_grad_()
    fake = logits(-1.5, -0.9).requires_grad_()
    sum(losses.d_hinge(real, fake).values()).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_wasserstein_by_hand() -> None:
    real, fake = logits(2.0, 0.5), logits(-3.0, 1.0)
    terms = losses.d_wasserstein(real, fake)
    assert [terms["real"].item(), terms["fake"].item()] == [-1.25, -1.0]
    assert losses.g_wasserstein(fake)["adv"].item() == 1.0


def test_relativistic_by_hand_and_symmetric() -> None:
    real, fake = logits(1.0, -2.0), logits(0.5, 3.0)
    by_hand = (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(5.0))) / 2
    assert losses.d_relativistic(real, fake)["adv"].item() == pytest.approx(by_hand)
    assert torch.equal(losses.g_relativistic(real, fake)["adv"], losses.d_relativistic(fake, real)["adv"])
    shifted = losses.d_relativistic(real + 7, fake + 7)["adv"]  # only differences count
    assert shifted.item() == pytest.approx(by_hand)
    assert losses.d_relativistic(real, real)["adv"].item() == pytest.approx(math.log(2))


def test_matching_by_hand() -> None:
    """Real pairs count once, mismatched pairs and fakes half; a pair that is no mismatch does not count at all."""
    real, wrong, fake = logits(0.3, -1.2), logits(0.7, 5.0), logits(-0.5, 2.0)
    terms = {k: v.item() for k, v in losses.d_matching(real, wrong, fake, torch.tensor([True, False])).items()}
    usual = losses.d_minimax(real, fake)
    assert terms["real"] == pytest.approx(usual["real"].item())
    assert terms["fake"] == pytest.approx(usual["fake"].item() / 2)
    assert terms["mismatch"] == pytest.approx(math.log(1 + math.exp(0.7)) / 2)
    assert losses.d_matching(real, wrong, fake, torch.tensor([False, False]))["mismatch"].item() == 0


def test_saturating_gradient_fades_where_d_rejects_and_the_other_does_not() -> None:
    """d/dt of log(1 - σ(t)) is -σ(t), that of -log σ(t) is σ(t) - 1."""
    for t in (-10.0, -1.0, 0.0, 3.0):
        slopes = []
        for loss in (losses.g_saturating, losses.g_nonsaturating):
            x = logits(t).requires_grad_()
            loss(x)["adv"].backward()
            assert x.grad is not None
            slopes.append(x.grad.item())
        s = 1 / (1 + math.exp(-t))
        assert slopes == pytest.approx([-s, s - 1], rel=1e-9)


@pytest.mark.parametrize("far", [50.0, -50.0, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_extreme_logits_with_finite_gradients(far: float, dtype: torch.dtype) -> None:
    for loss in (*PAIRED, *SINGLE):
        given = [torch.full((4,), far, dtype=dtype, requires_grad=True) for _ in range(1 + (loss in PAIRED))]
        if len(given) == 2:
            given[1] = (-given[1].detach()).requires_grad_()
        total = sum(loss(*given).values())  # type: ignore[operator]
        assert isinstance(total, Tensor)
        assert total.isfinite()
        total.backward()
        assert all(t.grad is not None and t.grad.isfinite().all() for t in given)


def test_values_at_fifty() -> None:
    assert losses.d_minimax(logits(-50), logits(50))["real"].item() == pytest.approx(50)
    assert losses.d_minimax(logits(50), logits(-50))["fake"].item() == pytest.approx(math.exp(-50))
    assert losses.g_saturating(logits(50))["adv"].item() == pytest.approx(-50)
    assert losses.g_nonsaturating(logits(-50))["adv"].item() == pytest.approx(50)


@pytest.mark.parametrize("shape", [(8,), (8, 1, 3, 3)], ids=["one logit", "patches"])
@pytest.mark.parametrize("loss", [*PAIRED, *SINGLE], ids=lambda f: f.__name__)
def test_a_batch_is_the_mean_of_its_halves(loss: Callable[..., dict[str, Tensor]], shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(1 + (loss in PAIRED))]
    whole = loss(*given)
    first, second = loss(*(t[:4] for t in given)), loss(*(t[4:] for t in given))
    for name, value in whole.items():
        assert value.shape == ()
        assert value.item() == pytest.approx((first[name] + second[name]).item() / 2, rel=1e-12)


def test_logits_of_half_width_give_losses_in_float32() -> None:
    """At logits near 100 bfloat16 cannot tell 100.1 from 100: the difference must be taken in float32."""
    real, fake = torch.tensor([100.0], dtype=torch.bfloat16), torch.tensor([101.0], dtype=torch.bfloat16)
    terms = {
        **losses.d_minimax(real, fake), **losses.d_hinge(real, fake), **losses.d_relativistic(real, fake),
        **losses.g_saturating(fake), **losses.g_nonsaturating(fake), **losses.g_hinge(fake),
        **losses.g_relativistic(real, fake),
    }  # fmt: skip
    assert {t.dtype for t in terms.values()} == {torch.float32}


def test_least_squares_by_hand() -> None:
    terms = d_least_squares(logits(2.0, 0.0), logits(-1.0, 1.0))
    assert terms["real"].item() == pytest.approx((1 + 1) / 4)
    assert terms["fake"].item() == pytest.approx((0 + 4) / 4)
    assert g_least_squares(logits(0.5, 2.5))["adv"].item() == pytest.approx((0 + 4) / 4)


# --- conditioning augmentation -----------------------------------------------------------------------------


def moments(n: int = 4, d: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mu, log_var = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return mu, log_var


def test_kl_is_torchs_own() -> None:
    mu, log_var = moments()
    own = kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(torch.zeros(()), torch.ones(())))
    assert losses.kl_standard_normal(mu, log_var).item() == pytest.approx(own.mean().item(), rel=1e-12)


def test_kl_is_the_integral_of_its_definition() -> None:
    """E_c[log N(c; μ, σ²) - log N(c; 0, 1)] by a fine sum over c."""
    mu, log_var = moments(5, 1)
    c = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    log_p = -((c - mu).square() / log_var.exp() + log_var) / 2
    p = log_p.exp() / math.sqrt(2 * math.pi)
    by_hand = (p * (log_p + c.square() / 2)).sum(1) * (c[1] - c[0])
    assert losses.kl_standard_normal(mu, log_var).item() == pytest.approx(by_hand.mean().item(), rel=1e-6)


def test_kl_is_0_at_the_standard_normal_and_nowhere_below() -> None:
    assert losses.kl_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0
    mu, log_var = (t.requires_grad_() for t in moments())
    each = torch.stack([losses.kl_standard_normal(m, v) for m, v in zip(mu.flatten(), log_var.flatten(), strict=True)])
    assert (each > 0).all()
    each.sum().backward()
    assert torch.allclose(mu.grad, mu), "μ is pulled to 0"
    assert torch.allclose(log_var.grad, (log_var.exp() - 1) / 2), "σ² to 1"
