"""Images in overlapping tiles: every pixel comes back, and nobody sees where they meet."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from mulligan.errors import Mistake
from mulligan.layers.tiles import OVERLAP, bands, cut, fade, up
from mulligan.model import Model
from mulligan.networks.unet import UNet
from translated import Run


@given(
    st.integers(1, 1500), st.integers(1, 700), st.sampled_from([1, 4, 32, 128, 256]), st.sampled_from([192, 300, 512])
)
def test_tiles_give_back_every_pixel_to_the_bit(height: int, width: int, multiple: int, tile: int) -> None:
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(height))
    sides: set[int] = set()

    def make(part: Tensor) -> Tensor:
        sides.update(part.shape[2:])
        return part

    assert torch.equal(torch.cat(list(bands(x, make, multiple=multiple, tile=tile)), 2), x)
    assert all(side % multiple == 0 for side in sides)
    assert max(sides) <= max(tile, 2 * up(OVERLAP, multiple))


@given(st.integers(1, 40), st.sampled_from([1, 4, 32]), st.integers(1, 300))
def test_no_side_is_below_the_least(side: int, multiple: int, least: int) -> None:
    seen, length, starts = cut(side, multiple, 192, least)
    assert len(seen) == length == up(max(side, least), multiple)
    assert starts == [0]


@given(st.integers(1, 9000), st.integers(1, 600), st.integers(192, 2048))
def test_tiles_overlap_enough_and_keep_the_phase(side: int, multiple: int, tile: int) -> None:
    seen, length, starts = cut(side, multiple, tile)
    assert starts[0] == 0
    assert starts[-1] + length == len(seen) == up(side, multiple)
    assert all(start % multiple == 0 for start in (*starts, length))
    steps = np.diff(starts)
    assert all(0 < step <= length - max(64, multiple) for step in steps)


def test_a_side_is_padded_by_its_mirror_or_by_its_last_pixel() -> None:
    assert cut(5, 8, 512).seen.tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert cut(3, 8, 512).seen.tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert cut(1, 4, 512).seen.tolist() == [0, 0, 0, 0]


def test_fades_are_smooth_and_leave_the_rims_out() -> None:
    weights = fade(96)
    assert (weights[:32] == 0).all()
    assert (weights[-32:] == 1).all()
    assert (weights.diff() >= 0).all()
    assert weights.diff().max() < 0.06
    torch.testing.assert_close(weights + weights.flip(0), torch.ones(96))


def local() -> nn.Module:
    """Strides 2 down and up; a pixel sees 29 around it."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1)
    ).requires_grad_(False)  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(300, 500), (192, 193), (801, 97), (450, 450)])
def test_a_local_network_makes_the_same_in_tiles(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width) * 2 - 1
    whole, tiled = (torch.cat(list(bands(x, local(), multiple=4, tile=tile)), 2) for tile in (4096, 192))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def test_a_network_that_sees_the_whole_tile_leaves_no_seam() -> None:
    """Each tile shifted by a number of its own: steps between pixels stay as small as a fade makes them."""

    def make(part: Tensor) -> Tensor:
        return part + torch.rand(1)

    y = torch.cat(list(bands(torch.zeros(1, 1, 1500, 1500), make, tile=512)), 2)
    assert y.amax() - y.amin() > 0.3
    assert max(float(y.diff(dim=dim).abs().max()) for dim in (2, 3)) < 0.06  # of at most 1


def noisy_unet() -> UNet:
    """That of pix2pix with fresh weights, whose dropout is as loud as it gets; sides are multiples of 32."""
    torch.manual_seed(0)
    G = UNet((1, 3), 8, 5).requires_grad_(False)
    for layer in G.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    G(lines(256))
    G.eval()
    for layer in G.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    return G


def lines(side: int) -> Tensor:
    """Alike every 32 px, and none of them where a tile begins."""
    x = torch.ones(1, 1, side, side)
    x[..., 16::32], x[..., 16::32, :] = -1, -1
    return x


def test_a_unet_with_dropout_leaves_no_seam() -> None:
    """Each tile draws its own: where they meet, means of 8 px differ as much as elsewhere."""
    G, side, tile = noisy_unet(), 896, 256
    torch.manual_seed(1)
    made = torch.cat([torch.cat(list(bands(lines(side), G, multiple=32, tile=tile)), 2) for _ in range(3)])
    assert (made[0] - made[1]).std() > 0.1 * made.std(), "there is noise"
    _, length, starts = cut(side, 32, tile)
    rims = {*starts[1:], *(start + length for start in starts[:-1])}
    means = avg_pool2d(made, 8)
    for dim in (2, 3):
        steps = means.diff(dim=dim).abs().mean([d for d in range(4) if d != dim])[3:-4].view(-1, 4)
        usual = steps.median(0).values  # step 0 is the one across a multiple of 32
        assert all(steps[rim // 32 - 1, 0] < 1.08 * usual[0] for rim in rims), "1.06 to 1.25 where nothing fades"
        assert steps.mean(1).min() > 0.8 * usual.mean(), "the mean of two noises is a little quieter"


def test_model_translates_tensors(trained: Run) -> None:
    model = Model.load(trained("local", "--pair", "maps:photos"))
    x = torch.rand(3, 3, 250, 215) * 2 - 1
    whole, tiled = (model.translate(x, tile=tile) for tile in (512, 192))
    assert whole.shape == x.shape
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    noisy = Model.load(trained("noisy", "--pair", "maps:photos"))
    before = torch.random.get_rng_state()
    a, b, c = (noisy.translate(x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(Mistake, match=r"\(N, 3, H, W\)"):
        model.translate(x[:, :1])
