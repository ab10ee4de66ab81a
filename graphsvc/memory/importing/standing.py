"""How a record that is to be imported stands to the memory: new there, the same, another, or deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphsvc.log.state import LIVE, Stored, every
from graphsvc.model.names import check_name

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory


def stored(memory: Memory, kind: str, places: Sequence[tuple[str, str]]) -> list[Stored | None]:
    """Of each namespace and id what the log knows by it, live or deleted; None if it never existed."""
    memory._opened.check()
    with memory._opened.log.connection() as connection:
        return [
            next((row for row in every(connection, kind, check_name(id, "id")) if row.agent == agent), None)
            for agent, id in places
        ]


def is_live(record: Stored) -> bool:
    """Whether it still exists; a deleted one's id is not used again."""
    return record.state == LIVE
