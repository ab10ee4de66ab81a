"""The log: append to it, read on from a number, look records up. One per open memory."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from graphsvc.config import Settings
from graphsvc.errors import Ambiguous, Corrupt, NotFound, WaitTimeout
from graphsvc.log import database
from graphsvc.log.adjacent import Adjacent
from graphsvc.log.columns import FILE as COLUMNS
from graphsvc.log.columns import Columns
from graphsvc.log.forget import clean
from graphsvc.log.rebuild import replay, rewrite
from graphsvc.log.sleepers import Sleepers
from graphsvc.log.state import FORGOTTEN, LIVE, RowEvent, Stored, every, resolve
from graphsvc.log.statements import outcome_of
from graphsvc.log.trim import Staged, first_entry, held_from, substitute_of, trimmed
from graphsvc.log.trim import replace as put_in_place
from graphsvc.log.writer import Ticket, Writer
from graphsvc.model.change import Change, Trimmed, checksum, decode, decode_record
from graphsvc.model.filters import Filter
from graphsvc.model.records import Record
from graphsvc.model.requests import Alone, MoveCursor, RebuildRecords, Request
from graphsvc.model.statements import Outcome

logger = logging.getLogger("graphsvc.log")

DAMAGED = "Copy the directory away first, then restore a copy: what was written there is lost."
RECENT_CHANGES = 4_000
RECENT_BYTES = 32 << 20
OWNERS = 10_000
"""Ids of which it is kept in which namespace they are."""
FORGET_AGAIN = "Forget again, or open the memory again: it is gone on with."
READ_BYTES = 16 << 20
"""The most that a follower is given at once, if it is more than one entry: an engine's transaction has its limits."""

ENTRY = "n, at, verb, version, call, last, body, vectors, crc"
"""Columns of an entry, as `entry_of` takes them."""


class Log:
    """memory.sqlite, open.

    Args:
        directory: of the memory.
        settings: in force.
        id: that the memory has; None if it is new.

    Raises:
        Corrupt: the file is damaged, missing though the memory isn't new, or another memory's.
        ReadOnly, StorageFull: it can't be used.
    """

    def __init__(self, directory: Path, settings: Settings, id: str | None = None) -> None:
        self.path = directory / database.FILE
        database.check_there(self.path, id)
        self._directory = directory
        self._recent: deque[Change] = deque()
        self._recent_bytes = 0
        self._owners: dict[tuple[str, str, tuple[str, ...] | None], tuple[int, str]] = {}
        self._grown = threading.Condition()
        self._wakings = 0
        self._sleepers = Sleepers()
        self.waiting: dict[int, Any] = {}
        """Who waits for the outcome of a statement, by its number."""
        self._adjacent: Adjacent | None = None
        self._missed: list[RowEvent] | None = None
        self._making = threading.Lock()
        connection = database.connect(self.path, writer=True)
        try:
            self.id = database.create(connection, self.path, id)
            self._head = self._read_head(connection)
            self._first, self._trimmed = first_entry(connection), trimmed(connection)
            self.pool = database.ReadPool(self.path, settings.readers + 4)
            self.columns = self._columns(connection)
            self.writer = Writer(connection, self.path, settings, self.columns, self._publish)
        except sqlite3.Error as error:
            connection.close()
            raise database.translated(error, self.path) from error
        except BaseException:
            connection.close()
            raise

    def _columns(self, connection: sqlite3.Connection) -> Columns:
        """The columns as they were saved, read on; records that can't be read are made anew from the log first."""
        columns = Columns.load(self._directory, self._head)
        self._saved_at = columns.n
        try:
            columns.catch_up(connection)
        except Corrupt as error:
            logger.warning("records are damaged and are made anew from the log: %s", error)
            connection.execute("BEGIN IMMEDIATE")
            rewrite(connection, replay(self))
            connection.execute("COMMIT")
            self._saved_at = -1
            columns = Columns()
            columns.catch_up(connection)
        return columns

    @staticmethod
    def _read_head(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT coalesce(max(n), 0) FROM log").fetchone()[0])

    def close(self, *, save: bool = True) -> None:
        """Commit what waits, save the columns, close everything."""
        self.writer.close()
        self.look_again()
        try:
            if save and self.columns.n > self._saved_at and self.writer.sound:
                self.columns.save(self._directory)
        except OSError as error:
            logger.warning("the columns can't be saved, and are read from the records next time: %s", error)
        finally:
            self.pool.close()

    def held(self) -> AbstractContextManager[None]:
        """For the length of a `with`, nothing is appended: writes wait. See `Writer.held`."""
        return self.writer.held()

    # --- writing -----------------------------------------------------------------------------------------

    def submit(self, request: Request) -> Ticket:
        """Have a request decided and committed; see `Writer.submit`."""
        return self.writer.submit(request)

    async def submit_async(self, request: Request) -> Ticket:
        """The same, awaited."""
        return await self.writer.submit_async(request)

    def _publish(self, changes: list[Change], events: list[RowEvent]) -> None:
        """In the writer's thread, after a commit: columns first, then whoever follows the log."""
        if not changes:
            return
        taken = any(change.links for change in changes if change.verb == "memory.import")
        self.columns.apply(events, changes[-1].n, ["skill"] if taken else ())  # what skills were derived from
        self.waiting.update((change.n, change.reply) for change in changes if change.reply is not None)
        with self._grown:
            if self._missed is not None:
                self._missed.extend(events)
            if self._adjacent is not None:
                self._adjacent.apply(events)
            for change in changes:
                self._recent.append(change)
                self._recent_bytes += change.size
            while len(self._recent) > RECENT_CHANGES or self._recent_bytes > RECENT_BYTES:
                self._recent_bytes -= self._recent.popleft().size
            if any(change.verb == "forget" for change in changes):
                self._drop_recent()  # whoever reads on must read what was overwritten
            self._head = changes[-1].n
            self._grown.notify_all()
        self._sleepers.rouse()

    def _drop_recent(self) -> None:
        self._recent.clear()
        self._recent_bytes = 0

    def rebuild(self) -> None:
        """Make records and columns anew from the log. Writes wait meanwhile."""
        self.submit(RebuildRecords(lambda: replay(self), self._renew_columns))

    def _renew_columns(self) -> None:
        """In the writer's thread: nothing is committed between the reading and the taking over."""
        columns = Columns()
        with self.pool.connection() as connection:
            columns.catch_up(connection)
        self.columns = columns
        self._owners.clear()
        with self._making:
            self._adjacent = None
        self.writer.use(columns)
        self._saved_at = -1

    def clean(self) -> None:
        """Leave nothing in any file of the log's of what was overwritten; then the note of it goes.

        Raises:
            WaitTimeout: who reads the log since before didn't come to an end. StorageFull: there is no room for it.
        """

        def work(connection: sqlite3.Connection) -> None:
            if not clean(connection):
                raise WaitTimeout("the log is being read since before", where=str(self.path), hint=FORGET_AGAIN)
            self._renew_columns()
            for path in self._directory.glob(f"{COLUMNS}*"):
                path.unlink()

        self.submit(Alone(work))

    def trim(self, staged: Staged, n: int) -> None:
        """Put other entries in the place of those up to `n`, which every follower has reached.

        Raises:
            StorageFull: there is no room; then nothing is changed.
        """

        def work(connection: sqlite3.Connection) -> None:
            put_in_place(connection, staged, n)
            with self._grown:
                self._drop_recent()
                self._first, self._trimmed = first_entry(connection), trimmed(connection)

        self.submit(Alone(work))

    def give_back(self) -> None:
        """Give the disk what the log's file holds and doesn't need. Writes wait meanwhile.

        Raises:
            StorageFull: there is no room for the file that is written anew.
        """
        self.submit(Alone(clean))

    # --- reading on --------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Number of the last acknowledged entry."""
        return self._head

    def apart(self, applied: int) -> str | None:
        """Why what has reached this number can't follow this log, None if it can: it belongs to another history."""
        if applied > self._head:
            return "it is ahead of the log"
        return "it is behind the log's first entry" if 0 < applied < self._first - 1 else None

    @property
    def trimmed(self) -> Trimmed | None:
        """What was trimmed, and where it is; None if nothing was."""
        return self._trimmed

    def entries(self, to: int) -> Iterator[Change]:
        """All entries up to `to`, in order, as they stand at one instant.

        Raises:
            Corrupt: an entry isn't what was written.
        """
        with self.pool.connection() as connection:
            for row in connection.execute(f"SELECT {ENTRY} FROM log WHERE n <= ? ORDER BY n", (to,)):
                yield self._entry(row)

    def read(self, after: int, limit: int, max_bytes: int = READ_BYTES) -> list[Change]:
        """Up to `limit` entries behind number `after`, in order, of those that the columns know of.

        Fewer, but at least one, where they take over `max_bytes`.

        Raises:
            Corrupt: an entry isn't what was written.
        """
        found: list[Change] = []
        size = 0
        with self._grown:
            if self._recent and self._recent[0].n <= after + 1:
                start = after + 1 - self._recent[0].n
                for index in range(start, min(start + limit, len(self._recent))):
                    size += self._recent[index].size
                    if found and size > max_bytes:
                        break
                    found.append(self._recent[index])
                return found
        with self.pool.connection() as connection:
            for row in connection.execute(
                f"SELECT {ENTRY} FROM log WHERE n > ? AND n <= ? ORDER BY n LIMIT ?",
                (after, self._head, limit),  # what is committed this instant may not be in the columns yet
            ):
                size += len(row[6]) + len(row[7] or b"")
                if found and size > max_bytes:
                    break
                found.append(self._entry(row))
        return found

    def _entry(self, row: tuple[Any, ...]) -> Change:
        return entry_of(row, self.path)

    def check_entries(self) -> list[int]:
        """Numbers of the entries that aren't what was written."""
        with self.pool.connection() as connection:
            return [row[0] for row in connection.execute(f"SELECT {ENTRY} FROM log ORDER BY n")
                    if checksum(*row[:-1]) != row[-1]]  # fmt: skip

    def wait_beyond(self, n: int, timeout: float, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the log is longer than `n`; False after `timeout` seconds, when woken, or if `unless` says so."""
        deadline = time.monotonic() + timeout
        with self._grown:
            wakings = self._wakings
            while self._head <= n:
                if unless():
                    return False
                left = deadline - time.monotonic()
                if left <= 0 or self._wakings != wakings:
                    return False
                self._grown.wait(left)
        return True

    async def sleep_beyond(self, n: int, timeout: float, unless: Callable[[], bool]) -> None:
        """The same, awaited, without a thread. `unless` is asked again at `look_again`, not at `wake`."""
        await self._sleepers.until(lambda: self._head > n or unless(), timeout)

    def wake(self) -> None:
        """Have every `wait_beyond` return."""
        with self._grown:
            self._wakings += 1
            self._grown.notify_all()

    def look_again(self) -> None:
        """Have whoever waits for it to grow look whether they are to go: it ends, or is about to."""
        self.wake()
        self._sleepers.rouse()

    def cursor(self, name: str) -> int:
        """How far a follower has come that keeps its number here."""
        with self.pool.connection() as connection:
            row = connection.execute("SELECT n FROM cursor WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def move_cursor(self, name: str, n: int) -> None:
        """Note how far it has come, durably."""
        self.submit(MoveCursor(name, n))

    # --- statements --------------------------------------------------------------------------------------

    def outcome(self, n: int) -> Outcome | None:
        """How the statement whose last entry is `n` ended; None if it hasn't yet, or is none."""
        with self.pool.connection() as connection:
            return outcome_of(connection, n)

    def last_outcome(self) -> int:
        """Number of the last statement that is decided, 0 if none is."""
        with self.pool.connection() as connection:
            return int(connection.execute("SELECT coalesce(max(n), 0) FROM outcome").fetchone()[0])

    def forgot_after(self, n: int) -> bool:
        """Whether anything was forgotten behind entry `n`: then what was written before may be other than it was."""
        with self.pool.connection() as connection:
            query = "SELECT 1 FROM log WHERE n > ? AND verb = 'forget' LIMIT 1"
            return connection.execute(query, (n,)).fetchone() is not None

    # --- records -----------------------------------------------------------------------------------------

    def adjacent(self) -> Adjacent:
        """Causal edges by their ends. The first call reads them all; writes go on meanwhile."""
        found = self._adjacent
        if found is not None:
            return found
        with self._making:
            if self._adjacent is not None:
                return self._adjacent
            missed: list[RowEvent] = []
            with self._grown:
                self._missed = missed
            try:
                found = Adjacent()
                with self.pool.connection() as connection:
                    found.read(connection)
                with self._grown:
                    found.apply(missed)
                    self._adjacent = found
            finally:
                self._missed = None
        return found

    def check_adjacent(self) -> list[str]:
        """Keys of the causal edges that aren't held in memory as their records say."""
        held = self.adjacent().edges
        afresh = Adjacent()
        with self.pool.connection() as connection:
            afresh.read(connection)
        rows = sorted(row for row in held.keys() | afresh.edges.keys() if held.get(row) != afresh.edges.get(row))
        return [str((held.get(row) or afresh.edges[row]).id) for row in rows]

    def connection(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for reading, for the length of a `with`."""
        return self.pool.connection()

    def resolve(self, kind: str, id: str, agents: tuple[str, ...] | None) -> Stored:
        """The live record that an id means in these namespaces; see `state.resolve`."""
        with self.pool.connection() as connection:
            return resolve(connection, kind, id, agents)

    def owner(self, kind: str, id: str, agents: tuple[str, ...] | None) -> str:
        """The namespace of the live record that an id means; as `resolve`, and kept while none of the kind changes."""
        stamp, asked = self.columns.changed[kind], (kind, id, agents)
        known = self._owners.get(asked)
        if known is not None and known[0] == stamp:
            return known[1]
        owner = self.resolve(kind, id, agents).agent
        if len(self._owners) >= OWNERS:
            self._owners.clear()
        self._owners[asked] = stamp, owner
        return owner

    def find_any(self, kinds: Sequence[str], id: str, agents: tuple[str, ...] | None) -> Stored:
        """The record of any of these kinds, live or not, that an id means in these namespaces.

        Raises:
            NotFound: none ever had it. Ambiguous: several have it.
        """
        with self.pool.connection() as connection:
            rows = [row for kind in kinds for row in every(connection, kind, id)]
        found = [row for row in rows if agents is None or row.agent in agents]
        if not found:
            raise NotFound(f"nothing ever had the id {id!r}", where="id")
        if len(found) > 1:
            names = ", ".join(f"{row.kind} in {row.agent!r}" for row in found)
            raise Ambiguous(f"the id {id!r} means several records: {names}", where="id")
        return found[0]

    def records(self, rows: Sequence[int] | NDArray[np.int64]) -> dict[int, Record]:
        """Live records by row number; rows of no live record are left out."""
        found: dict[int, Record] = {}
        numbers = [int(row) for row in rows]
        with self.pool.connection() as connection:
            for start in range(0, len(numbers), 500):
                part = numbers[start : start + 500]
                marks = ", ".join("?" * len(part))
                for row, kind, body in connection.execute(
                    f"SELECT row, kind, body FROM record WHERE row IN ({marks}) AND state = {LIVE}", part
                ):
                    found[row] = decode_record(kind, body)
        return found

    def records_of(self, kind: str, refs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        """Live records of a kind by agent and id, of those given that there are."""
        return {ref: decode_record(kind, body) for ref, body in self._looked_up("body", kind, refs)}

    def rows_of(self, kind: str, refs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Row numbers of live records of a kind by agent and id, of those given that there are."""
        return dict(self._looked_up("row", kind, refs))

    def placed(self) -> Adjacent:
        """Causal edges by their ends, and by the row of the record that they lead from; deleted ones have theirs."""
        found = self.adjacent()
        found.place(lambda kind, refs: dict(self._looked_up("row", kind, refs, live=False)))
        return found

    def _looked_up(
        self, column: str, kind: str, refs: Sequence[tuple[str, str]], *, live: bool = True
    ) -> Iterator[tuple[tuple[str, str], Any]]:
        by_agent: dict[str, list[str]] = {}
        for agent, id in refs:
            by_agent.setdefault(agent, []).append(id)
        with self.pool.connection() as connection:
            for agent, ids in by_agent.items():
                for start in range(0, len(ids), 500):
                    part = ids[start : start + 500]
                    marks = ", ".join("?" * len(part))
                    chosen = f"kind = ? AND agent = ? AND id IN ({marks})" + f" AND state = {LIVE}" * live
                    statement = f"SELECT id, {column} FROM record WHERE {chosen}"
                    for id, value in connection.execute(statement, (kind, agent, *part)).fetchall():
                        yield (agent, id), value

    def children(self, kind: str, agent: str, parent: str) -> list[Record]:
        """The live records of a kind that belong to a parent, oldest first."""
        with self.pool.connection() as connection:
            rows = connection.execute(
                "SELECT body FROM record WHERE kind = ? AND agent = ? AND parent = ? AND parent IS NOT NULL "
                "AND state = 0 ORDER BY at, id",
                (kind, agent, parent),
            ).fetchall()
        return [decode_record(kind, body) for (body,) in rows]

    def links_of(self, row: int) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Edges that callers made at a record: type, "out" or "in", row of the other end, values."""
        with self.pool.connection() as connection:
            rows = connection.execute(
                "SELECT rel, 'out', target, body FROM link WHERE source = ?1 "
                "UNION ALL SELECT rel, 'in', source, body FROM link WHERE target = ?1 ORDER BY 1, 2, 3",
                (row,),
            ).fetchall()
        return [(rel, direction, other, msgspec.json.decode(body)) for rel, direction, other, body in rows]

    def prerequisites(self, row: int) -> list[tuple[int, int]]:
        """Every prerequisite link that a skill depends on: source and target rows."""
        with self.pool.connection() as connection:
            return connection.execute(
                """
                WITH RECURSIVE needed(row) AS (
                    SELECT ? UNION SELECT link.target FROM link JOIN needed ON link.source = needed.row
                    WHERE link.rel = 'PREREQUISITE'
                )
                SELECT source, target FROM link JOIN needed ON source = needed.row WHERE rel = 'PREREQUISITE'
                """,
                (row,),
            ).fetchall()

    def mask(
        self, kind: str, filter: Filter | None, agents: tuple[str, ...] | None
    ) -> tuple[NDArray[np.int64], bool]:
        """Row numbers of the live records that pass, and whether that is simply all of the kind."""
        with self.pool.connection() as connection:
            return self.columns.mask(kind, filter, agents, connection)

    def history(self, row: int, first: int) -> list[Change]:
        """The entries that touched a record, oldest first; of those that were trimmed, the one in their place."""
        with self.pool.instant() as connection:
            rows = connection.execute(
                f"SELECT {ENTRY} FROM log WHERE n = ? UNION ALL SELECT {ENTRY} FROM log "
                "WHERE n > ? AND (n = ? OR n IN (SELECT n FROM history WHERE row = ?)) ORDER BY n",
                (substitute_of(connection, row), held_from(connection), first, row),
            ).fetchall()
        return [self._entry(entry) for entry in rows]


def entry_of(row: tuple[Any, ...], path: Path) -> Change:
    """An entry from its row in the log. Raises Corrupt if it isn't what was written."""
    *entry, crc = row
    n, at, verb, version, call, last, body, vectors = entry
    if checksum(*entry) != crc:
        raise Corrupt(f"entry {n} isn't what was written", where=str(path), hint=DAMAGED)
    return decode(n, at, verb, version, call, bool(last), body, vectors)


def touching(changes: Iterable[Change], row: int) -> Iterable[tuple[Change, str, dict[str, object]]]:
    """Of each entry, what it did to a row: the entry, 'store', 'amend', 'delete' or 'forget', and the values.

    Of one in the place of trimmed ones 'trim', and the record as it was then, its values or what became of it.
    """
    for change in changes:
        if change.trimmed is not None:
            yield change, "trim", _as_trimmed(change, row)
            continue
        for put in change.puts:
            if put.row == row:
                yield change, "store", msgspec.json.decode(put.record)
        for patch in change.patches:
            if patch.row == row:
                yield change, "amend", patch.values
        if any(forgotten.row == row for forgotten in change.forgotten):
            yield change, "forget", {}
        elif any(gone.row == row for gone in change.gone):
            yield change, "delete", {}


def _as_trimmed(change: Change, row: int) -> dict[str, object]:
    for put in change.puts:
        if put.row == row:
            return dict(msgspec.json.decode(put.record))
    (held,) = (held for held in change.held if held.row == row)
    return {"id": held.id, "agent": held.agent, "state": "forgotten" if held.state == FORGOTTEN else "deleted"}
