"""mulligan diagnose: logs of losses that others wrote, and what is no log at all; a run's own story."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Command, tree
from mulligan.referee import verdict as v

LINES = 300
Values = dict[str, list[float]]
Write = Callable[[Path, Values], Path]


# --- how others write them ----------------------------------------------------------------------------------


def csv(*names: str) -> Write:
    """A table with the columns that D's and G's losses have elsewhere, and others beside them."""

    def write(folder: Path, losses: Values) -> Path:
        file = folder / "losses.csv"
        columns = dict(zip(names, (losses["D"], losses["G"]), strict=True))
        rows = [f"{i},{','.join(f'{x[i]}' for x in columns.values())},10.5" for i in range(len(losses["D"]))]
        file.write_text("\n".join([f"iteration,{','.join(names)},seconds", *rows]) + "\n")
        return file

    return write


def jsonl(line: Callable[[float, float], dict[str, Any]]) -> Write:
    def write(folder: Path, losses: Values) -> Path:
        file = folder / "stats.jsonl"
        rows = zip(losses["D"], losses["G"], strict=True)
        file.write_text("".join(json.dumps(line(d, g)) + "\n" for d, g in rows))
        return file

    return write


def stylegan(d: float, g: float) -> dict[str, Any]:
    """As StyleGAN's stats.jsonl has it: an object for each number."""

    def about(mean: float) -> dict[str, float]:
        return {"num": 512, "mean": mean, "std": 0.1}

    return {"Progress/kimg": about(1.0), "Loss/G/loss": about(g), "Loss/D/loss": about(d), "timestamp": 1.6e9}


def pix2pix(d: float, g: float) -> dict[str, Any]:
    """As pix2pix has it: D's loss in its two halves, and G's adversarial one beside the L1."""
    return {"epoch": 1, "G_GAN": g, "G_L1": 12.5, "D_real": d, "D_fake": d}


FORMS: dict[str, Write] = {
    "d_loss,g_loss": csv("d_loss", "g_loss"),
    "loss_D,loss_G": csv("loss_D", "loss_G"),
    "Discriminator Loss,Generator Loss": csv("Discriminator Loss", "Generator Loss"),
    "train/d_loss": csv("train/d_loss", "train/g_loss"),
    "errD,errG": csv("errD", "errG"),
    "jsonl": jsonl(lambda d, g: {"step": 1, "d_loss": d, "g_loss": g}),
    "stylegan": jsonl(stylegan),
    "pix2pix": jsonl(pix2pix),
}


# --- what they show -----------------------------------------------------------------------------------------


def around(level: float, seed: int = 0) -> list[float]:
    """Noise of a tenth around a level."""
    return list(level * (1 + 0.1 * np.random.default_rng(seed).standard_normal(LINES)))


def course(f: Callable[[float], float], seed: int = 0) -> list[float]:
    """A course over [0, 1], with such noise."""
    return [f(i / LINES) * x for i, x in enumerate(around(1.0, seed))]


GAMES: dict[str, tuple[Values, str]] = {
    "healthy": ({"D": around(1.1), "G": around(0.9, 1)}, v.HEALTHY),
    "a critic's": ({"D": around(-3.0), "G": around(20.0, 1)}, v.HEALTHY),
    "NaN": ({"D": [*around(1.1)[:200], *[math.nan] * 100], "G": around(0.9, 1)}, v.NOT_FINITE),
    "infinite": ({"D": around(1.1), "G": [*around(0.9, 1)[:-1], math.inf]}, v.NOT_FINITE),
    "D vanishes, G rises": (
        {"D": course(lambda t: math.exp(-14 * t)), "G": course(lambda t: 1 + 12 * t, 1)}, v.D_WINS,
    ),
    "growing": ({"D": around(1.1), "G": course(lambda t: math.exp(12 * t), 1)}, v.DIVERGING),
    "constant": ({"D": [0.6931] * LINES, "G": [0.6931] * LINES}, v.STALLED),
}  # fmt: skip


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("form", FORMS)
def test_a_log_of_another_library(form: str, game: str, tmp_path: Path, mulligan: Command) -> None:
    losses, verdict = GAMES[game]
    file = FORMS[form](tmp_path, losses)
    answer = mulligan("diagnose", file, "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found["verdict"]["name"] == verdict
    assert found["log"] == str(file)


@pytest.mark.parametrize(
    ("real", "fake", "verdict"), [(0.995, 0.004, v.D_WINS), (0.001, 0.001, v.HEALTHY), (0.6, 0.4, v.HEALTHY)]
)
def test_what_d_says_of_samples_is_no_loss(
    real: float, fake: float, verdict: str, tmp_path: Path, mulligan: Command
) -> None:
    """A D that takes all for fakes has not won, though both numbers vanish."""
    file = tmp_path / "log.csv"
    file.write_text("D(x),D(G(z))\n" + f"{real},{fake}\n" * 60)
    answer = mulligan("diagnose", file, "--json")
    assert json.loads(answer.out)["verdict"]["name"] == verdict


def test_the_story_in_words(tmp_path: Path, mulligan: Command) -> None:
    losses, _ = GAMES["D vanishes, G rises"]
    file = FORMS["d_loss,g_loss"](tmp_path, losses)
    first, *lines = mulligan("diagnose", file).out.splitlines()
    assert first == f"{file}: D wins"
    story = "\n".join(lines)
    assert "300 lines, of which these columns are read: d_loss as D, g_loss as G, iteration as step." in story
    assert "The loss of G went from " in story
    assert "slow D down" in story
    assert "Losses do not show a mode collapse" in lines[-1]


def test_a_healthy_log_promises_nothing(tmp_path: Path, mulligan: Command) -> None:
    said = mulligan("diagnose", FORMS["jsonl"](tmp_path, GAMES["healthy"][0])).out
    assert "Nothing in the losses says that the game is lost." in said
    assert "Losses do not show" in said


def test_the_line_of_the_first_nan_is_named(tmp_path: Path, mulligan: Command) -> None:
    said = mulligan("diagnose", FORMS["d_loss,g_loss"](tmp_path, GAMES["NaN"][0])).out
    assert "the loss of D is no finite number in line 202." in said, "the head is the first"


def test_d_of_x_near_one_and_of_fakes_near_zero_is_a_d_that_wins(tmp_path: Path, mulligan: Command) -> None:
    """As PyTorch's DCGAN example logs it."""
    file = tmp_path / "dcgan.csv"
    file.write_text("D(x),D(G(z))\n" + "".join(f"{1 - x / 999},{x / 999}\n" for x in np.linspace(0, 1, 60)))
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.D_WINS


def test_a_d_that_is_wrong_more_often_than_right(tmp_path: Path, mulligan: Command) -> None:
    file = FORMS["d_loss,g_loss"](tmp_path, {"D": around(3.0), "G": around(0.05, 1)})
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.G_WINS


def test_a_few_lines_are_too_few(tmp_path: Path, mulligan: Command) -> None:
    few = {k: x[:5] for k, x in GAMES["constant"][0].items()}
    answer = mulligan("diagnose", FORMS["d_loss,g_loss"](tmp_path, few))
    assert answer.status == 0
    assert "Too few to say anything" in answer.out
    assert answer.out.splitlines()[0].endswith(": unknown")


# --- odd files that are logs all the same -------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_may_be_kept_apart_by(mark: str, tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.csv"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    text = "".join(f"{d}{mark}{g}\n" for d, g in rows)
    file.write_text(f"\ufeffd_loss{mark} g_loss \n\n{text}", encoding="utf-8")
    found = json.loads(mulligan("diagnose", file, "--json").out)
    assert (found["columns"], found["verdict"]["name"]) == (["D", "G"], v.HEALTHY)


def test_remarks_and_a_line_cut_short_are_passed_over(tmp_path: Path, mulligan: Command) -> None:
    file = FORMS["jsonl"](tmp_path, GAMES["healthy"][0])
    file.write_text(file.read_text() + '# resumed\n[1, 2]\n{"d_loss": 1.0, "g_lo')
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.HEALTHY


def test_lines_without_a_loss_are_passed_over(tmp_path: Path, mulligan: Command) -> None:
    """JSON lines of which each holds some of the numbers."""
    file = tmp_path / "log.jsonl"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    file.write_text("".join(f'{{"d_loss": {d}}}\n{{"g_loss": {g}}}\n{{"fid": 20}}\n' for d, g in rows))
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.HEALTHY


def test_empty_cells_are_passed_over(tmp_path: Path, mulligan: Command) -> None:
    """As Lightning's CSVLogger writes what is logged at different steps."""
    file = tmp_path / "metrics.csv"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    text = "".join(f"{d},0,,{i}\n,0,{g},{i}\n" for i, (d, g) in enumerate(rows))
    file.write_text(f"d_loss,epoch,g_loss,step\n{text}")
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.HEALTHY


def test_a_comma_may_stand_for_the_point(tmp_path: Path, mulligan: Command) -> None:
    """As spreadsheets write it in half of Europe."""
    file = tmp_path / "log.csv"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    file.write_text("epoch;d_loss;g_loss\n" + "".join(f"1;{d};{g}\n" for d, g in rows).replace(".", ","))
    found = json.loads(mulligan("diagnose", file, "--json").out)
    assert (found["columns"], found["verdict"]["name"]) == (["D", "G", "step"], v.HEALTHY)


def test_a_list_of_objects_will_do(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.json"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    file.write_text(json.dumps([{"epoch": 1, "losses": {"d": d, "g": g}} for d, g in rows], indent=1))
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.HEALTHY


TEXTS = {
    "in front of it, where it is": "[0/25][{i}/391]\tLoss_D: {d:.4f}\tLoss_G: {g:.4f}\tD(x): 0.6 / 0.4",
    "in brackets": "[Epoch 0/200] [Batch {i}/938] [D loss: {d:.4f}] [G loss: {g:.4f}]",
    "with accuracy": "{i} [D loss: {d:.4f}, acc.: 63%] [G loss: {g:.4f}]",
    "with the time": "[2024-01-01 10:00:00] step: {i} d_loss: {d:.4f} g_loss: {g:.4f}",
}


@pytest.mark.parametrize("form", TEXTS)
def test_what_examples_print(form: str, tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "train.log"
    rows = enumerate(zip(around(1.0), around(0.9, 1), strict=True))
    file.write_text("".join(TEXTS[form].format(i=i, d=d, g=g) + "\n" for i, (d, g) in rows))
    found = json.loads(mulligan("diagnose", file, "--json").out)
    assert {"D", "G"} <= set(found["columns"])
    assert found["verdict"]["name"] == v.HEALTHY


def test_tabs_after_commas_are_blanks(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.csv"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    file.write_text("epoch,\td_loss,\tg_loss\n" + "".join(f"1,\t{d},\t{g}\n" for d, g in rows))
    assert json.loads(mulligan("diagnose", file, "--json").out)["columns"] == ["D", "G", "step"]


@pytest.mark.parametrize("number", ["1e400", "1e308", "1" + 400 * "0"])
def test_a_number_that_is_too_large_is_not_finite(number: str, tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(f'{{"d_loss": {number}, "g_loss": 1.0}}\n' * 60)
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.NOT_FINITE


def test_of_two_columns_of_one_kind_the_first_is_read_and_named(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.csv"
    file.write_text("errG,generator_loss\n" + "".join(f"{g},nan\n" for g in around(0.9)))
    said = mulligan("diagnose", file).out
    assert "these columns are read: errG as G." in said
    assert "No column is known as a loss of D: half of the game is not seen." in said


def test_a_loss_that_keeps_to_a_level_is_not_stalled_while_the_other_moves(tmp_path: Path, mulligan: Command) -> None:
    """LSGAN's, where D is nearly always right: G's stays at 1, with some noise."""
    file = tmp_path / "log.csv"
    rows = zip(around(0.011), 0.99 + 0.01 * np.random.default_rng(0).random(LINES), strict=True)
    file.write_text("d_loss,g_loss\n" + "".join(f"{d},{g}\n" for d, g in rows))
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] != v.STALLED


def test_a_step_that_is_no_number_is_no_lost_game(tmp_path: Path, mulligan: Command) -> None:
    file = tmp_path / "log.csv"
    rows = zip(around(1.0), around(0.9, 1), strict=True)
    file.write_text("epoch,d_loss,g_loss\n" + "".join(f"{i}/300,{d},{g}\n" for i, (d, g) in enumerate(rows)))
    assert json.loads(mulligan("diagnose", file, "--json").out)["verdict"]["name"] == v.HEALTHY


# --- what is no log -----------------------------------------------------------------------------------------


def made(tmp_path: Path, content: bytes, name: str = "log.csv") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n\n", "is empty"),
    "a head alone": (b"epoch,d_loss,g_loss\n", "has a head and no rows yet"),
    "words for numbers": (b"epoch,d_loss\n" + b"1,low\n" * 60, "there is no number under d_loss"),
    "nothing for numbers": (b'{"g_loss": null}\n' * 60, "there is no number under g_loss"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00" * 20, "is no text"),
    "zeros": (bytes(5000), "is no text"),
    "other columns": (b"time,temperature\n1,20\n2,21\n", "time, temperature"),
    "other objects": (b'{"accuracy": 0.5}\n{"accuracy": 0.6}\n', "accuracy"),
    "numbers alone": (b"1,2\n3,4\n", "put a head above it"),
    "a page": (b"<!doctype html><title>d_loss</title>", "no column is known"),
    "broken objects": (b'{"d_loss": 1\n{"d_loss"\n', "no column is known"),
    "a list of other objects": (json.dumps([{"accuracy": 1.0}] * 3).encode(), "no column is known"),
    "a list cut short": (b'[{"d_loss": 1.0}, {"d_', "no column is known"),
    "a long line": (b"x" * 200_000, "is no table that can be read"),
    "a quote that never ends": (b'd,"' + b"a\nb," * 100_000, "is no table that can be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_log_is_said_in_one_line(kind: str, tmp_path: Path, mulligan: Command) -> None:
    content, says = BAD[kind]
    file = made(tmp_path, content)
    said = mulligan("diagnose", file).mistake()
    assert says in said
    assert str(file) in said
    assert len(said) < 600


def test_no_file_and_no_run(tmp_path: Path, mulligan: Command) -> None:
    assert "there is no run and no file" in mulligan("diagnose", tmp_path / "nothing.csv").mistake()
    assert "is not a run" in mulligan("diagnose", tmp_path).mistake()
    assert mulligan("diagnose").mistake()


def test_a_run_s_own_log_is_told_by_its_run(density_run: Path, mulligan: Command) -> None:
    assert f"mulligan diagnose {density_run} " in mulligan("diagnose", density_run / "log.jsonl").mistake()


def test_another_program_s_folder_is_left_alone(tmp_path: Path, mulligan: Command) -> None:
    """It may have a config.json and a log.jsonl too."""
    file = FORMS["jsonl"](tmp_path, GAMES["healthy"][0])
    (tmp_path / "config.json").write_text('{"lr": 0.1}')
    assert mulligan("diagnose", file).status == 0
    assert "is not a mulligan run's" in mulligan("diagnose", tmp_path).mistake()
    assert sorted(x.name for x in tmp_path.iterdir()) == ["config.json", file.name]


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, mulligan: Command) -> None:
    file = made(tmp_path, b"d_loss\n")
    with file.open("r+b") as long:
        long.truncate(300_000_000)  # a hole, which takes no room
    assert "more than 200,000,000 bytes" in mulligan("diagnose", file).mistake()


# --- runs made here -----------------------------------------------------------------------------------------


def test_a_run_is_told_and_not_touched(density_run: Path, mulligan: Command) -> None:
    before = tree(density_run)
    answer = mulligan("diagnose", density_run)
    assert answer.status == 0
    assert answer.out.splitlines()[0] == f"{density_run}: healthy"
    assert "At round 6: the distance between samples and data went from" in answer.out
    assert "Nothing is wrong that can be seen after" in answer.out
    assert "healthy game" not in answer.out, "so young a game is not known to be"
    found = json.loads(mulligan("diagnose", density_run, "--json").out)
    assert (found["mulligans"], found["verdict"]["lost"]) == ([], False)
    assert tree(density_run) == before


@pytest.mark.parametrize("gone", [("log.jsonl",), ("events.jsonl",), ("log.jsonl", "events.jsonl")])
def test_a_run_that_has_hardly_begun(own_run: Path, mulligan: Command, gone: Iterable[str]) -> None:
    for name in gone:
        (own_run / name).unlink()
    answer = mulligan("diagnose", own_run)
    assert answer.status == 0
    assert answer.out.splitlines()[0] == f"{own_run}: {'unknown' if 'log.jsonl' in gone else 'healthy'}"
    assert ("Nothing was measured" in answer.out) == ("log.jsonl" in gone)


def test_a_run_from_before_the_referee(own_run: Path, mulligan: Command) -> None:
    """Its log has no signs, and its options none of the referee's."""
    log = [json.loads(line) for line in (own_run / "log.jsonl").read_text().splitlines()]
    rest = ("round", "stage", "images", "seconds", "terms", "grad_norm", "vital")
    (own_run / "log.jsonl").write_text("".join(json.dumps({k: x[k] for k in rest}) + "\n" for x in log))
    config = json.loads((own_run / "config.json").read_text())
    for name in ("mulligans", "stop", "g_pace", "d_pace"):
        del config["run"][name]
    (own_run / "config.json").write_text(json.dumps(config))
    assert "older than its referee" in mulligan("diagnose", own_run).out
    assert mulligan("train", "--resume", own_run, "--rounds", 9).status == 0
    assert "At round 9" in mulligan("diagnose", own_run).out
