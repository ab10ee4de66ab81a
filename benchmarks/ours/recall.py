"""Recall over all kinds, in the memories that `retrieval` built: skills, facts and causal edges are added to them."""

from __future__ import annotations

from typing import Any

import graphsvc
from benchmarks.episodes import Precomputed
from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.section import Context
from benchmarks.sizes import Sizes

K = 12
SHARE = 0.02
"""Of the episodes: so many skills, and as many facts and causal edges."""
CATCH_UP_SECONDS = 900.0


def measure(context: Context) -> Figures:
    sizes = context.sizes
    figures: Figures = {}
    for name, count in (("middle", sizes.middle), ("large", sizes.large)):
        few = max(10, int(count * SHARE))
        vectors = context.vectors(count + sizes.queries + sizes.warm_up + 3 * few)
        embedder = Precomputed()
        asked = vectors[count : count + sizes.queries + sizes.warm_up]
        texts = embedder.ask(asked)
        with graphsvc.open(context.work / name, embedder=embedder) as memory:
            _widen(memory, few, vectors[-3 * few :])
            memory.wait(timeout=CATCH_UP_SECONDS)
            figures[f"recall.{name}"] = _asked(memory, texts, asked, sizes)
            figures[f"recall.near.{name}"] = _asked(memory, texts, asked, sizes, near=("Skill", "skill-1"))
    return figures


def _asked(memory: graphsvc.Memory, texts: Any, vectors: Any, sizes: Sizes, **options: Any) -> Figure:
    def ask(number: int) -> None:
        found = memory.recall(texts[number], K, vector=vectors[number], **options)
        assert len(found) == K, "as many as were asked for"

    return of_durations(timed(sizes.queries, ask, warm_up=sizes.warm_up))


def _widen(memory: graphsvc.Memory, few: int, vectors: Any) -> None:
    """Skills, each with a causal edge to the reward that says why, and facts."""
    skills = [
        {"id": f"skill-{number}", "name": f"skill {number}", "description": f"does alpha{number} token{number % 97}"}
        for number in range(few)
    ]
    memory.skills.create_many(skills, vectors=vectors[:few])
    memory.causal.variable("solved", is_reward=True)
    edges = [
        {
            "cause": f"skill:skill-{number}", "effect": "solved", "uplift": number % 7 / 10 - 0.3, "confidence": 0.5,
            "mechanism": f"because of cache{number % 89}",
        }
        for number in range(few)
    ]  # fmt: skip
    memory.causal.add_many(edges)
    facts = [
        {"subject": f"service {number}", "predicate": "runs on", "object": f"alpha{number % 97}"}
        for number in range(few)
    ]
    memory.facts.add_many(facts, vectors=vectors[few : 2 * few])
