"""Layers against the exact linear algebra, and the sizes that networks can reach."""

import pytest
import torch
from torch import nn

from conftest import tiny_loop
from mulligan.layers.maxout import Maxout
from mulligan.layers.sizes import first_map, square
from mulligan.layers.spectral import SpectralNorm, spectral_norm
from mulligan.look import observing


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


def test_images_that_are_not_square() -> None:
    assert square((3, 32, 32)) == (3, 32)
    with pytest.raises(ValueError, match=r"48x32 px.*add --size 32"):
        square((3, 32, 48))
