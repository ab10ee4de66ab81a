"""Subqueries that take something from outside: wrong on a raw engine where it is null, and right where they are let through."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graphsvc.config import Settings
from graphsvc.errors import NotAllowed
from graphsvc.store.engine import Engine, open_engine

SIZE = 5_000
"""More rows than an engine takes at a time, 2,048."""
NOTES = (None, "p0001", "zz")
EDGES = [*((i, 1) for i in range(0, SIZE, 2)), *((i, (i + 1) % SIZE) for i in range(0, SIZE, 3))]
OUT: dict[int, list[int]] = {i: [] for i in range(SIZE)}
for _start, _end in EDGES:
    OUT[_start].append(_end)
SETUP = (
    "CREATE NODE TABLE P (n STRING, note STRING, number INT64, PRIMARY KEY (n))",
    "CREATE REL TABLE R (FROM P TO P, w INT64)",
    f"UNWIND range(0, {SIZE - 1}) AS i CREATE (:P {{n: 'p' + lpad(cast(i AS STRING), 4, '0'), number: i, "
    "note: CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN 'p0001' ELSE 'zz' END})",
    "MATCH (a:P), (b:P {number: 1}) WHERE a.number % 2 = 0 CREATE (a)-[:R {w: a.number}]->(b)",
    f"MATCH (a:P) WHERE a.number % 3 = 0 MATCH (b:P) WHERE b.number = (a.number + 1) % {SIZE} CREATE (a)-[:R {{w: a.number}}]->(b)",
)


def noted(number: int) -> str | None:
    return NOTES[number % 3]


def leads(start: int, *, note: str | None) -> bool:
    """Whether an edge leads to the node that a note names."""
    return note == "p0001" and 1 in OUT[start]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> Iterator[Engine]:
    opened = open_engine(engine_name, tmp_path_factory.mktemp("subqueries") / "graph", Settings(graph_buffer_bytes=256 << 20))
    with opened.transaction() as transaction:
        for statement in SETUP:
            transaction.execute(statement)
    yield opened
    opened.close()


OPTIONAL = "MATCH (a:P) OPTIONAL MATCH (a)-[:R]->(b:P) "
RIGHT: list[tuple[str, int, int]] = [
    # statement, rows, and the sum of their last column
    ("MATCH (a:P) WHERE a.note IS NOT NULL AND NOT EXISTS { MATCH (a)-[:R]->(x:P) WHERE a.note = x.n } RETURN 1",
     *[sum(noted(i) is not None and not leads(i, note=noted(i)) for i in range(SIZE))] * 2),
    ("MATCH (a:P) WHERE NOT EXISTS { MATCH (x:P {n: a.note}) } AND NOT a.note IS NULL RETURN 1", *[sum(noted(i) == "zz" for i in range(SIZE))] * 2),
    ("MATCH (a:P) WITH a, a.note AS k WHERE k > 'a' RETURN a.n, EXISTS { MATCH (a)-[:R]->(x:P) WHERE x.n = k } AS e",
     sum(noted(i) is not None for i in range(SIZE)), sum(leads(i, note=noted(i)) for i in range(SIZE))),
    ("MATCH (a:P {note: 'p0001'}) RETURN a.n, EXISTS { MATCH (a)-[:R]->(x:P {n: a.note}) } AS e",
     sum(noted(i) == "p0001" for i in range(SIZE)), sum(leads(i, note=noted(i)) for i in range(SIZE))),
    ("MATCH (a:P)-[r:R]->(b:P) WHERE EXISTS { MATCH (a)-[s:R]->(:P) WHERE id(s) <> id(r) } RETURN 1",
     *[sum(len(OUT[i]) > 1 for i, _ in EDGES)] * 2),
    ("MATCH (a:P)-[r:R]->(b:P) WHERE r.w > -1 RETURN r.w, EXISTS { MATCH (b)-[s:R]->(:P) WHERE s.w > r.w } AS e",
     len(EDGES), sum(bool(OUT[j]) and j > i for i, j in EDGES)),
    ("MATCH (a:P) RETURN a.n, COUNT { MATCH (a)-[:R]->(x:P) WHERE x.note = 'p0001' } AS c", SIZE, sum(noted(j) == "p0001" for _, j in EDGES)),
    ("MATCH (a:P) WHERE COUNT { MATCH (a)-[:R]->(x:P) WHERE x.note = 'p0001' } = 2 RETURN 1",
     *[sum(sum(noted(j) == "p0001" for j in OUT[i]) == 2 for i in OUT)] * 2),
    ("MATCH (a:P)-[:R]->(b:P) RETURN a.n, COUNT { MATCH (b)-[:R]->(:P) } AS c", len(EDGES), sum(len(OUT[j]) for _, j in EDGES)),
    (f"{OPTIONAL}WITH a, b WHERE b IS NOT NULL AND NOT EXISTS {{ MATCH (b)-[:R]->(:P) }} RETURN 1", *[sum(not OUT[j] for _, j in EDGES)] * 2),
    (f"{OPTIONAL}WITH a, b WHERE b IS NOT NULL RETURN a.n, COUNT {{ MATCH (b)-[:R]->(:P) }} AS c", len(EDGES), sum(len(OUT[j]) for _, j in EDGES)),
    (f"{OPTIONAL}WHERE NOT (b)-[:R]->(:P) RETURN 1",
     *[sum(not OUT[j] for _, j in EDGES) + sum(all(OUT[j] for j in found) for found in OUT.values())] * 2),
    ("UNWIND range(0, 99) AS i RETURN i, EXISTS { MATCH (x:P) WHERE x.n = 'p00' + cast(i AS STRING) } AS e", 100, 90),
    ("MATCH (a:P) WHERE EXISTS { MATCH (a)-[:R]->(x:P) WHERE EXISTS { MATCH (x)-[:R]->(y:P) WHERE y.number > 1 } } RETURN 1",
     *[sum(any(k > 1 for j in OUT[i] for k in OUT[j]) for i in OUT)] * 2),
]  # fmt: skip
WRONG: list[tuple[str, int, tuple[str, ...] | None]] = [
    # statement, rows that there should be, and the engines that give others; None: both, but not each time
    ("MATCH (a:P) WHERE EXISTS { MATCH (x:P {number: 1}) WHERE a.note IS NULL } RETURN 1", sum(noted(i) is None for i in OUT), ("kuzu", "ladybug")),
    ("MATCH (a:P) WHERE NOT EXISTS { MATCH (x:P {n: a.note}) } RETURN 1", sum(noted(i) != "p0001" for i in OUT), ("kuzu",)),
    ("MATCH (a:P) WHERE NOT EXISTS { MATCH (a {note: 'zz'})-[:R]->(:P) } RETURN 1", sum(not (noted(i) == "zz" and OUT[i]) for i in OUT), ("kuzu", "ladybug")),
    (f"{OPTIONAL}WITH a, b WHERE NOT EXISTS {{ MATCH (b)<-[:R]-(:P) }} RETURN 1", sum(not found for found in OUT.values()), ("kuzu",)),
    (f"{OPTIONAL}WITH a, b WHERE NOT (b)-[:R]->(:P) RETURN 1", sum(not OUT[j] for _, j in EDGES) + sum(not found for found in OUT.values()), ("kuzu",)),
    ("MATCH (a:P) WHERE a.note IS NOT NULL AND COUNT { MATCH (a)-[:R]->(x:P) WHERE a.note = x.n } = 1 RETURN 1",
     sum(noted(i) is not None and leads(i, note=noted(i)) and OUT[i].count(1) == 1 for i in OUT), None),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "rows", "total"), RIGHT, ids=map(str, itertools.count()))
def test_subqueries_that_are_let_through_are_right(filled: Engine, statement: str, rows: int, total: int) -> None:
    found = list(filled.answer(statement, {}, timeout=60, limit=20_000).rows)
    assert (len(found), sum(int(row[-1]) for row in found)) == (rows, total)


@pytest.mark.parametrize(("statement", "rows", "wrong_on"), WRONG, ids=map(str, itertools.count()))
def test_others_are_wrong_on_a_raw_engine_and_refused(
    raw_graph: Callable[..., Any], filled: Engine, engine_name: str, statement: str, rows: int, wrong_on: tuple[str, ...] | None
) -> None:
    with pytest.raises(NotAllowed, match="outside") as refused:
        filled.answer(statement, {}, timeout=60, limit=20_000)
    assert refused.value.rule == "wrong"
    if wrong_on is None:
        return
    raw = raw_graph()
    for one in SETUP:
        raw.run(one)
    assert (len(raw.run(statement)) != rows) == (engine_name in wrong_on), "where an engine gets it right, let it through"
