"""Every kind of mistake: one line, status 2, nothing on disk touched."""

import json
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from conftest import TINY_DCGAN, TINY_GAN, Command, draw_pictures, separate, tree
from mulligan.checkpoint import newest

# --- the command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("tran", "did you mean train?"),
        ("frobnicate", "there are:"),
        ("train dcgn", "did you mean dcgan?"),
        ("train DCGAN", "did you mean dcgan?"),
        ("train dcgan --widht 32", "did you mean --width?"),
        ("train --sed 3", "did you mean --seed?"),
        ("train dcgan --widht=32", "did you mean --width?"),
        ("train dcgan sngan", "sngan"),
        ("train dcgan --batch 1", "--batch 1: input should be greater than or equal to 2"),
        ("train dcgan --batch many", "many"),
        ("train dcgan --batch", "--batch"),
        ("train dcgan --lr -1", "--lr -1"),
        ("train dcgan --minutes 0", "--minutes 0"),
        ("train dcgan --minutes 1 --rounds 5", "give one of them"),
        ("train dcgan --seed -1", "--seed -1"),
        ("train dcgan --precision fp8", "fp8"),
        ("train dcgan --device tpu", "tpu"),
        ("train dcgan --fit squeeze", "squeeze"),
        ("train gan --loss wasserstein", "wasserstein"),
        ("train dcgan --data mnist --size 3", "--size 3"),
        ("train dcgan --data mnist --micro-batches 3 --rounds 1", "does not divide"),
        ("train dcgan --data density", "dcgan needs x"),
        ("train gan --data density --size 32", "--size 32"),
        ("train gan --data densty", "did you mean density?"),
        ("train gan --data nowhere/at/all", "nowhere"),
        ("sample", "RUN"),
        ("sample nowhere", "no run 'nowhere'"),
        ("sample nowhere -n 0", "0"),
        ("evaluate nowhere", "nowhere"),
        ("compare", "RUN"),
        ("walk nowhere", "nowhere"),
        ("data", None),
        ("data chek mnist", "did you mean check?"),
        ("data get mnst", "did you mean mnist?"),
        ("data check nowhere", "nowhere"),
        ("systems --jsn", "did you mean --json?"),
    ],
)
def test_mistakes(
    mulligan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, says: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mulligan(*words.split())
    if says is None:
        assert answer.status == 0
        return
    assert says.lower() in answer.mistake().lower()
    assert "Pydantic" not in answer.err
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["diagnose"], "mulligan diagnose: RUN is missing: a run's directory"),
        (["edit"], "mulligan edit: RUN is missing: "),
        (["train", "gan", "--minutes", "0,5"], "--minutes: no number: '0,5'"),
        (["train", "gan", "--batch", "two"], "--batch: no whole number: 'two'"),
        (["train", "gan", "--size", "1.5"], "--size: no whole number: '1.5'"),
        (["train", "gan", "--size", "it's"], '--size: no whole number: "it\'s"'),
        (["train", "gan", "--prior", "flat"], "--prior 'flat': one of '"),
        (["train", "gan", "--batch"], "--batch needs a value"),
        (["train", "gan", "--stop", "atuo"], "--stop 'atuo': one of 'budget', 'auto'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_answered_in_plain_words(words: list[str], says: str, mulligan: Command) -> None:
    said = mulligan(*words).mistake()
    assert says in said
    assert "class" not in said
    assert "None" not in said


def test_a_mistake_in_a_process_of_its_own(tmp_path: Path) -> None:
    answer = separate("train", "dcgn", cwd=tmp_path)
    assert "did you mean dcgan?" in answer.mistake()


def test_an_out_that_exists(density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    for out in (density_run, density_run / "config.json"):
        before = tree(density_run)
        said = mulligan("train", "gan", "--data", "ring", "--rounds", 1, "--out", out, *TINY_GAN).mistake()
        assert "exists" in said
        assert str(out) in said
        assert tree(density_run) == before


def test_sample_of_a_label_that_it_cannot_make(density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    assert (
        "this gan is told nothing" in mulligan("sample", density_run, "--label", 3, "-o", tmp_path / "a.png").mistake()
    )


# --- the data ------------------------------------------------------------------------------------------------


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def folder_of(tmp_path: Path, kind: str) -> Path:
    folder = tmp_path / kind
    if kind == "missing":
        return folder
    folder.mkdir()
    if kind == "text":
        for i in range(3):
            (folder / f"{i}.txt").write_text("not an image")
    elif kind == "text named png":
        for i in range(3):
            (folder / f"{i}.png").write_text("not an image")
    elif kind == "one image":
        Image.new("RGB", (16, 16)).save(folder / "a.png")
    elif kind == "huge":
        draw_pictures(folder, 6)
        (folder / "dark" / "huge.png").write_bytes(png_of_size(40_000, 40_000))
    return folder


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "missing"),
        ("empty", "is empty"),
        ("text", "no images, only 3 .txt"),
        ("text named png", "0 of 3 images can be read"),
        ("one image", "at least two"),
        ("huge", "huge.png is"),
    ],
)
def test_folders_that_cannot_work(tmp_path: Path, mulligan: Command, kind: str, says: str) -> None:
    folder, out = folder_of(tmp_path, kind), tmp_path / "run"
    before = tree(tmp_path)
    assert says in mulligan("train", "dcgan", "--data", folder, "--rounds", 1, "--out", out, *TINY_DCGAN).mistake()
    assert not out.exists()
    assert tree(tmp_path) == before
    checked = mulligan("data", "check", folder)
    assert checked.status == 2
    assert says in checked.out + checked.err


def test_a_size_that_the_network_cannot_make(pictures: Path, tmp_path: Path, mulligan: Command) -> None:
    for system in ("dcgan", "sngan", "r3gan"):
        out = tmp_path / "run"
        said = mulligan("train", system, "--data", pictures, "--size", 50, "--rounds", 1, "--out", out).mistake()
        assert "--size 50: this network needs a multiple of 4" in said
        assert "try 48 or 52" in said
        assert not out.exists()


def test_a_truncated_jpeg_among_good_ones_is_skipped_named_and_counted(tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(folder / f"{i:02d}.jpg")
    bad = folder / "07.jpg"
    bad.write_bytes(bad.read_bytes()[:600])
    before = tree(folder)
    answer = mulligan(
        "train", "dcgan", "--data", folder, "--size", 16, "--rounds", 1, "--out", tmp_path / "r", *TINY_DCGAN
    )
    assert answer.status == 0, answer.err
    assert "07.jpg" in answer.err
    assert "1 of 12" in answer.err
    assert tree(folder) == before
    checked = mulligan("data", "check", folder, "--size", 16)
    assert checked.status == 0
    assert "07.jpg" in checked.out


def test_a_picture_with_more_text_than_pillow_reads_is_skipped_and_named(tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "drawn [by a program]"
    folder.mkdir()
    draw_pictures(folder, n=12)
    note = PngImagePlugin.PngInfo()
    note.add_text("workflow", "x" * 3_000_000, zip=True)
    Image.new("RGB", (16, 16)).save(folder / "long [text].png", pnginfo=note)
    answer = mulligan(
        "train", "dcgan", "--data", folder, "--size", 16, "--rounds", 1, "--out", tmp_path / "a run", *TINY_DCGAN
    )
    assert answer.status == 0, answer.err
    assert "1 of 13" in answer.err
    assert "long [text].png" in answer.err
    assert f"mulligan sample '{tmp_path / 'a run'}'" in answer.out


def test_a_folder_called_mnist_is_not_read_as_digits(tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "mnist"
    draw_pictures(folder)
    run = tmp_path / "run"
    answer = mulligan("train", "dcgan", "--data", folder, "--size", 16, "--rounds", 1, "--out", run, *TINY_DCGAN)
    assert answer.status == 0, answer.err
    numbers = json.loads(mulligan("evaluate", run, "--judge", "pixels", "--json").out)
    assert not any("digit" in metric["name"] for metric in numbers["metrics"])


def test_three_pictures_train(tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "three"
    draw_pictures(folder, n=3)
    run = tmp_path / "run"
    answer = mulligan("train", "dcgan", "--data", folder, "--size", 16, "--rounds", 1, "--out", run, *TINY_DCGAN)
    assert answer.status == 0, answer.err


def test_a_runs_own_command_with_resume_is_that_run(
    tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_pictures(tmp_path / "drawn", n=12)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auto").mkdir()  # a folder of a system's name is no system
    words = ("auto", "--data", "drawn", "--size", 16, "--batch", 4)
    assert mulligan("train", *words, "--rounds", 1, "--out", "run").status == 0
    answer = mulligan("train", *words, "--rounds", 2, "--resume", "run")
    assert answer.status == 0, answer.err
    assert "2 rounds" in answer.out


# --- the disk ------------------------------------------------------------------------------------------------


def test_a_full_disk_while_training(small_disk: Path, tmp_path: Path, mulligan: Command) -> None:
    """The run stops with one line; what was saved before is whole, and it goes on once there is room."""
    run = small_disk / "run"
    words = ("--data", "ring", "--look-every", 2, "--batch", 8, "--g-width", 144, "--d-width", 32)
    answer = mulligan("train", "gan", "--rounds", 4, "--out", run, *words)
    assert answer.status == 0, answer.err
    whole = newest(run / "checkpoints")[0]
    assert whole is not None
    filler = small_disk / "filler"
    kept = tree(run / "checkpoints")
    with filler.open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        file.write(b"\0" * (free - 150_000))
    answer = mulligan("train", "--resume", run, "--rounds", 60)
    assert answer.status == 2
    assert "Traceback" not in answer.err
    last = answer.err.strip().splitlines()[-1]
    assert "No space left" in last
    assert "--resume" in last
    assert kept.items() <= tree(run / "checkpoints").items() or newest(run / "checkpoints")[0] is not None
    assert not list((run / "checkpoints").glob(".*")), "nothing half-written stays"
    filler.unlink()
    assert mulligan("train", "--resume", run, "--rounds", 6).status == 0


def test_a_disk_that_is_full_from_the_start(small_disk: Path, mulligan: Command) -> None:
    with (small_disk / "filler").open("wb") as file:
        file.write(b"\0" * shutil.disk_usage(small_disk).free)
    before = tree(small_disk)
    answer = mulligan("train", "gan", "--data", "ring", "--rounds", 2, "--out", small_disk / "run", *TINY_GAN)
    assert answer.status == 2
    assert "No space left" in answer.err.strip().splitlines()[-1]
    assert "Traceback" not in answer.err
    assert before.items() <= tree(small_disk).items()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_out_below_a_file(tmp_path: Path, mulligan: Command) -> None:
    (tmp_path / "file").write_text("precious")
    said = mulligan("train", "gan", "--data", "ring", "--rounds", 1, "--out", tmp_path / "file" / "run").mistake()
    assert "cannot be written" in said
    assert (tmp_path / "file").read_text() == "precious"
