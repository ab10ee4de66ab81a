"""How many requests a second servers answer, and how long each takes: the same requests for every side.

Sides are asked in turn, in short rounds, and the median round counts: what else the machine does meets all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.callers import Callers, Done, Plan
from benchmarks.figures import Figure, Figures, of_durations
from benchmarks.served import Server
from benchmarks.sizes import Sizes
from benchmarks.table import CONNECTIONS, OPERATIONS


@dataclass(frozen=True, slots=True)
class Asked:
    """What a side is asked in an operation.

    Attributes:
        server: that is asked. plan: what a plan says of it, given a number that no other call was given. fsync: of
            what is written.
    """

    server: Server
    plan: Callable[[int], dict[str, Any]]
    fsync: bool | None = None


def rates(callers: Callers, sides: Mapping[str, Mapping[str, Asked]], sizes: Sizes) -> dict[str, Figures]:
    """Each operation of each side at each number of connections, after a first round that isn't counted."""
    found: dict[str, Figures] = {side: {} for side in sides}
    number = 0
    for operation in OPERATIONS:
        asked = {side: operations[operation] for side, operations in sides.items() if operation in operations}
        for place, connections in enumerate(CONNECTIONS):
            uncounted = int(place == 0)
            rounds: dict[str, list[Done]] = {side: [] for side in asked}
            for _ in range(uncounted + sizes.http_rounds):
                for side, one in asked.items():
                    number += 1
                    plan = Plan(one.server.port, connections, seconds=sizes.http_seconds, **one.plan(number))
                    rounds[side].append(callers.load(plan))
            for side, done in rounds.items():
                found[side][f"http.{operation}.{connections}"] = figure_of(done[uncounted:], fsync=asked[side].fsync)
    return found


def figure_of(rounds: Sequence[Done], *, fsync: bool | None = None, note: str = "") -> Figure:
    """Operations a second in the median round, with median, p95 and p99 of all of them."""
    seconds = [taken for done in rounds for taken in done.all]
    calls = of_durations(seconds, fsync=fsync, note=note)
    found = [len(done.all) / done.elapsed for done in rounds]
    return replace(calls, value=round(statistics.median(found), 1), best=round(max(found), 1), p99_ms=p99(seconds))


def p99(seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return round(float(np.percentile(seconds, 99)) * 1e3, 3)
