"""Retrieval of ten among many, the vectors of episodes and questions given; and how large the memory is on disk.

Uncached calls give the question's vector (`vector=`), which no cache answers. Cached ones ask again what was
asked, with an embedder that looks vectors up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphsvc
from benchmarks.episodes import BROAD_FILTER, RARE_FILTER, Precomputed, batches, episodes
from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.section import Context
from benchmarks.vectors import Vectors

K = 10
CATCH_UP_SECONDS = 900.0
DISK_BLOCK = 512


def measure(context: Context) -> Figures:
    figures: Figures = {}
    sizes = context.sizes
    for name, count in (("small", sizes.small), ("middle", sizes.middle), ("large", sizes.large)):
        vectors = context.vectors(count + sizes.queries + sizes.warm_up)
        build(context.work / name, count, vectors)
        figures |= _measured(context, name, count, vectors)
    figures |= _bytes(context.work / "middle", sizes.middle)
    return figures


def build(path: Path, count: int, vectors: Vectors) -> None:
    """A memory of so many episodes, everything caught up, closed."""
    with graphsvc.open(path, embedder=Precomputed()) as memory:
        for start, length in batches(count):
            memory.episodes.store_many(episodes(start, length), vectors=vectors[start : start + length])
        memory.wait(timeout=CATCH_UP_SECONDS)


def _measured(context: Context, name: str, count: int, vectors: Vectors) -> Figures:
    sizes = context.sizes
    embedder = Precomputed()
    asked = vectors[count:]
    texts = embedder.ask(asked)
    with graphsvc.open(context.work / name, embedder=embedder) as memory:
        memory.wait(timeout=CATCH_UP_SECONDS)

        def figure(**options: Any) -> Figure:
            returned = [0]

            def ask(number: int) -> None:
                hits = memory.episodes.retrieve(texts[number], K, vector=asked[number], **options)
                returned[0] += len(hits) if number < sizes.queries else 0

            durations = timed(sizes.queries, ask, warm_up=sizes.warm_up)
            found = returned[0] / sizes.queries
            return of_durations(durations, note="" if found == K else f"{found:.2f} results")

        def ask_again(number: int) -> None:
            memory.episodes.retrieve(texts[number], K)

        figures = {
            f"retrieve.vector.{name}": figure(mode="vector"),
            f"retrieve.text.{name}": figure(mode="text"),
            f"retrieve.blend.{name}": figure(mode="blend"),
            f"retrieve.rare.{name}": figure(mode="vector", where=RARE_FILTER),
            f"retrieve.broad.{name}": figure(mode="vector", where=BROAD_FILTER),
            f"retrieve.blend-rare.{name}": figure(mode="blend", where=RARE_FILTER),
        }
        timed(sizes.queries, ask_again)
        figures[f"retrieve.cached.{name}"] = of_durations(timed(sizes.queries, ask_again))
    return figures


def _bytes(path: Path, count: int) -> Figures:
    """Bytes on disk for each record, of the closed memory, by the first name below the directory."""
    by_name: dict[str, int] = {}
    for file in path.rglob("*"):
        if file.is_file():
            name = file.relative_to(path).parts[0]
            by_name[name] = by_name.get(name, 0) + file.stat().st_blocks * DISK_BLOCK
    figures = {"bytes.total": Figure(round(sum(by_name.values()) / count, 1), n=count)}
    for row, prefix in (
        ("log", "memory.sqlite"), ("graph", "graph."), ("text", "text.tantivy"), ("lance", "vectors.lance"),
        ("hot", "hot."),
    ):  # fmt: skip
        taken = sum(size for name, size in by_name.items() if name.startswith(prefix))
        figures[f"bytes.{row}"] = Figure(round(taken / count, 1), n=count)
    return figures
