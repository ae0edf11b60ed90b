"""Layers against the exact linear algebra, and the sizes that networks can reach."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

from conftest import tiny_loop
from mulligan.layers.blur import Blur, upsample
from mulligan.layers.conditioning import ConditioningAugmentation
from mulligan.layers.equalized import EqualizedConv2d, EqualizedLinear
from mulligan.layers.maxout import Maxout
from mulligan.layers.minibatch_std import minibatch_std
from mulligan.layers.modulated import EPSILON, ModulatedConv2d
from mulligan.layers.pixelnorm import pixel_norm
from mulligan.layers.sizes import first_map, square
from mulligan.layers.spectral import SpectralNorm, spectral_norm
from mulligan.observe import observing


def sigmas(network: nn.Module) -> list[float]:
    """The largest singular value of each normalised weight, by SVD."""
    layers = [m for m in network.modules() if hasattr(m, "parametrizations")]
    return [torch.linalg.svdvals(m.weight.detach().flatten(1))[0].item() for m in layers]


def vectors(network: nn.Module) -> list[torch.Tensor]:
    return [t.clone() for m in network.modules() if isinstance(m, SpectralNorm) for t in (m.u, m.v)]


@pytest.mark.parametrize("options", [{}, {"network": "plain"}], ids=["residual", "plain"])
def test_spectral_norm_is_one_after_training(options: dict[str, str]) -> None:
    """In training one step of the power method an update lags a little where two singular values cross: the estimate
    is never above σ. At rest it arrives."""
    loop = tiny_loop("sngan", "image", options=options)
    for _ in range(30):
        loop.play()
    found = sigmas(loop.system.D)
    assert len(found) >= 3
    assert all(1 - 1e-4 < sigma < 1.1 for sigma in found), found
    assert sum(found) / len(found) == pytest.approx(1, abs=0.02)
    for layer in loop.system.D.modules():
        if hasattr(layer, "parametrizations"):
            matrix = layer.parametrizations.weight.original.detach().flatten(1)
            for _ in range(200):
                layer.parametrizations.weight[0]._iterate(matrix)
    assert sigmas(loop.system.D) == pytest.approx([1.0] * len(found), abs=0.01)


def test_spectral_norm_keeps_its_precision_under_autocast() -> None:
    """σ must not be computed to the three digits of bfloat16, nor the power method's step."""
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(64, 48))
    layer.eval()
    exact = layer.weight.detach().clone()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer.weight.float(), exact, rtol=1e-4, atol=0)
    layer.train()
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(200):  # as if after so many updates
            torch.autograd.graph.increment_version([layer.parametrizations.weight.original])
            _ = layer.weight
    layer.eval()
    assert sigmas(layer) == pytest.approx([1.0], abs=1e-3)


def test_only_an_update_moves_the_power_iteration() -> None:
    """Not more forwards, not eval mode, not the generator's turn, not a look."""
    loop = tiny_loop("sngan", "image")
    D, x = loop.system.D, torch.randn(4, 3, 16, 16)
    for _ in range(3):
        loop.play()
    loop._freeze_all_but(list(loop.system.G.parameters()))  # as in G's turn
    before = vectors(D)
    D(x), D(x)
    with observing(loop.system):
        D(x)
    assert all(map(torch.equal, vectors(D), before))
    loop._freeze_all_but(list(D.parameters()))
    D(x)  # the first forward after an update
    after = vectors(D)
    assert not all(map(torch.equal, after, before))
    D(x), D(x)
    assert all(map(torch.equal, vectors(D), after))
    D.eval()
    with torch.no_grad():
        next(D.parameters()).add_(0.1)
    D(x)
    assert all(map(torch.equal, vectors(D), after))


def test_micro_batches_do_not_move_it_faster() -> None:
    """With the same weights, as many iterations with two micro-batches as with one batch."""
    iterations = []
    for parts in (1, 2):
        loop = tiny_loop("sngan", "points", micro_batches=parts)
        count = [0]
        for module in loop.system.D.modules():
            if isinstance(module, SpectralNorm):
                original = module._iterate

                def counted(matrix: torch.Tensor, original=original, count=count) -> None:  # type: ignore[no-untyped-def]
                    count[0] += 1
                    original(matrix)

                module._iterate = counted  # type: ignore[method-assign]
        for _ in range(4):
            loop.play()
        iterations.append(count[0])
    assert iterations[0] == iterations[1] > 0


def test_spectral_norm_divides_by_sigma() -> None:
    """Of a diagonal matrix, in closed form; its gradient is that of W / σ(W), not of W / constant."""
    layer = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([3.0, 1.0, 0.5])))
    spectral_norm(layer)
    for _ in range(20):
        layer.parametrizations.weight[0]._iterate(layer.parametrizations.weight.original.detach())
    torch.testing.assert_close(layer.weight, torch.diag(torch.tensor([1.0, 1 / 3, 0.5 / 3])), atol=1e-5, rtol=0)
    layer.weight[0, 0].backward()  # W₁₁ / σ is 1 whatever W₁₁ is
    gradient = layer.parametrizations.weight.original.grad
    assert gradient is not None
    assert gradient.abs().max().item() < 1e-5


def test_maxout_by_hand() -> None:
    layer = Maxout(2, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0], [2, 0], [0, 2], [0, -2]]))
        layer.linear.bias.zero_()
    y = layer(torch.tensor([[3.0, -1.0], [-4.0, 2.0]]))
    assert y.tolist() == [[3.0, 6.0], [4.0, 4.0]]


def test_maxout_against_a_loop() -> None:
    torch.manual_seed(0)
    layer = Maxout(5, 4, 3)
    x = torch.randn(6, 5)
    pieces = x @ layer.linear.weight.T + layer.linear.bias
    by_hand = torch.stack([pieces[:, 3 * unit : 3 * unit + 3].max(1).values for unit in range(4)], 1)
    assert layer(x).shape == (6, 4)
    torch.testing.assert_close(layer(x), by_hand)


def test_equalised_layers_are_plain_ones_with_scaled_weights() -> None:
    """Whatever the learning rate's multiplier is, what they compute is gain / sqrt(fan-in) times N(0, 1) weights."""
    torch.manual_seed(0)
    for multiplier in (1.0, 0.01):
        dense = EqualizedLinear(12, 5, gain=2.0, lr_multiplier=multiplier)
        conv = EqualizedConv2d(3, 4, 3, gain=2.0, lr_multiplier=multiplier)
        for layer in (dense, conv):
            nn.init.normal_(layer.bias)
        x, image = torch.randn(6, 12), torch.randn(6, 3, 8, 8)
        weight, kernel = dense.weight * multiplier, conv.weight * multiplier
        by_hand = linear(x, weight * 2 / math.sqrt(12), dense.bias * multiplier)
        torch.testing.assert_close(dense(x), by_hand)
        by_hand = conv2d(image, kernel * 2 / math.sqrt(27), conv.bias * multiplier, padding=1)
        torch.testing.assert_close(conv(image), by_hand)
    assert EqualizedLinear(2, 2, bias=False).bias is EqualizedConv2d(2, 2, 1, bias=False).bias is None


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_equalised_layers_keep_unit_variance_at_the_start(multiplier: float) -> None:
    torch.manual_seed(0)
    y = EqualizedLinear(256, 256, lr_multiplier=multiplier)(torch.randn(256, 256))
    assert y.var().item() == pytest.approx(1, abs=0.03)
    maps = EqualizedConv2d(64, 64, 3, lr_multiplier=multiplier)(torch.randn(16, 64, 16, 16))
    assert maps[..., 1:-1, 1:-1].var().item() == pytest.approx(1, abs=0.03)


def test_equalised_layers_learn_at_one_speed_and_multiplied_ones_slower() -> None:
    """A step of Adam moves each output weight by the rate times gain / sqrt(fan-in), and times the multiplier."""
    moved = []
    for d, multiplier in ((4, 1.0), (400, 1.0), (4, 0.1)):
        layer = EqualizedLinear(d, 1, lr_multiplier=multiplier)
        before = (layer.weight.detach() * layer.scale).clone(), layer(torch.zeros(1, d)).item()
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
        layer(torch.ones(1, d)).sum().backward()
        optimizer.step()
        change = (layer.weight.detach() * layer.scale - before[0]).abs().mean().item() * math.sqrt(d)
        moved.append((change, abs(layer(torch.zeros(1, d)).item() - before[1])))
    assert moved == [pytest.approx(pair, rel=1e-3) for pair in ((1e-2, 1e-2), (1e-2, 1e-2), (1e-3, 1e-3))]


def test_pixel_norm_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    expected = torch.tensor([[3.0, 4.0], [0.0, -5.0]]) * math.sqrt(2) / 5
    torch.testing.assert_close(pixel_norm(x), expected)
    maps = torch.randn(3, 8, 5, 5)
    torch.testing.assert_close(pixel_norm(maps).square().sum(1), torch.full((3, 5, 5), 8.0))
    torch.testing.assert_close(pixel_norm(100 * maps), pixel_norm(maps))
    assert pixel_norm(torch.zeros(1, 4)).tolist() == [[0.0] * 4]


def test_minibatch_std_by_hand() -> None:
    """Two groups of two: the deviation of two numbers is half their difference."""
    x = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 2.0]]], [[[0.0, 0.0]]], [[[0.0, 8.0]]]])
    y = minibatch_std(x, 2)
    assert y.shape == (4, 2, 1, 2)
    torch.testing.assert_close(y[:, :1], x)
    torch.testing.assert_close(y[:, 1].flatten(1), torch.tensor([[0.5, 0.5]] * 2 + [[2.0, 2.0]] * 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("n", "group", "groups"), [(16, 4, 4), (16, 16, 1), (14, 4, 2), (13, 4, 1), (6, 4, 1), (3, 4, 1), (1, 4, 1)]
)
def test_minibatch_std_takes_any_batch(n: int, group: int, groups: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(n, 3, 4, 4)
    y = minibatch_std(x, group)[:, 3]
    for part, theirs in zip(x.chunk(groups), y.chunk(groups), strict=True):
        expected = part.std(0, correction=0).mean()
        torch.testing.assert_close(theirs, expected.expand_as(theirs), atol=2e-4, rtol=0)


def test_minibatch_std_of_equal_samples_has_a_finite_gradient() -> None:
    """The root of a variance of exactly 0 alone would answer a collapsed generator with NaN."""
    x = torch.ones(4, 2, 4, 4, requires_grad=True)
    y = minibatch_std(x, 4)
    assert y[:, 2].max().item() < 1e-3
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("side", [6, 7])
def test_equalised_convolutions_of_stride_2(side: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, side, side)
    for kernel in (1, 3):
        layer = EqualizedConv2d(3, 4, kernel, stride=2)
        whole = conv2d(x, layer.weight * layer.scale, layer.bias, padding=kernel // 2)
        torch.testing.assert_close(layer(x), whole[..., ::2, ::2])


# --- resampling and modulation -----------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_blur_by_hand(gain: float) -> None:
    """Of one bright pixel the filter itself, whose numbers add up to the gain; of a constant the constant."""
    x = torch.zeros(1, 2, 7, 7)
    x[0, 1, 3, 3] = 1.0
    y = Blur(gain)(x)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    expected = torch.zeros(2, 6, 6)
    expected[1, 1:5, 1:5] = gain * taps[:, None] * taps / 64
    assert torch.equal(y[0], expected)
    assert y.sum().item() == gain
    flat = Blur(gain)(torch.full((1, 3, 8, 8), 2.5))
    torch.testing.assert_close(flat[..., 1:-1, 1:-1], torch.full((1, 3, 5, 5), 2.5 * gain))


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_constant_stays_one_when_halved(kernel: int) -> None:
    """Blur, then a convolution of stride 2 whose weights add up to 1: half the side, away from the zeros around."""
    layer = EqualizedConv2d(1, 1, kernel, stride=2, bias=False)
    nn.init.constant_(layer.weight, 1 / (layer.scale * kernel * kernel))
    y = layer(Blur()(torch.full((1, 1, 12, 12), 0.7)))
    assert y.shape == (1, 1, 6, 6)
    torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.full((1, 1, 4, 4), 0.7))


def test_upsampling_inserts_zeros_and_filters() -> None:
    torch.manual_seed(0)
    assert torch.equal(upsample(torch.full((2, 3, 4, 4), 0.7)), torch.full((2, 3, 8, 8), 0.7))
    x = torch.randn(2, 1, 5, 5)
    edges_repeated = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    holes = torch.zeros(2, 1, 15, 15)
    holes[..., ::2, ::2][..., :7, :7] = edges_repeated
    torch.testing.assert_close(upsample(x), Blur(gain=4.0)(holes)[..., 1:11, 1:11])


def modulated_by_weights(layer: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 as they are written: weights for each sample, in a convolution with a group for each."""
    n, a, side = *x.shape[:2], x.shape[-1]
    s = 1 + layer.style(w)
    weight = s[:, None, :, None, None] * layer.weight * layer.scale
    if layer.demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + EPSILON).sqrt()
    b = weight.shape[1]
    x = x.reshape(1, n * a, side, side)
    if layer.blur is None:
        y = conv2d(x, weight.flatten(0, 1), padding=layer.padding, groups=n)
    else:
        y = layer.blur(conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=n))
    return y.view(n, b, *y.shape[2:])


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("kernel", "up"), [(1, False), (3, False), (3, True)])
def test_modulating_maps_is_modulating_weights(kernel: int, up: bool, demodulate: bool) -> None:
    """Output and every gradient."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(6, 4, kernel, 5, demodulate=demodulate, up=up)
    x, w = torch.randn(3, 6, 8, 8, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    y, expected = layer(x, w), modulated_by_weights(layer, x, w)
    assert y.shape == (3, 4, *[16 if up else 8] * 2)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    inputs, towards = [x, w, *layer.parameters()], torch.randn_like(y)
    gradients = (torch.autograd.grad(way, inputs, towards) for way in (y, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_demodulated_maps_have_unit_variance_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(32, 16, 3, 8)
    x, w = torch.randn(4, 32, 64, 64), torch.randn(4, 8) * torch.tensor([0.1, 1.0, 3.0, 30.0])[:, None]
    variance = layer(x, w)[..., 1:-1, 1:-1].var((2, 3))
    torch.testing.assert_close(variance, torch.ones(4, 16), atol=0.15, rtol=0)
    layer.demodulate = False
    assert layer(x, w).var((2, 3)).max() > 20


def test_modulation_under_autocast() -> None:
    """Maps of bfloat16 for maps of bfloat16, right to its three digits."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 8, 3, 8)
    x, w = torch.randn(2, 64, 32, 32), torch.randn(2, 8)
    exact = layer(x, w)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16(), w)
    assert y.dtype == torch.bfloat16
    assert (y.float() - exact).square().mean().sqrt().item() < 0.01


# --- conditioning augmentation -----------------------------------------------------------------------------


def test_codes_are_drawn_with_the_moments_that_are_told() -> None:
    torch.manual_seed(0)
    layer = ConditioningAugmentation(5, 3)
    phi = torch.randn(2, 5)
    with torch.no_grad():
        fixed, (mu, log_var) = layer(phi, torch.zeros(2, 3))
        codes, _ = layer(phi.repeat_interleave(20_000, 0), torch.randn(40_000, 3))
    assert torch.equal(fixed, mu)
    found = codes.view(2, 20_000, 3)
    torch.testing.assert_close(found.mean(1), mu, rtol=0, atol=0.03)
    torch.testing.assert_close(found.var(1).log(), log_var, rtol=0, atol=0.05)


def test_mean_and_variance_are_read_from_different_outputs() -> None:
    """A port has read both from the same slice: its KL is wrong, and its training fails."""
    layer = ConditioningAugmentation(5, 3)
    phi = torch.randn(2, 5)
    _, (mu, log_var) = layer(phi, torch.zeros(2, 3))
    used = [torch.autograd.grad(m.sum(), layer.moments.weight, retain_graph=True)[0].any(1) for m in (mu, log_var)]
    assert used[0].tolist() == [True] * 3 + [False] * 3
    assert used[1].tolist() == [False] * 3 + [True] * 3


# --- sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "first"), [(16, (4, 2)), (28, (7, 2)), (32, (4, 3)), (64, (4, 4)), (36, (9, 2)), (128, (4, 5))]
)
def test_first_map(size: int, first: tuple[int, int]) -> None:
    assert first_map(size) == first
    assert first[0] * 2 ** first[1] == size


@pytest.mark.parametrize(("size", "advice"), [(50, "48 or 52"), (12, "16 or 20"), (7, "16 or 20"), (66, "64 or 68")])
def test_sizes_that_cannot_be_reached_name_those_that_can(size: int, advice: str) -> None:
    with pytest.raises(ValueError, match=rf"--size {size}: .*multiple of 4.*try {advice}"):
        first_map(size)
    for other in map(int, advice.split(" or ")):
        first_map(other)


def test_half_of_a_side_that_can_be_reached_needs_one_doubling_less() -> None:
    for size in (16, 28, 36, 64):
        side, doublings = first_map(size)
        assert first_map(size // 2, least=1) == (side, doublings - 1)
    with pytest.raises(ValueError, match="--size 4"):
        first_map(4, least=1)


def test_images_that_are_not_square() -> None:
    assert square((3, 32, 32)) == (3, 32)
    with pytest.raises(ValueError, match=r"48x32 px.*add --size 32"):
        square((3, 32, 48))
