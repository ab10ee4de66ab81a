"""memory.cypher: what it gives, what it takes, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import graphsvc
from graphsvc.errors import BadInput, EngineError, NeedsUnbound, NotFound, QueryTimeout
from graphsvc.store.answers import ROWS_FIRST

from .conftest import ROOT

AT = datetime(2025, 3, 3, 10, 30, tzinfo=UTC)
SLOW = (
    f"MATCH {', '.join(f'(n{n}:Episode)' for n in range(18))} "
    f"WHERE {' + '.join(f'n{n}.reward' for n in range(18))} > 99 RETURN 1 AS x"
)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[graphsvc.Memory]:
    with graphsvc.open(tmp_path_factory.mktemp("cypher") / "memory", embedder="hashing") as opened:
        for number in range(3):
            opened.episodes.store(
                id=f"e{number}", session="s", task="deploy", at=AT + timedelta(hours=number), output="done",
                reward=number / 2 if number else None, tags=["a", "b"] if number else [], success=bool(number),
            )  # fmt: skip
        yield opened


# --- what comes back ----------------------------------------------------------------------------------


def test_a_result_iterates_as_dictionaries_and_has_rows_columns_and_a_size(memory: graphsvc.Memory) -> None:
    result = memory.cypher("MATCH (e:Episode) RETURN e.id AS id, e.reward AS reward ORDER BY id")
    assert list(result) == [{"id": "e0", "reward": None}, {"id": "e1", "reward": 0.5}, {"id": "e2", "reward": 1.0}]
    assert list(result) == list(result)
    assert result.rows == [("e0", None), ("e1", 0.5), ("e2", 1.0)]
    assert (result.columns, result.types, len(result)) == (["id", "reward"], ["STRING", "DOUBLE"], 3)
    assert result[-1] == {"id": "e2", "reward": 1.0}
    assert result[:2] == [{"id": "e0", "reward": None}, {"id": "e1", "reward": 0.5}]
    assert (result.value(), result.more, result.behind) == ("e0", False, False)
    assert 0 < result.took < 60


def test_what_was_just_stored_is_seen(memory: graphsvc.Memory) -> None:
    memory.entities.upsert(kind="file", name="a.py")
    assert memory.cypher("MATCH (e:Entity) RETURN count(*) AS n").value() == 1


def test_times_are_utc_with_their_zone(memory: graphsvc.Memory) -> None:
    statement = "MATCH (e:Episode {id: 'e0'}) RETURN e.at AS at, date('2025-03-03') AS day, [e.at] AS list, e"
    row = memory.cypher(statement)[0]
    assert row["at"] == AT == memory.episodes.get("e0").at == row["e"]["at"]
    assert row["at"].tzinfo is not None
    assert (row["day"], row["list"]) == (date(2025, 3, 3), [AT])


def test_nodes_edges_and_paths_are_values_without_internal_ids(memory: graphsvc.Memory) -> None:
    row = memory.cypher("MATCH p = (e:Episode {id: 'e0'})-[r:NEXT]->(f) RETURN e, r, p")[0]
    node, edge, path = row["e"], row["r"], row["p"]
    assert isinstance(node, graphsvc.Node)
    assert (node.label, node.key, node["id"], node.get("none")) == ("Episode", "default/e0", "e0", None)
    assert not [name for name in node.properties if name.startswith("_")]
    assert isinstance(edge, graphsvc.Edge)
    assert (edge.label, edge.source, edge.target) == ("NEXT", ("Episode", "default/e0"), ("Episode", "default/e1"))
    assert isinstance(path, graphsvc.Path)
    assert ([step["id"] for step in path.nodes], list(path)) == (["e0", "e1"], [edge])
    again = memory.cypher("MATCH (e:Episode {id: 'e0'}) RETURN e")[0]["e"]
    assert node == again == path.nodes[0]
    assert len({node, again}) == 1
    assert repr(path) == "(Episode 'default/e0')-[NEXT]->(Episode 'default/e1')"


def test_a_node_has_the_columns_of_its_own_table_only(memory: graphsvc.Memory) -> None:
    nodes = {row["n"].label: row["n"] for row in memory.cypher("MATCH (n) RETURN n")}
    assert set(nodes["Session"].properties) == {"key", "id", "agent"}
    assert "reward" in nodes["Episode"].properties
    assert not [label for label in nodes if label.startswith("_")]


def test_the_ends_of_edges_are_found_though_their_nodes_were_not_asked_for(memory: graphsvc.Memory) -> None:
    found = memory.cypher("MATCH (e:Episode)-[r:IN_SESSION]->() RETURN r, {edge: r} AS m, collect(r) AS l LIMIT 10")
    edges = {(row["r"].source.key, row["r"].target.key) for row in found}
    assert edges == {(f"default/e{number}", "default/s") for number in range(3)}
    assert all(row["m"] == {"edge": row["r"]} and row["l"] == [row["r"]] for row in found)


def test_the_edges_of_a_walk_are_a_list(memory: graphsvc.Memory) -> None:
    row = memory.cypher("MATCH (e:Episode {id: 'e0'})-[r:NEXT*2]->(f) RETURN r")[0]
    assert [(edge.source.key, edge.target.key) for edge in row["r"]] == [
        ("default/e0", "default/e1"), ("default/e1", "default/e2")]  # fmt: skip


def test_whole_numbers_are_ints_and_json_is_json(memory: graphsvc.Memory) -> None:
    result = memory.cypher("MATCH (e:Episode) RETURN sum(size(e.tags)) AS n, [sum(1)] AS l")
    assert result.rows == [(4, [3])]
    assert type(result.value()) is int
    statement = "MATCH (e:Episode {id: 'e1'}) RETURN e.at AS at, e, e.tags AS tags"
    loaded = json.loads(memory.cypher(statement).json())[0]
    assert (loaded["at"], loaded["tags"], loaded["e"]["key"]) == ("2025-03-03T11:30:00Z", ["a", "b"], "default/e1")


def test_a_result_as_arrow_has_the_types_that_the_engine_says(memory: graphsvc.Memory) -> None:
    statement = (
        "MATCH (e:Episode) RETURN e.id AS id, e.at AS at, e.reward AS reward, e.success AS ok, e.tags AS tags, "
        "size(e.tags) AS n, e AS node, {a: 1} AS m ORDER BY id"
    )
    table = memory.cypher(statement).arrow()
    types = {"id": pa.string(), "at": pa.timestamp("us", "UTC"), "reward": pa.float64(), "ok": pa.bool_(),
             "tags": pa.list_(pa.string()), "n": pa.int64(), "m": pa.struct([("a", pa.int64())])}  # fmt: skip
    assert {name: table.schema.field(name).type for name in types} == types
    assert table["at"].to_pylist()[0] == AT
    assert json.loads(table["node"].to_pylist()[1]["properties"])["reward"] == 0.5
    empty = memory.cypher("MATCH (e:Episode) WHERE e.id = 'none' RETURN e.id AS id, e.reward AS r").arrow()
    assert (empty.num_rows, empty.schema.field("r").type) == (0, pa.float64())


def test_a_result_as_a_data_frame(memory: graphsvc.Memory) -> None:
    frame = memory.cypher("MATCH (e:Episode) RETURN e.id AS id, e.reward AS reward ORDER BY id").df()
    assert list(frame.columns) == ["id", "reward"]
    assert frame["id"].tolist() == ["e0", "e1", "e2"]
    assert frame["reward"].isna().tolist() == [True, False, False]
    nodes = memory.cypher("MATCH (e:Episode) RETURN e ORDER BY e.id").df()
    assert nodes["e"][0].key == "default/e0"


def test_a_result_as_a_graph_has_each_node_and_edge_once(memory: graphsvc.Memory) -> None:
    graph = memory.cypher("MATCH p = (e:Episode {id: 'e0'})-[:NEXT*1..2]->(f), (f)-[r:IN_SESSION]->(s) RETURN p, r").graph()
    assert graph.is_multigraph()
    assert set(graph.nodes) == {*(("Episode", f"default/e{number}") for number in range(3)), ("Session", "default/s")}
    assert graph.nodes[("Episode", "default/e1")]["reward"] == 0.5
    assert graph.nodes[("Session", "default/s")] == {"_label": "Session"}
    assert sorted(label for _, _, label in graph.edges(data="_label")) == ["IN_SESSION", "IN_SESSION", "NEXT", "NEXT"]


def test_its_repr_is_a_table_that_tells_null_from_a_text_and_is_short(memory: graphsvc.Memory) -> None:
    shown = repr(memory.cypher("MATCH (e:Episode) RETURN e.id AS id, e.reward AS reward, e.at AS at ORDER BY id"))
    assert shown.splitlines()[2].split() == ["e0", "null", "2025-03-03T10:30:00+00:00"]
    assert "<Result: 3 rows, " in shown
    long = repr(memory.cypher("UNWIND range(1, 50) AS x RETURN x, 'a\nb' AS t"))
    assert len(long.splitlines()) == 14
    assert "a\\nb" in long
    assert repr(memory.cypher("MATCH (e:Entity {id: 'x'}) RETURN e")).startswith("<Result: 0 rows")


def test_many_simple_rows_are_the_engines_own_arrow_and_equal_to_pythons(memory: graphsvc.Memory) -> None:
    statement = (
        "UNWIND range(1, {n}) AS x RETURN x, x * 0.5 AS half, cast(x AS STRING) AS text, x % 2 = 0 AS even, "
        "CASE WHEN x % 3 = 0 THEN x END AS third, timestamp('2025-03-03 10:30:00') AS at, date('2025-01-01') AS day"
    )
    many, few = (memory.cypher(statement.replace("{n}", str(n))) for n in (ROWS_FIRST + 1, 100))
    assert many._answer.table is not None
    assert few._answer.table is None
    assert many.arrow().schema == few.arrow().schema
    assert many.rows[:100] == few.rows
    assert [type(value) for value in many.rows[2]] == [type(value) for value in few.rows[2]]
    assert many.arrow().slice(0, 100).to_pydict() == few.arrow().to_pydict()
    assert many[0]["at"] == AT


def test_a_limit_cuts_and_says_so(memory: graphsvc.Memory) -> None:
    result = memory.cypher("UNWIND range(1, 10) AS x RETURN x", limit=4)
    assert (result.rows, result.more) == ([(1,), (2,), (3,), (4,)], True)
    assert not memory.cypher("UNWIND range(1, 4) AS x RETURN x", limit=4).more
    assert memory.cypher("UNWIND range(1, 4) AS x RETURN x", limit=0).rows == []
    assert len(memory.cypher("UNWIND range(1, 5000) AS x RETURN x", limit=3000)) == 3000
    assert len(memory.cypher("MATCH (e:Episode), (f:Episode) RETURN e, f", limit=5)) == 5


# --- what goes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "found"), [
    (np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.str_("x"), "x"),
    (np.array([1, 2]), [1, 2]), (np.array(["a", "b"]), ["a", "b"]), (pd.Series([1.5, 2.5]), [1.5, 2.5]),
    (np.datetime64("2025-03-03T10:30"), AT), (pd.Timestamp("2025-03-03T10:30Z"), AT), (pd.NA, None), (pd.NaT, None),
    (np.datetime64("NaT"), None), (pd.Timedelta(days=1), timedelta(days=1)), (np.timedelta64(1, "D"), timedelta(days=1)),
    (datetime(2025, 3, 3, 12, 30, tzinfo=datetime.strptime("+0200", "%z").tzinfo), AT), (date(2025, 3, 3), date(2025, 3, 3)),
    ((1, 2), [1, 2]), ([1, 2.5], [1.0, 2.5]), ([1, None], [1, None]), ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}),
    ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    (Decimal("1.5"), Decimal("1.5")), (timedelta(seconds=5), timedelta(seconds=5)), (2**62, 2**62), ("it's", "it's"),
])  # fmt: skip
def test_values_of_many_libraries_are_taken(memory: graphsvc.Memory, given: Any, found: Any) -> None:
    assert memory.cypher("RETURN $x AS x", {"x": given}).value() == found


@pytest.mark.parametrize(("given", "where", "told"), [
    ({1, 2}, "$x", "set"), (b"ab", "$x", "blob"), (2**63, "$x", "64 bits"), (1j, "$x", "complex"), ([1, "a"], "$x[1]", "STRING"),
    ([True, 1], "$x[1]", "INT64"), ([[1], ["a", 1]], "$x[1][1]", "INT64"), ({"a": {2}}, "$x.a", "set"),
    ([{"a": 1}, {"b": 2}], "$x[1]", "key"), ({1: 2}, "$x", "texts"), ({"a": None}, "$x.a", "null"),
    ([{"a": None}, {"a": None}], "$x[].a", "null"), (pd.DataFrame({"a": [1]}), "$x", "to_dict"), (object(), "$x", "object"),
    (graphsvc.Node("Episode", "k"), "$x", "key"),
])  # fmt: skip
def test_values_without_a_type_are_refused_and_said_where(
    memory: graphsvc.Memory, given: Any, where: str, told: str
) -> None:
    with pytest.raises(BadInput, match=told) as error:
        memory.cypher("RETURN $x AS x", {"x": given})
    assert error.value.where == where


@pytest.mark.parametrize(("statement", "params", "told"), [
    ("RETURN $name AS x", None, r"no value for \$name"),
    ("RETURN $name AS x", {"nmae": 1}, "nmae"),
    ("RETURN 1 AS x", {"name": 1}, r"no \$name"),
    ("RETURN $name AS x", [1], "mapping"),
    ("RETURN '$name' AS x, $b AS y // $c", {"name": 1, "b": 1}, r"no \$name"),
])  # fmt: skip
def test_names_of_parameters_are_those_of_the_statement(
    memory: graphsvc.Memory, statement: str, params: Any, told: str
) -> None:
    with pytest.raises(BadInput, match=told) as error:
        memory.cypher(statement, params)
    assert error.value.where == "params"


@pytest.mark.parametrize(("statement", "given", "told"), [
    ("MATCH (e:Episode) WHERE e.id = $x RETURN e", 1, "Episode.id is STRING"),
    ("MATCH (e:Episode {id: $x}) RETURN e", 1, "Episode.id is STRING"),
    ("MATCH (e:Episode) WHERE $x < e.reward RETURN e", "high", "Episode.reward is DOUBLE"),
    ("MATCH (e:Episode) WHERE e.success = $x RETURN e", 1, "Episode.success is BOOL"),
    ("MATCH (e:Episode) WHERE e.at > $x RETURN e", "yesterday", "ISO 8601"),
    ("MATCH (e:Episode) WHERE e.id IN $x RETURN e", "e0", "a list is wanted"),
    ("MATCH (e:Episode) WHERE e.id IN $x RETURN e", ["e0", 1], "a list has one type|is INT64"),
    ("MATCH (e:Episode) WHERE e.id IN $x RETURN e", [1], "Episode.id is STRING"),
    ("MATCH (e:Episode) WHERE $x IN e.tags RETURN e", 1, "Episode.tags is STRING"),
    ("MATCH ()-[r:USED]->() WHERE r.uses = $x RETURN r", "1", "USED.uses is INT64"),
    ("MATCH (e:Episode) WHERE e.task CONTAINS $x RETURN e", 1, "a text is wanted"),
    ("MATCH (e:Episode) WHERE EXISTS { MATCH (e)-[:NEXT]->(f:Episode) WHERE f.id = $x } RETURN e", 1, "Episode.id is STRING"),
    ("UNWIND $x AS y RETURN y", 1, "a list is wanted"),
    ("MATCH (e:Episode) RETURN e LIMIT $x", "two", "a number of rows"),
    ("MATCH (e:Episode) RETURN e SKIP $x", -1, "a number of rows"),
])  # fmt: skip
def test_types_of_parameters_are_those_that_the_statement_wants(
    memory: graphsvc.Memory, statement: str, given: Any, told: str
) -> None:
    with pytest.raises(BadInput, match=f"(?i){told}") as error:
        memory.cypher(statement, {"x": given})
    assert error.value.where.startswith("$x")


@pytest.mark.parametrize(("condition", "given", "found"), [
    ("e.at > $x", "2025-03-03T10:30:00+00:00", 2), ("e.at >= $x", "2025-03-03T12:30:00+02:00", 3), ("e.at > $x", AT, 2),
    ("e.at > $x", "2025-03-04", 0), ("e.reward >= $x", 1, 1), ("e.id IN $x", ["e0", None], 1), ("e.id IN $x", [], 0),
    ("e.id = $x", None, 0), ("$x IN e.tags", "a", 2), ("e.tags = $x", ["a", "b"], 2), ("e.reward IN $x", [1, 0.5], 2),
])  # fmt: skip
def test_values_that_fit_find_what_they_say(memory: graphsvc.Memory, condition: str, given: Any, found: int) -> None:
    assert memory.cypher(f"MATCH (e:Episode) WHERE {condition} RETURN count(*) AS n", {"x": given}).value() == found


def test_a_variable_that_is_bound_anew_has_no_type_that_could_be_told(memory: graphsvc.Memory) -> None:
    rows = memory.cypher("MATCH (e:Episode) WITH {id: 1} AS e WHERE e.id = $x RETURN e.id AS id", {"x": 1}).rows
    assert rows == [(1,)] * 3


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("statement", "what", "where", "hint"), [
    ("MATCH (e:Episode)\nRETURN e.rewad", "no property 'rewad'", "statement, line 2, column 10", "reward"),
    ("MATCH (e:Episode) RETURN f.id", "'f' isn't bound", "statement, line 1, column 26", "WITH"),
    ("RETURN 'a' - 1 AS x", r"- doesn't take \(STRING,INT64\)", "statement", "It takes"),
    ("RETURN abs(1, 2) AS x", "abs doesn't take", "statement, line 1, column 8", "It takes"),
    ("RETURN 1 / 0 AS x", "Divide by zero", "statement", ""),
    ("RETURN $x * $x AS x", "INT8", "statement", "cast"),
    ("RETURN $l AS x", "no type", "statement", "cast"),
    ("RETURN date('soon') AS x", "date", "statement", ""),
])  # fmt: skip
def test_an_engines_error_is_told_in_words_with_its_place(
    memory: graphsvc.Memory, statement: str, what: str, where: str, hint: str
) -> None:
    params = {name: value for name, value in {"x": 100, "l": []}.items() if f"${name}" in statement}
    with pytest.raises(EngineError, match=what) as error:
        memory.cypher(statement, params)
    assert error.value.where == where
    assert hint in error.value.hint
    assert "exception" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_is_told_with_one_that_is_like_it(memory: graphsvc.Memory) -> None:
    with pytest.raises(BadInput, match=r"no table Episod\. Did you mean Episode") as error:
        memory.cypher("MATCH (e:Episod) RETURN e")
    assert error.value.where.startswith("statement, line 1, column ")


def test_a_statement_that_is_no_read_or_no_text_is_refused(memory: graphsvc.Memory) -> None:
    for statement in ("CREATE (:Session {key: 'x'})", "", "MATCH (e:Episode) DETACH DELETE e", "CALL timeout = 0"):
        with pytest.raises(BadInput):
            memory.cypher(statement)
    with pytest.raises(BadInput, match="expected a text"):
        memory.cypher(None)  # type: ignore[arg-type]
    for wrong in ({"limit": -1}, {"limit": 1.5}, {"timeout": 0}, {"timeout": "1"}):
        with pytest.raises(BadInput) as error:
            memory.cypher("RETURN 1 AS x", **wrong)  # type: ignore[arg-type]
        assert error.value.where in wrong


def test_a_time_limit_ends_a_statement_and_another_thread_can(memory: graphsvc.Memory) -> None:
    with pytest.raises(QueryTimeout):
        memory.cypher(SLOW, timeout=0.3)
    timer = threading.Timer(1.0, memory.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(EngineError, match="interrupted"):
        memory.cypher(SLOW, timeout=60)
    assert time.monotonic() - began < 30
    timer.join()


def test_a_bound_handle_can_not_run_cypher(memory: graphsvc.Memory) -> None:
    bound = memory.as_agent("builder")
    with pytest.raises(NeedsUnbound, match="builder"):
        bound.cypher("RETURN 1 AS x")
    with pytest.raises(NeedsUnbound):
        bound.schema()


def test_the_schema_tells_of_tables_columns_ends_and_counts(memory: graphsvc.Memory) -> None:
    schema = memory.schema()
    episode, next_ = schema["Episode"], schema["NEXT"]
    assert (episode.nodes, episode.key, episode.own, episode.count) == (True, "key", True, 3)
    assert episode.columns["reward"] == "DOUBLE"
    assert (next_.nodes, next_.ends, next_.count) == (False, (("Episode", "Episode"),), 2)
    assert "_Applied" not in schema
    assert schema.as_dict()["tables"][0]["kind"] == "node"
    assert {table.count for table in memory.schema(counts=False)} == {None}
    with pytest.raises(NotFound):
        schema["Ghost"]


def test_it_is_awaited_too(tmp_path: Path) -> None:
    async def ask() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            await memory.episodes.store(id="e", session="s", task="t")
            result = await memory.cypher("MATCH (e:Episode) RETURN e.id AS id")
            assert result.rows == [("e",)]
            assert (await memory.schema())["Episode"].count == 1

    asyncio.run(ask())


OUTLIVES = """
import sys, graphsvc
with graphsvc.open(sys.argv[1], engine=sys.argv[2], embedder="hashing") as memory:
    for number in range(3):
        memory.episodes.store(id=f"e{number}", session="s", task="t", at=f"2025-03-0{number + 1}T00:00:00Z", tags=["x"])
    result = memory.cypher("MATCH p = (e:Episode)-[r:NEXT]->(f) RETURN p, r, e, e.tags AS tags, sum(1) AS n ORDER BY e.id")
    rows = memory.cypher("UNWIND range(1, 5000) AS x RETURN x, cast(x AS STRING) AS t").arrow()
print(result.json(), result.arrow().to_pylist(), rows.slice(4990).to_pylist())
"""


def test_a_result_outlives_the_memory_and_is_equal_on_both_engines(tmp_path: Path) -> None:
    told = []
    for engine in ("kuzu", "ladybug"):
        done = subprocess.run(
            [sys.executable, "-c", OUTLIVES, str(tmp_path / engine), engine], capture_output=True, text=True, check=False,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert "default/e1" in told[0]


def test_a_read_that_nobody_awaits_any_more_is_stopped(tmp_path: Path) -> None:
    async def ask() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            await memory.episodes.store_many([
                {"id": f"e{n}", "session": "s", "task": "t", "reward": n / 100} for n in range(100)
            ])  # fmt: skip
            await memory.wait()
            for seconds in (0.0, 0.001, 0.02, 0.3):
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await memory.cypher(SLOW, timeout=60)
                assert time.monotonic() - began < 5
            assert not memory._memory._opened.store.graph.engine._readings
            assert (await memory.cypher("RETURN 1 AS x")).rows == [(1,)]

    asyncio.run(ask())


def test_a_write_that_nobody_awaits_any_more_is_done(tmp_path: Path) -> None:
    async def ask() -> None:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            await memory.graph.define("City", {"name": str}, key="name")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.0005):
                    await memory.cypher("UNWIND range(1, 20000) AS i CREATE (:City {name: cast(i AS STRING)})", write=True)
            await memory.wait()
            assert (await memory.cypher("MATCH (c:City) RETURN count(*)")).value() in (0, 20000)

    asyncio.run(ask())
