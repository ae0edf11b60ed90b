"""A run directory as one self-contained HTML page: no script, no request to anywhere, light and dark.

`write_report` reads what is there, be it a run that has just begun, one that was cut short, or a long one.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mulligan import figure, plot, registry
from mulligan.charts import Series, line_chart, number
from mulligan.errors import Mistake
from mulligan.rundir import FLOOR, RunDir, write_whole

Json = dict[str, Any]

STYLE = Path(__file__).with_suffix(".css")
GAME = "game.gif"  # of a 1-D run, beside the page
FRAMES = 24  # of it
N_LOOKS = 6  # pictures shown of a training
_BIG, _SMALL = 1000, 400  # px; larger looks are made smaller, so that the page stays light
_MAX_BYTES = 400_000  # of a picture that goes in as it is


@dataclass
class _Run:
    """What a run directory holds, as far as it can be read."""

    path: Path
    config: Json
    log: list[Json]
    events: list[Json]
    metrics: list[Json]

    @classmethod
    def read(cls, path: Path) -> _Run:
        """Raises ValueError where there is no run, or its config.json cannot be read."""
        run = RunDir.open(path)
        try:
            config = run.config
        except (OSError, ValueError, TypeError) as error:
            raise Mistake(f"{path}/config.json cannot be read ({error}); restore it from a copy") from error
        log = {n: line for line in _dicts(run.read("log")) if (n := _round(line)) is not None}
        return cls(
            path,
            config,
            [log[n] for n in sorted(log)],
            _dicts(run.read("events")),
            _dicts(run.read("metrics")),
        )

    @property
    def rounds(self) -> int:
        return _round(self.log[-1]) or 0 if self.log else 0

    @property
    def finished(self) -> bool:
        return any(event.get("kind") == "finish" for event in self.events[-8:])

    def part(self, name: str) -> Json:
        """A part of config.json, empty if it is not there."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    def looks(self, suffix: str) -> list[tuple[int, Path]]:
        """Rounds and files of the samples with this suffix, in order."""
        files = (self.path / "samples").glob(f"*.{suffix}")
        return sorted((int(file.stem), file) for file in files if file.stem.isdigit())


def write_report(run_dir: Path | str) -> Path:
    """Write report.html of a run, anew if there is one, and return its path.

    Raises:
        ValueError: `run_dir` is not a run, or the page cannot be written.
    """
    run = _Run.read(Path(run_dir))
    out = run.path / "report.html"
    try:
        _animate(run)
        write_whole(out, page(run))
    except OSError as error:
        raise Mistake(f"{out} cannot be written ({error.strerror}); make room for it") from error
    return out


def _animate(run: _Run) -> None:
    """Write the figure of a 1-D run as an animation."""
    found = [shot for _, file in _spread(run.looks("json"), FRAMES) if (shot := _snapshot(file)) is not None]
    if len(found) > 1:
        about = {"model": f"{run.path.name}, round {run.rounds}", "seed": run.part("run").get("seed")}
        figure.animate(found, run.path / GAME, about, overwrite=True)


def _snapshot(file: Path) -> figure.Snapshot | None:
    try:
        return figure.Snapshot.load(file)
    except (OSError, ValueError):
        return None  # cut short by a crash


def page(run: _Run) -> str:
    """The whole page."""
    title = f"{Path(str(run.config.get('system', 'a system'))).stem} on {_source(run)}"
    style = STYLE.read_text(encoding="utf-8")
    sections = [
        _header(run, title), _samples(run), _figure(run), _numbers(run), _curves(run),
        _events(run), _data(run), _options(run), _repeat(run),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Whatever a run's texts hold: this page loads nothing and runs nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)} - mulligan</title>\n<style>{_colours()}{style}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(s for s in sections if s) + f"\n</main>\n{_footer(run)}\n</body>\n</html>\n"
    )


# Reading


def _dicts(lines: Iterable[Any]) -> list[Json]:
    return [line for line in lines if isinstance(line, dict)]


def _round(line: Json) -> int | None:
    found = line.get("round")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _real(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _group(line: Json, name: str) -> Json:
    found = line.get(name)
    return found if isinstance(found, dict) else {}


# Header


def _header(run: _Run, title: str) -> str:
    about = _about(str(run.config.get("system", "")))
    facts = [_when(run), str(run.config.get("machine", "")), _versions(run)]
    spans = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    return (
        f"<header>\n<h1>{escape(title)}</h1>\n<p class=lead>{about} {escape(_made(run))}</p>\n"
        f"<p class=facts>{spans}</p>\n"
        f'<section class=verdict aria-label="Verdict">{_verdict_lines(run)}</section>\n</header>'
    )


def _source(run: _Run) -> str:
    return _name(str(run.part("data").get("data") or "data"))


def _name(place: str) -> str:
    """The last part of a path: the whole of it would tell strangers how this machine's folders are named."""
    return Path(place).name or place


def _about(system: str) -> str:
    """The first line of the system's file, which names the paper, as HTML; the file is not imported."""
    if system not in registry.names():
        return ""
    try:
        tree = ast.parse((Path(__file__).parent / "systems" / f"{system}.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return ""
    line = ((ast.get_docstring(tree) or "").splitlines() or [""])[0].rstrip(".")
    words, _, address = line.partition(", https://")
    if not address:
        return f"{escape(words)}."
    return f'<a href="https://{escape(address)}">{escape(words)}</a>.'


def _made(run: _Run) -> str:
    """What comes out, in words."""
    signal = _group(run.part("signals"), "x")
    shape = [n for n in signal.get("shape") or () if isinstance(n, int)]
    if signal.get("kind") == "image" and len(shape) == 3:
        colour = {1: "grey", 3: "colour", 4: "colour and transparent"}.get(shape[0], f"{shape[0]}-channel")
        return f"Random numbers in, {colour} pictures of {shape[2]}\u00a0×\u00a0{shape[1]}\u00a0px out."
    if signal.get("kind") == "points" and len(shape) == 1:
        what = "single numbers" if shape[0] == 1 else f"points of {shape[0]} numbers"
        return f"Random numbers in, {what} out."
    return f"Random numbers in, {signal['kind']} out." if isinstance(signal.get("kind"), str) else ""


def _when(run: _Run) -> str:
    times = [str(line["time"]) for line in run.events + run.metrics if line.get("time")]
    return f"started {_time(times[0])}" if times else ""


def _time(stamp: str) -> str:
    """2026-01-31T12:05:00+00:00 as 2026-01-31 12:05 UTC."""
    day, _, clock = stamp.partition("T")
    return f"{day} {clock[:5]}{' UTC' if clock.endswith(('+00:00', 'Z')) else ''}".strip()


def _versions(run: _Run) -> str:
    named = {"mulligan": run.config.get("mulligan"), **run.part("versions")}
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 100 else f"{minutes} min {rest} s"


# Verdict


def _verdict_lines(run: _Run) -> str:
    rest = "".join(f"<p>{escape(line)}</p>" for line in (_progress(run), _warned(run)) if line)
    return f"<p class=first>{escape(verdict(run.metrics))}</p>{rest}"


def verdict(metrics: Sequence[Json]) -> str:
    """What the newest evaluation says: its first number against its floor and its best baseline."""
    if not metrics:
        return "Not judged yet."
    for metric in _metrics(metrics[-1]):
        if _real(metric.get("value")) is not None:
            return _sentence(metric)
    return "The last evaluation gave no number."


def _metrics(line: Json) -> list[Json]:
    found = line.get("metrics")
    return _dicts(found) if isinstance(found, list) else []


def _sentence(metric: Json) -> str:
    value, floor = _real(metric.get("value")), _real(metric.get("floor"))
    assert value is not None
    better = metric.get("better", "lower")
    words = f"{metric.get('name', 'the metric')} is {number(value)}"
    words += f" ({better} is better)" if better in ("lower", "higher") else ""
    if floor is not None:
        words += "; " + _against_floor(value, floor, better)
    return words + _against_baseline(value, metric, better) + "."


def _against_floor(value: float, floor: float, better: str) -> str:
    if better == "lower" and floor > 0 and value > 0:
        return f"real data against real data give {number(floor)}, so it is {value / floor:.3g} times the floor"
    if better == "higher" and floor > 0:
        return f"real data against real data give {number(floor)}, so it reaches {100 * value / floor:.0f} %"
    return f"real data give {number(floor)}"


def _against_baseline(value: float, metric: Json, better: str) -> str:
    known = {str(k): b for k, v in _group(metric, "baseline").items() if (b := _real(v)) is not None}
    if not known or better not in ("lower", "higher"):
        return ""
    pick = min if better == "lower" else max
    name, best = pick(known.items(), key=lambda item: item[1])
    beaten = value < best if better == "lower" else value > best
    return f"; it {'beats' if beaten else 'does not beat'} the best baseline ({name}, {number(best)})"


def _progress(run: _Run) -> str:
    if not run.log:
        return "Nothing has been trained yet."
    last = run.log[-1]
    images, seconds = _real(last.get("images")), _real(last.get("seconds"))
    words = f"{'Trained' if run.finished else 'Trained so far'}: {run.rounds:,} rounds"
    words += f", {images:,.0f} samples seen" if images else ""
    return words + (f", {_duration(seconds)}." if seconds else ".")


def _warned(run: _Run) -> str:
    n = sum(event.get("kind") == "warning" for event in run.events)
    m = sum(event.get("kind") == "mend" for event in run.events)
    words = [f"{n} warning{'s' * (n > 1)}"] * (n > 0) + [f"{m} mulligan{'s' * (m > 1)} taken"] * (m > 0)
    return f"{' and '.join(words).capitalize()}; see the events below." if words else ""


# Pictures


def _spread(items: Sequence[Any], n: int) -> list[Any]:
    """n of the items, evenly spaced, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def _samples(run: _Run) -> str:
    if run.looks("json"):
        return ""  # the figure shows the same, sharper
    shown = _spread(run.looks("png"), N_LOOKS)
    if not shown:
        return ""
    parts = [_look(n, file, _BIG if file == shown[-1][1] else _SMALL) for n, file in shown]
    newest, earlier = parts[-1], "".join(reversed(parts[:-1]))
    strip = f"<div class=earlier>{earlier}</div>" if earlier else ""
    return (
        f"<section><h2>Samples</h2><p class=note>The same latents at every look; newest first.</p>"
        f'<div class="looks{"" if earlier else " one"}">{newest}{strip}</div></section>'
    )


def _look(round: int, file: Path, widest: int) -> str:
    try:
        data, (width, height) = _embedded(file, widest)
    except (OSError, ValueError, Image.DecompressionBombError):
        return f"<figure><p class=note>samples/{escape(file.name)} cannot be read.</p></figure>"
    words = f"Samples at round {round:,}"
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{words}" width="{width}" height="{height}">'
        f"<figcaption>round {round:,}</figcaption></figure>"
    )


def _embedded(file: Path, widest: int) -> tuple[str, tuple[int, int]]:
    """A PNG as base64, made smaller if it is wide and heavy, and its size."""
    content = file.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        if picture.width > widest and len(content) > _MAX_BYTES / (_BIG / widest) ** 2:
            picture.thumbnail((widest, 10 * widest), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            content = buffer.getvalue()
        return base64.b64encode(content).decode("ascii"), picture.size


def _figure(run: _Run) -> str:
    """The figure of a 1-D run: the newest moment large, four moments side by side."""
    found = [shot for _, file in _spread(run.looks("json"), 4) if (shot := _snapshot(file)) is not None]
    if not found:
        return ""
    rows = f"<figure class=wide tabindex=0>{figure.svg(found[-1:], panel=(700, 300))}</figure>"
    if len(found) > 1:
        rows += f'<figure class="wide row" tabindex=0>{figure.svg(found, panel=(250, 270))}</figure>'
    rows += _animation(run)
    return (
        "<section class=game><h2>The game</h2><p class=note>The figure of Goodfellow et al. (2014), drawn "
        "from the trained networks. Where the generator is right, both densities agree and D is 0.5; arrows "
        f"lead from z to x = G(z).</p>{rows}</section>"
    )


def _animation(run: _Run) -> str:
    """The figure's course as the GIF that lies beside the page."""
    file = run.path / GAME
    if not file.exists():
        return ""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return (
        f'<figure class=moving><img src="data:image/gif;base64,{data}" alt="The game from its first look to its last">'
        f"<figcaption>from the first look to the last; {GAME} beside this page</figcaption></figure>"
    )


# Numbers


def _numbers(run: _Run) -> str:
    if not run.metrics:
        return ""
    newest = run.metrics[-1]
    cards = "".join(_card(metric) for metric in _metrics(newest))
    where = f"Round {_round(newest) or 0:,}, {newest.get('split', 'test')} split"
    took = _real(newest.get("seconds"))
    where += f", judged in {_duration(took)}." if took is not None else "."
    note = f"{where} Real data against real data mark the floor: no generator can be expected to do better."
    return (
        f"<section><h2>Judged</h2><p class=note>{escape(note)}</p><div class=cards>{cards}</div>"
        f"{_earlier(run.metrics[:-1])}</section>"
    )


def _card(metric: Json) -> str:
    value = _real(metric.get("value"))
    better = str(metric.get("better", ""))
    aim = {"lower": "lower is better", "higher": "higher is better", "target": "best equal to real data"}
    card = _group(metric, "card")
    details = f"<details><summary>How it was measured</summary>{_table(card)}</details>" if card else ""
    return (
        f"<article class=card><h3>{escape(str(metric.get('name', 'metric')))}</h3>"
        f"<p class=value>{number(value) if value is not None else 'none'}"
        f"<small>{escape(aim.get(better, better))}</small></p>{_bars(metric)}{details}</article>"
    )


def _bars(metric: Json) -> str:
    """This run between the floor and the baselines, as bars of one scale from 0."""
    rows: list[tuple[str, str, Any]] = [("this run", "mine", metric.get("value"))]
    rows.append(("real against real", "floor", metric.get("floor")))
    rows += [(str(k), "base", v) for k, v in _group(metric, "baseline").items()]
    known = [(name, kind, v) for name, kind, raw in rows if (v := _real(raw)) is not None]
    if len(known) < 2:
        return ""
    known.sort(key=lambda row: row[2], reverse=metric.get("better") == "higher")
    top = max(abs(v) for _, _, v in known) or 1.0
    lines = "".join(
        f"<tr class={kind}><th scope=row>{escape(name)}</th>"
        f'<td class=bar><i style="width:{max(100 * max(v, 0) / top, 0.7):.1f}%"></i></td>'
        f"<td>{number(v)}</td></tr>"
        for name, kind, v in known
    )
    return f"<table class=bars>{lines}</table>"


def _earlier(metrics: Sequence[Json]) -> str:
    if not metrics:
        return ""
    names = list(dict.fromkeys(str(m.get("name")) for line in metrics for m in _metrics(line)))
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    rows = ""
    for line in metrics[-50:]:
        by_name = {str(m.get("name")): _real(m.get("value")) for m in _metrics(line)}
        cells = "".join("<td>" + (number(v) if (v := by_name.get(n)) is not None else "") + "</td>" for n in names)
        rows += f"<tr><th scope=row>{_round(line) or 0:,}</th>{cells}</tr>"
    return (
        f"<details><summary>Earlier evaluations ({len(metrics)})</summary><div class=wide tabindex=0>"
        f"<table class=plain><tr><th scope=col>round</th>{head}</tr>{rows}</table></div></details>"
    )


# Curves


def _curves(run: _Run) -> str:
    if not run.log:
        return ""
    lines, marks = columns(run.log), _stages(run.log)
    charts = []
    for player in dict.fromkeys(key[1] for key in lines if key[0] == "terms" and len(key) == 3):
        terms = [line for key, line in lines.items() if key[:2] == ("terms", player)]
        charts.append(line_chart(f"Loss of {player}", terms, marks=marks))
    vital = {key[1]: line for key, line in lines.items() if key[0] == "vital"}
    for name in [name for name in vital if not name.endswith(FLOOR)][:24]:
        auc = name.lower().endswith("auc")
        fixed: Json = {"y_range": (0.0, 1.0), "rule": 0.5} if auc else {}
        beside = [replace(vital[name + FLOOR], name="real data")] if name + FLOOR in vital else []
        charts.append(line_chart(name, [vital[name], *beside], marks=marks, **fixed))
    norms = [line for key, line in lines.items() if key[0] == "grad_norm"]
    if norms:
        charts.append(line_chart("Gradient norm", norms, marks=marks))
    if rate := _rate(lines):
        charts.append(line_chart("Samples a second", [rate], marks=marks))
    body = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return (
        "<section><h2>Curves</h2><p class=note>Rest the mouse on a chart to read its values. A pale band "
        "reaches from the lowest to the highest value behind each point.</p>"
        f"<div class=charts>{body}</div></section>"
    )


def columns(log: Sequence[Json]) -> dict[tuple[str, ...], Series]:
    """The log's numbers by their path, such as ("terms", "D", "real"), in one pass; it may be long."""
    found: dict[tuple[str, ...], tuple[list[float], list[float]]] = {}

    def walk(path: tuple[str, ...], value: Any, at: float) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner, at)
        elif type(value) in (int, float):
            xs, ys = found.setdefault(path, ([], []))
            xs.append(at)
            ys.append(value)

    for line in log:
        for key in ("terms", "vital", "grad_norm", "images", "seconds", "rate"):
            walk((key,), line.get(key), line["round"])
    return {path: Series.of(path[-1], xs, ys) for path, (xs, ys) in found.items()}


def _rate(lines: dict[tuple[str, ...], Series]) -> Series | None:
    """Samples a second: as logged, else between a line and the one before."""
    if ("rate",) in lines:
        return replace(lines["rate",], name="samples/s")
    images, seconds = lines.get(("images",)), lines.get(("seconds",))
    if images is None or seconds is None or len(images.x) != len(seconds.x) or len(images.x) < 2:
        return None
    took = np.diff(seconds.y)  # a tick of no time has no rate
    ok = took > 0
    return Series("samples/s", images.x[1:][ok], np.diff(images.y)[ok] / took[ok])


def _stages(log: Sequence[Json]) -> list[tuple[float, str]]:
    """Where each stage begins, if there are several."""
    starts: list[tuple[float, str]] = []
    for line in log:
        name = str(line.get("stage", ""))
        if not starts or starts[-1][1] != name:
            starts.append((line["round"], name))
    return starts[:12] if len(starts) > 1 else []


# Words


def _events(run: _Run) -> str:
    if not run.events:
        return ""
    routine = [e for e in run.events if e.get("kind") == "checkpoint"]
    told = [e for e in run.events if e.get("kind") != "checkpoint"]
    more = f"<p class=note>The newest 200 of {len(told):,}.</p>" if len(told) > 200 else ""
    hidden = ""
    if routine:
        kept = f", the newest 200 of {len(routine):,}" if len(routine) > 200 else f" ({len(routine)})"
        hidden = f"<details><summary>Checkpoints{kept}</summary>{_event_list(routine[-200:])}</details>"
    return f"<section><h2>Events</h2>{more}{_event_list(told[-200:])}{hidden}</section>"


def _event_list(events: Sequence[Json]) -> str:
    rows = ""
    for event in events:
        kind, n = str(event.get("kind", "")), _round(event)
        where = f"round {n:,}" if n is not None else ""
        badge = f"<b class={kind if kind in ('warning', 'mend', 'finish') else 'other'}>{escape(kind)}</b>"
        rows += (
            f"<li><span class=when><time>{escape(_time(str(event.get('time', ''))))}</time> {where}</span>"
            f"{badge} <span>{escape(str(event.get('text', '')))}</span></li>"
        )
    return f"<ul class=events>{rows}</ul>" if rows else ""


def _data(run: _Run) -> str:
    data = dict(run.part("data"))
    if not data:
        return ""
    card = data.pop("card", None)
    rows = {**(card if isinstance(card, dict) else {}), **data, "data": _source(run)}
    for name, signal in run.part("signals").items():
        if isinstance(signal, dict):
            size = " × ".join(str(n) for n in signal.get("shape") or ())
            rows[f"signal {name}"] = f"{signal.get('kind', '')} {size}".strip()
    known = {k: v for k, v in rows.items() if v not in (None, "", [])}
    return f"<section><h2>Data</h2>{_table(known)}</section>"


def _options(run: _Run) -> str:
    parts = [("Options of the system", run.part("config")), ("Options of the run", run.part("run"))]
    body = "".join(f"<details><summary>{name}</summary>{_table(rows)}</details>" for name, rows in parts if rows)
    return f"<section><h2>Options</h2>{body}</section>" if body else ""


def _repeat(run: _Run) -> str:
    name = shlex.quote(_name(str(run.path.resolve())) if run.path.is_absolute() else str(run.path))
    command = run.config.get("command")
    lines = [command] if isinstance(command, str) and command else []
    if run.log:
        lines += [f"mulligan sample {name} -n 64 -o samples.png", f"mulligan evaluate {name}"]
    if not lines:
        return ""
    return f"<section><h2>Repeat it</h2><pre tabindex=0>{escape(chr(10).join(lines))}</pre></section>"


def _footer(run: _Run) -> str:
    card = run.part("data").get("card")
    credit = card.get("credit") if isinstance(card, dict) else None
    words = f"Data: {escape(str(credit))}<br>" if credit else ""
    return f"<footer>{words}The samples on this page are synthetic. Made by mulligan.</footer>"


def _table(rows: Json) -> str:
    """Names and values; what is not a plain value is shown as JSON."""
    body = "".join(
        f"<tr><th scope=row>{escape(str(k).replace('_', ' '))}</th><td>{escape(_plain(v))}</td></tr>"
        for k, v in rows.items()
    )
    return f"<table class=plain>{body}</table>"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False)


def _colours() -> str:
    light, dark = ("".join(f"--{role}:{pair[i]};" for role, pair in plot.COLOURS.items()) for i in (0, 1))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
