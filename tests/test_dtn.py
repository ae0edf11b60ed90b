"""DTN: its terms in closed form, what f sees and that it stays, digits on photographs, whole commands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import Command, bare_loop, differences, everything, played, samples_of, signals_of, tiny_system
from mulligan import registry
from mulligan.data import open_source, photos
from mulligan.data.tasks.on_photos import blended
from mulligan.model import Model
from mulligan.signals import Signal
from mulligan.systems.dtn import FROM_S, FROM_T, REAL, surely_real, total_variation

TINY = ("--batch", "4", "--f-width", "4", "--features", "8", "--width", "4")


def system(**options: Any) -> Any:
    return tiny_system("dtn", "image", **options)


def batch_of(s: Any, n: int = 6) -> dict[str, Tensor]:
    return samples_of(s.signals).fetch(np.arange(n))


class Says(nn.Module):
    """A D with logits (0.5, -0.3, 1.1) for every image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([0.5, -0.3, 1.1]).expand(len(x), 3) + 0 * x.flatten(1).sum(1, keepdim=True)


LOGITS = (0.5, -0.3, 1.1)


def surprise(kind: int) -> float:
    """-log of the softmax."""
    return math.log(sum(map(math.exp, LOGITS))) - LOGITS[kind]


def test_the_ternary_game_in_closed_form() -> None:
    s = system(gamma=0.0, adv_weight=0.5)
    s.D, batch = Says(), batch_of(s)
    terms = {k: float(v.detach()) for k, v in s.d_loss(batch).items()}
    assert terms == pytest.approx({"real": surprise(REAL), "from_s": surprise(FROM_S), "from_t": surprise(FROM_T)})
    assert float(s.g_loss(batch)["adv"].detach()) == pytest.approx(0.5 * 2 * surprise(REAL))


def test_const_and_tid_compare_what_they_should() -> None:
    """CONST features of the first domain's images before and after, TID images of the second with themselves."""
    s = system(const_weight=3.0, tid_weight=5.0, tv_weight=2.0)
    s.translating = True
    s.train()
    batch = batch_of(s)
    torch.manual_seed(0)
    terms = s.g_loss(batch)
    (_, (from_s, from_t)) = s.kept.left[0]
    const = (s.f(from_s) - s.f(batch["x2"])).square().mean()
    assert float(terms["const"].detach()) == pytest.approx(3 * float(const.detach()), rel=1e-4)
    assert float(terms["tid"].detach()) == pytest.approx(5 * float((from_t - batch["x"]).square().mean()), rel=1e-4)
    assert float(terms["tv"].detach()) == pytest.approx(2 * float(total_variation(from_s)), rel=1e-4)


def test_total_variation_of_a_ramp() -> None:
    """0.3 a pixel across, 0.4 down: 0.5 everywhere."""
    ramp = 0.3 * torch.arange(6.0)[None, :] + 0.4 * torch.arange(6.0)[:, None]
    assert float(total_variation(ramp[None, None])) == pytest.approx(0.5, abs=1e-4)


def test_a_logit_of_being_real() -> None:
    """Its sigmoid is the softmax's third."""
    logit = surely_real(torch.tensor([LOGITS]))
    assert float(logit.sigmoid()) == pytest.approx(math.exp(-surprise(REAL)))


def test_f_learns_first_and_then_stays_bit_for_bit() -> None:
    s: Any = system()
    loop = bare_loop(s)
    stages = s.stages()
    before = {k: v.clone() for k, v in s.f.state_dict().items()}
    loop.seed(0)
    loop.enter(0, next(stages))
    loop.play()
    learned = {k: v.clone() for k, v in s.f.state_dict().items()}
    assert not torch.equal(before["layers.0.weight"], learned["layers.0.weight"])
    loop.seed(1)
    loop.enter(1, next(stages))
    frozen = {k: v.clone() for k, v in s.f.state_dict().items()}  # the average that it settled to
    g = s.g.state_dict()["rest.0.weight"].clone()
    loop.play()
    assert all(torch.equal(frozen[k], v) for k, v in s.f.state_dict().items()), "BatchNorm's means too"
    assert not torch.equal(g, s.g.state_dict()["rest.0.weight"])


@pytest.mark.parametrize("f_in_g", [True, False])
def test_who_learns_to_translate(f_in_g: bool) -> None:
    s = system(f_in_g=f_in_g)
    _, stage = list(s.stages())
    g, d = stage.turns
    assert set(g.learns) == ({s.g} if f_in_g else {s.e, s.g}) and d.learns == (s.D,)
    made = s.eval().translate(batch_of(s)["x2"], "x2")
    assert made.shape == (6, *s.signals["x"].shape)


def test_resume_in_the_second_stage_is_exact() -> None:
    whole = played(system(), 2, 4)
    half = played(system(), 2, 2)
    saved = (half.system.state_dict(), {**half.state()})
    again = played(system(), 2, 2, saved=saved)
    assert differences(everything(whole), everything(again)) == []


def of_channels(want: int, have: int) -> Any:
    """A system whose x has so many channels, and its x2."""
    kind = registry.load("dtn")
    shapes = {"x": (want, 16, 16), "x2": (have, 16, 16)}
    return kind(
        kind.Config.tiny(), signals_of("image") | {key: Signal("image", shape) for key, shape in shapes.items()}
    )


@pytest.mark.parametrize(("want", "have"), [(1, 3), (3, 1), (3, 3), (1, 4)])
def test_f_looks_at_both_domains(want: int, have: int) -> None:
    """Grey is shown to an f of colours as each of them, colours to an f of grey as their mean."""
    s = of_channels(want, have)
    x = torch.rand(4, want, 16, 16) * 2 - 1
    seen = s.as_source(x)
    assert seen.shape == (4, have, 16, 16)
    assert torch.allclose(seen.mean(1), x.mean(1), atol=1e-6)
    s.g_loss({"x": x, "x2": torch.rand(4, have, 16, 16), "y2": torch.zeros(4, dtype=torch.int64)})
    assert s.translate(torch.rand(4, have, 16, 16), "x2").shape == (4, want, 16, 16)


def test_domains_that_f_cannot_both_look_at_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 4 and 3 channels: f looks at both"):
        of_channels(4, 3)


@pytest.mark.parametrize(("f_in_g", "images"), [(True, 18), (False, 12)])
def test_f_looks_at_an_image_once(f_in_g: bool, images: int) -> None:
    """At both domains where it is in G, and at what is made; where it is not, at the first and at what is made."""
    s = system(f_in_g=f_in_g)
    looked: list[int] = []
    s.f.register_forward_hook(lambda f, args, out: looked.append(len(out)))
    s.g_loss(batch_of(s))
    assert sum(looked) == images


def test_another_side_is_refused() -> None:
    s = system()
    assert s.side == 16
    with pytest.raises(ValueError, match="dtn makes images of 16 x 16 px from such"):
        s.translate(torch.zeros(1, 3, 20, 20), "x2")


def test_folders_within_a_folder_are_labels(tmp_path: Path, mulligan: Command) -> None:
    """Of your own pictures: photos/light, photos/dark, and drawings without labels."""
    rng = np.random.default_rng(0)
    for i in range(90):
        for place, level in (("photos/light", 200), ("photos/dark", 40), ("drawings", 120)):
            (tmp_path / "data" / place).mkdir(parents=True, exist_ok=True)
            pixels = np.clip(rng.normal(level, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / place / f"{i}.png")
    source = open_source(str(tmp_path / "data"), pair="photos:drawings", unpaired=True)
    assert source.signals["y2"].names == ("dark", "light")
    for split in source.splits.values():
        rows = split.fetch(np.arange(len(split)))
        assert torch.equal(rows["y2"] == 1, rows["x2"].mean((1, 2, 3)) > 0) and set(rows["y2"].tolist()) == {0, 1}
    words = ("--f-width", "4", "--width", "4", "--features", "8", "--batch", "8", "--rounds", "8")
    run = tmp_path / "run"
    pair = ("--pair", "photos:drawings")
    assert mulligan("train", "dtn", "--data", tmp_path / "data", *pair, *words, "--out", run).status == 0
    assert mulligan("apply", run, tmp_path / "data/photos/dark/0.png", "-o", tmp_path / "a.png").status == 0
    other = mulligan("train", "dtn", "--data", tmp_path / "data", "--pair", "drawings:photos", *words)
    assert "dtn needs y2" in other.mistake() and "folders of each label within the folder" in other.mistake()


# --- digits on photographs ------------------------------------------------------------------------------------


def test_blending_in_closed_form() -> None:
    crop, digit = torch.tensor([0.2, -1.0, 1.0]), torch.tensor([-1.0, 1.0, 0.0])
    u, v = (crop + 1) / 2, (digit + 1) / 2
    assert torch.allclose(blended(crop, digit), 2 * (u - v).abs() - 1)


@pytest.fixture(scope="module")
def digits() -> Any:
    if not photos_are_there():
        pytest.skip('needs pip install "mulligan[photos]"')
    return open_source("mnist", size=32, task="on_photos")


def photos_are_there() -> bool:
    try:
        photos.read(photos.PHOTOS["train"][0])
    except ValueError:
        return False
    return True


def test_what_is_on_a_photograph_is_of_the_other_half(digits: Any) -> None:
    rows = digits.held_out.fetch(np.arange(len(digits.held_out)))
    assert rows["x"].shape[1:] == (1, 32, 32) and rows["x2"].shape[1:] == (3, 32, 32)
    assert rows["x2"].min() >= -1 and rows["x2"].max() <= 1
    plain = open_source("mnist", size=32)
    seen = {x.numpy().tobytes() for x in rows["x"]}
    split = digits.held_out
    behind = plain.held_out.fetch(split.domains.second)["x"]
    assert not seen & {x.numpy().tobytes() for x in behind}
    assert torch.equal(rows["y2"], plain.held_out.fetch(split.domains.second)["y"])


def test_a_row_is_what_its_number_says(digits: Any) -> None:
    index = np.array([5, 900, 5])
    rows = digits.train.fetch(index)
    for key in rows:
        assert torch.equal(rows[key][0], rows[key][2])
        assert torch.equal(rows[key][1], digits.train.fetch(index[1:2])[key][0])


def test_splits_have_photographs_of_their_own(digits: Any) -> None:
    crops = [{c.tobytes() for c in split.crops} for split in digits.splits.values()]
    assert not (crops[0] & crops[1] or crops[0] & crops[2] or crops[1] & crops[2])


def test_whole_commands(digits: Any, tmp_path: Path, mulligan: Command) -> None:
    run = tmp_path / "run"
    words = ("train", "dtn", "--data", "mnist", "--size", "16", "--task", "on_photos", *TINY)
    assert mulligan(*words, "--rounds", "6", "--out", run).status == 0
    model = Model.load(run)
    assert model.system.translating  # type: ignore[attr-defined]
    assert mulligan("sample", run, "-n", "4", "-o", tmp_path / "s.png").status == 0
    for side in (16, 40):
        Image.new("RGB", (side, 16)).save(tmp_path / f"{side}.png")
    answer = mulligan("apply", run, tmp_path / "16.png", tmp_path / "40.png", "-o", tmp_path / "made")
    assert answer.status == 0
    assert "16 x 16 px alone: the middle of each picture was cut out" in answer.err
    with pytest.raises(ValueError, match="dtn makes images of 16 x 16 px from such"):
        model.translate(torch.zeros(1, 3, 300, 300))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data", "mnist"), "dtn needs y2 (label), but mnist supplies only x"),
        (("--data", "ring", "--task", "on_photos"), "ring has no grey images with labels; try --data mnist"),
        (("--data", "mnist", "--task", "dilation"), "dtn needs y2 (label)"),
    ],
)
def test_mistakes_take_one_line(words: tuple[str, ...], says: str, mulligan: Command) -> None:
    assert says in mulligan("train", "dtn", *words, *TINY, "--rounds", "1").mistake()
