"""Verify that everything agrees, and repair what doesn't.

The log is the truth. The records must be what it adds up to; the columns in memory, the graph, full text, the hot
index and LanceDB what the records say. Every difference is a problem with a place and a remedy.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, cast

import msgspec
import numpy as np

from graphsvc.errors import GraphsvcError, WaitTimeout
from graphsvc.log.believed import single_predicates
from graphsvc.log.database import ReadPool
from graphsvc.log.log import Log
from graphsvc.log.rebuild import RECORD, Rebuilt, ReplayedRecord, record_row, replay
from graphsvc.log.state import unsigned
from graphsvc.log.trim import STATEMENTS, held_from
from graphsvc.model.change import Link, decode_record
from graphsvc.model.facts import changed, cut_line, line_of
from graphsvc.model.graph import own_links
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Episode, Fact, Record, Row
from graphsvc.model.requests import Follow
from graphsvc.model.times import micros
from graphsvc.store.contents import Content, digest_of, link_content, node_content, record_content
from graphsvc.store.follower import Follower
from graphsvc.store.retold import replayed
from graphsvc.store.store import Store
from graphsvc.store.text import document_hash

CATCH_UP_SECONDS = 3600.0
SHOWN = 5
"""Examples named for one kind of difference."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of difference.

    Attributes:
        part: `log`, `records`, `columns`, `graph`, `rows` (searchable ones of one's own tables), `text`, `vectors`.
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
        forgotten: numbers of statements that were done, and fail on replay since what they wrote on was forgotten.
    """

    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)
    digest: str = ""
    forgotten: list[int] = field(default_factory=list)

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
    before = _last(log)
    report = _verified(log, store)
    if report.ok or _last(log) == before:
        return report
    # What was written meanwhile may be all that differs: looked at again, with writes waiting. Not for the model:
    # the followers are waited for before, and once more for what little came since.
    for follower in store.followers:
        with contextlib.suppress(GraphsvcError):  # its error comes up again in the report
            follower.wait(log.head, CATCH_UP_SECONDS)
    with log.held():
        # what a statement decides is noted though writes wait: not while it is compared
        with contextlib.suppress(GraphsvcError):
            store.graph_follower.wait(log.head, CATCH_UP_SECONDS)
        return _verified(log, store)


def _last(log: Log) -> int:
    with log.connection() as connection:
        return int(connection.execute("SELECT coalesce(max(n), 0) FROM log").fetchone()[0])


def _verified(log: Log, store: Store) -> Report:
    report = Report()
    _guarded(report, "log", lambda: _verify_log(log, report))
    if any(problem.part == "log" for problem in report.problems):
        return report  # nothing can be measured against a log that isn't sound
    _guarded(report, "records", lambda: _verify_records(log, replay(log), report))
    _guarded(report, "records", lambda: _verify_facts(log, report))
    head = log.head
    for follower in store.followers:
        _guarded(report, follower.name, lambda follower=follower: _caught_up(follower, head))  # type: ignore[misc]
    _guarded(report, "columns", lambda: _verify_columns(log, report))
    _guarded(report, "graph", lambda: _verify_graph(log, store, report))
    _guarded(report, "text", lambda: _verify_text(log, store, report))
    _guarded(report, "vectors", lambda: _verify_vectors(log, store, report))
    return report


def _caught_up(follower: Follower, head: int) -> None:
    if not follower.wait(head, CATCH_UP_SECONDS):
        raise WaitTimeout(f"not caught up after {CATCH_UP_SECONDS:g} s", where=follower.name)


def _guarded(report: Report, part: str, check: Callable[[], Any]) -> None:
    """A check that itself fails, in whichever way damage makes it fail, is a problem of that part."""
    try:
        check()
    except Exception as error:
        report.note(part, "can't be read", [error])


def _verify_log(log: Log, report: Report) -> None:
    with log.connection() as connection:
        answers = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        if answers != ["ok"]:
            report.note("log", "the file is damaged", answers)
            return
        count, first, last = connection.execute(
            "SELECT count(*), coalesce(min(n), 1), coalesce(max(n), 0) FROM log"
        ).fetchone()
        begun = first == 1 or held_from(connection) >= first
    missing = last - (first if begun else 1) + 1 - count
    if missing:
        report.note("log", "entries are missing", [f"{missing} of {last}"])
    report.note("log", "entries aren't what was written", log.check_entries())
    report.checked["log"] = count


def _verify_records(log: Log, rebuilt: Rebuilt, report: Report) -> None:
    """The records table against what the log adds up to."""
    wrong: list[str] = []
    seen = 0
    with log.connection() as connection:
        for row, kind, agent, id, *rest in connection.execute("SELECT * FROM record ORDER BY row"):
            seen += 1
            replayed = rebuilt.records.get(row)
            if replayed is None or not _same_record(replayed, (row, kind, agent, id, *rest)):
                wrong.append(f"{kind} {agent}/{id}")
        if seen != len(rebuilt.records):
            wrong.append(f"{len(rebuilt.records) - seen} are missing")
        links = {tuple(row[:3]): msgspec.json.decode(row[3]) for row in connection.execute("SELECT * FROM link")}
        history = set(connection.execute("SELECT row, n FROM history"))
    report.note("records", "differ from the log", wrong)
    report.note("records", "links differ from the log", _differing(links, rebuilt.links))
    report.note("records", "their history differs from the log", sorted(history ^ set(rebuilt.history)))
    report.checked["records"] = seen


def _same_record(replayed: ReplayedRecord, found: tuple[Any, ...]) -> bool:
    """Whether every column is what the log adds up to; where the record is gone, those that stay."""
    expected = record_row(found[0], replayed)
    if replayed.record is None:
        named = ("row", "kind", "agent", "id", "first", "last", "hash", "text_hash", "state", "body")
        return all(found[RECORD.index(name)] == expected[RECORD.index(name)] for name in named)
    return found[:-1] == expected[:-1] and decode_record(found[1], found[-1]) == replayed.record


def _differing(found: dict[Any, Any], expected: dict[Any, Any]) -> list[Any]:
    return [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]


def live_records(log: Log | ReadPool) -> Iterator[tuple[int, str, Record, int]]:
    """Row, kind, record and text hash of every live record."""
    with log.connection() as connection:
        for row, kind, hash, body in connection.execute(
            "SELECT row, kind, text_hash, body FROM record WHERE state = 0 ORDER BY row"
        ):
            yield row, kind, decode_record(kind, body), unsigned(hash)


def _verify_facts(log: Log, report: Report) -> None:
    """Each fact is cut as the others of its line say."""
    lines: dict[tuple[str, str], list[Fact]] = {}
    single = set(single_predicates(log))
    for _, kind, record, _ in live_records(log):
        if kind == "fact":
            fact = cast(Fact, record)
            alone = fact.known_to is not None or (fact.agent, fact.predicate) not in single
            lines.setdefault((fact.agent, fact.id if alone else line_of(fact)), []).append(fact)
    cuts = (pair for line in lines.values() for pair in cut_line(line))
    wrong = [fact.key for fact, values in cuts if changed(fact, values)]
    report.note("records", "facts are cut otherwise than their lines say", wrong)


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
    report.note("columns", "causal edges in memory differ from their records", log.check_adjacent())
    report.checked["columns"] = count


def expected_graph(log: Log | ReadPool) -> Iterator[Content]:
    """What the graph must hold, computed from the records alone."""
    sessions: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    places: dict[int, tuple[str, str]] = {}
    for row, kind, record, _ in live_records(log):
        places[row] = (KINDS[kind].table or "", record.key)
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
    yield from _links(log, places)


def _links(log: Log | ReadPool, places: dict[int, tuple[str, str]]) -> Iterator[Content]:
    with log.connection() as connection:
        for rel, source, target, body in connection.execute("SELECT rel, source, target, body FROM link"):
            yield link_content(Link(rel, *places[source], *places[target], msgspec.json.decode(body)))


def _verify_graph(log: Log, store: Store, report: Report) -> None:
    expected = {(table, ends): values for table, ends, values in expected_graph(log)}
    found: dict[Any, Any] = {}
    twice = []
    graph = store.graph
    for table, ends, values in graph.contents():
        if (table, ends) in found:
            twice.append((table, *ends))
        found[(table, ends)] = values
    report.note("graph", "has things twice", twice)
    report.note("graph", "lacks what the log says", list(expected.keys() - found.keys()))
    report.note("graph", "has what the log doesn't say", list(found.keys() - expected.keys()))
    both = expected.keys() & found.keys()
    report.note("graph", "values differ", [key for key in both if expected[key] != found[key]])
    report.checked["graph"] = len(found)
    own = ((table, ends, values) for (table, ends), values in found.items())
    report.digest = digest_of(chain(own, _verify_tables(log, store, report)))


def _verify_tables(log: Log, store: Store, report: Report) -> list[Content]:
    """The user's own tables against a replay of the log beside them, and outcomes; gives what they hold."""
    found = list(store.graph.user_contents())
    if not _verify_outcomes(log, store.graph.applied, report):
        report.note("graph", "has tables that no statement made", [content[1] for content in found])
        return found
    with replayed(log, store, store.graph.applied) as graph:
        expected = list(graph.user_contents())
    here, there = (Counter(map(_frozen, contents)) for contents in (found, expected))
    report.note("graph", "rows of tables of one's own are missing", list((there - here).elements()))
    report.note("graph", "rows of tables of one's own that no statement made", list((here - there).elements()))
    report.checked["tables"] = len(found)
    report.note("rows", "records of searchable rows differ from their tables", _differing_rows(log, store))
    return found


def _differing_rows(log: Log, store: Store) -> list[str]:
    searched = {
        (one.table, node): texts for one in store.graph.searched() for node, texts in one.texts.items() if texts
    }
    noted = {(one.table, one.node): one.texts for _, _, one, _ in live_records(log) if isinstance(one, Row)}
    return [".".join(place) for place in _differing(noted, searched)]


def _frozen(content: Content) -> tuple[Any, ...]:
    table, keys, values = content
    return (table, *keys, msgspec.json.encode(values))


def _verify_outcomes(log: Log, applied: int, report: Report) -> int:
    """Every statement that the graph has come to has an outcome, and no other entry has; gives how many there are."""
    with log.connection() as connection:
        asked = {
            n for (n,) in connection.execute(
                f"SELECT n FROM log WHERE (last = 1 OR verb = 'trim') AND ({STATEMENTS})"
            )
        }  # fmt: skip
        noted = dict(connection.execute("SELECT n, state FROM outcome").fetchall())
    undecided = [n for n in asked - noted.keys() if n <= applied]
    report.note("records", "statements have no outcome", undecided)
    report.note("records", "outcomes are of no statement", sorted(noted.keys() - asked))
    report.forgotten = sorted(n for n, state in noted.items() if state == "forgotten")
    if asked:
        report.checked["statements"] = len(asked)
    return len(asked)


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
    report.note("vectors", "LanceDB holds other vectors than the hot index", vectors.differing(rows))
    if vectors.lance.count() != len(found):
        report.note("vectors", "LanceDB has vectors twice", [vectors.lance.count() - len(found)])
    report.checked["vectors"] = len(found)


def repair(log: Log, store: Store) -> Report:
    """Mend what `verify` finds; see `Memory.repair`."""
    first = verify(log, store)
    broken = {problem.part for problem in first.problems}
    if not broken or "log" in broken:
        return first
    mended, failed = _mend(log, store, broken)
    second = verify(log, store)
    second.mended = mended
    for part, error in failed.items():
        second.note(part, "can't be mended", [error])
    return second


def _mend(log: Log, store: Store, broken: set[str]) -> tuple[list[str], dict[str, GraphsvcError]]:
    """Rebuild what is broken; what was done, and what couldn't be. One part's failure keeps no other from it."""
    mended: list[str] = []
    failed: dict[str, GraphsvcError] = {}
    if "records" in broken or "columns" in broken:
        log.rebuild()
        mended.append("records and columns rebuilt from the log")
        if "records" in broken:
            broken |= {"graph", "text", "vectors"}
    if "rows" in broken and "graph" not in broken:
        log.submit(Follow(store.graph.searched()))
        mended.append("records of searchable rows follow their tables")
    for part in ("graph", "text", "vectors"):
        if part in broken:
            try:
                store.rebuild(part)
                mended.append(f"{part} rebuilt from the log")
            except GraphsvcError as error:
                failed[part] = error
    store.vectors.hot.forget(())  # nothing; but who has looked up where vectors are looks again
    return mended, failed
