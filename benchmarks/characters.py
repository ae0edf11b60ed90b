"""A folder of small colour pictures, as a user might have one: drawn characters with coloured hair.

Lorelei by Lisa Wischofsky, CC0 1.0, through dicebear: the pictures are drawn on the spot and none is shipped.
Needs: pip install "mulligan[benchmarks]".
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from mulligan.data import open_source
from mulligan.data.source import Source

N = 12_000
DATA = Path(__file__).parent / "data"
HAIR = ["#d13b2e", "#e8a33d", "#3f8f4f", "#2f6fe0", "#7a4fb5", "#5b3a29", "#222222", "#e58fb8"]


def open_characters(size: int = 32) -> Source:
    """12,000 pictures of `size` px, drawn on the first call in a minute or two."""
    folder = DATA / f"characters-{size}"
    if not folder.exists():
        draw(folder, size)
    return open_source(str(folder), size=size)


def draw(folder: Path, size: int) -> None:
    try:
        import dicebear_styles
        import resvg_py
        from dicebear import Avatar, Style
    except ImportError as error:
        raise SystemExit(f'{error}; get it with: pip install "mulligan[benchmarks]"') from error
    (styles,) = dicebear_styles.__path__
    style = Style(json.loads((Path(styles) / "lorelei.json").read_text()))
    aside = folder.with_suffix(".partial")
    aside.mkdir(parents=True, exist_ok=True)
    for i in range(N):
        svg = str(Avatar(style, {"seed": str(i), "hairColor": [HAIR[i % len(HAIR)]]}))
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * size, height=2 * size, background="white"))
        picture = Image.open(io.BytesIO(png)).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
        picture.save(aside / f"{i:05d}.png")
    aside.rename(folder)


if __name__ == "__main__":
    print(open_characters().name)
