"""How near records lie to nodes in the graph: 1 / (1 + steps) to the nearest of them, 0 past three steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphsvc.log.log import Log
from graphsvc.memory.graph import Graph
from graphsvc.memory.uplift import references
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of
from graphsvc.model.records import Row

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


def nearness(log: Log, steps: Steps, rows: Mapping[str, Sequence[int]]) -> dict[int, float]:
    """Of records, by row, those given by their kind: where one has a node, of that; of a causal edge, of the nearer of
    its ends; of a row of a table its own. None of those that aren't near.
    """
    by_kind: dict[str, dict[str, int]] = {}
    for (table, key), far in steps.items():
        by_kind.setdefault(table, {})[key] = far

    def away(kind: str, agent: str, id: str) -> int | None:
        near = by_kind.get(KINDS[kind].table or "")
        return near.get(key_of(agent, id)) if near else None

    found: dict[int, int | None] = {}
    for kind, some in rows.items():
        if kind == "cause":
            edges = log.adjacent().edges
            for row in some:
                if (edge := edges.get(row)) is not None:
                    found[row] = min(
                        (at for end in (edge.source, edge.target) if (at := away(*end)) is not None), default=None
                    )
        elif kind == "row":
            found |= {
                row: steps.get((one.table, one.node)) for row, one in log.records(some).items() if isinstance(one, Row)
            }
        elif by_kind.get(KINDS[kind].table or ""):
            found |= {row: away(*ref) for row, ref in references(log, some).items()}
    return {row: 1 / (1 + far) for row, far in found.items() if far is not None}
