"""Crowds of clients at the service: a thousand, ten thousand, and a burst from ten to ten thousand; 30 of 100 of what
they do is storing, the rest recalls.

Each client has a connection. Every operation must succeed, after answers that told to come again (429, 503) at most: a
connection that is lost, another status, an error in the answer makes the section fail. At the end the service is
stopped, the memory opened again, and every acknowledged write looked up by its id; the count of records must agree.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

import graphsvc
from benchmarks.asked import STORED, recalls, store
from benchmarks.callers import Callers, Plan, calling
from benchmarks.figures import Figure, Figures
from benchmarks.ours.service import QUESTIONS, RECALLED, build, questions
from benchmarks.rates import figure_of
from benchmarks.section import Context
from benchmarks.served import Server, service
from benchmarks.sizes import Sizes
from graphsvc.service.supervisor import resident_bytes

WRITES = 0.3
LOOK_SECONDS = 0.2
FIRST_SECONDS = 2.0
"""For which the first few of a burst are alone."""
LOOKED_UP = 1_000
"""Ids of one call."""


def measure(context: Context) -> Figures:
    sizes = context.sizes
    directory = context.work / "crowds"
    vectors = context.vectors(sizes.middle + QUESTIONS)
    build(directory, sizes, vectors[: sizes.middle])
    reads = recalls(questions("crowd", QUESTIONS), vectors[sizes.middle :])
    vector = vectors[sizes.middle].tolist()
    settings = {"concurrency_queue": str(sizes.waiting)}
    found: Figures = {}
    written: list[str] = []
    with calling() as callers, service(directory, context.work / "crowds.log", **settings) as server:
        found["crowd.rest.memory"] = Figure(round(server.worker_mib(), 1))
        for name, (clients, each, first) in _crowds(sizes).items():
            plan = Plan(
                server.port, clients, first=first, first_seconds=min(FIRST_SECONDS, sizes.mixed_seconds), each=each,
                reads=reads, skewed=True, answer=RECALLED, write=store(vector, f"{name}-"), writes=WRITES,
                written=STORED, again=True,
            )  # fmt: skip
            found |= _crowd(callers, server, plan, name, written)
        restarts = server.counted("graphsvc_worker_restarts")
    if restarts:
        raise RuntimeError(f"{restarts:g} workers ended")
    lost = _lost(directory, written, sizes.middle)
    found["crowd.failed"] = Figure(0, n=sum(found[f"crowd.{name}"].n for name in _crowds(sizes)))  # else it had ended
    found["crowd.lost"] = Figure(len(lost), n=len(written))
    if lost:
        raise RuntimeError(f"{len(lost):,} of {len(written):,} acknowledged writes are lost: {lost[:5]}")
    return found


def _crowds(sizes: Sizes) -> dict[str, tuple[int, int, int]]:
    """Clients, operations of each, and how many of them begin."""
    return {
        "clients": (sizes.clients, sizes.each, 0),
        "crowd": (sizes.crowd, sizes.each, 0),
        "burst": (sizes.crowd, sizes.burst_each, sizes.burst_first),
    }


def _crowd(callers: Callers, server: Server, plan: Plan, name: str, written: list[str]) -> Figures:
    with _peak(server.worker()) as peak:
        done = callers.load(plan)
    if len(done.all) < plan.callers * plan.each:
        raise RuntimeError(f"{len(done.all):,} of {plan.callers * plan.each:,} operations ended")
    written += [f"{name}-{id}" for id in done.ids]
    return {
        f"crowd.{name}": figure_of([done]),
        f"crowd.{name}.stores": figure_of([replace(done, reads=[])], fsync=True),
        f"crowd.{name}.again": Figure(done.again, n=len(done.all)),
        f"crowd.{name}.memory": Figure(round(max(peak), 1)),
    }


@contextmanager
def _peak(pid: int) -> Iterator[list[float]]:
    """MiB that a process takes, looked at until the end of the block."""
    found = [resident_bytes(pid) / 2**20]
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            found.append(resident_bytes(pid) / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _lost(directory: Path, written: list[str], before: int) -> list[str]:
    """Acknowledged writes that the memory, opened again, doesn't have."""
    with graphsvc.open(directory, create=False) as memory:
        lost = []
        for start in range(0, len(written), LOOKED_UP):
            ids = written[start : start + LOOKED_UP]
            records = memory.get_many([("episode", "default", id) for id in ids])
            lost += [id for id, record in zip(ids, records, strict=True) if record is None]
        count = memory.episodes.count()
    if not lost and count != before + len(written):
        raise RuntimeError(f"{count:,} episodes, not {before:,} and the {len(written):,} that were stored")
    return lost
