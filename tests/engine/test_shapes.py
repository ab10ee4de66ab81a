"""What an engine crashes on, or answers wrongly in silence, shown on the raw engine and refused by us."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphsvc.cypher.reads import check_read
from graphsvc.errors import NotAllowed

FILTERS = [
    "WITH 1 AS x WHERE x = 1 RETURN x",
    "WITH null AS x WHERE x RETURN x",
    "WITH DISTINCT 1 AS x WHERE x IS NULL RETURN x",
    "WITH 1 AS x WITH x AS y WHERE y > 0 MATCH (p:Person) RETURN p.name",
    "RETURN 1 AS x UNION ALL WITH 1 AS x WHERE x = 1 RETURN x",
]
RAW = """
module = importlib.import_module(ENGINE)
connection = module.Connection(module.Database(sys.argv[1], buffer_pool_size=128 << 20, max_db_size=8 << 30))
connection.execute("CREATE NODE TABLE Person (name STRING, active BOOL, PRIMARY KEY (name))")
connection.execute(sys.argv[2]).get_all()
"""


@pytest.mark.parametrize("statement", FILTERS)
def test_a_filter_before_any_rows_ends_kuzu_and_is_refused(
    statement: str, tmp_path: Path, engine_name: str, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with pytest.raises(NotAllowed, match="before any rows") as refused:
        check_read(statement)
    assert refused.value.rule == "crash"
    if statement == FILTERS[0]:  # one process is enough to show it
        assert (script(RAW, str(tmp_path / "raw"), statement).returncode == 0) == (engine_name == "ladybug")


@pytest.mark.parametrize("statement", [
    "UNWIND [1] AS one WITH 1 AS x WHERE x = 1 RETURN x",
    "MATCH (p:Person) WITH p.name AS name WHERE name = 'Ann' RETURN name",
    "MATCH (p:Person) WITH count(*) AS n WHERE n > 3 RETURN n",
    "WITH 1 AS x MATCH (p:Person) WHERE p.age = x RETURN p.name",
    "CALL show_tables() RETURN *",
])  # fmt: skip
def test_other_filters_are_let_through(statement: str) -> None:
    check_read(statement)


def people(raw_graph: Callable[..., Any]) -> Any:
    raw = raw_graph()
    raw.run("CREATE NODE TABLE Agent (name STRING, age INT64, active BOOL, PRIMARY KEY (name))")
    for name, age, active in (("Ann", 30, True), ("Bob", 25, False), ("Dee", 30, True), ("Eve", 41, False)):
        raw.run("CREATE (:Agent {name: $n, age: $a, active: $t})", {"n": name, "a": age, "t": active})
    return raw


def test_a_mere_column_as_condition_of_case_mixes_up_rows_on_kuzu_and_is_refused(
    raw_graph: Callable[..., Any], engine_name: str
) -> None:
    raw = people(raw_graph)
    wrong = "MATCH (p:Agent) RETURN p.name, CASE WHEN p.active THEN 1 ELSE 0 END"
    right = "MATCH (p:Agent) RETURN p.name, CASE WHEN p.active = true THEN 1 ELSE 0 END"
    expected = [["Ann", 1], ["Bob", 0], ["Dee", 1], ["Eve", 0]]
    assert sorted(raw.run(right)) == expected
    assert (sorted(raw.run(wrong)) == expected) == (engine_name == "ladybug")
    check_read(right)
    check_read("MATCH (p:Agent) RETURN CASE p.active WHEN true THEN 1 ELSE p.age END")
    for statement in (wrong, "MATCH (p:Agent) RETURN CASE WHEN p.age > 1 THEN 1 WHEN p.active THEN 2 END"):
        with pytest.raises(NotAllowed, match="mixes up") as refused:
            check_read(statement)
        assert refused.value.rule == "wrong"


def test_aggregating_the_first_of_an_order_takes_any_on_ladybug_and_is_refused(
    raw_graph: Callable[..., Any], engine_name: str
) -> None:
    raw = people(raw_graph)
    wrong = "MATCH (p:Agent) WITH p.age AS age ORDER BY age DESC LIMIT 2 RETURN min(age), max(age)"
    right = "MATCH (p:Agent) WITH p.age AS age ORDER BY age DESC LIMIT 2 UNWIND [1] AS one RETURN min(age), max(age)"
    assert raw.run(right) == [[30, 41]]
    assert (raw.run(wrong) == [[30, 41]]) == (engine_name == "kuzu")
    check_read(right)
    check_read("MATCH (p:Agent) WITH p.age AS age ORDER BY age LIMIT 2 RETURN age, count(*)")
    with pytest.raises(NotAllowed, match="takes any"):
        check_read(wrong)


NULL_NODES = """
from pathlib import Path
from graphsvc.config import Settings
from graphsvc.store.engine import open_engine
engine = open_engine(ENGINE, Path(sys.argv[1]), Settings(graph_buffer_bytes=128 << 20))
with engine.transaction() as transaction:
    transaction.execute("CREATE NODE TABLE P (name STRING, age INT64, born DATE, nicks STRING[], PRIMARY KEY (name))")
    transaction.execute("CREATE REL TABLE R (FROM P TO P, days DATE[])")
    transaction.execute("CREATE (:P {name: 'a', born: date('2020-01-01'), nicks: ['x', 'y']}), (:P {name: 'b', age: 41})")
for _ in range(20):
    answer = engine.answer("MATCH (p:P) WITH p WHERE p.age > 30 OPTIONAL MATCH (p)-[r:R]->(q) RETURN p, r, q", limit=10)
    assert answer.rows[0][1:] == (None, None)
engine.close()
"""


def test_nodes_and_edges_that_are_null_end_no_process(
    tmp_path: Path, script: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # memory that nobody has written isn't zero by chance
    done = script(NULL_NODES, str(tmp_path / "graph"))
    assert done.returncode == 0, done.stderr
