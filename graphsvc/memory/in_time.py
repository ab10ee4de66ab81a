"""Walks as of a pair of times: which edges held at one moment, as was known at another.

Times are kept by causal edges (CAUSES), by facts, whose edges (ABOUT, EVIDENCE) hold as long as the fact, and by tables
of one's own that are `temporal`, whose past lies in a table of its own. Nothing else keeps times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.log import believed
from graphsvc.log.adjacent import BEGINNING, FOREVER, held, said_ends
from graphsvc.log.log import Log
from graphsvc.model.as_of import Moments, When, in_force, refuse_as_of
from graphsvc.model.names import parts_of
from graphsvc.model.times import micros
from graphsvc.store.numbered import Edges, Numbers

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


@dataclass(slots=True)
class Then:
    """Which edges held at a pair of times.

    Attributes:
        log: knows the facts. moments: the pair. pasts: the tables that hold pasts.
    """

    log: Log
    moments: Moments
    pasts: frozenset[str]
    _facts: dict[Any, bool] = field(default_factory=dict)
    _rows: NDArray[np.int64] | None = None

    def holding(self, edges: Edges, numbers: Numbers) -> NDArray[np.bool_]:
        """Which of some edges held."""
        ends = [edges.ends(number) for number in numbers.tolist()]
        name = edges.nodes.name
        facts = [name(source) if rel in OF_FACTS else ("", "") for rel, source, _ in ends]
        self._learn({key for table, key in facts if table == "Fact"})
        held: list[bool] = []
        for values, (rel, *_), (table, key) in zip(edges.values(numbers.tolist()), ends, facts, strict=True):
            if rel == "CAUSES":
                held.append(self._causes(values))
            elif rel in self.pasts:
                held.append(self._version(values))
            else:
                held.append(table == "Fact" and self._facts[key])
        return np.array(held, bool)

    def _causes(self, values: dict[str, Any]) -> bool:
        said = said_ends(msgspec.json.decode(values["endings"]) if values.get("endings") else {})
        known = _micros(values["at"])
        assert known is not None, "always there"
        start, end = _micros(values["valid_from"]), _micros(values["valid_to"])
        return held(
            known, BEGINNING if start is None else start, FOREVER if end is None else end, said, *self.moments
        )  # fmt: skip

    def _version(self, values: dict[str, Any]) -> bool:
        valid, known = self.moments
        known_to = _micros(values["known_to"])
        if known is None:
            if known_to is not None:
                return False
        elif not in_force(_micros(values["known_from"]), known_to, known):
            return False
        return valid is None or in_force(_micros(values["valid_from"]), _micros(values["valid_to"]), valid)

    def _learn(self, keys: Iterable[str]) -> None:
        """Find out of facts whether they were believed then to be true then."""
        unknown = {parts_of(key): key for key in keys if key not in self._facts}
        if not unknown:
            return
        if self._rows is None:
            self._rows, _ = believed.rows(self.log, self.moments, {}, None, None)
        rows = self.log.rows_of("fact", list(unknown))
        there = np.isin(np.array(list(rows.values()), np.int64), self._rows)
        self._facts.update(dict.fromkeys(unknown.values(), False))
        self._facts.update((unknown[ref], bool(true)) for ref, true in zip(rows, there, strict=True))


def _micros(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return micros(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
