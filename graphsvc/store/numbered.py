"""Nodes as numbers, and what a traversal asks of whoever knows the edges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from graphsvc.model.graph import NODE_TABLES
from graphsvc.store.arrow import pa

Direction = Literal["out", "in", "both"]
Numbers = NDArray[np.int64]
NO_AGENT = -1
"""Of nodes of the user's own tables, which have no namespace."""


class Steps(NamedTuple):
    """Edges met from some nodes: the node that each was met from, the one that it leads to, its number."""

    source: Numbers
    target: Numbers
    edge: Numbers


NOTHING = np.empty(0, np.int64)
NO_STEPS = Steps(NOTHING, NOTHING, NOTHING)


Held = tuple["pa.Table", int] | Mapping[str, Any]
"""Values: a row of a table, or by name."""


def read_held(held: Sequence[Held]) -> list[dict[str, Any]]:
    """The values that lie in some places."""
    found: list[dict[str, Any]] = [dict(one) if isinstance(one, Mapping) else {} for one in held]
    by_table: dict[int, tuple[pa.Table, list[int], list[int]]] = {}
    for place, one in enumerate(held):
        if isinstance(one, tuple):
            _, places, rows = by_table.setdefault(id(one[0]), (one[0], [], []))
            places.append(place)
            rows.append(one[1])
    for table, places, rows in by_table.values():
        for place, values in zip(places, table.take(pa.array(rows)).to_pylist(), strict=True):
            found[place] = values
    return found


class Edges(Protocol):
    """Who knows the edges: the adjacency in memory, or the engine where that would be too large."""

    nodes: Nodes

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if there is none."""

    def spaces(self) -> list[str]:
        """The namespaces that there are."""

    def of_table(self, table: str) -> Numbers:
        """Numbers of all nodes of a table, in no promised order."""

    def expand(self, numbers: Numbers, direction: Direction, rels: frozenset[str] | None) -> Steps:
        """The edges at some nodes, each node given once, grouped by node in no promised order.

        A loop is met once, also in both directions.
        """

    def ends(self, edge: int) -> tuple[str, int, int]:
        """Type, source and target of an edge."""

    def values(self, edges: Sequence[int]) -> list[dict[str, Any]]:
        """The values of edges."""

    def held(self, edge: int) -> Held:
        """Where the values of an edge lie, whatever becomes of the graph."""


class Nodes:
    """Numbers of nodes, and back: table, key and namespace of each. Numbers are dense and never used twice."""

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.agents: dict[str, int] = {}
        self.keys: list[Any] = []
        self.table = np.empty(0, np.int16)
        self.agent = np.empty(0, np.int32)
        self.index: dict[str, dict[Any, int]] = {}
        self.sorted = 0
        """Numbers below this one stand in the order of table and key."""

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if it has none."""
        return self.index.get(table, {}).get(key)

    def add(self, table: str, key: Any) -> int:
        """The number of a node, a new one where it has none."""
        place = self.index.setdefault(table, {})
        known = place.get(key)
        if known is not None:
            return known
        number = place[key] = len(self.keys)
        if number == len(self.table):
            self.table = grown(self.table)
            self.agent = grown(self.agent)
        self.keys.append(key)
        self.table[number] = self.code(table)
        self.agent[number] = self._agent_code(table, key)
        return number

    def fill(self, tables: Sequence[tuple[str, list[Any]]]) -> None:
        """Number the keys of tables, both in their order; nothing was numbered before."""
        codes, sizes = [self.code(table) for table, _ in tables], [len(keys) for _, keys in tables]
        self.table = np.repeat(np.array(codes, np.int16), sizes)
        self.agent = np.empty(len(self.table), np.int32)
        for table, keys in tables:
            first = len(self.keys)
            self.keys += keys
            self.index[table] = dict(zip(keys, range(first, len(self.keys)), strict=True))
            self.agent[first : len(self.keys)] = [self._agent_code(table, key) for key in keys]
        self.sorted = len(self.keys)

    @property
    def spaces(self) -> list[str]:
        """The namespaces of the nodes that have numbers."""
        return [unquote(agent) for agent in self.agents]

    def remove(self, number: int) -> None:
        """A node is no more: its name doesn't lead to its number."""
        table, key = self.name(number)
        del self.index[table][key]

    def name(self, number: int) -> tuple[str, Any]:
        """Table and key of a node."""
        return self.tables[self.table[number]], self.keys[number]

    def code(self, table: str) -> int:
        """The place of a table in `tables`, where it is added if it is new."""
        if table not in self.tables:
            self.tables.append(table)
        return self.tables.index(table)

    def _agent_code(self, table: str, key: Any) -> int:
        if table not in NODE_TABLES:
            return NO_AGENT
        agent = key.partition("/")[0]
        return self.agents.setdefault(agent, len(self.agents))

    def seen(self, numbers: Numbers, agents: Iterable[str]) -> NDArray[np.bool_]:
        """Which of these nodes lie in one of some namespaces."""
        codes = [self.agents.get(quote(agent, safe=""), NO_AGENT - 1) for agent in agents]
        return np.isin(self.agent[numbers], codes)

    def ordered(self, numbers: Numbers | Collection[int]) -> list[int]:
        """Numbers by table and key of what they mean, whatever they are themselves."""
        found: list[int] = np.sort(numbers).tolist() if isinstance(numbers, np.ndarray) else sorted(numbers)
        return found if not found or found[-1] < self.sorted else sorted(found, key=self.name)


def grown(array: NDArray[Any]) -> NDArray[Any]:
    """An array with room for as many again; what it holds stays in front."""
    larger = np.zeros(max(64, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger
