"""Maps of labels to pictures: of pairs whose inputs have few flat colours, each colour a label; the palette is kept."""

from __future__ import annotations

from dataclasses import replace

from mulligan.data import Progress
from mulligan.data.images import MAP_COLOURS
from mulligan.data.pair import NO_PAIRS
from mulligan.data.source import Source
from mulligan.data.unpaired import columns
from mulligan.errors import Mistake
from mulligan.layers.colours import palette_of, spelled


def derive(source: Source, progress: Progress | None = None) -> Source:
    """The source, with the colours that its inputs have as the names of `input`, "#rrggbb".

    Raises:
        ValueError: it has no pairs, or its inputs have too many colours, or a single one.
    """
    signal = source.signals.get("input")
    if NO_PAIRS in source.facts:  # they end with what else to do
        raise Mistake(f"{source.facts[NO_PAIRS]}, without --task labels")
    if signal is None or signal.kind != "image":
        raise Mistake(f"--task labels: {source.name} has no pairs; add --pair MAPS:PICTURES, two folders in it")
    found: set[str] = set()
    for split in source.splits.values():
        for x in columns(split, "input"):
            found.update(map(spelled, palette_of(x).tolist()))
            if len(found) > MAP_COLOURS:
                raise Mistake(
                    f"--task labels: the inputs of {source.name} have more than {MAP_COLOURS} colours, so they are no "
                    "maps of labels; save them as PNG, for JPEG mixes colours, or leave --task out"
                )
    names = tuple(sorted(found))
    if len(names) < 2:
        raise Mistake(
            f"--task labels: Maps of 1 label, {names[0]}, are all that {source.name} has: nothing to learn from; "
            "look whether the maps are what you mean, or leave --task out"
        )
    note = f"Maps of {len(names)} labels: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''} (--task labels)."
    return replace(
        source, signals={**source.signals, "input": replace(signal, names=names)}, notes=[*source.notes, note]
    )
