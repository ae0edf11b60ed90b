"""A verdict: what the referee finds, with its evidence in numbers and a sentence for someone who never heard of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

HEALTHY = "healthy"
UNKNOWN = "unknown"  # of a log or a run that says too little
COLLAPSE = "mode collapse"
D_WINS = "D wins"
G_WINS = "G wins"
DIVERGING = "diverging"
OSCILLATING = "oscillating"
NOT_FINITE = "not finite"
MEMORY = "D memorises the data"
COPIES = "G copies the data"
CONDITION = "condition ignored"
NOISE = "noise ignored"
STALLED = "stalled"
DATA = "data problem"
SLOW = "slow input"
NAMES = (
    HEALTHY, COLLAPSE, D_WINS, G_WINS, DIVERGING, OSCILLATING, NOT_FINITE, MEMORY, COPIES, CONDITION, NOISE, STALLED,
    DATA, SLOW,
)  # fmt: skip
# Games in which waiting mends nothing. The others are told, and played on: a copy of the data or a slow disk is no
# worse for another minute, one answer to a question may be what was wanted, and data are the user's to mend.
LOST = frozenset((COLLAPSE, D_WINS, G_WINS, DIVERGING, OSCILLATING, NOT_FINITE, CONDITION, STALLED))
# Games that are worth another shot where there is a remedy left, and are played on where there is none: few data are
# learned by heart whatever one does.
MENDABLE = frozenset((MEMORY,))


@dataclass(frozen=True)
class Verdict:
    """A finding.

    Attributes:
        name: one of NAMES, or UNKNOWN.
        text: one sentence: what was seen, in numbers, and what it means.
        advice: one sentence.
        evidence: the numbers.
        since: the round from which on it was so.
        player: whom it is about, "" where that is all.
        mends: whether another shot can mend it; not where the data themselves are broken.
    """

    name: str
    text: str = ""
    advice: str = ""
    evidence: dict[str, float] = field(default_factory=dict)
    since: int = 0
    player: str = ""
    mends: bool = True

    @property
    def lost(self) -> bool:
        """Whether it is a lost game, for which a mulligan is taken."""
        return self.name in LOST

    def __str__(self) -> str:
        return f"{self.name}: {self.text} {self.advice}".strip() if self.text else self.name

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lost": self.lost}


ALL_WELL = Verdict(HEALTHY)
