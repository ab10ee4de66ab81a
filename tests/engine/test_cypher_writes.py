"""`memory.cypher(write=True)`, and what patterns without a table see: the same on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.cypher.growth import check_growth, fixed
from graphsvc.cypher.parse import parse
from graphsvc.cypher.syntax import Query
from graphsvc.cypher.visible import visible
from graphsvc.errors import (
    BadInput,
    BadStatement,
    Conflict,
    EngineError,
    NeedsUnbound,
    NotAllowed,
    NotDeterministic,
    OwnedTable,
    Pending,
    QueryTimeout,
    TooLarge,
)
from graphsvc.model.graph import NODE_TABLES, REL_TABLES

COUNT = "MATCH (p:Person) RETURN count(*) AS n"


@pytest.fixture
def memory(tmp_path: Path, engine_name: str) -> Iterator[graphsvc.Memory]:
    with graphsvc.open(tmp_path / "memory", engine=engine_name, embedder="hashing") as opened:
        opened.cypher("CREATE NODE TABLE Person (name STRING, age INT64, seen TIMESTAMP, PRIMARY KEY (name))", write=True)
        opened.cypher("CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64)", write=True)
        opened.cypher(
            "UNWIND $rows AS r CREATE (:Person {name: r.name, age: r.age})",
            {"rows": [{"name": "Ada", "age": 36}, {"name": "Mary", "age": 40}, {"name": "Eve", "age": 1}]}, write=True,
        )  # fmt: skip
        yield opened


# --- writes -------------------------------------------------------------------------------------------


def test_a_write_gives_what_a_read_gives(memory: graphsvc.Memory) -> None:
    made = memory.cypher(
        "MATCH (a:Person {name: $a}), (b:Person {name: 'Mary'}) CREATE (a)-[k:KNOWS {since: 1833}]->(b) RETURN k, a, b.age AS age",
        {"$a": "Ada"}, write=True,
    )  # fmt: skip
    read = memory.cypher("MATCH (a:Person)-[k:KNOWS]->(b) RETURN k, a, b.age AS age")
    assert made.columns == read.columns == ["k", "a", "age"]
    assert made.rows == read.rows
    assert made.types == read.types
    assert (made[0]["k"].source, made[0]["k"].target.key, made[0]["age"]) == (("Person", "Ada"), "Mary", 40)
    assert (made.more, made.behind, made.took > 0) == (False, False, True)
    assert made.arrow().num_rows == 1
    assert memory.graph.outcome(memory.status()["head"]).ok


def test_a_write_without_return_gives_nothing_and_ddl_neither(memory: graphsvc.Memory) -> None:
    for statement in ("MATCH (p:Person {name: 'Eve'}) SET p.age = 2", "ALTER TABLE Person ADD note STRING"):
        result = memory.cypher(statement, write=True)
        assert (result.columns, result.rows, list(result), result.value()) == ([], [], [], None)
    assert memory.cypher("MATCH (p:Person {name: 'Eve'}) RETURN p.age AS age, p.note AS note").rows == [(2, None)]


def test_what_a_statement_deletes_it_may_give_back(memory: graphsvc.Memory) -> None:
    memory.cypher("MATCH (a:Person {name: 'Ada'}), (b:Person {name: 'Eve'}) CREATE (a)-[:KNOWS]->(b)", write=True)
    gone = memory.cypher("MATCH (a:Person {name: 'Ada'})-[k:KNOWS]->(b:Person) DETACH DELETE b RETURN k, b.name AS name", write=True)
    assert gone[0]["k"].source == ("Person", "Ada")
    assert gone[0]["name"] == "Eve"
    assert memory.cypher(COUNT).value() == 2


def test_rows_of_a_write_are_cut_by_the_limit_and_all_are_written(memory: graphsvc.Memory) -> None:
    for limit, found in ((0, 0), (2, 2), (3, 3), (None, 3)):
        result = memory.cypher("MATCH (p:Person) SET p.age = p.age + 1 RETURN p.name AS name", limit=limit, write=True)
        assert (len(result), result.more, result.columns) == (found, found < 3, ["name"])
    assert memory.cypher("MATCH (p:Person {name: 'Ada'}) RETURN p.age AS age").value() == 40


def test_a_write_says_so_and_a_read_does_not(memory: graphsvc.Memory) -> None:
    for statement in ("CREATE (:Person {name: 'x'})", "MATCH (p:Person) DETACH DELETE p", "DROP TABLE KNOWS"):
        with pytest.raises(NotAllowed, match="write=True") as error:
            memory.cypher(statement)
        assert error.value.rule == "write"
    for statement in ("MATCH (p:Person) RETURN p", "EXPLAIN CREATE (:Person {name: 'x'})"):
        with pytest.raises(NotAllowed, match="Leave write=True out") as error:
            memory.cypher(statement, write=True)
        assert error.value.rule == "no_write"


@pytest.mark.parametrize(("statement", "kind", "what", "where"), [
    ("MATCH (e:Episode)\nSET e.reward = 1.0", OwnedTable, "Episode is a table of the memory's own", "line 2, column 5"),
    ("MATCH (p:Person) SET p.age = cast(id(p) AS INT64)", NotAllowed, ".", "line 1, column"),
    ("MATCH (p:Person) WITH p LIMIT 1 SET p.age = 1", NotDeterministic, "LIMIT", "line 1, column"),
    ("MATCH (p:Person) SET p.agee = 1", BadStatement, "no property 'agee'", "line 1, column 24"),
    ("MATCH (p:Person) SET p.age = 1 RETURN q", BadStatement, "'q' isn't bound", "line 1, column 39"),
    ("CREATE (:Person {name: 'Ada'})", Conflict, "the key Ada already.*MERGE", "statement"),
    ("MATCH (p:Person) SET p.age = p.age / 0", EngineError, "[Dd]ivide by zero", "statement"),
    ("CREATE (:_Applied {_row: 1})", NotAllowed, "begins with _", "line 1, column"),
    ("CREATE (:Person {name: $x})", BadInput, "no value for", "params"),
])  # fmt: skip
def test_errors_of_a_write_are_those_of_a_read_with_their_place(
    memory: graphsvc.Memory, statement: str, kind: type[Exception], what: str, where: str
) -> None:
    before = memory.cypher("MATCH (p:Person) RETURN p.name AS name, p.age AS age ORDER BY name").rows
    with pytest.raises(kind, match=what) as error:
        memory.cypher(statement, write=True)
    assert where in error.value.where  # type: ignore[attr-defined]
    assert "exception" not in str(error.value)
    assert memory.cypher("MATCH (p:Person) RETURN p.name AS name, p.age AS age ORDER BY name").rows == before


def test_time_and_waiting_are_bounded(memory: graphsvc.Memory) -> None:
    many = "UNWIND range(1, 3000) AS a UNWIND range(1, 3000) AS b WITH DISTINCT a * b AS c MERGE (:Person {name: cast(c AS STRING)})"
    with pytest.raises(QueryTimeout):
        memory.cypher(many, timeout=0.3, write=True)
    with pytest.raises(Pending) as error:
        memory.cypher("UNWIND range(1, 20000) AS i CREATE (:Person {name: cast(i AS STRING)})", wait=0.001, write=True)
    memory.wait()
    assert memory.graph.outcome(error.value.change).ok
    assert memory.cypher(COUNT).value() == 20_003
    for wrong in ({"wait": 0}, {"wait": "1"}, {"timeout": -1}, {"limit": -1}):
        with pytest.raises(BadInput) as refused:
            memory.cypher("MATCH (p:Person) SET p.age = 1", write=True, **wrong)  # type: ignore[arg-type]
        assert refused.value.where in wrong


def test_a_bound_handle_can_not_write(memory: graphsvc.Memory) -> None:
    with pytest.raises(NeedsUnbound, match="builder"):
        memory.as_agent("builder").cypher("CREATE (:Person {name: 'x'})", write=True)
    assert memory.cypher(COUNT).value() == 3


def test_it_is_awaited_too(tmp_path: Path, engine_name: str) -> None:
    async def story() -> list[Any]:
        async with graphsvc.aopen(tmp_path / "other", engine=engine_name, embedder="hashing") as memory:
            await memory.cypher("CREATE NODE TABLE P (id INT64, PRIMARY KEY (id))", write=True)
            await asyncio.gather(*(memory.cypher("CREATE (:P {id: $i})", {"i": i}, write=True) for i in range(5)))
            with pytest.raises((Conflict, EngineError)):
                await memory.cypher("CREATE (:P {id: 3})", write=True)
            return (await memory.cypher("MATCH (p:P) RETURN p.id AS id ORDER BY id")).rows

    assert asyncio.run(story()) == [(i,) for i in range(5)]


def test_what_is_searched_goes_along_with_a_table_or_column_that_is_renamed_and_away_with_one_that_is_dropped(
    memory: graphsvc.Memory,
) -> None:
    def found(text: str) -> list[tuple[str, str]]:
        memory.wait()
        items = memory.recall(text, 20, kinds="row")
        return sorted((item.record.table, item.record.node) for item in items if text in str(item.record))

    for name in ("A", "B"):
        memory.graph.define(name, {"id": str, "about": str, "more": str}, key="id", searchable=["about", "more"])
        memory.graph.add(name, {"id": f"{name}1", "about": "swordfish", "more": "tuna"})
    for statement in ("ALTER TABLE A RENAME TO AA", "ALTER TABLE AA RENAME about TO told", "ALTER TABLE AA DROP more",
                      "ALTER TABLE B DROP about", "ALTER TABLE B ADD size INT64"):  # fmt: skip
        memory.cypher(statement, write=True)
    assert {name: memory.graph.schema()[name].searchable for name in ("AA", "B")} == {"AA": ("told",), "B": ("more",)}
    memory.cypher("CREATE (:AA {id: 'A2', told: 'swordfish'})", write=True)
    memory._opened.store.rebuild("graph")
    assert found("swordfish") == [("AA", "A1"), ("AA", "A2")]
    assert found("tuna") == [("B", "B1")]
    assert memory.verify().problems == []


# --- patterns without a table ---------------------------------------------------------------------------


@pytest.mark.parametrize(("statement", "rows"), [
    ("MATCH (n) RETURN count(n) AS n", [(7,)]),
    ("MATCH (n) RETURN count(*) AS n", [(7,)]),
    ("MATCH (n), (m:Session) RETURN count(*) AS n", [(7,)]),
    ("MATCH ( /* any */ ) RETURN count(*) AS n", [(7,)]),
    ("MATCH (`n` ) RETURN count(*) AS n", [(7,)]),
    ("MATCH (n) WHERE label(n) STARTS WITH '_' RETURN count(*) AS n", [(0,)]),
    ("MATCH (n) WITH n MATCH (n) RETURN count(*) AS n", [(7,)]),
    ("MATCH (p:Person) MATCH (p) RETURN count(*) AS n", [(3,)]),
    ("MATCH (p:Person) MATCH (P) RETURN count(*) AS n", [(3,)]),
    ("MATCH (p:Person) WITH p.name AS x MATCH (p) RETURN count(*) AS n", [(21,)]),
    ("MATCH (p:Person {name: 'Ada'}) OPTIONAL MATCH (n) RETURN count(n) AS n", [(7,)]),
    ("MATCH (p:Person {name: 'Ada'}) RETURN COUNT { MATCH (n) } AS n", [(7,)]),
    ("MATCH (p:Person {name: 'Ada'}) RETURN COUNT { MATCH (p) } AS n", [(1,)]),
    ("MATCH (p:Person) WHERE EXISTS { MATCH (n) WHERE label(n) = '_Applied' } RETURN count(*) AS n", [(0,)]),
    ("MATCH (n) RETURN count(*) AS n UNION ALL MATCH (m) RETURN count(*) AS n", [(7,), (7,)]),
    ("MATCH (n) RETURN label(n) AS l, count(*) AS n ORDER BY l", [("Agent", 1), ("Episode", 1), ("Person", 3), ("Session", 1), ("Task", 1)]),
    ("MATCH (n)-[*0..1]->(m) WHERE label(n) STARTS WITH '_' OR label(m) STARTS WITH '_' RETURN count(*) AS n", [(0,)]),
    ("MATCH (n)-[]->(m) RETURN DISTINCT label(n) AS l ORDER BY l", [("Episode",)]),
    ("MATCH p = (n)-[*0..1]->(m:Person) RETURN count(p) AS n", [(3,)]),
])  # fmt: skip
def test_a_pattern_without_a_table_sees_no_hidden_one(
    memory: graphsvc.Memory, statement: str, rows: list[tuple[Any, ...]]
) -> None:
    memory.episodes.store(id="e", session="s", task="t")
    assert sum(table.count or 0 for table in memory.schema() if table.nodes) == 7
    assert memory.cypher(statement).rows == rows


def test_no_edge_leads_to_a_hidden_table() -> None:
    ends = {end for rel in REL_TABLES.values() for pair in rel.pairs for end in pair}
    assert ends <= set(NODE_TABLES)
    assert not [name for name in (*NODE_TABLES, *REL_TABLES) if name.startswith("_")]


def test_an_error_names_the_place_that_the_user_wrote(memory: graphsvc.Memory) -> None:
    with pytest.raises(BadStatement) as error:
        memory.cypher("MATCH (n), (m) RETURN n.nonsense")
    assert error.value.where == "statement, line 1, column 25"


def test_too_many_tables_for_too_many_nodes_are_refused() -> None:
    statement = "MATCH " + ", ".join(f"(n{i})" for i in range(600)) + " RETURN 1"
    query = parse(statement)
    assert isinstance(query, Query)
    with pytest.raises(TooLarge, match="name no table"):
        names = ["_Hidden", *(f"Table{i:04}" for i in range(200))]
        visible(statement, query, {name: {} for name in names}, names, {})


# --- judged once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("statement", "expected"), [
    ("MATCH (p:Person {name: $x}) RETURN p", True),
    ("MATCH (p:Person)-[k:KNOWS {since: $x}]->() WHERE p.age > $x AND p.name STARTS WITH $x RETURN p", True),
    ("MATCH (p:Person) RETURN EXISTS { MATCH (p)-[:KNOWS {since: $x}]->() } AS e", True),
    ("RETURN range(1, $x) AS l", False),
    ("MATCH (p:Person) RETURN p LIMIT $x", False),
    ("MATCH (p:Person) WHERE p.name = $x + $x RETURN p", False),
    ("MATCH (p:Person) WHERE p.name IN $x RETURN p", False),
    ("MATCH (p:Person) WHERE p.name =~ $x RETURN p", False),
    ("MATCH (p:Person {name: $x}) RETURN repeat('a', $x)", False),
    ("UNWIND $x AS y RETURN y", False),
])  # fmt: skip
def test_only_what_no_parameter_can_change_is_judged_once(statement: str, expected: bool) -> None:
    query = parse(statement)
    assert isinstance(query, Query)
    assert fixed(query) is expected
    if expected:
        for value in (None, 10**12, -1.5, "x" * 2_000, ["a"] * 2_000, {"a": None}):
            check_growth(statement, query, {"x": value})


def test_a_statement_that_was_let_through_is_judged_by_its_parameters_each_time(memory: graphsvc.Memory) -> None:
    statement = "RETURN size(range(1, cast($n AS INT64))) AS n"
    for _ in range(2):
        assert memory.cypher(statement, {"n": 10}).value() == 10
        with pytest.raises(NotAllowed) as error:
            memory.cypher(statement, {"n": 30_000_000})
        assert error.value.rule == "growth"


def test_what_is_known_of_a_statement_goes_with_the_tables(memory: graphsvc.Memory) -> None:
    assert memory.cypher("MATCH (n) RETURN count(*) AS n").value() == 3
    memory.cypher("CREATE NODE TABLE City (name STRING, PRIMARY KEY (name))", write=True)
    memory.cypher("CREATE (:City {name: 'X'})", write=True)
    assert memory.cypher("MATCH (n) RETURN count(*) AS n").value() == 4
    memory.cypher("DROP TABLE City", write=True)
    assert memory.cypher("MATCH (n) RETURN count(*) AS n").value() == 3
    with pytest.raises(BadInput, match="no table City"):
        memory.cypher("MATCH (c:City) RETURN c")
