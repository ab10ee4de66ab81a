"""Where edges come from: read from the graph into memory, or asked of the engine at each step of a traversal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.names import parts_of
from graphsvc.store.adjacency import EDGE_BYTES, NODE_BYTES, Adjacency, Table, TooMuch
from graphsvc.store.engine import Engine
from graphsvc.store.numbered import NO_STEPS, Direction, Nodes, Numbers, Steps

READ_SECONDS = 600.0
"""How long reading one table may take."""
ASKED_AT_ONCE = 1_000
"""Nodes whose edges one statement asks for."""

class Statement(Protocol):
    """A template of `queries/` filled in for a table, columns of it and the tables at an edge's ends."""

    def __call__(
        self, name: str, table: str, columns: tuple[str, ...] = (), ends: tuple[str, ...] = (), /
    ) -> str: ...


def read_adjacency(engine: Engine, statement: Statement, types: Mapping[str, pa.DataType], budget: int) -> Adjacency:
    """All nodes and edges of the memory's own tables. Nothing may be applied meanwhile.

    Args:
        types: Arrow's for the types that columns have.

    Raises:
        TooMuch: it takes more than `budget` bytes. EngineError: from the engine.
    """
    counts = {table: _count(engine, statement("count_nodes", table)) for table in NODE_TABLES}
    edges = {rel: _count(engine, statement("count_edges", rel)) for rel in REL_TABLES}
    if sum(counts.values()) * NODE_BYTES + sum(edges.values()) * EDGE_BYTES > budget:
        raise TooMuch
    nodes = {
        table: _read(engine, statement("dump_nodes", table), {"key": pa.string()})["key"]
        for table in NODE_TABLES
    }
    held = Adjacency(nodes, _tables(engine, statement, types, edges))
    if held.nbytes > budget:
        raise TooMuch
    return held


def _tables(
    engine: Engine, statement: Statement, types: Mapping[str, pa.DataType], counts: Mapping[str, int]
) -> Iterator[Table]:
    for rel, count in counts.items():
        columns = {name: types[type] for name, type in REL_TABLES[rel].columns.items()}
        for source, target in REL_TABLES[rel].pairs:
            shape = {"source": pa.string(), "target": pa.string(), **columns}
            if count:
                found = _read(engine, statement("dump_edges", rel, tuple(columns), (source, target)), shape)
            else:
                found = pa.schema(list(shape.items())).empty_table()
            yield Table(rel, source, target, found["source"], found["target"], found.select(list(columns)))


def _read(engine: Engine, statement: str, shape: Mapping[str, pa.DataType]) -> pa.Table:
    found = engine.arrow(statement, timeout=READ_SECONDS)
    schema = pa.schema(list(shape.items()))
    return found.select(list(shape)).cast(schema) if found.num_rows else schema.empty_table()


def _count(engine: Engine, statement: str) -> int:
    row = engine.execute(statement, timeout=READ_SECONDS).one()
    return int(row[0]) if row else 0


class Asked:
    """Edges asked of the engine, step by step, with numbers of its own: what is past the budget is answered so."""

    def __init__(self, engine: Engine, statement: Statement) -> None:
        self.nodes = Nodes()
        self._engine = engine
        self._statement = statement
        self._edges: list[tuple[str, int, int, dict[str, Any]]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if there is none."""
        if self.nodes.find(table, key) is None:
            rows = self._engine.execute(self._statement("nodes_by_key", table), {"keys": [key]}).rows
            if not rows:
                return None
        return self.nodes.add(table, key)

    def spaces(self) -> list[str]:
        """The namespaces that there are."""
        return [parts_of(key)[0] for (key,) in self._engine.execute(self._statement("dump_nodes", "Agent")).rows]

    def expand(self, numbers: Numbers, direction: Direction, rels: frozenset[str] | None) -> Steps:
        """The edges at some nodes; see `Edges.expand`."""
        by_table: dict[str, list[Any]] = {}
        for number in numbers.tolist():
            table, key = self.nodes.name(number)
            by_table.setdefault(table, []).append(key)
        found: list[tuple[int, int, int]] = []
        for rel in REL_TABLES:
            if rels is None or rel in rels:
                for source, target in REL_TABLES[rel].pairs:
                    if direction != "in":
                        found += self._ask("edges_out", rel, source, target, by_table.get(source, []))
                    if direction != "out":
                        back = self._ask("edges_in", rel, source, target, by_table.get(target, []))
                        found += [(b, a, edge) for a, b, edge in back if direction == "in" or a != b]
        if not found:
            return NO_STEPS
        steps = np.array(found, np.int64)
        return Steps(steps[:, 0], steps[:, 1], steps[:, 2])

    def _ask(self, name: str, rel: str, source: str, target: str, keys: list[Any]) -> Iterator[tuple[int, int, int]]:
        columns = tuple(REL_TABLES[rel].columns)
        statement = self._statement(name, rel, columns, (source, target))
        for start in range(0, len(keys), ASKED_AT_ONCE):
            for a, b, *values in self._engine.execute(statement, {"keys": keys[start : start + ASKED_AT_ONCE]}).rows:
                ends = self.nodes.add(source, a), self.nodes.add(target, b)
                yield (*ends, self._number(rel, *ends, dict(zip(columns, values, strict=True))))

    def _number(self, rel: str, source: int, target: int, values: dict[str, Any]) -> int:
        identity = (rel, source, target, values.get("id"))
        number = self._numbers.setdefault(identity, len(self._edges))
        if number == len(self._edges):
            self._edges.append((rel, source, target, values))
        return number

    def ends(self, edge: int) -> tuple[str, int, int]:
        """Type, source and target of an edge."""
        return self._edges[edge][:3]

    def values(self, edges: Sequence[int]) -> list[dict[str, Any]]:
        """The values of edges."""
        return [self._edges[edge][3] for edge in edges]
