"""Edits: a sample's latent moved along a tag's direction until the tagger reads the tag as wanted, the rest kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mulligan import latent
from mulligan.errors import Mistake
from mulligan.model import Model
from mulligan.sheet import Tile, sheet, tile
from mulligan.space import GRID, Space, known_tag, open_space, sample_number
from mulligan.tagger import Tagger, tagger_of

N_SAMPLES = 5000  # whose tags tell the directions
LEAST = 20  # of them that must have a tag, and that must lack it
FARTHEST = 12.0  # in standard deviations of the space
STRENGTHS = 24
SURE = 4.0  # log odds from which on a tag counts as read while searching: so far past the edge that others read it too


@dataclass(frozen=True)
class Guide:
    """What knows the ways through a model's latent space: its tagger, and a slope a tag."""

    space: Space
    tagger: Tagger
    tags: Tensor  # (N, T), 1 where a random sample has a tag
    latents: Tensor  # (N, ...) of those samples
    slopes: Tensor  # (T, d)

    def ways(self, tag: str, reads: Tensor) -> list[Tensor]:
        """Directions for a tag, each (N, ...) of the length of one standard deviation of the space: one that leaves the
        fits of other groups' tags as they are, the tag's own, and one that leads from what is now on in its group.

        Args:
            tag: which.
            reads: (N, T), True where a tag is on now.
        """
        t, group = self.tagger.index(tag), self.tagger.group(tag)
        now = reads[:, group].float() @ self.slopes[group]
        found = [
            latent.apart(self.slopes, t, self.tagger.others(tag)).expand_as(now),
            latent.apart(self.slopes, t, []).expand_as(now),
            torch.nn.functional.normalize(self.slopes[t] - now, dim=1),
        ]
        scale = self.space.spread.mean()
        placed = [way.to(scale.device) * scale for way in found]
        return [way[:, None] for way in placed] if self.space.styled else placed

    def check(self, tag: str) -> None:
        """Raises ValueError where too few samples have the tag, or lack it, to tell what makes it."""
        n = int(self.tags[:, self.tagger.index(tag)].sum())
        if min(n, len(self.tags) - n) < LEAST:
            raise Mistake(
                f"{tag!r}: the {self.tagger.name} reads it on {n:,} of {len(self.tags):,} samples; {LEAST} with it and "
                f"{LEAST} without are needed to tell its direction: train longer or take another tag"
            )


@dataclass(frozen=True)
class Edit:
    """What became of a sample.

    Attributes:
        before, after: images (1, C, H, W).
        latent: of `after` (1, ...).
        wanted: tag by tag, whether it was to be on.
        readings: the tagger's log odds of each tag (T,), before and after.
        names: of the tags.
    """

    before: Tensor
    after: Tensor
    latent: Tensor
    wanted: dict[str, bool]
    readings: tuple[Tensor, Tensor]
    names: tuple[str, ...]

    @property
    def failed(self) -> list[str]:
        """The tags that are not read as wanted."""
        return [tag for tag, on in self.wanted.items() if (tag in self.tags(1)) != on]

    @property
    def gone(self) -> list[str]:
        """Other tags that are read before and not after."""
        return [tag for tag in self.tags(0) if tag not in (*self.wanted, *self.tags(1))]

    @property
    def come(self) -> list[str]:
        """Other tags that are read after and not before."""
        return [tag for tag in self.tags(1) if tag not in (*self.wanted, *self.tags(0))]

    def tags(self, when: int) -> list[str]:
        """What is read before (0) or after (1)."""
        return [tag for tag, value in zip(self.names, self.readings[when], strict=True) if value > 0]


def guide(space: Space, tagger: Tagger, *, n: int = N_SAMPLES, seed: int = 1) -> Guide:
    """Read the tags of n random samples, and from them the directions."""
    u, tags = tagger.of_random(space, n, seed)
    flat = (u[:, 0] if space.styled else u).cpu()  # all layers of a random style are alike
    return Guide(space, tagger, tags, u, latent.directions(flat, tags))


def edit(
    model: Model, source: Tensor | str | int, changes: dict[str, bool], *, seed: int = 0, tagger: Tagger | None = None
) -> Edit:
    """Change tags of one sample.

    Args:
        model: makes the sample; its data must have tags or labels.
        source: a latent (1, ...) as `project` finds it, or the number of a sample in `mulligan sample`'s grid.
        changes: tag to whether it is to be on.
        seed: of the grid.
        tagger: who reads the tags; None: whoever knows those of the model's data.

    Raises:
        ValueError: a tag is not known, or nothing here knows tags.
    """
    space = open_space(model, "edit")
    tagger = tagger or tagger_of(model)
    changes = {known_tag(tag, tagger.names): on for tag, on in changes.items()}
    if isinstance(source, Tensor):
        u = source.to(space.centre.device)
    else:
        number = sample_number(str(source))
        if number is None:
            raise Mistake(f"{source!r} is no sample's number: give 0 to {GRID - 1}")
        u = space.draw(GRID, seed)[number][None]
    return apply(guide(space, tagger), u, changes)


def apply(ways: Guide, u: Tensor, changes: dict[str, bool]) -> Edit:
    """One tag after the other, each leaving the earlier ones alone."""
    for tag in changes:
        ways.check(tag)
    now = u
    for tag, on in changes.items():
        now = move(ways, now, tag, on, keep={t: value for t, value in changes.items() if t != tag})
    before, after = ways.space.samples(u), ways.space.samples(now)
    readings = (ways.tagger(before)[0], ways.tagger(after)[0])
    return Edit(before.cpu(), after.cpu(), now.cpu(), changes, readings, ways.tagger.names)


def move(ways: Guide, u: Tensor, tag: str, on: bool, *, keep: dict[str, bool] | None = None) -> Tensor:
    """Each latent (N, ...) moved along a tag's direction: of the places where the tag is read as wanted, the one where
    fewest other tags have changed, and of those the nearest; where there is none, the one that comes closest to it.

    Args:
        ways: from `guide`.
        u: the latents.
        tag: to be turned on or off.
        on: which of the two.
        keep: tags of the same group that are wanted too, as they are to be.
    """
    t, others = ways.tagger.index(tag), ways.tagger.others(tag)
    sign, strengths = 1.0 if on else -1.0, FARTHEST * torch.linspace(0, 1, STRENGTHS + 1).square()  # finer near by
    before = ways.tagger(ways.space.samples(u)) > 0
    directions = ways.ways(tag, before)
    places = torch.cat([_path(ways.space, u, sign * strengths, way) for way in directions])  # (3 S, N, ...)
    read = ways.tagger(ways.space.samples(places.flatten(0, 1))).reshape(*places.shape[:2], -1)
    away = (read[:, :, others] > 0) != before[:, others]
    far = strengths.repeat(len(directions))[:, None] / (2 * FARTHEST)  # a distance never outweighs a tag
    price = away.sum(2).float() + far
    for other, value in (keep or {}).items():
        price = price + 2 * ((read[:, :, ways.tagger.index(other)] > 0) != value)
    toward = sign * read[:, :, t]
    cost = torch.where(toward > SURE, price, 1000 + price.max() - toward.clamp(-100, 100))
    best = cost.argmin(0).to(places.device)
    return places[best, torch.arange(len(u), device=places.device)]


def _path(space: Space, u: Tensor, strengths: Tensor, way: Tensor) -> Tensor:
    """The places (S, N, ...) that lie so far from each latent: of a Gaussian, on the sphere that it lies on."""
    length = None if space.styled else u.norm(dim=1, keepdim=True)
    return torch.stack([space.usual(u + float(s) * way, length) for s in strengths])


def parsed(words: tuple[str, ...]) -> dict[str, bool]:
    """`glasses=1`, `blue hair=0` ... as tag to whether it is to be on.

    Raises:
        ValueError: a tag without a value, or with another.
    """
    found: dict[str, bool] = {}
    for word in words:
        tag, sign, value = word.rpartition("=")
        if not sign or not tag.strip() or value.strip() not in ("0", "1"):
            raise Mistake(f'--set {word!r}: write a tag and 1 or 0, as in "glasses=1" (on) or "glasses=0" (off)')
        on = value.strip() == "1"
        if found.setdefault(tag.strip(), on) != on:
            raise Mistake(f"--set {word!r}: {tag.strip()} is set to 1 and to 0; leave one of them out")
    if not found:
        raise Mistake('--set is missing: name a tag to change, as in --set "glasses=1"')
    return found


def summary(edit: Edit) -> dict[str, object]:
    """What the tagger reads before and after, as JSON."""
    logits = {tag: edit.names.index(tag) for tag in edit.wanted}
    odds = {tag: [round(float(r[i].sigmoid()), 4) for r in edit.readings] for tag, i in logits.items()}
    return {
        "wanted": {tag: int(on) for tag, on in edit.wanted.items()},
        "reads_before": edit.tags(0),
        "reads_after": edit.tags(1),
        "probability": odds,
        "failed": edit.failed,
        "gone": edit.gone,
        "come": edit.come,
    }


def in_words(found: Edit) -> list[str]:
    """The same for people."""
    lines = []
    for tag, on in found.wanted.items():
        i = found.names.index(tag)
        before, after = (float(r[i].sigmoid()) for r in found.readings)
        end = f"NOT {'on' if on else 'off'}" if tag in found.failed else "on" if on else "off"
        lines.append(f"{tag}: read with probability {before:.2f} before and {after:.2f} after: {end}")
    if found.failed:
        lines.append("the edit did not succeed: no place on the way was read as wanted; the nearest is shown")
    lines += [f"no longer read: {', '.join(found.gone)}"] if found.gone else []
    lines += [f"now read too: {', '.join(found.come)}"] if found.come else []
    return lines


def tiles(found: Edit, after: str = "after") -> list[Tile]:
    """Before and after, each with the tags that are read."""
    pair = (("before", found.before), (after, found.after))
    return [tile(x, f"{when}: {', '.join(found.tags(i)) or 'no tag'}") for i, (when, x) in enumerate(pair)]


def picture(found: Edit, target: Tensor | None = None) -> Image.Image:
    """Before and after side by side, and left of them the image whose projection `before` is."""
    first = [] if target is None else [tile(target, "the picture that was projected")]
    return sheet([[*first, *tiles(found)]])
