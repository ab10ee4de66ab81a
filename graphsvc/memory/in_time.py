"""Walks as of a pair of times: which edges and nodes held at one moment, as was known at another.

Times are kept by causal edges (CAUSES), by facts, whose edges (ABOUT, EVIDENCE) hold as long as the fact, and by tables
of one's own that are `temporal`, whose past lies in tables beside them. Nothing else keeps times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.log import believed
from graphsvc.log.adjacent import BEGINNING, FOREVER, held, said_ends
from graphsvc.log.log import Log
from graphsvc.memory.reached import Fetch, LazyNode
from graphsvc.model.as_of import Moments, When, refuse_as_of
from graphsvc.model.elements import End
from graphsvc.model.names import parts_of
from graphsvc.model.tables import KNOWN, PAST, VALID, kept_nodes, past_of, then, versions_of
from graphsvc.model.times import micros
from graphsvc.store.adjacency import Adjacency
from graphsvc.store.numbered import Direction, Edges, Held, Numbers, Steps, read_held
from graphsvc.store.user_tables import Catalog

OF_FACTS = ("ABOUT", "EVIDENCE")
"""Types of edges that lead from facts, among others."""
OWN = ("CAUSES", *OF_FACTS)
"""Types of the memory's own edges that keep times, or some of whose edges do."""


def types_in_time(rels: frozenset[str] | None, pasts: Mapping[str, str], as_of: When) -> frozenset[str]:
    """The types to walk along, their pasts in the place of temporal tables; all that keep times where none is named.

    Args:
        rels: that were named. pasts: the table that holds the past of each temporal table.

    Raises:
        NotTemporal: one that was named keeps no times.
    """
    if rels is None:
        return frozenset((*OWN, *pasts.values()))
    for rel in sorted(rels):
        if rel not in OWN and rel not in pasts:
            refuse_as_of(as_of, f"the type of edge {rel}")
    return frozenset(pasts.get(rel, rel) for rel in rels)


def pasts_of(catalog: Catalog) -> dict[str, str]:
    """The table that edges of the past lie in, by the temporal table that they are of."""
    return {name: past_of(name) for name, table in catalog.items() if table.temporal and not table.nodes}


class _Known:
    """Gives the properties of nodes as they were, from where they lie."""

    def __init__(self, keys: Mapping[str, str], fetch: Fetch) -> None:
        self.places: dict[End, Held] = {}
        self._keys = keys
        self._fetch = fetch

    def __call__(self, nodes: Sequence[LazyNode]) -> list[dict[str, Any]]:
        then = [node for node in nodes if node.end in self.places]
        rows = read_held([self.places[node.end] for node in then])
        found = {
            node.end: {self._keys[node.label]: node.key, **row} for node, row in zip(then, rows, strict=True)
        }
        plain = [node for node in nodes if node.end not in self.places]
        found |= dict(zip((node.end for node in plain), self._fetch(plain) if plain else [], strict=True))
        return [found[node.end] for node in nodes]


class Then:
    """The graph as of a pair of times: to be walked as that of now is, an `Edges`.

    Nodes of a temporal table are those that stand for its keys, see `model.tables.PAST`: one is there where a version
    of it held. Edges are met only where they held, and what they lead to did.

    Args:
        now: who knows the edges, those of the past among them. log: knows the facts. catalog: the user's tables.
        fetch: knows the nodes of tables that keep no times.
    """

    def __init__(self, now: Edges, log: Log, moments: Moments, catalog: Catalog, fetch: Fetch) -> None:
        self.now = now
        self.nodes = now.nodes
        self._log = log
        self._moments = moments
        self._known = _Known({name: table.key for name, table in catalog.items()}, fetch)
        self._pasts = frozenset(pasts_of(catalog).values())
        self._kept = kept_nodes(catalog)
        self._versions = frozenset(map(versions_of, self._kept))
        self._version: dict[int, int | None] = {}
        self._facts: dict[Any, bool] = {}
        self._rows: NDArray[np.int64] | None = None

    # --- as `Edges` ------------------------------------------------------------------------------------------

    def find(self, table: str, key: Any) -> int | None:
        """The number of a node; None if there was none then."""
        number = self.now.find(then(table, self._kept), key)
        if number is not None and table in self._kept:
            self._learn_nodes([number])
            return None if self._version[number] is None else number
        return number

    def spaces(self) -> list[str]:
        """The namespaces that there are."""
        return self.now.spaces()

    def of_table(self, table: str) -> Numbers:
        """Numbers of the nodes of a table that there were."""
        numbers = self.now.of_table(then(table, self._kept))
        return numbers[self._there(numbers)] if table in self._kept else numbers

    def expand(self, numbers: Numbers, direction: Direction, rels: frozenset[str] | None) -> Steps:
        """The edges at some nodes that held; see `Edges.expand`."""
        steps = self.now.expand(numbers, direction, rels)
        if len(steps.edge):
            steps = _chosen(steps, self._holding(steps.edge))
        if self._kept and len(steps.edge):
            steps = _chosen(steps, self._there(steps.target))
        return steps

    def ends(self, edge: int) -> tuple[str, int, int]:
        """Type, source and target of an edge."""
        return self.now.ends(edge)

    def values(self, edges: Sequence[int]) -> list[dict[str, Any]]:
        """The values of edges."""
        return self.now.values(edges)

    def held(self, edge: int) -> Held:
        """Where the values of an edge lie, whatever becomes of the graph."""
        return self.now.held(edge)

    # --- nodes -----------------------------------------------------------------------------------------------

    def node(self, number: int, depth: int) -> LazyNode:
        """A node as it was, of a table that keeps no times as it is."""
        table, key = self.nodes.name(number)
        label = table.removeprefix(PAST)
        if label != table:
            self._learn_nodes([number])
            edge = self._version[number]
            if edge is not None:
                self._known.places[End(label, key)] = self.now.held(edge)
        return LazyNode(label, key, self._known, depth)

    def rows_of(self, table: str, keys: Sequence[Any]) -> dict[Any, dict[str, Any]]:
        """The columns of nodes of a temporal table as they were, by key; of those that there were."""
        numbers = [number for key in keys if (number := self.find(table, key)) is not None]
        nodes = [self.node(number, 0) for number in numbers]
        return {node.key: row for node, row in zip(nodes, self._known(nodes), strict=True)}

    def _there(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which nodes there were."""
        nodes = self.nodes
        codes = [nodes.code(past_of(name)) for name in self._kept]
        found = np.ones(len(numbers), bool)
        kept = np.flatnonzero(np.isin(nodes.table[numbers], codes))
        if len(kept):
            some = numbers[kept].tolist()
            self._learn_nodes(some)
            found[kept] = [self._version[number] is not None for number in some]
        return found

    def _learn_nodes(self, numbers: Iterable[int]) -> None:
        """Find out of nodes of temporal tables which version of them held."""
        unknown = [number for number in dict.fromkeys(numbers) if number not in self._version]
        if not unknown:
            return
        self._version.update(dict.fromkeys(unknown))
        steps = self.now.expand(np.array(unknown, np.int64), "out", self._versions)
        if len(steps.edge):
            steps = _chosen(steps, self._holding(steps.edge))
        if not len(steps.edge):
            return
        # of several, where no moment of the world is named, that which the table itself would show: see `shown`
        known = FOREVER if self._moments.known is None else self._moments.known
        starts = self._instants(VALID[0], steps.edge, BEGINNING)
        begun = starts <= known
        order = np.lexsort((np.where(begun, starts, -starts), begun))
        self._version.update(zip(steps.source[order].tolist(), steps.edge[order].tolist(), strict=True))

    # --- what held -------------------------------------------------------------------------------------------

    def _holding(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which of some edges held."""
        versions = self._of_types(numbers, self._pasts | self._versions)
        if versions.all():
            return self._versions_held(numbers)
        found = np.zeros(len(numbers), bool)
        found[versions] = self._versions_held(numbers[versions])
        found[~versions] = self._own_held(numbers[~versions])
        return found

    def _of_types(self, numbers: Numbers, rels: frozenset[str]) -> NDArray[np.bool_]:
        if isinstance(self.now, Adjacency):
            return self.now.of_types(numbers, rels)
        return np.array([self.now.ends(number)[0] in rels for number in numbers.tolist()], bool)

    def _versions_held(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Of edges of temporal tables' pasts."""
        valid, known = self._moments
        known_to = self._instants(KNOWN[1], numbers, FOREVER)
        if known is None:
            found = np.asarray(known_to == FOREVER)
        else:
            found = (self._instants(KNOWN[0], numbers, BEGINNING) <= known) & (known < known_to)
        if valid is not None:
            found &= self._instants(VALID[0], numbers, BEGINNING) <= valid
            found &= valid < self._instants(VALID[1], numbers, FOREVER)
        return found

    def _instants(self, name: str, numbers: Numbers, missing: int) -> NDArray[np.int64]:
        if isinstance(self.now, Adjacency):
            return self.now.instants(name, numbers, missing)
        moments = [_micros(values[name]) for values in self.now.values(numbers.tolist())]
        return np.array([missing if moment is None else moment for moment in moments], np.int64)

    def _own_held(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Of the memory's own edges."""
        ends = [self.now.ends(number) for number in numbers.tolist()]
        facts = [self.nodes.name(source) if rel in OF_FACTS else ("", "") for rel, source, _ in ends]
        self._learn_facts({key for table, key in facts if table == "Fact"})
        found = [
            self._causes(values) if rel == "CAUSES" else table == "Fact" and self._facts[key]
            for values, (rel, *_), (table, key) in zip(self.now.values(numbers.tolist()), ends, facts, strict=True)
        ]
        return np.array(found, bool)

    def _causes(self, values: dict[str, Any]) -> bool:
        said = said_ends(msgspec.json.decode(values["endings"]) if values.get("endings") else {})
        known = _micros(values["at"])
        assert known is not None, "always there"
        start, end = _micros(values["valid_from"]), _micros(values["valid_to"])
        return held(
            known, BEGINNING if start is None else start, FOREVER if end is None else end, said, *self._moments
        )  # fmt: skip

    def _learn_facts(self, keys: Iterable[str]) -> None:
        """Find out of facts whether they were believed then to be true then."""
        unknown = {parts_of(key): key for key in keys if key not in self._facts}
        if not unknown:
            return
        if self._rows is None:
            self._rows, _ = believed.rows(self._log, self._moments, {}, None, None)
        rows = self._log.rows_of("fact", list(unknown))
        there = np.isin(np.array(list(rows.values()), np.int64), self._rows)
        self._facts.update(dict.fromkeys(unknown.values(), False))
        self._facts.update((unknown[ref], bool(true)) for ref, true in zip(rows, there, strict=True))


def _chosen(steps: Steps, mask: NDArray[np.bool_]) -> Steps:
    return steps if mask.all() else Steps(*(part[mask] for part in steps))


def _micros(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return micros(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
