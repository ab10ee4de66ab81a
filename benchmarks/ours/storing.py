"""Durable stores of one episode: by one thread, by many, by tasks; alone, and with all followers running.

Alone: the followers are at rest (`linger` of an hour, a documented setting: each applied the first entry and
sleeps), so that what is measured is the acknowledged write and nothing else. With followers: the defaults, after
LanceDB has been loaded, whose import holds the interpreter for a second once in a process: `store.first` is
the first seconds of a process, that included. Vectors are given, so no model is measured.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

import graphsvc
from benchmarks import crowd
from benchmarks.episodes import Precomputed, episode
from benchmarks.figures import Figure, Figures, of_durations, of_throughput, timed
from benchmarks.section import Context
from benchmarks.vectors import Vectors

AT_REST = {"linger": 3600.0}
CALLERS = (1, 8, 64)
CATCH_UP_SECONDS = 300.0


def measure(context: Context) -> Figures:
    vectors = context.vectors(context.sizes.crowd_stores)
    figures: Figures = {}
    figures |= _first_seconds(context, vectors)
    for state, settings in (("alone", AT_REST), ("followed", {})):
        for callers in CALLERS:
            figures |= _by_threads(context, vectors, state, settings, callers)
        figures |= asyncio.run(_by_tasks(context, vectors, state, settings))
    figures |= _bulk(context)
    return figures


def _by_threads(context: Context, vectors: Vectors, state: str, settings: dict[str, Any], callers: int) -> Figures:
    calls = context.sizes.stores if callers == 1 else context.sizes.crowd_stores
    path = context.work / "storing"
    shutil.rmtree(path, ignore_errors=True)
    with graphsvc.open(path, embedder=Precomputed(), **settings) as memory:

        def store(number: int) -> None:
            memory.episodes.store(**episode(number), vector=vectors[number])

        timed(20, store)
        memory.wait()
        first = memory.status()["head"]
        if callers == 1:
            durations = timed(calls, lambda number: store(number % len(vectors)))
            elapsed, figure = sum(durations), of_durations(durations, fsync=True)
        else:
            elapsed, durations = crowd.threads(callers, calls, store)
            figure = of_throughput(calls, elapsed, durations, fsync=True)
        figures = {f"store.{callers}.{state}": figure}
        if state == "followed":
            figures |= _catching_up(memory, first, elapsed, f"followers.{callers}")
    return figures


def _first_seconds(context: Context, vectors: Vectors) -> Figures:
    """One thread storing from the opening on, for as long as a new process has to load everything."""
    durations: list[float] = []
    with graphsvc.open(context.work / "first", embedder=Precomputed()) as memory:
        ending = time.perf_counter() + context.sizes.first_seconds
        while (began := time.perf_counter()) < ending:
            number = len(durations)
            memory.episodes.store(**episode(number), vector=vectors[number % len(vectors)])
            durations.append(time.perf_counter() - began)
        memory.wait()
        while memory.stats()["vectors"]["waiting_for_lance"]:  # it is loaded then, for all that comes
            time.sleep(0.05)
    return {"store.first": of_durations(durations, fsync=True)}


def _catching_up(memory: graphsvc.Memory, first: int, elapsed: float, row: str) -> Figures:
    """How many entries a second the slowest follower took, storing and catching up; and how far it was behind."""
    status = memory.status()
    began = time.perf_counter()
    memory.wait(timeout=CATCH_UP_SECONDS)
    caught_up = time.perf_counter() - began
    taken = status["head"] - first
    lag = ", ".join(f"{name} {entries:,}" for name, entries in status["lag"].items())
    note = f"behind at the last store: {lag}; caught up {caught_up:.2f} s later"
    return {row: Figure(round(taken / (elapsed + caught_up), 1), n=taken, note=note)}


async def _by_tasks(context: Context, vectors: Vectors, state: str, settings: dict[str, Any]) -> Figures:
    calls = context.sizes.crowd_stores
    path = context.work / "storing"
    shutil.rmtree(path, ignore_errors=True)
    async with graphsvc.aopen(path, embedder=Precomputed(), **settings) as memory:

        async def store(number: int) -> None:
            await memory.episodes.store(**episode(number), vector=vectors[number])

        for number in range(20):
            await store(number)
        await memory.wait()
        elapsed, durations = await crowd.tasks(64, calls, store)
        return {f"store.tasks.{state}": of_throughput(calls, elapsed, durations, fsync=True)}


def _bulk(context: Context) -> Figures:
    """Many stored by one call, until text and vectors find them."""
    sizes = context.sizes
    vectors = context.vectors(sizes.bulk * sizes.bulk_rounds)
    path = context.work / "storing"
    shutil.rmtree(path, ignore_errors=True)
    with graphsvc.open(path, embedder=Precomputed()) as memory:
        memory.episodes.store(session="s", task="the first", vector=vectors[0], wait="searchable")
        memory.wait()

        def store(number: int) -> None:
            start = number * sizes.bulk
            rows = [episode(start + place) for place in range(sizes.bulk)]
            memory.episodes.store_many(rows, vectors=vectors[start : start + sizes.bulk], wait="searchable")

        figure = of_durations(timed(sizes.bulk_rounds, store), fsync=True)
    shutil.rmtree(path)
    return {"bulk": figure}
