"""Statements on the user's own tables, inside the append transaction: appended, and later their outcomes.

A statement is decided when the graph comes to it. Its outcome, and what follows from it for searchable rows, are one
transaction, before the graph commits. Done again after a kill the outcome is there, and nothing is appended twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from typing import cast

import msgspec

from graphsvc.log.episodes import CHUNK
from graphsvc.log.state import State, Stored
from graphsvc.model.change import Change
from graphsvc.model.names import DEFAULT_AGENT
from graphsvc.model.records import Row, row_place
from graphsvc.model.requests import AppendStatement, Conclude, Follow, NewRecord, Touched
from graphsvc.model.statements import Outcome, Statement
from graphsvc.model.texts import embedded_text, text_hash
from graphsvc.model.times import from_micros
from graphsvc.model.validate import content_hash

FEW = 200
"""Rows up to which each record is looked up by itself."""
MAX_READABLE = 256
"""Bytes of table and key that a record's id shows."""

_encode = msgspec.json.encode
_decoder = msgspec.json.Decoder(Outcome)


def append(state: State, request: AppendStatement) -> int:
    """Append a statement; gives the number of its last entry, by which it is known."""
    entries = [
        # what is asked stands in the first entry; those behind it bring more rows
        (statement if place == 0 else Statement(statement.op), batch)
        for statement, batches in [(request.statement, request.batches), *request.then]
        for place, batch in enumerate(batches or [b""])
    ]
    first = state.n
    for place, (statement, batch) in enumerate(entries):
        change = state.begin(request.verb)
        change.statement, change.vectors = statement, batch
        change.call = first if len(entries) > 1 else 0
        change.last = place + 1 == len(entries)
        if change.last:
            change.reply = request.reply
        state.append(change)
    return state.n - 1


def conclude(state: State, request: Conclude) -> Outcome:
    """Note an outcome, and append what follows from it; see `Conclude`."""
    outcome = request.outcome
    known = outcome_of(state.connection, outcome.n)
    if known is not None and not (known.ok and outcome.state == "forgotten"):
        return known
    derived = known.derived if known is not None else _follow(state, outcome.n, request.touched)
    outcome = msgspec.structs.replace(outcome, derived=derived)
    state.connection.execute(
        "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?)",
        (outcome.n, derived, outcome.state, _encode(outcome).decode()),
    )
    return outcome


def outcome_of(connection: sqlite3.Connection, n: int) -> Outcome | None:
    """The outcome that is noted of a statement."""
    row = connection.execute("SELECT body FROM outcome WHERE n = ?", (n,)).fetchone()
    return _decoder.decode(row[0]) if row else None


def follow(state: State, request: Follow) -> int:
    """Bring records of searchable rows up to date; see `Follow`."""
    first = state.n
    _follow(state, state.n, request.touched)
    return state.n - first


# --- searchable rows --------------------------------------------------------------------------------------


def _follow(state: State, n: int, touched: list[Touched]) -> int:
    """Append what a statement changed of searchable rows, in as many entries as it takes; the last's number, or 0."""
    edits = [edit for one in touched for edit in _edits(state, one)]
    first, many = state.n, len(edits) > CHUNK
    for start in range(0, len(edits), CHUNK):
        change = state.begin("row.follow")
        for edit in edits[start : start + CHUNK]:
            _edit(state, change, n, *edit)
        change.of, change.call, change.last = n, first if many else 0, start + CHUNK >= len(edits)
        state.append(change)
    return state.n - 1 if edits else 0


Edit = tuple[str, str, Stored | None, dict[str, str] | None]
"""Table and key, the record that there is, and the texts that it has to have."""


def _edits(state: State, touched: Touched) -> Iterator[Edit]:
    there = _there(state, touched)
    for node, texts in touched.texts.items():
        stored = there.pop(node, None)
        if (stored is None and texts) or (stored is not None and _texts(stored) != (texts or {})):
            yield touched.table, node, stored, texts
    if touched.whole:
        yield from ((touched.table, node, stored, None) for node, stored in there.items())


def _there(state: State, touched: Touched) -> dict[str, Stored]:
    """Live records of the rows, by key: each looked up where they are few, else all of the table."""
    state.flush()
    low, high = row_place(touched.table, ""), f"{touched.table}{chr(ord('.') + 1)}"
    places = [(low, high)]
    if not touched.whole and len(touched.texts) <= FEW:
        places = [(place, f"{place}\0") for node in touched.texts for place in (row_place(touched.table, node),)]
    return {
        str(row[-1])[len(low) :]: Stored(*row[:-1])
        for span in places
        for row in state.connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body, parent FROM record "
            "WHERE kind = 'row' AND agent = ? AND parent >= ? AND parent < ? AND parent IS NOT NULL AND state = 0",
            (DEFAULT_AGENT, *span),
        )
    }


def _texts(stored: Stored) -> dict[str, str]:
    return cast(Row, stored.record).texts


def _edit(state: State, change: Change, n: int, table: str, node: str, stored: Stored | None,
          texts: dict[str, str] | None) -> None:  # fmt: skip
    if stored is None:
        record = Row(id=_id(table, node, n), at=from_micros(state.now), table=table, node=node, texts=texts or {})
        state.retain(change, "Agent", record.agent, record.agent, {})
        state.insert(change, NewRecord.of(record, content_hash("row", {"table": table, "node": node, "texts": texts})))
    elif texts:
        record = msgspec.structs.replace(cast(Row, stored.record), texts=texts)
        state.update(change, stored, record, {"texts": texts}, text_hash(embedded_text(record) or ""))
    else:
        state.release(change, "Agent", stored.agent, stored.agent)
        state.retire(change, stored)


def _id(table: str, node: str, n: int) -> str:
    """A row deleted may come again under its key: the number of the statement tells them apart."""
    place = row_place(table, node)
    if len(place.encode()) > MAX_READABLE or not place.isprintable():
        place = blake2b(place.encode(), digest_size=16).hexdigest()
    return f"{place}@{n}"
