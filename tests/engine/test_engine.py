from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
import pytest

from graphsvc.config import Settings
from graphsvc.cypher.tokens import MAX_STATEMENT
from graphsvc.errors import (
    BadInput,
    Closed,
    Corrupt,
    EngineError,
    GraphsvcError,
    InUse,
    NotAllowed,
    QueryTimeout,
    StorageFull,
    TooLarge,
)
from graphsvc.store import engine as seam
from graphsvc.store.engine import Engine, open_engine

NAMES = "MATCH (p:Person) RETURN p.name AS name, p.age AS age ORDER BY p.name"
SLOW = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN sum(a * b) AS s"


def test_rows_come_with_their_columns(engine: Engine) -> None:
    rows = engine.execute(NAMES)
    assert rows.columns == ["name", "age"]
    assert rows.rows == [["Ada", 36], ["Mary", None]]
    assert rows.dicts()[0] == {"name": "Ada", "age": 36}
    assert not rows.more


def test_a_limit_cuts_rows_and_says_so(engine: Engine) -> None:
    many = "UNWIND range(1, 5000) AS x RETURN x"
    assert engine.execute(many, limit=0).more
    cut = engine.execute(many, limit=2500)
    assert len(cut.rows) == 2500
    assert cut.more
    assert not engine.execute(many, limit=5000).more


def test_a_read_that_ran_before_sees_what_was_written_and_defined_since(engine: Engine) -> None:
    age = "MATCH (p:Person {name: $name}) RETURN p.age AS age"

    def asked(statement: str = age) -> list[tuple[Any, ...]]:
        return engine.answer(statement, {"name": "Ada"}, limit=10).rows

    for _ in range(3):
        assert asked() == [(36,)]
    with engine.transaction() as transaction:
        transaction.execute("MATCH (p:Person {name: 'Ada'}) SET p.age = 37")
    assert asked() == [(37,)]
    with engine.transaction() as transaction:
        transaction.execute("ALTER TABLE Person DROP age")
    with pytest.raises(EngineError):
        asked()
    with engine.transaction() as transaction:
        transaction.execute("ALTER TABLE Person ADD age STRING DEFAULT 'old'")
    assert asked() == asked() == [("old",)]
    node = "MATCH (p:Person {name: $name}) RETURN p"
    for _ in range(3):
        assert [person.properties["age"] for (person,) in asked(node)] == ["old"]


def test_a_read_that_ran_before_is_held_back_stopped_and_limited_as_at_first(engine: Engine) -> None:
    slow = "UNWIND range(1, $n) AS a UNWIND range(1, $n) AS b RETURN a * b AS c LIMIT 100000"
    for _ in range(2):
        answer = engine.answer(slow, {"n": 30}, limit=5)
        assert (len(answer), answer.more) == (5, True)
    for _ in range(2):
        with pytest.raises(GraphsvcError):
            engine.answer("UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN sum(a * b) AS s",
                          timeout=0.1, limit=1)  # fmt: skip
    with pytest.raises(BadInput):
        engine.answer(slow, {}, limit=5)
    assert engine._open_reads == 0
    assert engine.checkpoint()


def test_a_whole_number_finds_its_key_whatever_its_size(engine: Engine) -> None:
    with engine.transaction() as transaction:
        transaction.execute("CREATE NODE TABLE Part (id INT64, name STRING, PRIMARY KEY (id))")
        transaction.execute("UNWIND [-5, 0, 5, 300, 70000, 1099511627776] AS id CREATE (:Part {id: id, name: string(id)})")
    by_key = {
        "MATCH (p:Part {id:$id}) RETURN p.name, $id": lambda key: key,
        "MATCH (p:Part) WHERE $id=p.id RETURN p.name, $id": lambda key: key,
        "MATCH (p:Part), (q:Part {id: $other}) WHERE p.id = $id AND q.id > $id RETURN p.name, $id + 1": lambda key: key + 1,
    }
    for statement, second in by_key.items():
        for key in (0, 5, 300, 70_000, -5, 5) * 2:
            given = {"id": key, "other": 1 << 40} if "$other" in statement else {"id": key}
            assert engine.answer(statement, given, limit=10).rows == [(str(key), second(key))]
    for _ in range(2):
        assert len(set(engine.answer("MATCH (p:Part) RETURN p.id = $id", {"id": 5}, limit=10).columns)) == 1
    by_id = "MATCH (p:Part {id: $id}) RETURN p.name"
    assert engine.answer(by_id, {"id": 1 << 40}, limit=10).rows == [(str(1 << 40),)]
    assert engine.answer(by_id, {"id": 6}, limit=10).rows == []
    assert engine.answer(by_id, {"id": None}, limit=10).rows == []
    assert engine.answer(by_id, {"id": 5.0}, limit=10).rows == [("5",)]


def test_arrow_has_the_same_rows(engine: Engine) -> None:
    table = engine.arrow(NAMES)
    assert table.to_pydict() == {"name": ["Ada", "Mary"], "age": [36, None]}


def test_a_stream_gives_chunks(engine: Engine) -> None:
    chunks = list(engine.stream("UNWIND range(1, 10) AS x RETURN x", chunk=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]


def test_a_stream_shows_the_graph_as_it_was_and_holds_nothing_up(engine: Engine) -> None:
    stream = engine.stream(NAMES, chunk=1)
    first = next(stream)
    with engine.transaction() as transaction:
        transaction.execute("MATCH (p:Person) DETACH DELETE p")
    assert engine.checkpoint()
    assert [*first, *[row for chunk in stream for row in chunk]] == [["Ada", 36], ["Mary", None]]
    assert engine.execute(NAMES).rows == []


def test_many_threads_read_while_one_writes(engine: Engine) -> None:
    def read(_: int) -> int:
        return len(engine.execute("MATCH (p:Person) RETURN p.name").rows)

    def write(number: int) -> None:
        with engine.transaction() as transaction:
            transaction.execute("CREATE (:Person {name: $name})", {"name": f"p{number}"})
        engine.checkpoint()

    with ThreadPoolExecutor(12) as pool:
        writing = [pool.submit(write, number) for number in range(30)]
        counts = list(pool.map(read, range(300)))
        for future in writing:
            future.result()
    assert max(counts) <= 32
    assert read(0) == 32


@pytest.mark.parametrize(
    "statement",
    ["CREATE (:Person {name: 'x'})", "MATCH (p:Person) SET p.age = 1", "MATCH (p:Person) DETACH DELETE p",
     "MATCH (p:Person) CREATE (:Person {name: 'y'})", "DROP TABLE KNOWS", "COPY Person FROM 'x.csv'", "", "// nothing",
     "EXPORT DATABASE 'x'", "ATTACH 'x' AS y", "COMMIT", "CHECKPOINT", "INSTALL json", "USE x"],
)  # fmt: skip
def test_reading_can_not_write(engine: Engine, statement: str) -> None:
    with pytest.raises((BadInput, EngineError)):
        engine.execute(statement)
    assert engine.execute(NAMES).rows == [["Ada", 36], ["Mary", None]]


def test_several_statements_in_one_are_refused(engine: Engine) -> None:
    with pytest.raises(NotAllowed):
        engine.execute("RETURN 1; RETURN 2")


def test_an_error_has_the_engines_text_and_no_chain(engine: Engine) -> None:
    with pytest.raises(EngineError, match="Nobody") as caught:
        engine.execute("MATCH (n:Nobody) RETURN n.name")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert engine.execute(NAMES).rows


def test_a_statement_is_stopped_at_its_time_limit(engine: Engine) -> None:
    began = time.monotonic()
    with pytest.raises(QueryTimeout):
        engine.execute(SLOW, timeout=0.2)
    assert time.monotonic() - began < 5
    assert engine.execute(NAMES).rows


def test_interrupt_stops_reads(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.execute, SLOW)
        while not future.done():
            time.sleep(0.1)
            engine.interrupt()
        with pytest.raises(EngineError, match="interrupted") as caught:
            future.result()
    assert not isinstance(caught.value, QueryTimeout)


def test_a_checkpoint_passes_over_when_someone_reads(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.execute, SLOW)
        time.sleep(0.5)
        began = time.monotonic()
        assert not engine.checkpoint()
        assert not engine.checkpoint(wait=0.1)
        assert time.monotonic() - began < 1
        with engine.transaction() as transaction:  # nor does the reader hold a commit up
            transaction.execute("CREATE (:Person {name: 'x'})")
        assert time.monotonic() - began < 2
        while not future.done():
            engine.interrupt()
            time.sleep(0.05)
    assert engine.wal_bytes() > 0
    assert engine.checkpoint()
    assert engine.wal_bytes() == 0


def test_a_failed_with_keeps_nothing(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.transaction() as transaction:
        transaction.execute("CREATE (:Person {name: 'x'})")
        raise ZeroDivisionError
    assert len(engine.execute(NAMES).rows) == 2


def test_bulk_load_counts_what_it_did(engine: Engine) -> None:
    create = "LOAD FROM $rows CREATE (:Person {name: name, age: age}) RETURN count(*)"
    with engine.transaction() as transaction:
        assert (
            transaction.bulk_load(create, pa.table({"name": ["x", "y"], "age": pa.array([None, None], pa.int64())}))
            == 2
        )
        assert transaction.bulk_load(create, pa.table({"name": pa.array([], pa.string())})) == 0
        assert transaction.each("MATCH (p:Person {name: $n}) RETURN count(*)", [{"n": "x"}, {"n": "nobody"}]) == 1
    assert len(engine.execute(NAMES).rows) == 4


def test_writers_wait_for_one_another(engine: Engine) -> None:
    order: list[str] = []
    inside = threading.Event()

    def first() -> None:
        with engine.transaction() as transaction:
            inside.set()
            time.sleep(0.2)
            transaction.execute("CREATE (:Person {name: 'first'})")
            order.append("first")

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(first)
        inside.wait()
        with engine.transaction() as transaction:
            order.append("second")
            transaction.execute("CREATE (:Person {name: 'second'})")
        future.result()
    assert order == ["first", "second"]


def test_after_close_everything_says_so(engine: Engine) -> None:
    stream = engine.stream("UNWIND range(1, 10) AS x RETURN x", chunk=1)
    next(stream)
    engine.close()
    engine.close()
    with pytest.raises(Closed):
        next(stream)
    with pytest.raises(Closed):
        engine.execute(NAMES)
    with pytest.raises(Closed), engine.transaction():
        pass


def test_closing_ends_a_read_that_is_running(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.execute, SLOW)
        time.sleep(0.5)
        engine.close()
        with pytest.raises((EngineError, Closed)):
            future.result()


def test_what_was_written_is_there_after_reopening(tmp_path: Path, engine_name: str, settings: Settings) -> None:
    for number in range(5):
        engine = open_engine(engine_name, tmp_path / "graph", settings)
        if number == 0:
            with engine.transaction() as transaction:
                transaction.execute("CREATE NODE TABLE Person (name STRING, age INT64, PRIMARY KEY (name))")
        with engine.transaction() as transaction:
            transaction.execute("CREATE (:Person {name: $name})", {"name": str(number)})
        assert len(engine.execute(NAMES).rows) == number + 1
        engine.close()


def test_a_damaged_file_is_corrupt_and_can_be_set_aside(tmp_path: Path, engine_name: str, settings: Settings) -> None:
    path = tmp_path / "graph"
    path.write_bytes(b"garbage! " * 1000)
    with pytest.raises(Corrupt) as caught:
        open_engine(engine_name, path, settings)
    assert caught.value.where == str(path)
    path.rename(tmp_path / "aside")
    open_engine(engine_name, path, settings).close()


def test_an_engine_that_nobody_knows_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(BadInput):
        open_engine("neo4j", tmp_path / "graph", settings)


def test_another_process_is_told_that_the_graph_is_in_use(
    engine: Engine, script: Callable[..., CompletedProcess[str]]
) -> None:
    run = script(
        "from pathlib import Path; from graphsvc.config import Settings; from graphsvc.errors import InUse\n"
        "from graphsvc.store.engine import open_engine\n"
        "try: open_engine(ENGINE, Path(sys.argv[1]), Settings())\n"
        "except InUse as error: print(error.code)\n",
        str(engine.path),
    )
    assert run.stdout == "in_use\n", run.stderr


def test_a_forked_child_may_not_touch_the_graph(script: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    run = script(
        "import os; from pathlib import Path; from graphsvc.config import Settings; from graphsvc.errors import Forked\n"
        "from graphsvc.store.engine import open_engine\n"
        "engine = open_engine(ENGINE, Path(sys.argv[1]), Settings())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: engine.execute('RETURN 1')\n"
        "    except Forked: engine.close(); os._exit(7)\n"
        "    os._exit(1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); engine.close()\n",
        str(tmp_path / "graph"),
    )
    assert run.stdout == "7\n", run.stderr


def test_statements_are_bounded(engine: Engine) -> None:
    for statement in (
        "RETURN '" + "x" * MAX_STATEMENT + "'",
        "RETURN " + "+".join(["1"] * 3000),
        "RETURN " + "[" * 33 + "]" * 33,
        "RETURN " + "CASE WHEN true THEN " * 9 + "1" + " END" * 9,
    ):
        with pytest.raises(TooLarge):
            engine.execute(statement)
    with pytest.raises(BadInput):
        engine.execute("RETURN 1\x00")
    brackets = "RETURN '" + "(" * 500 + "' AS x"
    assert engine.execute(brackets).rows == [["(" * 500]]


def test_nothing_is_begun_on_a_full_disk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = os.statvfs(engine.path.parent)
    monkeypatch.setattr(seam, "MIN_FREE", disk.f_bavail * disk.f_frsize * 2)
    with pytest.raises(StorageFull), engine.transaction():
        pass
    assert engine.execute(NAMES).rows


def test_a_second_handle_in_one_process_is_refused(engine: Engine, settings: Settings) -> None:
    with pytest.raises(InUse):
        open_engine(engine.name, engine.path, settings)
    with pytest.raises(InUse):
        open_engine(engine.name, engine.path.parent / "." / "graph", settings)
