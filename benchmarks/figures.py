"""A measured figure, and how durations become one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """What one side did in one row.

    Attributes:
        value: in the row's unit: median milliseconds, operations a second, or bytes.
        median_ms, p95_ms, p99_ms: of single calls, where they were timed.
        n: how many calls or records were measured.
        fsync: whether each acknowledged write is on the disk; None where nothing is written.
        note: what must be known to compare it. low, high: ends of its 95 % interval. best: the 10th
            percentile, or the best of few rounds, in the row's unit: what the machine does beside counts least there.
    """

    value: float
    median_ms: float | None = None
    p95_ms: float | None = None
    n: int = 1
    fsync: bool | None = None
    note: str = ""
    low: float | None = None
    high: float | None = None
    p99_ms: float | None = None
    best: float | None = None

    def with_note(self, note: str) -> Figure:
        """The same, annotated."""
        return replace(self, note="; ".join(filter(None, (self.note, note))))

    def as_json(self) -> dict[str, Any]:
        """What isn't a default, for a file."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


Figures = dict[str, Figure]
"""By the row's id."""


def of_durations(seconds: Sequence[float], *, fsync: bool | None = None, note: str = "") -> Figure:
    """Median and p95 of the durations of single calls; the value is the median, in milliseconds."""
    ms = np.array(seconds) * 1e3
    best, median, p95 = np.percentile(ms, [10, 50, 95]).round(5).tolist()
    return Figure(median, median, p95, len(ms), fsync, note, best=best)


def of_throughput(
    count: int, elapsed: float, seconds: Sequence[float] = (), *, fsync: bool | None = None, note: str = ""
) -> Figure:
    """Operations a second over a stretch of time, with median and p95 of the calls if they were timed."""
    rate = round(count / elapsed, 1)
    if not len(seconds):
        return Figure(rate, n=count, fsync=fsync, note=note)
    calls = of_durations(seconds)
    return Figure(rate, calls.median_ms, calls.p95_ms, count, fsync, note)


def timed(count: int, call: Callable[[int], Any], *, warm_up: int = 0) -> list[float]:
    """Seconds that each of `count` calls took; each is given its number, those to warm up the numbers behind."""
    for number in range(count, count + warm_up):
        call(number)
    durations = []
    for number in range(count):
        began = time.perf_counter()
        call(number)
        durations.append(time.perf_counter() - began)
    return durations
