"""The rows of the table, declared once: what each is called, its unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.quality.measures import MEASURES
from benchmarks.sizes import Sizes

OPERATIONS = {
    "cached": "recall of 10, cached", "trusted": "the same, its document by id",
    "uncached": "recall of 10, uncached", "near": "2 steps in a graph, 50 nodes", "store": "store an episode",
}  # fmt: skip
"""What is asked of the service, and of its peers, over HTTP."""
CONNECTIONS = (1, 16, 64)

Unit = Literal["ms", "/s", "bytes", "share", "times", "MiB", "count"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        id: what sections file their figures under. label: what it is called; numbers are those of `Sizes`.
        unit: `ms` is a median; less is better, of bytes and times too. extra: measured in full runs only.
    """

    id: str
    label: str
    unit: Unit = "ms"
    extra: bool = False

    def title(self, sizes: Sizes) -> str:
        return self.label.format_map({name: f"{value:,}" for name, value in sizes.by_name().items()})

    def advantage(self, ours: float, theirs: float) -> float | None:
        """How many times as good ours is: over 1 we are ahead."""
        if not ours or not theirs:
            return None
        return ours / theirs if self.unit == "/s" else theirs / ours


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """Who is measured: `id` is what its figures are filed under."""

    id: str
    title: str


OURS = Side("ours", "graphsvc")
PEERS = (
    Side("agentdb", "AgentDB, as it comes"),
    Side("agentdb_durable", "AgentDB, synchronous=FULL"),
    Side("lancedb", "LanceDB alone"),
    Side("kuzu", "Kuzu alone"),
    Side("networkx", "networkx"),
    Side("sqlite", "SQLite, synchronous=FULL"),
    Side("sentence_transformers", "sentence-transformers"),
    Side("strawberry", "Strawberry, constants"),
    Side("starlette", "Starlette, constants"),
)


def _stores(state: str, words: str) -> tuple[Row, ...]:
    return (
        Row(f"store.1.{state}", f"one episode, 1 thread, {words}"),
        Row(f"store.8.{state}", f"episodes, 8 threads, {words}", "/s"),
        Row(f"store.64.{state}", f"episodes, 64 threads, {words}", "/s"),
        Row(f"store.tasks.{state}", f"episodes, 64 asyncio tasks, {words}", "/s"),
    )


def _retrievals(name: str) -> tuple[Row, ...]:
    of = f"10 of {{{name}}}"
    return (
        Row(f"retrieve.vector.{name}", f"{of}, vector"),
        Row(f"retrieve.text.{name}", f"{of}, BM25"),
        Row(f"retrieve.blend.{name}", f"{of}, blend"),
        Row(f"retrieve.cached.{name}", f"{of}, blend, cached"),
        Row(f"retrieve.rare.{name}", f"{of}, vector, filter passing 3 %"),
        Row(f"retrieve.broad.{name}", f"{of}, vector, filter passing 80 %"),
        Row(f"retrieve.blend-rare.{name}", f"{of}, blend, filter passing 3 %"),
    )


CROWDS = Group(
    "A crowd at the service, {middle} episodes: operations a second, 30 of 100 store, the others recall",
    (
        *(row for name, words in (
            ("clients", "{clients} clients, {each} operations each"),
            ("crowd", "{crowd} clients, {each} operations each"),
            ("burst", "{burst_first} clients, and {crowd} at once, {burst_each} operations each"),
        ) for row in (
            Row(f"crowd.{name}", words, "/s"),
            Row(f"crowd.{name}.stores", "of these the stores", "/s"),
            Row(f"crowd.{name}.again", "answers that told to come again (429, 503)", "count"),
            Row(f"crowd.{name}.memory", "memory of the worker meanwhile, at most", "MiB"),
        )),
        Row("crowd.rest.memory", "memory of the worker before", "MiB"),
        Row("crowd.failed", "operations that failed", "count"),
        Row("crowd.lost", "acknowledged writes that are lost, of all of these", "count"),
    ),
)  # fmt: skip
"""What `make bench-load` measures; a whole run shows it as it was measured then."""

GROUPS = (
    Group(
        "Starting",
        (
            Row("import", "import graphsvc, best"),
            Row("help", "graphsvc --help, whole process, best"),
            Row("open.new", "make a memory"),
            Row("open.empty", "open an empty one"),
            Row("open.middle", "open one of {middle} episodes"),
            Row("open.large", "open one of {large} episodes"),
            Row("reopen.middle", "reopen {middle} and answer a query"),
            Row("reopen.large", "reopen {large} and answer a query"),
        ),
    ),
    Group("Storing, durable, followers at rest", _stores("alone", "alone")),
    Group(
        "Storing, durable, all followers running",
        (
            Row("store.first", "one episode, 1 thread, the first 4 s of a process"),
            *_stores("followed", "followed"),
            Row("followers.1", "slowest follower, sustained, 1 thread storing", "/s"),
            Row("followers.8", "slowest follower, sustained, 8 threads storing", "/s"),
            Row("followers.64", "slowest follower, sustained, 64 threads storing", "/s"),
            Row("bulk", "{bulk} episodes in one call, until searchable"),
        ),
    ),
    Group("Retrieving", (*_retrievals("small"), *_retrievals("middle"), *_retrievals("large"))),
    Group(
        "Skills",
        (Row("skills.uncached", "10 of {skills}, blend"), Row("skills.cached", "10 of {skills}, blend, cached")),
    ),
    Group(
        "Recall over all kinds: episodes, and of each a fiftieth of skills, facts and causal edges",
        (
            Row("recall.middle", "12 of {middle}"),
            Row("recall.near.middle", "12 of {middle}, near a node"),
            Row("recall.large", "12 of {large}"),
            Row("recall.near.large", "12 of {large}, near a node"),
        ),
    ),
    Group(
        "Facts in time, of {large}, single predicate",
        (
            Row("facts.add", "one fact, 1 thread, durable, followed"),
            Row("facts.at", "true at a moment, of a subject with 1,000"),
            Row("facts.at-known", "the same, as it was known at another"),
        ),
    ),
    Group(
        "Causal edges, 200 among 40 nodes",
        (
            Row("causal.add", "add one, 1 thread"),
            Row("causal.chain", "the 10 best chains of depth 3"),
            Row("causal.effects", "the effects of a node"),
        ),
    ),
    Group(
        "The graph: {graph_nodes} nodes, {graph_edges} edges of one's own",
        (
            Row("graph.load", "nodes and edges taken in, durable, all edges in one call", "/s"),
            Row("graph.read", "the first walk: all edges read into memory"),
            Row("graph.key", "a node and its properties, by key"),
            Row("cypher.key", "a column by key, in Cypher"),
            Row("cypher.hop1", "nodes 1 step away, in Cypher"),
            Row("cypher.hop2", "nodes up to 2 steps away, in Cypher"),
            Row("cypher.hop3", "nodes up to 3 steps away, in Cypher"),
            Row("cypher.path", "the length of a shortest way, in Cypher"),
            Row("cypher.arrow", "{graph_edges} rows of three columns as Arrow"),
            Row("graph.hop1", "nodes 1 step away"),
            Row("graph.hop2", "nodes up to 2 steps away"),
            Row("graph.hop3", "nodes up to 3 steps away"),
            Row("graph.path", "a shortest way between two"),
            Row("graph.cheapest", "a cheapest way between two"),
        ),
    ),
    Group(
        "As of a time: {figure_nodes} nodes, {figure_edges} edges, half of them written twice; as a multiple of now",
        tuple(
            Row(f"graph.then.{name}.{row}", f"{walk}, {what}", "times")
            for name, what in (("edges", "edges keep their past"), ("both", "nodes too"))
            for row, walk in (("hop1", "1 step"), ("hop3", "up to 3 steps"), ("path", "a shortest way"))
        ),
    ),
    Group(
        "Over a whole graph: {figure_nodes} nodes, {figure_edges} edges",
        (
            Row("graph.pagerank", "PageRank"),
            Row("graph.components", "components"),
            Row("graph.communities", "communities, Louvain"),
            Row("graph.labels", "communities, label propagation"),
            Row("graph.k_core", "core numbers"),
            Row("graph.triangles", "triangles"),
            Row("graph.betweenness", "betweenness from 64 nodes"),
        ),
    ),
    Group(
        "Embedding (all-MiniLM-L6-v2)",
        tuple(
            Row(f"embed.{length}.{form}", f"texts of {characters} characters, {words}", "/s", extra=form != "fp32")
            for length, characters in (("short", "130"), ("long", "1,200"))
            for form, words in (
                ("fp32", "onnx"), ("fp32-workers", "onnx, 2 workers"), ("int8", "onnx-int8"),
                ("int8-workers", "onnx-int8, 2 workers"),
            )
        ),
    ),
    Group(
        "On disk, of {middle} episodes with vectors",
        (
            Row("bytes.total", "bytes a record", "bytes"),
            Row("bytes.log", "of these memory.sqlite: log, records, ids", "bytes"),
            Row("bytes.graph", "graph", "bytes"),
            Row("bytes.text", "text.tantivy", "bytes"),
            Row("bytes.lance", "vectors.lance", "bytes"),
            Row("bytes.hot", "hot.index and hot.columns", "bytes"),
        ),
    ),
    Group(
        "The service, over HTTP: {middle} episodes, requests a second, GraphQL",
        (
            *(Row(f"http.{name}.{number}", f"{words}, {number} connection{'s'[: number > 1]}", "/s")
              for name, words in OPERATIONS.items() for number in CONNECTIONS),
            Row("http.mixed.80", "80 of 100 recall, 20 store, 16 connections", "/s"),
            Row("http.mixed.80.hits", "of these recalls answered by the cache", "share"),
            Row("http.mixed.30", "30 of 100 recall, 70 store, 16 connections", "/s"),
            Row("http.mixed.30.hits", "of these recalls answered by the cache", "share"),
            Row("http.memory.rest", "memory of the worker at rest", "MiB"),
            Row("http.memory.load", "after all of this", "MiB"),
            Row("http.ready.hashing", "from the start to /ready"),
            Row("http.ready.model", "the same, of a memory with a model"),
            Row("http.ready.answered", "and to an answer whose text the model embedded"),
        ),
    ),
    CROWDS,
    Group(
        "Travelling: {large} episodes with vectors, once each",
        (
            Row("travel.snapshot", "take a snapshot, 8 threads storing"),
            Row("travel.pause.graph", "the graph rests meanwhile for"),
            Row("travel.pause.text", "full text"),
            Row("travel.pause.vectors", "vectors"),
            Row("travel.stores", "episodes stored meanwhile", "/s"),
            Row("travel.bytes", "the snapshot, bytes a record", "bytes"),
            Row("travel.verify", "compare all checksums"),
            Row("travel.restore", "restore it"),
            Row("travel.ready", "open what was restored, until all has caught up"),
            Row("travel.point", "restore it to the middle of its log"),
            Row("travel.point-ready", "open that, until all is made anew"),
        ),
    ),
)  # fmt: skip


JUDGED = {
    "functions": "docstring → function",
    "tasks": "critique → its task",
    "sessions": "critique → what other sessions of its task wrote",
}
WAYS = {"vector": "by meaning", "text": "by words", "blend": "blend", "gain": "blend over the better of the two"}
ARMS = {
    "none": "without memory", "memory": "with memory", "shuffled": "memory, critiques shuffled",
    "answers": "memory, answers looked up",
}  # fmt: skip
ATTEMPTS = range(1, 7)


def _found() -> tuple[Row, ...]:
    """What stands on the page about quality: shares, counts, and differences of shares."""
    return (
        *(Row(f"quality.{task}.documents", f"{words}: documents", "share", task != "functions")
          for task, words in JUDGED.items()),
        *(Row(f"quality.{task}.{measure}.{way}", f"{words}, {measure}, {how}", "share", task != "functions")
          for task, words in JUDGED.items() for measure in MEASURES for way, how in WAYS.items()),
        Row("quality.weight", "share of meaning in the blend, as chosen", "share"),
        *(Row(f"helps.{arm}.{allowed}", f"{words}, {allowed} attempts", "share", extra=True)
          for arm, words in ARMS.items() for allowed in ATTEMPTS),
        *(Row(f"helps.over.{arm}", f"memory over: {words}", "share", extra=True)
          for arm, words in ARMS.items() if arm != "memory"),
    )  # fmt: skip


FOUND = _found()
"""Rows of `docs/quality.md`, which a run writes too."""


def rows(*, extra: bool = True) -> tuple[Row, ...]:
    """All rows in order; without those that only a full run measures, if asked for."""
    every = (*(row for group in GROUPS for row in group.rows), *FOUND)
    return tuple(row for row in every if extra or not row.extra)
