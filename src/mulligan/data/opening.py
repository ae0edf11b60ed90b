"""From what the user typed to the adapter that opens it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mulligan.config import nearest
from mulligan.data import Encoder, Fit, Progress, cache, names, tasks
from mulligan.data.encoder import encoded
from mulligan.data.pair import paired
from mulligan.data.source import Head, Source, fingerprint
from mulligan.data.unpaired import halves
from mulligan.errors import Mistake
from mulligan.networks import minilm

MIN_SIZE, MAX_SIZE = 4, 2048
MIN_LIMIT = 2
BESIDE = ("left:right", "right:left")  # pairs in one file
ARRAY_SUFFIXES = (".npy", ".npz", ".csv", ".tsv")


def open_any(
    spec: str,
    *,
    size: int | None,
    fit: Fit,
    alpha: bool,
    limit: int | None,
    task: str | None,
    pair: str | None,
    unpaired: bool,
    encoder: Encoder,
    progress: Progress | None,
) -> Source:
    """See `mulligan.data.open_source`."""
    _check_options(size, fit, limit, encoder)
    if task is not None:
        tasks.check(task)  # before a folder is decoded
        if pair is not None and task != "labels":
            raise Mistake(f"--task {task} and --pair {pair}: both name the domains; give one of them")
    if encoder == "minilm":
        minilm.check()
    beside = pair if pair in BESIDE else None
    if spec in names():
        _no_halves(spec, beside)
        source = _built_in(spec, size, fit, alpha, progress, pair)
    else:
        # pictures of few colours are no maps: only what is given is
        maps = pair.partition(":")[0].strip() if task == "labels" and pair is not None else None
        source = _of_the_user(spec, size, fit, alpha, maps, beside, progress)
    if pair is not None and "input" not in source.signals:  # halves of files, and earth's layers, are pairs already
        source = paired(source, pair, unpaired and task is None)
    if encoder == "minilm":
        source = encoded(source, progress)
    if task is not None:
        source = tasks.derive(task, source, progress)
    if unpaired and "input" in source.signals:
        source = halves(source, "--unpaired")
    return source if limit is None else limited(source, limit)


def limited(source: Source, n: int) -> Source:
    """The same source with the first n rows of train alone; held_out and test stay whole.

    Raises:
        ValueError: train has fewer.
    """
    has = len(source.train)
    if n > has:
        raise Mistake(f"--limit {n}: {source.name} has {has:,} samples to train on; leave it out or lower it")
    return replace(
        source,
        train=Head(source.train, n),
        fingerprint=fingerprint([source.fingerprint.encode(), f"first {n}".encode()]),
        notes=[*source.notes, f"Training sees the first {n:,} of {has:,} samples (--limit)."],
    )


def _of_the_user(
    spec: str, size: int | None, fit: Fit, alpha: bool, maps: str | None, beside: str | None, progress: Progress | None
) -> Source:
    path = locate(spec)
    if path.is_dir():
        from mulligan.data.folder import open_folder

        return open_folder(
            path, name=spec, size=size, fit=fit, alpha=alpha, maps=maps, beside=beside, progress=progress
        )
    from mulligan.data.points import open_file

    _no_halves(spec, beside)
    source = open_file(path, name=spec, size=size, fit=fit)
    if source.signals["x"].kind == "points":
        _no_picture_options(spec, size, alpha)
    elif alpha and source.signals["x"].shape[0] != 4:
        raise Mistake(f"--alpha: the images of {spec} have no fourth channel; leave it out")
    return source


def locate(spec: str) -> Path:
    """The folder or array file that `spec` names.

    Raises:
        ValueError: there is none, or it is a file of another kind.
    """
    if spec.startswith("hf:"):
        raise Mistake(f"{spec}: mulligan does not fetch data sets yet; download it and give the folder")
    try:
        path = Path(spec).expanduser()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, no home
        raise Mistake(f"{spec[:60]!r} is no name of a source and no path ({error})") from error
    if not exists:
        raise Mistake(_missing(spec, path))
    if path.is_file() and path.suffix.lower() not in ARRAY_SUFFIXES:
        raise Mistake(f"{spec} is a file of no known kind: give {_kinds()}")
    return path


def _no_halves(spec: str, beside: str | None) -> None:
    if beside is not None:
        raise Mistake(f"--pair {beside}: {spec} is no folder of images, whose halves could be pairs; leave it out")


def _kinds() -> str:
    return f"a folder of images, a {', '.join(ARRAY_SUFFIXES[:-1])} or {ARRAY_SUFFIXES[-1]} file, or a name"


def _missing(spec: str, path: Path) -> str:
    """A name that is not known, or a path that is not there: with the nearest of either."""
    if not any(c in spec for c in "/\\.~"):
        beside = [p.name for p in _listed(Path()) if p.is_dir()]
        hint = nearest(spec, [*names(), *beside[:200]])
        hint = hint if hint.startswith("; did") else nearest(spec, names())
        return f"there is no source {spec!r} and no folder of that name{hint}"
    up = path.parent
    while not up.exists():
        up = up.parent
    lost = path.relative_to(up).parts[0]
    known = [p.name for p in _listed(up)]
    hint = nearest(lost, known[:2000]) if known else "; that folder is empty"
    where = "here" if up == Path() else f"in {up}"
    if not hint.startswith("; did"):
        hint = f"; {where} are {len(known)} other names"
    return f"{spec} does not exist: there is no {lost!r} {where}{hint}"


def _listed(place: Path) -> list[Path]:
    try:
        return sorted(p for p in place.iterdir() if not p.name.startswith("."))
    except OSError:
        return []


def _check_options(size: int | None, fit: str, limit: int | None, encoder: str) -> None:
    if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
        raise Mistake(f"--size {size}: between {MIN_SIZE} and {MAX_SIZE} px; try 64")
    if fit not in get_args(Fit):
        raise Mistake(f"--fit {fit}: not known{nearest(fit, get_args(Fit))}")
    if encoder not in get_args(Encoder):
        raise Mistake(f"--encoder {encoder}: not known{nearest(encoder, get_args(Encoder))}")
    if limit is not None and limit < MIN_LIMIT:
        raise Mistake(f"--limit {limit}: train on {MIN_LIMIT} samples at least; try 300")


def _no_picture_options(spec: str, size: int | None, alpha: bool) -> None:
    if size is not None:
        raise Mistake(f"--size {size}: {spec} holds points, not images; leave it out")
    if alpha:
        raise Mistake(f"--alpha: {spec} holds points, not images; leave it out")


def _built_in(
    name: str, size: int | None, fit: Fit, alpha: bool, progress: Progress | None, pair: str | None = None
) -> Source:
    from mulligan.data import (
        captions,
        characters,
        earth,
        emoji,
        emoji3,
        mnist,
        painting,
        photos,
        stacked,
        toy,
        wallpapers,
    )

    if name in toy.OPEN:
        _no_picture_options(name, size, alpha)
        return toy.OPEN[name]()
    if name == "emoji":
        return emoji.open_emoji(size=size, fit=fit, alpha=alpha, progress=progress)
    if name == "emoji3":
        return emoji3.open_emoji3(size=size, fit=fit, alpha=alpha, progress=progress)
    if alpha:
        raise Mistake(f"--alpha: {name} has no transparency; leave it out")
    if name == "earth":
        return earth.open_earth(size=size, pair=pair, progress=progress)
    if name == "characters":
        return characters.open_characters(size=size, progress=progress)
    if name == "painting":
        return painting.open_painting(size=size, progress=progress)
    if name == "photos":
        return photos.open_photos(size=size, progress=progress)
    if name == "wallpapers":
        return wallpapers.open_wallpapers(size=size, progress=progress)
    if name == "captions":
        return captions.open_captions(size=size, progress=progress)
    return mnist.open_mnist(size=size, fit=fit) if name == "mnist" else stacked.open_stacked(size=size, fit=fit)


def materialise(name: str, progress: Progress | None) -> Path:
    """See `mulligan.data.get`."""
    if name not in names():
        raise Mistake(f"there is no built-in source {name!r}{nearest(name, names())}")
    from mulligan.data import characters, mnist

    if name == "mnist":
        return mnist.cached()
    if name == "characters":
        return characters.cached(progress=progress)
    source = _built_in(name, None, "crop", False, progress)
    return cache.stored(f"{name}-{source.fingerprint}", partial(_write, source=source))


def _write(place: Path, *, source: Source) -> dict[str, Any]:
    """train-x.npy, train-y.npy, held_out-x.npy ...: images uint8 (N, C, H, W), points float32 (N, D)."""
    for name, split in source.splits.items():
        for key, signal in source.signals.items():
            dtype = {"image": np.uint8, "label": np.int64, "text": np.int64}.get(signal.kind, np.float32)
            shape = tuple(n or 0 for n in signal.shape)
            with cache.ArrayWriter(place / f"{name}-{key}.npy", shape, dtype) as writer:
                for start in range(0, len(split), 1000):
                    rows = split.fetch(np.arange(start, min(start + 1000, len(split))))[key]
                    if signal.kind == "image":
                        rows = (rows + 1) * 127.5 + 0.5
                    for row in rows.numpy().astype(dtype):
                        writer.append(row)
    return {"source": source.name, "credit": source.card.credit}
