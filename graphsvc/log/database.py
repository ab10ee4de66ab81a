"""memory.sqlite: its tables, and connections to it."""

from __future__ import annotations

import platform
import queue
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphsvc.errors import Closed, Corrupt, GraphsvcError, Overloaded, ReadOnly, StorageFailed, StorageFull

FILE = "memory.sqlite"
MISSING = "Nothing was changed. Put back memory.sqlite, or a copy of the whole directory."
CHECKPOINT_PAGES = 2_000
"""Pages in the write-ahead file at which SQLite moves them on: 8 MB. Measured with 1,000 to 8,000: a commit into a file
that still grows takes twice as long as into one that is written over; with fewer pages, moving them on costs more."""

SCHEMA = """
CREATE TABLE memory (            -- whose log this is; one row
    id TEXT NOT NULL
) STRICT;
CREATE TABLE log (               -- every acknowledged write, in order
    n INTEGER PRIMARY KEY,       -- 1, 2, 3, … without gaps
    at INTEGER NOT NULL,         -- microseconds since 1970 when it was appended
    verb TEXT NOT NULL,
    version INTEGER NOT NULL,
    call INTEGER NOT NULL,       -- first entry of a call of several, else 0
    last INTEGER NOT NULL,       -- 1 closes the call
    body TEXT NOT NULL,          -- JSON, see model/change.py
    vectors BLOB,                -- float32 vectors that the caller gave, in the body's order
    crc INTEGER NOT NULL         -- CRC-32 of all of the above
) STRICT;
CREATE TABLE record (            -- what the log adds up to
    row INTEGER PRIMARY KEY,     -- its number for columns and indexes, never used again
    kind TEXT NOT NULL,
    agent TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    parent TEXT,                 -- what it belongs to: an episode's session, an outcome's skill, what feedback is of
    task TEXT,                   -- digest of the task's text; a causal edge's effect, as its cause is its parent
    first INTEGER NOT NULL,      -- log number that stored it
    last INTEGER NOT NULL,       -- log number that last changed it
    hash BLOB NOT NULL,          -- of the store as the caller gave it
    text_hash INTEGER NOT NULL,  -- of its embedded text, as a signed 64-bit number; 0: none
    state INTEGER NOT NULL,      -- 0 live, 1 deleted, 2 forgotten
    body TEXT                    -- JSON of the record while it lives
) STRICT;
CREATE UNIQUE INDEX record_id ON record (kind, id, agent);
CREATE INDEX record_parent ON record (kind, agent, parent, at, id) WHERE parent IS NOT NULL AND state = 0;
CREATE INDEX record_last ON record (last);
CREATE TABLE history (           -- which later entries touched a record; the first is record.first
    row INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (row, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE link (              -- edges that a caller made, by the rows at their ends
    rel TEXT NOT NULL,
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    body TEXT NOT NULL,          -- JSON of its values
    PRIMARY KEY (rel, source, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_target ON link (target, rel);
CREATE TABLE cursor (            -- how far followers without a number of their own have come
    name TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

CAUSES = """
CREATE INDEX IF NOT EXISTS record_cause ON record (parent) WHERE kind = 'cause' AND state = 0;
CREATE INDEX IF NOT EXISTS record_effect ON record (task) WHERE kind = 'cause' AND state = 0;
"""
"""By what a causal edge leads from and to, to find those of a node that goes. No format of their own: a graphsvc that
doesn't know them keeps them all the same."""


def connect(path: Path, *, writer: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use.

    Raises:
        Corrupt: the file isn't a database.
        ReadOnly, StorageFull: it can't be written.
    """
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=30.0
        )
        connection.execute("PRAGMA busy_timeout = 30000")
        if writer:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if platform.system() == "Darwin":
                connection.execute("PRAGMA fullfsync = ON")
        else:
            connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


def check_there(path: Path, known: str | None) -> None:
    """Raise Corrupt where the log of a memory that isn't new is missing: it must not be made anew, empty."""
    if known is not None and (not path.exists() or not path.stat().st_size):
        raise Corrupt("the log is missing or empty, and it held everything", where=str(path), hint=MISSING)


def create(connection: sqlite3.Connection, path: Path, known: str | None) -> str:
    """Make the tables where there are none yet, all or none of them; gives the id of the memory.

    Args:
        known: the id that the memory has, if it isn't new: then the tables must be there, and be its own.

    Raises:
        Corrupt: the log of a memory that isn't new is missing, or another memory's.
    """
    tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'log'").fetchone()
    if not tables[0] and known is None:
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} INSERT INTO memory VALUES ('{uuid.uuid4().hex}'); COMMIT;")
    elif not tables[0]:
        raise Corrupt("the log is missing or empty, and it held everything", where=str(path), hint=MISSING)
    connection.executescript(CAUSES)
    id = str(connection.execute("SELECT id FROM memory").fetchone()[0])
    if known is not None and id != known:
        raise Corrupt(f"is the log of another memory ({id}, not {known})", where=str(path), hint=MISSING)
    return id


def translated(error: sqlite3.Error, path: Path) -> GraphsvcError:
    """SQLite's error as one of ours, saying what to do."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFull("the disk is full; the write was not kept", where=str(path))
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Corrupt(
                f"the log's file is damaged ({error})",
                where=str(path),
                hint="Copy the directory away first, then restore a snapshot or try `sqlite3 .recover`.",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return ReadOnly(f"can't be opened for writing ({error})", where=str(path), hint="Check its permissions.")
        case sqlite3.SQLITE_IOERR:
            # A write that the disk or a quota cut short looks like this; nothing of it was kept.
            return StorageFull(f"the disk failed a write or read ({name})", where=str(path))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Overloaded(
                "another process holds the log's file locked", where=str(path), retry_after=1.0,
                hint="Only graphsvc may write to it: end what else has it open, and try again.",
            )  # fmt: skip
    return StorageFailed(f"SQLite failed: {name}: {error}", where=str(path))


class ReadPool:
    """Connections for reading, lent to one thread at a time. Readers never wait for the writer."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._free: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)  # opened when first needed
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether nothing can be read any more."""
        return self._closed.is_set()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the length of a `with`."""
        if self._closed.is_set():
            raise Closed("the memory is closed")
        connection = self._free.get()
        try:
            if connection is None:
                connection = connect(self._path)
            yield connection
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        finally:
            if connection is not None and self._closed.is_set():
                connection.close()
                connection = None
            self._free.put(connection)

    @contextmanager
    def instant(self) -> Iterator[sqlite3.Connection]:
        """The same, and all that is read within is of one state, whatever is written meanwhile."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close what is free now; what is lent is closed when it comes back."""
        self._closed.set()
        emptied = 0
        while True:
            try:
                connection = self._free.get_nowait()
            except queue.Empty:
                break
            if connection is not None:
                connection.close()
            emptied += 1
        for _ in range(emptied):
            self._free.put(None)
