"""Does a memory help an agent? The four arms of `datasets/smith/arms.py`, with real memories, on fresh tasks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from smith import arms

import graphsvc
from benchmarks import DATASETS
from benchmarks.figures import Figure, Figures
from benchmarks.section import Context

EMBED_SECONDS = 3_600.0
OTHERS = ("none", "shuffled", "answers")


def measure(context: Context) -> Figures:
    seeds = arms.REPORTED[: context.sizes.trial_seeds]
    return figures_of(faced(seeds, context.sizes.trial_tasks, shuffles=arms.SHUFFLES))


def faced(
    seeds: Sequence[int], tasks: int, *, shuffles: Sequence[int], embedder: str = "minilm", **options: Any
) -> list[arms.Faced]:
    """What every arm did on so many fresh tasks of each seed; seeds take the shuffles in turn.

    `options` as for `retrieve`.

    Raises:
        AssertionError: a fresh task is in the memory, which mustn't be.
    """
    episodes = [json.loads(line) for line in (DATASETS / "episodes.jsonl").read_text("utf-8").splitlines()]
    with ExitStack() as stack:
        real = stack.enter_context(holding(episodes, embedder))
        confused = [stack.enter_context(holding(arms.shuffled(episodes, one), embedder)) for one in shuffles]
        found: list[arms.Faced] = []
        for turn, seed in enumerate(seeds):
            other = confused[turn % len(confused)]
            recalls = [arms.recalling(partial(one.episodes.retrieve, **options)) for one in (real, other)]
            found += arms.face(seed, tasks, *recalls, done=lambda arm: None)
        known = real.episodes.count({"task": {"in": [one.task.text for one in found]}})
        assert not known, f"{known} episodes in memory are of tasks that were to be fresh"
    return found


@contextmanager
def holding(episodes: Sequence[Mapping[str, Any]], embedder: str) -> Iterator[graphsvc.Memory]:
    with (
        tempfile.TemporaryDirectory(prefix="graphsvc-helping-") as folder,
        graphsvc.open(Path(folder) / "memory", embedder=embedder) as memory,
    ):
        memory.episodes.store_many(episodes)
        memory.wait(timeout=EMBED_SECONDS)
        yield memory


def figures_of(found: Sequence[arms.Faced]) -> Figures:
    figures = {
        f"helps.{arm}.{allowed}": Figure(round(arms.share(found, arm, allowed), 4), n=len(found))
        for arm in arms.ARMS
        for allowed in range(1, arms.BUDGET + 1)
    }
    for other in OTHERS:
        gain, low, high = arms.advantage(found, other)
        figures[f"helps.over.{other}"] = Figure(
            round(gain, 4), n=len(found), low=round(low, 4), high=round(high, 4)
        )
    return figures
