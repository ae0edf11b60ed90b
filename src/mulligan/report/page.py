"""The page: its sections in order, and the file that holds it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from mulligan import plot
from mulligan.errors import Mistake
from mulligan.report.curves import curves
from mulligan.report.game import animation, game
from mulligan.report.header import header, title
from mulligan.report.latent import latent
from mulligan.report.looks import looks
from mulligan.report.numbers import numbers
from mulligan.report.record import Record
from mulligan.report.words import data, events, footer, happened, options, repeat
from mulligan.rundir import write_whole

STYLE = Path(__file__).with_suffix(".css")


def write_report(run_dir: Path | str) -> Path:
    """Write report.html of a run, anew if there is one, and return its path.

    Raises:
        ValueError: `run_dir` is not a run, or the page cannot be written.
    """
    run = Record.read(Path(run_dir))
    out = run.path / "report.html"
    try:
        write_whole(out, page(run, animation(run)))
    except OSError as error:
        raise Mistake(f"{out} cannot be written ({error.strerror}); make room for it") from error
    return out


def page(run: Record, gif: bytes | None) -> str:
    """The whole page; `gif` is the animation of a 1-D run."""
    style = STYLE.read_text(encoding="utf-8")
    sections = [
        header(run), happened(run), looks(run), game(run, gif), latent(run), numbers(run), curves(run),
        events(run), data(run), options(run), repeat(run),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Whatever a run's texts hold: this page loads nothing and runs nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title(run))} - mulligan</title>\n<style>{_colours()}{style}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(s for s in sections if s) + f"\n</main>\n{footer(run)}\n</body>\n</html>\n"
    )


def _colours() -> str:
    light, dark = ("".join(f"--{role}:{pair[i]};" for role, pair in plot.COLOURS.items()) for i in (0, 1))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
