"""Many callers at once: threads that store, and asyncio tasks that store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any


def threads(count: int, calls: int, call: Callable[[int], Any]) -> tuple[float, list[float]]:
    """Share `calls` out among threads that begin together; gives the elapsed seconds and those of each call."""
    start = threading.Barrier(count + 1)
    durations: list[list[float]] = [[] for _ in range(count)]
    failures: list[BaseException] = []

    def run(place: int) -> None:
        start.wait()
        try:
            for number in range(place, calls, count):
                began = time.perf_counter()
                call(number)
                durations[place].append(time.perf_counter() - began)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - began
    if failures:
        raise failures[0]
    return elapsed, [duration for each in durations for duration in each]


async def tasks(count: int, calls: int, call: Callable[[int], Awaitable[Any]]) -> tuple[float, list[float]]:
    """The same with asyncio tasks on the running loop."""
    durations: list[float] = []

    async def run(place: int) -> None:
        for number in range(place, calls, count):
            began = time.perf_counter()
            await call(number)
            durations.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(run(place) for place in range(count)))
    return time.perf_counter() - began, durations
