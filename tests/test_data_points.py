"""Array files: points and images, in the user's units, and every way to get them wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan import data
from mulligan.data import points
from mulligan.data.source import Source

RNG = np.random.default_rng(3)
VALUES = RNG.normal([5.0, -200.0], [0.1, 30.0], (400, 2))


def rows(source: Source) -> np.ndarray:
    """All points in the user's units."""
    x = np.concatenate([s.fetch(np.arange(len(s)))["x"].numpy() for s in source.splits.values()])
    signal = source.signals["x"]
    return np.asarray(signal.offset) + np.asarray(signal.scale) * x


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a[np.lexsort(a.T)], b[np.lexsort(b.T)], rtol=1e-5, atol=1e-4)


def write(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, meta=np.zeros(3), samples=values)
    else:
        np.savetxt(path, values, delimiter="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".tsv"])
def test_each_kind_of_file_comes_back_in_the_users_units(suffix: str, tmp_path: Path) -> None:
    source = data.open_source(str(write(tmp_path / f"p{suffix}", VALUES)))
    assert same(rows(source), VALUES)
    train = source.train.fetch(np.arange(len(source.train)))["x"]
    assert train.dtype == torch.float32
    assert train.mean(0).numpy() == pytest.approx(0, abs=1e-5)
    assert train.std(0, correction=0).numpy() == pytest.approx(1, abs=1e-5)
    assert source.signals["x"].range is None
    assert source.name == "p"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_dialects(delimiter: str, header: bool, end: str, tmp_path: Path) -> None:
    lines = [delimiter.join(("alpha", '"b c"'))] if header else []
    for a, b in VALUES[:50]:
        cells = [f"{a:.9g}", f'"{b:.9g}"']
        lines.append(delimiter.join(c.replace(".", ",") if delimiter == ";" else c for c in cells))
    file = tmp_path / "p.csv"
    file.write_bytes(b"\xef\xbb\xbf" + (end.join([*lines, "", ""])).encode())
    source = data.open_source(str(file))
    assert same(rows(source), VALUES[:50])
    assert source.signals["x"].names == (("alpha", "b c") if header else ())


def test_a_column_and_one_dimension(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("1\n2\n4\n")
    assert data.open_source(str(tmp_path / "p.csv")).signals["x"].shape == (1,)
    np.save(tmp_path / "p.npy", np.arange(10))
    assert same(rows(data.open_source(str(tmp_path / "p.npy"))), np.arange(10.0)[:, None])


def test_a_constant_column_comes_back_exactly(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[:, 1] = 1e9 / 3
    source = data.open_source(str(write(tmp_path / "p.npy", values)))
    assert source.signals["x"].scale[1] == 0
    assert (rows(source)[:, 1] == values[:, 1]).all()
    assert "Constant columns" in source.notes[0]
    assert torch.isfinite(source.train.fetch(np.arange(9))["x"]).all()


def test_identical_rows_share_a_split(tmp_path: Path) -> None:
    source = data.open_source(str(write(tmp_path / "p.npy", np.tile(VALUES[:100], (3, 1)))))
    parts = [{r.tobytes() for r in s.fetch(np.arange(len(s)))["x"].numpy()} for s in source.splits.values()]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert sum(map(len, parts)) == 100
    assert sum(len(s) for s in source.splits.values()) == 300


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one = data.open_source(str(write(tmp_path / "a.npy", VALUES))).fingerprint
    assert data.open_source(str(write(tmp_path / "b.npz", VALUES))).fingerprint == one
    changed = VALUES.copy()
    changed[0, 0] += 1e-9
    assert data.open_source(str(write(tmp_path / "c.npy", changed))).fingerprint != one


@pytest.mark.parametrize("shape", [(20, 12, 12), (20, 12, 12, 1), (20, 12, 12, 3), (20, 12, 12, 4)])
def test_images_in_arrays(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "i.npz", x=images, y=np.arange(20) % 4)
    source = data.open_source(str(tmp_path / "i.npz"))
    channels = shape[3] if len(shape) == 4 else 1
    assert source.signals["x"].shape == (channels, 12, 12)
    assert source.signals["y"].n_classes == 4
    original = {row.tobytes() for row in images.reshape(20, 12, 12, -1).transpose(0, 3, 1, 2)}
    for split in source.splits.values():
        for x in split.fetch(np.arange(len(split)))["x"]:
            assert ((x + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() in original


def test_images_in_arrays_are_resized(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.full((9, 40, 20, 3), 200, np.uint8))
    assert data.open_source(str(tmp_path / "i.npy"), size=16).signals["x"].shape == (3, 16, 16)
    assert data.open_source(str(tmp_path / "i.npy")).signals["x"].shape == (3, 16, 16)  # not square: chosen
    padded = data.open_source(str(tmp_path / "i.npy"), size=16, fit="pad").train.fetch(np.array([0]))["x"][0, 0]
    assert padded[8, 0] == 1  # white beside the picture
    assert padded[8, 8] == pytest.approx(200 / 127.5 - 1)


def bad_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no numpy file")
    return path


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("pwned",))


BAD_CSV = {
    "a,b\n1,2\n3,nan\n": "line 3, column b is nan",
    "1,2\n3,inf\n": "line 2, column 2 is inf",
    "a,b\n1,2\n\n3,\n": "line 4, column b is empty",
    "a,b\n1,2\n3,red\n": "line 3, column b is 'red', not a number",
    "a,b\n1,2\n3,4,5\n": "line 3 has 3 cells where 2 are expected",
    "a,b\n": "a header and no rows",
    "": "is empty",
    "a,b\n1,2\n": "holds 1 rows",
    "a;b\n1,5;2\n1,5;x\n": "line 3, column b is 'x'",
    "a,b,c\n1,2\n3,4\n": "header has 3 columns, the rows have 2",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_bad_csv(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=BAD_CSV[text]) as info:
        data.open_source(str(tmp_path / "p.csv"))
    assert "\n" not in str(info.value)


BAD_ARRAYS = {
    "nan": (np.array([[1.0, 2.0], [np.nan, 3.0]]), "row 2, column 1"),
    "shape": (np.zeros((10, 3, 8, 8)), r"points are \(N, D\)"),
    "channels": (np.zeros((10, 8, 8, 2), np.uint8), "C 1, 3 or 4"),
    "empty": (np.zeros((0, 2)), "holds 0 rows"),
    "no columns": (np.zeros((5, 0)), r"shape \(5, 0\)"),
    "text": (np.array(["a", "b"]), "not numbers"),
    "objects": (np.array([Evil(), Evil()], object), "Python objects"),
    "number": (np.array(3.0), "holds 1 rows"),
    "complex": (np.zeros((5, 2), complex), "not numbers"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_bad_arrays(case: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    array, says = BAD_ARRAYS[case]
    np.save("p.npy", array) if suffix == ".npy" else np.savez("p.npz", samples=array)
    with pytest.raises(ValueError, match=says) as info:
        data.open_source(f"p{suffix}")
    assert "\n" not in str(info.value)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"PK\x03\x04rubbish", b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_that_are_not_numpy(content: bytes, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"p{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        data.open_source(str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        data.open_source(str(bad_zip(tmp_path / "z.npz")))


def test_a_cut_npy_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "p.npy", VALUES)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        data.open_source(str(file))


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((100_000, 10)))  # 8 MB in a few kilobytes
    monkeypatch.setattr(points, "MAX_BYTES", 2**20)
    with pytest.raises(ValueError, match="unpacked it would take"):
        data.open_source(str(tmp_path / "bomb.npz"))
    with pytest.raises(ValueError, match="larger than"):
        data.open_source(str(write(tmp_path / "big.npy", np.zeros((100_000, 2)))))


@pytest.mark.parametrize("labels", [np.arange(5), np.full(10, -1), np.zeros(10), np.full(10, 10**9)])
def test_bad_labels(labels: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", x=VALUES[:10], labels=labels)
    with pytest.raises(ValueError, match="labels are"):
        data.open_source(str(tmp_path / "p.npz"))


@pytest.mark.parametrize("options", [{"size": 32}, {"alpha": True}])
def test_options_for_pictures_are_refused(options: dict[str, object], tmp_path: Path) -> None:
    file = write(tmp_path / "p.npy", VALUES)
    with pytest.raises(ValueError, match="points, not images"):
        data.open_source(str(file), **options)


def test_check_of_points(tmp_path: Path) -> None:
    values = np.tile(VALUES[:100], (2, 1))
    report = data.check(str(write(tmp_path / "p.csv", values)))
    assert report.counts["total"] == 200
    assert report.exact_duplicates == 100
    assert report.near_duplicates is None
    assert not report.stops
    assert any("few" in w for w in report.warnings)
    (tmp_path / "q.csv").write_text("1,nan\n2,3\n")
    assert data.check(str(tmp_path / "q.csv")).problems
    assert data.check(str(write(tmp_path / "same.npy", np.ones((600, 2))))).stops
