"""How near records lie to nodes in the graph: 1 / (1 + steps) to the nearest of them, 0 past three steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphsvc.memory.graph import Graph
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of
from graphsvc.model.records import Cause, Record, Row, ends_of
from graphsvc.model.requests import KindRef

STEPS = 3
REACHED = 5_000
"""Nodes that are looked at around each, the nearest first."""

Steps = Mapping[tuple[str, str], int]
"""Steps to a node, by its table and its key as text."""


def steps_from(graph: Graph, near: Any) -> Steps:
    """The nodes within three steps of some nodes, themselves with 0. Errors as of `Graph.neighbours`."""
    found: dict[tuple[str, str], int] = {}
    for one in near if isinstance(near, list | set | frozenset) or _several(near) else [near]:
        start = graph.node(one)
        for node in (start, *graph.neighbours(one, depth=STEPS, limit=REACHED)):
            place = (node.label, str(node.key))
            found[place] = min(found.get(place, node.depth), node.depth)
    return found


def _several(near: Any) -> bool:
    """Whether a tuple holds nodes, rather than naming one."""
    return isinstance(near, Sequence) and not isinstance(near, str) and bool(near) and not isinstance(near[0], str)


def nearness(steps: Steps, ref: KindRef, record: Record | None) -> float:
    """Of one record: where it has a node, of that; of a causal edge, of the nearer of its ends; of a row its own."""
    if isinstance(record, Cause):
        return max(nearness(steps, end, None) for end in ends_of(record))
    if isinstance(record, Row):
        away = steps.get((record.table, record.node))
    else:
        table = KINDS[ref[0]].table
        away = steps.get((table, key_of(ref[1], ref[2]))) if table else None
    return 0.0 if away is None else 1 / (1 + away)


