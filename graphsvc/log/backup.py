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
from graphsvc.log.trim import held_from
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


def cut(path: Path, to: int) -> None:
    """Take a database that nobody has open back to entry `to`: records, ids, links and history as they were then.

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
            connection.commit()
            connection.execute("VACUUM")  # nothing of what came later stays in the file
    except sqlite3.Error as error:
        raise database.translated(error, path) from error


def check_point(connection: sqlite3.Connection, to: int, where: str = "to") -> None:
    """Refuse a number at which there was no whole memory. Raises NotRetained."""
    first, last = held_from(connection), last_entry(connection)
    if not first <= to <= last:
        why = f": the log was trimmed before {first + 1}" if 0 <= to < first else ""
        raise NotRetained(f"entry {to} isn't held{why}", where=where, hint=f"It can be any of {first} to {last}.")
    if to == first:
        return
    call, ends = connection.execute("SELECT call, last FROM log WHERE n = ?", (to,)).fetchone()
    if not ends:
        after = connection.execute("SELECT min(n) FROM log WHERE n >= ? AND last = 1", (to,)).fetchone()[0]
        raise NotRetained(
            f"entry {to} lies within one call, which is kept whole or not at all",
            where=where,
            hint=f"The nearest points are {call - 1} and {after}.",
        )
