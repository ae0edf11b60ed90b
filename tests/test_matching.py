"""The matching-aware D: one look at an image, several conditions."""

import torch
from torch import Tensor

from conftest import samples_of, signals_of
from mulligan.networks.matching import MatchingDiscriminator

SIGNALS = signals_of("image")


def network(key: str = "text", side: int = 16, least: int = 2) -> MatchingDiscriminator:
    torch.manual_seed(0)
    return MatchingDiscriminator((3, side, side), SIGNALS[key], 8, 4, least=least).eval()


def batch(n: int = 6) -> dict[str, Tensor]:
    return samples_of(SIGNALS).fetch(torch.arange(n).numpy())


@torch.no_grad()
def test_each_image_is_judged_with_its_own_and_its_neighbours_condition() -> None:
    for key in ("text", "tags", "y"):
        D, rows = network(key), batch()
        x, c = rows["x"], rows[key]
        own, others, differs = D.compare(x, c)
        torch.testing.assert_close(own, D(x, c))
        torch.testing.assert_close(others, D(x, c[[5, 0, 1, 2, 3, 4]]))
        assert differs.tolist() == [not torch.equal(c[i], c[i - 1]) for i in range(6)]
        assert not torch.allclose(own[differs], others[differs])


@torch.no_grad()
def test_equal_conditions_are_no_mismatch() -> None:
    D, rows = network("y"), batch(4)
    assert D.compare(rows["x"], torch.tensor([1, 1, 2, 2]))[2].tolist() == [True, False, True, False]


@torch.no_grad()
def test_half_the_smallest_side() -> None:
    D = network(side=8, least=1)
    assert D(torch.zeros(5, 3, 8, 8), batch(5)["text"]).shape == (5,)
