"""Texts embedded a second, short and long, by runtime and number of worker processes. No cache takes part."""

from __future__ import annotations

import random
import time
from typing import Any

from benchmarks.episodes import WORDS
from benchmarks.figures import Figure, Figures, of_throughput
from benchmarks.section import Context
from graphsvc.config import Settings
from graphsvc.embedding.service import EmbeddingService

SHORT, LONG = 130, 1_200
"""Characters."""
QUICK_FORMS: dict[str, dict[str, Any]] = {"fp32": {}}
FORMS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32-workers": {"workers": 2},
    "int8": {"embedder_runtime": "onnx-int8"},
    "int8-workers": {"embedder_runtime": "onnx-int8", "workers": 2},
}


def measure(context: Context) -> Figures:
    figures: Figures = {}
    for form, settings in (FORMS if context.sizes.every_runtime else QUICK_FORMS).items():
        service = EmbeddingService(Settings(embedding_cache=False, embedding_cache_entries=0, **settings))
        try:
            service.encode([sentence(random.Random(number), SHORT) for number in range(64)])  # loads it
            figures[f"embed.short.{form}"] = _rate(service, context.sizes.short_texts, SHORT)
            figures[f"embed.long.{form}"] = _rate(service, context.sizes.long_texts, LONG)
        finally:
            service.close()
    return figures


def _rate(service: EmbeddingService, count: int, length: int) -> Figure:
    given = texts(count, length)
    began = time.perf_counter()
    service.encode(given)
    return of_throughput(count, time.perf_counter() - began)


def texts(count: int, length: int) -> list[str]:
    """Seeded texts of about so many characters, no two alike."""
    chance = random.Random(length)
    return [f"{number} {sentence(chance, length)}" for number in range(count)]


def sentence(chance: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        text += f"{chance.choice(WORDS)} "
    return text[:length]
