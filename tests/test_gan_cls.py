"""GAN-CLS: what D is shown, what it is asked, and what half way between two sentences means."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from conftest import bare_loop, entered, samples_of, tiny_system
from mulligan import losses
from mulligan.networks.matching import differ


def batch_of(system: Any, n: int = 8) -> dict[str, torch.Tensor]:
    return samples_of(system.signals).fetch(torch.arange(n).numpy())


def test_the_paper_s_terms_in_closed_form() -> None:
    """A D that says p of a matching pair, q of a wrong one and r of a fake: -log p - ½ log(1 - q) - ½ log(1 - r)."""
    p, q, r = 0.8, 0.3, 0.4
    real, wrong, fake = (torch.full((5,), math.log(v / (1 - v))) for v in (p, q, r))
    terms = losses.d_matching(real, wrong, fake, torch.ones(5, dtype=torch.bool))
    assert float(terms["real"]) == pytest.approx(-math.log(p))
    assert float(terms["mismatch"]) == pytest.approx(-math.log(1 - q) / 2)
    assert float(terms["fake"]) == pytest.approx(-math.log(1 - r) / 2)
    even = losses.d_matching(*[torch.zeros(3)] * 3, torch.ones(3, dtype=torch.bool))
    assert float(sum(even.values())) == pytest.approx(2 * math.log(2)), "the two wrong kinds weigh as much as the right"


def test_the_relativistic_terms_see_differences_alone() -> None:
    real, wrong, fake = torch.randn(3, 6).unbind()
    a, b = (
        losses.d_matching_relativistic(real + t, wrong + t, fake + t, torch.ones(6, dtype=torch.bool))
        for t in (0.0, 7.0)
    )
    assert {k: float(v) for k, v in a.items()} == pytest.approx({k: float(v) for k, v in b.items()}, rel=1e-5)
    assert float(a["mismatch"]) == pytest.approx(float(torch.log1p(torch.exp(wrong - real)).mean()), rel=1e-5)


@pytest.mark.parametrize("loss", ["relativistic", "minimax"])
def test_a_mismatch_that_matches_is_left_out(loss: str) -> None:
    system: Any = tiny_system("gan_cls", "image+y", loss=loss)
    batch = batch_of(system)
    batch["y"] = torch.zeros(8, dtype=torch.int64)
    assert system.d_loss(batch)["mismatch"].item() == 0
    batch["y"][0] = 1
    assert differ(batch["y"], batch["y"].roll(1)).tolist() == [True, True, *[False] * 6]
    terms = system.d_loss(batch)
    assert terms["mismatch"].item() > 0
    sum(terms.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in system.D.parameters())


def test_what_d_is_shown() -> None:
    """With images alone D knows nothing of the condition; with pairs it does; only then there is a mismatch."""
    for d_terms in ("image", "pair", "mismatch"):
        system: Any = tiny_system("gan_cls", "image+text", d_terms=d_terms).eval()
        batch = batch_of(system)
        here, there = (system.discriminate(batch["x"], c) for c in (batch["text"], batch["text"].roll(1, 0)))
        assert torch.equal(here, there) is (d_terms == "image")
        assert ("mismatch" in system.d_loss(batch)) is (d_terms == "mismatch")


def test_many_conditions_at_once_are_each_judged_as_alone() -> None:
    system: Any = tiny_system("gan_cls", "image+tags").eval()
    batch = batch_of(system)
    c, other = batch["tags"], batch["tags"].flip(0)
    both = system.D(batch["x"], torch.cat([c, other]))
    alone = torch.cat([system.D(batch["x"], c), system.D(batch["x"], other)])
    torch.testing.assert_close(both, alone)


def test_half_way_between_a_sentence_and_itself_is_the_sentence() -> None:
    system: Any = tiny_system("gan_cls", "image+text").eval()
    batch = batch_of(system)
    same = batch["text"][:1].expand(8, -1)
    torch.manual_seed(1)
    between = system.between(same)
    torch.manual_seed(1)
    x, c = system.fake({"x": batch["x"], "text": same})
    torch.testing.assert_close(between, system.D(x, c))
    assert not torch.allclose(system.between(batch["text"]), between)


@pytest.mark.parametrize("options", [{"loss": "minimax"}, {"d_terms": "pair"}, {"d_terms": "image", "loss": "minimax"}])
def test_every_game_is_played(options: dict[str, Any]) -> None:
    loop = entered(bare_loop(tiny_system("gan_cls", "image+text", **options)))
    for _ in range(3):
        loop.play()
    assert {"D", "G"} == loop.values().keys()
    assert "between" in loop.values()["G"]
