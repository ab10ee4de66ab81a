"""What the writer knows inside its transaction: records, references, sessions' ends, links.

Bulk stores touch SQLite by `executemany` once a group: what was decided but not yet written lies in buffers
that every look-up consults. All of it is a cache of memory.sqlite; after a rollback it is thrown away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from graphsvc.errors import Ambiguous, Gone, NotFound
from graphsvc.model.change import Change, GoneRecord, Link, NodeRef, Patch, Put, checksum, decode_record, encode
from graphsvc.model.facts import line_of, start_of
from graphsvc.model.graph import cause_edge
from graphsvc.model.kinds import CAUSAL, KINDS
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import (
    Cause,
    Episode,
    Fact,
    Feedback,
    Outcome,
    Record,
    Row,
    SkillVersion,
    ends_of,
    judged,
    row_place,
)
from graphsvc.model.requests import NewRecord, encode_record
from graphsvc.model.times import micros

if TYPE_CHECKING:
    from graphsvc.log.columns import Columns

LIVE, DELETED, FORGOTTEN = 0, 1, 2
CACHE_LIMIT = 200_000
LINE = ("agent", "subject", "predicate")
"""Fields that say of which line a fact is."""
LEARNT = ("at", "known_to")
"""Fields that say when something was learnt of a fact."""

K = TypeVar("K")
V = TypeVar("V")

Mark = tuple[int, int, int, int]
"""Next number and row, and how many changes and events there are."""

Line = tuple[str, str, str]
"""Namespace, subject and predicate of facts."""

Moment = tuple[int, str]
"""Where an episode stands in its session: its time in microseconds, then its id."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of the record table."""

    row: int
    kind: str
    agent: str
    id: str
    first: int
    last: int
    hash: bytes
    text_hash: int
    state: int
    body: str | None

    @property
    def record(self) -> Record:
        assert self.body is not None, "only a live record has a body"
        return decode_record(self.kind, self.body)


@dataclass(frozen=True, slots=True)
class RowEvent:
    """What happened to a row, for the columns in memory: its record, or None if it went."""

    row: int
    kind: str
    record: Record | None
    text_hash: int


_SELECT = "SELECT row, kind, agent, id, first, last, hash, text_hash, state, body FROM record "


def signed(value: int) -> int:
    """An unsigned 64-bit number as SQLite holds it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: int) -> int:
    """The opposite of `signed`."""
    return value & ((1 << 64) - 1)


@dataclass(slots=True)
class NextEdits:
    """Changes to the NEXT edges of a change, netted: only what differs at its end is said."""

    linked: dict[tuple[str, str], None] = field(default_factory=dict)
    unlinked: dict[tuple[str, str], None] = field(default_factory=dict)

    def link(self, source: str, target: str) -> None:
        self.linked[(source, target)] = None

    def unlink(self, source: str, target: str) -> None:
        if (source, target) in self.linked:
            del self.linked[(source, target)]
        else:
            self.unlinked[(source, target)] = None

    def write(self, change: Change) -> None:
        change.links.extend(_next(ends) for ends in self.linked)
        change.unlinks.extend(_next(ends) for ends in self.unlinked)


def _next(ends: tuple[str, str]) -> Link:
    return Link("NEXT", "Episode", ends[0], "Episode", ends[1])


class State:
    """The state of the memory as the next decision must see it. Used by the writer's thread alone.

    Args:
        connection: that writes.
        columns: of the committed records; who names a session, task or agent is counted there.
    """

    def __init__(self, connection: sqlite3.Connection, columns: Columns) -> None:
        self.connection = connection
        self.columns = columns
        self.now = 0
        self._session_ends: dict[tuple[str, str], Moment | None] = {}
        self._counts: dict[tuple[str, str, str], int] = {}
        self._learnt: dict[Line, int] = {}
        self._learnt_before: dict[Line, int] = {}
        self._learnt_last: int | None = None
        self._undo: list[Callable[[], Any]] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything not committed, and read on from the database."""
        self._undo = None
        self._session_ends.clear()
        self._counts.clear()
        self._learnt.clear()
        self._learnt_before.clear()
        self._learnt_last = None
        self._fresh: dict[tuple[str, str, str], Stored] = {}
        self._records: list[tuple[Any, ...]] = []
        self._log: list[tuple[Any, ...]] = []
        self.changes: list[Change] = []
        self.events: list[RowEvent] = []
        one = self.connection.execute("SELECT coalesce(max(n), 0) FROM log").fetchone()
        self.n = int(one[0]) + 1
        one = self.connection.execute("SELECT coalesce(max(row), -1) FROM record").fetchone()
        self.next_row = int(one[0]) + 1

    # --- a decision that may be refused half-way -------------------------------------------------------

    def mark(self) -> Mark:
        """Where we are, with everything so far written, so that SQL's savepoint and this are one place."""
        self.flush()
        self._undo = []
        return self.n, self.next_row, len(self.changes), len(self.events)

    def keep(self) -> None:
        """What was done since the mark stays."""
        self._undo = None

    def go_back(self, mark: Mark) -> None:
        """Be as at the mark: what other calls of the same group did before it isn't forgotten."""
        for undo in reversed(self._undo or []):
            undo()
        self._undo = None
        for buffer in (self._log, self._records, self._fresh):
            buffer.clear()
        self.n, self.next_row, changes, events = mark
        del self.changes[changes:]
        del self.events[events:]

    def _undoable(self, cache: dict[K, V], key: K) -> dict[K, V]:
        """A cache in which `key` is about to change; after a refusal it is as it was."""
        if self._undo is not None:
            if key in cache:
                self._undo.append(partial(cache.__setitem__, key, cache[key]))
            else:
                self._undo.append(partial(cache.pop, key, None))
        return cache

    # --- the log ---------------------------------------------------------------------------------------

    def begin(self, verb: str) -> Change:
        """A new change under the next number."""
        return Change(verb=verb, n=self.n, at=self.now)

    def append(self, change: Change) -> None:
        """Put a change, complete now, at the end of the log."""
        assert change.n == self.n, "changes are appended in the order of their numbers"
        row = (change.n, change.at, change.verb, change.version, change.call, int(change.last))
        body = encode(change).decode()
        change.size = len(body) + len(change.vectors)
        entry = (*row, body, change.vectors or None)
        self._log.append((*entry, checksum(*entry)))
        self.changes.append(change)
        self.n += 1

    def flush(self) -> None:
        """Write what is buffered, so that SQL sees it."""
        execute = self.connection.executemany
        if self._log:
            execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._log)
            self._log.clear()
        if self._records:
            execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)", self._records)
            self._records.clear()
            self._fresh.clear()

    def committed(self) -> tuple[list[Change], list[RowEvent]]:
        """What the transaction that has just ended did, for columns and followers; begins the next."""
        done = (self.changes, self.events)
        self.changes, self.events = [], []
        if len(self._session_ends) > CACHE_LIMIT:
            self._session_ends.clear()
        if len(self._counts) > CACHE_LIMIT:
            self._counts.clear()
        if self._learnt_before:
            gone = any(event.kind == "fact" and event.record is None for event in done[1])
            if gone or len(self._learnt_before) > CACHE_LIMIT:
                self._learnt_before.clear()
        for line in self._learnt.keys() & self._learnt_before.keys():
            self._learnt_before[line] = max(self._learnt[line], self._learnt_before[line])
        self._learnt.clear()  # the columns know it now
        return done

    # --- records ---------------------------------------------------------------------------------------

    def find(self, kind: str, agent: str, id: str) -> Stored | None:
        """The record with this id, live or not."""
        fresh = self._fresh.get((kind, agent, id))
        if fresh is not None:
            return fresh
        row = self.connection.execute(
            _SELECT + "WHERE kind = ? AND id = ? AND agent = ?", (kind, id, agent)
        ).fetchone()
        return Stored(*row) if row else None

    def live(self, kind: str, agent: str, id: str, *, where: str = "id") -> Stored:
        """The live record with this id.

        Raises:
            NotFound: there never was one.
            Gone: it was deleted.
        """
        found = self.find(kind, agent, id)
        if found is None:
            raise NotFound(f"no {kind} {id!r} in the namespace {agent!r}", where=where)
        if found.state != LIVE:
            raise gone(kind, id, found.state, where)
        return found

    def insert(self, change: Change, item: NewRecord) -> int:
        """Add a new record to the change and to the records; gives its row number."""
        record, row = item.record, self.next_row
        kind = _kind_name(record)
        self.next_row += 1
        change.live[row] = record
        change.puts.append(Put(kind, row, msgspec.Raw(item.body), item.hash, bool(item.vector)))
        if item.vector:
            change.vectors += item.vector
        parent, task = places(record)
        text_hash, body = signed(item.text_hash), item.body.decode()
        self._records.append(
            (row, kind, record.agent, record.id, moment(record), parent, task, change.n, change.n, item.hash,
             text_hash, body)
        )  # fmt: skip
        self._fresh[(kind, record.agent, record.id)] = Stored(
            row, kind, record.agent, record.id, change.n, change.n, item.hash, text_hash, LIVE, body
        )
        self.events.append(RowEvent(row, kind, record, item.text_hash))
        return row

    def update(
        self,
        change: Change,
        stored: Stored,
        record: Record,
        values: dict[str, Any],
        text_hash: int,
        vector: bytes = b"",
    ) -> None:
        """Give a record new values, in the change and in the records."""
        self.flush()
        text = text_hash != unsigned(stored.text_hash)
        patch = Patch(stored.kind, stored.agent, stored.id, stored.row, values, text, bool(vector))
        if isinstance(record, Cause):
            patch = msgspec.structs.replace(patch, edge=cause_edge(record))
        if text or vector:
            patch = msgspec.structs.replace(patch, hash=text_hash)
        change.patches.append(patch)
        change.vectors += vector
        parent, task = places(record)
        self.connection.execute(
            "UPDATE record SET at = ?, parent = ?, task = ?, last = ?, text_hash = ?, body = ? WHERE row = ?",
            (moment(record), parent, task, change.n, signed(text_hash), encode_record(record).decode(), stored.row),
        )
        self._touch(stored.row, change.n)
        self.events.append(RowEvent(stored.row, stored.kind, record, text_hash))

    def retire(self, change: Change, stored: Stored) -> None:
        """Delete a record: its id stays taken, its body goes, the log keeps it. Links and causes at it go along."""
        self.flush()
        if stored.kind in CAUSAL:
            self._retire_causes(change, stored)
        elif stored.kind == "cause":
            change.unlinks.append(cause_edge(cast(Cause, stored.record)))
        change.gone.append(GoneRecord(stored.kind, stored.agent, stored.id, stored.row))
        self.connection.execute(
            "UPDATE record SET state = ?, last = ?, text_hash = 0, body = NULL WHERE row = ?",
            (DELETED, change.n, stored.row),
        )
        self.connection.execute("DELETE FROM link WHERE source = ? OR target = ?", (stored.row, stored.row))
        self._touch(stored.row, change.n)
        self.events.append(RowEvent(stored.row, stored.kind, None, 0))

    def _retire_causes(self, change: Change, stored: Stored) -> None:
        """Delete the causal edges from and to a node, whoever's they are."""
        node = judged(stored.kind, key_of(stored.agent, stored.id))
        for column in ("parent", "task"):
            for cause in self.connection.execute(
                f"{_SELECT} WHERE kind = 'cause' AND state = 0 AND {column} = ?", (node,)
            ).fetchall():
                edge = Stored(*cause)
                self.release(change, "Agent", edge.agent, edge.agent)
                self.retire(change, edge)

    def _touch(self, row: int, n: int) -> None:
        self.connection.execute("INSERT OR IGNORE INTO history VALUES (?, ?)", (row, n))

    # --- sessions, tasks, agents -------------------------------------------------------------------------

    def retain(self, change: Change, name: str, agent: str, id: str, values: dict[str, Any]) -> None:
        """One more live record names this session, task (by its text) or agent; the first makes it appear."""
        counted = (name, agent, id)
        count = self._count(counted)
        self._undoable(self._counts, counted)[counted] = count + 1
        if count == 0:
            id = task_key(id) if name == "Task" else id
            key = key_of(agent, id)
            gone = [node for node in change.vanished if node.table == name and node.key == key]
            if gone:
                change.vanished.remove(gone[0])
            else:
                change.nodes.append(NodeRef(name, key, {"id": id, **values}))

    def release(self, change: Change, name: str, agent: str, id: str) -> None:
        """One live record fewer names it; with the last one it vanishes."""
        counted = (name, agent, id)
        count = self._count(counted)
        assert count > 0, "a record that is released was retained"
        self._undoable(self._counts, counted)[counted] = count - 1
        if count == 1:
            key = key_of(agent, task_key(id) if name == "Task" else id)
            come = [node for node in change.nodes if node.table == name and node.key == key]
            if come:
                change.nodes.remove(come[0])
            else:
                change.vanished.append(NodeRef(name, key))

    def _count(self, counted: tuple[str, str, str]) -> int:
        count = self._counts.get(counted)
        if count is None:
            count = self.columns.naming(*counted)
            self._undoable(self._counts, counted)[counted] = count
        return count

    # --- the order within a session ----------------------------------------------------------------------

    def join_session(self, edits: NextEdits, episode: Episode) -> None:
        """Give an episode, not yet in the records, its place between its neighbours in time."""
        place: Moment = (micros(episode.at), episode.id)
        session = (episode.agent, episode.session)
        end = self._session_end(session)
        if end is None or place > end:
            if end is not None:
                edits.link(key_of(episode.agent, end[1]), episode.key)
            self._undoable(self._session_ends, session)[session] = place
            return
        before, after = self.neighbours(episode.agent, episode.session, place)
        if before and after:
            edits.unlink(before, after)
        if before:
            edits.link(before, episode.key)
        if after:
            edits.link(episode.key, after)

    def leave_session(self, episode: Episode) -> None:
        """What is cached of the session doesn't hold once an episode has left it."""
        session = (episode.agent, episode.session)
        self._undoable(self._session_ends, session).pop(session, None)

    def neighbours(self, agent: str, session: str, place: Moment) -> tuple[str | None, str | None]:
        """Keys of the live episodes just before and just after a place in a session."""
        self.flush()
        found = []
        for sign, order in (("<", "DESC"), (">", "ASC")):
            row = self.connection.execute(
                "SELECT id FROM record WHERE kind = 'episode' AND agent = ? AND parent = ? AND parent IS NOT NULL "
                f"AND state = 0 AND (at, id) {sign} (?, ?) ORDER BY at {order}, id {order} LIMIT 1",
                (agent, session, *place),
            ).fetchone()
            found.append(key_of(agent, row[0]) if row else None)
        return found[0], found[1]

    def _session_end(self, session: tuple[str, str]) -> Moment | None:
        if session not in self._session_ends:
            row = self.connection.execute(
                "SELECT at, id FROM record WHERE kind = 'episode' AND agent = ? AND parent = ? AND parent IS NOT NULL "
                "AND state = 0 ORDER BY at DESC, id DESC LIMIT 1",
                session,
            ).fetchone()
            end = (int(row[0]), str(row[1])) if row else None
            self._undoable(self._session_ends, session)[session] = end
        return self._session_ends[session]

    # --- when facts were learnt --------------------------------------------------------------------------

    def learn(self) -> int:
        """A moment of knowledge, now, and later than any before: no two facts are learnt at the same."""
        self._learnt_last = max(self.now, self._last_learnt() + 1)
        return self._learnt_last

    def _last_learnt(self) -> int:
        if self._learnt_last is None:
            self._learnt_last = self.columns.latest("fact", LEARNT)
        return self._learnt_last

    def learnt(self, line: Line) -> int:
        """When something was last learnt of a line: a fact of it, or that one doesn't hold."""
        committed = self._learnt_before.get(line)
        if committed is None:
            committed = self.columns.latest("fact", LEARNT, dict(zip(LINE, line, strict=True)))
            self._learnt_before[line] = committed
        return max(committed, self._learnt.get(line, committed))

    def note_learnt(self, fact: Fact) -> None:
        """Something is learnt of a line: this fact, or that it doesn't hold."""
        line = (fact.agent, fact.subject, fact.predicate)
        at = micros(fact.known_to or fact.at)
        self._undoable(self._learnt, line)[line] = max(at, self._learnt.get(line, at))
        self._learnt_last = max(at, self._last_learnt())

    # --- links -------------------------------------------------------------------------------------------

    def link_values(self, rel: str, source: int, target: int) -> dict[str, Any] | None:
        """Values of the edge between two rows, None if there is none."""
        self.flush()
        row = self.connection.execute(
            "SELECT body FROM link WHERE rel = ? AND source = ? AND target = ?", (rel, source, target)
        ).fetchone()
        return dict(msgspec.json.decode(row[0])) if row else None

    def set_link(self, change: Change, link: Link, source: int, target: int, *, replace: bool) -> None:
        """Make an edge, or give it new values."""
        if replace:
            change.unlinks.append(Link(link.rel, link.source_table, link.source, link.target_table, link.target))
        change.links.append(link)
        body = msgspec.json.encode(link.values).decode()
        self.connection.execute(
            "INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)", (link.rel, source, target, body)
        )

    def drop_link(self, change: Change, link: Link, source: int, target: int) -> None:
        """Remove an edge."""
        change.unlinks.append(link)
        self.connection.execute(
            "DELETE FROM link WHERE rel = ? AND source = ? AND target = ?", (link.rel, source, target)
        )

    def targets(self, rel: str, source: int) -> list[int]:
        """Rows that edges of this type lead to."""
        self.flush()
        rows = self.connection.execute("SELECT target FROM link WHERE rel = ? AND source = ?", (rel, source))
        return [int(row[0]) for row in rows]


def places(record: Record) -> tuple[str | None, str | None]:
    """What a record belongs to, and the digest of its task, where it has them."""
    if isinstance(record, Episode):
        return record.session, task_key(record.task)
    if isinstance(record, SkillVersion | Outcome):
        return record.skill, None
    if isinstance(record, Feedback):
        return judged(record.kind, key_of(record.owner, record.record)), None
    if isinstance(record, Row):
        return row_place(record.table, record.node), None
    if isinstance(record, Fact):
        return (line_of(record) if record.known_to is None else None), None
    if isinstance(record, Cause):
        source, target = ends_of(record)
        return judged(source[0], key_of(*source[1:])), judged(target[0], key_of(*target[1:]))
    return None, None


def moment(record: Record) -> int:
    """By what records that belong together are ordered, in microseconds: a fact's beginning, else when it happened."""
    return start_of(record) if isinstance(record, Fact) else micros(record.at)


_NAMES = {kind.record: name for name, kind in KINDS.items()}


def _kind_name(record: Record) -> str:
    return _NAMES[type(record)]


def every(connection: sqlite3.Connection, kind: str, id: str) -> list[Stored]:
    """The records with an id, in any namespace, live or not."""
    return [Stored(*row) for row in connection.execute(_SELECT + "WHERE kind = ? AND id = ?", (kind, id))]


def resolve(connection: sqlite3.Connection, kind: str, id: str, agents: tuple[str, ...] | None) -> Stored:
    """The record that an id means to a handle: `agents` are the namespaces it sees, None all of them.

    Raises:
        NotFound: no such id there. Gone: it was deleted. Ambiguous: several namespaces have it.
    """
    rows = every(connection, kind, id)
    seen = [row for row in rows if agents is None or row.agent in agents]
    live = [row for row in seen if row.state == LIVE]
    if len(live) == 1:
        return live[0]
    if len(live) > 1:
        names = ", ".join(sorted(repr(row.agent) for row in live))
        raise Ambiguous(f"the {kind} {id!r} exists in several namespaces: {names}", where="id")
    if seen:
        raise gone(kind, id, seen[0].state)
    raise NotFound(f"no {kind} {id!r}", where="id", hint=_seen(agents))


def gone(kind: str, id: str, state: int, where: str = "id") -> Gone:
    """The error that says that a record was deleted, or forgotten."""
    what = "forgotten" if state == FORGOTTEN else "deleted"
    return Gone(f"the {kind} {id!r} was {what}", where=where, hint="Its history is kept: memory.history(id).")


def _seen(agents: tuple[str, ...] | None) -> str:
    # Said whether or not another has it: who can't see another's record isn't to learn that there is one.
    return "" if agents is None else "This handle sees " + ", ".join(agents) + "."
