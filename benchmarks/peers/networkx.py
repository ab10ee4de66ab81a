"""The same walks and figures with networkx, whose graph lies in memory as dictionaries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import networkx as nx

from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.graphs import RandomGraph, pairs, random_graph
from benchmarks.ours.graph import SAMPLE
from benchmarks.section import Context


def measure(context: Context) -> Figures:
    sizes = context.sizes
    found: Figures = {}
    began = time.perf_counter()
    graph = _made(random_graph(sizes.graph_nodes, sizes.graph_edges))
    elapsed = time.perf_counter() - began
    rate = (sizes.graph_nodes + sizes.graph_edges) / elapsed
    found["graph.load"] = Figure(round(rate, 1), n=sizes.graph_edges, fsync=False, note="in memory only")
    asked = pairs(sizes.graph_nodes, sizes.queries + sizes.warm_up)

    def hops(depth: int) -> Callable[[int], Any]:
        return lambda n: nx.single_source_shortest_path_length(graph, asked[n][0], cutoff=depth)

    calls = {
        "graph.key": lambda n: graph.nodes[asked[n][0]],
        "graph.hop1": hops(1),
        "graph.hop2": hops(2),
        "graph.hop3": hops(3),
        "graph.path": lambda n: _way(graph, *asked[n]),
    }
    found |= {row: of_durations(timed(sizes.queries, call, warm_up=sizes.warm_up)) for row, call in calls.items()}
    few = max(1, sizes.queries // 20)
    found["graph.cheapest"] = of_durations(timed(few, lambda n: _way(graph, *asked[n], weight="weight")))
    return found | _figures(_made(random_graph(sizes.figure_nodes, sizes.figure_edges, within=0.9)))


def _made(graph: RandomGraph) -> nx.MultiDiGraph:
    made = nx.MultiDiGraph()
    made.add_nodes_from((row["id"], {"name": row["name"]}) for row in graph.nodes.to_pylist())
    ends = zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    made.add_edges_from((a, b, {"weight": weight}) for a, b, weight in ends)
    return made


def _way(graph: nx.MultiDiGraph, a: int, b: int, weight: str | None = None) -> Any:
    try:
        if weight is None:
            return nx.bidirectional_shortest_path(graph, a, b)
        return nx.dijkstra_path(graph, a, b, weight=weight)
    except nx.NetworkXNoPath:
        return None


def _figures(graph: nx.MultiDiGraph) -> Figures:
    plain = nx.Graph(graph)
    plain.remove_edges_from(nx.selfloop_edges(plain))
    single = nx.DiGraph(graph)
    calls: dict[str, Callable[[int], Any]] = {
        "graph.pagerank": lambda _: nx.pagerank(graph, tol=1e-10 / len(graph), weight=None, max_iter=1_000),
        "graph.components": lambda _: list(nx.weakly_connected_components(graph)),
        "graph.communities": lambda _: nx.community.louvain_communities(plain, seed=0),
        "graph.k_core": lambda _: nx.core_number(plain),
        "graph.triangles": lambda _: nx.triangles(plain),
        "graph.labels": lambda _: list(nx.community.fast_label_propagation_communities(plain, seed=0)),
        "graph.betweenness": lambda _: nx.betweenness_centrality(single, k=min(SAMPLE, len(single)), seed=0),
    }
    return {row: of_durations(timed(1, call)) for row, call in calls.items()}
