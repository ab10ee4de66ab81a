"""Tables of nodes that keep their past, on an engine: against a plain model, replayed, copied, moved, and left alone."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput, Conflict, NotAllowed, NotFound, NotTemporal, Unsupported
from graphsvc.memory.importing import import_memory
from graphsvc.memory.statements import run

KEYS = ("a", "b", "c", "größe d")
FIRST, LAST = 2000, 2006
SLOTS = range(LAST - FIRST + 2)
"""Before 2000, each year, and from 2006 on: no interval of the test begins or ends within one."""

Slots = dict[int, tuple[Any, Any]]
"""What a node is in each of them: w and note."""
State = tuple[dict[str, Slots], frozenset[tuple[str, str, float, frozenset[int]]]]
"""Nodes by key, and edges: source, target, w, when."""


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def moment_in(slot: int) -> datetime:
    return year(FIRST - 1 + slot) + timedelta(days=40)


def slots(start: int | None, end: int | None) -> frozenset[int]:
    first = 0 if start is None else start - FIRST + 1
    return frozenset(range(first, len(SLOTS) if end is None else end - FIRST + 1))


def now() -> datetime:
    """A moment between what was written before and what is written after."""
    time.sleep(0.002)
    moment = datetime.now(UTC)
    time.sleep(0.002)
    return moment


def tables(memory: graphsvc.Memory) -> None:
    graph = memory.graph
    graph.define("N", {"id": str, "w": float, "note": str}, key="id", searchable="note", temporal=True)
    graph.define("KNOWS", {"w": float}, source="N", target="N", temporal=True)
    graph.define("PLAIN", {}, source="N", target="N")


def portion(chance: random.Random) -> tuple[int | None, int | None, dict[str, Any]]:
    """When something is to hold, and the columns that say so; mostly not both."""
    start = chance.choice((None, *range(FIRST, LAST)))
    end = None if chance.random() < 0.6 else chance.randrange((start or FIRST) + 1, LAST + 1)
    said = {"valid_from": start and year(start), "valid_to": end and year(end)}
    return start, end, said if end else {"valid_from": said["valid_from"]}


def change(memory: graphsvc.Memory, chance: random.Random, state: State) -> State:
    """One random write, done to the memory and to the model."""
    nodes, edges = {key: dict(held) for key, held in state[0].items()}, state[1]
    graph, key = memory.graph, chance.choice(KEYS)
    start, end, said = portion(chance)
    when, w, note = slots(start, end), float(chance.randrange(9)), chance.choice(("alpha", "beta", None))
    there = nodes.get(key, {})
    op = chance.choice(("add", "upsert", "upsert", "update", "update", "delete", "join", "join", "part"))
    whole = chance.random() < 0.4
    if op == "add" and not there:
        graph.add("N", {"id": key, "w": w, "note": note, **said})
        nodes[key] = dict.fromkeys(when, (w, note))
    elif op == "upsert":
        graph.upsert("N", {"id": key, "w": w, **({} if whole else said)})
        if whole and there:
            when = frozenset(there)
        when = frozenset(SLOTS) if whole and not there else when
        nodes[key] = {**there, **{slot: (w, there.get(slot, (None, None))[1]) for slot in when}}
    elif op == "update" and there:
        when = frozenset(there) if whole else when & there.keys()
        ask = {"id": key, "note": note, **({} if whole else said)}
        if when:
            graph.update("N", ask)
            nodes[key] = {**there, **{slot: (there[slot][0], note) for slot in when}}
        else:
            with pytest.raises(NotFound, match="but not then"):
                graph.update("N", ask)
    elif op == "delete" and there and (whole or when & there.keys()):
        graph.delete("N", key if whole else [{"id": key, **said}])
        nodes[key] = {slot: values for slot, values in there.items() if not whole and slot not in when}
        if not nodes[key]:
            del nodes[key]
            edges = frozenset(edge for edge in edges if key not in edge[:2])
    elif op == "join" and there:
        other = chance.choice(sorted(nodes))
        graph.add("KNOWS", {"source": key, "target": other, "w": w, **said})
        edges |= {(key, other, w + len(edges) / 100, when)}
        graph.update("KNOWS", {"source": key, "target": other, "w": w + len(state[1]) / 100})
        edges = frozenset((*edge[:2], w + len(state[1]) / 100, edge[3]) if edge[:2] == (key, other) else edge for edge in edges)
    elif op == "part" and edges:
        pair = chance.choice(sorted({edge[:2] for edge in edges}))
        graph.delete("KNOWS", pair)
        edges = frozenset(edge for edge in edges if edge[:2] != pair)
    return nodes, edges


def asked(memory: graphsvc.Memory, slot: int, known: datetime | None) -> tuple[Any, Any]:
    """The nodes and edges that there were, as the memory says."""
    when = (moment_in(slot), known)
    found = {}
    for key in KEYS:
        try:
            node = memory.graph.node(("N", key), as_of=when)
        except NotFound:
            continue
        assert (node.label, node.properties["id"]) == ("N", key)
        found[key] = (node.properties["w"], node.properties["note"])
    part = memory.graph.subgraph([("N", key) for key in found], depth=1, rel="KNOWS", as_of=when)
    assert {node.key for node in part.nodes} == found.keys(), "an edge leads to nothing that wasn't there"
    assert all(edge.source.label == edge.target.label == "N" for edge in part.edges)
    return found, sorted((edge.source.key, edge.target.key, edge.properties["w"]) for edge in part.edges)


def modelled(state: State, slot: int) -> tuple[Any, Any]:
    nodes, edges = state
    found = {key: held[slot] for key, held in nodes.items() if slot in held}
    return found, sorted((a, b, w) for a, b, w, when in edges if slot in when and a in found and b in found)


def present(memory: graphsvc.Memory) -> list[Any]:
    return sorted(memory.cypher("MATCH (n:N) RETURN n.id, n.w, n.note").rows)


def last(state: State) -> list[Any]:
    return sorted((key, *held[max(held)]) for key, held in state[0].items())


def checked(memory: graphsvc.Memory, history: Iterable[tuple[datetime | None, State]]) -> None:
    for known, state in history:
        for slot in SLOTS:
            assert asked(memory, slot, known) == modelled(state, slot), (slot, known)
        if known is not None:
            found = sorted((node.key, node["w"], node["note"]) for node in memory.graph.nodes("N", as_of=(None, known)))
            assert found == last(state), "of no moment of the world, what the table showed"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_a_key_is_at_any_pair_of_times_what_a_plain_model_says(path: Path, engine_name: str, seed: int) -> None:
    chance = random.Random(seed)
    state: State = ({}, frozenset())
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        tables(memory)
        known: list[tuple[datetime | None, State]] = [(now(), state)]
        for step in range(40):
            state = change(memory, chance, state)
            if not step % 3:
                known.append((now(), state))
            assert present(memory) == last(state)
        known.append((None, state))
        checked(memory, known)
        assert any(one[1][1] for one in known), "there were edges"
        report = memory.verify()  # replays the statements, and compares
        assert report.problems == []
        memory.export(path.parent / "out")
        memory.snapshot(path.parent / "snapshot")
        memory.trim(before=memory.status()["head"] + 1)  # other statements make the tables from now on
    (graph,) = (one for one in path.iterdir() if one.name in ("graph.kuzu", "graph.ladybug"))
    shutil.rmtree(graph) if graph.is_dir() else graph.unlink()
    graphsvc.restore(path.parent / "snapshot", path.parent / "restored")
    with graphsvc.open(path.parent / "copy", embedder="hashing", engine=engine_name) as copy:
        for _ in range(2):
            import_memory(copy, path.parent / "out")
    for place in (path, path.parent / "restored", path.parent / "copy"):
        with graphsvc.open(place, embedder="hashing", engine=engine_name) as memory:
            assert present(memory) == last(state)
            checked(memory, known[::5])
            again = memory.verify()
            assert again.problems == []
            if place == path:
                assert again.digest == report.digest
            change(memory, chance, change(memory, chance, state))  # and it goes on


def services(memory: graphsvc.Memory) -> datetime:
    """Two nodes that were more, with edges; a moment at which there was one more of each."""
    graph = memory.graph
    graph.define("S", {"number": int, "team": str, "data": bytes}, key="number", searchable="team", temporal=True)
    graph.define("P", {"name": str}, key="name")
    graph.define("USES", {}, source="S", target="S", temporal=True)
    graph.define("OWNS", {"share": float}, source="P", target="S", temporal=True)
    graph.define("NOW", {}, source="S", target="P")
    graph.add("S", [{"number": number, "team": "first", "data": b"\x00x"} for number in (1, 2, 3)])
    graph.add("P", {"name": "p"})
    graph.add("USES", [{"source": 1, "target": 2}, {"source": 2, "target": 3}])
    graph.add("OWNS", [{"source": "p", "target": number, "share": 0.5} for number in (1, 3)])
    graph.add("NOW", {"source": 1, "target": "p"})
    moment = now()
    graph.update("S", {"number": 1, "team": "second"})
    graph.delete("S", 3)
    return moment


@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["kept in memory", "past the budget"])
def test_walks_see_the_nodes_of_then_and_plain_ones_those_of_now(path: Path, engine_name: str, budget: int) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name, adjacency_bytes=budget) as memory:
        moment = services(memory)
        graph = memory.graph
        then = (None, moment)
        assert [node.key for node in graph.neighbours(("S", 1), depth=9)] == ["p", 2]
        near = graph.neighbours(("S", 1), depth=9, rel=("USES", "OWNS"), as_of=then)
        assert sorted((node.label, node.key) for node in near) == [("P", "p"), ("S", 2), ("S", 3)]
        assert {node.key: node.properties["team"] for node in near if node.label == "S"} == {2: "first", 3: "first"}
        assert graph.node(("S", 1), as_of=then).properties["team"] == "first"
        assert graph.node(("S", 1)).properties["team"] == "second"
        assert graph.node(("S", 3), as_of=then).properties["data"] == b"\x00x"
        way = graph.shortest_path(("S", 1), ("S", 3), rel="USES", as_of=then)
        assert way is not None
        assert [(edge.label, edge.source.label, edge.target.key) for edge in way.edges] == [("USES", "S", 2), ("USES", "S", 3)]
        chosen = graph.neighbours(("P", "p"), tables="S", where={"S": {"team": "first"}}, as_of=then)
        assert sorted(node.key for node in chosen) == [1, 3]
        assert graph.neighbours(("P", "p"), where={"S": {"team": "first"}}, as_of=(None, now())).items == ()
        graph.add("S", {"number": 3, "team": "third"})
        assert graph.neighbours(("S", 3), as_of=(None, now())).items == (), "what led to it went with it"
        assert graph.node(("S", 3), as_of=then).properties["team"] == "first"
        graph.delete("S", 3)
        for time_of in (None, (None, now())):
            with pytest.raises(NotFound):
                graph.neighbours(("S", 3), as_of=time_of)
        with pytest.raises(NotFound, match="then"):
            graph.node(("S", 1), as_of=(None, year(2020)))
        assert [(one.key, one.properties["team"]) for one in graph.nodes("S")] == [(1, "second"), (2, "first")]
        assert [(one.key, one.properties["team"]) for one in graph.nodes("S", as_of=then)] == [(n, "first") for n in (1, 2, 3)]
        some = graph.nodes("S", {"number": {"ge": 2}}, as_of=then, limit=1)
        assert ([one.key for one in some], some.more) == ([2], True)
        assert [one.key for one in graph.nodes("P", {"name": "p"})] == ["p"]
        assert graph.nodes("S", as_of=(None, year(2020))).items == ()
        with pytest.raises(NotTemporal):
            graph.nodes("P", as_of=then)
        for name in ("_S", "Nothing"):
            with pytest.raises((BadInput, NotFound)):
                graph.nodes(name)
        for name in (("P", "p"), ("Agent", "default")):
            with pytest.raises(NotTemporal):
                graph.node(name, as_of=then)
        assert [row[:2] for row in sorted(graph.pagerank(tables="S").rows)] == [("S", 1), ("S", 2)]
        assert {row[0] for row in graph.degree().rows} >= {"S", "P"}
        assert not any(row[0].startswith("_") for row in graph.degree().rows)
        assert not any(label.startswith("_") for label, _ in graph.to_networkx().nodes)


def test_cypher_sees_what_is_now_and_writes_none_of_it(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        services(memory)
        assert sorted(memory.cypher("MATCH (s:S) RETURN s.number, s.team").rows) == [(1, "second"), (2, "first")]
        assert {node.key for (node,) in memory.cypher("MATCH (s) WHERE label(s) <> 'Agent' RETURN s").rows} == {1, 2, "p"}
        assert memory.cypher("MATCH (s {number: 1}) RETURN count(*)").rows == [(1,)]
        assert sorted(memory.cypher("MATCH (a)-[r]->(b) RETURN label(r)").rows) == [("NOW",), ("OWNS",), ("USES",)]
        assert memory.cypher("MATCH (a)-[]-(b)-[]-(c) RETURN DISTINCT label(a)").rows != []
        assert {row[0].label for row in memory.cypher("MATCH (a)-[]->() RETURN a").rows} == {"S", "P"}
        ways = memory.cypher("MATCH p = (a {number: 1})-[*1..3]->(b {number: 2}) RETURN length(p)").rows
        assert sorted(ways) == [(1,), (3,)], "the long one by P"
        assert memory.cypher("MATCH (a:S) WHERE EXISTS { MATCH (a)-[]->(b) WHERE b.number = 3 } RETURN a.number").rows == []
        for statement in ("MATCH (s:S) SET s.team = 'x'", "CREATE (:S {number: 9})", "MATCH (s:S) DETACH DELETE s", "DROP TABLE S",
                          "ALTER TABLE S ADD x INT64", "MATCH (s:_S) DETACH DELETE s", "MATCH (n) DETACH DELETE n",
                          "CREATE REL TABLE R (FROM _S TO _S)", "MATCH (:_S)-[r:__S]->(:_S) DELETE r", "DROP TABLE __S",
                          "ALTER TABLE S RENAME TO T"):  # fmt: skip
            with pytest.raises((NotAllowed, BadInput, NotFound)):
                run(memory._opened, memory._namespaces, statement, {})
        run(memory._opened, memory._namespaces, "MATCH (:S)-[r:NOW]->(:P) DELETE r", {})
        assert memory.verify().problems == []


def test_what_is_written_holds_for_the_time_that_it_names(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        graph = memory.graph
        graph.define("S", {"id": str, "n": int, "about": str}, key="id", searchable="about", temporal=True)
        graph.add("S", {"id": "a", "n": 1, "about": "answers customers", "valid_from": year(2020)})
        graph.update("S", {"id": "a", "n": 2, "valid_from": year(2022), "valid_to": year(2023)})
        ns = [(at, graph.node(("S", "a"), as_of=year(at)).properties["n"]) for at in range(2020, 2025)]
        assert ns == [(2020, 1), (2021, 1), (2022, 2), (2023, 1), (2024, 1)]
        graph.update("S", {"id": "a", "n": 4, "valid_from": year(2025)})
        assert graph.node(("S", "a"), as_of=(None, now())).properties["n"] == graph.node(("S", "a")).properties["n"] == 4
        graph.delete("S", {"id": "a", "valid_from": year(2025)})
        graph.upsert("S", {"id": "a", "n": 1, "valid_from": year(2025)})
        graph.update("S", {"id": "a", "about": "answers customers"})
        graph.update("S", {"id": "a", "n": 3, "valid_from": "2999-01-01T00:00:00Z"})
        assert memory.cypher("MATCH (s:S) RETURN s.n, s.valid_to").rows == [(1, datetime(2999, 1, 1, tzinfo=UTC))], "not yet"
        graph.delete("S", {"id": "a", "valid_to": "2999-01-01T00:00:00Z"})
        assert memory.cypher("MATCH (s:S) RETURN s.n").rows == [(3,)], "nothing holds: the first that will"
        with pytest.raises(Conflict):
            graph.add("S", {"id": "a", "n": 9, "valid_to": year(2020)})
        with pytest.raises(NotFound, match="but not then"):
            graph.update("S", {"id": "a", "n": 9, "valid_to": year(2020)})
        with pytest.raises(BadInput, match="nothing to be set"):
            graph.update("S", {"id": "a", "valid_to": year(2020)})
        with pytest.raises(BadInput):
            graph.upsert("S", {"id": "a", "valid_from": year(2020), "valid_to": year(2020)})
        with pytest.raises(BadInput):
            graph.delete("S", {"id": "a", "n": 3})
        assert graph.upsert("S", [{"id": "a", "about": "pays", "valid_from": year(1999), "valid_to": year(2000)},
                                  {"id": "b", "about": "sends", "valid_from": year(1999), "valid_to": year(2000)}]
                            ) == {"created": 1, "updated": 1}  # fmt: skip
        assert graph.node(("S", "a"), as_of=year(1999)).properties["n"] is None
        memory.wait()
        assert {hit.record.node: hit.record.texts for hit in memory.recall("x", 9, kinds="row")} == {
            "a": {"about": "pays"}, "b": {"about": "sends"}}  # fmt: skip
        assert graph.delete("S", ["a", "b"]) == 2
        assert memory.verify().problems == []


def test_many_nodes_at_once_keep_their_past_too(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        graph = memory.graph
        columns = {"id": int, "w": "FLOAT", "small": "INT8", "data": bytes, "day": "DATE", "at": "TIMESTAMP", "yes": bool}
        graph.define("M", columns, key="id", temporal=True)
        row = {"w": 0.1, "small": -3, "data": b"\x00\xff", "day": "2026-01-31", "at": "1969-12-31T23:59:59.999999Z", "yes": True}
        graph.add("M", [{"id": id, **row} for id in range(300)])
        first = now()
        graph.update("M", [{"id": id, "small": 5, "valid_from": year(2010)} for id in range(250)])
        second = now()
        assert graph.delete("M", list(range(200))) == 200
        assert graph.upsert("M", [{"id": id, "small": 7} for id in range(150, 350)]) == {"created": 100, "updated": 100}
        smalls: dict[Any, list[Any]] = {}
        for known in (first, second, None):
            for at in (2000, 2020):
                nodes = [graph.node(("M", id), as_of=(year(at), known)) for id in ((0, 240, 290) if known else (160, 240, 340))]
                smalls[known, at] = [node.properties["small"] for node in nodes]
                kept = [node.properties["data"] for node in nodes if node.properties["small"] in (-3, 5)]
                assert set(kept) <= {b"\x00\xff"}
        assert smalls == {
            (first, 2000): [-3, -3, -3], (first, 2020): [-3, -3, -3], (second, 2000): [-3, -3, -3],
            (second, 2020): [5, 5, -3], (None, 2000): [7, 7, 7], (None, 2020): [7, 7, 7],
        }  # fmt: skip
        assert graph.node(("M", 240), as_of=(None, first)).properties["w"] == pytest.approx(0.1)
        assert memory.cypher("MATCH (m:M) RETURN count(*), min(m.small)").rows == [(200, 7)]
        assert memory.verify().problems == []


def test_what_a_temporal_table_of_nodes_cannot_be_is_refused(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        define = memory.graph.define
        with pytest.raises(Unsupported):
            define("Q", {"n": str, "list": list[str]}, key="n", temporal=True)
        for name, columns, key in (
            ("Q", {"n": str, "known_to": datetime}, "n"), ("Q", {"n": str, "valid_from": str}, "n"),
            ("Q", {"valid_to": str}, "valid_to"), ("Applied", {"n": str}, "n"), ("table", {"n": str}, "n"),
        ):  # fmt: skip
            with pytest.raises(BadInput):
                define(name, columns, key=key, temporal=True)
        define("Q", {"n": str}, key="n", temporal=True)
        define("R", {}, source="Q", target="Q", temporal=True)
        memory.graph.add("Q", {"n": "a"})
        with pytest.raises(BadInput):
            memory.graph.add("_Q", {"n": "b"})
        with pytest.raises(Conflict):
            memory.graph.drop("Q")
        assert sorted(memory.graph.schema()) == ["Q", "R"]
        memory.graph.drop("R")
        memory.graph.drop("Q")
        assert dict(memory._opened.store.graph.tables) == {}
        define("Q", {"n": int}, key="n")
        memory.graph.add("Q", {"n": 1})
        assert memory.verify().problems == []


def test_what_is_forgotten_is_so_in_the_past_of_a_node_too(path: Path, engine_name: str) -> None:
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        memory.graph.define("S", {"id": str, "about": str}, key="id", searchable="about", temporal=True)
        secret = "the password is swordfish"
        episode = memory.episodes.store(session="s", task=secret, success=True)
        memory.graph.add("S", {"id": "a", "about": secret})
        then = now()
        memory.graph.update("S", {"id": "a", "about": "nothing"})
        memory.forget(episode.id, kind="episode")
        assert memory.graph.node(("S", "a"), as_of=(None, then)).properties["about"] == "[forgotten]"
    found = [file for file in path.rglob("*") if file.is_file() and b"swordfish" in file.read_bytes()]
    assert found == []


def test_an_export_taken_in_again_is_there_already(path: Path, engine_name: str) -> None:
    copy, other = path.with_name("copy"), path.with_name("other")
    with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
        memory.graph.define("Town", {"id": str, "w": int}, key="id", temporal=True)
        memory.graph.add("Town", [{"id": "ulm", "w": 1, "valid_from": year(FIRST)}, {"id": "bonn", "w": 2}])
        memory.graph.update("Town", [{"id": "ulm", "w": 3, "valid_from": year(LAST)}])
    for reopened in range(2):
        with graphsvc.open(path, embedder="hashing", engine=engine_name) as memory:
            memory.export(copy.with_name(f"copy{reopened}"))
    with graphsvc.open(other, embedder="hashing", engine=engine_name) as memory:
        first = import_memory(memory, copy.with_name("copy0"))
        again = import_memory(memory, copy.with_name("copy1"))
    assert (first.skipped, again.skipped) == ([], [])
    assert first.stored == again.already == first.read > 4
