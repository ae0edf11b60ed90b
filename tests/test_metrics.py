"""Each metric against a closed form, a brute-force computation or a set made by hand."""

from __future__ import annotations

import math
import pkgutil

import pytest
import torch
from torch import Tensor

import mulligan.metrics
from mulligan.metrics.card import Card, Result
from mulligan.metrics.class_shares import class_shares
from mulligan.metrics.distances import chunks, kth_radius, nearest
from mulligan.metrics.frechet import Gaussian, frechet_distance, gaussian, gaussian_distance
from mulligan.metrics.kernel import kernel_distance, mmd2
from mulligan.metrics.memorisation import memorisation_ratio
from mulligan.metrics.modes import kl, label_modes, point_modes
from mulligan.metrics.nearest_neighbour import one_nn_error
from mulligan.metrics.parzen import SIGMAS, log_likelihood, parzen
from mulligan.metrics.prdc import prdc
from mulligan.metrics.sliced_wasserstein import _doubled, _patches, patch_distances, pyramid, sliced_wasserstein
from mulligan.metrics.translation import gradient_energy, histogram_intersection, l1, sharpness
from mulligan.metrics.wasserstein import wasserstein_1


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape)


# --- Fréchet distance ---


def test_frechet_of_diagonal_gaussians_is_the_closed_form() -> None:
    s1, s2 = torch.tensor([1.0, 4.0, 0.25]).double(), torch.tensor([2.25, 1.0, 0.25]).double()
    m1, m2 = torch.zeros(3).double(), torch.tensor([1.0, -2.0, 0.0]).double()
    expected = 5 + (s1.sqrt() - s2.sqrt()).square().sum()
    assert gaussian_distance(Gaussian(m1, s1.diag()), Gaussian(m2, s2.diag())) == pytest.approx(float(expected))


def test_frechet_equals_a_direct_matrix_root() -> None:
    x, y = normal(300, 12) @ normal(12, 12), 0.7 * normal(200, 12) @ normal(12, 12) + 1
    a, b = gaussian(x), gaussian(y)
    assert torch.allclose(a.cov, torch.cov(x.double().T))
    values, vectors = torch.linalg.eig(a.cov @ b.cov)
    root = (vectors @ values.sqrt().diag() @ torch.linalg.inv(vectors)).real
    expected = (a.mean - b.mean).square().sum() + (a.cov + b.cov - 2 * root).trace()
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 15, 50), (20, 500, 50), (500, 20, 50)])
def test_frechet_with_fewer_samples_than_dimensions_agrees_with_the_covariances(n: int, m: int, d: int) -> None:
    x, y = normal(n, d), normal(m, d) + 0.5
    assert frechet_distance(x, y) == pytest.approx(gaussian_distance(gaussian(x), gaussian(y)), rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(500, 8), (10, 40)])
def test_frechet_of_a_set_with_itself_is_zero(n: int, d: int) -> None:
    x = normal(n, d) * 10 + 100
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5)


def test_frechet_of_a_collapsed_generator_is_finite() -> None:
    x = normal(500, 8)
    value = frechet_distance(x, torch.ones(500, 8))
    expected = (x.mean(0) - 1).square().sum() + torch.cov(x.T).trace()
    assert value == pytest.approx(float(expected), rel=1e-5)
    lame = x.clone()
    lame[:, 3] = lame[:, 2]
    assert frechet_distance(lame, x) > 0


@pytest.mark.parametrize("bad", [torch.full((10, 3), math.nan), torch.full((10, 3), math.inf)])
def test_frechet_refuses_features_that_are_not_finite(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="diverged"):
        frechet_distance(normal(10, 3), bad)


def test_frechet_refuses_one_sample() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(normal(1, 3), normal(10, 3))


# --- kernel distance ---


def test_kernel_distance_equals_brute_force() -> None:
    x, y = normal(7, 3).double(), normal(7, 3).double() + 1

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 42
    across = sum(k(x[i], y[j]) for i, j in pairs) / 49
    assert float(mmd2(x, y)) == pytest.approx(within - 2 * across)


def test_kernel_distance_has_no_bias() -> None:
    values = torch.stack([mmd2(normal(20, 4), normal(20, 4)) for _ in range(500)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / 500**0.5
    found = kernel_distance(normal(900, 4), normal(900, 4), subsets=20, size=300)
    assert abs(found.mean) < 3 * found.spread
    assert kernel_distance(normal(900, 4), normal(900, 4) + 1, subsets=5).mean > 0.5


def test_kernel_distance_is_repeatable_and_takes_small_sets() -> None:
    x, y = normal(30, 4), normal(50, 4)
    assert kernel_distance(x, y, seed=1) == kernel_distance(x, y, seed=1)
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(x[:1], y)


# --- neighbours: precision, recall, density, coverage, memorisation ---


def test_one_nearest_neighbour_by_hand() -> None:
    """Labels are those of the nearest, whatever the order; in chunks as at once, as by every distance one by one."""
    samples, labels = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), torch.tensor([5, 6, 7])
    x = torch.tensor([[9.0, 1.0], [1.0, 8.0], [1.0, 1.0], [6.0, 5.0]])
    assert one_nn_error(samples, labels, x, torch.tensor([6, 7, 5, 6])) == 0
    assert one_nn_error(samples, labels, x, torch.tensor([6, 7, 6, 5])) == 0.5
    many, names, test = normal(300, 20), torch.arange(300) % 10, normal(70, 20)
    true = torch.stack([names[(many - row).square().sum(1).argmin()] for row in test])
    truth = torch.arange(70) % 10
    expected = float((true != truth).float().mean())
    for pairs in (None, 1000, 1):
        assert one_nn_error(many, names, test, truth, pairs) == pytest.approx(expected)
    assert one_nn_error(many, names, many, names) == 0, "each is nearest to itself"


def test_distances_do_not_depend_on_chunks() -> None:
    x, y = normal(101, 5), normal(57, 5)
    whole = torch.cat([d for _, d in chunks(x, y)])
    parts = torch.cat([d for _, d in chunks(x, y, pairs=100)])
    assert torch.allclose(whole, parts, atol=1e-5)
    assert torch.allclose(whole, (x[:, None] - y).norm(dim=2), atol=1e-5)
    assert torch.allclose(nearest(x, y), nearest(x, y, pairs=1), atol=1e-5)
    assert torch.allclose(kth_radius(x, 3), kth_radius(x, 3, pairs=500), atol=1e-5)
    assert prdc(x, y) == pytest.approx(prdc(x, y, pairs=64))


def test_kth_radius_leaves_oneself_out() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert kth_radius(x, 1).tolist() == [1, 1, 2, 4]
    assert kth_radius(x, 2).tolist() == [3, 2, 3, 6]


def test_prdc_of_a_set_made_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # radii to the nearest: 1, 1, 1, 8
    fake = torch.tensor([[0.5], [0.6], [50.0], [51.0]])  # radii: 0.1, 0.1, 1, 1
    found = prdc(real, fake, k=1)
    # 0.5 is in the balls of 0 and 1; 0.6 also; the ball of 10 is [2, 18]; 50 and 51 are in none.
    assert found.precision == 0.5
    assert found.density == 1.0
    assert found.coverage == 0.5
    assert found.recall == 0.0


def test_prdc_of_equal_distributions_and_of_a_collapse() -> None:
    same = prdc(normal(1000, 4), normal(1000, 4))
    assert same.density == pytest.approx(1, abs=0.1)
    # Expected coverage of equal sets is 1 - 2^-k: eq. 9 of Naeem et al., for equal counts.
    assert same.coverage == pytest.approx(1 - 2**-5, abs=0.02)
    collapsed = prdc(normal(1000, 4), 0.01 * normal(1000, 4))
    assert collapsed.precision == 1
    assert collapsed.recall < 0.01
    assert collapsed.coverage < 0.1


def test_prdc_refuses_too_few() -> None:
    with pytest.raises(ValueError, match="more than k = 5"):
        prdc(normal(5, 2), normal(100, 2))


def test_memorisation_tells_copies_from_new_samples() -> None:
    train, held_out = normal(2000, 3), normal(500, 3)
    assert memorisation_ratio(train[:500], train, held_out) == pytest.approx(0, abs=0.01)
    assert memorisation_ratio(normal(500, 3), train, held_out) == pytest.approx(1, abs=0.15)
    assert memorisation_ratio(normal(500, 3) + 5, train, held_out) > 3
    with pytest.raises(ValueError, match="duplicates"):
        memorisation_ratio(train, train, train[:50])


# --- modes, Wasserstein, Parzen, shares ---


def test_modes_of_points_made_by_hand() -> None:
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    x = torch.tensor([[0.0, 0.2], [0.1, 0.0], [10.0, 0.29], [0.0, 9.0]])
    found = point_modes(x, modes, sigma=0.1)
    assert (found.hit, found.total, found.good) == (2, 3, 0.75)
    expected = 2 / 3 * math.log(2) + 1 / 3 * math.log(1)
    assert found.kl == pytest.approx(expected)
    assert point_modes(x + 100, modes, 0.1).kl == math.inf


def test_modes_of_the_distribution_itself() -> None:
    modes = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))
    x = modes.repeat(400, 1) + 0.05 * normal(10_000, 2)
    found = point_modes(x, modes, 0.05)
    assert found.hit == 25
    assert found.good == pytest.approx(1 - math.exp(-4.5), abs=0.005)
    assert found.kl < 1e-3


def test_label_modes_against_unequal_shares() -> None:
    shares = torch.tensor([0.5, 0.25, 0.25])
    assert label_modes(torch.tensor([0, 0, 1, 2]), shares).kl == pytest.approx(0)
    found = label_modes(torch.tensor([1, 1, 1]), shares)
    assert (found.hit, found.total) == (1, 3)
    assert found.kl == pytest.approx(math.log(4))
    assert kl(torch.tensor([1, 1]), torch.tensor([1.0, 0.0])) == math.inf


def test_wasserstein_of_a_shift_a_scaling_and_unequal_counts() -> None:
    x = normal(1000)
    assert wasserstein_1(x, x) == 0
    assert wasserstein_1(x, x + 3) == pytest.approx(3, rel=1e-5)
    assert wasserstein_1(x, -x.neg().repeat(3)) == pytest.approx(0, abs=1e-9)
    assert wasserstein_1(torch.tensor([0.0]), torch.tensor([0.0, 1.0, 2.0])) == pytest.approx(1)
    # Of N(0, 1) and N(0, 4): E|Z| (2 - 1).
    far = wasserstein_1(normal(200_000), 2 * normal(200_000))
    assert far == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)
    with pytest.raises(ValueError, match="at least 1"):
        wasserstein_1(x, x[:0])


def test_parzen_equals_brute_force() -> None:
    centres, x = torch.rand(30, 6), torch.rand(40, 6)
    for sigma in (0.1, 0.5):
        kernels = torch.distributions.Normal(centres.double(), sigma)
        each = kernels.log_prob(x.double()[:, None]).sum(2)
        expected = each.exp().mean(1).log()
        assert torch.allclose(log_likelihood(x, centres, sigma), expected, atol=1e-4)
        assert torch.allclose(log_likelihood(x, centres, sigma, rows=7), expected, atol=1e-4)


def test_parzen_chooses_the_width_on_validation_images() -> None:
    centres, validation, test = (0.5 + 0.3 * normal(n, 4) for n in (2000, 500, 800))
    found = parzen(centres, validation, test)
    means = [float(log_likelihood(validation, centres, sigma).mean()) for sigma in SIGMAS]
    assert found.sigma == SIGMAS[means.index(max(means))]
    values = log_likelihood(test, centres, found.sigma)
    assert found.mean == pytest.approx(float(values.mean()))
    assert found.error == pytest.approx(float(values.std()) / 800**0.5)
    entropy = 4 * math.log(0.3 * math.sqrt(2 * math.pi * math.e))
    assert found.mean == pytest.approx(-entropy, abs=0.3)
    assert len(SIGMAS) == 10
    assert SIGMAS[0] == pytest.approx(0.1)
    assert SIGMAS[-1] == pytest.approx(1)


# --- sliced Wasserstein ---


@pytest.mark.parametrize("shift", [0.0, -2.5, 7.0])
def test_sliced_wasserstein_of_shifted_numbers_is_the_shift(shift: float) -> None:
    x = normal(300, 1)
    assert sliced_wasserstein(x, x[torch.randperm(300)] + shift) == pytest.approx(abs(shift), abs=1e-6)
    y = 2 * normal(300, 1)
    assert sliced_wasserstein(x, y) == pytest.approx(wasserstein_1(x[:, 0], y[:, 0]), rel=1e-5)


@pytest.mark.parametrize("d", [2, 3, 20])
def test_sliced_wasserstein_of_a_shift_in_d_dimensions_is_the_closed_form(d: int) -> None:
    """|v| E|θ_1| for a direction θ on the sphere: Γ(d/2) / (√π Γ((d + 1)/2))."""
    x, shift = normal(50, d), normal(d)
    expected = float(shift.norm()) * math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    assert sliced_wasserstein(x, x + shift, directions=20_000) == pytest.approx(expected, rel=0.02)


def test_sliced_wasserstein_needs_sets_of_equal_size() -> None:
    with pytest.raises(ValueError, match="not 3 and 4; take as many"):
        sliced_wasserstein(normal(3, 2), normal(4, 2))
    with pytest.raises(ValueError, match="not 0 and 0"):
        patch_distances(normal(0, 1, 16, 16), normal(0, 1, 16, 16))


@pytest.mark.parametrize(("side", "sides"), [(64, [64, 32, 16]), (28, [28]), (36, [36, 18]), (16, [16])])
def test_a_pyramid_can_be_undone_and_flat_images_have_no_edges(side: int, sides: list[int]) -> None:
    x = normal(2, 3, side, side)
    levels = pyramid(x)
    assert [level.shape[-1] for level in levels] == sides
    back = levels.pop()
    while levels:
        back = levels.pop() + _doubled(back)
    torch.testing.assert_close(back, x)
    *fine, coarsest = pyramid(torch.full((1, 3, side, side), 0.7))
    assert all(level.abs().max() < 1e-6 for level in fine)
    torch.testing.assert_close(coarsest, torch.full_like(coarsest, 0.7))


def test_patches_lie_in_their_images() -> None:
    """Each image holds its own number in one channel and the row in the other: so does each of its patches."""
    n, side = 5, 12
    x = torch.stack([torch.arange(n).view(n, 1, 1).expand(n, side, side),
                     torch.arange(side).view(1, side, 1).expand(n, side, side)], 1).float()  # fmt: skip
    found = _patches(x, 4, seed=0).view(n, 4, 2, 7, 7)
    assert all((found[i, :, 0] - found[i, 0, 0, 0, 0]).abs().max() < 1e-6 for i in range(n))
    assert found[:, 0, 0, 0, 0].diff().min() > 0.1
    steps = found[:, :, 1].diff(dim=2)
    torch.testing.assert_close(steps, steps[:1, :1, :1, :1].expand_as(steps))
    assert (found[:, :, 1] - found[:, :, 1, :, :1]).abs().max() < 1e-6
    torch.testing.assert_close(found.mean((0, 1, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 1, 3, 4)), torch.ones(2), atol=1e-3, rtol=0)


def test_patch_distances_tell_the_scale_of_a_difference() -> None:
    x, y = normal(2, 60, 3, 64, 64)
    few = {"patches": 16, "directions": 64}
    assert set(patch_distances(x, x, **few).values()) == {0.0}
    assert max(patch_distances(x, 0.5 * x + 0.3, **few).values()) < 1e-5  # contrast and brightness, as the paper's
    floor = patch_distances(x, y, **few)
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(32, 32)
    found = patch_distances(x, y + 2 * checks, **few)
    assert list(found) == [64, 32, 16]
    assert found[64] > 5 * floor[64]
    assert found[16] == pytest.approx(floor[16], rel=0.1)
    assert all(math.isfinite(v) for v in patch_distances(x, torch.zeros_like(x), **few).values())


def test_class_shares_sum_to_one() -> None:
    shares = class_shares(torch.tensor([0, 0, 1, 3]), 5)
    assert shares.tolist() == [0.5, 0.25, 0, 0.25, 0]


# --- images made from images ---


def test_a_blurred_image_has_less_gradient_and_noise_has_more() -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert sharpness(x, x) == pytest.approx(1)
    assert sharpness(x / 2, x) == pytest.approx(0.25)
    assert sharpness(torch.nn.functional.avg_pool2d(x, 3, 1, 1), x) < 0.2
    assert sharpness(x + torch.randn_like(x), x) > 2


def test_the_gradient_energy_of_a_ramp() -> None:
    """0.1 a pixel across, 0.3 down."""
    ramp = 0.1 * torch.arange(8.0)[None, :] + 0.3 * torch.arange(8.0)[:, None]
    assert gradient_energy(ramp[None, None]) == pytest.approx(0.1**2 + 0.3**2, rel=1e-5)


def test_histograms_that_are_alike_and_those_that_are_not() -> None:
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(2, 3, 8, 8)
    grey = torch.zeros(2, 3, 8, 8)
    assert histogram_intersection(red, red) == pytest.approx((1, 1, 1))
    assert histogram_intersection(red, grey)[1:] == pytest.approx((0, 0))
    half = torch.cat([red[:1], grey[:1]])
    assert histogram_intersection(half, red)[1:] == pytest.approx((0.5, 0.5))
    shuffled = half.flatten(2)[:, :, torch.randperm(64)].view_as(half)
    assert histogram_intersection(shuffled, half) == pytest.approx((1, 1, 1)), "places do not count"


def test_l1_is_a_mean() -> None:
    assert l1(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), -0.5)) == 0.5


def test_there_is_no_inception_score() -> None:
    # It never sees the data, and of one sample it is 1: PEERS' mistake that must not recur.
    names = [module.name for module in pkgutil.iter_modules(mulligan.metrics.__path__)]
    assert "frechet" in names
    assert not any("score" in name for name in names)


# --- cards ---


def card(**changes: object) -> Card:
    fields = dict(
        metric="FD", extractor="digit judge", extractor_hash="ab", resize="none", n_real=10, n_fake=10,
        reference="f/test",
    )  # fmt: skip
    return Card(**{**fields, **changes})  # type: ignore[arg-type]


def test_cards_are_alike_but_for_the_seed() -> None:
    assert not card().differences(card(seed=7))
    assert card().differences(card(n_fake=20)) == ["n_fake: 10 and 20"]
    for name, value in {
        "extractor_hash": "cd",
        "weights": "raw",
        "reference": "g/test",
        "resize": "8",
    }.items():
        assert card().differences(card(**{name: value}))


def test_a_result_survives_json() -> None:
    import json

    result = Result("KL", math.inf, 0.1, {"one Gaussian": 2.0}, "lower", card(), spread=0.5)
    line = json.dumps(result.to_json(), allow_nan=False)
    assert Result.from_json(json.loads(line)) == result
