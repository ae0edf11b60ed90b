"""The game of a 1-D run: the figure of Goodfellow et al. (2014) at some moments, and as an animation."""

from __future__ import annotations

import base64

from mulligan import figure
from mulligan.report.record import Record

GAME = "game.gif"  # beside the page
FRAMES = 24  # of it


def animate(run: Record) -> None:
    """Write the figure of a 1-D run as an animation."""
    found = run.moments(FRAMES)
    if len(found) > 1:
        about = {"model": f"{run.path.name}, round {run.rounds}", "seed": run.part("run").get("seed")}
        figure.animate(found, run.path / GAME, about, overwrite=True)


def game(run: Record) -> str:
    """The newest moment large, four moments side by side, and the animation."""
    found = run.moments(4)
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


def _animation(run: Record) -> str:
    """The figure's course as the GIF that lies beside the page."""
    file = run.path / GAME
    if not file.exists():
        return ""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return (
        f'<figure class=moving><img src="data:image/gif;base64,{data}" alt="The game from its first look to its last">'
        f"<figcaption>from the first look to the last; {GAME} beside this page</figcaption></figure>"
    )
