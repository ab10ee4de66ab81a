"""The ceilings that the project has promised, in milliseconds by row. Later issues add theirs here."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figures

CEILINGS = {
    "import": 50.0,
    "help": 500.0,
    "open.new": 300.0,
    "open.empty": 300.0,
    "open.large": 1_000.0,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a ceiling holds: `measured` is None where there is no figure, and then it doesn't."""

    row: str
    ceiling: float
    measured: float | None

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured < self.ceiling


def verdicts(ours: Figures, *, slack: float = 1.0) -> list[Verdict]:
    """Each ceiling, times `slack`, against what was measured."""
    return [
        Verdict(row, ceiling * slack, ours[row].value if row in ours else None) for row, ceiling in CEILINGS.items()
    ]
