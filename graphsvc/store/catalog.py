"""What tables the graph has, read from the engine's own catalog: the memory's, and the user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphsvc.errors import NotFound
from graphsvc.model.graph import RESERVED_NODES, RESERVED_RELS
from graphsvc.store.answers import quoted
from graphsvc.store.engine import Engine
from graphsvc.store.queries import load, query

_OWN = {*RESERVED_NODES, *RESERVED_RELS}


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


def describe(engine: Engine, *, count: bool = True) -> list[GraphTable]:
    """The tables that there are, but for those whose names begin with `_`. Nodes first, each by name."""
    found = [
        _table(engine, name, type == "NODE", count)
        for name, type in engine.execute(query("show_tables")).rows
        if not name.startswith("_") and type in ("NODE", "REL")
    ]
    return sorted(found, key=lambda table: (not table.nodes, table.name))


def _table(engine: Engine, name: str, nodes: bool, count: bool) -> GraphTable:
    within = quoted(name)
    own = name in _OWN
    columns = engine.execute(load("node_columns" if nodes else "table_columns").fill(name=within)).rows
    types = {column[0]: column[1] for column in columns if not column[0].startswith("_")}
    number = None
    if count:
        row = engine.execute(load("count_of_nodes" if nodes else "count_of_edges").fill(name=name)).one()
        number = int(row[0]) if row else 0
    if nodes:
        return GraphTable(name, types, next(column[0] for column in columns if column[2]), (), own, number)
    ends = engine.execute(load("edge_ends").fill(name=within)).rows
    return GraphTable(name, types, "", tuple((source, target) for source, target in ends), own, number)
