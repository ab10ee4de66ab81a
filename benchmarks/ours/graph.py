"""Walks and figures over a graph of tables of one's own, through `memory.graph`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import graphsvc
from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.graphs import RandomGraph, pairs, random_graph
from benchmarks.section import Context

WAIT = 1_200.0
ROUNDS = 3
IN_CYPHER = {
    "cypher.key": "MATCH (n:P {id: $a}) RETURN n.name",
    "cypher.hop1": "MATCH (n:P {id: $a})-[:E]->(m:P) RETURN DISTINCT m.id",
    "cypher.hop2": "MATCH (n:P {id: $a})-[:E*1..2]->(m:P) RETURN DISTINCT m.id",
    "cypher.hop3": "MATCH (n:P {id: $a})-[:E*1..3]->(m:P) RETURN DISTINCT m.id",
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
    for nodes, name in ((False, "edges"), (True, "both")):
        with graphsvc.open(context.work / f"then-{name}", embedder="hashing") as memory:
            moment = _in_time(memory, random_graph(sizes.figure_nodes, sizes.figure_edges), nodes=nodes)
            found |= {f"graph.then.{name}.{row}": figure for row, figure in _then(memory, context, moment).items()}
    return found


def _in_time(memory: Any, graph: RandomGraph, *, nodes: bool) -> datetime:
    """The same with tables that keep their past, half of which is of before: the moment between."""
    memory.graph.define("P", {"id": int, "name": str}, key="id", temporal=nodes)
    memory.graph.define("E", {"weight": float}, source="P", target="P", temporal=True)
    memory.graph.add("P", graph.nodes, wait=WAIT)
    memory.graph.add("E", graph.edges, wait=WAIT)
    moment = datetime.now(UTC)
    if nodes:
        memory.graph.update("P", graph.nodes.slice(0, graph.count // 2), wait=WAIT)
    some = graph.edges.slice(0, graph.edges.num_rows // 2).group_by(["source", "target"]).aggregate([("weight", "max")])
    memory.graph.update("E", some.rename_columns({"weight_max": "weight"}), wait=WAIT)
    return moment


def _then(memory: Any, context: Context, moment: datetime) -> Figures:
    """Walks as of a pair of times, as a multiple of the same walk of now; each right behind the other."""
    sizes, graph = context.sizes, memory.graph
    asked = pairs(sizes.figure_nodes, sizes.queries + sizes.warm_up)
    then = (moment, moment)
    most = memory._opened.settings.max_results

    def hops(depth: int) -> Callable[[int, Any], Any]:
        return lambda n, as_of: graph.neighbours(
            ("P", asked[n][0]), rel="E", direction="out", depth=depth, as_of=as_of, limit=most
        )

    def path(n: int, as_of: Any) -> Any:
        return graph.shortest_path(("P", asked[n][0]), ("P", asked[n][1]), rel="E", direction="out", as_of=as_of)

    found: Figures = {}
    for row, call in {"hop1": hops(1), "hop3": hops(3), "path": path}.items():
        taken: dict[Any, list[float]] = {None: [], then: []}
        for n in [*range(sizes.queries, sizes.queries + sizes.warm_up), *range(sizes.queries)]:
            reached = set()
            for as_of, durations in taken.items():
                began = time.perf_counter()
                answer = call(n, as_of)
                durations.append(time.perf_counter() - began)
                reached.add(len(answer or ()))
            assert len(reached) == 1, "all was there then, too"
        now_ms, then_ms = (statistics.median(durations[sizes.warm_up :]) * 1e3 for durations in taken.values())
        found[row] = Figure(round(then_ms / now_ms, 2), n=sizes.queries, note=f"{then_ms:.3f} ms, {now_ms:.3f} of now")
    return found


def _built(memory: Any, graph: RandomGraph) -> Figures:
    """Through the log, durable, all edges in one call: this is what it takes to have such a graph in a memory."""
    memory.graph.define("P", {"id": int, "name": str}, key="id")
    memory.graph.define("E", {"weight": float}, source="P", target="P")
    began = time.perf_counter()
    memory.graph.add("P", graph.nodes, wait=WAIT)
    memory.graph.add("E", graph.edges, wait=WAIT)
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
