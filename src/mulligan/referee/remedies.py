"""What is tried for each verdict, in which order: the table, and how a row becomes changes of options.

An option is found by its role, so a system that has a penalty under whatever name has the remedy; what a system lacks
is passed over. Options that give a network its shape have no role and are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from mulligan.config import role_of
from mulligan.referee import checks
from mulligan.referee import verdict as v
from mulligan.referee.checks import HASTY

USUAL = 1e-2  # of a weight, that a step is where games go well: docs/log.md has it for every system
TIMID = 2 * checks.TIMID  # where a game is lost, steps that are nearly timid are too short
ODD = 8.0  # times or part of the paper's value
ODD_RATE = 100.0  # of a learning rate: small images and adaptive optimizers bear many times the paper's

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """What a remedy may look at.

    Attributes:
        values: of all options, those of the system and those of the run; None where the data decide.
        roles: of options, the name by the role.
        defaults: the papers'.
        in_force: what an option that is left to the data or the machine came to.
        updates: by player, how far a step moves a weight, over its length.
        published: what an option of the system comes to if nobody sets it.
        touched: options that an earlier mulligan changed: they are no longer what the user said.
    """

    values: Values
    roles: Mapping[str, str]
    defaults: Values
    in_force: Callable[[str], Any]
    published: Callable[[str], Any] = lambda option: None
    updates: Mapping[str, float] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()

    @classmethod
    def of(cls, models: Iterable[BaseModel], in_force: Callable[[str], Any], **more: Any) -> Situation:
        fields = {name: (model, found) for model in models for name, found in type(model).model_fields.items()}
        roles = {role: name for name, (_, found) in fields.items() if (role := role_of(found)) is not None}
        values = {name: getattr(model, name) for name, (model, _) in fields.items()}
        return cls(values, roles, {name: found.default for name, (_, found) in fields.items()}, in_force, **more)

    def option(self, role: str) -> str | None:
        return self.roles.get(role)

    def value(self, role: str) -> Any:
        """What an option of that role is, or came to; None where the system has none."""
        name = self.option(role)
        if name is None:
            return None
        return self.values[name] if self.values[name] is not None else self.in_force(name)


Changes = dict[str, Any]
Step = Callable[[Situation], Changes]

# --- steps: what may be changed, {} where there is nothing to change ------------------------------------------


def as_published(s: Situation) -> Changes:
    """Options far from the paper's values back to them; with a learning rate, the paces that others mended it by."""
    found = {}
    for role in ("lr", "penalty", "n_critic", "clip", "told", "g_lr", "d_lr"):
        if (name := s.option(role)) is None or name in s.touched:
            continue
        now, default = s.values[name], s.defaults[name]
        usual, odd = s.published(name) if default is None else default, ODD_RATE if role == "lr" else ODD
        # where the paper has no penalty, whoever set one knew why
        if now is not None and now != default and usual and (now == 0 or not 1 / odd < now / usual < odd):
            found[name] = default
    if s.option("lr") in found:
        found |= {name: s.defaults[name] for _, name in _paces(s, "GD") if name in s.touched}
    if (name := s.option("loss")) is not None and s.values[name] != s.defaults[name]:
        found[name] = s.defaults[name]
    return found


def slower(*players: str) -> Step:
    """Learning rates halved; of a player whose steps are hasty, to what steps usually are."""

    def step(s: Situation) -> Changes:
        return {name: s.values[name] * _calmed(s, player) for player, name in _paces(s, players)}

    return step


def quicker(*players: str) -> Step:
    """Learning rates doubled; of a player whose steps are timid, to what steps usually are."""

    def step(s: Situation) -> Changes:
        return {name: s.values[name] * _hurried(s, player) for player, name in _paces(s, players)}

    return step


def calmed(s: Situation) -> Changes:
    """Whoever's steps are hasty, to what steps usually are."""
    return {name: s.values[name] * _calmed(s, player) for player, name in _paces(s, "GD") if _update(s, player) > HASTY}


def hurried(s: Situation) -> Changes:
    """Whoever's steps are timid, to what steps usually are."""
    return {
        name: s.values[name] * _hurried(s, player)
        for player, name in _paces(s, "GD") if 0 < _update(s, player) < TIMID
    }  # fmt: skip


def penalised(s: Situation) -> Changes:
    """The penalty's weight doubled."""
    name, now = s.option("penalty"), s.value("penalty")
    return {} if name is None or not now else {name: 2 * now}


def augmented(s: Situation) -> Changes:
    """Augmentation by one step."""
    name = s.option("augment")
    order = ["none", "adaptive", "fixed"]
    if name is None or s.values[name] == order[-1]:
        return {}
    return {name: order[order.index(s.values[name]) + 1]}


def more_of_d(s: Situation) -> Changes:
    """D's steps for each of G doubled."""
    name, now = s.option("n_critic"), s.value("n_critic")
    return {} if name is None or now >= 16 else {name: 2 * now}


def in_fp32(s: Situation) -> Changes:
    return {} if s.in_force("precision") == "fp32" else {"precision": "fp32"}


def told_louder(s: Situation) -> Changes:
    name, now = s.option("told"), s.value("told")
    return {} if name is None or not now else {name: 2 * now}


# --- the table: one row is tried at a time, the next that changes anything; the steps of a row together

TABLE: dict[str, tuple[tuple[Step, ...], ...]] = {
    v.NOT_FINITE: ((in_fp32, calmed), (as_published,), (slower("G", "D"),), (slower("G", "D"), penalised)),
    v.DIVERGING: ((calmed,), (as_published,), (slower("G", "D"),), (slower("G", "D"), penalised)),
    v.COLLAPSE: ((as_published,), (calmed,), (slower("G", "D"), penalised), (augmented,), (slower("D"),)),
    v.D_WINS: ((as_published,), (calmed,), (hurried,), (slower("D"), penalised), (augmented,), (quicker("G"),)),
    v.G_WINS: ((as_published,), (hurried,), (quicker("D"),), (more_of_d,)),
    v.OSCILLATING: ((as_published,), (calmed,), (slower("G", "D"),), (penalised,)),
    v.MEMORY: ((augmented,),),
    v.CONDITION: ((as_published,), (told_louder,), (quicker("D"),)),
    v.STALLED: ((as_published,), (calmed,), (hurried,), (quicker("G", "D"),), (slower("G", "D"),)),
}


def remedy(
    name: str, s: Situation, after: int = -1, works: Callable[[Changes], bool] = lambda changes: True
) -> tuple[int, Changes]:
    """(row, changes): the next row of a verdict that changes anything; (-1, {}) where none is left: then the cards are
    dealt anew.

    Args:
        name: of the verdict.
        s: the options.
        after: the row that was tried last for that verdict.
        works: whether the system can be built with changes: points are not augmented.
    """
    for number, row in enumerate(TABLE[name]):
        if number <= after:
            continue
        changes: Changes = {}
        for step in row:
            changes |= {k: x for k, x in step(s).items() if x != s.values[k]}
        if changes and works(changes):
            return number, changes
    return -1, {}


def in_words(changes: Changes, values: Values) -> str:
    """--d-pace 1 -> 0.5, and another order of the data."""
    told = [f"--{k.replace('_', '-')} {_short(values[k])} -> {_short(x)}" for k, x in changes.items()]
    return ", ".join([*told, "another order of the data"])


def _short(value: Any) -> str:
    return "the data's own" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _paces(s: Situation, players: Iterable[str]) -> list[tuple[str, str]]:
    return [(player, name) for player in players if (name := s.option(f"{player.lower()}_lr")) is not None]


def _update(s: Situation, letter: str) -> float:
    """The largest update of the players with that first letter; the others are paced like G."""
    return max((u for player, u in s.updates.items() if (player[0] == "D") == (letter == "D")), default=0.0)


def _calmed(s: Situation, player: str) -> float:
    update = _update(s, player)
    return _bounded(USUAL / update) if update > HASTY else 0.5


def _hurried(s: Situation, player: str) -> float:
    update = _update(s, player)
    return _bounded(USUAL / update) if 0 < update < TIMID else 2.0


def _bounded(factor: float) -> float:
    """A hundredth to a hundredfold, to one digit: a measurement is no more exact."""
    return float(f"{min(max(factor, 0.01), 100.0):.1g}")
