"""Statements on the user's own tables, inside the append transaction: appended, and later their outcomes.

A statement is decided when the graph comes to it. Its outcome, and what follows from it for searchable rows, are one
transaction, before the graph commits. Done again after a kill the outcome is there, and nothing is appended twice.
"""

from __future__ import annotations

import sqlite3

import msgspec

from graphsvc.log.state import State
from graphsvc.model.requests import AppendStatement, Conclude
from graphsvc.model.statements import Outcome, Statement

_encode = msgspec.json.encode
_decoder = msgspec.json.Decoder(Outcome)


def append(state: State, request: AppendStatement) -> int:
    """Append a statement; gives the number of its last entry, by which it is known."""
    first, many = state.n, len(request.batches) > 1
    for place, batch in enumerate(request.batches or [b""]):
        change = state.begin(request.verb)
        # what is asked stands in the first entry; those behind it bring more rows
        change.statement = request.statement if place == 0 else Statement(request.statement.op)
        change.vectors = batch
        change.call = first if many else 0
        change.last = place + 1 >= len(request.batches)
        if change.last:
            change.reply = request.reply
        state.append(change)
    return state.n - 1


def conclude(state: State, request: Conclude) -> Outcome:
    """Note an outcome; see `Conclude`."""
    outcome = request.outcome
    known = outcome_of(state.connection, outcome.n)
    if known is not None and not (known.ok and outcome.state == "forgotten"):
        return known
    if known is not None:
        outcome = msgspec.structs.replace(outcome, derived=known.derived)
    state.connection.execute(
        "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?)",
        (outcome.n, outcome.derived, outcome.state, _encode(outcome).decode()),
    )
    return outcome


def outcome_of(connection: sqlite3.Connection, n: int) -> Outcome | None:
    """The outcome that is noted of a statement."""
    row = connection.execute("SELECT body FROM outcome WHERE n = ?", (n,)).fetchone()
    return _decoder.decode(row[0]) if row else None
