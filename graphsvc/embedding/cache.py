"""Computed embeddings, kept in memory and on disk, by model and text.

A key is a digest of fingerprint and text; no text is stored. The cache on disk is a help, never a need: if it
is damaged it is set aside, if it can't be used it is left alone, and embedding goes on either way. Only
`forget` insists, since what it is asked to remove must be gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import ReadOnly, WaitTimeout

log = logging.getLogger(__name__)

Row = tuple[NDArray[np.float32], int, int]
"""A unit vector, the text's tokens, and how many of them the model saw."""

FILE = "embeddings.sqlite"
LIMIT_BYTES = 1 << 30
BUSY_SECONDS = 0.25
FORGET_BUSY_SECONDS = 10.0
ROWS_PER_STATEMENT = 500
WRITES_PER_SIZE_CHECK = 200
NORM_TOLERANCE = 1e-3

SCHEMA = """
CREATE TABLE IF NOT EXISTS models (fingerprint TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embeddings (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
    tokens INTEGER NOT NULL, kept INTEGER NOT NULL, vector BLOB NOT NULL);
"""


def key_of(fingerprint: str, text: str) -> bytes:
    """16 bytes that stand for a text under a model."""
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=16)
    digest.update(b"\0")
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


class MemoryCache:
    """The embeddings used last, at most `entries`. Thread-safe."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._rows: OrderedDict[bytes, Row] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """Those of `keys` that are held."""
        found = {}
        with self._lock:
            for key in keys:
                row = self._rows.get(key)
                if row is not None:
                    self._rows.move_to_end(key)
                    found[key] = row
        return found

    def put(self, rows: dict[bytes, Row]) -> None:
        """Hold `rows`; those unused for longest go if there are too many."""
        with self._lock:
            self._rows.update(rows)
            while len(self._rows) > self._entries:
                self._rows.popitem(last=False)

    def drop(self, keys: Sequence[bytes]) -> set[bytes]:
        """Let go of `keys`; those that were held."""
        with self._lock:
            return {key for key in keys if self._rows.pop(key, None) is not None}

    def __len__(self) -> int:
        return len(self._rows)

    def after_fork(self) -> None:
        """In a forked child: a lock that another thread of the parent held would never be released."""
        self._lock = threading.Lock()


class DiskCache:
    """`embeddings.sqlite` in the cache directory, shared by all processes of the user. Thread-safe."""

    def __init__(self, directory: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = directory / FILE
        self._limit = limit_bytes
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened_inode = 0
        self._known: set[str] = set()
        self._writes = 0
        self.broken = ""
        """Why the cache isn't used; empty while it is."""

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, Row]:
        """Those of `keys` that are held, whole and of this dimension. Never raises."""
        found: dict[bytes, Row] = {}
        with self._guarded() as connection:
            for start in range(0, len(keys) if connection else 0, ROWS_PER_STATEMENT):
                some = keys[start : start + ROWS_PER_STATEMENT]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, vector, tokens, kept FROM embeddings WHERE key IN ({marks})"
                assert connection is not None
                found.update(_whole(connection.execute(query, some).fetchall(), dimension))
        return found

    def put(self, rows: dict[bytes, Row], fingerprint: str) -> None:
        """Hold `rows`, in one transaction; the oldest go if the file is too large. Never raises."""
        with self._guarded() as connection:
            if connection is None or not rows:
                return
            with _transaction(connection):
                if fingerprint not in self._known:
                    connection.execute("INSERT OR IGNORE INTO models VALUES (?)", (fingerprint,))
                connection.executemany(
                    "INSERT OR IGNORE INTO embeddings (key, tokens, kept, vector) VALUES (?, ?, ?, ?)",
                    [(key, tokens, kept, row.tobytes()) for key, (row, tokens, kept) in rows.items()],
                )
            self._known.add(fingerprint)
            if self._writes % WRITES_PER_SIZE_CHECK == 0:
                self._shrink(connection)
            self._writes += 1

    def forget(self, texts: Sequence[str]) -> set[int]:
        """Remove the texts' vectors, under every model, and overwrite their bytes.

        Gives the positions of the texts that had any.

        Raises:
            WaitTimeout: another process kept the file busy.
            ReadOnly: the file is there and can't be changed.
        """
        gone: set[int] = set()
        with self._lock:
            self._damaged_path.unlink(missing_ok=True)
            if not self.path.exists():
                return gone
            with self._guarded(insist=True) as connection:
                if connection is not None:
                    connection.execute(f"PRAGMA busy_timeout = {int(FORGET_BUSY_SECONDS * 1000)}")
                    try:
                        gone = self._delete(connection, texts)
                        # what was deleted may still stand in the write-ahead file
                        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                    finally:
                        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
                    if busy:
                        raise WaitTimeout("another process reads the cache", where=str(self.path))
        return gone

    def close(self) -> None:
        """Close the file; used again, it is opened again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def after_fork(self) -> object:
        """In a forked child: leave the parent's connection alone. Gives it, to be kept from being closed."""
        left, self._connection, self._lock = self._connection, None, threading.RLock()
        return left

    @property
    def _damaged_path(self) -> Path:
        return self.path.with_name(FILE + ".damaged")

    @staticmethod
    def _delete(connection: sqlite3.Connection, texts: Sequence[str]) -> set[int]:
        gone = set()
        with _transaction(connection):
            models = [name for (name,) in connection.execute("SELECT fingerprint FROM models").fetchall()]
            for position, text in enumerate(texts):
                for model in models:
                    statement = "DELETE FROM embeddings WHERE key = ?"
                    if connection.execute(statement, (key_of(model, text),)).rowcount:
                        gone.add(position)
        return gone

    @contextlib.contextmanager
    def _guarded(self, *, insist: bool = False) -> Iterator[sqlite3.Connection | None]:
        """The open connection, or None if the cache can't be used. What goes wrong with it stops here."""
        with self._lock:
            try:
                if not self.broken or insist:
                    self._open()
            except (sqlite3.Error, OSError) as error:
                self._went_wrong(error, insist)
            try:
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                self._went_wrong(error, insist)

    def _open(self) -> None:
        if self._connection is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # vectors tell something about their texts: for this user's eyes only
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._opened_inode = self.path.stat().st_ino
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.executescript(SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._known = set()

    def _went_wrong(self, error: Exception, insist: bool) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            if insist:
                raise WaitTimeout("another process keeps the cache busy", where=str(self.path)) from error
            log.debug("the embedding cache is busy; going on without it: %s", error)
            return
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._set_aside(error)
            if insist:
                self._damaged_path.unlink(missing_ok=True)
            return
        with contextlib.suppress(sqlite3.Error):
            self.close()
        if insist:
            raise ReadOnly(f"the embedding cache can't be changed: {error}", where=str(self.path)) from error
        self.broken = str(error)
        log.warning("embeddings aren't kept on disk from now on: %s: %s", self.path, error)

    def _set_aside(self, error: Exception) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()
        self._connection = None
        try:
            # another process may have set it aside already, and made a new one
            if self.path.stat().st_ino == self._opened_inode:
                os.replace(self.path, self._damaged_path)
                for suffix in ("-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            log.warning("the embedding cache was damaged (%s); set aside as %s", error, self._damaged_path)
        except OSError as second:
            self.broken = str(second)
            log.warning("the embedding cache is damaged and can't be set aside: %s", second)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest tenth while the pages in use exceed the limit."""
        while True:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            oldest, newest = connection.execute("SELECT min(number), max(number) FROM embeddings").fetchone()
            if (pages - free) * size <= self._limit or oldest is None:
                return
            connection.execute(
                "DELETE FROM embeddings WHERE number <= ?", (oldest + max(1, newest - oldest) // 10,)
            )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _whole(rows: list[tuple[bytes, bytes, int, int]], dimension: int) -> dict[bytes, Row]:
    """The rows that hold a unit vector of the right length: a flipped bit is a miss, not an answer."""
    sized = [row for row in rows if len(row[1]) == 4 * dimension]
    if not sized:
        return {}
    vectors = np.frombuffer(b"".join(row[1] for row in sized), dtype=np.float32).reshape(-1, dimension)
    norms = np.einsum("ij,ij->i", vectors, vectors)
    good = np.abs(norms - 1) < NORM_TOLERANCE  # false for NaN as well
    return {
        key: (vectors[at], tokens, kept)
        for at, (key, _, tokens, kept) in enumerate(sized)
        if good[at]
    }
