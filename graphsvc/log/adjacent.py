"""Causal edges by the nodes at their ends, in memory: what effects, causes and paths are read from.

Made from the records when it is first asked for, and kept up by the writer after each commit, before callers are
answered. Readers look without a lock: what they get of a node is a copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from graphsvc.log.state import RowEvent
from graphsvc.model.change import decode_record
from graphsvc.model.records import Cause, ends_of
from graphsvc.model.times import micros

BEGINNING, FOREVER = -(1 << 62), 1 << 62
"""Open ends, in microseconds."""


class CausalNode(NamedTuple):
    """A node that causal edges join."""

    kind: str
    agent: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class CausalEdge(msgspec.Struct, frozen=True, gc=False):
    """A causal edge, as much of it as is needed to follow it.

    Attributes:
        row: of its record. id, agent: its own. source, target: the nodes. uplift, confidence: as they were said.
        known, start, end: microseconds since 1970; it holds in [start, end), as is known now.
        said: what its end was said to be, each with the time from which that was known, oldest first; empty if it
            never changed.
    """

    row: int
    id: str
    agent: str
    source: CausalNode
    target: CausalNode
    uplift: float
    confidence: float
    known: int
    start: int
    end: int
    said: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, row: int, cause: Cause) -> CausalEdge:
        """The edge of a record."""
        source, target = ends_of(cause)
        return cls(
            row, cause.id, cause.agent, CausalNode(*source), CausalNode(*target), cause.uplift,
            cause.confidence, micros(cause.at),
            BEGINNING if cause.valid_from is None else micros(cause.valid_from),
            FOREVER if cause.valid_to is None else micros(cause.valid_to), said_ends(cause.endings),
        )  # fmt: skip

    def holds(self, valid: int | None, known: int | None) -> bool:
        """Whether it held at `valid` (None: at any time), as was known at `known` (None: as is known now)."""
        return held(self.known, self.start, self.end, self.said, valid, known)


Said = tuple[tuple[int, int], ...]
"""What an end was said to be, each with the time from which that was known, oldest first."""


def said_ends(endings: Mapping[str, str | None]) -> Said:
    """Of a record's `endings`, in microseconds."""
    return tuple(
        (micros(datetime.fromisoformat(known)), FOREVER if end is None else micros(datetime.fromisoformat(end)))
        for known, end in endings.items()
    )


def held(since: int, start: int, end: int, said: Said, valid: int | None, known: int | None) -> bool:
    """Whether an edge known since a moment held at `valid`, as was known at `known`; see `CausalEdge`."""
    if known is not None and since > known:
        return False
    if valid is None:
        return True
    if known is not None:
        for moment, ending in said:
            if moment <= known:
                end = ending
    return start <= valid < end


RowsOf = Callable[[str, Sequence[tuple[str, str]]], Mapping[tuple[str, str], int]]
"""Row numbers of records of a kind, by agent and id."""


class Adjacent:
    """Which causal edges lead from each node, and which to it."""

    def __init__(self) -> None:
        self.edges: dict[int, CausalEdge] = {}
        self._out: dict[CausalNode, dict[int, CausalEdge]] = {}
        self._in: dict[CausalNode, dict[int, CausalEdge]] = {}
        self._rows: dict[int, CausalNode] = {}
        self._unplaced: dict[CausalNode, None] = {}

    def from_rows(self, rows: Iterable[int]) -> Iterator[tuple[int, list[CausalEdge]]]:
        """Of some records those that causal edges lead from, of which `place` has been told: the row and the edges."""
        nodes, out = self._rows, self._out
        for row in rows:
            if row in nodes and (edges := out.get(nodes[row])):
                yield row, list(edges.values())

    def at_rows(self, rows: Iterable[int]) -> Iterator[tuple[int, list[CausalEdge]]]:
        """The causal edges among some records, each with its row."""
        edges = self.edges
        return ((row, [edge]) for row in rows if (edge := edges.get(row)) is not None)

    def place(self, rows_of: RowsOf) -> None:
        """Learn the rows of the nodes that edges lead from, each once: a row is its record's for good."""
        by_kind: dict[str, list[tuple[str, str]]] = {}
        for kind, agent, id in list(self._unplaced):
            by_kind.setdefault(kind, []).append((agent, id))
        for kind, refs in by_kind.items():
            for ref, row in rows_of(kind, refs).items():
                node = CausalNode(kind, *ref)
                self._rows[row] = node
                self._unplaced.pop(node, None)

    def out_of(self, node: CausalNode) -> list[CausalEdge]:
        """Edges that lead from a node, in the order of their making."""
        edges = self._out.get(node)
        return list(edges.values()) if edges else []

    def in_to(self, node: CausalNode) -> list[CausalEdge]:
        """Edges that lead to a node."""
        edges = self._in.get(node)
        return list(edges.values()) if edges else []

    def apply(self, events: Iterable[RowEvent]) -> None:
        """What the writer has committed. To be told of it twice does no harm."""
        for event in events:
            if event.kind == "cause":
                if event.record is None:
                    self._drop(event.row)
                else:
                    assert isinstance(event.record, Cause)
                    self._put(CausalEdge.of(event.row, event.record))

    def read(self, connection: sqlite3.Connection) -> None:
        """All that are in the records."""
        rows = connection.execute("SELECT row, body FROM record WHERE kind = 'cause' AND state = 0 ORDER BY row")
        self.apply(RowEvent(row, "cause", decode_record("cause", body), 0) for row, body in rows)

    def _put(self, edge: CausalEdge) -> None:
        self.edges[edge.row] = edge
        if edge.source not in self._out:
            self._unplaced[edge.source] = None
        self._out.setdefault(edge.source, {})[edge.row] = edge
        self._in.setdefault(edge.target, {})[edge.row] = edge

    def _drop(self, row: int) -> None:
        edge = self.edges.pop(row, None)
        if edge is not None:
            for side, node in ((self._out, edge.source), (self._in, edge.target)):
                del side[node][row]
                if not side[node]:
                    del side[node]
