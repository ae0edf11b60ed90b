"""The tag judge: it reads characters that no one has drawn before, larger ones and spoilt ones too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.data import characters
from mulligan.data.characters import TAGS
from mulligan.layers.sizes import resized
from mulligan.metrics import tags
from mulligan.metrics.agreement import diversity_ratio, share_shown, tags_read

NEW = range(90_000, 90_200)  # beyond the numbers of any split


@pytest.fixture(scope="module")
def wanted() -> Tensor:
    rows = [characters.character(number)[1] for number in NEW]
    return torch.tensor([[float(tag in row) for tag in TAGS] for row in rows])


def drawn(side: int) -> Tensor:
    draw = characters.drawer(side)
    pictures = np.stack([draw(characters.character(number)[0]) for number in NEW])
    return torch.from_numpy(pictures).float() / 127.5 - 1


def test_the_judge_says_how_good_it_is() -> None:
    _, about = tags.load_judge()
    assert about["tags"] == list(TAGS)
    assert tags.WEIGHTS.stat().st_size < 1_000_000
    for size in ("32 px", "64 px"):
        assert about["test"][size]["all_tags_right"] > 0.99
        assert set(about["test"][size]["each"]) == set(TAGS)


def test_the_judge_reads_new_characters_at_either_size(wanted: Tensor) -> None:
    judge, _ = tags.load_judge()
    for side in (32, 64):
        each, rows = tags.accuracies(judge, resized(drawn(side), tags.SIDE), wanted)
        assert float(each.min()) >= 0.99
        assert rows >= 0.98


def test_blur_noise_and_a_step_aside_mislead_it_seldom(wanted: Tensor) -> None:
    judge, _ = tags.load_judge()
    x = drawn(32)
    noise = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    for spoilt in ((x + noise).clamp(-1, 1), torch.lerp(x, soft, 0.6), x.roll(1, 3), x * 0.93):
        assert float(tags.accuracies(judge, spoilt, wanted)[0].mean()) > 0.985


# --- what was asked for ---------------------------------------------------------------------------------------


def test_tags_read_takes_one_of_each_exclusive_group() -> None:
    logits = torch.tensor([[-3.0, -1.0, 2.0], [4.0, 5.0, -1.0]])
    on = tags_read(logits, ("red", "blue", "long"), (("red", "blue"),))
    assert on.tolist() == [[False, True, True], [False, True, False]]


def test_share_shown_counts_tags_asked_for_alone() -> None:
    on = torch.tensor([[True, False, True], [False, False, True]])
    assert share_shown(on, torch.tensor([[1.0, 1, 0], [0, 0, 1]])) == pytest.approx(2 / 3)


def test_diversity_ratio_against_known_spreads() -> None:
    torch.manual_seed(0)
    groups = torch.arange(400) % 4
    real = torch.randn(400, 8) + 100 * groups[:, None]
    half = 0.5 * torch.randn(400, 8) + 7 * groups[:, None]
    assert diversity_ratio(half, real, groups, groups) == pytest.approx(0.5, abs=0.03)
    assert diversity_ratio(groups[:, None].float(), groups[:, None] + torch.rand(400, 1), groups, groups) == 0
    assert diversity_ratio(real[groups < 1], real, groups[groups < 1], groups) == pytest.approx(1)
