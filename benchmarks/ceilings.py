"""What the project has promised: ceilings in milliseconds by row, and aims, some of them against another side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.figures import Figure, Figures
from benchmarks.table import OURS, rows

CEILINGS = {
    "import": 50.0,
    "help": 500.0,
    "open.new": 300.0,
    "open.empty": 300.0,
    "open.large": 1_000.0,
}

ROOM = 5.0
"""Aims depend on the machine and on others: a run tells of those missed, and fails where one is missed by this much."""
AIMS = {"causal.chain": 0.34}
"""Milliseconds: what AgentDB takes. Its 0.10 for adding an edge is no aim: that edge isn't on the disk then."""
BESIDE = {
    **{(f"http.{row}.{connections}", "strawberry"): 1 / 0.70
       for row in ("cached", "trusted") for connections in (1, 16, 64)},
    **{(f"cypher.{row}", "kuzu"): 1.3 for row in ("key", "hop1", "hop2", "hop3", "path")},
}  # fmt: skip
"""How many times as much ours may cost as the other side's, of the same row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a promise holds.

    Attributes:
        row: which. ceiling: milliseconds, or how many times as much as the other side's. measured: None where there is
            no figure, and then it doesn't hold. side: the other one, if any. aim: told of, not held to.
    """

    row: str
    ceiling: float
    measured: float | None
    side: str = ""
    aim: bool = False

    @property
    def name(self) -> str:
        return f"{self.row}/{self.side}" if self.side else self.row

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured < self.ceiling

    @property
    def held(self) -> bool:
        """Whether a run may end well: an aim may be missed, but not by far."""
        room = ROOM if self.aim else 1.0
        return self.measured is not None and self.measured < self.ceiling * room


def verdicts(figures: Mapping[str, Figures], *, slack: float = 1.0) -> list[Verdict]:
    """Each ceiling and aim, times `slack`, against what was measured, by side.

    With slack, beside other load, the best calls or rounds count: their median would be that of the load.
    """
    ours = figures.get(OURS.id, {})
    advantage = {row.id: row.advantage for row in rows()}

    def value(figure: Figure | None) -> float | None:
        if figure is None:
            return None
        return figure.best if slack > 1 and figure.best is not None else figure.value

    def cost(row: str, side: str) -> float | None:
        mine, theirs = value(ours.get(row)), value(figures.get(side, {}).get(row))
        times = advantage[row](mine, theirs) if mine and theirs else None
        return 1 / times if times else None

    return [
        *(Verdict(row, ceiling * slack, value(ours.get(row))) for row, ceiling in CEILINGS.items()),
        *(Verdict(row, aim * slack, value(ours.get(row)), aim=True) for row, aim in AIMS.items()),
        *(Verdict(row, most * slack, cost(row, side), side, aim=True) for (row, side), most in BESIDE.items()),
    ]
