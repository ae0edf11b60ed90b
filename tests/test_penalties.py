"""Gradient penalties against closed forms; the finite-difference estimate against the exact value."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conftest import tiny_loop
from mulligan.penalties import STEP, finite_difference_penalty, gradient_penalty, lipschitz_penalty, mix, path_lengths


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_r1_of_a_linear_d_is_its_weight_squared() -> None:
    w = torch.randn(7, generator=seeded())
    x = torch.randn(5, 7, generator=seeded(1))
    assert gradient_penalty(lambda x: x @ w, x).item() == pytest.approx(w.square().sum().item(), rel=1e-6)


def test_r1_of_a_quadratic_d() -> None:
    """D(x) = xᵀAx / 2 with symmetric A has the gradient Ax."""
    a = torch.randn(6, 6, generator=seeded())
    a = a + a.T
    x = torch.randn(9, 6, generator=seeded(1))
    penalty = gradient_penalty(lambda x: (x @ a * x).sum(1) / 2, x)
    assert penalty.item() == pytest.approx((x @ a).square().sum(1).mean().item(), rel=1e-5)


def test_its_gradient_reaches_d() -> None:
    """d/dw |w|² = 2w: the double backward."""
    layer = nn.Linear(4, 1)
    x = torch.randn(3, 4, generator=seeded())
    gradient_penalty(lambda x: layer(x).squeeze(1), x).backward()
    torch.testing.assert_close(layer.weight.grad, 2 * layer.weight.detach())


@pytest.mark.parametrize("target", [0.0, 1.0, 750.0])
def test_lipschitz_of_a_linear_d_in_closed_form(target: float) -> None:
    """(|w| - target)², with the derivative 2 (|w| - target) w / |w|."""
    w = torch.randn(7, generator=seeded()).requires_grad_()
    penalty = lipschitz_penalty(lambda x: x @ w, torch.randn(5, 7, generator=seeded(1)), target=target)
    length = w.detach().norm()
    assert penalty.item() == pytest.approx((length - target).square().item(), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(w.grad, 2 * (length - target) * w.detach() / length)


def test_lipschitz_takes_a_length_a_sample() -> None:
    """D(x) = |x|² / 2 has the slope |x|; a norm over the batch, or a pixel, would give another number."""
    x = torch.randn(6, 3, 4, 4, generator=seeded())
    penalty = lipschitz_penalty(lambda x: x.flatten(1).square().sum(1) / 2, x)
    assert penalty.item() == pytest.approx((x.flatten(1).norm(dim=1) - 1).square().mean().item(), rel=1e-5)


def test_lipschitz_of_a_flat_d_is_finite_with_its_gradient() -> None:
    w = torch.zeros(3, requires_grad=True)
    penalty = lipschitz_penalty(lambda x: x @ w, torch.randn(4, 3, generator=seeded()))
    penalty.backward()
    assert penalty.item() == 1.0
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_mix_takes_one_weight_a_sample() -> None:
    """All over the line from real to fake, and the same at every pixel of a sample."""
    torch.manual_seed(0)
    real, fake = torch.rand(5000, 3, 2, 2), torch.rand(5000, 3, 2, 2) + 2
    weights = ((mix(real, fake) - real) / (fake - real)).flatten(1)
    torch.testing.assert_close(weights, weights[:, :1].expand_as(weights), rtol=0, atol=1e-5)
    assert weights.min().item() > -1e-5 and weights.max().item() < 1 + 1e-5
    quarters = torch.histc(weights[:, 0], 4, 0, 1) / 5000
    assert quarters.tolist() == pytest.approx([0.25] * 4, abs=0.03)
    assert mix(real[:3, 0, 0], fake[:3, 0, 0].bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 1, 2, 2)], ids=["(N,)", "(N, 1)", "patches"])
def test_shapes_of_logits(shape: tuple[int, ...]) -> None:
    """Of several logits a sample the gradient of their sum counts, in both forms."""
    count = math.prod(shape[1:])
    w = torch.randn(4, count, generator=seeded())
    x = torch.randn(6, 4, generator=seeded(1))

    def D(x: Tensor) -> Tensor:
        return (x @ w).reshape(len(x), *shape[1:])

    exact = w.sum(1).square().sum()
    assert gradient_penalty(D, x).item() == pytest.approx(exact.item(), rel=1e-5)
    torch.manual_seed(0)
    many = x.repeat(20_000, 1)
    assert finite_difference_penalty(D, many).item() == pytest.approx(exact.item(), rel=0.03)


def test_finite_differences_are_unbiased() -> None:
    """Over many draws the mean differs from the exact value by no more than four standard errors."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(3, 16), nn.Softplus(), nn.Linear(16, 1), nn.Flatten(0))
    x = torch.randn(64, 3)
    with torch.no_grad():
        draws = torch.stack([finite_difference_penalty(D, x) for _ in range(2000)]).double()
    exact = gradient_penalty(D, x).item()
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - exact) < 4 * error
    assert error / exact < 0.01  # the test could have seen a bias of a few per cent


@pytest.mark.parametrize(("name", "kind"), [("r3gan", "points"), ("r3gan", "image"), ("dcgan", "image")])
def test_the_step_is_long_enough_for_float32_and_short_enough_for_d(name: str, kind: str) -> None:
    """What STEP adds, by D's curvature and by float32's rounding, is small beside the estimate's own spread."""
    loop = tiny_loop(name, kind)
    for _ in range(20):
        loop.play()
    D = loop.system.D.eval()
    x = torch.rand(16, *loop.system.signals["x"].shape, generator=seeded()) * 2 - 1
    direction = torch.randn(12, *x.shape, generator=seeded(1))

    def estimates(dtype: torch.dtype, step: float) -> Tensor:
        """The penalty for each of the directions, as finite_difference_penalty computes it."""
        D.to(dtype)
        here = D(x.to(dtype))
        moved = [D((x + step * e).to(dtype)) if dtype is torch.float32 else
                 D(x.double() + step * e.double()) for e in direction]  # fmt: skip
        return torch.stack([((m - here) / step).square().mean() for m in moved]).double()

    with torch.no_grad():
        limit, double, single = (estimates(torch.float64, 1e-6), estimates(torch.float64, STEP),
                                 estimates(torch.float32, STEP))  # fmt: skip
    spread = limit.std()
    curvature = (double - limit).square().mean().sqrt()
    rounding = (single - double).square().mean().sqrt()
    assert curvature < 0.5 * spread, f"curvature {curvature / spread:.3f} of the spread"
    assert rounding < 0.02 * spread, f"rounding {rounding / spread:.3f} of the spread"


def test_both_passes_see_the_same_dropout() -> None:
    """D is linear once its masks are fixed, so any step gives (w ⊙ mask · ε)²; other masks would add 1/step²."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 1), nn.Flatten(0)).train()
    x = torch.randn(4000, 8) * 10
    exact_without = D[1].weight.square().sum().item()  # a mask keeps half, and doubles what it keeps: twice |w|²
    for step in (1e-2, 1.0):
        assert finite_difference_penalty(D, x, step=step).item() == pytest.approx(2 * exact_without, rel=0.15)


def test_the_random_state_goes_on() -> None:
    """Two estimates in a row draw different directions and leave different masks behind."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1), nn.Flatten(0)).train()
    x = torch.randn(8, 4)
    assert finite_difference_penalty(D, x).item() != finite_difference_penalty(D, x).item()


def test_exact_penalty_is_the_mean_over_halves() -> None:
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)).double()

    def D32(x: Tensor) -> Tensor:
        y: Tensor = D(x.double())
        return y

    x = torch.randn(10, 3)
    halves = (gradient_penalty(D32, x[:5]) + gradient_penalty(D32, x[5:])) / 2
    assert gradient_penalty(D32, x).item() == pytest.approx(halves.item(), rel=1e-6)


def test_in_float32_under_autocast() -> None:
    """Eight bits of mantissa are too few for a squared gradient."""
    layer = nn.Linear(16, 1)
    x = torch.randn(32, 16, generator=seeded())
    seen = []

    def D(x: Tensor) -> Tensor:
        y: Tensor = layer(x).squeeze(1)
        seen.append(y.dtype)
        return y

    with torch.autocast("cpu", torch.bfloat16):
        exact = gradient_penalty(D, x.bfloat16())
        finite_difference_penalty(D, x.bfloat16())
        lipschitz_penalty(D, x.bfloat16())
    assert set(seen) == {torch.float32}
    assert exact.item() == pytest.approx(layer.weight.square().sum().item(), rel=1e-6)
    assert not any(t.requires_grad for t in (x,))


# --- path lengths ------------------------------------------------------------------------------------------


def linear_images(a: Tensor) -> Callable[[Tensor], Tensor]:
    """Styles (N, L, d) to images (N, C, 4, 4): a matrix A (C * 16, L * d)."""
    return lambda w: (w.flatten(1) @ a.T).view(len(w), -1, 4, 4)


def test_path_lengths_of_a_linear_g() -> None:
    """J is the matrix A: |Aᵀy| / sqrt(L), for the very y that are drawn."""
    a = torch.randn(2 * 16, 3 * 5, generator=seeded())
    w = torch.randn(6, 3, 5, generator=seeded(1)).requires_grad_()
    torch.manual_seed(2)
    lengths = path_lengths(linear_images(a), w)
    torch.manual_seed(2)
    y = torch.randn(6, 2, 4, 4) / 4
    torch.testing.assert_close(lengths, (y.flatten(1) @ a).norm(dim=1) / math.sqrt(3))


def test_path_lengths_on_average() -> None:
    """E |Aᵀy|² is the sum of A's squares, by pixels and by layers."""
    a = torch.randn(2 * 16, 3 * 5, generator=seeded())
    torch.manual_seed(0)
    lengths = path_lengths(linear_images(a), torch.zeros(20_000, 3, 5, requires_grad=True))
    assert lengths.square().mean().item() == pytest.approx(a.square().sum().item() / 16 / 3, rel=0.02)


def test_the_gradient_of_path_lengths_reaches_g() -> None:
    """d|Aᵀy| / dA = y (Aᵀy)ᵀ / |Aᵀy|: the double backward. Of a G that does not move its images it is 0, not NaN."""
    a = torch.randn(16, 5, generator=seeded()).requires_grad_()
    w = torch.zeros(1, 1, 5, requires_grad=True)
    torch.manual_seed(2)
    path_lengths(linear_images(a), w).sum().backward()
    torch.manual_seed(2)
    y = torch.randn(1, 1, 4, 4).flatten() / 4
    slope = a.detach().T @ y
    torch.testing.assert_close(a.grad, torch.outer(y, slope) / slope.norm())
    still = torch.zeros(16, 5, requires_grad=True)
    path_lengths(linear_images(still), w).sum().backward()
    assert still.grad is not None and still.grad.abs().sum() == 0


# --- of a D that is told a condition ------------------------------------------------------------------------


def test_penalties_of_a_d_that_is_told() -> None:
    """D(x, c) = c · x + 100 |c|² has the slope c in x; what it does along c counts for nothing."""
    c = torch.randn(6, 4, generator=seeded()).requires_grad_()
    x = torch.randn(6, 4, generator=seeded(1))

    def D(x: Tensor, c: Tensor) -> Tensor:
        return (c * x).sum(1) + 100 * c.square().sum(1)

    squares = c.detach().square().sum(1)
    assert gradient_penalty(D, x, c).item() == pytest.approx(squares.mean().item(), rel=1e-5)
    lipschitz = (squares.sqrt() - 2).square().mean().item()
    assert lipschitz_penalty(D, x, c, target=2.0).item() == pytest.approx(lipschitz, rel=1e-5)
    torch.manual_seed(0)
    many = finite_difference_penalty(lambda x, c: (c * x).sum(1), x.repeat(20_000, 1), c.detach().repeat(20_000, 1))
    assert many.item() == pytest.approx(squares.mean().item(), rel=0.03)


@pytest.mark.parametrize("network", ["residual", "plain"])
@pytest.mark.parametrize("key", ["y", "tags", "text"])
def test_the_penalty_of_a_told_d_is_autograds(key: str, network: str) -> None:
    """|∇D|² of one sample after the other, by autograd in the plainest way."""
    loop = tiny_loop("r3gan", f"image+{key}", options={"network": network})
    for _ in range(3):
        loop.play()
    D, batch = loop.system.D.eval(), loop.loader.samples.fetch(torch.arange(5).numpy())
    squares = []
    for x, c in zip(batch["x"].split(1), batch[key].split(1), strict=True):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(D(x, c), x)
        squares.append(slope.square().sum())
    penalty = gradient_penalty(D, batch["x"], batch[key])
    assert penalty.item() == pytest.approx(torch.stack(squares).mean().item(), rel=1e-4)
    assert penalty.item() > 0
