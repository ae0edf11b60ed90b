"""What does pix2pix draw at 256 px in ten minutes of one thread? One training, as a picture, its numbers beside it.

Maps of labels to Earth from above, of regions that training never saw.
"""

from __future__ import annotations

from pathlib import Path

from mulligan.data import open_source
from pairs import COLOURS, FD, L1, SHARP, Judge, draw_pairs
from runner import Case, Chart, Contestant, Question, main

SECONDS, SIZE, PICTURES = 600.0, 256, 5


def drawn(contestants: list[Contestant], folder: Path) -> None:
    draw_pairs(contestants, PICTURES, folder / "image-to-image-256.png")


QUESTION = Question(
    name="large",
    asks="What does pix2pix draw at 256 px in ten minutes of one thread?",
    cases=(
        Case("L1+cGAN", "pix2pix", "earth", 0, SECONDS, {"g_width": 16, "d_width": 16, "lr": 5e-4}, (0.25, 0.5, 1.0)),
    ),
    opens=lambda name: open_source(name, size=SIZE),
    judge=lambda source: Judge(source).contestant,
    references=lambda source: Judge(source).references(),
    charts=(Chart(FD), Chart(L1), Chart(SHARP), Chart(COLOURS)),
    after=drawn,
)

if __name__ == "__main__":
    main(QUESTION)
