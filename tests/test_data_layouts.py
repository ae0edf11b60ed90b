"""How folders lie, as a user meets it: what a mistake in them says to mend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import Command
from test_data_pairs import picture, put

PIX2PIX = ("--size", 16, "--patch", 16, "--rounds", 1)
CYCLEGAN = "train a system that needs no pairs: mulligan train cyclegan"


def strangers(root: Path, n: int, *, names: tuple[str, str] = ("A", "B")) -> Path:
    """Two folders without a name in common."""
    for i in range(n):
        put(root / names[0], f"a{i}.png", picture(i))
        put(root / names[1], f"b{i}.png", picture(100 + i))
    return root


# --- what training says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [6, 60])
def test_no_partners_are_told_however_few_files_there_are(tmp_path: Path, mulligan: Command, n: int) -> None:
    words = ("train", "pix2pix", "--data", strangers(tmp_path, n), *PIX2PIX)
    said = mulligan(*words).mistake()
    assert f"of {n} of A and {n} of B, 0 have a partner of the same name, three are needed (A/a0.png, A/a1" in said
    assert said.endswith(f"name partners alike, or {CYCLEGAN}")
    assert "--pair" not in said, "nobody typed it"
    assert f"--pair A:B: of {n} of A" in mulligan(*words, "--pair", "A:B").mistake()


def test_partners_of_unequal_shape(tmp_path: Path, mulligan: Command) -> None:
    for i in range(6):
        put(tmp_path / "all" / "a", f"{i}.png", picture(i, width=30))
        put(tmp_path / "all" / "b", f"{i}.png", picture(100 + i))
    said = mulligan("train", "pix2pix", "--data", tmp_path, *PIX2PIX).mistake()
    assert "all/a/0.png and its partner are 30 x 16 and 16 x 16" in said
    assert said.endswith(CYCLEGAN) and "--pair" not in said


def test_images_that_nothing_pairs_are_told_too(mulligan: Command) -> None:
    said = mulligan("train", "pix2pix", "--data", "mnist", "--pair", "3:8").mistake()
    assert said.endswith(f"--pair 3:8: mnist does not say which images belong together; {CYCLEGAN}")


def test_no_partners_of_maps(tmp_path: Path, mulligan: Command) -> None:
    for n in (6, 60):
        root = strangers(tmp_path / f"{n}", n)
        for verb in (("train", "pix2pix", "--data", root, *PIX2PIX), ("train", "cyclegan", "--data", root)):
            said = mulligan(*verb, "--task", "labels").mistake()
            assert f"of {n} of A and {n} of B, 0 have a partner" in said and "--pair" not in said
        out = mulligan("data", "check", root, "--task", "labels").out
        assert f"stops      of {n} of A and {n} of B, 0 have a partner" in out
    assert said.endswith(f"{CYCLEGAN}, without --task labels")


def test_too_few_for_two_domains_name_no_option_that_nobody_typed(tmp_path: Path, mulligan: Command) -> None:
    strangers(tmp_path / "folders", 3)
    for i in range(3):
        put(tmp_path / "flat", f"{i}.png", picture(i))
        put(tmp_path / "halves", f"{i}.png", np.concatenate([picture(i), picture(100 + i)], 1))
    train = ("train", "cyclegan", "--size", 16, "--data")
    for words in (("folders",), ("flat", "--task", "edges"), ("halves",)):
        said = mulligan(*train, tmp_path / words[0], *words[1:]).mistake()
        assert "samples in" in said and "at least 2 are needed; add data" in said
        assert "--pair" not in said and "--unpaired" not in said
    typed = mulligan(*train, tmp_path / "flat", "--task", "edges", "--unpaired").mistake()
    assert "--unpaired: of " in typed
    assert "--pair A:B: of " in mulligan(*train, tmp_path / "folders", "--pair", "A:B").mistake()


@pytest.mark.parametrize("system", ["pix2pix", "cyclegan"])
def test_of_several_folders_two_are_to_be_named(tmp_path: Path, mulligan: Command, system: str) -> None:
    for n, folder in enumerate(("birds", "cats", "dogs", "eels", "foxes")):
        for i in range(4):
            put(tmp_path / "zoo" / folder, f"{i}.png", picture(10 * n + i))
    said = mulligan("train", system, "--data", tmp_path / "zoo", "--size", 16).mistake()
    kinds = "zoo has 5 (birds, cats, dogs and 2 more): add --pair A:B, which takes two of them"
    assert said.endswith(f"{system} learns from two kinds of images, and {kinds}")


def test_an_image_beside_the_folders_is_named(tmp_path: Path, mulligan: Command) -> None:
    strangers(tmp_path / "in" / "all", 12)
    put(tmp_path / "in" / "all", "readme.png", picture(99))
    for words in (("pix2pix",), ("cyclegan",), ("pix2pix", "--pair", "A:B")):
        said = mulligan("train", *words, "--data", tmp_path / "in", "--size", 16).mistake()
        assert "images such as all/readme.png lie beside" in said
        assert "which are no classes then: move them" in said
    out = mulligan("data", "check", tmp_path / "in").out
    assert "note       Images lie beside folders, such as all/readme.png, so the folders are not taken as" in out


def test_files_of_pooled_folders_are_named_where_they_lie(tmp_path: Path, mulligan: Command) -> None:
    strangers(tmp_path, 6, names=("trainA", "trainB"))
    said = mulligan("train", "pix2pix", "--data", tmp_path, *PIX2PIX).mistake()
    assert "(trainA/a0.png, trainA/a1.png, trainA/a2.png and 9 more have none)" in said
