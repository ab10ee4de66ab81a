"""Walking what is remembered: neighbours, parts of the graph, ways from one thing to another. `memory.graph`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import Ambiguous, BadInput, NotFound
from graphsvc.memory.edge_filters import edge_test, node_test, rel_names, table_names
from graphsvc.memory.reached import Edge, End, LazyNode, Nodes, Subgraph, Way, Ways
from graphsvc.memory.retrieval import check_k
from graphsvc.memory.statements import check_unbound
from graphsvc.memory.tables import Tables
from graphsvc.memory.traversal import Hop, Search
from graphsvc.model.elements import Node
from graphsvc.model.filters import Expression
from graphsvc.model.graph import NODE_TABLES, REL_TABLES
from graphsvc.model.kinds import KINDS, kind_of
from graphsvc.model.names import check_name, key_of, parts_of, task_key, task_text
from graphsvc.model.records import Record
from graphsvc.store.adjacency import Adjacency
from graphsvc.store.numbered import Direction, Edges, Numbers

Ref = Any
"""How a node is named: `(label, id)` or `(label, id, agent)`, a record, or a node that a traversal or statement gave."""

Names = str | Iterable[str] | None
Filters = Mapping[str, Mapping[str, Any] | Expression | None] | None
"""Filters by table or type, each as `where` is written elsewhere."""

MAX_DEPTH = 64
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


class Graph(Tables):
    """Traverse nodes and edges, the memory's own and those of one's own tables. `memory.graph`.

    A node is named by its table and id, like `("Skill", "parse-json")`, with the namespace as a third where an id is
    in several; or by a record, or a node of an answer; a node of one's own by its table and key. Sessions, agents and tasks are nodes too: a task's id is its
    text. Arguments that most verbs share:

    `rel`: types of edges to take, one or several, like "NEXT"; all if not given. `direction`: "out" along edges, "in"
    against them, "both". `tables`: the only node tables to enter. `where`: filters by table that nodes must pass to be
    entered, like `{"Episode": {"success": True}}`; `edges`: the same of edges, like `{"USED": {"reward": {"ge": .5}}}`.
    `fan_out`: edges to take from each node at most, by type and far end. Where a traversal starts, and where it is to
    end, is not filtered. A bound handle neither sees nor passes through nodes outside its namespaces.
    """

    # --- verbs -------------------------------------------------------------------------------------------

    def node(self, node: Ref) -> LazyNode:
        """One node. Raises NotFound, Gone, Ambiguous; BadInput for a name that is none."""
        with self._edges(Wanted(), node) as (edges, _):
            return self._node(edges, self._number(edges, node, "node"))

    def neighbours(
        self,
        node: Ref,
        *,
        rel: Names = None,
        direction: str = "both",
        depth: int = 1,
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
        fan_out: int | None = None,
        limit: int = 1_000,
    ) -> Nodes:
        """The nodes within `depth` steps of a node, itself not among them: nearest first, then by table and key.

        Args:
            node: where to start. depth: steps, at least 1. limit: nodes, at most; `.more` says if there were more.
            rel, direction, tables, where, edges, fan_out: see `Graph`.

        Raises:
            NotFound, Gone, Ambiguous: for the node. BadInput, UnknownField: for an argument.
        """
        wanted = Wanted(rel, direction, tables, where, edges, fan_out)
        steps, most = _depth(depth), check_k(limit, self._opened.settings.max_results, "limit")
        with self._edges(wanted, node) as (known, behind):
            start = self._number(known, node, "node")
            search = self._search(known, wanted, {start})
            found = search.reach([start], steps, most)
            del found[start]
            nodes = tuple(self._node(known, number, distance) for number, distance in found.items())
            return Nodes(nodes, search.cut, behind)

    def subgraph(
        self,
        nodes: Ref | Sequence[Ref],
        *,
        depth: int = 1,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
        fan_out: int | None = None,
        limit: int = 1_000,
    ) -> Subgraph:
        """The nodes within `depth` steps of some nodes, these among them, and the edges between all of them.

        Args:
            nodes: a node, or a list of nodes. depth: steps; 0 gives the edges between the nodes named.
            limit: further nodes, at most. Others: see `Graph`. `fan_out` bounds what is reached, not which edges
            between the nodes are given.
        """
        wanted = Wanted(rel, direction, tables, where, edges, fan_out)
        steps, most = _depth(depth, least=0), check_k(limit, self._opened.settings.max_results, "limit")
        refs = list(nodes) if isinstance(nodes, list | Nodes | set | frozenset) else [nodes]
        with self._edges(wanted, *refs) as (known, behind):
            starts = [self._number(known, ref, f"nodes[{index}]") for index, ref in enumerate(refs)]
            search = self._search(known, wanted, set(starts))
            found = search.reach(starts, steps, most)
            joined = search.between(list(found))
            return Subgraph(
                tuple(self._node(known, number, distance) for number, distance in found.items()),
                tuple(self._edges_of(known, joined)),
                search.cut,
                behind,
            )

    def paths(
        self,
        start: Ref,
        end: Ref = None,
        *,
        min_hops: int = 1,
        max_hops: int = 3,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
        fan_out: int | None = None,
        limit: int = 100,
    ) -> Ways:
        """Every way of `min_hops` to `max_hops` edges that takes no edge twice: shortest first, then by its nodes.

        Args:
            start: where ways begin. end: where they must end; anywhere if not given. limit: ways, at most.
            Others: see `Graph`. At most a million edges are tried; `.more` says where that left some out.
        """
        wanted = Wanted(rel, direction, tables, where, edges, fan_out)
        least, most = _depth(min_hops, "min_hops", least=0), _depth(max_hops, "max_hops")
        if least > most:
            raise BadInput(f"{least} is more than max_hops, {most}", where="min_hops")
        ways = check_k(limit, self._opened.settings.max_results, "limit")
        with self._edges(wanted, start, *([] if end is None else [end])) as (known, behind):
            first = self._number(known, start, "start")
            last = None if end is None else self._number(known, end, "end")
            search = self._search(known, wanted, {first} if last is None else {first, last})
            found = search.trails(first, last, least, most, ways)
            return Ways(tuple(self._way(known, first, way) for way in found), search.cut, behind)

    def shortest_path(
        self,
        start: Ref,
        end: Ref,
        *,
        max_hops: int = MAX_DEPTH,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
    ) -> Way | None:
        """The way with fewest edges; of several the first by its nodes. None if there is none of up to `max_hops`."""
        found = self.all_shortest_paths(
            start, end, max_hops=max_hops, rel=rel, direction=direction, tables=tables, where=where, edges=edges,
            limit=1,
        )  # fmt: skip
        return found[0] if found else None

    def all_shortest_paths(
        self,
        start: Ref,
        end: Ref,
        *,
        max_hops: int = MAX_DEPTH,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
        limit: int = 100,
    ) -> Ways:
        """All ways with fewest edges, by their nodes; at most `limit`. Parallel edges make different ways."""
        wanted = Wanted(rel, direction, tables, where, edges)
        longest, most = _depth(max_hops, "max_hops"), check_k(limit, self._opened.settings.max_results, "limit")
        with self._edges(wanted, start, end) as (known, behind):
            first, last = self._number(known, start, "start"), self._number(known, end, "end")
            search = self._search(known, wanted, {first, last})
            found: list[Way] = []
            more = False
            for way in search.shortest(first, last, longest):
                more = len(found) == most
                if more:
                    break
                found.append(self._way(known, first, way))
            return Ways(tuple(found), more, behind)

    def cheapest_path(
        self,
        start: Ref,
        end: Ref,
        *,
        weight: str = "weight",
        default: float = 1.0,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
    ) -> Way | None:
        """The way whose weights add up to least (Dijkstra 1959); of several that with fewest edges, then by its nodes.

        Args:
            weight: the column of edges that is added up, not negative. default: weight of edges that have none.
            Others: see `Graph`.

        Returns:
            The way, with its `cost`; None if there is none.
        """
        wanted = Wanted(rel, direction, tables, where, edges)
        check_name(weight, "weight")
        with self._edges(wanted, start, end) as (known, _):
            first, last = self._number(known, start, "start"), self._number(known, end, "end")
            search = self._search(known, wanted, {first, last})

            def cost(numbers: Numbers) -> NDArray[np.float64]:
                return weights(known, numbers, weight, default)

            found = search.cheapest(first, last, cost)
            if found is None:
                return None
            total = float(cost(np.array([edge for _, edge in found], np.int64)).sum())
            return self._way(known, first, found, total)

    # --- how it is done ----------------------------------------------------------------------------------

    @contextmanager
    def _edges(self, wanted: Wanted, *refs: Ref) -> Iterator[tuple[Edges, bool]]:
        """Who knows the edges, and whether the graph hadn't reached the last write in time.

        The memory's own are kept up with each write. Where tables of the user's own are asked for too, all are read
        again after a statement wrote one.
        """
        opened = self._opened
        opened.check()
        store = opened.store
        behind = not store.wait((store.graph_follower,), opened.log.head, opened.settings.read_wait)
        graph = store.graph
        rels = rel_names(graph.tables, wanted.rel)
        own = self._namespaces.agent is not None or not graph.tables
        if not own and rels is not None and rels <= REL_TABLES.keys():
            own = all(named(ref, "node")[0] in NODE_TABLES for ref in refs)
        with (graph.adjacency if own else graph.adjacency_of_all).reading() as held:
            if held is not None:
                yield held, behind
                return
        yield graph.asked(own=own), behind

    def _search(self, edges: Edges, wanted: Wanted, exempt: set[int]) -> Search:
        if wanted.direction not in ("out", "in", "both"):
            raise BadInput(f"{wanted.direction!r} is not one of out, in, both", where="direction")
        fan_out = None if wanted.fan_out is None else check_k(wanted.fan_out, 1 << 31, "fan_out")
        catalog = self._opened.store.graph.tables
        return Search(
            edges,
            cast(Direction, wanted.direction),
            rel_names(catalog, wanted.rel),
            table_names(catalog, wanted.tables),
            self._namespaces.reads(),
            {
                table: node_test(self._opened, catalog, table, where)
                for table, where in _each(wanted.where, "where")
            },
            {rel: edge_test(catalog, rel, where) for rel, where in _each(wanted.edges, "edges")},
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
            raise NotFound(f"there is no {table} {key!r}", where=where)
        return number

    def _node(self, edges: Edges, number: int, depth: int = 0) -> LazyNode:
        table, key = edges.nodes.name(number)
        return LazyNode(table, key, self._fetch, depth)

    def _edges_of(self, edges: Edges, numbers: Sequence[int]) -> Iterator[Edge]:
        name = edges.nodes.name
        for number, values in zip(numbers, edges.values(numbers), strict=True):
            rel, source, target = edges.ends(number)
            yield Edge(rel, End(*name(source)), End(*name(target)), values)

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


def _find(edges: Edges, table: str, agent: str, id: Any) -> int | None:
    if not isinstance(id, str):
        return None
    number = edges.find(table, key_of(agent, id))
    if number is None and table == "Task":
        number = edges.find(table, key_of(agent, task_key(task_text(id))))
    return number


def weights(edges: Edges, numbers: Numbers, name: str, default: float) -> NDArray[np.float64]:
    """A column of edges as weights; `default` for edges that have no value there.

    Raises:
        BadInput: a value is no number.
    """
    if isinstance(edges, Adjacency):
        values = edges.column(name, numbers)
    else:
        given = [values.get(name) for values in edges.values(numbers.tolist())]
        values = np.array([np.nan if value is None else value for value in given], np.float64)
    values[np.isnan(values)] = default
    return values


def _depth(value: Any, where: str = "depth", *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_DEPTH:
        raise BadInput(f"expected a whole number from {least} to {MAX_DEPTH}, got {value!r}", where=where)
    return value


def _each(filters: Filters, where: str) -> Iterable[tuple[str, Any]]:
    if filters is None:
        return ()
    if not isinstance(filters, Mapping):
        raise BadInput(f"expected filters by table, got {type(filters).__name__}", where=where)
    return filters.items()
