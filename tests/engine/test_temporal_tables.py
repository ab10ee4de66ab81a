"""Tables of edges that keep their past, on an engine: against a plain model, replayed, copied, and left alone."""

from __future__ import annotations

import random
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import graphsvc
from graphsvc.errors import BadInput, NotAllowed, NotTemporal, Unsupported
from graphsvc.memory.importing import import_memory
from graphsvc.memory.statements import run

NODES = "abcd"


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


class Version(NamedTuple):
    source: str
    target: str
    w: float | None
    start: int | None
    end: int | None


def now() -> datetime:
    """A moment between what was written before and what is written after."""
    time.sleep(0.002)
    moment = datetime.now(UTC)
    time.sleep(0.002)
    return moment


def people(memory: graphsvc.Memory) -> None:
    memory.graph.define("P", {"n": str}, key="n")
    memory.graph.define("KNOWS", {"w": float}, source="P", target="P", temporal=True)
    memory.graph.add("P", [{"n": name} for name in NODES])


def held(memory: graphsvc.Memory, as_of: Any = None) -> list[tuple[str, str, float | None]]:
    part = memory.graph.subgraph([("P", name) for name in NODES], depth=0, rel="KNOWS", as_of=as_of)
    assert {edge.label for edge in part.edges} <= {"KNOWS"}
    return sorted(((edge.source.key, edge.target.key, edge.properties["w"]) for edge in part.edges), key=repr)


def model(versions: list[Version], valid: int | None) -> list[tuple[str, str, float | None]]:
    return sorted(
        (
            (one.source, one.target, one.w) for one in versions
            if valid is None or ((one.start is None or one.start <= valid) and (one.end is None or valid < one.end))
        ),
        key=repr,
    )  # fmt: skip


def change(memory: graphsvc.Memory, chance: random.Random, present: list[Version]) -> list[Version]:
    """One random write of some rows, done to the table and to the model."""
    pairs = sorted({(one.source, one.target) for one in present})
    op = chance.choice(["add", "add", "upsert", "update", "delete"]) if pairs else "add"
    start, end = sorted(chance.sample(range(2000, 2010), 2))
    w = float(chance.randrange(9))
    given = {"w": w, "valid_from": year(start), "valid_to": year(end) if chance.random() < 0.5 else None}
    until = None if given["valid_to"] is None else end
    if op == "add":
        source, target = chance.choice(NODES), chance.choice(NODES)
        memory.graph.add("KNOWS", {"source": source, "target": target, **given})
        return [*present, Version(source, target, w, start, until)]
    if op == "delete":
        gone = chance.choice(pairs)
        memory.graph.delete("KNOWS", gone)
        return [one for one in present if one[:2] != gone]
    if op == "update":
        chosen = chance.choice(pairs)
        memory.graph.update("KNOWS", {"source": chosen[0], "target": chosen[1], **given})
        return [Version(*chosen, w, start, until) if one[:2] == chosen else one for one in present]
    both = {chance.choice(pairs), (chance.choice(NODES), chance.choice(NODES))}
    memory.graph.upsert("KNOWS", [{"source": source, "target": target, "w": w} for source, target in sorted(both)])
    new = [Version(*pair, w, None, None) for pair in sorted(both - set(pairs))]
    return [one._replace(w=w) if one[:2] in both else one for one in present] + new


def test_what_was_known_at_any_time_of_any_time_is_what_a_plain_model_says(path: Path, engine_name: str) -> None:
    chance = random.Random(5)
    present: list[Version] = []
    known: list[tuple[datetime, list[Version]]] = []
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        people(memory)
        before = now()
        for _ in range(12):
            present = change(memory, chance, present)
            known.append((now(), present))
        answers = {}
        for valid in (None, 2003, 2007):
            when = None if valid is None else year(valid)
            assert held(memory, (when, before)) == []
            for moment, versions in known:
                answers[when, moment] = held(memory, (when, moment))
                assert answers[when, moment] == model(versions, valid)
            if when is not None:
                assert held(memory, when) == model(present, valid)
        assert held(memory) == model(present, None), "without as_of the present"
        assert memory.cypher("MATCH (:P)-[r:KNOWS]->(:P) RETURN count(r)").rows == [(len(present),)]
        assert len(memory.cypher("MATCH (:P)-[r]->(:P) RETURN r").rows) == len(present), "the past is hidden"
        report = memory.verify()  # replays the statements, and compares
        assert (report.problems, report.checked["tables"] > 2 * len(present)) == ([], True)
        memory.snapshot(path.parent / "snapshot")
        memory.trim(before=memory.status()["head"] + 1)  # other statements make the tables from now on
    (graph,) = (one for one in path.iterdir() if one.name in ("graph.kuzu", "graph.ladybug"))
    if graph.is_dir():
        shutil.rmtree(graph)
    else:
        graph.unlink()
    graphsvc.restore(path.parent / "snapshot", path.parent / "restored")
    for place in (path, path.parent / "restored"):
        with graphsvc.open(place, embedder="hashing", engine=engine_name) as memory:
            for (when, moment), answer in list(answers.items())[::6]:
                assert held(memory, (when, moment)) == answer
            assert memory.cypher("MATCH (:P)-[r:KNOWS]->(:P) RETURN count(r)").rows == [(len(present),)]
            if place == path:
                assert memory.verify().digest == report.digest


def test_many_rows_at_once_keep_their_past_too(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        memory.graph.define("N", {"id": int}, key="id")
        memory.graph.define("TO", {"w": int, "data": bytes}, source="N", target="N", temporal=True)
        memory.graph.add("N", [{"id": number} for number in range(150)])
        memory.graph.add("TO", [{"source": n, "target": n + 1, "w": 1, "data": b"x"} for n in range(149)])
        first = now()
        memory.graph.update("TO", [{"source": n, "target": n + 1, "w": 2} for n in range(140)])
        second = now()
        assert memory.graph.delete("TO", [(n, n + 1) for n in range(130)]) == 130

        def ws(as_of: Any) -> list[int]:
            nodes = [("N", number) for number in range(150)]
            edges = memory.graph.subgraph(nodes, depth=0, rel="TO", as_of=as_of).edges
            assert {edge.properties["data"] for edge in edges} <= {b"x"}
            return sorted(edge.properties["w"] for edge in edges)

        assert ws((None, first)) == [1] * 149
        assert ws((None, second)) == [1] * 9 + [2] * 140
        assert ws(None) == [1] * 9 + [2] * 10
        assert ws(year(2020)) == ws(None)
        way = memory.graph.shortest_path(("N", 0), ("N", 60), as_of=(None, first))
        assert way is not None
        assert len(way) == 60
        assert memory.graph.shortest_path(("N", 0), ("N", 60)) is None
        assert memory.verify().problems == []


def test_an_export_and_a_forgetting_take_the_past_along(path: Path, tmp_path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        people(memory)
        memory.graph.add("KNOWS", {"source": "a", "target": "b", "w": 1.0})
        moment = now()
        memory.graph.update("KNOWS", {"source": "a", "target": "b", "w": 2.0})
        memory.export(tmp_path / "out")
        with graphsvc.open(tmp_path / "copy", embedder="hashing", engine=engine_name) as copy:
            for _ in range(2):
                import_memory(copy, tmp_path / "out")
                assert (held(copy), held(copy, (None, moment))) == ([("a", "b", 2.0)], [("a", "b", 1.0)])
            assert copy.verify().problems == []
        memory.graph.delete("P", "b")
        assert (held_without_b(memory), held_without_b(memory, (None, moment))) == ([], [])
        memory.graph.drop("KNOWS")
        assert list(memory.graph.schema()) == ["P"]
        memory.graph.define("KNOWS", {}, source="P", target="P")
        assert memory.verify().problems == []


def held_without_b(memory: graphsvc.Memory, as_of: Any = None) -> list[Any]:
    return list(memory.graph.subgraph([("P", "a")], depth=1, rel="KNOWS", as_of=as_of).edges)


@pytest.mark.parametrize(
    "statement",
    ["MATCH (:P)-[r:KNOWS]->(:P) SET r.w = 1.0", "MATCH (:P)-[r:KNOWS]->(:P) DELETE r", "DROP TABLE KNOWS",
     "MATCH (:P)-[r:knows]->(:P) DELETE r", "ALTER TABLE KNOWS ADD x INT64", "ALTER TABLE KNOWS RENAME TO OTHER",
     "MATCH (a:P), (b:P) WHERE a.n = 'a' AND b.n = 'b' CREATE (a)-[:KNOWS]->(b)", "MATCH (:P)-[r]->(:P) DELETE r",
     "MATCH (:P)-[r:_KNOWS]->(:P) DELETE r", "DROP TABLE _KNOWS", "CREATE REL TABLE _OTHER (FROM P TO P)"],
)  # fmt: skip
def test_cypher_does_not_write_what_keeps_its_past(temporal: graphsvc.Memory, statement: str) -> None:
    with pytest.raises((NotAllowed, BadInput)):
        run(temporal._opened, temporal._namespaces, statement, {})
    assert held(temporal) == held(temporal, year(2020)) == [("a", "b", 1.0)]


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory, engine_name: str) -> Any:
    path = tmp_path_factory.mktemp("temporal") / "memory"
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        people(memory)
        memory.graph.add("KNOWS", {"source": "a", "target": "b", "w": 2.0})
        memory.graph.update("KNOWS", {"source": "a", "target": "b", "w": 1.0})
        yield memory


@pytest.mark.parametrize(
    ("statement", "rows"),
    [("MATCH ()-[r]->() RETURN count(r)", [(1,)]), ("MATCH ()-->() RETURN count(*)", [(1,)]),
     ("MATCH (a:P)--(b) RETURN count(*)", [(2,)]), ("MATCH (a)<-[r]-(b:P) RETURN label(r), count(*)", [("KNOWS", 1)]),
     ("MATCH (a:P)<--(b)-->(c) RETURN count(*)", [(1,)]), ("MATCH p = (:P)-[*1..2]->(b) RETURN count(p)", [(1,)]),
     ("MATCH (a:P)-[r* SHORTEST 1..3]-(b:P) RETURN count(r)", [(2,)]), ("MATCH (a)-[r*0..1]->(b) RETURN count(*)", [(5,)]),
     ("MATCH (a:P) WHERE EXISTS { MATCH (a)-[{w: 1.0}]->() } RETURN count(*)", [(1,)]),
     ("MATCH (a:P) RETURN sum(COUNT { MATCH (a)-[r]-() })", [(2,)]), ("MATCH (a:P) WHERE (a)-->(:P) RETURN a.n", [("a",)])],
)  # fmt: skip
def test_an_edge_without_a_type_is_of_no_past(
    temporal: graphsvc.Memory, statement: str, rows: list[tuple[Any, ...]]
) -> None:
    assert temporal.cypher(statement).rows == rows


def test_what_a_temporal_table_cannot_be_is_refused(temporal: graphsvc.Memory) -> None:
    define = temporal.graph.define
    with pytest.raises(Unsupported):
        define("R", {"n": list[str]}, source="P", target="P", temporal=True)
    with pytest.raises(BadInput):
        define("R", {"known_to": datetime}, source="P", target="P", temporal=True)
    with pytest.raises(BadInput):
        define("R", {"valid_from": str}, source="P", target="P", temporal=True)
    with pytest.raises(BadInput):
        temporal.graph.add("_KNOWS", {"source": "a", "target": "b"})
    with pytest.raises(BadInput):
        temporal.graph.add("KNOWS", {"source": "a", "target": "b", "valid_from": year(2020), "valid_to": year(2020)})
    with pytest.raises(NotTemporal):
        temporal.graph.neighbours(("P", "a"), rel=["KNOWS", "NEXT"], as_of=year(2020))
    assert temporal.graph.pagerank(tables="P").values.sum() == pytest.approx(1.0)
    assert dict(zip(NODES, temporal.graph.degree(tables="P").values.tolist(), strict=True)) == {"a": 1, "b": 1, "c": 0, "d": 0}
    later = datetime.now(UTC) + timedelta(days=1)
    near = temporal.graph.neighbours(("P", "a"), edges={"KNOWS": {"w": {"gt": 1}}}, as_of=(None, later))
    assert near.items == ()
