"""mulligan apply: whatever goes in, of any size, comes out whole; what cannot be is named."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mulligan as package
from conftest import Command, separate, tree
from mulligan import display, samples
from mulligan.errors import Mistake
from mulligan.inputs import Door
from mulligan.layers.lab import as_bright, to_lab
from mulligan.model import Model
from mulligan.signals import LIGHTNESS, Signal
from translated import PALETTE, Run, noise, read, save

# --- pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 4), (64, 31), (201, 333), (777, 50)])
def test_any_size_comes_back_to_the_pixel(same: Path, size: tuple[int, int], tmp_path: Path, mulligan: Command) -> None:
    file = save(noise(*size, 3), tmp_path / "a.png")
    answer = mulligan("apply", same, file, "-o", tmp_path / "b.png", "--tile", 192)
    assert (answer.status, answer.out, answer.err) == (0, f"{tmp_path / 'b.png'}\n", "")
    assert (read(tmp_path / "b.png") == read(file)).all()


REAL = {
    "cyclegan": ("--task", "negative", "--unpaired", "--blocks", "1"),
    "pix2pix": ("--pair", "maps:photos"),
    "pix2pix of own norms": ("--pair", "maps:photos", "--test-norm", "own"),
}


@pytest.mark.parametrize("system", REAL)
def test_real_systems_take_any_size(trained: Run, system: str, tmp_path: Path, mulligan: Command) -> None:
    words = ("--g-width", "4", "--d-width", "4", "--patch", "16", *REAL[system])
    run = trained("", *words, file=system.split()[0])
    sizes = [(1, 1), (1, 7), (3, 2), (4, 4), (5, 4), (600, 3), (64, 31), (201, 333)]
    for i, size in enumerate(sizes):
        save(noise(*size, 3), tmp_path / f"in/{i}.png")
    answer = mulligan("apply", run, tmp_path / "in", "-o", tmp_path / "out", "--tile", 192)
    assert (answer.status, answer.err) == (0, "")
    assert [read(tmp_path / f"out/{i}.png").shape[:2] for i in range(len(sizes))] == sizes


def test_a_network_of_one_size_gets_the_middle(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", file="square.py")
    save(noise(16, 16, 3), tmp_path / "in/a.png")
    save(np.pad(noise(16, 16, 3), [(0, 0), (4, 4), (0, 0)]), tmp_path / "in/b.png")
    save(noise(700, 300, 4), tmp_path / "in/c.png")
    save(noise(1, 1, 3), tmp_path / "in/d.png")
    answer = mulligan("apply", run, tmp_path / "in/a.png", "-o", tmp_path / "a.png", "--size", 16)
    assert (answer.status, answer.err) == (0, ""), "nothing was done to it"
    answer = mulligan("apply", run, tmp_path / "in", "-o", tmp_path / "out")
    said = "this run takes 16 x 16 px alone: the middle of each picture was cut out and scaled to that"
    assert (answer.status, answer.err) == (0, f"mulligan: {said}\n")
    assert (read(tmp_path / "out/a.png") == noise(16, 16, 3)).all()
    assert (read(tmp_path / "out/b.png") == noise(16, 16, 3)).all()
    assert [read(tmp_path / f"out/{name}.png").shape for name in "cd"] == [(16, 16, 4), (16, 16, 3)]
    answer = mulligan("apply", run, tmp_path / "in/a.png", "-o", tmp_path / "b.png", "--size", 50)
    assert "--size 50: this run takes images of 16 x 16 px alone; leave it out" in answer.mistake()


def test_size_scales_the_longer_side(same: Path, tmp_path: Path, mulligan: Command) -> None:
    file = save(noise(40, 100, 3), tmp_path / "a.png")
    assert mulligan("apply", same, file, "-o", tmp_path / "b.png", "--size", 50).status == 0
    assert read(tmp_path / "b.png").shape == (20, 50, 3)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_is_kept(same: Path, suffix: str, tmp_path: Path, mulligan: Command) -> None:
    pixels = noise(33, 20, 4)
    pixels[:10, :, 3] = 0
    file = save(pixels, tmp_path / "a.png")
    out = tmp_path / f"b{suffix}"
    assert mulligan("apply", same, file, "-o", out).err == ""
    made = read(out)
    assert (made[..., 3] == pixels[..., 3]).all()
    if suffix == ".png":
        assert (made[:10, :, :3] == 255).all(), "what cannot be seen is white to the network"


def test_transparency_is_laid_on_white_in_a_jpeg(same: Path, tmp_path: Path, mulligan: Command) -> None:
    file = save(np.zeros((16, 16, 4), np.uint8), tmp_path / "a.png")
    answer = mulligan("apply", same, file, "-o", tmp_path / "b.jpg")
    assert answer.status == 0
    assert "has no transparency" in answer.err
    assert (read(tmp_path / "b.jpg") == 255).all()


def test_a_network_with_transparency_makes_its_own(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", "--alpha")
    pixels = noise(20, 30, 4)
    file = save(pixels, tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png").status == 0
    assert (read(tmp_path / "b.png") == pixels).all()


def test_pictures_are_turned_upright(same: Path, tmp_path: Path, mulligan: Command) -> None:
    pixels = noise(20, 31, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    file = save(pixels, tmp_path / "a.png", exif=exif)
    assert mulligan("apply", same, file, "-o", tmp_path / "b.png").status == 0
    assert (read(tmp_path / "b.png") == np.rot90(pixels, -1)).all()


def test_grey_for_colour_and_colour_for_grey(trained: Run, same: Path, tmp_path: Path, mulligan: Command) -> None:
    grey = save(noise(20, 31), tmp_path / "grey.png")
    assert mulligan("apply", same, grey, "-o", tmp_path / "a.png").err == ""
    assert (read(tmp_path / "a.png") == read(grey)[..., None]).all()
    edges = trained("same", "--task", "edges")
    assert mulligan("apply", edges, grey, "-o", tmp_path / "b.png").err == ""
    assert (read(tmp_path / "b.png") == read(grey)[..., None]).all()
    colours = [save(noise(9, 9, 3, seed=i), tmp_path / "many" / f"{i}.png") for i in range(3)]
    answer = mulligan("apply", edges, *colours, "-o", tmp_path / "out")
    assert answer.status == 0
    assert answer.err == "mulligan: this run sees grey alone: colours were not looked at\n"
    with Image.open(colours[0]) as picture:
        wanted = np.asarray(picture.convert("L")).astype(int)
    assert np.abs(read(tmp_path / "out/0.png")[..., 0] - wanted).max() <= 1


def test_brightness_is_that_of_training() -> None:
    """L of CIE Lab: middle grey, 119, is 50 of 100."""
    door = Door(Signal("image", (1, 16, 16), names=(LIGHTNESS,)))
    assert abs(float(door.see(torch.full((1, 3, 1, 1), 119, dtype=torch.uint8)))) < 2e-3


def test_colours_are_as_bright_as_what_they_are_given_to(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    """Also where tiles of different colours fade into each other."""
    run = trained("tinted", "--task", "colour")
    file = save(noise(260, 400), tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png", "--tile", 192).err == ""
    grey, made = (torch.from_numpy(np.array(Image.open(tmp_path / name).convert("RGB"))) for name in ("a.png", "b.png"))
    assert not (made[..., 0] == made[..., 1]).all()
    before, after = (to_lab(x.movedim(2, 0)[None] / 127.5 - 1)[:, 0] * 50 for x in (grey, made))
    assert (before - after).abs().max() < 0.5, "of 100; what rounding to 8 bits leaves"


def test_brightness_is_put_back_where_it_is_off_and_nowhere_else() -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    lightness = to_lab(x)[:, :1].clone()
    assert as_bright(x, lightness) is x
    lightness[:, :, :4] = torch.rand(2, 1, 4, 8) * 2 - 1
    y = as_bright(x, lightness)
    assert torch.equal(y[:, :, 4:], x[:, :, 4:])
    torch.testing.assert_close(to_lab(y)[:, :1], lightness, rtol=0, atol=2e-3)


def test_maps_have_the_colours_of_training(trained: Run, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--pair", "maps:photos", "--task", "labels")
    pixels = PALETTE[np.random.default_rng(1).integers(0, 3, (41, 30))]
    file = save(pixels, tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "b.png", "--size", 20).status == 0
    made = read(tmp_path / "b.png")
    assert made.shape == (20, 15, 3)
    assert {tuple(c) for c in made.reshape(-1, 3).tolist()} <= {tuple(c) for c in PALETTE.tolist()}
    pixels[7, 12] = (250, 3, 0)
    save(pixels, file)
    said = mulligan("apply", run, file, "-o", tmp_path / "c.png").mistake()
    assert "a.png" in said
    assert "#fa0300 at (12, 7)" in said
    assert "nearest is #ff0000" in said
    assert mulligan("apply", run, save(noise(300, 300, 3), file), "-o", tmp_path / "c.png").status == 2
    assert not (tmp_path / "c.png").exists()


def test_the_way_back(trained: Run, same: Path, tmp_path: Path, mulligan: Command) -> None:
    run = trained("same", "--task", "negative", "--unpaired", file="two.py")
    file = save(noise(16, 16, 3), tmp_path / "a.png")
    assert mulligan("apply", run, file, "-o", tmp_path / "there.png").status == 0
    assert mulligan("apply", run, file, "-o", tmp_path / "back.png", "--back").status == 0
    assert (read(tmp_path / "there.png") == read(file)).all()
    assert (read(tmp_path / "back.png") == 255 - read(file)).all()
    assert samples.read_provenance(tmp_path / "back.png")["way"] == "x to x2"  # type: ignore[index]
    assert "one way only" in mulligan("apply", same, file, "-o", tmp_path / "c.png", "--back").mistake()


@pytest.mark.parametrize("suffix", samples.PICTURES)
def test_every_file_says_what_it_is_and_is_the_same_again(
    trained: Run, suffix: str, tmp_path: Path, mulligan: Command
) -> None:
    run = trained("noisy", "--pair", "maps:photos")
    file = save(noise(16, 20, 3), tmp_path / "a.png")
    for name, seed in (("b", 7), ("c", 7), ("d", 8)):
        assert mulligan("apply", run, file, "-o", tmp_path / (name + suffix), "--seed", seed).status == 0
    told = samples.read_provenance(tmp_path / f"b{suffix}")
    assert told is not None
    assert told["synthetic"] is True
    assert (told["model"], told["seed"], told["made_of"]) == (Model.load(run).hash, 7, "a.png")
    with Image.open(tmp_path / f"b{suffix}") as picture:
        assert "Synthetic" in str(picture.info.get("Description") or picture.getexif()[0x010E])
    b, c, d = ((tmp_path / (name + suffix)).read_bytes() for name in "bcd")
    assert b == c
    assert b != d


# --- folders ------------------------------------------------------------------------------------------------


def test_a_folder_is_mirrored_and_a_broken_file_is_named(same: Path, tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "in"
    names = ["a.png", "deep/er/b.jpg", "deep/c.bmp", "deep/d.webp", "e.gif"]
    for name in names:
        save(noise(20, 20, 3), folder / name)
    (folder / "f.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "g.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("hello")
    save(noise(8, 8, 3), folder / ".hidden.png")
    answer = mulligan("apply", same, folder, "-o", folder / "out")
    assert answer.status == 1
    aside, *lines, last = answer.err.splitlines()
    assert aside.endswith(f"or links: {folder}/notes.txt")
    assert last == "mulligan: 2 of 7 could not be translated"
    assert [name in line for name, line in zip(["f.png", "g.jpg"], lines, strict=True)] == [True, True]
    made = [str(p.relative_to(folder / "out")) for p in sorted((folder / "out").rglob("*")) if p.is_file()]
    assert made == ["a.png", "deep/c.png", "deep/d.webp", "deep/er/b.jpg", "e.png"]
    assert (read(folder / "out/a.png") == read(folder / "a.png")).all()
    before = tree(folder)
    assert "--overwrite" in mulligan("apply", same, folder, "-o", folder / "out").mistake()
    assert tree(folder) == before
    again = mulligan("apply", same, folder, "-o", folder / "out", "--overwrite", "--json")
    assert again.status == 1
    told = json.loads(again.out)
    assert len(told["written"]) == 5, "what was made is no input"
    assert list(told["failed"]) == [str(folder / "f.png"), str(folder / "g.jpg")]
    assert tree(folder) == before


def test_what_is_passed_over_is_told(same: Path, tmp_path: Path, mulligan: Command) -> None:
    folder = tmp_path / "in"
    save(noise(20, 20, 3), folder / "a.png")
    for name in ("b.tiff", "c.psd", "d.txt"):
        (folder / name).write_bytes(b"")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "more").symlink_to(tmp_path)
    answer = mulligan("apply", same, folder, "-o", tmp_path / "out")
    assert answer.status == 0
    assert answer.err == (
        "mulligan: left out, being no pictures or videos of a kind that is read, or links: "
        f"{folder}/more, {folder}/b.tiff, {folder}/c.psd and 2 more\n"
    )
    says = "is a link to what is not there"
    assert says in mulligan("apply", same, folder / "gone.png", "-o", tmp_path / "b.png").mistake()


def test_names_that_differ_by_their_suffix_stay_apart(same: Path, tmp_path: Path, mulligan: Command) -> None:
    for name in ("a.bmp", "a.png", "b.bmp"):
        save(noise(20, 20, 3), tmp_path / "in" / name)
    words = ("apply", same, tmp_path / "in", tmp_path / "in" / "b.bmp", "-o", tmp_path / "out")
    assert mulligan(*words).status == 0, "an input that is given twice is made once"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.bmp.png", "a.png", "b.png"]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_of_a_moving_picture_the_first_frame_is_taken(
    same: Path, suffix: str, tmp_path: Path, mulligan: Command
) -> None:
    frames = [Image.fromarray(noise(20, 20, 3, seed=i)) for i in range(3)]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **options)
    answer = mulligan("apply", same, tmp_path / f"a{suffix}", "-o", tmp_path / "b.png")
    assert answer.err == f"mulligan: of a moving {suffix} the first frame is taken\n"
    assert (read(tmp_path / "b.png") == np.asarray(frames[0])).all()


def test_what_is_refused(same: Path, density_run: Path, tmp_path: Path, mulligan: Command) -> None:
    a, b, c = (save(noise(16, 16, 3), tmp_path / name) for name in ("x/a.png", "x/b.png", "y/a.png"))
    before = tree(tmp_path)
    (tmp_path / "bad.png").write_text("no")
    (tmp_path / "none").mkdir()
    for words, says in [
        ([tmp_path / "z.png", "-o", "o.png"], "does not exist"),
        ([tmp_path / "none", "-o", "o"], "no picture and no video"),
        ([a, b, "-o", tmp_path / "o.png"], "2 inputs do not go into one file; name a folder"),
        ([a, "-o", tmp_path / "o.tif"], "a picture is written as .png"),
        ([a, "-o", tmp_path / "o.mp4"], "a picture is written as .png"),
        ([a, "-o", b], "exists"),
        ([a, b, "-o", tmp_path / "x", "--overwrite"], "is an input itself"),
        ([a, c, "-o", tmp_path / "o"], "would both become"),
        ([tmp_path / "bad.png", "-o", tmp_path / "o.png"], "bad.png cannot be translated (not a PNG,"),
        ([a, "-o", tmp_path / "o.png", "--tile", "8"], "--tile 8"),
        (["-o", tmp_path / "o.png"], "INPUT"),
    ]:  # fmt: skip
        assert says in mulligan("apply", same, *words).mistake()
    assert "mulligan sample" in mulligan("apply", density_run, a, "-o", tmp_path / "o.png").mistake()
    assert "mulligan sample digits" in mulligan("apply", "digits", a, "-o", tmp_path / "o.png").mistake()
    (tmp_path / "bad.png").unlink()
    assert tree(tmp_path) == before


def test_channels_that_no_file_has_are_refused(same: Path, tmp_path: Path) -> None:
    file = save(noise(16, 16, 3), tmp_path / "a.png")
    for key, channels in (("input", 2), ("x", 6)):
        model = Model.load(same)
        model.system.signals = {**model.system.signals, key: Signal("image", (channels, 16, 16))}
        with pytest.raises(Mistake, match=f"{channels} channels.*Model.translate"):
            package.apply(model, [file], tmp_path / "b.png")


def test_none_of_many(same: Path, tmp_path: Path, mulligan: Command) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no")
    answer = mulligan("apply", same, tmp_path, "-o", tmp_path / "o")
    assert answer.status == 2
    assert "none of the 2 inputs" in answer.err.splitlines()[-1]


def test_progress_counts_tiles_and_files(same: Path, tmp_path: Path) -> None:
    save(noise(300, 200, 3), tmp_path / "in/a.png")
    save(noise(10, 10, 3), tmp_path / "in/b.png")
    told: list[tuple[str, int, int]] = []
    applied = package.apply(
        Model.load(same), [tmp_path / "in"], tmp_path / "out", tile=192, progress=lambda *now: told.append(now)
    )
    assert [file.name for file in applied.written] == ["a.png", "b.png"]
    tiles = [now for now in told if now[0] == "tiles of a.png"]
    assert tiles == [("tiles of a.png", i + 1, len(tiles)) for i in range(len(tiles))]
    assert told[-1] == ("translating", 2, 2)


def test_notes_do_not_stand_behind_what_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    display.counting("translating", 1, 3)
    display.note("b.png is broken")
    assert capsys.readouterr().err == "\r\033[Ktranslating: 1 of 3\r\033[Kmulligan: b.png is broken\n"


# --- costs --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no children's memory")
def test_a_photograph_of_twelve_megapixels_stays_small(tmp_path: Path, trained: Run) -> None:
    down, right = np.mgrid[0:3000, 0:4000]
    pixels = np.stack([down // 12, right // 16, (down + right) // 28], 2).astype(np.uint8)
    file = save(pixels, tmp_path / "a.jpg", quality=90)
    answer = separate("apply", trained("local", "--pair", "maps:photos"), file, "-o", tmp_path / "b.jpg")
    assert answer.status == 0, answer.err
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    assert peak < 2048, "MiB"


def test_one_small_picture_is_quick(same: Path, tmp_path: Path) -> None:
    """Processor seconds beyond the import of torch, the least of three."""
    file = save(noise(64, 64, 3), tmp_path / "a.png")
    torch_alone = least(["-c", "import torch"])
    words = ["apply", str(same), str(file), "-o", str(tmp_path / "b.png"), "--overwrite"]
    assert least(["-c", f"from mulligan.cli import main; main({words!r})"]) - torch_alone < 0.7


def least(words: list[str]) -> float:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)
