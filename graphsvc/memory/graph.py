"""Walking what is remembered: neighbours, parts of the graph, ways from one thing to another. `memory.graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput, NotFound
from graphsvc.memory.algorithms import Algorithms
from graphsvc.memory.edge_filters import table_names
from graphsvc.memory.graph_files import GraphFiles
from graphsvc.memory.paging import Page, page_of_rows
from graphsvc.memory.reached import Joint, LazyNode, Nodes, Subgraph, Way, Ways
from graphsvc.memory.retrieval import Where, check_k
from graphsvc.memory.scores import Scores
from graphsvc.memory.statements import check_unbound
from graphsvc.memory.walks import MAX_DEPTH, Filters, Names, Ref, Wanted, named, weights
from graphsvc.model.as_of import When, refuse_as_of
from graphsvc.model.elements import Node
from graphsvc.model.filters import Expression
from graphsvc.model.graph import NODE_TABLES
from graphsvc.model.names import check_name
from graphsvc.model.records import Record
from graphsvc.model.tables import PAST, check_table_name, kept_nodes
from graphsvc.store.numbered import Numbers

MOST_NODES = 10_000
RowPage = Page[dict[str, Any]]


class Graph(Algorithms, GraphFiles):
    """Traverse nodes and edges, the memory's own and those of one's own tables. `memory.graph`.

    A node is named by its table and id, like `("Skill", "parse-json")`, with the namespace as a third where an id is
    in several; or by a record, or a node of an answer; a node of one's own by its table and key. Sessions, agents and
    tasks are nodes too: a task's id is its text. Arguments that most verbs share:

    `rel`: types of edges to take, one or several, like "NEXT"; all if not given. `direction`: "out" along edges, "in"
    against them, "both". `tables`: the only node tables to enter. `where`: filters by table that nodes must pass to be
    entered, like `{"Episode": {"success": True}}`; `edges`: the same of edges, like `{"USED": {"reward": {"ge": .5}}}`.
    `fan_out`: edges to take from each node at most, by type and far end. `as_of`: only edges that held then, as was
    known then (`graphsvc.AsOf`), and nodes of temporal tables as they were; of the types that keep times, if none is
    named, and NotTemporal for another. Where a traversal starts, and where it is to end, is not
    filtered. A bound handle neither sees nor passes through nodes outside its namespaces.
    """

    # --- verbs -------------------------------------------------------------------------------------------

    def node(self, node: Ref, *, as_of: When = None) -> LazyNode:
        """One node; of a temporal table `as_of` any pair of times.

        Raises:
            NotFound, Gone, Ambiguous; BadInput: for a name that is none. NotTemporal: its table keeps no times.
        """
        self._check_times(named(node, "node")[0], as_of)
        with self._edges(Wanted(as_of=as_of), node) as (edges, _):
            return self._node(edges, self._number(edges, node, "node"))

    def nodes(
        self, table: str, where: Mapping[str, Any] | Expression | None = None, *, as_of: When = None, limit: int = 1_000
    ) -> Nodes:
        """The nodes of one table, by key; of a temporal table `as_of` any pair of times.

        Args:
            table: their table. where: a filter of them. limit: nodes, at most; `.more` says if there were more.

        Raises:
            NotFound: there is no such table. UnknownField: no such column. NotTemporal: the table keeps no times.
            NeedsUnbound: a table of one's own on a bound handle.
        """
        if table not in NODE_TABLES:
            self._known(check_table_name(table, "table"))
            check_unbound(self._namespaces)
        self._check_times(table, as_of)
        wanted = Wanted(tables=table, where=None if where is None else {table: where}, as_of=as_of)
        most = check_k(limit, self._opened.settings.max_results, "limit")
        with self._edges(wanted) as (known, behind):
            search = self._search(known, wanted, set())
            numbers = known.of_table(table)
            if search.agents is not None:
                numbers = numbers[known.nodes.seen(numbers, search.agents)]
            ordered = known.nodes.ordered(numbers[search.passing_nodes(numbers)])
            return Nodes(tuple(self._node(known, n) for n in ordered[:most]), len(ordered) > most, behind)

    def _check_times(self, table: str, as_of: When) -> None:
        """Raise NotTemporal where a table of nodes keeps no times, and one is asked for."""
        if table not in kept_nodes(self._opened.store.graph.tables):
            refuse_as_of(as_of, f"the table {table}")

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
        as_of: When = None,
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
        wanted = Wanted(rel, direction, tables, where, edges, fan_out, as_of)
        steps, most = _depth(depth), check_k(limit, self._opened.settings.max_results, "limit")
        with self._edges(wanted, node) as (known, behind):
            start = self._number(known, node, "node")
            search = self._search(known, wanted, {start})
            found = search.reach([start], steps, most)
            del found[start]
            return Nodes(self._met(known, found), search.cut, behind)

    def joints(
        self,
        nodes: Sequence[Ref],
        *,
        rel: Names = None,
        direction: str = "both",
        tables: Names = None,
        where: Filters = None,
        edges: Filters = None,
        as_of: When = None,
        fan_out: int = 1_000,
    ) -> list[list[Joint]]:
        """The edges at each of many nodes, by type, direction, and table and key of the far end.

        Args:
            nodes: whose edges are asked for; one that isn't there has none. fan_out: edges of each at most.
            rel, direction, tables, where, edges: see `Graph`.

        Returns:
            For each node, in the order given, its edges.
        """
        if isinstance(nodes, str | Node | Record) or not isinstance(nodes, Sequence):
            raise BadInput(f"expected a list of nodes, got {type(nodes).__name__}", where="nodes")
        check_k(max(1, len(nodes)), MOST_NODES, "nodes")
        wanted = Wanted(rel, direction, tables, where, edges, fan_out, as_of)
        with self._edges(wanted, *nodes) as (known, _):
            numbers = [self._found(known, node, f"nodes[{place}]") for place, node in enumerate(nodes)]
            asked = np.array(list(dict.fromkeys(number for number in numbers if number is not None)), np.int64)
            steps = self._search(known, wanted, set()).step(asked)
            found: dict[int, list[Joint]] = {}
            values = known.values(steps.edge.tolist())
            for place, (source, target, edge) in enumerate(zip(*(part.tolist() for part in steps), strict=True)):
                label, begin, _ = known.ends(edge)
                way = "out" if begin == source else "in"
                joint = Joint(label.removeprefix(PAST), way, self._node(known, target, 1), values[place])
                found.setdefault(source, []).append(joint)
        for some in found.values():
            some.sort(key=lambda joint: (joint.rel, joint.direction, joint.node.label, joint.node.key))
        return [[] if number is None else list(found.get(number, ())) for number in numbers]

    def rows(
        self,
        name: str,
        where: Where = None,
        k: int = 100,
        *,
        keys: Sequence[Any] | None = None,
        after: str | None = None,
        before: str | None = None,
        last: bool = False,
    ) -> RowPage:
        """A page of the rows of a table of nodes of one's own, in the order of their keys.

        Args:
            name: of the table. where: filter on its columns. k: how many at most.
            keys: only the rows with these keys.
            after, before: only what stands after, before this cursor of another page.
            last: the last k of them, not the first.

        Raises:
            NotFound: there is no such table. BadInput, UnknownField, TooLarge: for an argument. NeedsUnbound.
        """
        self._opened.check()
        check_unbound(self._namespaces)
        limit = check_k(k, self._opened.settings.max_results)
        store = self._opened.store
        store.wait((store.graph_follower,), self._opened.log.head, self._opened.settings.read_wait)
        table_names(store.graph.tables, name, "name")
        table = store.graph.tables.get(name)
        if table is None or not table.nodes:
            raise BadInput(f"{name} is no table of nodes of your own", where="name")
        if keys is not None:
            check_k(max(1, len(keys)), MOST_NODES, "keys")
        return page_of_rows(store.graph, name, where, limit, keys, after, before, last)

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
        as_of: When = None,
        fan_out: int | None = None,
        limit: int = 1_000,
    ) -> Subgraph:
        """The nodes within `depth` steps of some nodes, these among them, and the edges between all of them.

        Args:
            nodes: a node, or a list of nodes. depth: steps; 0 gives the edges between the nodes named.
            limit: further nodes, at most. Others: see `Graph`. `fan_out` bounds what is reached, not which edges
            between the nodes are given.
        """
        wanted = Wanted(rel, direction, tables, where, edges, fan_out, as_of)
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
        as_of: When = None,
        fan_out: int | None = None,
        limit: int = 100,
    ) -> Ways:
        """Every way of `min_hops` to `max_hops` edges that takes no edge twice.

        The shortest first; of equally long ones step by step by node and edge.

        Args:
            start: where ways begin. end: where they must end; anywhere if not given. limit: ways, at most.
            Others: see `Graph`. At most a million edges are tried; `.more` says where that left some out.
        """
        wanted = Wanted(rel, direction, tables, where, edges, fan_out, as_of)
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
        as_of: When = None,
    ) -> Way | None:
        """The way with fewest edges; of several the first by its nodes. None if there is none of up to `max_hops`."""
        found = self.all_shortest_paths(
            start, end, max_hops=max_hops, rel=rel, direction=direction, tables=tables, where=where, edges=edges,
            as_of=as_of, limit=1,
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
        as_of: When = None,
        limit: int = 100,
    ) -> Ways:
        """All ways with fewest edges, at most `limit`, ordered step by step by node and edge.

        Parallel edges make different ways.
        """
        wanted = Wanted(rel, direction, tables, where, edges, as_of=as_of)
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
        as_of: When = None,
    ) -> Way | None:
        """The way whose weights add up to least (Dijkstra 1959); of several that with fewest edges, then by its nodes.

        Args:
            weight: the column of edges that is added up, not negative. default: weight of edges that have none.
            Others: see `Graph`.

        Returns:
            The way, with its `cost`; None if there is none.
        """
        wanted = Wanted(rel, direction, tables, where, edges, as_of=as_of)
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

    # --- writing back ------------------------------------------------------------------------------------

    def write_back(self, scores: Scores, column: str, *, wait: float | None = None) -> int:
        """Write what an algorithm gave into a column of the tables of one's own; how many rows got a value.

        Args:
            scores: of nodes in tables of one's own. column: that all of those tables have. wait: as for `update`.

        Raises:
            OwnedTable: some are nodes of the memory's own. NotFound: there is no such table. UnknownField: a table has
                no such column. As `update`.
        """
        by_table: dict[str, list[dict[str, Any]]] = {}
        catalog = self.schema()
        for label, key, value in scores.rows:
            check_table_name(label, "scores")
            if label not in catalog:
                hint = "Make it first: memory.graph.define()."
                raise NotFound(f"there is no table {label}", where="scores", hint=hint)
            if not catalog[label].key:
                raise BadInput(f"{label} is a table of edges, and has no nodes", where="scores")
            by_table.setdefault(label, []).append({catalog[label].key: key, column: value})
        return sum(self.update(label, rows, wait=wait) for label, rows in by_table.items())


def _depth(value: Any, where: str = "depth", *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_DEPTH:
        raise BadInput(f"expected a whole number from {least} to {MAX_DEPTH}, got {value!r}", where=where)
    return value
