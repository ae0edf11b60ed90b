"""The report of a run: whole, safe, and made from whatever a run directory holds."""

import base64
import json
import re
import time
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mulligan import figure, pictures, report, samples
from mulligan.figure import Snapshot
from mulligan.report.looks import N_LOOKS
from mulligan.report.summary import judged

CONFIG: dict[str, Any] = {
    "mulligan": "0.1.0", "system": "dcgan", "config": {"batch": 64}, "run": {"minutes": 3.0, "seed": 0},
    "data": {
        "data": "/home/somebody/mnist", "size": None, "fit": "crop", "alpha": False, "fingerprint": "0123456789abcdef",
        "card": {"origin": "NIST", "licence": "CC BY-SA 3.0", "credit": "MNIST, LeCun & Cortes"},
    },
    "signals": {"x": {"kind": "image", "shape": [1, 28, 28]}},
    "versions": {"python": "3.11.2", "torch": "2.13.0", "numpy": "2.3.0"},
    "machine": "two cores", "command": "mulligan train dcgan --data mnist --minutes 3",
}  # fmt: skip
METRICS = [
    {"name": "FD (digit judge)", "value": 19.0, "floor": 9.5, "baseline": {"mean": 1246.0, "Gaussian": 310.0},
     "better": "lower", "card": {"extractor": "digits", "n": 10_000}},
    {"name": "recall", "value": 0.6, "floor": 0.9, "baseline": {}, "better": "higher", "card": {}},
]  # fmt: skip


def line(round: int, **more: Any) -> dict[str, Any]:
    return {
        "round": round, "stage": "train", "images": 64 * round, "seconds": round / 30, "rate": 1900.0,
        "terms": {"D": {"real": 0.6, "fake": 0.7}, "G": {"adv": 0.9}}, "grad_norm": {"D": 1.0, "G": 0.5},
        "vital": {"D.auc": 0.8, "FD": 30.0}, **more,
    }  # fmt: skip


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run that holds config.json alone."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


@pytest.fixture
def run(bare: Path) -> Path:
    """A run that was trained, looked at and judged."""
    write_lines(bare / "log.jsonl", [line(20 * i) for i in range(1, 101)])
    events = [
        {"time": "2026-01-31T12:00:00+00:00", "round": 0, "kind": "start", "text": "started"},
        {
            "time": "2026-01-31T12:01:00+00:00",
            "round": 900,
            "kind": "warning",
            "text": "D is <b>far</b> ahead",
        },
        {
            "time": "2026-01-31T12:02:00+00:00",
            "round": 1000,
            "kind": "checkpoint",
            "text": "saved round 1,000",
        },
        {"time": "2026-01-31T12:03:00+00:00", "round": 2000, "kind": "finish", "text": "finished"},
    ]
    write_lines(bare / "events.jsonl", events)
    write_lines(bare / "metrics.jsonl", [{"round": 2000, "split": "test", "seconds": 8, "metrics": METRICS}])
    (bare / "samples").mkdir()
    for n in range(0, 2001, 200):
        picture = pictures.look_grid(np.random.default_rng(n).uniform(-1, 1, (16, 1, 28, 28)))
        samples.save_png(picture, bare / f"samples/{n:06d}.png", {"model": "ab", "seed": 1})
    return bare


class Page(HTMLParser):
    """Checks that tags close, and collects texts and attributes."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def read(run: Path) -> Page:
    return Page(report.write_report(run).read_text())


def test_the_page_tells_the_whole_run(run: Path) -> None:
    page = read(run)
    for words in (
        "dcgan on mnist", "FD (digit judge) is 19 (lower is better)", "so it is 2 times the floor",
        "beats the best baseline (Gaussian, 310)", "Trained: 2,000 rounds, 128,000 samples seen", "two cores",
        "Loss of D", "Loss of G", "D.auc", "Gradient norm", "Samples a second", "1 warning", "CC BY-SA 3.0",
        "mulligan train dcgan --data mnist --minutes 3", "Data: MNIST, LeCun & Cortes",
    ):  # fmt: skip
        assert words in page.words, words
    assert "somebody" not in page.words  # how the folders of this machine are named
    alts = page.of("img", "alt")
    assert len(alts) == N_LOOKS
    assert (alts[0], alts[-1]) == ("Samples at round 2,000", "Samples at round 0")
    assert all(page.of("svg", "aria-label"))


def test_the_page_asks_nobody_for_anything(run: Path) -> None:
    page = read(run)
    loads = [v for _, n, v in page.attributes if n in ("src", "srcset", "data", "poster", "xlink:href")]
    loads += page.of("link", "href")
    assert all(v.startswith("data:") for v in loads)
    assert not page.of("script", "src")
    text = (run / "report.html").read_text()
    assert "<script" not in text
    assert not re.search(r"url\(|@import", text)
    assert "prefers-color-scheme" in text


def test_a_vital_number_is_drawn_beside_its_floor(run: Path) -> None:
    charts = len(read(run).of("svg", "aria-label"))
    write_lines(run / "log.jsonl", [line(20 * i, vital={"FD": 30.0, "FD floor": 9.0}) for i in range(1, 101)])
    page = read(run)
    assert len(page.of("svg", "aria-label")) == charts - 1  # D.auc went, and the floor has no chart of its own
    assert "real data" in page.words
    assert "FD floor" not in page.words


def test_texts_are_escaped(run: Path) -> None:
    bad = "<script>alert('1')</script>\"&"
    config = json.loads((run / "config.json").read_text())
    config.update(system=bad, machine=bad, command=bad, config={bad: bad})
    config["data"].update(data=bad, card={"credit": bad, bad: bad})
    (run / "config.json").write_text(json.dumps(config))
    terms = {bad: {bad: 1.0}}
    write_lines(run / "log.jsonl", [line(i, stage=f"{bad}{i}", terms=terms, vital={bad: 1.0}) for i in (1, 2)])
    metric = {"name": bad, "value": 1, "floor": 2, "baseline": {bad: 3}, "better": bad, "card": {bad: bad}}
    write_lines(run / "metrics.jsonl", [{"round": 1, "split": bad, "metrics": [metric]}] * 2)
    write_lines(run / "events.jsonl", [{"time": bad, "round": 1, "kind": bad, "text": bad}])
    page = read(run)
    assert not any(tag == "script" for tag, _, _ in page.attributes)
    assert "<script" not in (run / "report.html").read_text()
    assert bad in page.words


def test_a_run_that_has_only_begun(bare: Path) -> None:
    page = read(bare)
    assert "Nothing has been trained yet." in page.words
    assert "Not judged yet." in page.words
    assert "Curves" not in page.words


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run"):
        report.write_report(tmp_path)
    (tmp_path / "config.json").write_text("{ torn")
    with pytest.raises(ValueError, match="cannot be read"):
        report.write_report(tmp_path)


def test_torn_and_odd_lines_are_passed_over(run: Path) -> None:
    with (run / "log.jsonl").open("a") as log:
        log.write('7\nnull\n{"stage": "no round"}\n')
        log.write(json.dumps(line(2020, terms={"D": 5}, vital=None, grad_norm={"D": None, "G": float("nan")})) + "\n")
        log.write('{"round": 99999, "sta')
    (run / "metrics.jsonl").write_text('{"round": 1, "metrics": [{"name": "FD", "value": NaN}]}\n{"ro')
    (run / "samples/002000.png").write_bytes(b"\x89PNG cut short")
    page = read(run)
    assert "2,020 rounds" in page.words
    assert "samples/002000.png cannot be read" in page.words
    assert "The last evaluation gave no number." in page.words


def test_rounds_played_again_count_once(run: Path) -> None:
    again = [line(20 * i, vital={"FD": 77.0}) for i in range(50, 101)]
    with (run / "log.jsonl").open("a") as log:
        log.writelines(json.dumps(one) + "\n" for one in again)
    assert "FD from 30 to 77" in (run / "report.html").read_text() if report.write_report(run) else False


def test_a_long_run_makes_a_light_page(run: Path) -> None:
    text = json.dumps(line(0))
    with (run / "log.jsonl").open("w") as log:
        log.writelines(text.replace('"round": 0', f'"round": {i}') + "\n" for i in range(100_000))
    start = time.process_time()
    out = report.write_report(run)
    assert time.process_time() - start < 15
    assert out.stat().st_size < 3_000_000


def keep_moments(run: Path, rounds: Iterable[int]) -> None:
    x, z = np.linspace(-1, 1, 21), np.linspace(0, 1, 5)
    for n in rounds:
        Snapshot(x, 1 - x**2, 1 - x**2, 0 * x + 0.5, z, z, n).save(run / f"samples/{n:06d}.json")


def test_a_1d_run_shows_the_figure(run: Path) -> None:
    keep_moments(run, range(0, 2001, 200))
    (run / "samples/000400.json").write_text('{"x": [0.1, ')
    page = read(run)
    assert "The game" in page.words
    assert "round 2,000" in page.words
    assert "Densities of data and generator, and D, at round 2,000." in page.of("svg", "aria-label")[0]


def test_the_animation_is_drawn_anew_only_for_other_moments(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = figure.draw
    monkeypatch.setattr(figure, "draw", lambda moment, **more: drawn.append(moment.round) or draw(moment, **more))
    keep_moments(run, [0, 100])
    gif = run / "game.gif"
    for moments, frames in (([], [0, 100]), ([], []), ([123_456_789], [0, 100, 123_456_789])):
        keep_moments(run, moments)
        drawn.clear()
        shown = [v for v in read(run).of("img", "src") if "image/gif" in v]
        assert drawn == frames
        assert shown == ["data:image/gif;base64," + base64.b64encode(gif.read_bytes()).decode()]
    gif.write_bytes(b"GIF89a cut short")
    read(run)
    assert samples.read_provenance(gif)["rounds"] == [0, 100, 123_456_789]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (
            {"name": "FD", "value": 400, "floor": 10, "baseline": {"copy": 300}, "better": "lower"},
            "does not beat",
        ),
        ({"name": "recall", "value": 0.3, "floor": 0.6, "better": "higher"}, "reaches 50 %"),
        ({"name": "ratio", "value": 1.1, "floor": 1.0, "better": "target"}, "real data give 1."),
        ({"name": "FD", "value": 4}, "FD is 4 (lower is better)."),
    ],
)
def test_the_verdict_is_plain(metric: dict[str, Any], words: str) -> None:
    assert words in judged([{"metrics": [metric]}])


def test_a_report_is_written_anew(run: Path) -> None:
    assert report.write_report(run) == report.write_report(run)
    assert not [p for p in run.iterdir() if p.name.startswith(".")]
