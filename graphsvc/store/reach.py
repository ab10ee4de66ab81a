"""Where edges come from: read from the graph into memory, or asked of the engine at each step of a traversal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.names import parts_of
from graphsvc.store.adjacency import EDGE_BYTES, NODE_BYTES, Adjacency, Table, TooMuch
from graphsvc.store.arrow import pa
from graphsvc.store.arrow_rows import arrow_type
from graphsvc.store.engine import Engine
from graphsvc.store.numbered import NO_STEPS, Direction, Held, Nodes, Numbers, Steps
from graphsvc.store.user_tables import Catalog, key_type, statement

READ_SECONDS = 600.0
"""How long reading one table may take."""
ASKED_AT_ONCE = 1_000
"""Nodes whose edges one statement asks for."""


@dataclass(frozen=True, slots=True)
class NodeSource:
    """A table of nodes, and the statements that count it, read it, and find one of it by its key."""

    table: str
    key: pa.DataType
    count: str
    dump: str
    by_key: str


@dataclass(frozen=True, slots=True)
class EdgeSource:
    """Edges of a type between two tables: types of their keys and columns, and statements for them.

    `count` counts all of the type, also between other tables; `dump` gives those between these, `out` and `back` those
    of them that leave or enter some nodes.
    """

    rel: str
    source: str
    target: str
    keys: tuple[pa.DataType, pa.DataType]
    columns: dict[str, pa.DataType]
    count: str
    dump: str
    out: str
    back: str

    @property
    def shape(self) -> pa.Schema:
        """What a dump gives."""
        ends = zip(("source", "target"), self.keys, strict=True)
        return pa.schema([*ends, *((f"c{at}", type) for at, type in enumerate(self.columns.values()))])


class Template(Protocol):
    """Fills a template of `queries/` in for one of the memory's own tables; see `store.graph`."""

    def __call__(
        self, name: str, table: str, columns: tuple[str, ...] = (), ends: tuple[str, ...] = (), /
    ) -> str: ...


def own_sources(fill: Template) -> tuple[list[NodeSource], list[EdgeSource]]:
    """The memory's own tables."""
    nodes = [
        NodeSource(name, pa.string(), *(fill(text, name) for text in ("count_nodes", "dump_nodes", "node_by_key")))
        for name in NODE_TABLES
    ]
    edges = []
    for name, rel in REL_TABLES.items():
        columns = {column: arrow_type(type) for column, type in rel.columns.items()}
        for ends in rel.pairs:
            texts = [fill(text, name, tuple(columns), ends) for text in ("dump_edges", "edges_out", "edges_in")]
            count = fill("count_edges", name)
            edges.append(EdgeSource(name, *ends, (pa.string(), pa.string()), columns, count, *texts))
    return nodes, edges


def user_sources(catalog: Catalog) -> tuple[list[NodeSource], list[EdgeSource]]:
    """The user's tables."""
    nodes: list[NodeSource] = []
    edges: list[EdgeSource] = []
    for table in catalog.values():
        if table.nodes:
            texts = [
                statement(text, catalog, table)
                for text in ("table_count_nodes", "table_dump_nodes", "table_read_one")
            ]
            nodes.append(NodeSource(table.name, arrow_type(key_type(catalog, table.name)), *texts))
        for ends in table.ends:
            columns = {column: arrow_type(type) for column, type in table.columns.items()}
            texts = [
                statement(text, catalog, table, columns, ends=ends)
                for text in ("table_dump_edges", "table_read_edges_out", "table_read_edges_in")
            ]
            count = statement("table_count_edges", catalog, table)
            source, target = (arrow_type(key_type(catalog, end)) for end in ends)
            edges.append(EdgeSource(table.name, *ends, (source, target), columns, count, *texts))
    return nodes, edges


def read_adjacency(engine: Engine, nodes: Sequence[NodeSource], edges: Sequence[EdgeSource], budget: int) -> Adjacency:
    """All nodes and edges of some tables. Nothing may be applied meanwhile.

    Raises:
        TooMuch: it takes more than `budget` bytes. EngineError: from the engine.
    """
    sizes = [_count(engine, source.count) for source in nodes]
    counts = {text: _count(engine, text) for text in dict.fromkeys(source.count for source in edges)}
    if sum(sizes) * NODE_BYTES + sum(counts.values()) * EDGE_BYTES > budget:
        raise TooMuch
    keys = {source.table: _read(engine, source.dump, pa.schema([("key", source.key)]))["key"] for source in nodes}
    held = Adjacency(keys, (_table(engine, source, counts[source.count]) for source in edges))
    if held.nbytes > budget:
        raise TooMuch
    return held


def _table(engine: Engine, source: EdgeSource, count: int) -> Table:
    found = _read(engine, source.dump, source.shape) if count else source.shape.empty_table()
    columns = [found.column(at + 2) for at in range(len(source.columns))]
    values = pa.table(columns, names=list(source.columns))
    return Table(source.rel, source.source, source.target, found.column(0), found.column(1), values)


def _read(engine: Engine, text: str, schema: pa.Schema) -> pa.Table:
    found = engine.arrow(text, timeout=READ_SECONDS)
    return found.rename_columns(schema.names).cast(schema) if found.num_rows else schema.empty_table()


def _count(engine: Engine, text: str) -> int:
    row = engine.execute(text, timeout=READ_SECONDS).one()
    return int(row[0]) if row else 0


class Asked:
    """Edges asked of the engine, step by step, with numbers of its own: what is past the budget is answered so."""

    def __init__(self, engine: Engine, nodes: Sequence[NodeSource], edges: Sequence[EdgeSource]) -> None:
        self.nodes = Nodes()
        self._engine = engine
        self._tables = {source.table: source for source in nodes}
        self._sources = edges
        self._edges: list[tuple[str, int, int, dict[str, Any]]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if there is none."""
        known = self.nodes.find(table, key)
        if known is None and table in self._tables:
            if not self._engine.execute(self._tables[table].by_key, {"key_": key}).rows:
                return None
            known = self.nodes.add(table, key)
        return known

    def spaces(self) -> list[str]:
        """The namespaces that there are."""
        return [parts_of(key)[0] for (key,) in self._engine.execute(self._tables["Agent"].dump).rows]

    def of_table(self, table: str) -> Numbers:
        """Numbers of all nodes of a table."""
        keys = [row[0] for rows in self._engine.stream(self._tables[table].dump) for row in rows]
        return np.array([self.nodes.add(table, key) for key in keys], np.int64)

    def expand(self, numbers: Numbers, direction: Direction, rels: frozenset[str] | None) -> Steps:
        """The edges at some nodes; see `Edges.expand`."""
        by_table: dict[str, list[Any]] = {}
        for number in numbers.tolist():
            table, key = self.nodes.name(number)
            by_table.setdefault(table, []).append(key)
        found: list[tuple[int, int, int]] = []
        for source in self._sources:
            if rels is None or source.rel in rels:
                if direction != "in":
                    found += self._ask(source, source.out, by_table.get(source.source, []))
                if direction != "out":
                    back = self._ask(source, source.back, by_table.get(source.target, []))
                    found += [(b, a, edge) for a, b, edge in back if direction == "in" or a != b]
        if not found:
            return NO_STEPS
        steps = np.array(found, np.int64)
        return Steps(steps[:, 0], steps[:, 1], steps[:, 2])

    def _ask(self, source: EdgeSource, text: str, keys: list[Any]) -> Iterator[tuple[int, int, int]]:
        seen: dict[tuple[Any, ...], int] = {}
        for start in range(0, len(keys), ASKED_AT_ONCE):
            for a, b, *values in self._engine.execute(text, {"keys": keys[start : start + ASKED_AT_ONCE]}).rows:
                ends = self.nodes.add(source.source, a), self.nodes.add(source.target, b)
                identity = (source.rel, *ends, repr(values))  # edges of the user's may be equal in all that they have
                seen[identity] = seen.get(identity, -1) + 1
                yield (*ends, self._number(identity, seen[identity], dict(zip(source.columns, values, strict=True))))

    def _number(self, identity: tuple[Any, ...], again: int, values: dict[str, Any]) -> int:
        number = self._numbers.setdefault((*identity, again), len(self._edges))
        if number == len(self._edges):
            self._edges.append((*identity[:3], values))
        return number

    def ends(self, edge: int) -> tuple[str, int, int]:
        """Type, source and target of an edge."""
        return self._edges[edge][:3]

    def held(self, edge: int) -> Held:
        """Where the values of an edge lie."""
        return self._edges[edge][3]

    def values(self, edges: Sequence[int]) -> list[dict[str, Any]]:
        """The values of edges."""
        return [self._edges[edge][3] for edge in edges]
