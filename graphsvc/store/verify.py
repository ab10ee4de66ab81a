"""Verify that everything agrees, and repair what doesn't.

The log is the truth. The records must be what it adds up to; the columns in memory, the graph, full text, the hot
index and LanceDB what the records say. Every difference is a problem with a place and a remedy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from graphsvc.errors import GraphsvcError
from graphsvc.log.log import Log
from graphsvc.log.rebuild import Rebuilt, replay
from graphsvc.log.state import unsigned
from graphsvc.model.change import Link, decode_record
from graphsvc.model.graph import REL_TABLES, own_links
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Episode, Record
from graphsvc.model.times import micros
from graphsvc.store.graph import Content, digest_of, link_content, node_content, record_content
from graphsvc.store.store import Store
from graphsvc.store.text import document_hash

CATCH_UP_SECONDS = 3600.0
SHOWN = 5
"""Examples named for one kind of difference."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of difference.

    Attributes:
        part: `log`, `records`, `columns`, `graph`, `text`, `vectors`.
        what: is wrong. count: how often. examples: some of the places.
    """

    part: str
    what: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        places = f": {', '.join(self.examples)}" if self.examples else ""
        return f"{self.part}: {self.what} ({self.count}){places}"


@dataclass(slots=True)
class Report:
    """What verifying found.

    Attributes:
        problems: none if all is well.
        checked: how many of each were compared.
        mended: what a repair did.
        digest: of the graph, equal on both engines for the same log.
    """

    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)
    digest: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"ok": self.ok, **msgspec.to_builtins(self)}

    def note(self, part: str, what: str, places: list[Any]) -> None:
        """Add a problem, if there are places where it is."""
        if places:
            self.problems.append(Problem(part, what, len(places), tuple(str(place) for place in places[:SHOWN])))


def verify(log: Log, store: Store) -> Report:
    """Check everything; see `Memory.verify`."""
    report = Report()
    _guarded(report, "log", lambda: _verify_log(log, report))
    if any(problem.part == "log" for problem in report.problems):
        return report  # nothing can be measured against a log that isn't sound
    rebuilt = replay(log)
    _guarded(report, "records", lambda: _verify_records(log, rebuilt, report))
    head = log.head
    for follower in store.followers:
        _guarded(report, follower.name, lambda follower=follower: follower.wait(head, CATCH_UP_SECONDS))  # type: ignore[misc]
    _guarded(report, "columns", lambda: _verify_columns(log, report))
    _guarded(report, "graph", lambda: _verify_graph(log, store, report))
    _guarded(report, "text", lambda: _verify_text(log, store, report))
    _guarded(report, "vectors", lambda: _verify_vectors(log, store, report))
    return report


def _guarded(report: Report, part: str, check: Callable[[], Any]) -> None:
    """A check that itself fails is a problem of that part."""
    try:
        check()
    except (GraphsvcError, sqlite3.Error, OSError, ValueError, KeyError) as error:
        report.note(part, "can't be read", [error])


def _verify_log(log: Log, report: Report) -> None:
    with log.connection() as connection:
        answers = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        if answers != ["ok"]:
            report.note("log", "the file is damaged", answers)
            return
        count, last = connection.execute("SELECT count(*), coalesce(max(n), 0) FROM log").fetchone()
    if count != last:
        report.note("log", "entries are missing", [f"{last - count} of {last}"])
    report.checked["log"] = count


def _verify_records(log: Log, rebuilt: Rebuilt, report: Report) -> None:
    """The records table against what the log adds up to."""
    wrong: list[str] = []
    seen = 0
    with log.connection() as connection:
        for row, kind, agent, id, first, last, hash, state, body in connection.execute(
            "SELECT row, kind, agent, id, first, last, hash, state, body FROM record ORDER BY row"
        ):
            seen += 1
            expected = rebuilt.records.get(row)
            found = (kind, agent, id, first, last, hash, None if state else decode_record(kind, body))
            if expected is None or expected.as_tuple() != found:
                wrong.append(f"{kind} {agent}/{id}")
        if seen != len(rebuilt.records):
            wrong.append(f"{len(rebuilt.records) - seen} are missing")
        links = {tuple(row[:3]): msgspec.json.decode(row[3]) for row in connection.execute("SELECT * FROM link")}
    report.note("records", "differ from the log", wrong)
    report.note("records", "links differ from the log", _differing(links, rebuilt.links))
    report.checked["records"] = seen


def _differing(found: dict[Any, Any], expected: dict[Any, Any]) -> list[Any]:
    return [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]


def live_records(log: Log) -> Iterator[tuple[int, str, Record, int]]:
    """Row, kind, record and text hash of every live record."""
    with log.connection() as connection:
        for row, kind, hash, body in connection.execute(
            "SELECT row, kind, text_hash, body FROM record WHERE state = 0 ORDER BY row"
        ):
            yield row, kind, decode_record(kind, body), unsigned(hash)


def _verify_columns(log: Log, report: Report) -> None:
    wrong = []
    count = 0
    for row, kind, record, hash in live_records(log):
        if not KINDS[kind].in_columns:
            continue
        count += 1
        if int(log.columns.hash_of(np.array([row]))[0]) != hash or not log.columns.agrees(row, kind, record):
            wrong.append(record.key)
    held = sum(int(columns.live.data[: columns.count].sum()) for columns in log.columns.kinds.values())
    report.note("columns", "differ from the records", wrong)
    report.note("columns", "hold records that are gone", [held - count] if held != count else [])
    report.checked["columns"] = count


def expected_graph(log: Log) -> Iterator[Content]:
    """What the graph must hold, computed from the records alone."""
    sessions: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    keys: dict[int, str] = {}
    for row, kind, record, _ in live_records(log):
        keys[row] = record.key
        content = record_content(record)
        if content is not None:
            yield content
        yield from map(link_content, own_links(record))
        if KINDS[kind].in_columns:
            nodes[("Agent", key_of(record.agent, record.agent))] = {"id": record.agent}
        if isinstance(record, Episode):
            sessions.setdefault((record.agent, record.session), []).append((micros(record.at), record.id, record.key))
            task = task_key(record.task)
            nodes[("Session", key_of(record.agent, record.session))] = {"id": record.session, "agent": record.agent}
            nodes[("Task", key_of(record.agent, task))] = {"id": task, "agent": record.agent, "text": record.task}
    yield from (node_content(table, {"key": key, **values}) for (table, key), values in nodes.items())
    for episodes in sessions.values():
        episodes.sort()
        for before, after in pairwise(episodes):
            yield link_content(Link("NEXT", "Episode", before[2], "Episode", after[2]))
    yield from _links(log, keys)


def _links(log: Log, keys: dict[int, str]) -> Iterator[Content]:
    with log.connection() as connection:
        for rel, source, target, body in connection.execute("SELECT rel, source, target, body FROM link"):
            ends = REL_TABLES[rel]
            values = msgspec.json.decode(body)
            yield link_content(Link(rel, ends.source, keys[source], ends.target, keys[target], values))


def _verify_graph(log: Log, store: Store, report: Report) -> None:
    expected = {(table, ends): values for table, ends, values in expected_graph(log)}
    found: dict[Any, Any] = {}
    twice = []
    for table, ends, values in store.graph.contents():
        if (table, ends) in found:
            twice.append((table, *ends))
        found[(table, ends)] = values
    report.note("graph", "has things twice", twice)
    report.note("graph", "lacks what the log says", list(expected.keys() - found.keys()))
    report.note("graph", "has what the log doesn't say", list(found.keys() - expected.keys()))
    both = expected.keys() & found.keys()
    report.note("graph", "values differ", [key for key in both if expected[key] != found[key]])
    report.checked["graph"] = len(found)
    report.digest = digest_of((table, ends, values) for (table, ends), values in found.items())


def _verify_text(log: Log, store: Store, report: Report) -> None:
    expected = {
        row: (f"{kind}:{record.key}", document_hash(record))
        for row, kind, record, _ in live_records(log)
        if KINDS[kind].searchable
    }
    found: dict[int, tuple[str, int]] = {}
    twice = []
    for row, key, hash in store.text.contents():
        if row in found:
            twice.append(key)
        found[row] = (key, hash)
    report.note("text", "has documents twice", twice)
    report.note("text", "lacks records", [expected[row][0] for row in expected.keys() - found.keys()])
    report.note("text", "has documents of no record", [found[row][0] for row in found.keys() - expected.keys()])
    both = expected.keys() & found.keys()
    report.note("text", "documents are out of date", [found[row][0] for row in both if found[row] != expected[row]])
    report.checked["text"] = len(found)


def _verify_vectors(log: Log, store: Store, report: Report) -> None:
    vectors = store.vectors
    vectors.flush_now()
    expected = {row: hash for row, kind, _, hash in live_records(log) if KINDS[kind].searchable and hash}
    rows = np.array(sorted(expected), np.int64)
    hashes = np.array([expected[row] for row in rows.tolist()], np.uint64)
    missing = rows[vectors.hot.fresh(rows, hashes) < 0]
    report.note("vectors", "the hot index lacks records", missing.tolist())
    report.note("vectors", "slots of the hot index are damaged", vectors.hot.verify(rows))
    found = vectors.lance.contents()
    report.note("vectors", "LanceDB lacks records", [row for row in expected if row not in found])
    report.note("vectors", "LanceDB has vectors of no record", [row for row in found if row not in expected])
    stale = [row for row in expected if row in found and found[row] != expected[row]]
    report.note("vectors", "LanceDB's vectors are out of date", stale)
    if vectors.lance.count() != len(found):
        report.note("vectors", "LanceDB has vectors twice", [vectors.lance.count() - len(found)])
    report.checked["vectors"] = len(found)


def repair(log: Log, store: Store) -> Report:
    """Mend what `verify` finds; see `Memory.repair`."""
    first = verify(log, store)
    broken = {problem.part for problem in first.problems}
    mended: list[str] = []
    if "log" in broken:
        return first
    if "records" in broken or "columns" in broken:
        log.rebuild()
        mended.append("records and columns rebuilt from the log")
        broken |= {"graph", "text", "vectors"} if "records" in broken else set()
    for part in ("graph", "text", "vectors"):
        if part in broken:
            store.rebuild(part)
            mended.append(f"{part} rebuilt from the log")
    if not mended:
        return first
    second = verify(log, store)
    second.mended = mended
    return second

