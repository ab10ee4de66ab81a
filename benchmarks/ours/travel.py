"""A restore drill: a snapshot of a memory that eight threads go on writing, restored elsewhere, whole and to a point.

The digest of what is restored must equal that of an independent replay: a new graph that is fed the same entries of
the log up to the same number. Where it doesn't the section fails.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import graphsvc
from benchmarks.episodes import Precomputed, episode
from benchmarks.figures import Figure, Figures, of_throughput
from benchmarks.ours.retrieval import build
from benchmarks.section import Context
from benchmarks.vectors import Vectors
from graphsvc.config import Settings
from graphsvc.log.backup import entries
from graphsvc.store.graph import GraphProjection

WRITERS = 8
SPARE_VECTORS = 1_000
CATCH_UP_SECONDS = 1_200.0
REPLAY_STEP = 1_000


def measure(context: Context) -> Figures:
    count, work = context.sizes.large, context.work
    vectors = context.vectors(count + SPARE_VECTORS)
    if not (work / "large").exists():
        build(work / "large", count, vectors)
    figures, taken = _taken(work, count, vectors)
    figures["travel.verify"] = _once(lambda: graphsvc.verify_snapshot(taken.path))
    middle = _middle(work / "large", taken.n)
    for name, ready, to in (("restore", "ready", None), ("point", "point-ready", middle)):
        target = work / f"travel-{name}"
        figures[f"travel.{name}"] = _once(lambda target=target, to=to: graphsvc.restore(taken.path, target, to=to))
        figures[f"travel.{ready}"] = _ready(work, target, taken.n if to is None else to)
    return figures


def _once(call: Callable[[], Any], note: str = "") -> Figure:
    began = time.perf_counter()
    call()
    return Figure(round((time.perf_counter() - began) * 1e3, 3), note=note)


def _taken(work: Path, count: int, vectors: Vectors) -> tuple[Figures, Any]:
    """The snapshot, and what eight threads could store meanwhile."""
    stopping = threading.Event()
    durations: list[list[float]] = [[] for _ in range(WRITERS)]
    failures: list[BaseException] = []
    with graphsvc.open(work / "large", embedder=Precomputed()) as memory:
        memory.wait(timeout=CATCH_UP_SECONDS)

        def write(place: int) -> None:
            number = place
            try:
                while not stopping.is_set():
                    began = time.perf_counter()
                    memory.episodes.store(**episode(count + number), vector=vectors[count + number % SPARE_VECTORS])
                    durations[place].append(time.perf_counter() - began)
                    number += WRITERS
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(place,)) for place in range(WRITERS)]
        for thread in threads:
            thread.start()
        began = time.perf_counter()
        taken = memory.snapshot(work / "snapshot")
        elapsed = time.perf_counter() - began
        stopping.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    calls = [seconds for each in durations for seconds in each]
    behind = ", ".join(f"{name} {taken.n - applied:,}" for name, applied in taken.applied.items())
    note = f"{taken.bytes:,} bytes in {len(taken.files)} files; entries that projections in it lie behind: {behind}"
    figures = {f"travel.pause.{name}": Figure(round(seconds * 1e3, 3)) for name, seconds in taken.pauses.items()}
    figures["travel.snapshot"] = Figure(round(elapsed * 1e3, 3), note=note)
    figures["travel.stores"] = of_throughput(len(calls), elapsed, calls, fsync=True)
    figures["travel.bytes"] = Figure(round(taken.bytes / _records(Path(taken.path)), 1))
    return figures, taken


def _records(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "memory.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM record").fetchone()[0])


def _middle(directory: Path, n: int) -> int:
    """The end of a call, about half-way through the log."""
    with closing(sqlite3.connect(directory / "memory.sqlite")) as connection:
        found = connection.execute("SELECT max(n) FROM log WHERE n <= ? AND last = 1", (n // 2,)).fetchone()[0]
    return int(found)


def _ready(work: Path, path: Path, n: int) -> Figure:
    began = time.perf_counter()
    with graphsvc.open(path, embedder=Precomputed()) as memory:
        memory.wait(timeout=CATCH_UP_SECONDS)
        elapsed = time.perf_counter() - began
        if memory.status()["head"] != n:
            raise RuntimeError(f"restored to {memory.status()['head']:,}, not to {n:,}")
        report = memory.verify()
    if not report.ok:
        raise RuntimeError(f"what was restored doesn't verify: {report.problems}")
    if report.digest != _replayed(work, n):
        raise RuntimeError("what was restored isn't what the log adds up to")
    note = "verified; digest equal to an independent replay of the log"
    return Figure(round(elapsed * 1e3, 3), note=note)


def _replayed(work: Path, n: int) -> str:
    """The digest of a new graph that is fed the log of the memory itself, and nothing else."""
    place = work / f"replayed-{n}"
    place.mkdir()
    graph = GraphProjection(place, "kuzu", Settings())
    log = work / "large" / "memory.sqlite"
    with closing(sqlite3.connect(log)) as connection:
        for start in range(0, n, REPLAY_STEP):
            graph.apply(list(entries(log, connection, start, min(n, start + REPLAY_STEP))))
    digest = graph.digest()
    graph.close()
    return digest
