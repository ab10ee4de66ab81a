"""The episodes of AgentDB's bench, with the words of its hybrid search as output; and the questions asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.vectors import DIMENSION, Vectors

WORDS = (
    "alpha", "beta", "gamma", "delta", "cache", "token", "login", "retry",
    "deploy", "index", "graph", "memory", "agent", "vector", "query", "schema",
)  # fmt: skip
WORDS_PER_TEXT = 20

RARE_FILTER = {"reward": {"ge": 0.9}, "success": False}
"""What its bench filters by: 3.3 % of the episodes."""
BROAD_FILTER = {"reward": {"ge": 0.2}}
"""80 % of them."""


def episode(number: int) -> dict[str, Any]:
    """One episode, as `episodes.store` takes it."""
    return {
        "session": f"s{number % 50}",
        "task": f"task {number % 500} variant {number}",
        "input": f"in {number}",
        "output": words(number),
        "critique": f"critique {number}",
        "reward": number * 37 % 100 / 100,
        "success": number % 3 != 0,
        "latency_ms": 100 + number % 50,
        "tokens": 500,
        "tags": ["a", "b"],
        "metadata": {"k": number % 7},
    }


def episodes(start: int, count: int) -> list[dict[str, Any]]:
    return [episode(number) for number in range(start, start + count)]


def words(number: int) -> str:
    """Twenty words, as in the texts of its hybrid search."""
    return " ".join(
        f"{WORDS[(number * 7 + place * place * 3) % len(WORDS)]}{(number + place) % 97}"
        for place in range(WORDS_PER_TEXT)
    )


def question(number: int) -> str:
    """What its hybrid search asks for."""
    return f"alpha3 token{number % 97} cache5 question {number}"


def batches(total: int, size: int = 10_000) -> Iterator[tuple[int, int]]:
    """Start and length of the parts of a large number."""
    for start in range(0, total, size):
        yield start, min(size, total - start)


class Precomputed:
    """An embedder that looks vectors up: embedding is excluded, as in AgentDB's bench.

    Questions have theirs; any other text gets a vector that depends on the text alone.
    """

    def __init__(self) -> None:
        self.known: dict[str, Vectors] = {}

    def ask(self, vectors: Vectors) -> list[str]:
        """Give each question its vector; gives the questions."""
        asked = [question(number) for number in range(len(vectors))]
        self.known.update(zip(asked, vectors, strict=True))
        return asked

    def __call__(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.known[text] if text in self.known else _any_vector(text) for text in texts])


def _any_vector(text: str) -> Vectors:
    chance = np.random.default_rng(list(text.encode()))
    vector = chance.standard_normal(DIMENSION).astype(np.float32)
    unit: Vectors = vector / np.float32(np.linalg.norm(vector))
    return unit
