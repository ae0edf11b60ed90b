"""Card: what a number was measured with; Result: a number with its card and what to read it against."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Better = Literal["lower", "higher", "target"]
FREE = ("seed",)  # fields that may differ between numbers that are compared


@dataclass(frozen=True)
class Card:
    """Two numbers may be compared only if their cards are alike.

    Attributes:
        metric: its name and settings, as "precision (k = 5)".
        extractor: the network that made the features, or what stands for one.
        extractor_hash: of its weights.
        resize: how images are brought to its size.
        n_real: real samples used.
        n_fake: generated samples used.
        reference: fingerprint of the data and the split, as "1f3a.../test".
        weights: of the generator: "EMA" or "raw".
        mode: always "eval": no statistics of the batch enter a sample.
        seed: of the samples.
    """

    metric: str
    extractor: str
    extractor_hash: str
    resize: str
    n_real: int
    n_fake: int
    reference: str
    weights: str = "EMA"
    mode: str = "eval"
    seed: int = 0

    def differences(self, other: Card) -> list[str]:
        """Each field that forbids comparison, as "n_fake: 1000 and 5000"."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return [f"{name}: {a} and {b}" for name, a, b in pairs if a != b and name not in FREE]


@dataclass(frozen=True)
class Result:
    """One number.

    Attributes:
        name: of the metric, as in tables.
        value: of the generated samples.
        floor: of real data against real data, same sizes: as good as it gets.
        baselines: of trivial generators, by name.
        better: lower, higher, or target where the floor is the aim.
        card: what it was measured with.
        spread: standard deviation between subsets, where the metric has one.
    """

    name: str
    value: float
    floor: float
    baselines: dict[str, float]
    better: Better
    card: Card
    spread: float | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """As a line of metrics.jsonl holds it; JSON has no infinity, so that becomes null."""
        line: dict[str, Any] = {
            "name": self.name,
            "value": finite(self.value),
            "floor": finite(self.floor),
            "baseline": {k: finite(v) for k, v in self.baselines.items()},
            "better": self.better,
            "card": asdict(self.card),
        }
        return line if self.spread is None else {**line, "spread": self.spread}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Result:
        """What to_json wrote."""
        return cls(
            name=line["name"],
            value=_number(line["value"]),
            floor=_number(line["floor"]),
            baselines={k: _number(v) for k, v in line["baseline"].items()},
            better=line["better"],
            card=Card(**line["card"]),
            spread=line.get("spread"),
        )


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.inf if value is None else value
