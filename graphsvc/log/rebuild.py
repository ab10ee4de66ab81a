"""What the log adds up to, computed from the log alone: to verify the records against, and to make them anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from graphsvc.log.state import DELETED, FORGOTTEN, LIVE, moment, places, signed
from graphsvc.model.change import Change, Held, Link, decode_record
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Record
from graphsvc.model.requests import encode_record
from graphsvc.model.texts import embedded_text, text_hash

if TYPE_CHECKING:
    from graphsvc.log.log import Log

OWN_RELS = frozenset({"IN_SESSION", "ATTEMPTS", "NEXT", "VERSION_OF", "CAUSES"})
"""Edges that follow from the records; the others were made by a caller."""


@dataclass(slots=True)
class ReplayedRecord:
    """A record as the log leaves it; `record` is None if it is gone, `places` what it belonged to then."""

    kind: str
    agent: str
    id: str
    first: int
    last: int
    hash: bytes
    record: Record | None
    state: int = LIVE
    places: tuple[str | None, str | None] = (None, None)



@dataclass(slots=True)
class Rebuilt:
    """The records by row, links by type and rows (and which there are at a row), history as row and number."""

    records: dict[int, ReplayedRecord] = field(default_factory=dict)
    links: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    links_at: dict[int, set[tuple[str, int, int]]] = field(default_factory=dict)
    history: list[tuple[int, int]] = field(default_factory=list)
    rows: dict[tuple[str, str], int] = field(default_factory=dict)


def replay(log: Log) -> Rebuilt:
    """Fold the whole log."""
    return fold(log.entries(log.head))


def fold(changes: Iterable[Change]) -> Rebuilt:
    """What these entries add up to, the first of them the log's first."""
    rebuilt = Rebuilt()
    for change in changes:
        fold_one(rebuilt, change)
    return rebuilt


def fold_one(rebuilt: Rebuilt, change: Change) -> None:
    """Take in one entry more."""
    for link in change.unlinks:
        if link.rel not in OWN_RELS:
            rebuilt.links.pop(_ends(rebuilt, link), None)
    for gone in change.gone:
        _remove(rebuilt, gone.row, change.n)
    for put in change.puts:
        record = decode_record(put.kind, put.record)
        rebuilt.records[put.row] = ReplayedRecord(
            put.kind, record.agent, record.id, change.n, change.n, put.hash, record
        )
        rebuilt.rows[(KINDS[put.kind].table or put.kind, record.key)] = put.row
    for held in change.held:
        _take_held(rebuilt, held)
    for patch in change.patches:
        replayed = rebuilt.records[patch.row]
        assert replayed.record is not None, "only a live record is amended"
        values = {**msgspec.to_builtins(replayed.record), **msgspec.to_builtins(patch.values)}
        replayed.record = msgspec.convert(values, type(replayed.record))
        replayed.last = change.n
        rebuilt.history.append((patch.row, change.n))
    for forgotten in change.forgotten:
        _forget(rebuilt, forgotten.row, change.n)
    for link in change.links:
        if link.rel not in OWN_RELS:
            ends = _ends(rebuilt, link)
            rebuilt.links[ends] = link.values
            for row in ends[1:]:
                rebuilt.links_at.setdefault(row, set()).add(ends)


def _take_held(rebuilt: Rebuilt, held: Held) -> None:
    """What trimmed entries said of a record, beside the values that a put of the same entry gives."""
    if held.kind:
        rebuilt.records[held.row] = ReplayedRecord(
            held.kind, held.agent, held.id, held.first, held.last, held.hash, None, held.state,
            (held.parent, held.task),
        )  # fmt: skip
    replayed = rebuilt.records[held.row]
    replayed.first, replayed.last = held.first, held.last
    rebuilt.history.extend((held.row, n) for n in held.history)


def _remove(rebuilt: Rebuilt, row: int, n: int) -> None:
    replayed = rebuilt.records[row]
    assert replayed.record is not None, "only a live record goes"
    replayed.places = places(replayed.record)
    replayed.record, replayed.state = None, DELETED
    replayed.last = n
    rebuilt.history.append((row, n))
    for ends in rebuilt.links_at.pop(row, ()):
        rebuilt.links.pop(ends, None)


def _forget(rebuilt: Rebuilt, row: int, n: int) -> None:
    """It went just now, or before. Of what it belonged to an episode's task and a fact's line aren't known any more."""
    replayed = rebuilt.records[row]
    replayed.state, replayed.last = FORGOTTEN, n
    replayed.places = (None if replayed.kind == "fact" else replayed.places[0], None)
    rebuilt.history.append((row, n))


def _ends(rebuilt: Rebuilt, link: Link) -> tuple[str, int, int]:
    source = rebuilt.rows[(link.source_table, link.source)]
    return link.rel, source, rebuilt.rows[(link.target_table, link.target)]


def rewrite(connection: sqlite3.Connection, rebuilt: Rebuilt) -> None:
    """Make the tables of records what the log adds up to, within the transaction under way."""
    for table in ("record", "link", "history"):
        connection.execute(f"DELETE FROM {table}")
    connection.executemany(
        "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (record_row(row, replayed) for row, replayed in rebuilt.records.items()),
    )
    links = [(*ends, msgspec.json.encode(values).decode()) for ends, values in rebuilt.links.items()]
    connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?)", links)
    connection.executemany("INSERT OR IGNORE INTO history VALUES (?, ?)", rebuilt.history)


RECORD = (
    "row", "kind", "agent", "id", "at", "parent", "task", "first", "last", "hash", "text_hash", "state", "body",
)  # fmt: skip
"""Columns of the record table, in their order."""


def record_row(row: int, replayed: ReplayedRecord) -> tuple[Any, ...]:
    record = replayed.record
    text = embedded_text(record) if record is not None else None
    parent, task = places(record) if record is not None else replayed.places
    return (
        row, replayed.kind, replayed.agent, replayed.id, moment(record) if record is not None else 0, parent, task,
        replayed.first, replayed.last, replayed.hash, signed(text_hash(text)) if text else 0,
        replayed.state,
        encode_record(record).decode() if record is not None else None,
    )  # fmt: skip
