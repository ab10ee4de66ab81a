"""Walks and figures over a graph of tables of one's own, through `memory.graph`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import graphsvc
from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.graphs import RandomGraph, pairs, random_graph
from benchmarks.section import Context

CHUNK = 100_000
"""Edges of one call."""
WAIT = 1_200.0
ROUNDS = 3
IN_CYPHER = {
    "cypher.key": "MATCH (n:P {id: $a}) RETURN n.name",
    "cypher.hop1": "MATCH (n:P {id: $a})-[:E]->(m:P) RETURN DISTINCT m.id",
    "cypher.hop2": "MATCH (n:P {id: $a})-[:E*1..2]->(m:P) RETURN DISTINCT m.id",
    "cypher.path": "MATCH p = (n:P {id: $a})-[:E* SHORTEST 1..30]->(m:P {id: $b}) RETURN length(p)",
}
"""The same statements for `memory.cypher` and for the bare engine: their ratio is what the walls and the seam cost."""
ARROW = "MATCH (n:P)-[e:E]->(m:P) RETURN n.id, m.id, e.weight"
SAMPLE = 64


def measure(context: Context) -> Figures:
    sizes = context.sizes
    found: Figures = {}
    large = random_graph(sizes.graph_nodes, sizes.graph_edges)
    with graphsvc.open(context.work / "graph", embedder="hashing") as memory:
        found |= _built(memory, large)
        began = time.perf_counter()
        memory.graph.neighbours(("P", 0))
        found["graph.read"] = Figure((time.perf_counter() - began) * 1e3, note="the first walk, which reads all edges")
        found |= _walks(memory, context)
    with graphsvc.open(context.work / "figures", embedder="hashing") as memory:
        _built(memory, random_graph(sizes.figure_nodes, sizes.figure_edges, within=0.9))
        found |= _figures(memory.graph)
    return found


def _built(memory: Any, graph: RandomGraph) -> Figures:
    """Through the log, durable: this is what it takes to have such a graph in a memory."""
    memory.graph.define("P", {"id": int, "name": str}, key="id")
    memory.graph.define("E", {"weight": float}, source="P", target="P")
    began = time.perf_counter()
    memory.graph.add("P", graph.nodes, wait=WAIT)
    for start in range(0, len(graph.source), CHUNK):
        memory.graph.add("E", graph.edges.slice(start, CHUNK), wait=WAIT)
    elapsed = time.perf_counter() - began
    rate = (graph.count + len(graph.source)) / elapsed
    return {"graph.load": Figure(round(rate, 1), n=len(graph.source), fsync=True, note=f"{elapsed:.0f} s in all")}


def _walks(memory: Any, context: Context) -> Figures:
    sizes, graph = context.sizes, memory.graph
    asked = pairs(sizes.graph_nodes, sizes.queries + sizes.warm_up)
    most = memory._opened.settings.max_results

    def hops(depth: int) -> Callable[[int], Any]:
        return lambda n: graph.neighbours(("P", asked[n][0]), direction="out", depth=depth, limit=most)

    calls = {
        "graph.key": lambda n: graph.node(("P", asked[n][0])).properties,
        "graph.hop1": hops(1),
        "graph.hop2": hops(2),
        "graph.hop3": hops(3),
        "graph.path": lambda n: graph.shortest_path(("P", asked[n][0]), ("P", asked[n][1]), direction="out"),
    }
    found = {row: of_durations(timed(sizes.queries, call, warm_up=sizes.warm_up)) for row, call in calls.items()}
    for row, text in IN_CYPHER.items():
        names = ("a", "b") if "$b" in text else ("a",)

        def ask(n: int, text: str = text, names: tuple[str, ...] = names) -> Any:
            return memory.cypher(text, dict(zip(names, asked[n], strict=False))).rows

        found[row] = of_durations(timed(sizes.queries, ask, warm_up=sizes.warm_up))

    def arrow(_: int) -> None:
        assert memory.cypher(ARROW, limit=sizes.graph_edges).arrow().num_rows == sizes.graph_edges, "all of them"

    found["cypher.arrow"] = of_durations(timed(ROUNDS, arrow))
    few = max(1, sizes.queries // 20)
    found["graph.cheapest"] = of_durations(
        timed(few, lambda n: graph.cheapest_path(("P", asked[n][0]), ("P", asked[n][1]), direction="out"))
    )
    return found


def _figures(graph: Any) -> Figures:
    graph.degree()  # the first reads all edges
    calls: dict[str, Callable[[int], Any]] = {
        "graph.pagerank": lambda _: graph.pagerank(tables="P", rel="E"),
        "graph.components": lambda _: graph.components(tables="P", rel="E"),
        "graph.communities": lambda _: graph.communities(tables="P", rel="E"),
        "graph.k_core": lambda _: graph.k_core(tables="P", rel="E"),
        "graph.triangles": lambda _: graph.triangles(tables="P", rel="E"),
        "graph.labels": lambda _: graph.label_propagation(tables="P", rel="E"),
        "graph.betweenness": lambda _: graph.betweenness(sample=SAMPLE, tables="P", rel="E"),
    }
    return {row: of_durations(timed(ROUNDS, call, warm_up=1)) for row, call in calls.items()}
