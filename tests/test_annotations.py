"""Labels, tags and captions beside a folder's images: read, refused in one line, and trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Command, tree
from mulligan import data
from mulligan.data.examine import Report, examine
from mulligan.data.source import ArraySplit, DataCard, Source
from mulligan.data.words import LONGEST, sentence
from mulligan.signals import Signal

N = 12


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.png, b.png ... whose red is 20 times their number."""
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N):
        Image.new("RGB", (16, 16), (20 * i, 7, 99)).save(folder / f"{chr(97 + i)}.png")
    return folder


def names(n: int = N) -> list[str]:
    return [f"{chr(97 + i)}.png" for i in range(n)]


def write(folder: Path, kind: str, says: Callable[[int], str]) -> None:
    rows = "".join(f"{name},{says(i)}\n" for i, name in enumerate(names()))
    column = {"labels": "label", "tags": "tags", "captions": "text"}[kind]
    (folder / f"{kind}.csv").write_text(f"file,{column}\n{rows}", encoding="utf-8")


def rows_of(source: Source) -> dict[int, dict[str, torch.Tensor]]:
    """Every row by the number of its image, which its red tells."""
    found = {}
    for split in source.splits.values():
        batch = split.fetch(np.arange(len(split)))
        for i, x in enumerate(batch["x"]):
            number = round(float((x[0, 0, 0] + 1) * 127.5)) // 20
            found[number] = {key: value[i] for key, value in batch.items()}
    return found


def complaint(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        data.open_source(str(folder))
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what is read ---------------------------------------------------------------------------------------------


def test_labels(photos: Path) -> None:
    write(photos, "labels", lambda i: ("cat", " dog ", '"a, b"')[i % 3])
    source = data.open_source(str(photos))
    assert source.signals["y"] == Signal("label", (), (0, 2), names=("a, b", "cat", "dog"))
    assert {i: int(row["y"]) for i, row in rows_of(source).items()} == {i: (1, 2, 0)[i % 3] for i in range(N)}
    assert "labels.csv: 3 classes." in source.notes
    assert not any("left aside" in note for note in source.notes)


def test_tags(photos: Path) -> None:
    write(photos, "tags", lambda i: ("Red  hair; glasses;", "glasses ;glasses", "")[i % 3])
    source = data.open_source(str(photos))
    assert source.signals["tags"] == Signal("tags", (2,), (0, 1), names=("glasses", "red hair"))
    want = ([1, 1], [1, 0], [0, 0])
    assert {i: row["tags"].tolist() for i, row in rows_of(source).items()} == {i: want[i % 3] for i in range(N)}


def test_captions(photos: Path) -> None:
    write(photos, "captions", lambda i: f'"A girl, number {i % 4}:\nblue eyes!"' if i % 2 else "Éclair")
    source = data.open_source(str(photos))
    signal = source.signals["text"]
    assert signal.shape == (6,)
    assert "éclair" in signal.names
    said = {i: sentence(row["text"], signal) for i, row in rows_of(source).items()}
    assert said == {i: f"a girl number {i % 4} blue eyes" if i % 2 else "éclair" for i in range(N)}


def test_rows_in_any_order_with_a_mark_blank_lines_and_other_line_ends(photos: Path) -> None:
    rows = [f"./{name},{name[0]} x" for name in reversed(names())]
    text = "\ufeffFile , Text\r\n\r\n" + "\r\n,\r\n".join(rows)
    (photos / "captions.csv").write_bytes(text.encode())
    source = data.open_source(str(photos))
    said = {i: sentence(row["text"], source.signals["text"]) for i, row in rows_of(source).items()}
    assert said == {i: f"{chr(97 + i)} x" for i in range(N)}


def test_all_three_at_once_below_folders_whose_names_are_no_classes_then(photos: Path) -> None:
    for i, name in enumerate(names()):
        (photos / "ab"[i % 2]).mkdir(exist_ok=True)
        (photos / name).rename(photos / "ab"[i % 2] / name)
    assert data.open_source(str(photos)).signals["y"].names == ("a", "b")
    for kind, column in (("labels", "label"), ("tags", "tags"), ("captions", "text")):
        rows = "".join(f"{'ab'[i % 2]}/{name},v{i % 3}\n" for i, name in enumerate(names()))
        (photos / f"{kind}.csv").write_text(f"file,{column}\n{rows}")
    source = data.open_source(str(photos))
    assert list(source.signals) == ["x", "y", "tags", "text"]
    assert "The classes are those of labels.csv, not the folders." in source.notes
    for i, row in rows_of(source).items():
        assert (int(row["y"]), int(row["tags"].argmax()), int(row["text"][0])) == (i % 3, i % 3, i % 3 + 1)


def test_names_with_accents_written_either_way(photos: Path) -> None:
    (photos / "a.png").rename(photos / "e\u0301.png")  # as macOS writes é
    write(photos, "labels", lambda i: str(i % 2))
    file = photos / "labels.csv"
    file.write_text(file.read_text().replace("a.png", "\u00e9.png"), encoding="utf-8")
    assert int(rows_of(data.open_source(str(photos)))[0]["y"]) == 0


def test_an_image_that_cannot_be_read_takes_its_row_with_it(photos: Path) -> None:
    (photos / "c.png").write_bytes(b"\x89PNG cut short")
    write(photos, "captions", lambda i: f"number {i}")
    source = data.open_source(str(photos))
    said = {i: sentence(row["text"], source.signals["text"]) for i, row in rows_of(source).items()}
    assert said == {i: f"number {i}" for i in range(N) if i != 2}


def test_the_fingerprint_and_the_splits(photos: Path) -> None:
    def seen() -> tuple[str, list[list[int]]]:
        source = data.open_source(str(photos))
        parts = [split.fetch(np.arange(len(split)))["x"] for split in source.splits.values()]
        return source.fingerprint, [[int(x[0, 0, 0] * 1000) for x in part] for part in parts]

    plain, splits = seen()
    write(photos, "captions", lambda i: f"number {i % 3}")
    told, same = seen()
    decoded = tree(photos.parent / "cache")
    write(photos, "captions", lambda i: f"number {i % 2}")
    other, _ = seen()
    assert len({plain, told, other}) == 3
    assert same == splits  # by the content of the images
    assert tree(photos.parent / "cache") == decoded  # other words, no image decoded again
    (photos / "captions.csv").unlink()
    assert seen() == (plain, splits)


# --- what is refused ------------------------------------------------------------------------------------------


GOOD = "".join(f"{name},x\n" for name in names())
MISTAKES = [
    ("captions", "", ["captions.csv, line 1", "nothing", "`file,text`"]),
    ("captions", "file,tags\n" + GOOD, ["line 1", "'file,tags'", "`file,text`"]),
    ("captions", GOOD, ["line 1", "'a.png,x'", "`file,text`"]),
    ("labels", "file;label\na.png;x\n", ["labels.csv, line 1", "'file;label'", "`file,label`"]),
    ("captions", "file,text\nz.png,x\n" + GOOD, ["line 2", "no image 'z.png'", "did you mean"]),
    ("captions", f"file,text\n{GOOD}elsewhere/picture.jpeg,x\n", [f"line {N + 2}", "take the row out"]),
    ("captions", "file,text\n" + GOOD[8:], ["no row for a.png: add it"]),
    ("captions", "file,text\n" + GOOD[24:], ["no row for a.png and 2 more: add it"]),
    ("captions", f"file,text\n{GOOD}c.png,y\n", [f"line {N + 2}", "c.png has a row already, line 4; keep one"]),
    ("captions", "file,text\na.png,a girl, smiling\n", ["line 2", "3 cells", "double quotes"]),
    ("captions", "file,text\na.png\n", ["line 2", "1 cells"]),
    ("captions", "file,text\n" + GOOD.replace("b.png,x", "b.png,  "), ["line 3", "the text is empty", "b.png"]),
    ("captions", "file,text\n" + GOOD.replace("b.png,x", "b.png,?!"), ["line 3", "the text is empty"]),
    ("captions", "file,text\n" + GOOD.replace("b.png,x", "b.png," + "x" * (LONGEST + 1)), ["line 3", "at most 2,000"]),
    ("captions", 'file,text\na.png,"x"y\n', ["line 2", "quotes in pairs"]),
    ("captions", 'file,text\na.png,"x\n', ["line 2", "quotes in pairs"]),
    ("labels", "file,label\n" + GOOD.replace("d.png,x", "d.png,"), ["labels.csv, line 5", "the label is empty"]),
    ("tags", 'file,tags\na.png,"red hair, glasses"\n' + GOOD[8:], ["tags.csv, line 2", "semicolons"]),
    ("tags", "file,tags\n" + GOOD.replace("x", ";"), ["tags.csv has 0 different tags"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "parts"), MISTAKES)
def test_rows_that_do_not_fit(photos: Path, kind: str, text: str, parts: list[str]) -> None:
    (photos / f"{kind}.csv").write_text(text)
    said = complaint(photos)
    for part in parts:
        assert part in said
    assert not (photos.parent / "cache").exists()  # before any image is decoded


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding(photos: Path, encoding: str) -> None:
    (photos / "captions.csv").write_bytes(("file,text\n" + GOOD.replace("c.png,x", "c.png,café")).encode(encoding))
    line = {"latin-1": 4, "utf-16": 1}[encoding]
    assert complaint(photos) == f"captions.csv, line {line}: this is not text in UTF-8; save the file so"


def test_a_mistake_stops_the_check_and_the_training(photos: Path, mulligan: Command) -> None:
    write(photos, "captions", lambda i: "" if i == 3 else "x")
    answer = mulligan("data", "check", photos, "--json")
    assert answer.status == 2
    assert "captions.csv, line 5" in json.loads(answer.out)["problems"][0]
    before = tree(photos)
    out = photos.parent / "run"
    assert "captions.csv, line 5" in mulligan("train", "gan_cls", "--data", photos, "--out", out).mistake()
    assert tree(photos) == before
    assert not out.exists()


# --- what hurts -----------------------------------------------------------------------------------------------


def checked(**signals_and_arrays: tuple[Signal, np.ndarray]) -> Report:
    """The check of a source in memory with these beside x."""
    n = 600
    arrays = {"x": np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8)).astype(np.uint8)}
    arrays |= {key: array for key, (_, array) in signals_and_arrays.items()}
    splits = {
        name: ArraySplit(arrays, rows)
        for name, rows in zip(("train", "held_out", "test"), np.split(np.arange(n), (500, 550)), strict=True)
    }
    signals = {"x": Signal("image", (3, 8, 8)), **{key: signal for key, (signal, _) in signals_and_arrays.items()}}
    source = Source(name="s", signals=signals, fingerprint="f", card=DataCard("o", "l", "a", "none"), **splits)
    return examine("captions", lambda spec: source, conditional=True, progress=None)


def test_tags_that_contradict_each_other_and_rows_without_any() -> None:
    signal = Signal("tags", (3,), (0, 1), names=("red", "blue", "long"), exclusive=(("red", "blue"),))
    tags = np.tile(np.array([1, 0, 1], np.float32), (600, 1))
    assert checked(tags=(signal, tags)).warnings == []
    tags[[3, 520]], tags[[7, 8, 560]] = (1, 1, 0), 0
    report = checked(tags=(signal, tags))
    assert report.warnings == [
        "3 of 600 samples have no tag: say what they show, or take them out",
        "2 of 600 samples have more than one of red, blue: at most one can be true",
    ]
    assert report.tags == {"red": 597, "blue": 2, "long": 595}
    assert not report.stops  # tags are something to be told


def test_empty_texts() -> None:
    signal = Signal("text", (2,), (0, 3), names=("a", "b", "c"))
    text = np.tile(np.array([1, 0]), (600, 1))
    assert checked(text=(signal, text)).warnings == []
    text[5] = 0
    assert checked(text=(signal, text)).warnings == [
        "1 of 600 samples have an empty text: say what they show, or take them out"
    ]
    embedding = Signal("text", (4,), None)
    assert checked(text=(embedding, np.zeros((600, 4), np.float32))).warnings == []


def test_annotated_images_can_be_told_without_classes(photos: Path) -> None:
    assert "labels.csv" in data.check(str(photos), conditional=True).problems[0]
    write(photos, "captions", lambda i: f"number {i % 3}")
    report = data.check(str(photos), conditional=True)
    assert not report.stops
    assert "captions.csv: 4 different words, 2 in the longest text." in report.notes
    (photos / "captions.csv").unlink()
    write(photos, "labels", lambda i: "one")
    assert "one class" in data.check(str(photos), conditional=True).problems[0]
