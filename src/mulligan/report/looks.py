"""The samples of some looks at the training, the newest large."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from mulligan.report.record import Record, spread
from mulligan.report.wishes import wishes

N_LOOKS = 6  # pictures shown of a training
_BIG, _SMALL = 1000, 400  # px; larger looks are made smaller, so that the page stays light
_MAX_BYTES = 400_000  # of a picture that goes in as it is


def looks(run: Record) -> str:
    if run.looks("json"):
        return ""  # the figure shows the same, sharper
    shown = spread(run.looks("png"), N_LOOKS)
    if not shown:
        return ""
    parts = [_look(n, file, _BIG if file == shown[-1][1] else _SMALL) for n, file in shown]
    newest, earlier = parts[-1], "".join(reversed(parts[:-1]))
    strip = f"<div class=earlier>{earlier}</div>" if earlier else ""
    return (
        f"<section><h2>Samples</h2><p class=note>The same latents at every look; newest first.</p>"
        f'<div class="looks{"" if earlier else " one"}">{newest}{strip}</div>{wishes(run)}</section>'
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
