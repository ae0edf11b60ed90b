"""With few images D learns them by heart: what is augmentation of all that D sees worth then, and what does it cost
where there are many?

300 and 10,000 characters of 32 px, 200,000 images shown, whatever time they take.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from frechet import Distance
from grid import samples_beside
from mulligan.data import open_source
from mulligan.data.source import Source
from mulligan.evaluate import real_samples, trivial_samples
from mulligan.metrics.features import Characters, EfficientNet
from mulligan.metrics.memorisation import memorisation_ratio
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

SIZE = 32
IMAGES = 200_000
SECONDS = 130.0  # about what they take
SEEDS = (0, 1, 2)
COUNTS = {"few": 300, "many": 10_000}
STRENGTHS = ("none", "fixed", "adaptive")
SYSTEM = "dcgan"  # nothing but augmentation keeps its D from learning by heart
CONFIG: Json = {"width": 32, "batch": 64, "lr": 1e-3}
MARKS = (0.25, 0.5, 0.75, 1.0)
N, N_COPIES = 2_000, 500
FD, COPIES = "FD (tag judge)", "memorisation ratio"


def opens(name: str) -> Source:
    """`few` and `many` characters: the same test images."""
    return open_source("characters", size=SIZE, limit=COUNTS[name])


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    """Against test images; how near samples are to the training images, by how near held-out images are to them.

    Nearness is not the tag judge's to tell: to it any two characters with the same tags look alike.
    """
    distance, near = Distance(Characters(), source.test, N), EfficientNet()
    train = near(torch.cat(list(real_samples(source.train, len(source.train)))))
    held_out = near(torch.cat(list(real_samples(source.held_out, N_COPIES))))

    def measure(c: Contestant) -> Metrics:
        x = c.generate(N)
        return {FD: distance(x)[0], COPIES: memorisation_ratio(near(x[:N_COPIES]), train, held_out)}

    return measure


def side_by_side(contestants: list[Contestant], folder: Path) -> None:
    """What each made from the first seed."""
    if contestants[0].case.seed == SEEDS[0]:
        samples_beside(contestants).quantize(128).save(folder / f"small-data-{contestants[0].case.data}.png")


def references(source: Source) -> dict[str, Metrics]:
    distance = Distance(Characters(), source.test, N)
    real = torch.cat(list(real_samples(source.held_out, N)))
    return {FD: {"real data": distance(real)[0], "trivial": distance(torch.cat(list(trivial_samples(source, N))))[0]}}


def bars(summary: Json) -> list[tuple[str, bool]]:
    few, many = ({s: find(summary, s, data)["end"] for s in STRENGTHS} for data in COUNTS)
    found = []
    for strength in STRENGTHS[1:]:
        share = few[strength][FD]["mean"] / few["none"][FD]["mean"]
        found.append((f"300: FD with {strength} at most 0.75 of that without: {share:.2f}", share <= 0.75))
        ratio = min(few[strength][COPIES]["values"])
        found.append((f"300: memorisation ratio with {strength} at least 0.8 on every seed: {ratio:.2f}", ratio >= 0.8))
        worse = many[strength][FD]["mean"] - many["none"][FD]["mean"]
        spread = max(many[s][FD]["spread"] for s in (strength, "none"))
        words = f"10,000: {strength} costs no more than the spread over seeds: {worse:+.3g}, spread {spread:.2g}"
        found.append((words, worse <= spread))
    return found


QUESTION = Question(
    name="small_data",
    asks="What is augmentation of all that D sees worth with 300 images, and what does it cost with 10,000?",
    cases=tuple(
        Case(strength, SYSTEM, data, seed, SECONDS, {**CONFIG, "augment": strength}, MARKS, images=IMAGES)
        for data in COUNTS
        for seed in SEEDS
        for strength in STRENGTHS
    ),
    opens=opens,
    judge=judge,
    references=references,
    charts=(
        Chart(FD, log=True, over="images"),
        Chart(COPIES, rules=((1.0, "held-out data"), (0.8, "bar")), over="images"),
    ),
    bars=bars,
    after=side_by_side,
)

if __name__ == "__main__":
    main(QUESTION)
