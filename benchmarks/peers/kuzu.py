"""The same walks with Kuzu alone, and with its own algorithms: no log, no seam, one connection, statements prepared."""

from __future__ import annotations

import time
from typing import Any

import kuzu

from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.graphs import RandomGraph, pairs, random_graph
from benchmarks.ours.graph import ARROW, IN_CYPHER, ROUNDS
from benchmarks.section import Context

STATEMENTS = {row.replace("cypher.", "graph."): text for row, text in IN_CYPHER.items()}
FIGURES = {
    "graph.pagerank": "page_rank",
    "graph.components": "weakly_connected_components",
    "graph.communities": "louvain",
    "graph.k_core": "k_core_decomposition",
}


def measure(context: Context) -> Figures:
    sizes = context.sizes
    found: Figures = {}
    began = time.perf_counter()
    database, connection = _made(context, "kuzu", random_graph(sizes.graph_nodes, sizes.graph_edges))
    rate = (sizes.graph_nodes + sizes.graph_edges) / (time.perf_counter() - began)
    found["graph.load"] = Figure(round(rate, 1), n=sizes.graph_edges, fsync=True, note="COPY")
    asked = pairs(sizes.graph_nodes, sizes.queries + sizes.warm_up)
    for row, text in STATEMENTS.items():
        prepared = connection.prepare(text)
        names = ("a", "b") if "$b" in text else ("a",)

        def run(n: int, prepared: Any = prepared, names: Any = names) -> Any:
            return connection.execute(prepared, dict(zip(names, asked[n], strict=False))).get_all()

        found[row] = of_durations(timed(sizes.queries, run, warm_up=sizes.warm_up))
        if (asked_in_cypher := row.replace("graph.", "cypher.")) in IN_CYPHER:
            found[asked_in_cypher] = found[row]

    def arrow(_: int) -> None:
        table = connection.execute(ARROW).get_as_arrow(chunk_size=100_000)
        assert table.num_rows == sizes.graph_edges, "all of them"

    found["cypher.arrow"] = of_durations(timed(ROUNDS, arrow))
    connection.close()
    database.close()
    small = random_graph(sizes.figure_nodes, sizes.figure_edges, within=0.9)
    database, connection = _made(context, "kuzu-figures", small)
    connection.execute("CALL project_graph('G', ['P'], ['E'])")
    for row, name in FIGURES.items():

        def call(_: int, name: str = name) -> Any:
            return connection.execute(f"CALL {name}('G') RETURN *").get_all()

        found[row] = of_durations(timed(ROUNDS, call, warm_up=1))
    connection.close()
    database.close()
    return found


def _made(context: Context, name: str, graph: RandomGraph) -> tuple[Any, Any]:
    database = kuzu.Database(str(context.work / name), max_db_size=64 << 30, buffer_pool_size=512 << 20)
    connection = kuzu.Connection(database, num_threads=2)
    connection.execute("CREATE NODE TABLE P (id INT64, name STRING, PRIMARY KEY (id))")
    connection.execute("CREATE REL TABLE E (FROM P TO P, weight DOUBLE)")
    nodes, edges = graph.nodes, graph.edges
    connection.execute("COPY P FROM $t", {"t": nodes})
    connection.execute("COPY E FROM $t", {"t": edges})
    return database, connection
