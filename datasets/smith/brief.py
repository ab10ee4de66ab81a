"""What the agent is given of a task, and what it is told after an attempt. Nothing else reaches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smith.program import Program
from smith.values import Value

Example = tuple[Value, Value]


@dataclass(frozen=True)
class Brief:
    """A task as the agent sees it: its description and a few examples."""

    text: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Verdict:
    """The judge's summary of an attempt: how many cases passed and how the failed ones differed."""

    passed: int
    total: int
    symptoms: tuple[tuple[str, int], ...]

    @property
    def success(self) -> bool:
        return self.passed == self.total

    @property
    def reward(self) -> float:
        return round(self.passed / self.total, 4)


Submit = Callable[[Program], Verdict]
"""How an attempt is judged: a program goes in, a verdict comes out."""
