"""What a run of the fuzzer has found, a kind once, with the input that shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SHOWN_MAX_CHARACTERS = 600
KINDS_MAX = 200


@dataclass(slots=True)
class Findings:
    """``examples``: the first input of each kind. ``answers``: how often each kind of answer came, by what was asked."""

    examples: dict[str, str] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, example: str) -> None:
        """Note a fault; ``kind`` is what it has in common with its like."""
        self.times[kind] += 1
        if len(self.examples) < KINDS_MAX:
            self.examples.setdefault(kind, example[:SHOWN_MAX_CHARACTERS])

    def report(self) -> str:
        """All kinds with their numbers and examples."""
        return "\n".join(
            f"{self.times[kind]:>6} x {kind}\n         {example}" for kind, example in self.examples.items()
        )
