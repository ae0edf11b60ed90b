"""The latent space: directions and distances in closed form, and the verbs project, edit, arithmetic and mix with
their files, on runs of seconds and on what users do wrong."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import mulligan as package
from conftest import TINY_DCGAN, Command
from mulligan import cli, latent, samples
from mulligan.arithmetic import parsed as parsed_sum
from mulligan.data import characters
from mulligan.data.characters import EYE_COLOURS, TAGS
from mulligan.edit import parsed
from mulligan.errors import Mistake
from mulligan.metrics import probe
from mulligan.model import Model
from mulligan.networks.perceptual import FeatureDistance, PixelDistance
from mulligan.report.latent import latent as section
from mulligan.report.record import Record
from mulligan.space import Space
from mulligan.tagger import tag_judge, tagger_of

QUICK = ("--steps", 12, "--starts", 2)


@pytest.fixture(scope="module")
def style_run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "styles"
    words = ["train", "stylegan2", "--data", str(pictures), "--rounds", "4", "--batch", "4", "--z-dim", "8"]
    assert cli.run([*words, "--width", "16", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images that have no labels."""
    place = tmp_path_factory.mktemp("plain")
    rng = np.random.default_rng(0)
    np.save(place / "images.npy", rng.integers(0, 255, (60, 16, 16), dtype=np.uint8))
    words = ["train", "dcgan", "--data", str(place / "images.npy"), "--rounds", "3", "--out", str(place / "run")]
    assert cli.run([*words, *TINY_DCGAN]) == 0
    return place / "run"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    file = tmp_path / "face.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(file)
    return file


def drawn(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


# --- directions --------------------------------------------------------------------------------------------


def test_the_fit_finds_the_direction_that_makes_a_tag() -> None:
    u, truth = drawn(20_000, 6), torch.nn.functional.normalize(drawn(3, 6, seed=1), dim=1)
    tags = (u @ truth.T > torch.tensor([0.0, 0.5, -1.0])).float()
    found = torch.nn.functional.normalize(latent.directions(u, tags), dim=1)
    assert ((found * truth).sum(1) > 0.99).all()


def test_tags_that_come_along_are_taken_out_of_the_fit() -> None:
    """Where one axis of the space is correlated with another, means differ along both, and the fit along one."""
    u = drawn(20_000, 2)
    u[:, 1] = 0.9 * u[:, 0] + 0.4 * u[:, 1]
    tags = (u[:, :1] > 0).float()
    way = torch.nn.functional.normalize(latent.directions(u, tags)[0], dim=0)
    means = u[tags[:, 0] > 0].mean(0) - u[tags[:, 0] == 0].mean(0)
    assert abs(float(way[1])) < 0.1 < float(means[1] / means.norm())


def test_apart_moves_its_tag_and_no_other() -> None:
    slopes = drawn(4, 9)
    way = latent.apart(slopes, 1, [0, 2])
    moved = slopes @ way
    assert float(way.norm()) == pytest.approx(1)
    assert moved[[0, 2]].abs().max() < 1e-5
    assert float(moved[1]) > 0
    assert torch.allclose(latent.apart(slopes, 1, []), torch.nn.functional.normalize(slopes[1], dim=0))


def test_a_tag_that_never_varies_bars_no_direction() -> None:
    slopes = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.allclose(latent.apart(slopes, 0, [1, 2]), torch.tensor([0.5, 0.5, 0.0]).sqrt(), atol=1e-5)


def test_sums_and_means() -> None:
    u, tags = drawn(50, 4), torch.zeros(50, 2)
    tags[:7, 1] = 1
    assert torch.allclose(latent.mean(u, tags, 1)[0], u[:7].mean(0))
    a, b, c = u[:1], u[1:2], u[2:3]
    zero = torch.zeros(1, 4)
    assert torch.allclose(latent.total(zero, [(1, a), (-1, b), (1, c)]), a - b + c)
    away = zero + 3
    assert torch.allclose(latent.total(away, [(1, a), (-1, away)]), a)


# --- distances and probes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance(64)


def test_the_feature_distance_is_a_distance(distance: FeatureDistance) -> None:
    a, b = drawn(3, 3, 32, 32).clamp(-1, 1), drawn(3, 3, 32, 32, seed=1).clamp(-1, 1)
    assert torch.equal(distance(a, a), torch.zeros(3))
    assert torch.allclose(distance(a, b), distance(b, a))
    assert (distance(a, b) > 0.01).all()
    assert torch.allclose(distance(a[:1], b), distance(a[:1].expand_as(b), b), atol=1e-5)
    near = (a + 0.02 * b).clamp(-1, 1)
    assert (distance(a, near) < distance(a, b)).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_its_gradient_is_finite(distance: FeatureDistance, channels: int) -> None:
    for a in (torch.ones(2, channels, 28, 28), drawn(2, channels, 28, 28).clamp(-1, 1)):
        a = a.requires_grad_(True)
        (gradient,) = torch.autograd.grad(distance(a, drawn(1, channels, 28, 28).clamp(-1, 1)).sum(), a)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_the_pixel_distance_has_a_closed_form() -> None:
    a = torch.zeros(2, 1, 4, 4)
    assert torch.equal(PixelDistance()(a, a + 0.5), torch.full((2,), 0.25))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.networks.efficientnet.weights_file", lambda: None)
    with pytest.raises(Mistake, match=r"mulligan\[features\].*--pixels"):
        FeatureDistance()


def test_the_probe_tells_gaussians_apart() -> None:
    """Two Gaussians of one covariance: the log odds of the true densities, which are linear."""
    labels = torch.arange(4000) % 2
    x = drawn(4000, 2) + 2.0 * labels[:, None] * torch.tensor([1.0, 0.0])
    odds = probe.log_odds(probe.fit(x, labels, 2)(x))
    truth = 2 * x[:, 0] - 2
    assert (odds[:, 1] - truth).abs().mean() < 0.3
    assert torch.allclose(odds[:, 0], -odds[:, 1], atol=1e-4)


def test_log_odds_of_many_classes() -> None:
    logits = drawn(5, 7)
    p = logits.softmax(1)
    assert torch.allclose(probe.log_odds(logits), (p / (1 - p)).log(), atol=1e-4)


# --- the space ---------------------------------------------------------------------------------------------


def test_latents_are_those_of_the_grid(picture_run: Path, style_run: Path) -> None:
    for run in (picture_run, style_run):
        model = Model.load(run)
        space = Space(model.system)
        grid = model.generate(64, seed=5)["x"]
        for n in (64, 3):
            assert torch.allclose(space.samples(space.draw(n, 5)), grid[:n], atol=1e-5)


def test_only_z_has_a_length_to_keep(picture_run: Path, style_run: Path) -> None:
    z, w = Space(Model.load(picture_run).system), Space(Model.load(style_run).system)
    assert (z.name, w.name) == ("z", "w")
    assert float(z.usual(100 * z.draw(2, 0)).norm(dim=1)[0]) == pytest.approx(float(z.length), rel=1e-4)
    u = w.draw(2, 0)
    assert torch.equal(w.usual(100 * u), 100 * u)
    assert float(w.pull(w.centre)) == pytest.approx(0, abs=1e-5)


# --- projection --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["digits", "styles"])
def test_a_sample_is_found_again(which: str, style_run: Path) -> None:
    model = Model.load("digits" if which == "digits" else style_run)
    target = model.generate(1, seed=77)["x"]
    found = package.project(model, target, steps=150, by_pixels=True)
    distance, random, mean, *_ = found.distances.values()
    assert distance < random / 4
    assert random <= mean
    assert torch.allclose(Space(model.system).samples(found.latent), found.image, atol=1e-5)


def test_project_writes_a_picture_and_a_latent(
    picture_run: Path, face: Path, tmp_path: Path, mulligan: Command
) -> None:
    out = tmp_path / "found.png"
    answer = mulligan("project", picture_run, face, "-o", out, *QUICK, "--json")
    assert answer.status == 0, answer.err
    told = json.loads(answer.out)
    assert told["measure"] == "feature distance (EfficientNet-Lite0)"
    assert told["distances"]["projection"] <= told["distances"]["best of 200 random"]
    for file in (out, out.with_suffix(".npz")):
        provenance = samples.read_provenance(file)
        assert provenance is not None and provenance["synthetic"] and provenance["projection_of"] == "face.png"
        assert "credit" in provenance
    with Image.open(out) as picture:
        assert picture.width > 3 * 128
    assert "exists" in mulligan("project", picture_run, face, "-o", out, *QUICK).mistake()
    model = Model.load(picture_run)
    z = torch.from_numpy(np.load(out.with_suffix(".npz"))["latent"])
    assert model.generate(1, z=z)["x"].shape == (1, 3, 16, 16)


def test_project_repeats_itself(picture_run: Path, face: Path) -> None:
    model = Model.load(picture_run)
    one, two = (package.project(model, face, steps=8, starts=2, seed=3) for _ in range(2))
    assert torch.equal(one.latent, two.latent)


def test_a_grey_run_takes_a_colour_picture(plain_run: Path, face: Path, tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("project", plain_run, face, "-o", tmp_path / "a.png", *QUICK, "--pixels")
    assert answer.status == 0, answer.err
    assert "pixel distance" in answer.out


def test_what_is_no_image_is_refused(picture_run: Path, face: Path, tmp_path: Path, mulligan: Command) -> None:
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "cut.png").write_bytes(face.read_bytes()[:900])
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("L", (11_000, 10_000)).save(tmp_path / "huge.png")
    for name, words in (
        ("text.png", "not a PNG, JPEG, WebP, GIF or BMP"),
        ("cut.png", "cannot be read"),
        ("empty.png", "cannot be read"),
        ("huge.png", "limit is 100 megapixels"),
        ("missing.png", "does not exist"),
        (".", "no file"),
    ):
        assert words in mulligan("project", picture_run, tmp_path / name, "-o", tmp_path / "o.png").mistake(), name
    assert not (tmp_path / "o.png").exists()


def test_project_names_what_it_cannot_do(density_run: Path, picture_run: Path, face: Path, tmp_path: Path,
                                         mulligan: Command) -> None:  # fmt: skip
    assert "points" in mulligan("project", density_run, face, "-o", tmp_path / "o.png").mistake()
    assert "name it .png" in mulligan("project", picture_run, face, "-o", tmp_path / "o.jpg").mistake()
    with pytest.raises(Mistake, match="bring it to that size"):
        package.project(Model.load(picture_run), torch.zeros(3, 8, 8), by_pixels=True)


# --- edits -------------------------------------------------------------------------------------------------


EDIT = sys.modules["mulligan.edit"]  # the module: mulligan.edit is the function


def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of four rounds has not a sample of every tag."""
    monkeypatch.setattr(EDIT, "LEAST", 0)


def test_edits_of_a_shipped_model_succeed(tmp_path: Path, mulligan: Command) -> None:
    """The digits' G is good, and the digit judge knows it: the tag is on, and the old one off."""
    out = tmp_path / "edit.png"
    answer = mulligan("edit", "digits", "#4", "--set", "3=1", "-o", out, "--json")
    assert answer.status == 0, answer.err
    told = json.loads(answer.out)
    assert told["failed"] == []
    assert told["reads_after"] == ["3"] != told["reads_before"]
    assert told["probability"]["3"][1] > 0.9
    again = tmp_path / "again.png"
    back = told["reads_before"][0]
    answer = mulligan("edit", "digits", out.with_suffix(".npz"), "--set", f"{back}=1", "-o", again, "--json")
    assert json.loads(answer.out)["reads_before"] == ["3"]
    provenance = samples.read_provenance(again)
    assert provenance is not None and provenance["wanted"] == {back: 1}


def test_a_folder_with_classes_has_tags(picture_run: Path, face: Path, tmp_path: Path, mulligan: Command,
                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    lenient(monkeypatch)
    model = Model.load(picture_run)
    tagger = tagger_of(model)
    assert tagger.names == ("dark", "light")
    rows = model.source().test.fetch(np.arange(10))
    assert torch.equal(tagger(rows["x"]).argmax(1), rows["y"])
    for i, given in enumerate((face, "7")):
        out = tmp_path / f"{i}.png"
        answer = mulligan("edit", picture_run, given, "--set", "light=1", "--set", "dark=0", "-o", out, *QUICK)
        assert answer.status == 0, answer.err
        assert "light: read with probability" in answer.out
        assert out.exists() and out.with_suffix(".npz").exists()


def test_the_tags_of_characters_are_in_groups() -> None:
    tagger = tag_judge()
    assert sorted(tag for group in tagger.groups for tag in group) == sorted(TAGS) == sorted(tagger.names)
    assert [tagger.names[i] for i in tagger.group("blue eyes")] == list(EYE_COLOURS)
    others = {tagger.names[i] for i in tagger.others("blue eyes")}
    assert others == set(TAGS) - set(EYE_COLOURS)
    draw, numbers = characters.drawer(64), range(80_000, 80_040)
    x = torch.from_numpy(np.stack([draw(characters.character(n)[0]) for n in numbers])).float() / 127.5 - 1
    read = [{tag for tag, value in zip(TAGS, row, strict=True) if value > 0} for row in tagger(x)]
    assert sum(set(characters.character(n)[1]) == tags for n, tags in zip(numbers, read, strict=True)) >= 39


def test_an_edit_that_fails_says_so(picture_run: Path, monkeypatch: pytest.MonkeyPatch, mulligan: Command,
                                    tmp_path: Path) -> None:  # fmt: skip
    lenient(monkeypatch)
    monkeypatch.setattr(EDIT, "FARTHEST", 1e-6)
    model = Model.load(picture_run)
    reads = tagger_of(model)(model.generate(64)["x"])[0]
    off = ("dark", "light")[int(reads.argmin())]
    answer = mulligan("edit", picture_run, "0", "--set", f"{off}=1", "-o", tmp_path / "o.png")
    assert answer.status == 0
    assert "did not succeed" in answer.out and "NOT on" in answer.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("#4", "--set", "glases=1"), "no tag 'glases'"),
        (("#4", "--set", "33=1"), "did you mean"),
        (("#4", "--set", "3"), '"glasses=1"'),
        (("#4", "--set", "3="), '"glasses=1"'),
        (("#4", "--set", "3=2"), '"glasses=1"'),
        (("#4",), "--set is missing"),
        (("#64", "--set", "3=1"), "0 to 63"),
        (("nowhere.png", "--set", "3=1"), "does not exist"),
        (("nowhere.npz", "--set", "3=1"), "does not exist"),
    ],
)
def test_edit_names_the_mistake(words: tuple[str, ...], says: str, tmp_path: Path, mulligan: Command) -> None:
    assert says in mulligan("edit", "digits", *words, "-o", tmp_path / "o.png").mistake()


def test_no_tags_no_edit(plain_run: Path, density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    told = mulligan("edit", plain_run, "#1", "--set", "light=1", "-o", tmp_path / "o.png").mistake()
    assert "has no labels" in told and "a folder for each class" in told
    assert "points" in mulligan("edit", density_run, "#1", "--set", "a=1", "-o", tmp_path / "o.png").mistake()


def test_a_rare_tag_is_not_guessed(picture_run: Path, tmp_path: Path, mulligan: Command,
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(EDIT, "LEAST", 2501)
    told = mulligan("edit", picture_run, "#1", "--set", "light=1", "-o", tmp_path / "o.png").mistake()
    assert "of 5,000 samples" in told


def test_latents_of_others_are_refused(picture_run: Path, tmp_path: Path, mulligan: Command) -> None:
    z, words = np.zeros((1, 64), np.float32), ("--set", "3=1", "-o", tmp_path / "o.png")
    made_by = {"model": "another", "seed": 0}
    files: dict[str, tuple[dict[str, Any], str]] = {
        "other": ({"latent": z}, "model another"),
        "shape": ({"latent": z[:, :3]}, "no latent of this model"),
        "nan": ({"latent": z * np.nan}, "not finite"),
    }
    for name, (arrays, says) in files.items():
        told = made_by if name == "other" else {"model": Model.load("digits").hash, "seed": 0}
        (tmp_path / f"{name}.npz").write_bytes(samples.npz(told, **arrays))
        assert says in mulligan("edit", "digits", tmp_path / f"{name}.npz", *words).mistake()
    (tmp_path / "text.npz").write_text("no archive")
    assert "cannot be read" in mulligan("edit", "digits", tmp_path / "text.npz", *words).mistake()
    np.savez(tmp_path / "labels.npz", labels=np.zeros(3, int))
    assert "labels.npz" in mulligan("edit", "digits", tmp_path / "labels.npz", *words).mistake()


def test_values_of_set() -> None:
    assert parsed(("blue hair=1", " glasses = 0")) == {"blue hair": True, "glasses": False}


# --- arithmetic --------------------------------------------------------------------------------------------


def test_sums_are_parsed() -> None:
    assert parsed_sum("red hair + glasses - short hair") == [(1, "red hair"), (1, "glasses"), (-1, "short hair")]
    assert parsed_sum("- 3 + #7") == [(-1, "3"), (1, "#7")]
    assert parsed_sum("sci-fi") == [(1, "sci-fi")]
    for wrong in ("", "3 + ", "3 - + 7", "+"):
        with pytest.raises(Mistake, match="between them"):
            parsed_sum(wrong)


def test_samples_add_up(plain_run: Path, style_run: Path, tmp_path: Path, mulligan: Command) -> None:
    for run in (plain_run, style_run):
        out = tmp_path / f"{run.name}.png"
        answer = mulligan("arithmetic", run, "3 - 7 + #12", "-o", out)
        assert answer.status == 0, answer.err
        provenance = samples.read_provenance(out)
        assert provenance is not None and provenance["expression"] == "3 - 7 + #12"
        model = Model.load(run)
        space, one = Space(model.system), package.arithmetic(model, "#5")
        assert torch.allclose(one.latent, space.usual(space.draw(64, 0)[5:6]), atol=1e-5)
        assert torch.allclose(one.results[4:5], space.samples(one.latent), atol=1e-5)


def test_tags_add_up_to_their_picture(tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("arithmetic", "digits", "3 + 8 - 3", "-o", tmp_path / "o.png", "--json")
    terms = json.loads(answer.out)["terms"]
    assert [(term["sign"], term["name"]) for term in terms] == [(1, "3"), (1, "8"), (-1, "3")]
    assert terms[0]["mean_of"] > 100
    model = Model.load("digits")
    total = package.arithmetic(model, "3 + 8 - 3")
    reads = tagger_of(model)(total.results).argmax(1)
    assert (reads == 8).float().mean() > 0.8


@pytest.mark.parametrize(
    ("expression", "says"), [("3 + glases", "no tag 'glases'"), ("#99", "0 to 63"), ("3 -", "between them")]
)
def test_arithmetic_names_the_mistake(expression: str, says: str, tmp_path: Path, mulligan: Command) -> None:
    assert says in mulligan("arithmetic", "digits", expression, "-o", tmp_path / "o.png").mistake()


def test_tags_of_nothing(plain_run: Path, density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    assert "has no labels" in mulligan("arithmetic", plain_run, "3 + light", "-o", tmp_path / "o.png").mistake()
    assert "points" in mulligan("arithmetic", density_run, "3 + 4", "-o", tmp_path / "o.png").mistake()


# --- style mixing ------------------------------------------------------------------------------------------


def test_mix_is_a_table(style_run: Path, tmp_path: Path, mulligan: Command) -> None:
    answer = mulligan("mix", style_run, "-o", tmp_path / "mix.png", "--rows", 2, "--columns", 3, "--from-layer", 2)
    assert answer.status == 0, answer.err
    provenance = samples.read_provenance(tmp_path / "mix.png")
    assert provenance is not None and provenance["mixed_from_layer"] == 2
    model = Model.load(style_run)
    found = package.mix(model, rows=2, columns=3, from_layer=2)
    assert found.mixed.shape == (2, 3, 3, 16, 16)
    grid = model.generate(64)["x"]
    assert torch.allclose(torch.cat([found.coarse, found.fine]), grid[:5], atol=1e-5)
    space = Space(model.system)
    w = space.draw(5, 0)
    crossed = torch.cat([w[1:2, :2], w[4:5, 2:]], 1)
    assert torch.allclose(found.mixed[1, 2], space.samples(crossed)[0], atol=1e-5)


def test_mix_names_the_mistake(style_run: Path, picture_run: Path, tmp_path: Path, mulligan: Command) -> None:
    out = ("-o", tmp_path / "o.png")
    assert "no styles to mix; train stylegan2" in mulligan("mix", picture_run, *out).mistake()
    assert "layers of styles" in mulligan("mix", style_run, *out, "--from-layer", 99).mistake()
    assert "name it .png" in mulligan("mix", style_run, "-o", tmp_path / "o.gif").mistake()


# --- the report --------------------------------------------------------------------------------------------


def test_the_report_shows_the_space(picture_run: Path, style_run: Path, density_run: Path) -> None:
    assert section(Record.read(picture_run)).count("<img") == 2  # a walk and a sum
    assert section(Record.read(style_run)).count("<img") == 3  # and mixed styles
    assert section(Record.read(density_run)) == ""
    assert "The latent space" in (style_run / "report.html").read_text(encoding="utf-8")


def test_a_report_never_fails_of_it(picture_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(picture_run, tmp_path / "run"))
    for weights in run.glob("checkpoints/*/model.safetensors"):
        os.truncate(weights, 100)
    assert "could not be drawn" in section(Record.read(run))
    shutil.rmtree(run / "checkpoints")
    assert "could not be drawn" in section(Record.read(run))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "signals": {"x": None}}))
    assert section(Record.read(run)) == ""


def test_edits_are_shown_where_tags_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.report.latent.MAX_SECONDS", 1e9)
    from mulligan.model import SHIPPED

    run = Path(shutil.copytree(SHIPPED / "digits", tmp_path / "run"))
    shipped = Model.load("digits")
    (run / "events.jsonl").write_text(json.dumps({"kind": "finish", "time": "2026-01-01T00:00:00"}) + "\n")
    monkeypatch.setattr("mulligan.report.latent.Model.load", lambda path: shipped)
    page = section(Record.read(run))
    assert page.count("<img") == 3
    assert "digit judge" in page


def test_a_tag_cannot_be_set_both_ways() -> None:
    from mulligan.edit import parsed

    assert parsed(("glasses=1", "glasses=1", "buns=0")) == {"glasses": True, "buns": False}
    with pytest.raises(ValueError, match="glasses is set to 1 and to 0"):
        parsed(("glasses=1", "glasses=0"))
