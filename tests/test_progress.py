"""The figure of progress: a Gaussian on principal components, sentences from numbers, and the whole command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command
from mulligan import history, progress, race, registry, timeline, tuned
from mulligan.data import open_source
from mulligan.judge import PCA, REAL, TRIVIAL
from mulligan.pca import PCAGaussian
from mulligan.runtime import Runtime
from mulligan.samples import read_provenance
from mulligan.timeline import Row, Timeline

FD = "FD (a judge)"
TINY: dict[str, Any] = {"width": 4, "z_dim": 4}
REFERENCES = {REAL: 10.0, TRIVIAL: 900.0, PCA: 500.0}


# --- a Gaussian on principal components --------------------------------------------------------------------


@pytest.mark.parametrize(("n", "side"), [(200, 3), (20, 6)], ids=["more samples than pixels", "fewer"])
def test_the_gaussian_has_the_data_s_covariance_on_the_components_it_keeps(n: int, side: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(n, 1, side, side).cumsum(3)
    found = PCAGaussian(x, k=5)
    covariance = torch.cov(x.flatten(1).double().T)
    inside = found.directions @ covariance @ found.directions.T
    assert torch.allclose(inside, torch.diag(found.deviations**2), atol=1e-9)
    assert torch.allclose(found.directions @ found.directions.T, torch.eye(5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found.deviations**2, torch.linalg.eigvalsh(covariance).flip(0)[:5])
    made = found.sample(50_000, torch.Generator().manual_seed(1)).flatten(1).double()
    assert torch.allclose(torch.cov((made @ found.directions.T).T), inside, atol=0.05 * float(inside.max()))
    assert torch.allclose(made.mean(0), x.flatten(1).double().mean(0), atol=0.1)
    apart = made - made.mean(0)
    assert torch.allclose(apart @ found.directions.T @ found.directions, apart, atol=1e-4), "nothing off the components"


def test_it_keeps_no_more_directions_than_there_are() -> None:
    assert len(PCAGaussian(torch.rand(4, 1, 3, 3), k=100).deviations) == 3


# --- words -------------------------------------------------------------------------------------------------


def system(name: str, mean: float | None, deviation: float | None = 5.0, *, seeds: int = 3, lost: int = 0) -> Any:
    value = {"mean": mean, "spread": deviation, "n": seeds, "values": [] if mean is None else [mean] * seeds}
    return {"name": name.lower(), "label": name, "seeds": list(range(seeds)), "lost": lost, "metrics": {FD: value}}


def words(*systems: Any) -> str:
    return " ".join(history.caption(systems, FD, REFERENCES))


def test_an_order_that_falls_is_said_to_fall() -> None:
    said = words(system("GAN", 400.0), system("DCGAN", 200.0), system("R3GAN", 50.0))
    assert "as history says: each system is nearer to the data than all before it, beyond the spread." in said
    assert "did not beat" not in said
    assert "every system is nearer to the data than the Gaussian" in said


def test_a_later_system_that_is_behind_is_named_with_all_that_it_did_not_beat() -> None:
    said = words(system("GAN", 600.0), system("DCGAN", 200.0), system("ProGAN", 205.0), system("R3GAN", 300.0))
    assert "does not fall as history says" in said
    assert "R3GAN did not beat DCGAN and ProGAN, beyond the spread." in said
    assert "ProGAN did not beat DCGAN, within the spread." in said
    assert "which GAN did not reach" in said


def test_a_lead_within_the_spread_is_no_certain_one() -> None:
    said = words(system("GAN", 400.0), system("DCGAN", 395.0))
    assert "nearer to the data than all before it." in said
    assert "DCGAN is ahead of GAN, only within the spread." in said


def test_one_seed_is_said_to_show_no_spread() -> None:
    said = words(system("GAN", 100.0, None, seeds=1), system("DCGAN", 200.0, None, seeds=1))
    assert "DCGAN did not beat GAN." in said
    assert "One seed shows no spread" in said


def test_a_system_whose_games_all_broke_off_beat_nobody() -> None:
    said = words(system("GAN", 100.0), system("DCGAN", None, None, lost=3))
    assert "DCGAN did not beat GAN" in said
    assert "Games lost: DCGAN 3 of 3." in said
    assert history.with_spread({"mean": None}) == "-"


def test_systems_stand_in_the_order_of_their_years() -> None:
    assert history.in_order(["r3gan", "gan", "progan", "dcgan", "gan"]) == ["gan", "dcgan", "progan", "r3gan"]
    assert (history.label("sngan"), history.year("sngan")) == ("SN-GAN", 2018)


# --- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("times", [1, 2])
def test_a_sheet_gives_its_samples_back(tmp_path: Path, channels: int, times: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 6, channels), dtype=np.uint8)
    picture = progress.sheet(list(pixels))
    assert picture.size == (48, 24)
    picture.resize((48 * times, 24 * times), Image.Resampling.NEAREST).save(tmp_path / "sheet.png")
    (first, second) = progress.read_sheet(tmp_path / "sheet.png", 2)
    assert np.array_equal(first[:, ::times, ::times], pixels[0])
    assert np.array_equal(second[:, ::times, ::times], pixels[1])


def test_the_figure_draws_each_sample_and_lost_games() -> None:
    red = np.full((8, 32, 32, 3), (255, 0, 0), np.uint8)
    grey = np.full((8, 32, 32, 1), 7, np.uint8)
    rows = [Row("one", "2014", [100.0, 120.0], ["110"], [red]), Row("two", "2015", [float("inf")], ["-"], [grey, grey])]
    picture = timeline.draw(Timeline("title", "about", FD, rows, [(10.0, REAL)], ["FD"], ["words " * 90]))
    colours = dict((colour, n) for n, colour in picture.getcolors(1 << 24))
    assert colours[(255, 0, 0)] == 8 * 128 * 128
    assert colours[(7, 7, 7)] == 16 * 128 * 128
    assert colours[(29, 78, 216)] > 100  # D's blue: the first row's mean


def test_lines_are_no_wider_than_the_page() -> None:
    lines = timeline.wrapped("some words that need two lines", 90, 13)
    assert len(lines) > 1
    assert " ".join(lines) == "some words that need two lines"


def test_a_system_that_is_told_what_to_make_shows_samples_too(pictures: Path) -> None:
    """Of the first test samples' conditions; here each picture has a class."""
    source = open_source(str(pictures), size=16)
    contestants = [
        race.Contestant(race.Case(name, name, "pictures", 0, 1.0, TINY), source, Runtime.start("cpu", "fp32"))
        for name in ("gan_cls", "dcgan")
    ]
    for c in contestants:
        with c.shown():
            lines = progress.strips(c)
        assert [line.shape for line in lines] == [(8, 16, 16, 3)] * 4


# --- the whole command -------------------------------------------------------------------------------------


def race_of_two(mulligan: Command, data: Path, out: Path, *more: object) -> Any:
    return mulligan("progress", "dcgan", "gan", "--data", data, "--size", 16, "--seconds", 0.2, "-o", out, *more)


@pytest.mark.slow
def test_the_command_writes_its_figure_and_goes_on_without_training_again(
    mulligan: Command, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "progress"
    trained: list[str] = []
    train = race.Contestant.train

    def noted(self: Any, seconds: float) -> None:
        trained.append(self.case.key.removesuffix(f"-{pictures}-{self.case.seed}") + f" {self.case.seed}")
        if stop and len(set(trained)) > 2:
            raise KeyboardInterrupt
        train(self, seconds)

    monkeypatch.setattr(race.Contestant, "train", noted)
    stop = True
    stopped = race_of_two(mulligan, pictures, out, "--seeds", 2)  # in the second race
    assert stopped.status == 130
    assert sorted(p.name for p in out.glob("race-*")) == ["race-0.json"]

    stop, first = False, (out / "race-0.json").read_bytes()
    trained.clear()
    answer = race_of_two(mulligan, pictures, out, "--seeds", 2, "--json")
    assert answer.status == 0, answer.err
    assert {word.split()[1] for word in trained} == {"1"}
    assert (out / "race-0.json").read_bytes() == first
    found = json.loads(answer.out)
    assert found == json.loads((out / "progress.json").read_text())
    assert [s["name"] for s in found["systems"]] == ["gan", "dcgan"]
    measured = found["systems"][0]["metrics"][found["metric"]]
    assert measured["n"] == 2
    assert {"metric", "extractor", "extractor_hash", "n_real", "n_fake", "reference"} <= measured["card"].keys()
    assert measured["floor"] == found["references"][found["metric"]][REAL]
    assert found["systems"][0]["parameters"]["G"] > 100_000
    assert read_provenance(out / "progress.png")["synthetic"]
    with Image.open(out / "samples" / "gan.png") as sheet:
        assert sheet.size == (8 * 16, 4 * 16)

    trained.clear()
    again = race_of_two(mulligan, pictures, out, "--seeds", 2)
    assert again.status == 0
    assert trained == []
    assert "DCGAN" in again.out
    assert "real data" in again.out
    assert "other settings (seconds: 0.2, not 5.0)" in race_of_two(mulligan, pictures, out, "--seconds", 5).mistake()


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (["--data", "grid"], "grid holds points, and this figure shows images"),
        (["--seeds", "0"], "--seeds 0"),
        (["--seconds", "-1"], "--seconds -1"),
        (["dcgam"], "did you mean dcgan?"),
        (["dcgan", "--data", "mnist", "--size", "4"], "4"),
        (["--data", "nowhere/at/all"], "does not exist"),
        (["--out", "full"], "full holds other things"),
        (["--out", "full/file.txt"], "is a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_answered_in_one_line(
    mulligan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file.txt").write_text("mine")
    more = given if "--data" in given else [*given, "--data", "mnist"]
    assert answer in mulligan("progress", *more).mistake()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"], "nothing was begun"


def test_a_damaged_folder_is_named(mulligan: Command, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    assert "is damaged" in race_of_two(mulligan, pictures, tmp_path).mistake()


# --- a benchmark's results ---------------------------------------------------------------------------------


def test_the_docs_tell_what_is_measured_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_docs import generate

    def contestant(name: str, data: str, mean: float) -> Any:
        end = {"FD": {"mean": mean, "spread": 2.0}, **{m: {"mean": 0.5, "spread": 0.1} for m in generate.SHOWN}}
        value = {"mean": 40.0}
        about = {"config": {"lr": 0.01}, "parameters": {"D": 100_000, "G": 250_000}, "seeds": [0, 1, 2], "lost": 1}
        return {"name": name, "data": data, "end": end, "rate": value, "images": value, "seconds": value, **about}

    monkeypatch.setattr(generate, "RESULTS", tmp_path)
    assert "Not measured yet" in generate.compared()
    assert "Not measured yet" in generate.measured("gan")
    assert "Not measured yet" in generate.progress()
    references = {m: {REAL: 1.0, TRIVIAL: 400.0, PCA: 300.0} for m in ("FD", *generate.SHOWN)}
    found = {
        "contestants": [contestant("gan", "mnist", 120.0), contestant("dcgan", "mnist+edges", 50.0)],
        "references": {"mnist": references, "mnist+edges": references},
    }
    (tmp_path / "systems.json").write_text(json.dumps(found))
    rows = {line.split("]")[0][3:]: line for line in generate.compared().splitlines() if line.startswith("| [")}
    assert "120 ± 2.0" in rows["gan"]
    assert "G 0.25 M, D 0.10 M" in rows["gan"]
    assert "1 of 3" in rows["gan"]
    assert "50 ± 2.0" in rows["dcgan"]
    assert "not measured yet" in rows["r3gan"]
    assert "| FD | 120 ± 2.0 | 1.0 | 400 | 300 |" in generate.measured("gan")
    assert "`--lr 0.01`" in generate.measured("gan")
    assert "mnist+edges" in generate.measured("dcgan")
    assert "Not measured yet" in generate.measured("r3gan")


def test_each_tuned_system_takes_its_options() -> None:
    for name, options in (*tuned.GREY.items(), *tuned.COLOUR.items()):
        registry.load(name).Config(**options)
