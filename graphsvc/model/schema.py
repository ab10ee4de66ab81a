"""The tables of the graph, described: the memory's own, and the user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphsvc.errors import NotFound


@dataclass(frozen=True, slots=True)
class GraphTable:
    """A table of nodes or edges.

    Attributes:
        name: of the table, which is the label in statements.
        columns: types by name, in their order.
        key: of nodes, the column that tells them apart; '' of edges.
        ends: of edges, the pairs of node tables that they join.
        own: whether it is the memory's, which only its verbs write.
        count: how many nodes or edges it has; None where that wasn't asked for.
    """

    name: str
    columns: dict[str, str]
    key: str = ""
    ends: tuple[tuple[str, str], ...] = ()
    own: bool = False
    count: int | None = None

    @property
    def nodes(self) -> bool:
        """Whether it holds nodes."""
        return bool(self.key)

    def as_dict(self) -> dict[str, Any]:
        """The table as JSON has it."""
        ends = [{"source": source, "target": target} for source, target in self.ends]
        return {
            "name": self.name, "kind": "node" if self.nodes else "edge", "columns": dict(self.columns),
            "key": self.key or None, "ends": ends, "own": self.own, "count": self.count,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of the graph, nodes first, by name; `schema["Episode"]` is one of them."""

    tables: tuple[GraphTable, ...] = field(default=())

    def __iter__(self) -> Iterator[GraphTable]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __contains__(self, name: object) -> bool:
        return any(table.name == name for table in self.tables)

    def __getitem__(self, name: str) -> GraphTable:
        for table in self.tables:
            if table.name == name:
                return table
        raise NotFound("there is no such table", where=name, hint=f"There are {', '.join(t.name for t in self)}.")

    def as_dict(self) -> dict[str, Any]:
        """The schema as JSON has it."""
        return {"tables": [table.as_dict() for table in self.tables]}
