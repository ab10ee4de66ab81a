"""Search among skills, vectors given."""

from __future__ import annotations

import graphsvc
from benchmarks.episodes import Precomputed
from benchmarks.figures import Figures, of_durations, timed
from benchmarks.section import Context

K = 10


def measure(context: Context) -> Figures:
    sizes = context.sizes
    vectors = context.vectors(sizes.skills + sizes.queries + sizes.warm_up)
    asked = vectors[sizes.skills :]
    embedder = Precomputed()
    texts = embedder.ask(asked)
    with graphsvc.open(context.work / "skills", embedder=embedder) as memory:
        skills = [
            {"name": f"skill {number}", "description": f"does thing {number}", "code": f"return {number}"}
            for number in range(sizes.skills)
        ]
        memory.skills.create_many(skills, vectors=vectors[: sizes.skills], wait="searchable")
        memory.wait()

        def search(number: int) -> None:
            memory.skills.search(texts[number], K, vector=asked[number])

        def search_again(number: int) -> None:
            memory.skills.search(texts[number], K)

        uncached = timed(sizes.queries, search, warm_up=sizes.warm_up)
        timed(sizes.queries, search_again)
        cached = timed(sizes.queries, search_again)
    return {"skills.uncached": of_durations(uncached), "skills.cached": of_durations(cached)}
