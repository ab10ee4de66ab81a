"""A trim keeps tables of one's own: what they are, every row, and what a statement behind it comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import EngineError, NotFound, NotRetained, Unsupported
from graphsvc.log.trim import fold, stage
from graphsvc.memory.statements import run
from graphsvc.model.change import Trimmed
from graphsvc.store.retold import Retold

from .conftest import ROOT

SECRET = "Zorblaxquo the secret"


def write(memory: graphsvc.Memory, statement: str, **params: Any) -> None:
    run(memory._opened, memory._namespaces, statement, params)


def read(memory: graphsvc.Memory, statement: str) -> list[list[Any]]:
    memory.wait()
    return memory._opened.store.graph.engine.execute(statement).rows


def trimmed(memory: graphsvc.Memory, folder: Path, before: int | None = None) -> str:
    """Snapshot and trim; the digest, which is what it was, also where the graph is built anew."""
    digest = memory.verify().digest
    memory.snapshot(folder / f"snapshot{len(memory.snapshots())}")
    assert memory.trim(before=before or memory.status()["head"] + 1).entries
    for _ in range(2):
        report = memory.verify()
        assert (report.problems, report.digest) == ([], digest)
        memory._opened.store.rebuild("graph")
    return digest


def rows_of_records(memory: graphsvc.Memory) -> list[tuple[Any, ...]]:
    with memory._opened.log.connection() as connection:
        return connection.execute("SELECT row, id, first, hash, text_hash, state, body FROM record WHERE kind = 'row'").fetchall()


def test_what_was_declared_and_each_row_stay(memory: graphsvc.Memory, tmp_path: Path) -> None:
    memory.graph.define("Doc", {"id": str, "title": str, "tags": "STRING[]", "data": "BLOB"}, key="id", searchable="title")
    memory.graph.define("ABOUT_IT", {"w": int}, source="Doc", target="Episode")
    memory.graph.define("LIKE", {}, source="Doc", target="Doc")
    memory.episodes.store(id="e", session="s", task="t")
    memory.graph.add("Doc", [{"id": f"d{i}", "title": f"about {i}", "tags": ["x"] * (i % 3), "data": b"\0\xff"} for i in range(120)])
    memory.graph.add("LIKE", [{"source": "d1", "target": "d1"}, {"source": "d1", "target": "d2"}, {"source": "d1", "target": "d2"}])
    memory.graph.add("ABOUT_IT", {"source": "d7", "target": "default/e", "w": 3})
    memory.graph.delete("Doc", "d5")
    write(memory, "MATCH (d:Doc {id: 'd9'}) SET d.title = NULL")
    write(memory, "CREATE (:Doc {id: ''})")  # no key that rows may have
    declared, records = memory.graph.schema(), rows_of_records(memory)
    point = memory.status()["head"]
    with pytest.raises(EngineError):
        write(memory, "CREATE (:Doc {id: 'd1'})")
    memory.graph.update("Doc", {"id": "d2", "title": "later"})
    trimmed(memory, tmp_path, point + 1)
    assert memory.graph.schema() == declared
    now = {row: rest for row, *rest in rows_of_records(memory)}
    assert sum(now[row] == rest for row, *rest in records) == len(records) - 1, "all but d2 are what they were"
    trimmed(memory, tmp_path)
    assert read(memory, "MATCH (:Doc)-[r:LIKE]->(d:Doc) RETURN d.id, count(r) ORDER BY d.id") == [["d1", 1], ["d2", 2]]
    assert read(memory, "MATCH (:Doc)-[r:ABOUT_IT]->(e:Episode) RETURN e.id, r.w") == [["e", 3]]
    assert memory.recall("about 33", kinds="row", k=1)[0].record.node == "d33"  # type: ignore[union-attr]
    memory.episodes.delete("e")
    assert read(memory, "MATCH ()-[r:ABOUT_IT]->() RETURN count(r)") == [[0]]
    assert memory.verify().problems == []


def test_defaults_of_columns_stay_and_hold_for_what_comes_behind(memory: graphsvc.Memory, tmp_path: Path) -> None:
    write(
        memory,
        "CREATE NODE TABLE D(id INT64, a STRING DEFAULT 'it\\'s\\\\', b INT64 DEFAULT -4, c DOUBLE DEFAULT -1e300, "
        "d BOOL DEFAULT true, e DATE DEFAULT cast('2020-01-02' AS DATE), g INT64[] DEFAULT [1, -2], "
        "f TIMESTAMP DEFAULT cast('2020-01-02 03:04:05.678' AS TIMESTAMP), h INT8 DEFAULT NULL, PRIMARY KEY(id))",
    )
    write(memory, "CREATE REL TABLE R(FROM D TO D, FROM D TO Episode, w INT64 DEFAULT -5)")
    write(memory, "CREATE (:D {id: 1, b: NULL})")
    write(memory, "ALTER TABLE D ADD more STRING DEFAULT 'none'")
    write(memory, "ALTER TABLE D DROP d")
    write(memory, "ALTER TABLE D RENAME more TO less")
    point = memory.status()["head"]
    write(memory, "CREATE (:D {id: 2})")
    write(memory, "MATCH (a:D {id: 1}), (b:D {id: 2}) CREATE (a)-[:R]->(b)")
    trimmed(memory, tmp_path, point + 1)
    trimmed(memory, tmp_path)
    write(memory, "CREATE (:D {id: 3})")
    whole = ["it's\\", -4, -1e300, date(2020, 1, 2), [1, -2], datetime(2020, 1, 2, 3, 4, 5, 678000), None, "none"]
    found = read(memory, "MATCH (d:D) RETURN d.id, d.a, d.b, d.c, d.e, d.g, d.f, d.h, d.less ORDER BY d.id")
    assert found == [[1, whole[0], None, *whole[2:]], [2, *whole], [3, *whole]]
    assert read(memory, "MATCH (:D)-[r:R]->(:D) RETURN r.w") == [[-5]]
    assert memory.verify().problems == []


def test_what_cannot_be_kept_is_not_trimmed(memory: graphsvc.Memory, tmp_path: Path) -> None:
    write(memory, "CREATE NODE TABLE D(id INT64, a BLOB DEFAULT cast('x' AS BLOB), PRIMARY KEY(id))")
    memory.snapshot(tmp_path / "snapshot")
    with pytest.raises(Unsupported, match="a default is of a type"):
        memory.trim(before=memory.status()["head"] + 1)
    assert memory.status()["trimmed"] is None
    assert memory.verify().problems == []
    memory.graph.drop("D")
    memory.graph.define("E", {"id": str}, key="id")
    memory.graph.add("E", {"id": "x"})
    trimmed(memory, tmp_path)


def test_statements_that_make_something_else_are_found_before_they_take_a_place(
    memory: graphsvc.Memory, tmp_path: Path
) -> None:
    memory.graph.define("E", {"id": str}, key="id")
    memory.graph.add("E", {"id": "x"})
    log, head = memory._opened.log, memory.status()["head"]
    retold = Retold(log, memory._opened.store, head)
    folded = fold(log.entries(head), since=0, dimension=4)
    for statements, why in ((retold.statements, ""), (retold.statements[:1], "else"), (retold.statements[1:], "no table E")):
        stage(folded, Trimmed(head, "", head), tmp_path / "staged", lambda n: b"", statements)
        if why:
            with pytest.raises(Unsupported, match=f"can't take the place.*{why}"):
                retold.check(tmp_path / "staged")
        else:
            retold.check(tmp_path / "staged")


def test_outcomes_of_trimmed_statements_are_in_the_snapshot(memory: graphsvc.Memory, tmp_path: Path) -> None:
    memory.graph.define("Doc", {"id": str, "t": str}, key="id", searchable="t")
    memory.graph.add("Doc", {"id": "a", "t": "a text"})
    with memory._opened.log.connection() as connection:
        ((added, follows),) = connection.execute("SELECT n, derived FROM outcome WHERE derived > 0").fetchall()
    with pytest.raises(EngineError):
        write(memory, "CREATE (:Doc {id: 'a'})")
    failed = memory.status()["head"]
    assert memory.graph.outcome(failed).state == "failed"
    memory.snapshot(tmp_path / "snapshot")
    with pytest.raises(NotRetained, match=f"follows from a statement .* Trim before {added}, or further on"):
        memory.trim(before=follows)
    memory.trim(before=failed + 1)
    for n in (added, failed):
        with pytest.raises(NotRetained, match=r"The snapshot .*snapshot has it"):
            memory.graph.outcome(n)
    with pytest.raises(NotFound):
        memory.graph.outcome(failed + 1)
    graphsvc.restore(tmp_path / "snapshot", tmp_path / "again")
    with graphsvc.open(tmp_path / "again") as again:
        assert again.graph.outcome(failed).state == "failed"


def test_what_is_forgotten_after_it_goes_from_rows_and_no_other_row_is_lost(path: Path, tmp_path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.graph.define("Word", {"k": str, "n": int}, key="k")
        memory.graph.define("Doc", {"id": int, "t": str}, key="id", searchable="t")
        memory.graph.define("HAS", {"note": str}, source="Doc", target="Word")
        memory.episodes.store(id="told", session="s", task=SECRET)
        memory.graph.add("Word", [{"k": SECRET, "n": 1}, {"k": f"it was {SECRET}", "n": 2}, {"k": "fine", "n": 3}])
        memory.graph.add("Doc", [{"id": 1, "t": f"said: {SECRET}"}, {"id": 2, "t": "another"}])
        memory.graph.add("HAS", [{"source": 1, "target": SECRET, "note": SECRET}, {"source": 2, "target": "fine", "note": "y"}])
        trimmed(memory, tmp_path)
        assert memory.forget("told").statements == 3
        digest = memory.verify().digest
        assert memory.verify().problems == []
        assert [n for _, n in read(memory, "MATCH (w:Word) RETURN w.k, w.n ORDER BY w.n")] == [1, 2, 3]
        found = read(memory, "MATCH (d:Doc)-[r:HAS]->(w:Word) RETURN d.t, r.note, w.n ORDER BY w.n")
        assert found == [["[forgotten]", "[forgotten]", 1], ["another", "y", 3]]
        assert trimmed(memory, tmp_path) == digest
    assert [one for one in path.rglob("*") if one.is_file() and SECRET[:10].encode() in one.read_bytes()] == []


def history(folder: Path, engine: str, seed: int, count: int) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.chaos.trim_steps", str(folder), engine, str(seed), str(count)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


SEEDS = [4, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 40))]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_history_of_statements_and_verbs_with_trims_is_the_same_on_both_engines(tmp_path: Path, seed: int) -> None:
    count = 30 if seed < 20 else 100
    found = {engine: history(tmp_path / engine, engine, seed, count) for engine in ("kuzu", "ladybug")}
    assert found["kuzu"] == found["ladybug"]
    assert found["kuzu"]["trimmed"] > 20
    assert found["kuzu"]["tables"]
