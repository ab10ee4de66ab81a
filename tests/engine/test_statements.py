"""Statements on tables of one's own: done whole or not at all, the same on both engines, and again from the log."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import graphsvc
from graphsvc.config import Settings
from graphsvc.errors import (
    BadInput,
    Conflict,
    EngineError,
    GraphsvcError,
    NeedsUnbound,
    NotFound,
    OwnedTable,
    Pending,
    QueryTimeout,
    UnknownField,
)
from graphsvc.log.log import Log
from graphsvc.memory.statements import run
from graphsvc.model.tables import TYPES
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection
from graphsvc.store.ledger import LogLedger
from graphsvc.store.statements import Run

VALUES: dict[str, list[Any]] = {
    "STRING": ["", "Größe 😀", "'\"`\\", "\x01\t\n"], "BOOL": [True, False], "INT8": [-128, 127], "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1], "INT64": [-(2**63), 2**63 - 1, 0], "FLOAT": [0.5, -1.25], "DOUBLE": [0.1, 1e300, -0.5],
    "DATE": [date(1, 1, 2), date(2026, 2, 28)], "TIMESTAMP": [datetime(1850, 1, 2, 3, 4, 5, 678901), datetime(2026, 1, 1)],
    "BLOB": [b"", b"\x00\xff'\\"],
}  # fmt: skip


@pytest.fixture
def memory(tmp_path: Path, engine_name: str) -> Iterator[graphsvc.Memory]:
    with graphsvc.open(tmp_path / "memory", engine=engine_name, embedder="hashing") as opened:
        yield opened


@pytest.fixture
def people(memory: graphsvc.Memory) -> graphsvc.Memory:
    """People, whom they know, and which episodes are theirs."""
    memory.graph.define("Person", {"name": str, "age": int, "note": str}, key="name")
    memory.graph.define("KNOWS", {"since": int}, source="Person", target="Person")
    memory.graph.define("DID", {}, source="Person", target="Episode")
    memory.graph.add("Person", [{"name": "Ada", "age": 36}, {"name": "Mary"}])
    memory.graph.add("KNOWS", {"source": "Ada", "target": "Mary", "since": 1833})
    return memory


def write(memory: graphsvc.Memory, statement: str, **params: Any) -> list[list[Any]]:
    answer = run(memory._opened, memory._namespaces, statement, params)
    return [] if answer is None else [list(row) for row in answer.rows]


def read(memory: graphsvc.Memory, statement: str) -> list[list[Any]]:
    memory.wait()
    return memory._opened.store.graph.engine.execute(statement).rows


def rebuilt(memory: graphsvc.Memory) -> str:
    """The digest of the graph made anew from the log; it must be what it was."""
    memory.wait()
    before = memory._opened.store.graph.digest()
    memory._opened.store.rebuild("graph")
    assert memory._opened.store.graph.digest() == before
    return before


@pytest.mark.parametrize("bulk", [False, True])
def test_every_type_comes_back_as_it_went_in(memory: graphsvc.Memory, bulk: bool) -> None:
    columns = {f"c {kind}": kind for kind in TYPES if bulk or kind != "BLOB"}  # bytes go in bulk always
    memory.graph.define("T", {"id": int, **columns}, key="id")
    rows = []
    for at in range(120 if bulk else 5):
        row: dict[str, Any] = {"id": at}
        for name, kind in columns.items():
            values = [None, *VALUES[kind.removesuffix("[]")]]
            if kind.endswith("[]"):
                values = [None, [], values[1:], [values[1], None]]
            row[name] = values[at % len(values)]
        rows.append(row)
    assert memory.graph.add("T", rows) == len(rows)
    for name in columns:
        found = read(memory, f"MATCH (n:T) RETURN n.`{name}` ORDER BY n.id")
        assert [value for (value,) in found] == [row[name] for row in rows], name
    rebuilt(memory)
    assert memory.verify().problems == []


def test_names_of_any_script_and_words_of_cypher_are_good_names(memory: graphsvc.Memory) -> None:
    memory.graph.define("Straße's \\", {"end": str, "group by": int, "größe": float, "c0": str}, key="end")
    memory.graph.define("order", {"from": str, "key_": int}, source="Straße's \\", target="Straße's \\")
    rows = [{"end": f"x{i}", "group by": i, "größe": i / 2, "c0": "z"} for i in range(120)]
    memory.graph.add("Straße's \\", rows)
    memory.graph.upsert("order", [{"source": f"x{i}", "target": "x0", "from": "y", "key_": i} for i in range(120)])
    assert memory.graph.update("order", {"source": "x3", "target": "x0", "from": "w"}) == 1
    assert memory.graph.delete("Straße's \\", ["x5", "x6"]) == 2
    assert read(memory, "MATCH (:`Straße's \\`)-[r:`order`]->() RETURN count(*), sum(r.key_)") == [[118, 7140 - 11]]
    assert memory.verify().problems == []


WRONG: list[tuple[Any, type[GraphsvcError], str]] = [
    (lambda g: g.add("Person", {"name": "Ada"}), Conflict, "1 key is in Person already: row 0 ('Ada')"),
    (lambda g: g.add("Person", [{"name": "x"}, {"name": "x"}]), Conflict, "row 1 ('x')"),
    (lambda g: g.add("KNOWS", {"source": "Ada", "target": "Eve"}), NotFound, "1 target is not in Person: row 0 ('Eve')"),
    (lambda g: g.add("DID", {"source": "Ada", "target": "default/x"}), NotFound, "not in Episode"),
    (lambda g: g.add("Person", {"name": 3}), BadInput, "expected STRING, got int64"),
    (lambda g: g.add("Person", {"name": "x", "age": 1.5}), BadInput, "row 0 (1.5)"),
    (lambda g: g.add("Person", {"name": "x", "age": True}), BadInput, "expected INT64, got bool"),
    (lambda g: g.add("Person", [{"name": "x"}, {"name": None}]), BadInput, "null is no key: row 1"),
    (lambda g: g.add("Person", {"nam": "x"}), UnknownField, "Did you mean 'name'?"),
    (lambda g: g.add("Person", {"age": 1}), BadInput, "is required"),
    (lambda g: g.add("Person", {"name": "a\0"}), BadInput, "NUL"),
    (lambda g: g.update("Person", {"name": "Eve", "age": 1}), NotFound, "row 0 ('Eve')"),
    (lambda g: g.update("Person", {"name": "Ada"}), BadInput, "says nothing"),
    (lambda g: g.delete("Person", ["Ada", "Eve"]), NotFound, "row 1 ('Eve')"),
    (lambda g: g.delete("KNOWS", ("Mary", "Ada")), NotFound, "'Mary' → 'Ada'"),
    (lambda g: g.add("Nobody", {"name": "x"}), NotFound, "Tables: DID, KNOWS, Person"),
    (lambda g: g.add("Episode", {"key": "x"}), OwnedTable, "Episode"),
    (lambda g: g.define("episode", {"a": str}, key="a"), OwnedTable, "Episode"),
    (lambda g: g.define("person", {"a": str}, key="a"), Conflict, "Person"),
    (lambda g: g.define("X", {"a": "UUID"}, key="a"), BadInput, "no type of a column"),
    (lambda g: g.define("X", {"a": float}, key="a"), BadInput, "a key is STRING or INT64"),
    (lambda g: g.define("X", {"a": str, "A": int}, key="a"), BadInput, "in other letters"),
    (lambda g: g.define("X", {"_a": str}, key="_a"), BadInput, "begins with _"),
    (lambda g: g.define("X", {"a`b": str}, key="a`b"), BadInput, "is no name"),
    (lambda g: g.define("X", {"source": str}, source="Person", target="Person"), BadInput, "keys at their ends"),
    (lambda g: g.define("X", {"a": str}, source="Person", target="Nobody"), NotFound, "Nobody"),
    (lambda g: g.define("X", {"a": str}), BadInput, "either a table of nodes or one of edges"),
    (lambda g: g.define("X", {"a": str, "n": int}, key="a", searchable="n"), BadInput, "only STRING"),
    (lambda g: g.drop("Person"), Conflict, "DID, KNOWS"),
]  # fmt: skip


def test_what_is_wrong_is_told_and_nothing_is_done(people: graphsvc.Memory) -> None:
    people.wait()
    before = people._opened.store.graph.digest()
    for call, error, said in WRONG:
        with pytest.raises(error) as caught:
            call(people.graph)
        assert type(caught.value) is error, said
        assert said in str(caught.value)
    people.wait()
    assert people._opened.store.graph.digest() == before


def test_a_call_of_many_entries_is_done_whole_or_not_at_all(people: graphsvc.Memory) -> None:
    head = people._opened.log.head
    rows = [{"name": f"p{i}", "age": i} for i in range(25_000)]
    with pytest.raises(Conflict, match="row 24999"):
        people.graph.add("Person", [*rows[:-1], {"name": "Ada"}])
    assert people._opened.log.head == head + 3, "it was several entries"
    assert read(people, "MATCH (p:Person) RETURN count(*)") == [[2]]
    assert people.graph.add("Person", rows) == 25_000
    edges = [{"source": f"p{i}", "target": f"p{i + 1}", "since": i} for i in range(24_999)]
    with pytest.raises(NotFound, match="'nobody'"):
        people.graph.add("KNOWS", [*edges, {"source": "p1", "target": "nobody"}])
    assert people.graph.add("KNOWS", edges) == 24_999
    found = read(people, "MATCH (:Person)-[r:KNOWS]->(:Person) RETURN count(*), sum(r.since)")
    assert found == [[25_000, sum(range(24_999)) + 1833]]
    rebuilt(people)


def test_only_ten_rows_are_named(people: graphsvc.Memory) -> None:
    people.graph.add("Person", [{"name": f"p{i}"} for i in range(50)])
    with pytest.raises(Conflict) as caught:
        people.graph.add("Person", [{"name": f"p{i}"} for i in range(40)])
    assert "40 keys are" in str(caught.value)
    assert str(caught.value).count("row ") == 10


def test_upsert_leaves_alone_what_it_is_not_given(people: graphsvc.Memory) -> None:
    done = people.graph.upsert("Person", [{"name": "Ada", "note": "x"}, {"name": "Mary", "age": 5}, {"name": "Eve"}])
    assert done == {"created": 1, "updated": 2}
    assert read(people, "MATCH (p:Person) RETURN p.name, p.age, p.note ORDER BY p.name") == [
        ["Ada", 36, "x"], ["Eve", None, None], ["Mary", 5, None],
    ]  # fmt: skip
    done = people.graph.upsert("KNOWS", [{"source": "Ada", "target": "Mary", "since": 1}, {"source": "Eve", "target": "Ada"}])
    assert done == {"created": 1, "updated": 1}
    rebuilt(people)


def test_parallel_edges_and_loops_are_edges_each(people: graphsvc.Memory) -> None:
    people.graph.add("KNOWS", [{"source": "Ada", "target": "Mary", "since": 1}, {"source": "Ada", "target": "Ada"}])
    assert people.graph.update("KNOWS", {"source": "Ada", "target": "Mary", "since": 7}) == 2
    assert people.verify().problems == []
    assert people.graph.delete("KNOWS", [("Ada", "Mary"), ("Ada", "Ada")]) == 3


def test_rows_come_from_tables_frames_and_iterators(people: graphsvc.Memory) -> None:
    pd = pytest.importorskip("pandas")
    assert people.graph.add("Person", pd.DataFrame({"name": ["a", "b"], "age": [1, 2], "note": ["x", None]})) == 2
    assert people.graph.add("Person", pa.table({"name": ["c", "d"], "age": pa.array([3, 4], pa.int8())})) == 2
    assert people.graph.add("Person", pa.RecordBatchReader.from_batches(
        pa.schema([("name", pa.string())]), [pa.record_batch({"name": ["e"]})])) == 1  # fmt: skip
    assert people.graph.add("Person", ({"name": f"i{i}"} for i in range(3))) == 3
    assert people.graph.add("Person", []) == 0
    assert read(people, "MATCH (p:Person) WHERE p.age < 5 RETURN p.name, p.age ORDER BY p.name") == [
        ["a", 1], ["b", 2], ["c", 3], ["d", 4],
    ]  # fmt: skip


def test_edges_of_ones_own_go_with_the_episode_that_they_lead_to(people: graphsvc.Memory) -> None:
    episodes = people.episodes.store_many([{"session": "s", "task": f"t{i}"} for i in range(30)])
    people.graph.add("DID", [{"source": "Ada", "target": episode.key} for episode in episodes])
    people.episodes.delete([episode.id for episode in episodes[:20]])
    assert read(people, "MATCH (:Person)-[d:DID]->(:Episode) RETURN count(*)") == [[10]]
    people.graph.add("DID", {"source": "Mary", "target": episodes[25].key})
    people.episodes.delete(episodes[25].id)
    assert people.verify().problems == []
    rebuilt(people)


def test_cypher_writes_what_it_may_and_is_replayed(people: graphsvc.Memory) -> None:
    assert write(people, "CREATE (p:Person {name: $name, age: $age}) RETURN p.name, p.age", name="Eve", age=3) == [["Eve", 3]]
    write(people, "UNWIND $rows AS row CREATE (:Person {name: row.n})", rows=[{"n": "a"}, {"n": "b"}])
    write(people, "MATCH (p:Person {name: 'Eve'}), (q:Person) WHERE q.name <> 'Eve' CREATE (p)-[:KNOWS {since: 1}]->(q)")
    write(people, "CREATE NODE TABLE Seen (at TIMESTAMP, day DATE, id INT64, PRIMARY KEY (id))")
    write(people, "CREATE (:Seen {id: 1, at: current_timestamp(), day: current_date()})")
    write(people, "ALTER TABLE Person ADD mail STRING DEFAULT 'none'")
    write(people, "ALTER TABLE Person RENAME TO Human")
    write(people, "MATCH (h:Human {name: 'a'}) DETACH DELETE h")
    with pytest.raises(EngineError, match="duplicated primary key"):
        write(people, "CREATE (:Human {name: 'b'})")
    with pytest.raises(OwnedTable):
        write(people, "CREATE (:Episode {key: 'x'})")
    assert people.graph.schema()["Human"].columns == {"name": "STRING", "age": "INT64", "note": "STRING", "mail": "STRING"}
    assert people.graph.schema()["KNOWS"].ends == (("Human", "Human"),)
    assert people.graph.add("Human", {"name": "c", "mail": "c@d"}) == 1
    time.sleep(0.01)
    rebuilt(people)  # the clock says what it said then
    assert people.verify().problems == []


def test_what_failed_is_skipped_by_a_replay(people: graphsvc.Memory) -> None:
    with pytest.raises(Conflict):
        people.graph.add("Person", {"name": "Ada", "age": 99})
    failed = people._opened.log.head
    people.graph.delete("Person", "Ada")  # now it would succeed
    assert people.graph.outcome(failed).code == "conflict"
    assert people.graph.outcome(failed + 1).counts == {"deleted": 1}
    rebuilt(people)
    assert read(people, "MATCH (p:Person) RETURN p.name") == [["Mary"]]
    with pytest.raises(NotFound):
        people.graph.outcome(10_000)


def test_who_does_not_wait_gets_the_number_and_the_statement_runs(people: graphsvc.Memory) -> None:
    people.wait()
    with people._opened.store.graph_follower.paused():
        with pytest.raises(Pending) as caught:
            people.graph.add("Person", {"name": "late"}, wait=0.05)
        with pytest.raises(Pending):
            people.graph.outcome(caught.value.change)
    people.wait()
    assert people.graph.outcome(caught.value.change).counts == {"created": 1}
    assert read(people, "MATCH (p:Person {name: 'late'}) RETURN count(*)") == [[1]]


def test_a_first_run_has_a_time_limit_and_a_replay_has_none(
    people: graphsvc.Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.graph.add("Person", [{"name": f"p{i}", "age": i} for i in range(2_000)])
    many = "MATCH (a:Person), (b:Person), (c:Person) WHERE a.age + b.age + c.age = -1 SET a.note = 'x'"
    with pytest.raises(QueryTimeout):
        run(people._opened, people._namespaces, many, timeout=0.2)
    assert people.graph.outcome(people._opened.log.head).code == "query_timeout"
    timeouts: list[float | None] = []
    begin = Run.__init__

    def noted(self: Run, engine: str, transaction: Any, catalog: Any, timeout: float | None) -> None:
        timeouts.append(timeout)
        begin(self, engine, transaction, catalog, timeout)

    monkeypatch.setattr(Run, "__init__", noted)
    rebuilt(people)
    assert timeouts
    assert set(timeouts) == {None}


def test_writes_go_on_while_the_writer_is_held(people: graphsvc.Memory) -> None:
    """The outcome is noted though writes wait: else whoever holds the writer would wait for ever."""
    results: list[Any] = []
    people.wait()
    with people._opened.store.graph_follower.paused():
        thread = threading.Thread(target=lambda: results.append(people.graph.add("Person", {"name": "x"})))
        thread.start()
        while people._opened.store.graph_follower.lag == 0:
            time.sleep(0.005)
    with people._opened.log.held():
        assert people._opened.store.graph_follower.wait(people._opened.log.head, 10)
    thread.join(10)
    assert results == [1]


def test_many_threads_get_each_its_own_answer(people: graphsvc.Memory) -> None:
    answers: dict[int, Any] = {}

    def add(number: int) -> None:
        try:
            answers[number] = write(people, "CREATE (p:Person {name: $n}) RETURN p.name", n=f"t{number % 20}")
        except GraphsvcError as error:
            answers[number] = error.code

    threads = [threading.Thread(target=add, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [number for number, answer in answers.items() if answer == [[f"t{number % 20}"]]]
    assert sorted(number % 20 for number in done) == list(range(20))
    assert sum(answer == "engine_error" for answer in answers.values()) == 20
    rebuilt(people)


def test_a_bound_handle_has_no_tables(people: graphsvc.Memory) -> None:
    bound = people.as_agent("builder")
    for call in (
        lambda: bound.graph.add("Person", {"name": "x"}), lambda: bound.graph.schema(), lambda: bound.graph.drop("Person"),
        lambda: write(bound, "CREATE (:Person {name: 'x'})"),
    ):  # fmt: skip
        with pytest.raises(NeedsUnbound):
            call()


def test_lists_stay_where_they_belong(memory: graphsvc.Memory) -> None:
    """Kuzu's checkpoint gives rows the lists of others where some were changed and rows were made since the last one."""
    memory.graph.define("T", {"id": int, "l": "INT64[]"}, key="id")
    expected: dict[int, list[int]] = {}
    graph = memory._opened.store.graph
    for step in range(12):
        new = range(step * 7, step * 7 + 7)
        memory.graph.add("T", [{"id": i, "l": [i] * (i % 4)} for i in new])
        expected |= {i: [i] * (i % 4) for i in new}
        changed = [i for i in expected if (i + step) % 3 == 0]
        memory.graph.upsert("T", [{"id": i, "l": [i + step] * (i % 5)} for i in changed])
        expected |= {i: [i + step] * (i % 5) for i in changed}
        with pytest.raises(BadInput):
            memory.graph.upsert("T", [{"id": 0, "l": [1]}, {"id": 10_000, "l": []}])
        with pytest.raises(BadInput):
            write(memory, "MERGE (t:T {id: 3}) ON CREATE SET t.l = [3] ON MATCH SET t.l = [5]")
        graph.settle()
        assert dict(read(memory, "MATCH (t:T) RETURN t.id, t.l")) == expected
    episodes = memory.episodes.store_many([{"session": "s", "task": f"t{i}", "tags": ["a", "b"]} for i in range(30)])
    for step in range(8):
        memory.episodes.amend(episodes[step * 2].id, tags=[f"x{step}"] * (step % 3), wait="graph")
        memory.episodes.store(session="s", task="t", tags=["new", "er", f"{step}"], wait="graph")
        graph.settle()
        memory.entities.upsert_many([{"kind": "f", "name": f"n{i}", "tags": [f"{step}", "y"][: i % 3]}
                                     for i in range(step, step + 5)], wait="graph")  # fmt: skip
        graph.settle()
    assert memory.verify().problems == []


def test_the_log_gives_the_same_graph_beside_it(people: graphsvc.Memory, tmp_path: Path, engine_name: str) -> None:
    """Decided anew, without the outcomes noted, every statement ends as it did: nothing in it hangs on chance."""
    with pytest.raises(Conflict):
        people.graph.add("Person", {"name": "Ada"})
    write(people, "MATCH (p:Person) SET p.age = coalesce(p.age, 1) + 1")
    people.wait()
    digest, outcomes = people._opened.store.graph.digest(), _outcomes(people._opened.log)

    class Forgetful(LogLedger):
        def outcome(self, n: int) -> None:
            return None

        def conclude(self, outcome: Any, touched: Any) -> Any:
            found.append((outcome.n, outcome.state))
            return outcome

    found: list[Any] = []
    (tmp_path / "beside").mkdir()
    graph = GraphProjection(tmp_path / "beside", engine_name, people._opened.settings)
    log = people._opened.log
    graph.apply(log.read(0, 1_000), Forgetful(log))
    assert graph.digest() == digest == digest_of([*graph.contents(), *graph.user_contents()])
    assert found == outcomes
    graph.close()


def _outcomes(log: Log) -> list[tuple[int, str]]:
    with log.connection() as connection:
        return connection.execute("SELECT n, state FROM outcome ORDER BY n").fetchall()


LINK = {"t": str, "d": float, "s": datetime, "b": bytes, "l": list[int], "i": int}
VALUES_OF_A_LINK = {"t": "ü'\\", "d": 0.1, "s": datetime(1850, 1, 2, 3, 4, 5, 678901), "b": b"\x00'", "l": [1]}


@pytest.fixture
def linked(memory: graphsvc.Memory) -> graphsvc.Memory:
    """Links where Kuzu's checkpoint loses some: see test_traps.py, a_deleted_edge_takes_those_of_131_072_nodes_along."""
    memory.graph.define("Stop", {"no": int}, key="no")
    memory.graph.define("LINK", LINK, source="Stop", target="Stop")
    memory.graph.define("SEEN", {"i": int}, source="Stop", target="Entity")
    memory.graph.add("Stop", [{"no": no} for no in range(3000)])
    memory.entities.upsert_many([{"id": f"{no:04}", "kind": "x", "name": f"x{no}"} for no in range(1100)])
    ends = [(1, 0), (1, 0), (2, 0), (0, 1024), (1500, 0), (2500, 2500)]
    memory.graph.add("LINK", [dict(source=a, target=b, i=i, **VALUES_OF_A_LINK) for i, (a, b) in enumerate(ends)])
    return memory


def settled(memory: graphsvc.Memory, table: str, count: int) -> None:
    """After a checkpoint, from either end there are so many edges; and the graph is what the log says."""
    memory.wait()
    graph = memory._opened.store.graph
    before = graph.digest()
    graph.settle()
    for way in ("(a JOIN r) JOIN b", "(b JOIN r) JOIN a"):
        assert read(memory, f"MATCH (a)-[r:{table}]->(b) HINT {way} RETURN count(*)") == [[count]]
    assert graph.digest() == before


def test_deleted_edges_of_the_users_take_no_others_along(linked: graphsvc.Memory) -> None:
    settled(linked, "LINK", 6)
    linked.graph.delete("LINK", [{"source": 0, "target": 1024}])
    settled(linked, "LINK", 5)
    write(linked, "MATCH (:Stop {no: 1500})-[r:LINK]->() DELETE r")
    settled(linked, "LINK", 4)
    linked.graph.delete("Stop", [2500])
    settled(linked, "LINK", 3)
    write(linked, "MATCH (s:Stop {no: 2}) DETACH DELETE s")
    settled(linked, "LINK", 2)
    rows = read(linked, "MATCH (:Stop {no: 1})-[r:LINK]->(:Stop {no: 0}) RETURN r.i, r.t, r.d, r.s, r.b, r.l ORDER BY r.i")
    same = [VALUES_OF_A_LINK[name] for name in "tdsbl"]
    assert rows == [[0, *same], [1, *same]]
    rebuilt(linked)
    assert linked.verify().ok


def test_a_record_that_is_deleted_takes_no_edges_along_but_its_own(linked: graphsvc.Memory) -> None:
    linked.wait()
    keys = [key for [key] in read(linked, "MATCH (e:Entity) RETURN e.key ORDER BY offset(id(e))")]
    rows = [{"source": no, "target": keys[to], "i": no} for no, to in ((0, 1050), (1100, 0), (1101, 1))]
    linked.graph.add("SEEN", rows)
    settled(linked, "SEEN", 3)
    linked.entities.delete(keys[1050].rpartition("/")[2])
    settled(linked, "SEEN", 2)
    assert linked.verify().ok


def test_a_graph_that_was_not_closed_loses_no_edges_at_its_next_checkpoint(
    linked: graphsvc.Memory, tmp_path: Path, engine_name: str, settings: Settings
) -> None:
    settled(linked, "LINK", 6)
    linked.graph.delete("LINK", [{"source": 0, "target": 1024}])
    linked.wait()
    graph = linked._opened.store.graph
    for path in graph.path.parent.glob("graph.*"):
        shutil.copy(path, tmp_path)
    copy = GraphProjection(tmp_path, engine_name, settings)
    assert copy._unsaved is None
    copy.settle()
    assert copy.digest() == graph.digest()
    copy.close()


def test_an_edge_that_the_graph_lost_is_found_by_verify_and_made_by_repair(linked: graphsvc.Memory) -> None:
    """However it was lost: by Kuzu's checkpoint, say, before what fences it off was there. Nothing mends it by itself."""
    linked.wait()
    before = linked._opened.store.graph.digest()
    with linked._opened.store.graph.engine.transaction() as transaction:
        gone = transaction.execute("MATCH (:Stop {no: 2})-[r:LINK]->(:Stop) DELETE r RETURN count(*)").one()
    assert gone is not None
    assert gone[0]
    assert [(one.part, one.what) for one in linked.verify().problems] == [
        ("graph", "rows of tables of one's own are missing")
    ]
    assert linked.repair().mended == ["graph rebuilt from the log"]
    assert linked.verify().problems == []
    assert linked._opened.store.graph.digest() == before
