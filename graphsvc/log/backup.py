"""Copies of memory.sqlite: taken while it is written, read, and cut back to an earlier entry."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from graphsvc.errors import NotRetained
from graphsvc.log import database
from graphsvc.log.log import ENTRY, entry_of
from graphsvc.log.rebuild import fold, rewrite
from graphsvc.model.change import Change


def back_up(source: Path, target: Path, cursors: Mapping[str, int]) -> int:
    """Copy the database as it is at one instant; writers go on meanwhile.

    Args:
        source: the file of a memory. target: a file that isn't there yet. cursors: what the copy says of how far
            followers have come; those of others are left out.

    Returns:
        Number of the last entry in the copy.

    Raises:
        Corrupt, StorageFull: the files can't be read or written.
    """
    try:
        with closing(database.connect(source)) as reading, closing(_plain(target)) as copy:
            # In one step: between two of them a commit would make SQLite begin anew.
            reading.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("DELETE FROM cursor")
            copy.executemany("INSERT INTO cursor VALUES (?, ?)", cursors.items())
            copy.commit()
            return last_entry(copy)
    except sqlite3.Error as error:
        raise database.translated(error, target) from error


def _plain(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")  # whoever asked for the copy syncs it as a whole
    return connection


def last_entry(connection: sqlite3.Connection) -> int:
    """Number of the last entry, 0 if there is none."""
    return int(connection.execute("SELECT coalesce(max(n), 0) FROM log").fetchone()[0])


def entries(path: Path, connection: sqlite3.Connection, after: int, to: int) -> Iterator[Change]:
    """The entries behind `after` up to `to`, in order. Raises Corrupt where one isn't what was written."""
    for row in connection.execute(f"SELECT {ENTRY} FROM log WHERE n > ? AND n <= ? ORDER BY n", (after, to)):
        yield entry_of(row, path)


def rename(path: Path) -> str:
    """Give the memory whose log this is a new id; gives it."""
    id = uuid.uuid4().hex
    try:
        with closing(_plain(path)) as connection, connection:
            connection.execute("UPDATE memory SET id = ?", (id,))
    except sqlite3.Error as error:
        raise database.translated(error, path) from error
    return id


def cut(path: Path, to: int) -> bool:
    """Take a database that nobody has open back to entry `to`: records, ids, links and history as they were then.

    Returns:
        Whether a statement must be decided again, for what followed from it was cut off.

    Raises:
        NotRetained: the log doesn't hold that point, or it lies within a call.
    """
    try:
        with closing(_plain(path)) as connection:
            check_point(connection, to)
            rebuilt = fold(entries(path, connection, 0, to))
            rewrite(connection, rebuilt)
            connection.execute("DELETE FROM log WHERE n > ?", (to,))
            connection.execute("DELETE FROM cursor WHERE n > ?", (to,))
            again = _cut_outcomes(connection, to)
            connection.commit()
            connection.execute("VACUUM")  # nothing of what came later stays in the file
            return again
    except sqlite3.Error as error:
        raise database.translated(error, path) from error


def _cut_outcomes(connection: sqlite3.Connection, to: int) -> bool:
    """Leave the outcomes of statements up to `to`, but for those whose consequences lie behind it."""
    if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'outcome'").fetchone()[0]:
        return False  # of format 1
    connection.execute("DELETE FROM outcome WHERE n > ?", (to,))
    return connection.execute("DELETE FROM outcome WHERE derived > ?", (to,)).rowcount > 0


def check_point(connection: sqlite3.Connection, to: int) -> None:
    """Refuse a number at which there was no whole memory. Raises NotRetained."""
    last = last_entry(connection)
    if not 0 <= to <= last:
        raise NotRetained(f"entry {to} isn't held", where="to", hint=f"It can be any of 0 to {last}.")
    if to == 0:
        return
    call, ends = connection.execute("SELECT call, last FROM log WHERE n = ?", (to,)).fetchone()
    if not ends:
        after = connection.execute("SELECT min(n) FROM log WHERE n >= ? AND last = 1", (to,)).fetchone()[0]
        raise NotRetained(
            f"entry {to} lies within one call, which is kept whole or not at all",
            where="to",
            hint=f"The nearest points are {call - 1} and {after}.",
        )
