"""The game of a 1-D run: the figure of Goodfellow et al. (2014) at some moments, and as an animation."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mulligan import figure, samples
from mulligan.report.record import Record, spread

GAME = "game.gif"  # beside the page


def animation(run: Record) -> bytes | None:
    """The figure's course, written beside the page as a GIF; one that shows the same moments already stays."""
    if len(run.moments) < 2:
        return None
    file, rounds = run.path / GAME, [moment.round for moment in run.moments]
    if _rounds_in(file) == rounds:
        return file.read_bytes()
    model = f"{run.path.name}, round {run.rounds}"
    gif = figure.gif(run.moments, {"model": model, "seed": run.part("run").get("seed"), "rounds": rounds})
    samples.save(gif, file, overwrite=True)
    return gif


def _rounds_in(file: Path) -> Any:
    """The rounds that an animation says it shows; None if there is none that can be read."""
    try:
        return (samples.read_provenance(file) or {}).get("rounds")
    except (OSError, ValueError):
        return None


def game(run: Record, gif: bytes | None) -> str:
    """The newest moment large, four moments side by side, and the animation."""
    if not run.moments:
        return ""
    rows = f"<figure class=wide tabindex=0>{figure.svg(run.moments[-1:], panel=(700, 300))}</figure>"
    if len(run.moments) > 1:
        rows += f'<figure class="wide row" tabindex=0>{figure.svg(spread(run.moments, 4), panel=(250, 270))}</figure>'
    if gif is not None:
        rows += _moving(gif)
    return (
        "<section class=game><h2>The game</h2><p class=note>The figure of Goodfellow et al. (2014), drawn "
        "from the trained networks. Where the generator is right, both densities agree and D is 0.5; arrows "
        f"lead from z to x = G(z).</p>{rows}</section>"
    )


def _moving(gif: bytes) -> str:
    data = base64.b64encode(gif).decode("ascii")
    return (
        f'<figure class=moving><img src="data:image/gif;base64,{data}" alt="The game from its first look to its last">'
        f"<figcaption>from the first look to the last; {GAME} beside this page</figcaption></figure>"
    )
