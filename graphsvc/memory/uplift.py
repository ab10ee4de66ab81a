"""What records are known to cause of a goal: the causal part of a recall's utility.

    uplift = Σ confidence · uplift / Σ confidence      over the edges that hold, clipped to [-1, 1]

over the causal edges from the record to the goal, or, if it has none, over those from the skills that it is evidence
of (DERIVED_FROM). A mechanism that is recalled is such an edge itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from graphsvc.log.adjacent import CausalEdge
from graphsvc.log.log import Log
from graphsvc.model.as_of import Moments
from graphsvc.model.requests import KindRef

AT_ONCE = 500
"""Rows that one statement asks for."""


class Uplift(NamedTuple):
    """What is known of one record: the mean, and ids of the edges that it comes from."""

    value: float
    edges: tuple[str, ...]


def references(log: Log, rows: Sequence[int]) -> dict[int, KindRef]:
    """Kind, namespace and id of records."""
    found: dict[int, KindRef] = {}
    with log.connection() as connection:
        for part in _parts(rows):
            marks = ", ".join("?" * len(part))
            rows_found = connection.execute(f"SELECT row, kind, agent, id FROM record WHERE row IN ({marks})", part)
            found.update({row: (kind, agent, id) for row, kind, agent, id in rows_found})
    return found


def uplifts(
    log: Log,
    rows: Mapping[str, Sequence[int]],
    goals: Collection[KindRef],
    moments: Moments,
    agents: tuple[str, ...] | None,
) -> dict[int, Uplift]:
    """Of each record, by row, what it does to the goals; those of which nothing is known are left out.

    Args:
        rows: of the records, by their kind.
    """
    adjacent = log.placed()
    if not adjacent.edges or not goals:
        return {}
    mean = _mean(goals, moments, agents)
    known: dict[int, Uplift] = {}

    def note(found: Iterable[tuple[int, list[CausalEdge]]]) -> None:
        known.update((row, value) for row, edges in found if (value := mean(edges)) is not None)

    for kind, some in rows.items():
        note(adjacent.at_rows(some) if kind == "cause" else adjacent.from_rows(some))
    unknown = [row for row in rows.get("episode", ()) if row not in known]
    skills = _skills_of(log, unknown)
    led = dict(adjacent.from_rows(dict.fromkeys(chain.from_iterable(skills.values()))))
    note((row, [edge for skill in some for edge in led.get(skill, ())]) for row, some in skills.items())
    return known


def _mean(
    goals: Collection[KindRef], moments: Moments, agents: tuple[str, ...] | None
) -> Callable[[Iterable[CausalEdge]], Uplift | None]:
    """What gives the uplift of edges: the mean of those that count, None without any."""
    valid, known = moments
    seen = None if agents is None else frozenset(agents)

    def counts(edge: CausalEdge) -> bool:
        if edge.target not in goals:
            return False
        if not (edge.start <= valid < edge.end if known is None and valid is not None else edge.holds(valid, known)):
            return False
        return seen is None or {edge.agent, edge.source.agent, edge.target.agent} <= seen

    def mean(edges: Iterable[CausalEdge]) -> Uplift | None:
        used = [edge for edge in edges if counts(edge)]
        weight = total = 0.0
        for edge in used:
            weight += edge.confidence
            total += edge.confidence * edge.uplift
        return Uplift(max(-1.0, min(1.0, total / weight)), tuple([edge.id for edge in used])) if weight else None

    return mean


def _skills_of(log: Log, episodes: Sequence[int]) -> dict[int, list[int]]:
    """Rows of the skills that are drawn from each episode."""
    found: dict[int, list[int]] = {}
    with log.connection() as connection:
        for part in _parts(episodes):
            marks = ", ".join("?" * len(part))
            rows = connection.execute(
                "SELECT link.target, link.source FROM link JOIN record ON record.row = link.source "
                f"WHERE link.rel = 'DERIVED_FROM' AND link.target IN ({marks}) "
                "AND record.state = 0 ORDER BY link.target, link.source",
                part,
            )
            for target, source in rows:
                found.setdefault(target, []).append(source)
    return found


def _parts(rows: Sequence[int]) -> Iterable[Sequence[int]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
