"""memory.graph on an engine: what is kept in memory, what the engine is asked for, and networkx say the same."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

import graphsvc
from graphsvc.errors import Ambiguous, BadInput, NeedsUnbound, NotFound, UnknownField

COUNT = 40
WEIGHTS = [0.5, 1.0, 2.0, 4.0]


@pytest.fixture(scope="module")
def random_graph(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> Iterator[tuple[Any, nx.MultiDiGraph]]:
    """A random graph with loops, parallel edges and nodes without any, in tables of the user's, and as networkx."""
    chance = random.Random(7)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(COUNT))
    for at in range(130):
        a, b = chance.randrange(COUNT - 3), chance.randrange(COUNT - 3)
        graph.add_edge(a, b, key=at, w=chance.choice(WEIGHTS), at=at)
    path = tmp_path_factory.mktemp("graph") / "memory"
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        memory.graph.define("order", {"id": int, "größe": str, "rank": float}, key="id")
        memory.graph.define("match", {"w": float, "at": int}, source="order", target="order")
        memory.graph.add("order", [{"id": n, "größe": f"n{n}"} for n in range(COUNT)])
        memory.graph.add("match", [{"source": a, "target": b, "w": d["w"], "at": d["at"]} for a, b, d in graph.edges(data=True)])
        yield memory, graph


@pytest.fixture(params=["kept in memory", "past the budget"])
def both(request: pytest.FixtureRequest, random_graph: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    memory, graph = random_graph
    projection = memory._opened.store.graph
    for kept in (projection.adjacency, projection.adjacency_of_all):
        kept.drop()
        monkeypatch.setattr(kept, "_budget", 1 << 30 if request.param == "kept in memory" else 0)
    yield memory, graph
    for kept in (projection.adjacency, projection.adjacency_of_all):
        assert kept.too_much == (request.param != "kept in memory") or kept._held is None
        kept.drop()


def seen_by(graph: nx.MultiDiGraph, direction: str) -> Any:
    return {"out": graph, "in": graph.reverse(), "both": graph.to_undirected()}[direction]


@pytest.mark.parametrize("direction", ["out", "in", "both"])
def test_walks_of_tables_of_ones_own_are_those_of_networkx(both: Any, direction: str) -> None:
    memory, graph = both
    seen = seen_by(graph, direction)
    for start in range(0, COUNT, 5):
        near = memory.graph.neighbours(("order", start), depth=3, direction=direction)
        wanted = nx.single_source_shortest_path_length(seen, start, cutoff=3)
        assert {node.key: node.depth for node in near} == {n: d for n, d in wanted.items() if n != start}
        assert [node.key for node in near] == [n for n, _ in sorted(wanted.items(), key=lambda i: (i[1], i[0])) if n != start]
        end = COUNT - 4 - start // 2
        shortest = memory.graph.shortest_path(("order", start), ("order", end), direction=direction)
        cheapest = memory.graph.cheapest_path(("order", start), ("order", end), weight="w", direction=direction)
        if not nx.has_path(seen, start, end):
            assert shortest is None
            assert cheapest is None
            continue
        assert len(shortest) == nx.shortest_path_length(seen, start, end)
        assert cheapest.cost == pytest.approx(nx.dijkstra_path_length(seen, start, end, weight="w"))
        every = memory.graph.all_shortest_paths(("order", start), ("order", end), direction=direction, limit=1_000)
        assert every[0] == shortest
        ways = {tuple(node.key for node in way.nodes) for way in every}
        assert ways == {tuple(path) for path in nx.all_shortest_paths(seen, start, end)}


def test_a_part_of_the_graph_is_what_networkx_calls_an_ego_graph(both: Any) -> None:
    memory, graph = both
    for start in (0, 5, COUNT - 1):
        part = memory.graph.subgraph(("order", start), depth=2, direction="out")
        wanted = nx.ego_graph(graph, start, radius=2)
        assert {node.key for node in part.nodes} == set(wanted)
        assert sorted(edge["at"] for edge in part.edges) == sorted(d["at"] for _, _, d in wanted.edges(data=True))
        made = part.graph()
        assert made.number_of_edges() == wanted.number_of_edges()
        assert made.nodes["order", start]["größe"] == f"n{start}"


def test_filters_hold_for_what_is_entered_and_taken(both: Any) -> None:
    memory, graph = both
    heavy = nx.MultiDiGraph()
    heavy.add_nodes_from(graph)
    heavy.add_edges_from((a, b, d) for a, b, d in graph.edges(data=True) if d["w"] >= 1 and b != 3)
    found = memory.graph.neighbours(
        ("order", 0), depth=4, direction="out", where={"order": {"größe": {"ne": "n3"}}}, edges={"match": {"w": {"ge": 1}}}
    )
    wanted = nx.single_source_shortest_path_length(heavy, 0, cutoff=4)
    assert {node.key: node.depth for node in found} == {n: d for n, d in wanted.items() if n}


def test_kept_and_asked_give_the_very_same_ways(random_graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, _ = random_graph
    kept = memory._opened.store.graph.adjacency_of_all

    def answers() -> list[Any]:
        graph = memory.graph
        return [
            [(way.as_dict(), way.edges) for way in graph.paths(("order", 1), max_hops=3, limit=300, direction="both")],
            graph.neighbours(("order", 2), depth=3, fan_out=2).rows,
            graph.subgraph([("order", 2), ("order", 9)], depth=2, limit=9).as_dict(),
            [way.as_dict() for way in graph.all_shortest_paths(("order", 1), ("order", 20), limit=1_000)],
        ]

    kept.drop()
    first = answers()
    kept.drop()
    monkeypatch.setattr(kept, "_budget", 0)
    assert answers() == first
    kept.drop()


# --- algorithms -----------------------------------------------------------------------------------------------


def close(scores: Any, wanted: dict[int, float], tolerance: float = 1e-8) -> None:
    assert scores.key == list(range(COUNT))
    np.testing.assert_allclose(scores.values, [wanted[n] for n in range(COUNT)], atol=tolerance)


def test_figures_of_nodes_are_those_of_networkx(random_graph: Any) -> None:
    memory, multi = random_graph
    graph, plain = memory.graph, nx.Graph(multi)
    plain.remove_edges_from(nx.selfloop_edges(plain))
    single = nx.DiGraph(multi)
    of = {"tables": "order", "rel": "match"}
    close(graph.pagerank(**of), nx.pagerank(multi, tol=1e-14, max_iter=1_000))
    close(graph.pagerank(weight="w", damping=0.7, **of), nx.pagerank(multi, 0.7, weight="w", tol=1e-14, max_iter=1_000))
    start = {("order", 1): 3.0, ("order", 2): 1.0}
    close(graph.pagerank(start=start, **of), nx.pagerank(multi, personalization={1: 3, 2: 1}, tol=1e-14, max_iter=1_000))
    close(graph.degree(**of), dict(multi.degree()))
    close(graph.degree(direction="in", weight="w", **of), dict(multi.in_degree(weight="w")))
    close(graph.k_core(**of), nx.core_number(plain))
    close(graph.triangles(**of), nx.triangles(plain))
    close(graph.closeness(**of), nx.closeness_centrality(single))
    close(graph.closeness(direction="both", **of), nx.closeness_centrality(plain))
    close(graph.betweenness(**of), nx.betweenness_centrality(single))
    close(graph.betweenness(directed=False, **of), nx.betweenness_centrality(plain))
    light = nx.DiGraph()
    light.add_nodes_from(range(COUNT))
    for a, b, data in sorted(multi.edges(data=True), key=lambda e: -e[2]["w"]):
        light.add_edge(a, b, w=data["w"])
    close(graph.closeness(weight="w", **of), nx.closeness_centrality(light, distance="w"))
    close(graph.betweenness(weight="w", **of), nx.betweenness_centrality(light, weight="w"))


def test_groups_are_those_of_networkx(random_graph: Any) -> None:
    memory, multi = random_graph
    graph, plain = memory.graph, nx.Graph(multi)

    def sets(scores: Any) -> set[frozenset[int]]:
        groups = scores.groups()
        assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)
        return {frozenset(end.key for end in group) for group in groups}

    of = {"tables": "order", "rel": "match"}
    assert sets(graph.components(**of)) == set(map(frozenset, nx.connected_components(plain)))
    assert sets(graph.components(strong=True, **of)) == set(map(frozenset, nx.strongly_connected_components(multi)))
    reference = nx.community.modularity(plain, nx.community.louvain_communities(plain, seed=1))
    for method in ("louvain", "leiden"):
        found = graph.communities(method=method, **of)
        assert sets(found) == sets(graph.communities(method=method, **of)), "the same seed, the same communities"
        assert nx.community.modularity(plain, sets(found)) > reference - 0.05
    assert sets(graph.label_propagation(**of)) == sets(graph.label_propagation(**of))


def test_alike_are_those_that_share_neighbours(random_graph: Any) -> None:
    memory, multi = random_graph
    plain = nx.Graph(multi)
    plain.remove_edges_from(nx.selfloop_edges(plain))
    wanted = {n: next(nx.jaccard_coefficient(plain, [(4, n)]))[2] for n in range(COUNT) if n != 4}
    found = memory.graph.similarity(("order", 4), 50, tables="order", rel="match")
    assert {key: pytest.approx(value) for _, key, value in found} == {n: v for n, v in wanted.items() if v}
    assert found.values.tolist() == sorted(found.values.tolist(), reverse=True)
    cosine = memory.graph.similarity(("order", 4), 1, measure="cosine", tables="order", rel="match")
    assert 0 < cosine.values[0] <= 1


def test_algorithms_take_a_part_of_the_graph(random_graph: Any) -> None:
    memory, multi = random_graph
    found = memory.graph.degree(tables="order", rel="match", where={"order": {"größe": ["n1", "n2", "n3", "n4"]}}, edges={"match": {"w": {"gt": 1}}})
    part = nx.MultiDiGraph()
    part.add_nodes_from([1, 2, 3, 4])
    part.add_edges_from((a, b) for a, b, d in multi.edges(data=True) if d["w"] > 1 and {a, b} <= {1, 2, 3, 4})
    assert dict(zip(found.key, found.values.tolist(), strict=True)) == dict(part.degree())
    assert len(memory.graph.pagerank(tables="Skill")) == 0


def test_figures_of_no_sense_are_refused_by_name(random_graph: Any) -> None:
    graph, of = random_graph[0].graph, {"tables": "order", "rel": "match"}
    huge, nan = float("inf"), float("nan")
    for verb, where, values in (
        (graph.communities, "seed", (-1, 1 << 32, 0.5, True, None)),
        (graph.communities, "resolution", (-1.23e275, huge, nan, "1", 1 << 2000)),
        (graph.communities, "default", (-1, huge, nan, None)),
        (graph.pagerank, "damping", (-0.1, 1, nan, None)),
        (graph.pagerank, "tolerance", (-1.0, nan)),
        (graph.pagerank, "start", (5, {("order", 1): -1}, {("order", 1): nan}, {("order", 1): 0})),
    ):  # fmt: skip
        for value in values:
            with pytest.raises(BadInput) as raised:
                verb(**{where: value}, weight="w" if where == "default" else None, **of)
            assert raised.value.where == where, value
    for seed in (-1, "1"):
        with pytest.raises(BadInput, match="seed"):
            graph.betweenness(sample=5, seed=seed, **of)
    with pytest.raises(BadInput, match="default"):
        graph.cheapest_path(("order", 1), ("order", 2), weight="w", default=-1, rel="match")
    started = graph.pagerank(start={("order", 1): 1e308, ("order", 2): 1e308}, **of)
    assert started.by_node() == graph.pagerank(start={("order", 1): 1, ("order", 2): 1}, **of).by_node()
    assert len(graph.communities(method="leiden", seed=(1 << 32) - 1, resolution=0, **of)) == COUNT


def test_what_was_computed_can_be_written_back(random_graph: Any) -> None:
    memory, _ = random_graph
    scores = memory.graph.pagerank(tables="order", rel="match")
    assert memory.graph.write_back(scores, "rank") == COUNT
    assert memory.graph.node(("order", 3)).properties["rank"] == scores.by_node()["order", 3]
    with pytest.raises(UnknownField):
        memory.graph.write_back(scores, "nowhere")


# --- own nodes ------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path, engine_name: str) -> Iterator[Any]:
    with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name) as opened:
        yield opened


def test_own_writes_are_seen_and_deleted_things_are_not(memory: Any) -> None:
    memory.episodes.store_many([{"session": "s", "task": "t", "id": f"e{n}"} for n in range(4)])
    graph = memory.graph
    assert [node.id for node in graph.neighbours(("Episode", "e1"), rel="NEXT")] == ["e0", "e2"]
    memory.episodes.delete("e1")
    assert [node.id for node in graph.neighbours(("Episode", "e2"), rel="NEXT")] == ["e0", "e3"]
    with pytest.raises(graphsvc.errors.Gone):
        graph.neighbours(("Episode", "e1"))
    memory.episodes.store(session="s", task="other", id="e9")
    assert [node.id for node in graph.neighbours(("Session", "s"), rel="IN_SESSION")] == ["e0", "e2", "e3", "e9"]
    assert [node.id for node in graph.neighbours(("Task", "t"))] == ["e0", "e2", "e3"]
    assert graph.node(("Task", "t")).properties["text"] == "t"
    memory.episodes.delete(["e0", "e2", "e3"])
    with pytest.raises(NotFound):
        graph.node(("Task", "t"))


def test_a_bound_handle_sees_and_passes_through_its_own_namespaces_only(memory: Any) -> None:
    mine, team, other = (memory.as_agent(name) for name in ("mine", "team", "other"))
    for handle in (mine, team, other):
        handle.skills.create(name="s", id="s", description="x")
    bound = memory.as_agent("mine", shared=["team"])
    both = memory.as_agent("team", shared=["other"])
    bound.skills.create(name="a", id="a", description="x")
    both.skills.create(name="b", id="b", description="x")
    memory.skills.link("a", "s", "alternative", agent="mine")
    assert [node.key for node in bound.graph.neighbours(("Skill", "a"), rel="ALTERNATIVE", depth=5)] == ["mine/s"]
    with pytest.raises(Ambiguous):
        memory.graph.node(("Skill", "s"))
    with pytest.raises(Ambiguous):
        bound.graph.node(("Skill", "s"))
    assert memory.graph.node(("Skill", "s", "other")).agent == "other"
    with pytest.raises(BadInput):
        bound.graph.node(("Skill", "s", "other"))
    with pytest.raises(NeedsUnbound):
        bound.graph.pagerank()


def test_a_name_that_is_none_says_how_to_write_one(memory: Any) -> None:
    for bad, error in ((5, BadInput), (("Skill",), BadInput), (("Nothing", "x"), UnknownField), (("Skill", "x"), NotFound)):
        with pytest.raises(error):
            memory.graph.node(bad)
    episode = memory.episodes.store(session="s", task="t")
    assert memory.graph.node(episode).id == episode.id
    assert memory.graph.node(memory.graph.node(episode)) == memory.graph.node(episode)
    for wrong in ({"rel": "NEXTT"}, {"tables": "Episodes"}, {"where": {"Episode": {"rewards": 1}}}, {"edges": {"USED": {"x": 1}}}):
        with pytest.raises(UnknownField):
            memory.graph.neighbours(episode, **wrong)
    for wrong in ({"direction": "up"}, {"depth": 0}, {"depth": 65}, {"limit": 0}, {"fan_out": 0}, {"where": ["x"]}):
        with pytest.raises(BadInput):
            memory.graph.neighbours(episode, **wrong)


def test_reopened_the_graph_answers_the_same(tmp_path: Path, engine_name: str) -> None:
    answers = []
    for _ in range(2):
        with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name) as memory:
            if not answers:
                memory.episodes.store_many([{"session": f"s{n % 3}", "task": f"t{n % 5}", "id": f"é{n}"} for n in range(60)])
                memory.graph.neighbours(("Episode", "é1"))
                memory.episodes.delete([f"é{n}" for n in range(0, 60, 7)])
                memory.episodes.store_many([{"session": "s1", "task": "t1", "id": f"a{n}"} for n in range(9)])
            part = memory.graph.subgraph(("Episode", "é1"), depth=4, limit=200)
            way = memory.graph.shortest_path(("Episode", "é1"), ("Episode", "a8"))
            answers.append((part.as_dict(), way.as_dict(), memory.graph.pagerank().rows))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size", [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_large_graph_is_walked_as_its_arrays_say(tmp_path: Path, engine_name: str, size: int) -> None:
    count = size // 10
    chance = np.random.default_rng(3)
    source, target = chance.integers(0, count, (2, size))
    with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name) as memory:
        memory.graph.define("node", {"id": int}, key="id")
        memory.graph.define("edge", {}, source="node", target="node")
        memory.graph.add("node", pa.table({"id": np.arange(count)}), wait=600)
        for start in range(0, size, 100_000):
            part = slice(start, start + 100_000)
            memory.graph.add("edge", pa.table({"source": source[part], "target": target[part]}), wait=600)
        far = np.full(count, -1)
        far[0], front = 0, np.array([0])
        for step in (1, 2, 3):
            reached = np.unique(target[np.isin(source, front)])
            front = reached[far[reached] < 0]
            far[front] = step
        found = memory.graph.neighbours(("node", 0), direction="out", depth=3, limit=10_000)
        assert {node.key: node.depth for node in found} == {n: far[n] for n in np.flatnonzero(far > 0).tolist()}
        degree = memory.graph.degree(direction="in", tables="node")
        assert degree.values.tolist() == np.bincount(target, minlength=count).tolist()
        assert memory._opened.store.graph.adjacency_of_all.too_much is False


@pytest.mark.parametrize("size", [60_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_rows_of_one_call_have_no_time_limit_as_queries_have(tmp_path: Path, engine_name: str, size: int) -> None:
    limit = 0.2 if size < 1_000_000 else 30.0
    source, target = np.random.default_rng(4).integers(0, size // 10, (2, size))
    with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name, graph_timeout=limit) as memory:
        memory.graph.define("node", {"id": int}, key="id")
        memory.graph.define("edge", {}, source="node", target="node")
        memory.graph.add("node", pa.table({"id": np.arange(size // 10)}), wait=600)
        began = time.monotonic()
        assert memory.graph.add("edge", pa.table({"source": source, "target": target}), wait=1_200) == size
        assert size > 60_000 or time.monotonic() - began > limit
        assert memory.cypher("MATCH (:node)-[e:edge]->(:node) RETURN count(e)", timeout=60).rows == [(size,)]


@pytest.mark.parametrize("size", [500, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_edges_of_one_call_are_counted_walked_asked_for_reopened_and_verified(
    tmp_path: Path, engine_name: str, size: int
) -> None:
    count = size // 10
    source, target = np.random.default_rng(5).integers(0, count, (2, size))
    edges = pa.table({"source": source, "target": target, "weight": np.arange(size, dtype=np.float64)})
    near = sorted(set(target[source == 7].tolist()) - {7})
    by_key = "MATCH (n:node {id: $id})-[e:edge]->(m:node) RETURN m.id, e.weight ORDER BY e.weight"
    for written in (False, True):
        with graphsvc.open(tmp_path / "memory", embedder="hashing", engine=engine_name) as memory:
            if not written:
                memory.graph.define("node", {"id": int}, key="id")
                memory.graph.define("edge", {"weight": float}, source="node", target="node")
                memory.graph.add("node", pa.table({"id": np.arange(count)}), wait=600)
                assert memory.graph.add("edge", edges, wait=1_200) == size
            counted = memory.cypher("MATCH (:node)-[e:edge]->(:node) RETURN count(e), sum(e.weight)").rows
            assert counted == [(size, float(np.arange(size, dtype=np.float64).sum()))]
            found = memory.graph.neighbours(("node", 7), rel="edge", direction="out")
            assert [node.key for node in found] == near
            asked = memory.cypher(by_key, {"id": 7}).rows
            assert asked == [(int(target[at]), float(at)) for at in np.flatnonzero(source == 7)]
            if written:
                report = memory.verify()
                assert report.problems == []
                assert report.checked["tables"] == size + count + 2
