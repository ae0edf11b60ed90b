"""How folders lie, as a user meets it: what a mistake in them says to mend, and what `data check` tells of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Command
from test_data_pairs import partners, picture, put

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
    for i in range(8):
        put(tmp_path / "testA", f"{i}.png", picture(200 + i))
        put(tmp_path / "testB", f"{i}.png", picture(300 + i))
    out = mulligan("data", "check", tmp_path, "--pair", "A:B", "--size", 16).out
    assert "no partner 12: trainA/a0.png (not in B), trainA/a1.png (not in B), trainA/a2.png (not in B) and 9 m" in out


# --- what data check says -----------------------------------------------------------------------------------


def checked(mulligan: Command, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mulligan("data", "check", *words, "--json").out)
    return found


def test_pairs_are_the_same_where_both_images_are(tmp_path: Path, mulligan: Command) -> None:
    """An image that is in several pairs makes no copies of them."""
    partners(tmp_path, 40)
    for i in range(5):
        put(tmp_path / "maps", f"again{i}.png", picture(i))
        put(tmp_path / "photos", f"again{i}.png", 255 - picture(i))
    put(tmp_path / "maps", "other.png", picture(0))
    put(tmp_path / "photos", "other.png", picture(99))
    for words in ((), ("--pair", "photos:maps")):
        told = checked(mulligan, tmp_path, *words)
        assert told["exact_duplicates"] == 5 and told["near_duplicates"] is None
        assert "5 of 46 pairs are exact duplicates: take them out" in told["warnings"]
    told = checked(mulligan, tmp_path, "--conditional")
    assert told["exact_duplicates"] == 11, "of images, where they are what is asked for"


def test_what_is_computed_of_equal_images_is_equal(tmp_path: Path, mulligan: Command) -> None:
    for i in range(20):
        put(tmp_path, f"{i}.png", picture(i % 18))
    assert checked(mulligan, tmp_path, "--task", "edges")["exact_duplicates"] == 2


def test_a_folder_of_pairs_is_judged_as_such(tmp_path: Path, mulligan: Command) -> None:
    partners(tmp_path, 30)
    put(tmp_path / "maps", "alone.png", picture(98))
    told = checked(mulligan, tmp_path)
    assert f"{told['pairs']['train']} pairs to train on are few" in told["warnings"][0]
    assert "images without a partner are left out: 1" in told["warnings"]
    assert any("30 pairs, from maps to photos" in note for note in told["notes"])
    for i in range(150):
        put(tmp_path / "maps", f"a{i}.png", picture(200 + i))
    told = checked(mulligan, tmp_path)
    assert f"{told['counts']['train']} images to train on are few" in told["warnings"][0], "equal names are chance"
    assert told["pairs"]["total"] == 30


def test_too_few_to_be_judged_by(tmp_path: Path, mulligan: Command) -> None:
    partners(tmp_path, 30)
    told = checked(mulligan, tmp_path)
    few = " and ".join(f"{told['pairs'][split]} in {split}" for split in ("held_out", "test"))
    assert max(told["pairs"][split] for split in ("held_out", "test")) <= 5
    assert f"{few} are too few for mulligan evaluate, which takes more than 5: add data" in told["warnings"]
    partners(tmp_path, 120)
    assert not any("evaluate" in warning for warning in checked(mulligan, tmp_path)["warnings"])


def test_halves_of_another_shape_are_no_partners(tmp_path: Path, mulligan: Command) -> None:
    for i in range(20):
        put(tmp_path, f"{i}.png", np.concatenate([picture(i), 255 - picture(i)], 1))
    put(tmp_path, "square.png", picture(50))
    told = checked(mulligan, tmp_path, "--pair", "left:right")
    assert told["unequal"] == {"square.png": "16 x 16"}
    assert "pairs are left out for their shape: 1" in told["warnings"]


def test_check_names_no_option_that_nobody_typed(tmp_path: Path, mulligan: Command) -> None:
    out = mulligan("data", "check", strangers(tmp_path, 6)).out
    assert "pairs      of 6 of A and 6 of B, 0 have a partner" in out
    assert "stops      --pair A:B: of 6 of A" in mulligan("data", "check", tmp_path, "--pair", "A:B").out
