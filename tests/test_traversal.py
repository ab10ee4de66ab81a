"""Walks over an adjacency that no engine had a part in, against networkx and a plain model."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsvc.memory.traversal import Search
from graphsvc.model.graph import NetEffect
from graphsvc.store import adjacency
from graphsvc.store.adjacency import Adjacency, Table
from graphsvc.store.numbered import NOTHING, Direction

TABLES = ("Skill", "Entity")
Node = tuple[str, str]
Ends = tuple[str, str, str, str, str, str]

nodes = st.tuples(st.sampled_from(TABLES), st.sampled_from([f"a/{c}" for c in "abcdeé"]))
edges = st.tuples(st.sampled_from(["X", "Y"]), nodes, nodes, st.sampled_from(["", "1", "2"]))


def built(some: set[Node], links: dict[Ends, dict[str, Any]]) -> Adjacency:
    keys = {t: pa.chunked_array([pa.array([k for table, k in some if table == t], pa.string())]) for t in TABLES}
    tables = []
    for rel in ("X", "Y"):
        for a in TABLES:
            for b in TABLES:
                found = [(e, v) for e, v in links.items() if (e[0], e[1], e[3]) == (rel, a, b)]
                source, target = (pa.chunked_array([pa.array([e[at] for e, _ in found], pa.string())]) for at in (2, 4))
                values = pa.table(
                    {
                        "id": pa.array([e[5] or None for e, _ in found], pa.string()),
                        "weight": pa.array([v.get("weight") for _, v in found], pa.float64()),
                    }
                )
                tables.append(Table(rel, a, b, source, target, values))
    return Adjacency(keys, tables)


def said(held: Adjacency) -> tuple[set[Node], list[Any]]:
    """What an adjacency holds, seen from both ends of each edge, and node by node."""
    name = held.nodes.name
    seen: dict[str, list[Any]] = {}
    for direction in ("out", "in"):
        steps = held.expand(held.alive_nodes(), direction, None)
        seen[direction] = sorted(
            (held.ends(edge)[0], *(name(n) for n in held.ends(edge)[1:]), repr(clean(held.values([edge])[0])))
            for edge in steps.edge.tolist()
        )
    assert seen["out"] == seen["in"]
    alone = [
        edge for n in held.alive_nodes().tolist() for edge in held.expand(np.array([n]), "out", None).edge.tolist()
    ]
    assert sorted(alone) == sorted(held.alive_edges().tolist())
    column = held.column("weight", held.alive_edges()).tolist()
    values = [held.values([edge])[0].get("weight") for edge in held.alive_edges().tolist()]
    assert [None if w != w else w for w in column] == values
    return {name(n) for n in held.alive_nodes().tolist()}, seen["out"]


def clean(values: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted((name, value) for name, value in values.items() if value is not None))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("link"), edges, st.none() | st.floats(0, 9, width=16)),
        st.tuples(st.just("unlink"), edges),
        st.tuples(st.just("gone"), nodes),
        st.tuples(st.just("create"), nodes),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(st.sets(nodes), steps, st.sampled_from([0, 5, 1_000]), st.integers(1, 8))
def test_kept_up_with_changes_it_holds_what_a_dictionary_would(
    some: set[Node], changes: list[Any], merge_at: int, batch: int
) -> None:
    live: set[Node] = set(some)
    links: dict[Ends, dict[str, Any]] = {}
    held = built(some, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adjacency, "MERGE_AT", merge_at)
        for start in range(0, len(changes), batch):
            net = NetEffect()
            for what, *rest in changes[start : start + batch]:
                if what == "create" and rest[0] not in live:
                    live.add(rest[0])
                    net.create(rest[0][0], {"key": rest[0][1]})
                elif what == "gone" and rest[0] in live:
                    live.discard(rest[0])
                    net.remove(*rest[0])
                    net.drop_dangling({rest[0]})
                    links = {e: v for e, v in links.items() if rest[0] not in ((e[1], e[2]), (e[3], e[4]))}
                elif what in ("link", "unlink"):
                    rel, a, b, id = rest[0]
                    ends = (rel, *a, *b, id)
                    if what == "unlink":
                        links.pop(ends, None)
                        net.unlink(ends)
                    elif a in live and b in live:
                        if ends in links:  # as the log does it: an edge that is there is taken away first
                            net.unlink(ends)
                        links[ends] = net.links[ends] = {"weight": rest[1]}
            held.apply(net)
            assert said(held) == said(built(live, links))
    fresh = built(live, links)
    assert [held.nodes.name(n) for n in held.nodes.ordered(held.alive_nodes())] == [
        fresh.nodes.name(n) for n in range(len(fresh.nodes))
    ]


def drawn(seed: int, count: int, size: int) -> tuple[nx.MultiDiGraph, Adjacency]:
    """A random graph with loops and parallel edges, as networkx and as an adjacency."""
    chance = random.Random(seed)
    some = [("Skill", f"a/{n}") for n in range(count)]
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(some)
    links: dict[Ends, dict[str, Any]] = {}
    for at in range(size):
        a, b = chance.choice(some), chance.choice(some)
        weight = chance.choice([0.0, 0.5, 1.0, 1.5, 2.0])
        links["X", *a, *b, str(at)] = {"weight": weight}
        graph.add_edge(a, b, key=at, weight=weight)
    return graph, built(set(some), links)


def directed(graph: nx.MultiDiGraph, direction: Direction) -> Any:
    return {"out": lambda: graph, "in": graph.reverse, "both": graph.to_undirected}[direction]()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(0, 40), st.sampled_from(["out", "in", "both"]))
def test_walks_are_those_of_networkx(seed: int, count: int, size: int, direction: Direction) -> None:
    graph, held = drawn(seed, count, size)
    seen = directed(graph, direction)
    name = held.nodes.name
    start, end = 0, count - 1
    search = Search(held, direction)

    near = {name(n): depth for n, depth in search.reach([start], 3, 1_000).items()}
    assert near == nx.single_source_shortest_path_length(seen, name(start), cutoff=3)
    assert not search.cut

    ways = [[name(start), *(name(n) for n, _ in way)] for way in search.shortest(start, end, 64)]
    if nx.has_path(seen, name(start), name(end)):
        assert sorted(map(tuple, ways)) == ways_of(seen, nx.all_shortest_paths(seen, name(start), name(end)))
        order = [[(name(n), search._place(n, edge)) for n, edge in way] for way in search.shortest(start, end, 64)]
        assert order == sorted(order), "step by step they come in the order of nodes and edges"
        assert not ways or ways[0] == min(ways)
        best = search.cheapest(start, end, lambda some: held.column("weight", some))
        assert best is not None
        spent = sum(held.column("weight", np.array([edge for _, edge in best])).tolist())
        assert spent == pytest.approx(nx.dijkstra_path_length(seen, name(start), name(end)))
        check_way(held, start, end, best, direction)
    else:
        assert ways == []
        assert search.cheapest(start, end, lambda some: held.column("weight", some)) is None

    trails = search.trails(start, end, 1, 3, 100_000)
    assert len({tuple(edge for _, edge in way) for way in trails}) == len(trails)
    assert [len(way) for way in trails] == sorted(len(way) for way in trails)
    for way in trails:
        check_way(held, start, end, way, direction)
    if direction == "out":
        wanted = nx.all_simple_edge_paths(graph, name(start), name(end), cutoff=3) if start != end else []
        simple = [way for way in trails if len({start, *(n for n, _ in way)}) == len(way) + 1]
        assert len(simple) == len(list(wanted))


def ways_of(graph: Any, paths: Any) -> list[Any]:
    """Ways by their nodes, each as often as there are parallel edges to take."""
    found = []
    for path in paths:
        times = 1
        for a, b in pairwise(path):
            times *= graph.number_of_edges(a, b)
        found += [tuple(path)] * times
    return sorted(found)


def check_way(held: Adjacency, start: int, end: int, way: list[tuple[int, int]], direction: str) -> None:
    at = start
    for number, edge in way:
        _, source, target = held.ends(edge)
        allowed = {"out": [(source, target)], "in": [(target, source)]}
        assert (at, number) in allowed.get(direction, [(source, target), (target, source)])
        at = number
    assert at == end
    assert len({edge for _, edge in way}) == len(way)


def test_a_limit_on_nodes_keeps_the_first_in_order_and_says_so() -> None:
    star = {("X", "Skill", "a/hub", "Skill", f"a/{n}", ""): {} for n in range(9)}
    held = built({("Skill", "a/hub"), *(("Skill", f"a/{n}") for n in range(9))}, star)
    hub = held.find("Skill", "a/hub")
    assert hub is not None
    search = Search(held, "out")
    found = search.reach([hub], 2, 4)
    assert [held.nodes.name(n)[1] for n in found] == ["a/hub", "a/0", "a/1", "a/2", "a/3"]
    assert search.cut
    fanned = Search(held, "out", fan_out=3)
    assert [held.nodes.name(n)[1] for n in fanned.reach([hub], 1, 100)] == ["a/hub", "a/0", "a/1", "a/2"]
    assert fanned.cut


def test_trails_stop_at_their_limit_in_a_graph_that_has_no_end_of_them() -> None:
    some = [("Skill", f"a/{n}") for n in range(12)]
    whole = {("X", *a, *b, ""): {} for a in some for b in some}
    held = built(set(some), whole)
    search = Search(held, "out")
    assert len(search.trails(0, None, 1, 64, 500)) == 500
    assert search.cut


def test_nothing_at_all_is_a_graph_too() -> None:
    held = built(set(), {})
    assert held.expand(NOTHING, "both", None).edge.tolist() == []
    assert held.alive_edges().tolist() == []
