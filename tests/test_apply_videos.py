"""mulligan apply: videos, frame by frame."""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Command, tree
from mulligan import samples, video
from translated import Run, noise, read, save


def film(file: Path, n: int = 12, size: tuple[int, int] = (48, 64), sound: bool = False) -> Path:
    """A square that moves over grey."""
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264" if file.suffix != ".webm" else "libvpx-vp9", rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if sound:
            voice = container.add_stream("aac", rate=8000)
            voice.layout = "mono"
        for i in range(n):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving(i, size), format="rgb24")))
        container.mux(stream.encode())
        if sound:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            tone.rate = 8000
            container.mux(voice.encode(tone))
            container.mux(voice.encode())
    return file


def moving(i: int, size: tuple[int, int]) -> np.ndarray:
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[10:30, 2 * i : 2 * i + 20] = (200, 120, 40)
    return pixels


@pytest.mark.parametrize(("source", "out"), [(".mp4", ".mp4"), (".mov", ".webm"), (".mkv", ".gif"), (".webm", ".mp4")])
def test_videos_keep_their_frames_and_their_rate(
    same: Path, source: str, out: str, tmp_path: Path, mulligan: Command
) -> None:
    av = pytest.importorskip("av")
    file = film(tmp_path / f"a{source}")
    target = tmp_path / f"b{out}"
    assert mulligan("apply", same, file, "-o", target).status == 0
    with av.open(str(target)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == 12
    assert all(abs(frame.time - i / 24) < 0.006 for i, frame in enumerate(decoded)), "GIF counts hundredths"
    frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    for i, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - moving(i, (48, 64))).mean() < 4
    told = samples.read_provenance(target)
    assert told is not None
    assert (told["synthetic"], told["made_of"]) == (True, file.name)
    first = target.read_bytes()
    assert "exists" in mulligan("apply", same, file, "-o", target).mistake()
    assert mulligan("apply", same, file, "-o", target, "--overwrite").status == 0
    assert target.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([file.name, target.name])


def test_sound_is_left_out_and_odd_sides_are_made_even(
    trained: Run, same: Path, tmp_path: Path, mulligan: Command
) -> None:
    av = pytest.importorskip("av")
    answer = mulligan("apply", same, film(tmp_path / "a.mp4", sound=True), "-o", tmp_path / "b.mp4", "--size", "47")
    assert answer.status == 0
    assert answer.err == "mulligan: the sound of videos is left out\n"
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio
        assert (container.streams.video[0].width, container.streams.video[0].height) == (48, 36)


def test_a_video_of_a_telephone_held_upright_is_turned(same: Path, tmp_path: Path, mulligan: Command) -> None:
    av = pytest.importorskip("av")
    content = film(tmp_path / "a.mp4").read_bytes()
    lying, standing = (struct.pack(">5i", *numbers) for numbers in ([65536, 0, 0, 0, 65536], [0, 65536, 0, -65536, 0]))
    place = content.index(lying, content.index(b"tkhd"))  # the matrix that players turn pictures by: clockwise
    (tmp_path / "a.mp4").write_bytes(content[:place] + standing + content[place + len(standing) :])
    assert mulligan("apply", same, tmp_path / "a.mp4", "-o", tmp_path / "b.mp4").status == 0
    with av.open(str(tmp_path / "b.mp4")) as container:
        first = next(container.decode(video=0))
    assert first.rotation == 0
    assert np.abs(first.to_ndarray(format="rgb24").astype(int) - np.rot90(moving(0, (48, 64)), -1)).mean() < 4


def test_a_gif_is_a_video_if_it_moves(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    frames = [Image.fromarray(moving(i, (40, 60))) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    assert mulligan("apply", same, tmp_path / "a.gif", "-o", tmp_path / "out").status == 0
    assert mulligan("apply", same, tmp_path / "a.gif", "-o", tmp_path / "first.png").status == 0
    with Image.open(tmp_path / "out/a.gif") as made:
        assert made.n_frames == 5  # type: ignore[attr-defined]
        assert np.abs(np.asarray(made.convert("RGB")).astype(int) - moving(0, (40, 60))).max() < 8
    assert read(tmp_path / "first.png").shape == (40, 60, 3)


def test_a_broken_video_is_named(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(film(tmp_path / "b.mp4").read_bytes()[:300])
    answer = mulligan("apply", same, tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", tmp_path / "out")
    assert answer.status == 1
    assert "a.mp4 cannot be translated" in answer.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.mp4"]
    frames = [Image.fromarray(noise(40, 60, 3, seed=i)) for i in range(5)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:])
    content = (tmp_path / "c.gif").read_bytes()
    (tmp_path / "c.gif").write_bytes(content[: len(content) * 3 // 4])
    answer = mulligan("apply", same, tmp_path / "c.gif", "-o", tmp_path / "c.mp4")
    assert "c.gif" in answer.mistake()
    assert not list(tmp_path.glob(".c*"))


def test_a_video_of_no_frame_is_none(same: Path, tmp_path: Path, mulligan: Command) -> None:
    content = film(tmp_path / "a.webm", 48).read_bytes()
    (tmp_path / "a.webm").write_bytes(
        content[: content.index(b"\x1f\x43\xb6\x75") + 40]
    )  # where the first cluster of frames begins
    before = tree(tmp_path)
    for name in ("b.mp4", "b.webm", "b.gif"):
        said = mulligan("apply", same, tmp_path / "a.webm", "-o", tmp_path / name).mistake()
        assert "a.webm cannot be translated (no frame in it)" in said
    assert tree(tmp_path) == before


def test_a_video_that_is_cut_short_says_so(same: Path, tmp_path: Path, mulligan: Command) -> None:
    av = pytest.importorskip("av")
    content = film(tmp_path / "a.webm", 48).read_bytes()
    (tmp_path / "a.webm").write_bytes(content[: len(content) * 3 // 4])
    answer = mulligan("apply", same, tmp_path / "a.webm", "-o", tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        n = len(list(container.decode(video=0)))
    assert 0 < n < 48
    assert answer.status == 0
    assert answer.err == f"mulligan: a.webm is cut short: of 48 frames {n} could be read\n"
    for name in ("c.mp4", "c.mov", "c.mkv"):
        assert mulligan("apply", same, film(tmp_path / name, 48), "-o", tmp_path / f"of {name}.mp4").err == ""


def test_a_missing_package_is_named(
    same: Path, tmp_path: Path, mulligan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    assert 'pip install "mulligan[video]"' in mulligan("apply", same, tmp_path / "a.mp4", "-o", "o.mp4").mistake()


def test_a_film_without_times_of_its_own(same: Path, tmp_path: Path, mulligan: Command) -> None:
    """An .avi with frames that are stored in another order than they are shown in."""
    film(tmp_path / "c.avi", 48)
    assert mulligan("apply", same, tmp_path / "c.avi", "-o", tmp_path / "c.mp4").status == 0
    with video.opened(tmp_path / "c.mp4") as found:
        times = [frame.time for frame in found.frames]
    assert len(times) == 48 and times == sorted(set(times))


def test_a_full_disk_is_said(same: Path, small_disk: Path, tmp_path: Path, mulligan: Command) -> None:
    pytest.importorskip("av")
    file = save(noise(1200, 1200, 3), tmp_path / "a.png")
    assert "cannot be written" in mulligan("apply", same, file, "-o", small_disk / "a.png").mistake()
    (small_disk / "full").write_bytes(bytes(2**21 - 2**17))
    frames = [Image.fromarray(noise(300, 300, 3, seed=i)) for i in range(16)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    for name in ("b.mp4", "b.webm", "b.gif"):
        assert "cannot be written" in mulligan("apply", same, tmp_path / "b.gif", "-o", small_disk / name).mistake()
    (small_disk / "full").unlink()
    assert list(small_disk.iterdir()) == []
