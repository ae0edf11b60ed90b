"""What does AC-GAN pay for being right? Accuracy against diversity as the weight of the right name grows.

Two digits on two channels, 100 classes: on one digit a weight of 1 is right for 99 samples in 100 and as various as the
data (conditional.py), which leaves nothing to see. At weight 0 nothing tells G what was asked. Beside it, on the same
axes, D told by projection and by concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from asked import ACCURACY, DIVERSITY, FD, Judge, references
from mulligan import charts, tuned
from mulligan.charts import Axis
from mulligan.data.source import Source
from mulligan.data.stacked import open_stacked
from mulligan.plot import Scene
from runner import Case, Chart, Contestant, Json, Metrics, Question, find, main

DATA = "two digits"
SECONDS = 40.0
SEEDS = (0, 1, 2)
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
WAYS = ("projection", "concat")  # to tell D
MARKS = (0.25, 0.5, 0.75, 1.0)


def name(weight: float) -> str:
    return f"acgan, weight {weight:g}"


def contestants() -> Iterator[tuple[str, str, Json]]:
    """Names, systems and configs."""
    for weight in WEIGHTS:
        yield name(weight), "acgan", {**tuned.options("acgan", grey=True), "aux_weight": weight}
    for way in WAYS:
        yield way, "projection", {**tuned.options("projection", grey=True), "d_condition": way}


def judge(source: Source) -> Callable[[Contestant], Metrics]:
    return Judge(source)


def bars(summary: Json) -> list[tuple[str, bool]]:
    """What is known of AC-GAN, read off our runs."""

    def mean(name: str, metric: str) -> float:
        return float(find(summary, name)["end"][metric]["mean"])

    blind = mean(name(0), ACCURACY)
    first, *_, last = (mean(name(w), DIVERSITY) for w in WEIGHTS[1:])
    ours, theirs = (mean(way, ACCURACY) for way in WAYS)
    return [
        (f"weight 0: {ACCURACY} of a digit by chance, 0.1 within 0.05: {blind:.3f}", abs(blind - 0.1) <= 0.05),
        (f"{DIVERSITY} lower at weight {WEIGHTS[-1]:g} than at {WEIGHTS[1]:g}: {last:.2f}, {first:.2f}", last < first),
        (f"{ACCURACY} by projection above that by concatenation: {ours:.3f}, {theirs:.3f}", ours > theirs),
    ]


# --- the picture --------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, GAP = 430.0, 330.0, 64.0, 96.0, 76.0
ROLES = {"acgan": "c0", "projection": "c1", "concat": "c2"}


def picture(summary: Json) -> Image.Image:
    """Accuracy over diversity, and over the distance to the data: a point a run, a line through the weights' means."""
    scene = Scene(LEFT + 2 * WIDTH + GAP + 30, TOP + HEIGHT + 58, summary["asks"])
    scene.text(24, 28, summary["asks"], size=17)
    early = ", preliminary" if summary["preliminary"] else ""
    machines = "; ".join(summary["machines"])
    about = f"{DATA} of MNIST, 100 classes; {SECONDS:g} s of one thread each; a point a run{early}; {machines}"
    scene.text(24, 48, about, size=12, role="muted")
    at = 24.0
    for words, role in (("acgan by weight", "c0"), ("projection", "c1"), ("concatenation", "c2")):
        scene.dot(at + 5, 68, role)
        scene.text(at + 14, 72, words, size=12.5)
        at += 150
    panel(scene, summary, DIVERSITY, LEFT, log=False)
    panel(scene, summary, FD, LEFT + WIDTH + GAP, log=True)
    return scene.image(2)


def panel(scene: Scene, summary: Json, metric: str, left: float, *, log: bool) -> None:
    """Accuracy over a metric, of the runs that ended."""
    ends = {c["name"]: c["end"] for c in summary["contestants"] if c["end"]}
    points = {one: np.array([end[m]["values"] for m in (metric, ACCURACY)]).T for one, end in ends.items()}
    shown = np.concatenate([p[np.isfinite(p).all(1)] for p in points.values()])
    real = [summary["references"][DATA][m]["real data"] for m in (metric, ACCURACY)]
    if not log:
        shown = np.concatenate([shown, [real]])
    low, high = shown[:, 0].min(), shown[:, 0].max()
    pad = 1.25 if log else 0.08 * (high - low)
    x = Axis(low / pad if log else low - pad, high * pad if log else high + pad, left, left + WIDTH, log=log)
    y = Axis(0.0, 1.04, TOP + HEIGHT, TOP)
    charts.y_scale(scene, x, y, y.ticks(5))
    charts.x_scale(scene, x, y.start)
    scene.text(left, TOP - 4, f"{ACCURACY} of a digit", size=12)
    scene.text(left + WIDTH / 2, y.start + 38, metric, size=11.5, role="muted", anchor="middle")
    means = {one: p.mean(0) for one, p in points.items() if np.isfinite(p).all()}
    known = [means[name(w)] for w in WEIGHTS if name(w) in means]
    if len(known) > 1:
        scene.line(charts.curve(x, y, *np.array(known).T), "c0", 1.2, opacity=0.5)
    for one, runs in points.items():
        role = ROLES[one.split(",")[0]]
        for a, b in runs[np.isfinite(runs).all(1)]:
            scene.dot(float(x(a)), float(y(b)), role, 0.8)
    for weight in WEIGHTS:
        if (mean := means.get(name(weight))) is not None:
            scene.text(float(x(mean[0])), float(y(mean[1])) - 8, f"{weight:g}", size=11, anchor="middle")
    if not log and math.isfinite(real[0]):
        scene.dot(float(x(real[0])), float(y(real[1])), "data")
        scene.text(float(x(real[0])), float(y(real[1])) + 16, "real data", size=11, role="muted", anchor="middle")


QUESTION = Question(
    name="auxiliary",
    asks="What does AC-GAN pay for being right?",
    cases=tuple(
        Case(one, system, DATA, seed, SECONDS, config, MARKS) for seed in SEEDS for one, system, config in contestants()
    ),
    opens=lambda name: open_stacked(n=2),
    judge=judge,
    references=references,
    charts=(Chart(ACCURACY), Chart(DIVERSITY), Chart(FD, log=True)),
    bars=bars,
    picture=picture,
)

if __name__ == "__main__":
    main(QUESTION)
