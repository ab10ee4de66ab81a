"""Judged questions put to a memory, through what everyone calls: `episodes.retrieve` and `skills.search`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from smith.arms import paired_interval

import graphsvc
from benchmarks.quality.judged import Judged, Question
from benchmarks.quality.measures import DEPTH, MEASURES

Values = NDArray[np.float64]
"""A row for each question, a column for each measure."""

EMBED_SECONDS = 3_600.0
SINGLES = ("vector", "text")


@contextmanager
def holding(judged: Judged, embedder: str = "minilm") -> Iterator[graphsvc.Memory]:
    """A memory of the documents, everything embedded; it goes afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="graphsvc-quality-") as folder,
        graphsvc.open(Path(folder) / "memory", embedder=embedder) as memory,
    ):
        store = memory.skills.create_many if judged.kind == "skill" else memory.episodes.store_many
        store(judged.documents)
        memory.wait(timeout=EMBED_SECONDS)
        yield memory


def ask(memory: graphsvc.Memory, judged: Judged, questions: Sequence[Question], **options: Any) -> Values:
    """Every measure for every question; `options` as for `retrieve`: `mode`, `weight`."""
    found = np.zeros((len(questions), len(MEASURES)))
    for place, asked in enumerate(questions):
        if judged.kind == "skill":  # by relevance alone: none of these skills has been used
            hits: Any = memory.skills.search(asked.text, DEPTH, where=asked.where, weights={"similarity": 1}, **options)
        else:
            hits = memory.episodes.retrieve(asked.text, DEPTH, where=asked.where, **options)
        ids = [hit.record.id for hit in hits]
        found[place] = [measure(ids, asked.right) for measure in MEASURES.values()]
    return found


def gains(
    blend: Values, singles: dict[str, Values], questions: Sequence[Question]
) -> dict[str, tuple[float, float, float]]:
    """By measure: how far the blend is over the better of the two alone, and the paired 95 % interval of that."""
    groups = [asked.group for asked in questions]
    found = {}
    for column, name in enumerate(MEASURES):
        better = max((values[:, column] for values in singles.values()), key=lambda values: float(values.mean()))
        found[name] = paired_interval((blend[:, column] - better).tolist(), groups)
    return found
