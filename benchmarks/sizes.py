"""How large each measurement is."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of records, calls and texts.

    Attributes:
        small, middle, large: episodes in the memory that is searched.
        queries: of each kind of retrieval. warm_up: calls before those that are timed.
        stores: by one thread; crowd_stores: by 8, 64 threads and 64 tasks, all together.
        bulk: episodes stored by one call. bulk_rounds: how often.
        skills: in the memory that is searched. reopenings: processes that open a memory, for each figure.
        starts: processes that import graphsvc or ask for its help. patience: how many times more a process is started
            while none was near its ceiling.
        short_texts, long_texts: embedded.
        functions: asked for by their docstrings. questions: of each kind about critiques, at most.
        trial_seeds, trial_tasks: with how many seeds the agent is tried, on how many tasks each.
        graph_nodes, graph_edges: of the graph that is walked; figure_nodes, figure_edges: of that which algorithms are
            run over.
        http_seconds: for which each request is sent over HTTP, at each number of connections, in each of `http_rounds`;
            mixed_seconds: reads and writes mixed. service_starts: of the service, until it is ready.
        first_seconds: of a process that stores from its start.
        clients, crowd: of the long form, each with so many operations (`each`); burst_first: that are there before
            the crowd comes, for `burst_each` operations each. waiting: of them at most; the rest come again.
        every_runtime: measure int8, workers and sentence-transformers too.
    """

    small: int = 1_000
    middle: int = 10_000
    large: int = 100_000
    queries: int = 100
    warm_up: int = 5
    stores: int = 2_000
    crowd_stores: int = 12_800
    bulk: int = 1_000
    bulk_rounds: int = 5
    skills: int = 200
    reopenings: int = 5
    starts: int = 5
    patience: int = 0
    short_texts: int = 256
    long_texts: int = 48
    functions: int = 2_000
    questions: int = 4_000
    trial_seeds: int = 10
    trial_tasks: int = 48
    graph_nodes: int = 100_000
    graph_edges: int = 1_000_000
    figure_nodes: int = 10_000
    figure_edges: int = 100_000
    http_seconds: float = 0.6
    http_rounds: int = 5
    first_seconds: float = 4.0
    mixed_seconds: float = 10.0
    service_starts: int = 5
    clients: int = 1_000
    crowd: int = 10_000
    each: int = 10
    burst_first: int = 10
    burst_each: int = 2
    waiting: int = 1_000
    every_runtime: bool = True

    def by_name(self) -> dict[str, int]:
        """The numbers that stand in the labels of rows."""
        return {name: value for name, value in asdict(self).items() if not isinstance(value, bool)}


FULL = Sizes()

QUICK = Sizes(
    small=200, middle=400, large=1_200, queries=20, warm_up=2, stores=60, crowd_stores=192, bulk=150, bulk_rounds=2,
    skills=50, reopenings=1, starts=1, patience=5, short_texts=16, long_texts=4, functions=60, graph_nodes=2_000,
    graph_edges=10_000, figure_nodes=300, figure_edges=1_500, http_seconds=0.02, http_rounds=3, mixed_seconds=0.4,
    first_seconds=0.5, service_starts=1, clients=20, crowd=150, each=1, burst_each=1, waiting=30, every_runtime=False,
)  # fmt: skip
"""For the test: every row of ours, in under a minute, saying nothing about speed."""
