"""Tables of one's own in all that happens to a memory: searched, forgotten, exported, copied, moved, mended."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import Conflict, GraphsvcError, NotFound, Unsupported
from graphsvc.memory.importing import import_memory
from graphsvc.memory.statements import run

SECRET = "Zorblaxquo wibble"


def write(memory: graphsvc.Memory, statement: str, **params: Any) -> Any:
    return run(memory._opened, memory._namespaces, statement, params)


def read(memory: graphsvc.Memory, statement: str) -> list[list[Any]]:
    memory.wait()
    return memory._opened.store.graph.engine.execute(statement).rows


def rows(memory: graphsvc.Memory) -> dict[str, dict[str, str]]:
    """What is searched of tables, by table and key."""
    memory.wait()
    with memory._opened.log.connection() as connection:
        found = connection.execute("SELECT parent, body FROM record WHERE kind = 'row' AND state = 0").fetchall()
    assert len(found) == len(dict(found)), "each row has one record"
    return {parent: json.loads(body)["texts"] for parent, body in found}


def fill(memory: graphsvc.Memory) -> graphsvc.Episode:
    """Two tables of nodes, one searched, three of edges, one with several pairs of ends; a statement that failed."""
    episode = memory.episodes.store(session="s", task="write it down", output=SECRET)
    memory.graph.define("Doc", {"id": int, "title": str, "body": str, "at": "TIMESTAMP", "day": date, "data": bytes,
                                "n": float, "tags": list[str]}, key="id", searchable=["title", "body"])  # fmt: skip
    memory.graph.define("Author", {"name": str}, key="name")
    memory.graph.define("WROTE", {"share": float}, source="Author", target="Doc")
    memory.graph.define("FROM", {}, source="Doc", target="Episode")
    memory.graph.add("Author", [{"name": "Ada"}, {"name": "Größe"}])
    memory.graph.add("Doc", [
        {"id": i - 3, "title": f"about {i}" if i % 4 else None, "body": f"subject {i % 3}", "n": i / 7, "tags": ["x"] * (i % 3),
         "at": datetime(2026, 1, 1, 0, 0, i), "day": date(2026, 1, 1 + i % 28), "data": bytes([i, 0, 255])}
        for i in range(40)
    ])  # fmt: skip
    memory.graph.add("WROTE", [{"source": "Ada", "target": i, "share": 0.5} for i in range(9)] + [{"source": "Ada", "target": 1}])
    memory.graph.add("FROM", {"source": 5, "target": episode.key})
    write(memory, "CREATE REL TABLE NEAR (FROM Doc TO Author, FROM Author TO Doc, w INT64)")
    write(memory, "MATCH (d:Doc {id: 1}), (a:Author {name: 'Ada'}) CREATE (d)-[:NEAR {w: 1}]->(a)")
    write(memory, "MATCH (d:Doc {id: 2}), (a:Author {name: 'Ada'}) CREATE (a)-[:NEAR {w: 2}]->(d)")
    with pytest.raises(Conflict):
        memory.graph.add("Author", [{"name": "new"}, {"name": "Ada"}])
    return episode


def checked(memory: graphsvc.Memory) -> str:
    """The digest of a memory in which nothing is wrong."""
    report = memory.verify()
    assert report.problems == []
    return report.digest


def test_searchable_rows_follow_whatever_writes_them(memory: graphsvc.Memory) -> None:
    memory.graph.define("Doc", {"id": str, "title": str, "n": int}, key="id", searchable="title")
    memory.graph.add("Doc", [{"id": "a", "title": "one"}, {"id": "b"}, {"id": "c.d", "title": "three"}])
    assert rows(memory) == {"Doc.a": {"title": "one"}, "Doc.c.d": {"title": "three"}}
    memory.graph.upsert("Doc", [{"id": "b", "title": "two"}, {"id": "e", "title": "five"}])
    memory.graph.update("Doc", {"id": "a", "n": 3})
    write(memory, "MATCH (d:Doc) WHERE d.id = 'a' SET d.title = 'uno'")
    write(memory, "CREATE (:Doc {id: 'f', title: $title})", title="six")
    assert rows(memory) == {
        "Doc.a": {"title": "uno"}, "Doc.b": {"title": "two"}, "Doc.c.d": {"title": "three"}, "Doc.e": {"title": "five"},
        "Doc.f": {"title": "six"},
    }  # fmt: skip
    memory.graph.delete("Doc", ["a", "b"])
    memory.graph.add("Doc", {"id": "a", "title": "again"})
    write(memory, "MATCH (d:Doc {id: 'f'}) DELETE d")
    assert rows(memory) == {"Doc.a": {"title": "again"}, "Doc.c.d": {"title": "three"}, "Doc.e": {"title": "five"}}
    checked(memory)
    memory._opened.store.rebuild("graph")
    assert len(rows(memory)) == 3
    checked(memory)
    memory.graph.drop("Doc")
    assert rows(memory) == {}
    checked(memory)


def test_a_row_that_its_record_does_not_tell_of_is_mended(memory: graphsvc.Memory) -> None:
    fill(memory)
    memory.wait()
    with memory._opened.store.graph.engine.transaction() as transaction:
        transaction.execute("MATCH (d:Doc {id: 7}) SET d.title = 'by somebody else', d.n = 1.0")
    parts = {problem.part for problem in memory.verify().problems}
    assert {"graph", "rows"} <= parts
    assert memory.repair().problems == []
    assert rows(memory)["Doc.7"]["title"] == "about 10"


def test_forgetting_overwrites_statements_and_what_fails_by_it_is_listed(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        episode = fill(memory)
        memory.graph.add("Doc", {"id": 100, "title": f"quotes {SECRET}", "body": "the rest"})
        memory.graph.define("Word", {"text": str, "l": list[str]}, key="text")
        memory.graph.add("Word", {"text": SECRET, "l": ["a", SECRET]})
        write(memory, f"CREATE (:Word {{text: 'it was {SECRET}', l: [\"{SECRET}\"]}})")
        write(memory, "MATCH (w:Word) WHERE w.text = $text SET w.l = $l", text=SECRET, l=[f"<{SECRET}>"])
        with pytest.raises(Conflict):
            memory.graph.add("Word", {"text": SECRET})
        told = memory.forget(episode.id, dry_run=True)
        assert told.statements == 5
        assert told.records["row"] == 1
        assert memory.forget(episode.id).statements == 5
        memory.wait()
        report = memory.verify()
        assert report.problems == []
        assert len(report.forgotten) == 1, "two words became one"
        assert read(memory, "MATCH (w:Word) RETURN w.text, w.l") == [["[forgotten]", ["[forgotten]"]]]
        assert rows(memory)["Doc.100"] == {"title": "[forgotten]", "body": "the rest"}
        assert memory.forget(episode.id).already
    left = [file for file in path.rglob("*") if file.is_file() and SECRET[:10].encode() in file.read_bytes()]
    assert left == []
    with graphsvc.open(path) as memory:
        assert memory.verify().problems == []


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_an_export_taken_in_gives_the_same_tables(tmp_path: Path, format: Any) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        fill(one)
        digest = checked(one)
        report = one.export(tmp_path / "a", format=format)
        assert report.tables == {"Author": 2, "Doc": 40, "FROM": 1, "NEAR": 2, "WROTE": 10}
        assert "tables" not in json.loads((one.as_agent("builder").export(tmp_path / "b", format=format).path and
                                           (tmp_path / "b" / "export.json")).read_text())["files"]  # fmt: skip
    with graphsvc.open(tmp_path / "two", embedder="hashing") as two:
        trial = import_memory(two, tmp_path / "a", dry_run=True)
        taken = import_memory(two, tmp_path / "a", batch=7)
        assert (taken.stored, taken.skipped) == (trial.stored, [])
        again = import_memory(two, tmp_path / "a")
        assert (again.stored, again.already) == (0, taken.stored)
        assert checked(two) == digest
        assert len(rows(two)) == 40
        two.export(tmp_path / "c", format=format)
        two.graph.update("Author", [])
        two.graph.update("Doc", {"id": 1, "n": 5.0})
        assert [skipped.code for skipped in import_memory(two, tmp_path / "a").skipped] == ["conflict"]
    files = {one.name: one.read_bytes() for one in (tmp_path / "a").iterdir()}
    assert files == {one.name: one.read_bytes() for one in (tmp_path / "c").iterdir()}


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_defaults_of_columns_travel_with_an_export(tmp_path: Path, format: Any) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        one.cypher(
            "CREATE NODE TABLE D(id INT64, a STRING DEFAULT 'it\\'s', b INT64 DEFAULT -4, "
            "c DATE DEFAULT cast('2020-01-02' AS DATE), PRIMARY KEY(id))", write=True
        )  # fmt: skip
        one.cypher("CREATE REL TABLE R(FROM D TO D, w DOUBLE DEFAULT -0.5)", write=True)
        one.cypher("CREATE (:D {id: 1, b: NULL})", write=True)
        one.export(tmp_path / "a", format=format)
    with graphsvc.open(tmp_path / "two", embedder="hashing") as two:
        import_memory(two, tmp_path / "a")
        two.cypher("CREATE (:D {id: 2})", write=True)
        two.cypher("MATCH (a:D {id: 1}), (b:D {id: 2}) CREATE (a)-[:R]->(b)", write=True)
        assert read(two, "MATCH (d:D) RETURN d.a, d.b, d.c ORDER BY d.id") == [
            ["it's", None, date(2020, 1, 2)], ["it's", -4, date(2020, 1, 2)],
        ]  # fmt: skip
        assert read(two, "MATCH (:D)-[r:R]->(:D) RETURN r.w") == [[-0.5]]
        two.cypher("ALTER TABLE D ADD x BLOB DEFAULT cast('x' AS BLOB)", write=True)
        with pytest.raises(Unsupported, match="bytes"):
            two.export(tmp_path / "b", format=format)
        assert not (tmp_path / "b").exists()


def test_edges_whose_ends_are_not_taken_are_left_out_and_told(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        fill(one)
        one.export(tmp_path / "a", where={"episode": {"session": "none"}})
    with graphsvc.open(tmp_path / "two", embedder="hashing") as two:
        skipped = import_memory(two, tmp_path / "a").skipped
        assert [one.code for one in skipped] == [NotFound.code]
        checked(two)


def test_a_snapshot_is_restored_whole_and_to_every_earlier_entry(tmp_path: Path) -> None:
    digests: dict[int, str] = {}
    with graphsvc.open(tmp_path / "one", embedder="hashing") as one:
        one.graph.define("Doc", {"id": str, "title": str}, key="id", searchable="title")
        for step in (
            lambda: one.graph.add("Doc", [{"id": f"d{i}", "title": f"t {i}"} for i in range(1_500)]),
            lambda: write(one, "MATCH (d:Doc) WHERE d.id STARTS WITH 'd9' SET d.title = d.title + ' more'"),
            lambda: one.episodes.store(session="s", task="t"),
            lambda: one.graph.delete("Doc", "d3"),
        ):
            step()
            one.wait()
            digests[one._opened.log.head] = one._opened.store.graph.digest()
        snapshot = one.snapshot(tmp_path / "snapshot")
        with one._opened.log.connection() as connection:
            ends = [n for (n,) in connection.execute("SELECT n FROM log WHERE last = 1 ORDER BY n")]
    for n in (ends[1], ends[3], ends[-3], ends[-1]):
        restored = graphsvc.restore(tmp_path / "snapshot", tmp_path / f"at {n}", to=n)
        assert restored.n == n
        with graphsvc.open(restored.path, create=False) as memory:
            checked(memory)
            memory.wait()
            later = min(head for head in digests if head >= n) if n >= ends[1] else None
            if later is not None:  # what followed from a statement, and was cut off, follows again
                assert memory._opened.store.graph.digest() == digests[later]
    assert snapshot.n == max(ends)


def test_the_graph_moves_to_the_other_engine_and_back_and_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import graphsvc
from tests.test_user_tables import checked, fill
with graphsvc.open({str(path)!r}, embedder="hashing") as memory:
    fill(memory)
    print(checked(memory))
    memory._opened.store.graph_follower.close()  # what comes now is decided after the move
    memory._opened.log.submit(__import__("graphsvc.model.requests", fromlist=["x"]).AppendStatement(
        "cypher.write", __import__("graphsvc.model.statements", fromlist=["x"]).Statement(
            "cypher", text="MATCH (d:Doc {{id: 5}}) SET d.title = 'late'", writes=("Doc",))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moved = graphsvc.migrate(path, engine="ladybug")
    back = graphsvc.migrate(path, engine="kuzu")
    assert moved.digest == back.digest != done.stdout.split()[-1], "the last statement was decided"
    assert moved.entries == back.entries


def test_what_keeps_its_past_moves_to_the_other_engine_with_it(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import json, random
from tests.engine.test_temporal_nodes import SLOTS, asked, change, now, present, tables, graphsvc
from datetime import datetime
with graphsvc.open({str(path)!r}, embedder="hashing") as memory:
    if len(sys.argv) == 1:
        chance, state, known = random.Random(12), ({{}}, frozenset()), []
        tables(memory)
        for step in range(24):
            state = change(memory, chance, state)
            known += [] if step % 8 else [now()]
    else:
        known = [datetime.fromisoformat(at) for at in json.loads(sys.argv[1])]
    answers = [asked(memory, slot, at) for slot in SLOTS[::4] for at in (*known, None)]
    print(json.dumps([[at.isoformat() for at in known], memory._opened.store.graph.engine.name, present(memory), answers,
                      memory.verify().digest, list(map(str, memory.verify().problems))]))
"""

    def answered(*known: str) -> list[Any]:
        done = subprocess.run([sys.executable, "-c", program, *known], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        return found

    before = answered()
    assert before[-1] == []
    assert any(nodes for nodes, _ in before[3])
    assert any(edges for _, edges in before[3])
    for engine in ("ladybug", "kuzu"):
        moved = graphsvc.migrate(path, engine=engine)
        assert moved.digest == before[4]
        assert answered(json.dumps(before[0])) == [before[0], engine, *before[2:]]


def test_sizes_tell_of_rows_and_statements(memory: graphsvc.Memory) -> None:
    fill(memory)
    memory.wait()
    found = memory.size()
    assert found["kinds"]["row"]["live"] == 40
    assert found["kinds"]["row"]["log_bytes"] > 0


def test_asynchronously_it_is_the_same(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.graph.define("Doc", {"id": str}, key="id")
            done = await asyncio.gather(
                *(memory.graph.add("Doc", {"id": f"{i % 15}"}) for i in range(20)), return_exceptions=True
            )
            assert sum(one == 1 for one in done) == 15
            assert all(isinstance(one, int | GraphsvcError) for one in done)
            assert (await memory.graph.schema())["Doc"].key == "id"

    asyncio.run(main())
