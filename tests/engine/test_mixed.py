"""Tables that have a column of one name with different types: what an engine makes of it, and what we let it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsvc.config import Settings
from graphsvc.errors import NotAllowed
from graphsvc.store.engine import Engine, open_engine

SETUP = (
    "CREATE NODE TABLE Part (k INT64, cost DOUBLE, PRIMARY KEY (k))",
    "CREATE NODE TABLE Whole (k INT64, cost STRING, PRIMARY KEY (k))",
    "CREATE REL TABLE MADE_OF (FROM Whole TO Part, n INT64)",
    "CREATE REL TABLE FITS (FROM Part TO Part, n STRING)",
    "UNWIND range(1, 60) AS i CREATE (:Whole {k: i, cost: repeat(cast(i AS STRING), 12)})-[:MADE_OF {n: i}]->"
    "(:Part {k: i, cost: i / 7.0})-[:FITS {n: repeat(cast(i AS STRING), 12)}]->(:Part {k: -i, cost: i / 3.0})",
)
RAW = f"""
module = importlib.import_module(ENGINE)
connection = module.Connection(module.Database(sys.argv[1], buffer_pool_size=128 << 20, max_db_size=8 << 30))
for statement in {SETUP!r}: connection.execute(statement).close()
connection.execute(sys.argv[2]).get_all()
"""
PATH = "MATCH p = (a:Part)<-[:MADE_OF]-(b:Whole) "
USES = (
    "RETURN p", "RETURN count(p)", "RETURN count(DISTINCT p)", "RETURN p IS NULL", "WITH p AS q RETURN count(*)",
    "WITH p AS q RETURN length(q)", "WITH p AS p, a AS a RETURN a.k", "WITH * RETURN a.k", "RETURN *", "RETURN [p]",
    "RETURN nodes(p)", "RETURN size(rels(p))", "UNWIND nodes(p) AS n RETURN n.k", "RETURN is_trail(p)", "RETURN {x: p}",
    "RETURN all(n IN nodes(p) WHERE n.k > 0)", "WHERE p IS NOT NULL RETURN a.k", "RETURN a.k ORDER BY p IS NULL",
    "WHERE EXISTS { MATCH (c:Part) WHERE c.k = length(p) } RETURN a.k", "RETURN list_transform([1], x -> x + length(p))",
    "WITH DISTINCT p AS q RETURN 1", "UNWIND [1] AS x RETURN properties(nodes(p), 'k')",
)  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> Iterator[Engine]:
    opened = open_engine(engine_name, tmp_path_factory.mktemp("mixed") / "graph", Settings(graph_buffer_bytes=64 << 20))
    with opened.transaction() as transaction:
        for statement in SETUP:
            transaction.execute(statement)
    yield opened
    opened.close()


@pytest.mark.parametrize("use", ["RETURN count(p)", "WITH p AS q RETURN length(q)"])
def test_a_path_of_tables_that_disagree_ends_a_raw_engine(
    use: str, tmp_path: Path, script: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # what lies behind a number isn't zero by chance
    assert script(RAW, str(tmp_path / "raw"), PATH + use).returncode < 0
    assert script(RAW, str(tmp_path / "other"), PATH + "RETURN length(p)").returncode == 0


def test_such_a_path_is_refused_however_it_is_used(mixed: Engine) -> None:
    let_through = []
    for pattern in (
        PATH,
        "MATCH p = (a)-[]->(b) ",
        "MATCH p = (a:Part)--(b:Whole) ",
        "OPTIONAL MATCH p = (a:Whole)-[*1..2]->(b:Part) ",
        "MATCH p = (a:Part)<-[:MADE_OF]-(:Whole)-[:MADE_OF]->(b:Part) ",
    ):
        for use in USES:
            try:
                mixed.execute(pattern + use, users=True, limit=1)
                let_through.append(pattern + use)
            except NotAllowed as refused:
                assert refused.rule in ("crash", "wrong"), pattern + use
    assert not let_through


def test_its_length_and_its_parts_are_given(mixed: Engine) -> None:
    for tail, expected in (
        ("WHERE length(p) = 1 RETURN count(*), min(length(p))", [[60, 1]]),
        ("RETURN b.cost, a.cost ORDER BY length(p), a.k LIMIT 1", [["1" * 12, 1 / 7]]),
        ("WITH length(p) AS l, a AS a RETURN l, a.k ORDER BY a.k LIMIT 1", [[1, 1]]),
    ):
        assert mixed.execute(PATH + tail, users=True).rows == expected
    counted = "MATCH (a:Whole) WHERE EXISTS { MATCH p = (a)-[:MADE_OF]->(b:Part) WHERE length(p) = 1 } RETURN count(*)"
    assert mixed.execute(counted, users=True).rows == [[60]]


@pytest.mark.parametrize(("statement", "expected"), [
    ("MATCH (:Whole {k: 2})-[:MADE_OF]->(b) RETURN b.cost", 2 / 7),
    ("MATCH (b)<--(:Whole {k: 2}) RETURN b.cost", 2 / 7),
    ("MATCH (:Whole {k: 2})-[r]->(b) RETURN r.n", 2),
    ("MATCH (:Whole {k: 2})-->(b)-->(c) RETURN c.cost", 2 / 3),
    ("OPTIONAL MATCH (a:Whole {k: 2})-[r]-(b) RETURN r.n + b.cost", 2 + 2 / 7),
    ("MATCH (a:Whole {k: 2}) WHERE EXISTS { MATCH (a)-->(b) WHERE b.cost < 1 } RETURN 1", 1),
    ("MATCH p = (:Part {k: 2})-[:FITS]->(b) RETURN list_transform(nodes(p), n -> n.cost)[2]", 2 / 3),
    ("MATCH p = (:Part {k: 2})-[:FITS*1..3]->(b) RETURN list_transform(nodes(p), n -> n.cost)[2]", 2 / 3),
])  # fmt: skip
def test_what_a_part_may_be_gives_its_columns_their_own_types(
    statement: str, expected: object, mixed: Engine
) -> None:
    assert mixed.execute(statement, users=True).rows == [[expected]]


@pytest.mark.parametrize("statement", [
    "MATCH (a:Part)-[r*1..2]->(b) RETURN r",
    "MATCH (a:Whole)-[r*1..2]->(b) RETURN size(rels(r))",
    "MATCH (n) OPTIONAL MATCH (n)-[:FITS]->() RETURN n",
    "MATCH (n) WHERE EXISTS { MATCH (n)-[:FITS]->() } RETURN n",
    "MATCH (n)--() RETURN n",
])  # fmt: skip
def test_what_may_be_of_tables_that_disagree_isnt_given_whole(statement: str, mixed: Engine) -> None:
    with pytest.raises(NotAllowed, match="with different types") as refused:
        mixed.execute(statement, users=True)
    assert refused.value.rule == "wrong"


def test_a_name_bound_in_a_subquery_is_another_one_outside(mixed: Engine) -> None:
    statement = "MATCH (x:Whole {k: 2}) WHERE EXISTS { MATCH (x)-->(y) } MATCH (y)-[:FITS]->(z) RETURN count(y), min(y.cost)"
    assert mixed.execute(statement, users=True).rows == [[60, 1 / 7]]


@pytest.mark.parametrize("again", ["MATCH (n) MATCH (n:Part)", "MATCH (n:Part) MATCH (N:Whole)", "MATCH (n:Part), (n:Part:Whole)"])
def test_a_node_named_again_with_other_tables_is_refused(again: str, mixed: Engine, raw_graph: Callable[..., Any]) -> None:
    with pytest.raises(NotAllowed, match="named again"):
        mixed.execute(f"{again} RETURN count(n)", users=True)
    assert mixed.execute("MATCH (n:Whole)-->(m) MATCH (m:Part) RETURN count(m)", users=True).rows == [[60]]
    if again.startswith("MATCH (n:Part) M"):
        raw = raw_graph()
        raw.run("CREATE NODE TABLE Town (name STRING, PRIMARY KEY (name))")
        raw.run("CREATE (:Town {name: 'x'})")
        assert raw.run("MATCH (n:Person) MATCH (n:Town) RETURN count(n)") == [[1]]
