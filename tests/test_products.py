"""Convolutions of small maps as products of matrices: the same numbers, and the same gradients."""

import pytest
import torch
from torch import nn

from mulligan.layers import products
from mulligan.layers.products import Doubling, Halving


def as_torch_has_it(layer: Halving | Doubling, x: torch.Tensor) -> torch.Tensor:
    plain = nn.Conv2d if isinstance(layer, Halving) else nn.ConvTranspose2d
    y: torch.Tensor = plain.forward(layer, x)  # type: ignore[arg-type]
    return y


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (4, 4)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_a_product_is_the_convolution(
    kind: type[Halving | Doubling], bias: bool, side: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "MANY", 0)
    torch.manual_seed(0)
    layer = kind(6, 5, bias=bias).double()
    h, w = side if kind is Doubling else (2 * side[0], 2 * side[1])
    x = torch.randn(3, 6, h, w, dtype=torch.double, requires_grad=True)
    product, convolution = layer(x), as_torch_has_it(layer, x)
    torch.testing.assert_close(product, convolution)
    assert product.grad_fn.name() != convolution.grad_fn.name()  # it was another way
    given = torch.randn_like(convolution)
    of = [x, *layer.parameters()]
    torch.testing.assert_close(torch.autograd.grad(product, of, given), torch.autograd.grad(convolution, of, given))


@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_gradients_lie_as_their_weights_do(kind: type[Halving | Doubling]) -> None:
    """In bfloat16 too: neither is copied into another order."""
    layer = kind(256, 256).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(2, 256, 4, 4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.grad.stride() == layer.weight.stride() and layer.weight.grad.dtype == torch.float32


def test_a_sum_of_overlapping_parts_is_rounded_once() -> None:
    torch.manual_seed(0)
    layer = Doubling(256, 256)
    x = torch.randn(1, 256, 4, 4)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        product, convolution = layer(x), as_torch_has_it(layer, x)
    errors = [(y.float() - exact).square().mean().sqrt() for y in (product, convolution)]
    assert errors[0] < 1.5 * errors[1]


@pytest.mark.parametrize(("kind", "plain"), [(Halving, nn.Conv2d), (Doubling, nn.ConvTranspose2d)])
def test_large_maps_and_few_weights_are_convolutions(kind: type[Halving | Doubling], plain: type) -> None:
    """And their weights have the same names."""
    for channels, side in ((256, 64), (8, 4)):
        layer, twin = kind(channels, 256), plain(channels, 256, 4, 2, 1, bias=False)
        twin.load_state_dict(layer.state_dict())
        x = torch.randn(1, channels, side, side)
        assert torch.equal(layer(x), twin(x))


@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_a_graph_for_others_has_the_convolution(kind: type[Halving | Doubling]) -> None:
    layer, x = kind(256, 256), torch.randn(1, 256, 4, 4)
    exported = torch.export.export(layer, (x,))
    assert "conv" in str(exported.graph) and "matmul" not in str(exported.graph)
    torch.testing.assert_close(exported.module()(x), layer(x))
