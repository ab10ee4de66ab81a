"""Walking the graph: reaching out, and ways from one node to another. It asks `Edges` and knows nothing else.

Whatever gives the edges, and in whatever order, the answers are the same: nodes come by distance, table and key, and
of equally good ways the one whose nodes and edges come first in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.store.adjacency import Adjacency
from graphsvc.store.numbered import Direction, Edges, Numbers, Steps

OPPOSITE: dict[Direction, Direction] = {"out": "in", "in": "out", "both": "both"}
FEW = 20
"""Nodes whose edges are followed one by one: for more, arrays are quicker."""
MAX_STEPS = 1_000_000
"""Edges that one search for trails may try."""

Test = Callable[[list[Any]], list[bool]]
"""Which of some keys of a table, or of some edges, pass a filter."""

Hop = tuple[int, int]
"""The node that an edge leads to, and the edge."""

Cost = Callable[[Numbers], NDArray[np.float64]]
"""What each of some edges costs."""

Only = Callable[[Steps], NDArray[np.bool_]]
"""Which steps count."""


@dataclass(slots=True)
class Search:
    """One traversal: which edges it may take, and what it has learnt of nodes.

    Attributes:
        edges: who knows them. direction: along edges, against them, or both.
        rels: types that it may take; None for all. tables: node tables that it may enter; None for all.
        agents: namespaces that it may enter; None for all.
        node_tests: filters of nodes, by table. edge_tests: filters of edges, by type, over their values.
        fan_out: edges that it takes from one node at most. exempt: nodes that filters don't concern.
        cut: whether `fan_out`, or another limit, left something out.
    """

    edges: Edges
    direction: Direction
    rels: frozenset[str] | None = None
    tables: frozenset[str] | None = None
    agents: tuple[str, ...] | None = None
    node_tests: Mapping[str, Test] = field(default_factory=dict)
    edge_tests: Mapping[str, Test] = field(default_factory=dict)
    fan_out: int | None = None
    exempt: frozenset[int] = frozenset()
    cut: bool = False
    _passed: dict[int, bool] = field(default_factory=dict)

    # --- one step ----------------------------------------------------------------------------------------

    def step(self, numbers: Numbers, *, back: bool = False) -> Steps:
        """The edges that may be taken from some nodes; `back`: by which they could have been entered."""
        steps = self.edges.expand(numbers, OPPOSITE[self.direction] if back else self.direction, self.rels)
        if self.agents is not None:
            steps = _chosen(steps, self.edges.nodes.seen(steps.target, self.agents))
        if self.edge_tests and len(steps.edge):
            steps = _chosen(steps, self.passing_edges(steps.edge))
        if (self.tables is not None or self.node_tests) and len(steps.target):
            steps = _chosen(steps, self.passing_nodes(steps.target))
        if self.fan_out is not None and len(steps.edge) > self.fan_out:
            steps = self._fanned(steps, self.fan_out)
        return steps

    def passing_edges(self, edges: Numbers) -> NDArray[np.bool_]:
        """Which of these edges pass the filters."""
        passing = np.ones(len(edges), bool)
        by_rel: dict[str, list[int]] = {}
        for place, edge in enumerate(edges.tolist()):
            rel = self.edges.ends(edge)[0]
            if rel in self.edge_tests:
                by_rel.setdefault(rel, []).append(place)
        for rel, places in by_rel.items():
            passing[places] = self.edge_tests[rel](self.edges.values(edges[places].tolist()))
        return passing

    def passing_nodes(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which of these nodes may be entered."""
        by_table: dict[str, list[int]] = {}
        for number in dict.fromkeys(numbers.tolist()):
            if number in self._passed:
                continue
            table = self.edges.nodes.name(number)[0]
            self._passed[number] = number in self.exempt or self.tables is None or table in self.tables
            if table in self.node_tests and self._passed[number] and number not in self.exempt:
                by_table.setdefault(table, []).append(number)
        for table, some in by_table.items():
            keys = [self.edges.nodes.keys[number] for number in some]
            self._passed.update(zip(some, self.node_tests[table](keys), strict=True))
        return np.array([self._passed[number] for number in numbers.tolist()], bool)

    def _fanned(self, steps: Steps, most: int) -> Steps:
        """The first edges of each node, by type, far end and id."""
        places: dict[int, list[int]] = {}
        for place, source in enumerate(steps.source.tolist()):
            places.setdefault(source, []).append(place)
        kept: list[int] = []
        nodes = self.edges.nodes
        for some in places.values():
            if len(some) > most:
                self.cut = True
                far, taken = steps.target, steps.edge
                some = sorted(some, key=lambda p: self._place(int(far[p]), int(taken[p]), nodes.name(int(far[p]))))
            kept += some[:most]
        return Steps(*(part[kept] for part in steps))

    def _place(self, target: int, edge: int, *more: Any) -> tuple[Any, ...]:
        """Where an edge that leads to `target` comes among others: by type, then along before against, then values."""
        rel, source, _ = self.edges.ends(edge)
        return rel, *more, source == target, self._said(edge)

    def _said(self, edge: int) -> str:
        """What tells an edge from those beside it."""
        return repr(sorted(item for item in self.edges.values([edge])[0].items() if item[1] is not None))

    def hops(self, number: int, *, back: bool = False) -> list[Hop]:
        """The edges from one node, by far end, type and id."""
        steps = self.step(np.array([number], np.int64), back=back)
        return self._sorted(zip(steps.target.tolist(), steps.edge.tolist(), strict=True))

    def _sorted(self, hops: Iterable[Hop]) -> list[Hop]:
        found = list(hops)
        if len(found) < 2:
            return found
        name, ends = self.edges.nodes.name, self.edges.ends
        found.sort(key=lambda hop: (name(hop[0]), ends(hop[1])[0]))
        if any(a[0] == b[0] for a, b in pairwise(found)):
            # parallel edges are told apart by direction and values, which have to be fetched
            found.sort(key=lambda hop: (name(hop[0]), *self._place(*hop)))
        return found

    # --- reaching out ------------------------------------------------------------------------------------

    def reach(self, starts: Sequence[int], depth: int, limit: int) -> dict[int, int]:
        """Nodes within `depth` steps and how many those are, nearest first; `limit` of them beside the starts."""
        found = dict.fromkeys(starts, 0)
        frontier: Collection[int] = list(found)
        for distance in range(1, depth + 1):
            if not frontier:
                break
            frontier = self._reached(frontier) - found.keys()
            ordered = self.edges.nodes.ordered(frontier)
            room = limit + len(starts) - len(found)
            found.update(dict.fromkeys(ordered[:room], distance))
            if len(ordered) > room:
                self.cut = True
                break
        return found

    def _reached(self, numbers: Collection[int]) -> set[int]:
        """The nodes one step away from some."""
        filtered = self.edge_tests or self.node_tests or self.fan_out or self.agents is not None or self.tables
        if not filtered and len(numbers) <= FEW and isinstance(self.edges, Adjacency):
            found = self.edges.reached(numbers, self.direction, self.rels)
            if found is not None:
                return found
        return set(self.step(np.array(list(numbers), np.int64)).target.tolist())

    def between(self, numbers: Sequence[int]) -> list[int]:
        """Edges that may be taken and have both ends among some nodes."""
        inside = np.array(list(numbers), np.int64)
        fan_out, self.fan_out = self.fan_out, None
        steps = self.step(inside)
        self.fan_out = fan_out
        joined = np.isin(steps.target, inside)
        name, ends = self.edges.nodes.name, self.edges.ends

        def place(edge: int) -> tuple[Any, ...]:
            rel, source, target = ends(edge)
            return rel, name(source), name(target)

        found = sorted(set(steps.edge[joined].tolist()), key=place)
        if any(place(a) == place(b) for a, b in pairwise(found)):
            found.sort(key=lambda edge: (*place(edge), self._said(edge)))
        return found

    # --- shortest ----------------------------------------------------------------------------------------

    def shortest(self, start: int, end: int, longest: int) -> Iterator[list[Hop]]:
        """All shortest ways of at most `longest` steps, each as its hops, in order; none if there is no way."""
        if start == end:
            yield []
            return
        ahead, behind = _Side(self, start, back=False), _Side(self, end, back=True)
        while not (meeting := ahead.front & behind.front):
            if len(ahead.levels) + len(behind.levels) >= longest:
                return
            side = ahead if len(ahead.front) <= len(behind.front) else behind
            if not side.grow():
                return
        yield from self._walks(start, [*ahead.layers(meeting)[::-1], *behind.layers(meeting)])

    def _walks(self, start: int, layers: Sequence[Mapping[int, list[Hop]]]) -> Iterator[list[Hop]]:
        stack: list[tuple[int, list[Hop]]] = [(start, [])]
        while stack:
            number, way = stack.pop()
            if len(way) == len(layers):
                yield way
                continue
            hops = self._sorted(layers[len(way)].get(number, ()))
            stack += [(hop[0], [*way, hop]) for hop in reversed(hops)]

    # --- cheapest ----------------------------------------------------------------------------------------

    def cheapest(self, start: int, end: int, cost: Cost) -> list[Hop] | None:
        """The way whose costs add up to least, of those the one with fewest steps; None if there is none.

        From the end, many nodes of about the same distance at once (Meyer and Sanders 2003), until no node that waits
        could be on a way as cheap as the best one. Then the shortest way along edges that lose nothing.
        """
        left = self._costs(start, end, cost)
        if not np.isfinite(left[start]):
            return None

        def loses_nothing(steps: Steps) -> NDArray[np.bool_]:
            known = steps.target < len(left)  # the engine gives numbers as it meets nodes
            after = np.where(known, left[np.where(known, steps.target, 0)], np.inf)
            return np.asarray(known & (cost(steps.edge) + after == left[steps.source]))

        side = _Side(self, start, back=False, only=loses_nothing)
        while end not in side.distance:
            side.grow()
        return next(self._walks(start, side.layers({end})[::-1]))

    def _costs(self, start: int, end: int, cost: Cost) -> NDArray[np.float64]:
        """What the cheapest way to the end costs from each node that may be on the one from the start."""
        left = np.full(len(self.edges.nodes), np.inf)
        left[end] = 0
        waiting = left < np.inf
        bound = width = 0.0
        while True:
            front = np.flatnonzero(waiting & (left <= bound))
            if not len(front):
                lowest = left[waiting].min(initial=np.inf)
                if lowest > left[start] or lowest == np.inf:
                    return left
                bound = lowest + width
                continue
            waiting[front] = False
            steps = self.step(front, back=True)
            if len(self.edges.nodes) > len(left):  # the engine gives numbers as it meets nodes
                fresh = len(self.edges.nodes) - len(left)
                left, waiting = np.append(left, np.full(fresh, np.inf)), np.append(waiting, np.zeros(fresh, bool))
            costs = cost(steps.edge)
            if len(costs):
                width = max(width, float(costs.mean()) / 4)
            price = costs + left[steps.source]
            nearer = (price < left[steps.target]) & (price <= left[start])
            np.minimum.at(left, steps.target[nearer], price[nearer])
            waiting[steps.target[nearer]] = True

    # --- every way ---------------------------------------------------------------------------------------

    def trails(self, start: int, end: int | None, least: int, most: int, limit: int) -> list[list[Hop]]:
        """Ways of `least` to `most` steps that take no edge twice: the shortest first, then by their nodes."""
        left = None if end is None else self._steps_left(end, most)
        known: dict[int, list[Hop]] = {}
        found: list[list[Hop]] = []
        budget = [MAX_STEPS]
        for length in range(least, most + 1):
            for way in self._trails(start, end, length, left, known, budget):
                if len(found) == limit:
                    self.cut = True
                    return found
                found.append(way)
            if budget[0] <= 0:
                self.cut = True
                break
        return found

    def _trails(
        self, start: int, end: int | None, length: int, left: Mapping[int, int] | None, known: dict[int, list[Hop]],
        budget: list[int],
    ) -> Iterator[list[Hop]]:  # fmt: skip
        stack: list[tuple[int, list[Hop]]] = [(start, [])]
        while stack and budget[0] > 0:
            number, way = stack.pop()
            if len(way) == length:
                if end is None or number == end:
                    yield way
                continue
            if number not in known:
                known[number] = self.hops(number)
            taken = {edge for _, edge in way}
            room = length - len(way) - 1
            onward = [hop for hop in known[number] if hop[1] not in taken]
            if left is not None:
                onward = [hop for hop in onward if left.get(hop[0], room + 1) <= room]
            budget[0] -= len(onward) + 1
            stack += [(hop[0], [*way, hop]) for hop in reversed(onward)]

    def _steps_left(self, end: int, most: int) -> dict[int, int]:
        side = _Side(self, end, back=True)
        while len(side.levels) < most and side.grow():
            pass
        return side.distance


class _Side:
    """One side of a search from both ends: how far nodes are, and by which edges each level was reached."""

    def __init__(self, search: Search, start: int, *, back: bool, only: Only | None = None) -> None:
        self._search = search
        self._back = back
        self._only = only
        self.distance = {start: 0}
        self.front = {start}
        self.levels: list[Steps] = []

    def grow(self) -> bool:
        """One step further; false if there is nothing further."""
        steps = self._search.step(np.array(list(self.front), np.int64), back=self._back)
        if self._only is not None:
            steps = _chosen(steps, self._only(steps))
        fresh = set(steps.target.tolist()) - self.distance.keys()
        level = len(self.levels) + 1
        self.distance.update(dict.fromkeys(fresh, level))
        self.levels.append(steps)
        self.front = fresh
        return bool(fresh)

    def layers(self, meeting: Iterable[int]) -> list[dict[int, list[Hop]]]:
        """For each level, from where the sides met: the hops, in the direction of the way, that are part of one."""
        wanted = set(meeting)
        layers: list[dict[int, list[Hop]]] = []
        for level in range(len(self.levels), 0, -1):
            steps = self.levels[level - 1]
            chosen = np.isin(steps.target, np.array(list(wanted), np.int64))
            layer: dict[int, list[Hop]] = {}
            nearer: set[int] = set()
            for near, far, edge in zip(*(part[chosen].tolist() for part in steps), strict=True):
                nearer.add(near)
                source, target = (far, near) if self._back else (near, far)
                layer.setdefault(source, []).append((target, edge))
            layers.append(layer)
            wanted = nearer
        return layers


def _chosen(steps: Steps, mask: NDArray[np.bool_]) -> Steps:
    return Steps(*(part[mask] for part in steps))
