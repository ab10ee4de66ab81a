"""Does retrieval find what is right? By meaning, by words, and by the default blend of both.

The share of meaning in the blend is chosen on one half of the questions, and everything is reported on the other; all
questions about one task or function are in the same half. The weight chosen is, of those whose mean gain over the
better single is within `AS_GOOD` of the best, the one nearest to even: on other texts, words may count for more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import graphsvc
from benchmarks.figures import Figure, Figures
from benchmarks.quality import critiques, functions
from benchmarks.quality.asking import SINGLES, Values, ask, gains, holding
from benchmarks.quality.judged import Judged
from benchmarks.quality.measures import MEASURES
from benchmarks.section import Context
from benchmarks.sizes import Sizes
from graphsvc.model.texts import WEIGHT

GRID = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
AS_GOOD = 0.001
ROOT = Path(__file__).resolve().parents[2]
RUNS = Path(os.environ.get("GRAPHSVC_SHARED", ROOT.parent / "shared")) / "data" / "reflexion" / "episodes.jsonl.gz"


def measure(context: Context) -> Figures:
    figures: Figures = {}
    by_weight = []
    for name, judged in tasks(context.sizes):
        with holding(judged) as memory:
            tuning = [asked for asked in judged.questions if asked.tunes]
            single = {way: ask(memory, judged, tuning, mode=way) for way in SINGLES}
            better = np.max([values.mean(axis=0) for values in single.values()], axis=0)
            by_weight.append([ask(memory, judged, tuning, weight=w).mean(axis=0) - better for w in GRID])
            figures |= reported(name, judged, memory)
    figures["quality.weight"] = Figure(chosen(np.array(by_weight)), note=f"the default is {WEIGHT}")
    return figures


def tasks(sizes: Sizes) -> Iterator[tuple[str, Judged]]:
    """What is asked: functions always, critiques where the runs lie beside the checkout."""
    yield "functions", functions.functions(sizes.functions)
    if sizes.every_runtime and RUNS.exists():
        runs = critiques.read(RUNS)
        yield "tasks", critiques.tasks(runs, sizes.questions)
        yield "sessions", critiques.other_sessions(runs, sizes.questions)


def reported(name: str, judged: Judged, memory: graphsvc.Memory) -> Figures:
    """All figures of one task, on the half that nothing was chosen on."""
    questions = [asked for asked in judged.questions if not asked.tunes]
    ways = {way: ask(memory, judged, questions, mode=way) for way in (*SINGLES, "blend")}
    figures: Figures = {f"quality.{name}.documents": Figure(len(judged.documents))}
    for way, values in ways.items():
        for measure, value in zip(MEASURES, values.mean(axis=0).tolist(), strict=True):
            figures[f"quality.{name}.{measure}.{way}"] = Figure(round(value, 4), n=len(questions))
    better = gains(ways["blend"], {way: ways[way] for way in SINGLES}, questions)
    for measure, (gain, low, high) in better.items():
        figures[f"quality.{name}.{measure}.gain"] = Figure(
            round(gain, 4), n=len(questions), low=round(low, 4), high=round(high, 4)
        )
    return figures


def chosen(by_weight: Values) -> float:
    """The weight, from the mean gain by task, weight and measure."""
    mean = by_weight.mean(axis=(0, 2))
    return next(weight for weight, gain in zip(GRID, mean, strict=True) if gain >= mean.max() - AS_GOOD)
