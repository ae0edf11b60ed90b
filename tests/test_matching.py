"""A matching-aware D: the pairs that it is asked about, several conditions for one look; and how it starts."""

import torch
from torch import Tensor

from conftest import samples_of, signals_of
from mulligan.networks.dcgan import ConvDiscriminator, init_he, init_normal
from mulligan.networks.matching import compare

SIGNALS = signals_of("image")


def network(key: str = "text", side: int = 16, least: int = 2) -> ConvDiscriminator:
    torch.manual_seed(0)
    return ConvDiscriminator((3, side, side), 4, norm=False, told=SIGNALS[key], least=least)


def batch(n: int = 6) -> dict[str, Tensor]:
    return samples_of(SIGNALS).fetch(torch.arange(n).numpy())


@torch.no_grad()
def test_real_images_are_judged_with_their_own_and_their_neighbours_condition_and_fakes_with_their_own() -> None:
    for key in ("text", "tags", "y"):
        D, rows = network(key), batch()
        x, c = rows["x"], rows[key]
        fake = x.flip(0)
        pairs = compare(D, x, fake, c)
        torch.testing.assert_close(pairs.real, D(x, c))
        torch.testing.assert_close(pairs.fake, D(fake, c))
        torch.testing.assert_close(pairs.wrong, D(x, c[[5, 0, 1, 2, 3, 4]]))
        assert pairs.differs.tolist() == [not torch.equal(c[i], c[i - 1]) for i in range(6)]
        assert not torch.allclose(pairs.real[pairs.differs], pairs.wrong[pairs.differs])


@torch.no_grad()
def test_equal_conditions_are_no_mismatch() -> None:
    D, rows = network("y"), batch(4)
    pairs = compare(D, rows["x"], rows["x"], torch.tensor([1, 1, 2, 2]))
    assert pairs.differs.tolist() == [True, False, True, False]


@torch.no_grad()
def test_half_the_smallest_side() -> None:
    D = network(side=8, least=1)
    assert D(torch.zeros(5, 3, 8, 8), batch(5)["text"]).shape == (5,)


def test_he_s_weights_let_a_signal_through_without_batch_norm() -> None:
    """With N(0, 0.02) a hundredth of it is left behind four layers."""
    torch.manual_seed(0)
    x = torch.randn(64, 3, 32, 32)
    passed = {}
    for init in (init_he, init_normal):
        D = ConvDiscriminator((3, 32, 32), 32, norm=False, init=init)
        passed[init] = float(D(x).detach().std())
    assert 0.5 < passed[init_he] < 3
    assert passed[init_normal] < 0.05
