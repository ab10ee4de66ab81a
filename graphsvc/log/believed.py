"""Which facts were believed at one moment to be true at another: asked of the columns in memory, for any pair of times.

As things are known now that is written at each fact (`until`, `known_to`). As they were known at another moment it is
computed from what the facts assert, for their lines as a whole: what cuts a fact needn't be what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.log.columns import NO_INT
from graphsvc.model.as_of import Moments
from graphsvc.model.facts import BEGINNING, FOREVER, Ints, following, moment_of
from graphsvc.model.filters import Filter, parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Fact, Record

if TYPE_CHECKING:
    from graphsvc.log.log import Log

KIND = KINDS["fact"]
Agents = tuple[str, ...] | None
Flags = NDArray[np.bool_]


class Cut(NamedTuple):
    """Until when a fact was true, in microseconds, and the row of the one that cut it short, -1 if none did."""

    until: int
    by: int


@dataclass(slots=True)
class Asserted:
    """What many facts assert, in parallel arrays, in the order of their rows.

    Attributes:
        row: numbers. line: equal where two are of one line of a single predicate, its own for each other fact.
        start, end, known: in microseconds; `BEGINNING`, `FOREVER` where open. rank: orders what else is equal.
    """

    row: Ints
    line: Ints
    start: Ints
    end: Ints
    known: Ints
    rank: Ints

    def follows(self) -> Ints:
        """The place of the fact that follows each in its line, else -1."""
        return following(self.line, self.start, self.known, self.rank)


def rows(
    log: Log, moments: Moments | None, line: dict[str, str], filter: Filter | None, agents: Agents
) -> tuple[Ints, dict[int, Cut]]:
    """Rows of the facts that are asked for, ascending.

    Args:
        moments: the pair of times; None: believed now, true at whatever time.
        line: subject and predicate, where they are given. filter: on the facts, those two included.

    Returns:
        The rows, and how each was cut then, if that may be otherwise than now.
    """
    found, _ = log.mask("fact", filter, agents)
    if moments is None or moments.known is None:
        return found[_now(log, found, None if moments is None else moments.valid)], {}
    all_rows, _ = log.mask("fact", parse(line, KIND), agents)
    asserted = known_at(log, all_rows, moments.known)
    follows = asserted.follows()
    until = np.where(follows >= 0, np.minimum(asserted.end, asserted.start[follows]), asserted.end)
    keep = (until > asserted.start) & np.isin(asserted.row, found)
    if moments.valid is not None:
        keep &= (asserted.start <= moments.valid) & (moments.valid < until)
    by = np.where((follows >= 0) & (until < asserted.end), asserted.row[follows], -1)
    chosen = asserted.row[keep]
    return chosen, dict(zip(chosen.tolist(), map(Cut, until[keep].tolist(), by[keep].tolist()), strict=True))


def _now(log: Log, found: Ints, valid: int | None) -> Flags:
    values = {name: log.columns.values("fact", name, found) for name in ("known_to", "superseded")}
    keep: Flags = (values["known_to"] == NO_INT) & (values["superseded"] == 0)
    if valid is not None:
        until = log.columns.values("fact", "until", found)
        keep &= (log.columns.values("fact", "valid_from", found) <= valid) & ((until == NO_INT) | (valid < until))
    return keep


def known_at(log: Log, all_rows: Ints, known: int | None) -> Asserted:
    """Those of the rows that were known at a moment, None for now, and what they assert."""
    names = ("at", "known_to", "valid_from", "valid_to")
    at, known_to, start, end = (log.columns.values("fact", name, all_rows) for name in names)
    keep = known_to == NO_INT if known is None else (at <= known) & ((known_to == NO_INT) | (known < known_to))
    row = all_rows[keep]
    asserted = Asserted(
        row, _lines(log, row), np.where(start == NO_INT, BEGINNING, start)[keep],
        np.where(end == NO_INT, FOREVER, end)[keep], at[keep], np.arange(len(row)),
    )  # fmt: skip
    _rank(log, asserted)
    return asserted


def _lines(log: Log, row: Ints) -> Ints:
    """A number for each line of a single predicate, and one of its own for each other fact."""
    columns = log.columns.kinds["fact"]
    agent, subject, predicate = (
        log.columns.values("fact", name, row).astype(np.int64) for name in ("agent", "subject", "predicate")
    )
    width = len(columns.names["predicate"].texts) + 1
    said = agent * width + predicate
    agents, predicates = columns.names["agent"].codes, columns.names["predicate"].codes
    single = [
        agents[owner] * width + predicates[name]
        for owner, name in single_predicates(log)
        if owner in agents and name in predicates
    ]
    lines: Ints = np.where(
        np.isin(said, single), said * (len(columns.names["subject"].texts) + 1) + subject, -1 - np.arange(len(row))
    )
    return lines


def single_predicates(log: Log) -> list[tuple[str, str]]:
    """Namespace and name of the single predicates."""
    with log.connection() as connection:
        return connection.execute(
            "SELECT agent, id FROM record WHERE kind = 'predicate' AND state = 0 AND json_extract(body, '$.single')"
        ).fetchall()


def _rank(log: Log, asserted: Asserted) -> None:
    """Facts that begin and were learnt at the same moments come from other memories: their ids order them."""
    order = np.lexsort((asserted.known, asserted.start, asserted.line))
    keys = [values[order] for values in (asserted.line, asserted.start, asserted.known)]
    if len(order) > 1 and np.logical_and.reduce([key[1:] == key[:-1] for key in keys]).any():
        records = log.records(asserted.row)
        ids = [records[row].id if row in records else "" for row in asserted.row.tolist()]
        asserted.rank = np.argsort(np.argsort(np.array(ids, object), kind="stable"))


def as_known(fact: Fact, cut: Cut | None, cutting: Mapping[int, Record]) -> Fact:
    """A fact as it was cut at the moment that was asked for, given the facts that cut."""
    if cut is None:
        return fact
    by = cutting[cut.by].id if cut.by in cutting else None
    return msgspec.structs.replace(fact, until=moment_of(cut.until), closed_by=by, superseded=False)


def ended_then(log: Log, facts: Iterable[Fact], moments: Moments, agents: Agents) -> list[Fact]:
    """Facts as they were known to end at a moment of knowledge."""
    facts = list(facts)
    _, cuts = rows(log, moments, {}, None, agents)
    numbers = log.rows_of("fact", [(fact.agent, fact.id) for fact in facts])
    cut = [cuts.get(numbers.get((fact.agent, fact.id), -1)) for fact in facts]
    cutting = log.records(sorted({one.by for one in cut if one is not None and one.by >= 0}))
    return [as_known(fact, one, cutting) for fact, one in zip(facts, cut, strict=True)]


def conflicts(log: Log, asserted: Asserted) -> Iterator[tuple[int, int]]:
    """Rows of each two facts that contradict each other, the overruled one first; see `Facts.contradictions`."""
    order = np.lexsort((asserted.rank, asserted.known, asserted.start, asserted.line))
    line, start, end, row = (values[order] for values in (asserted.line, asserted.start, asserted.end, asserted.row))
    objects = log.columns.values("fact", "object", row)
    said = np.where(end == FOREVER, start + 1, end)  # what has no end gives way to what begins later
    met = np.flatnonzero((line[1:] == line[:-1]) & (start[1:] < said[:-1]))
    for place in met.tolist():
        other = place + 1
        while other < len(row) and line[other] == line[place] and start[other] < said[place]:
            if objects[place] != objects[other]:
                yield int(row[place]), int(row[other])
            other += 1
