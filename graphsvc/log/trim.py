"""Trimming: the log's earliest entries go, and others come in their place that add up to the same.

Those bear the last of the numbers that went: puts of the records that lived then, nodes and links, and statements
that make the user's own tables as they were, each noted as done. So whoever reads the log (a follower, a replay, a
comparison) begins at its first entry, whichever that is, and learns nothing new. What the entries said of records
beside their values (numbers, history, which are gone) stands in `Change.held`.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path

import msgspec

from graphsvc.errors import NotRetained, Unsupported
from graphsvc.log.rebuild import Rebuilt, ReplayedRecord, fold_one
from graphsvc.model.change import Change, Held, Link, NodeRef, Put, Trimmed, checksum, decode, encode
from graphsvc.model.graph import own_links
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of
from graphsvc.model.requests import encode_record
from graphsvc.model.statements import Outcome, Statement

VERB = "trim"
DRAFT = "trim.unfinished"
"""A file in the memory's directory, in which the entries are made that come in the place of others."""
PIECE = 500
"""Records, nodes and links in one of them."""
UNDERSTOOD = frozenset({
    "puts", "patches", "gone", "nodes", "vanished", "links", "unlinks", "forgotten", "trimmed", "held", "vectors",
    "statement", "of", "verb", "n", "at", "version", "call", "last", "live", "size", "reply",
})  # fmt: skip
"""Fields of a Change that a fold here takes in, or needs not. An entry with another one can't be trimmed."""
COLUMNS = "n, at, verb, version, call, last, body, vectors"
"""Of an entry, as `decode` takes them."""
STATEMENTS = (
    "verb = 'cypher.write' OR verb LIKE 'graph.%' OR (verb = 'trim' AND json_extract(body, '$.statement') IS NOT NULL)"
)
"""A condition on entries of the log: they are statements."""

Node = tuple[str, str]
"""Table and key."""
Told = tuple[Statement, bytes]
"""A statement that makes a table of the user's or rows of it, and the rows as an Arrow stream."""


# --- what entries add up to -------------------------------------------------------------------------------


@dataclass(slots=True)
class Folded:
    """What entries add up to: records, nodes that are no records, links, and where given vectors stand.

    Attributes:
        given: for each row whose text's vector came with a write and is the present model's, the entry and the place in
            it. dimension: of these. n: number of the last entry. at: its time.
    """

    dimension: int = 0

    rebuilt: Rebuilt = field(default_factory=Rebuilt)
    nodes: dict[Node, NodeRef] = field(default_factory=dict)
    links: dict[tuple[str, ...], Link] = field(default_factory=dict)
    links_at: dict[Node, set[tuple[str, ...]]] = field(default_factory=dict)
    given: dict[int, tuple[int, int]] = field(default_factory=dict)
    n: int = 0
    at: int = 0


def fold(changes: Iterable[Change], *, since: int, dimension: int) -> Folded:
    """Fold entries, the first of them the log's first.

    Args:
        since: vectors given up to this number are another model's. dimension: of the present model's.

    Raises:
        Unsupported: an entry does what entries in its place can't.
    """
    folded = Folded(dimension)
    for change in changes:
        _check_understood(change)
        fold_one(folded.rebuilt, change)
        _fold_graph(folded, change)
        _fold_vectors(folded, change, since, dimension)
        folded.n, folded.at = change.n, change.at
    for replayed in folded.rebuilt.records.values():
        if replayed.record is not None:
            for link in own_links(replayed.record):  # they come with the record's put
                folded.links.pop(link.ends, None)
    return folded


def _check_understood(change: Change) -> None:
    for name in change.__struct_fields__:
        if name not in UNDERSTOOD and getattr(change, name):
            raise Unsupported(
                f"entry {change.n} ({change.verb}) has no substitute, so the log can't be trimmed past it",
                where="before",
                hint=f"Trim before {change.n} at most.",
            )


def _fold_graph(folded: Folded, change: Change) -> None:
    """Nodes and links as the graph has them, in the order that `model.graph.net_effect` folds them in."""
    for link in change.unlinks:
        folded.links.pop(link.ends, None)
    removed: list[Node] = [(KINDS[one.kind].table or "", key_of(one.agent, one.id)) for one in change.gone]
    removed += [(node.table, node.key) for node in change.vanished]
    for node in removed:
        folded.nodes.pop(node, None)
        for ends in folded.links_at.pop(node, ()):
            folded.links.pop(ends, None)
    for ref in change.nodes:
        folded.nodes[(ref.table, ref.key)] = ref
    for link in change.links:
        folded.links[link.ends] = link
        for node in ((link.source_table, link.source), (link.target_table, link.target)):
            folded.links_at.setdefault(node, set()).add(link.ends)


def _fold_vectors(folded: Folded, change: Change, since: int, dimension: int) -> None:
    carriers = [put.row for put in change.puts if put.vector] + [one.row for one in change.patches if one.vector]
    ours = change.given_at > since and len(change.vectors) == 4 * dimension * len(carriers)
    for patch in change.patches:
        if patch.text:
            folded.given.pop(patch.row, None)
    for gone in change.gone:
        folded.given.pop(gone.row, None)
    for place, row in enumerate(carriers):
        folded.given.pop(row, None)
        if ours:
            folded.given[row] = (change.n, place)


# --- the entries that add up to the same --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staged:
    """Entries made to come in the place of others, in a file of their own: how many, and the bytes that they take."""

    path: Path
    entries: int
    bytes: int


def stage(
    folded: Folded, snapshot: Trimmed, path: Path, vectors: Callable[[int], bytes], tables: Sequence[Told] = ()
) -> Staged:
    """Write the entries that add up to what was folded into a new file, in the form of the log's table.

    Args:
        snapshot: what they say that they stand for. vectors: gives those of an entry of the log by its number.
        tables: statements that make the user's tables as they were.

    Raises:
        Unsupported: they take more entries than there were.
    """
    count = size = 0
    done: list[tuple[int, int, str, str]] = []

    def rows() -> Iterator[tuple[object, ...]]:
        nonlocal count, size
        for change in _entries(folded, snapshot, vectors, tables):
            if change.statement is not None:
                done.append((change.n, 0, "ok", msgspec.json.encode(Outcome(change.n)).decode()))
            body, given = encode(change).decode(), change.vectors or None
            entry = (change.n, change.at, change.verb, change.version, change.call, int(change.last), body, given)
            count, size = count + 1, size + len(body.encode()) + len(change.vectors)
            yield (*entry, checksum(*entry))

    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            f"CREATE TABLE log ({COLUMNS.replace('n,', 'n INTEGER PRIMARY KEY,', 1)}, crc)"
        )
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
        connection.execute("CREATE TABLE outcome (n INTEGER PRIMARY KEY, derived, state, body)")
        connection.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?)", done)
    return Staged(path, count, size)


def _entries(
    folded: Folded, trimmed: Trimmed, vectors: Callable[[int], bytes], tables: Sequence[Told]
) -> Iterator[Change]:
    """Nodes, records by row, links, then the user's tables: what an entry needs came before it, or with it."""
    records = folded.rebuilt.records
    history: dict[int, list[int]] = {}
    for row, n in folded.rebuilt.history:
        history.setdefault(row, []).append(n)
    items: list[NodeRef | Link | int] = [*folded.nodes.values(), *sorted(records), *folded.links.values()]
    left = folded.n - len(tables)  # there are no more numbers than were trimmed
    if left < bool(items):
        what = "the user's tables take more entries than there were to make them again"
        raise Unsupported(what, where="before", hint="Trim further on.")
    size = max(PIECE, ceil(len(items) / max(left, 1)))
    pieces = max(not tables, ceil(len(items) / size))
    entries = pieces + len(tables)
    first = folded.n - entries + 1

    def begun(place: int) -> Change:
        return Change(
            verb=VERB, n=first + place, at=folded.at, call=first if entries > 1 else 0, last=place == entries - 1,
            trimmed=trimmed,
        )  # fmt: skip

    vectors = lru_cache(maxsize=8)(vectors)  # records lie by row, so those that came together are asked for in turn
    for place in range(pieces):
        change = begun(place)
        given: list[bytes] = []
        for item in items[place * size : (place + 1) * size]:
            if isinstance(item, NodeRef):
                change.nodes.append(item)
            elif isinstance(item, Link):
                change.links.append(item)
            else:
                vector = _vector(folded, item, vectors)
                given.append(vector)
                _put(change, item, records[item], sorted(set(history.get(item, ()))), bool(vector))
        change.vectors = b"".join(given)
        yield change
    for place, (statement, rows) in enumerate(tables, pieces):
        change = begun(place)
        change.statement, change.vectors = statement, rows
        yield change


def _vector(folded: Folded, row: int, vectors: Callable[[int], bytes]) -> bytes:
    if row not in folded.given:
        return b""
    n, place = folded.given[row]
    size = 4 * folded.dimension
    return vectors(n)[place * size : (place + 1) * size]


def _put(change: Change, row: int, replayed: ReplayedRecord, history: list[int], vector: bool) -> None:
    held = Held(row, replayed.first, replayed.last, history)
    record = replayed.record
    if record is not None:
        body = msgspec.Raw(encode_record(record))
        change.puts.append(Put(replayed.kind, row, body, replayed.hash, vector))
    else:
        parent, task = replayed.places
        held = msgspec.structs.replace(
            held, kind=replayed.kind, agent=replayed.agent, id=replayed.id, hash=replayed.hash, state=replayed.state,
            parent=parent, task=task,
        )  # fmt: skip
    change.held.append(held)


def staged_entries(path: Path) -> Iterator[Change]:
    """The entries that `stage` has written."""
    with closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(f"SELECT {COLUMNS} FROM log ORDER BY n"):
            yield decode(*row)


# --- the log's file -----------------------------------------------------------------------------------------


def has_statements(connection: sqlite3.Connection, n: int) -> bool:
    """Whether any entry up to `n` is a statement that was done.

    Raises:
        NotRetained: what follows from one of them is appended behind `n`.
    """
    found = connection.execute("SELECT n, derived FROM outcome WHERE derived > ?1 AND n <= ?1", (n,)).fetchone()
    if found:
        point = n
        while found:
            point = found[0] - 1
            found = connection.execute("SELECT n FROM outcome WHERE derived > ?1 AND n <= ?1", (point,)).fetchone()
        raise NotRetained(
            f"what follows from a statement up to {n} was appended behind it",
            where="before",
            hint=f"Trim before {point + 1}, or further on.",
        )
    return bool(connection.execute("SELECT 1 FROM outcome WHERE n <= ? AND state = 'ok'", (n,)).fetchone())


def replace(connection: sqlite3.Connection, staged: Staged, n: int) -> None:
    """Put these entries in the place of those up to `n`, in one transaction: either are there at any instant."""
    connection.execute("ATTACH ? AS staged", (str(staged.path),))
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM main.log WHERE n <= ?", (n,))
            connection.execute("INSERT INTO main.log SELECT * FROM staged.log ORDER BY n")
            connection.execute("DELETE FROM main.outcome WHERE n <= ?", (n,))
            connection.execute("INSERT INTO main.outcome SELECT * FROM staged.outcome")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        connection.execute("DETACH staged")


def first_entry(connection: sqlite3.Connection) -> int:
    """Number of the log's first entry, 1 if it has none."""
    return int(connection.execute("SELECT coalesce(min(n), 1) FROM log").fetchone()[0])


def trimmed(connection: sqlite3.Connection) -> Trimmed | None:
    """What the log's first entries stand for; None where it holds all."""
    first = connection.execute("SELECT n, verb FROM log ORDER BY n LIMIT 1").fetchone()
    if first is None or first[1] != VERB:  # it may be megabytes: only read where it says something
        return None
    return decode(*connection.execute(f"SELECT {COLUMNS} FROM log WHERE n = ?", first[:1]).fetchone()).trimmed


def held_from(connection: sqlite3.Connection) -> int:
    """The earliest entry at which the memory can be had as it was; 0, before all, where nothing was trimmed."""
    first, verb = connection.execute("SELECT n, verb FROM log ORDER BY n LIMIT 1").fetchone() or (0, "")
    if verb != VERB:
        return 0
    return int(connection.execute("SELECT min(n) FROM log WHERE n >= ? AND last = 1", (first,)).fetchone()[0])


def substitutes(connection: sqlite3.Connection) -> Iterator[Change]:
    """The entries that came in the place of trimmed ones."""
    held = held_from(connection)
    for n in range(first_entry(connection), held + 1) if held else ():  # one by one: who reads them may write them
        yield _entry(connection, n)


def _entry(connection: sqlite3.Connection, n: int) -> Change:
    return decode(*connection.execute(f"SELECT {COLUMNS} FROM log WHERE n = ?", (n,)).fetchone())


def substitute_of(connection: sqlite3.Connection, row: int) -> int:
    """Number of the one that tells of a record, 0 if none does. They tell of records by row, ascending."""

    def told_of(n: int) -> list[int]:
        found = _entry(connection, n)
        # nodes come before all records, links and tables after them
        return [held.row for held in found.held] or [row + 1 if found.links or found.statement else -1]

    held = held_from(connection)
    numbers = range(first_entry(connection), held + 1) if held else range(0)
    place = bisect_right(numbers, row, key=lambda n: told_of(n)[0])
    return numbers[place - 1] if place and row in told_of(numbers[place - 1]) else 0
