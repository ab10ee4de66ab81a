"""What verbs of the graph share: who knows the edges, which node a name means, what a traversal may take."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import Ambiguous, BadInput, Gone, NotFound
from graphsvc.memory.edge_filters import edge_test, node_test, rel_names, table_names
from graphsvc.memory.in_time import Then, pasts_of, types_in_time
from graphsvc.memory.reached import Edge, End, LazyNode, Way
from graphsvc.memory.retrieval import check_k
from graphsvc.memory.statements import check_unbound
from graphsvc.memory.tables import Tables
from graphsvc.memory.traversal import Hop, Search
from graphsvc.model.as_of import When, parse_as_of
from graphsvc.model.elements import Node
from graphsvc.model.filters import Expression
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.kinds import KINDS, kind_of
from graphsvc.model.names import check_name, key_of, parts_of, task_key, task_text
from graphsvc.model.records import Record
from graphsvc.model.tables import PAST, kept_nodes, then
from graphsvc.store.adjacency import Adjacency
from graphsvc.store.numbered import Direction, Edges, Numbers

Ref = Any
"""How a node is named: `(label, id)` or `(label, id, agent)`, a record, or a node of an answer."""

Names = str | Iterable[str] | None
Filters = Mapping[str, Mapping[str, Any] | Expression | None] | None
"""Filters by table or type, each as `where` is written elsewhere."""

MAX_DEPTH = 64
FEW = 4
"""Up to so many numbers, picking one by one out of an array is quicker than all at once."""
MAX_AGENTS = 64
"""Namespaces that are tried one by one for an id, before SQLite is asked instead."""
KIND_OF_TABLE = {kind.table: kind.name for kind in KINDS.values() if kind.table}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a traversal may take, as a caller said it."""

    rel: Names = None
    direction: str = "both"
    tables: Names = None
    where: Filters = None
    edges: Filters = None
    fan_out: int | None = None
    as_of: When = None


class Walks(Tables):
    """Finds nodes and edges, for traversal and algorithms."""

    @contextmanager
    def _edges(self, wanted: Wanted, *refs: Ref) -> Iterator[tuple[Edges, bool]]:
        """Who knows the edges, and whether the graph hadn't reached the last write in time.

        The memory's own are kept up with each write. Where tables of the user's own are asked for too, all are read
        again after a statement wrote one.
        """
        opened = self._opened
        opened.check()
        store = opened.store
        head, follower = opened.log.head, store.graph_follower
        behind = follower.applied < head and not store.wait((follower,), head, opened.settings.read_wait)
        graph = store.graph
        rels = None if wanted.rel is None else rel_names(graph.tables, wanted.rel)
        own = self._namespaces.agent is not None or not graph.tables
        if not own and rels is not None and rels <= REL_TABLES.keys():
            own = all(named(ref, "node")[0] in NODE_TABLES for ref in refs)
        moments = parse_as_of(wanted.as_of)

        def seen(edges: Edges) -> Edges:
            return edges if moments is None else Then(edges, opened.log, moments, graph.tables, self._fetch)

        with (graph.adjacency if own else graph.adjacency_of_all).reading() as held:
            if held is not None:
                yield seen(held), behind
                return
        yield seen(graph.asked(own=own)), behind

    @contextmanager
    def _whole(self, wanted: Wanted) -> Iterator[Adjacency]:
        """All nodes and edges; read for this once where they are too many to be kept."""
        with self._edges(wanted) as (edges, _):
            if isinstance(edges, Adjacency):
                yield edges
                return
        yield self._opened.store.graph.read_all()

    def _search(self, edges: Edges, wanted: Wanted, exempt: set[int]) -> Search:
        if wanted.direction not in ("out", "in", "both"):
            raise BadInput(f"{wanted.direction!r} is not one of out, in, both", where="direction")
        fan_out = None if wanted.fan_out is None else check_k(wanted.fan_out, 1 << 31, "fan_out")
        catalog = self._opened.store.graph.tables
        rels, tables = rel_names(catalog, wanted.rel), table_names(catalog, wanted.tables)
        pasts: dict[str, str] = {}
        kept: frozenset[str] = frozenset()
        if isinstance(edges, Then):
            pasts, kept = pasts_of(catalog), kept_nodes(catalog)
            rels = types_in_time(None if wanted.rel is None else rels, pasts, wanted.as_of)
            tables = tables and frozenset(then(table, kept) for table in tables)
        return Search(
            edges,
            cast(Direction, wanted.direction),
            rels,
            tables,
            self._namespaces.reads(),
            {
                then(table, kept): node_test(self._opened, catalog, table, where, edges if table in kept else None)
                for table, where in _each(wanted.where, "where")
            },
            {
                pasts.get(rel, rel): edge_test(catalog, rel, where)
                for rel, where in _each(wanted.edges, "edges")
            },
            fan_out,
            frozenset(exempt),
        )

    def _number(self, edges: Edges, ref: Ref, where: str) -> int:
        table, id, agent = named(ref, where)
        if table not in NODE_TABLES:
            return self._own_number(edges, table, id, where)
        seen = self._namespaces.reads(agent)
        spaces = edges.spaces() if seen is None else seen
        if len(spaces) <= MAX_AGENTS or table not in KIND_OF_TABLE:
            found = [(space, number) for space in spaces if (number := _find(edges, table, space, id)) is not None]
            if len(found) == 1:
                return found[0][1]
            if len(found) > 1:
                names = ", ".join(repr(space) for space, _ in found)
                raise Ambiguous(f"{id!r} is in several namespaces: {names}", where=where)
        kind = KIND_OF_TABLE.get(table)
        if kind is None:
            raise NotFound(f"there is no {table} {id!r}", where=where)
        stored = self._opened.log.resolve(kind, check_name(id, where), seen)  # mostly for its error
        number = edges.find(table, key_of(stored.agent, stored.id))
        if number is None:
            raise NotFound(f"the graph doesn't have {id!r} yet", where=where, hint="Wait for it: memory.wait().")
        return number

    def _found(self, edges: Edges, ref: Ref, where: str) -> int | None:
        """The number of a node; None if it isn't there, or isn't seen."""
        table, id, agent = named(ref, where)
        if table in NODE_TABLES and agent is not None:
            seen = self._namespaces.reads()
            return _find(edges, table, agent, id) if seen is None or agent in seen else None
        try:
            return self._number(edges, ref, where)
        except (NotFound, Gone):
            return None

    def _own_number(self, edges: Edges, table: str, key: Any, where: str) -> int:
        """The number of a node in a table of the user's."""
        catalog = self._opened.store.graph.tables
        check_unbound(self._namespaces)
        table_names(catalog, table, where)
        type = str if catalog[table].columns[catalog[table].key] == "STRING" else int
        if not isinstance(key, type) or isinstance(key, bool):
            raise BadInput(f"keys of {table} are {type.__name__}, got {key!r}", where=where)
        number = edges.find(table, key)
        if number is None:
            then = " then" if isinstance(edges, Then) else ""
            raise NotFound(f"there is no {table} {key!r}{then}", where=where)
        return number

    def _node(self, edges: Edges, number: int, depth: int = 0) -> LazyNode:
        if isinstance(edges, Then):
            return edges.node(number, depth)
        table, key = edges.nodes.name(number)
        return LazyNode(table, key, self._fetch, depth)

    def _met(self, edges: Edges, found: Mapping[int, int]) -> tuple[LazyNode, ...]:
        """The nodes that were found, and how far away."""
        if isinstance(edges, Then):
            return tuple(edges.node(number, distance) for number, distance in found.items())
        nodes, fetch = edges.nodes, self._fetch
        tables, keys = nodes.tables, nodes.keys
        of_table = nodes.table[list(found)].tolist() if len(found) > FEW else [nodes.table[number] for number in found]
        return tuple(
            [
                LazyNode(tables[table], keys[number], fetch, distance)
                for (number, distance), table in zip(found.items(), of_table, strict=True)
            ]
        )

    def _edges_of(self, edges: Edges, numbers: Sequence[int]) -> Iterator[Edge]:
        name = edges.nodes.name
        for number, values in zip(numbers, edges.values(numbers), strict=True):
            rel, source, target = edges.ends(number)
            yield Edge(rel.removeprefix(PAST), _end(*name(source)), _end(*name(target)), values)

    def _way(self, edges: Edges, start: int, hops: Sequence[Hop], cost: float | None = None) -> Way:
        nodes = [self._node(edges, number, depth) for depth, number in enumerate([start, *(n for n, _ in hops)])]
        return Way(tuple(nodes), tuple(self._edges_of(edges, [edge for _, edge in hops])), cost)

    def _fetch(self, nodes: Sequence[LazyNode]) -> list[dict[str, Any]]:
        """The properties of nodes: of records what they are now, of others what the graph says."""
        self._opened.check()
        found: dict[End, dict[str, Any]] = {}
        by_table: dict[str, list[LazyNode]] = {}
        for node in nodes:
            by_table.setdefault(node.label, []).append(node)
        for table, some in by_table.items():
            kind = KIND_OF_TABLE.get(table)
            if kind is not None:
                refs = {parts_of(node.key): node.end for node in some}
                for ref, record in self._opened.log.records_of(kind, list(refs)).items():
                    found[refs[ref]] = msgspec.structs.asdict(record)
            else:
                rows = self._opened.store.graph.rows_of(table, [node.key for node in some])
                found |= {End(table, key): row for key, row in rows.items()}
        return [found.get(node.end, {}) for node in nodes]


def named(ref: Ref, where: str) -> tuple[str, Any, str | None]:
    """Table, id and namespace that a name of a node means.

    Raises:
        BadInput: it is no name of a node.
    """
    if isinstance(ref, Node):
        return (ref.label, *reversed(parts_of(ref.key))) if ref.label in NODE_TABLES else (ref.label, ref.key, None)  # type: ignore[return-value]
    if isinstance(ref, Record):
        table = kind_of(ref).table
        if table is None:
            raise BadInput(f"{type(ref).__name__} has no node", where=where)
        return table, ref.id, ref.agent
    if isinstance(ref, tuple) and len(ref) in (2, 3) and isinstance(ref[0], str):
        return ref[0], ref[1], ref[2] if len(ref) == 3 else None
    raise BadInput(
        f"{ref!r} names no node", where=where, hint='Write (table, id), like ("Skill", "parse-json"), or give a record.'
    )


def _end(table: str, key: Any) -> End:
    return End(table.removeprefix(PAST), key)


def _find(edges: Edges, table: str, agent: str, id: Any) -> int | None:
    if not isinstance(id, str):
        return None
    number = edges.find(table, key_of(agent, id))
    if number is None and table == "Task":
        number = edges.find(table, key_of(agent, task_key(task_text(id))))
    return number


def check_number(value: Any, where: str) -> float:
    """A finite number from 0 on. Raises BadInput."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:
        raise BadInput(f"expected a number from 0, got {value!r}", where=where)
    return float(value)


def weights(edges: Edges, numbers: Numbers, name: str, default: float) -> NDArray[np.float64]:
    """A column of edges as weights; `default` for edges that have no value there.

    Raises:
        BadInput: a value is no number, below 0 or infinite.
    """
    check_number(default, "default")
    edges = edges.now if isinstance(edges, Then) else edges
    if isinstance(edges, Adjacency):
        values = edges.column(name, numbers)
    else:
        given = [values.get(name) for values in edges.values(numbers.tolist())]
        if any(isinstance(value, str | bool) for value in given):
            raise BadInput(f"{name} holds no numbers", where="weight")
        values = np.array([np.nan if value is None else value for value in given], np.float64)
    values[np.isnan(values)] = default
    wrong = (values < 0) | (values == np.inf)
    if wrong.any():
        hint = "Weights are finite, and not below 0."
        raise BadInput(f"an edge has the weight {values[wrong][0]:g}", where="weight", hint=hint)
    return values


def _each(filters: Filters, where: str) -> Iterable[tuple[str, Any]]:
    if filters is None:
        return ()
    if not isinstance(filters, Mapping):
        raise BadInput(f"expected filters by table, got {type(filters).__name__}", where=where)
    return filters.items()
