"""The same model by sentence-transformers on torch, one thread: what our runtimes are compared with."""

from __future__ import annotations

import time

from benchmarks.figures import Figures, of_throughput
from benchmarks.ours.embedding import LONG, SHORT, texts
from benchmarks.section import Context


def measure(context: Context) -> Figures:
    import torch
    from sentence_transformers import SentenceTransformer

    from graphsvc.config import Settings
    from graphsvc.embedding.locate import locate

    torch.set_num_threads(1)
    model = SentenceTransformer(str(locate("minilm", Settings()).directory), device="cpu")
    model.encode(texts(32, SHORT), batch_size=32)
    figures: Figures = {}
    for name, count, length in (
        ("short", context.sizes.short_texts, SHORT), ("long", context.sizes.long_texts, LONG),
    ):  # fmt: skip
        given = texts(count, length)
        began = time.perf_counter()
        model.encode(given, batch_size=32, normalize_embeddings=True)
        figure = of_throughput(count, time.perf_counter() - began)
        for form in ("fp32", "fp32-workers", "int8", "int8-workers"):
            figures[f"embed.{name}.{form}"] = figure
    return figures
