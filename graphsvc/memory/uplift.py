"""What records are known to cause of a goal: the causal part of a recall's utility.

    uplift = Σ confidence · uplift / Σ confidence      over the edges that hold, clipped to [-1, 1]

over the causal edges from the record to the goal, or, if it has none, over those from the skills that it is evidence
of (DERIVED_FROM). A mechanism that is recalled is such an edge itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphsvc.log.adjacent import CausalEdge, CausalNode
from graphsvc.log.log import Log
from graphsvc.model.as_of import Moments
from graphsvc.model.requests import KindRef

AT_ONCE = 500
"""Rows that one statement asks for."""


@dataclass(frozen=True, slots=True)
class Uplift:
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
    log: Log, refs: Mapping[int, KindRef], goals: Collection[KindRef], moments: Moments, agents: tuple[str, ...] | None
) -> dict[int, Uplift]:
    """Of each record, by row, what it does to the goals; those of which nothing is known are left out."""
    adjacent = log.adjacent()
    if not adjacent.edges or not goals:
        return {}
    known: dict[int, Uplift] = {}
    unknown: list[int] = []
    for row, ref in refs.items():
        itself = adjacent.edges.get(row) if ref[0] == "cause" else None
        edges = adjacent.out_of(CausalNode(*ref)) if itself is None else [itself]
        mean = _mean(edges, goals, moments, agents)
        if mean is not None:
            known[row] = mean
        elif ref[0] == "episode":
            unknown.append(row)
    for row, skills in _skills_of(log, unknown).items():
        edges = [edge for skill in skills for edge in adjacent.out_of(CausalNode(*skill))]
        mean = _mean(edges, goals, moments, agents)
        if mean is not None:
            known[row] = mean
    return known


def _mean(
    edges: Iterable[CausalEdge], goals: Collection[KindRef], moments: Moments, agents: tuple[str, ...] | None
) -> Uplift | None:
    used = [
        edge
        for edge in edges
        if edge.target in goals
        and edge.holds(*moments)
        and (agents is None or {edge.agent, edge.source[1], edge.target[1]} <= set(agents))
    ]
    weight = sum(edge.confidence for edge in used)
    if not weight:
        return None
    mean = sum(edge.confidence * edge.uplift for edge in used) / weight
    return Uplift(max(-1.0, min(1.0, mean)), tuple(edge.id for edge in used))


def _skills_of(log: Log, episodes: Sequence[int]) -> dict[int, list[KindRef]]:
    """The skills that are drawn from each episode."""
    found: dict[int, list[KindRef]] = {}
    with log.connection() as connection:
        for part in _parts(episodes):
            marks = ", ".join("?" * len(part))
            rows = connection.execute(
                "SELECT link.target, record.kind, record.agent, record.id FROM link JOIN record ON "
                f"record.row = link.source WHERE link.rel = 'DERIVED_FROM' AND link.target IN ({marks}) "
                "AND record.state = 0 ORDER BY link.target, link.source",
                part,
            )
            for target, *ref in rows:
                found.setdefault(target, []).append((ref[0], ref[1], ref[2]))
    return found


def _parts(rows: Sequence[int]) -> Iterable[Sequence[int]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


