"""Causal edges: kept as said, followed by rule and by time, gone with their nodes."""

from __future__ import annotations

import itertools
import math
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, Conflict, Gone, NotFound
from graphsvc.log.adjacent import BEGINNING, FOREVER, Adjacent, CausalEdge, CausalNode
from graphsvc.memory.causal_paths import RULES, best_paths, downstream
from graphsvc.memory.importing import import_memory
from graphsvc.model.times import micros

Memory = graphsvc.Memory


def named(memory: Memory, *names: str) -> None:
    for name in names:
        memory.causal.variable(name)


# --- keeping ------------------------------------------------------------------------------------------


def test_an_edge_is_kept_as_it_was_said(memory: Memory) -> None:
    named(memory, "cold cache", "latency")
    memory.episodes.store(session="s", task="t", id="e1")
    made = memory.causal.add(
        "cold cache", "latency", -0.25, confidence=0.5, interval=(-0.5, 0), n=0, method="experiment",
        mechanism="the first call reads from disk", evidence=["e1"], valid_from="2026-01-01T01:00:00+01:00",
        metadata={"unit": "s"}, id="c1",
    )  # fmt: skip
    assert memory.causal.get("c1") == made
    assert (made.uplift, made.low, made.high, made.n, made.confidence) == (-0.25, -0.5, 0.0, 0, 0.5)
    assert (made.cause, made.cause_kind, made.effect, made.evidence) == ("cold cache", "variable", "latency", ("e1",))
    assert made.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert memory.causal.list({"evidence": "e1", "n": 0}) == [made]
    memory.wait()
    row = memory._opened.store.graph.engine.execute(
        "MATCH (a:Variable)-[r:CAUSES]->(b:Variable) RETURN a.id AS a, r.id AS r, r.uplift AS uplift, b.id AS b"
    ).one()
    assert list(row or ()) == ["cold cache", "c1", -0.25, "latency"]
    assert memory.verify().ok


def test_the_same_edge_twice_is_one_another_conflicts_and_a_deleted_one_is_gone(memory: Memory) -> None:
    named(memory, "a", "b")
    first = memory.causal.add("a", "b", 0, id="c")
    assert memory.causal.add("a", "b", 0.0, id="c") == first
    with pytest.raises(Conflict):
        memory.causal.add("a", "b", 1, id="c")
    assert memory.causal.delete("c") == 1
    with pytest.raises(Gone):
        memory.causal.add("a", "b", 0, id="c")


def test_many_edges_are_all_or_none(memory: Memory) -> None:
    named(memory, "a", "b")
    rows = [{"cause": "a", "effect": "b", "uplift": number / 3000, "id": f"c{number}"} for number in range(2_500)]
    made = memory.causal.add_many(rows)
    assert [edge.id for edge in made] == [row["id"] for row in rows]
    with pytest.raises(NotFound) as caught:
        memory.causal.add_many([{"cause": "a", "effect": "b", "uplift": 1}, {"cause": "a", "effect": "c", "uplift": 1}])
    assert caught.value.where == "edges[1].effect"
    assert memory.causal.count() == 2_500
    assert memory.causal.add_many(made[:3]) == made[:3]  # what was read can be given again
    assert len(memory.causal.effects("a", k=5)) == 5
    assert memory.verify().ok


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"confidence": 1.5}, "confidence"), ({"uplift": math.nan}, "uplift"), ({"interval": (1, 0)}, "interval"),
        ({"interval": 3}, "interval"), ({"effect": ("task", "t")}, "effect"), ({"effect": 3}, "effect"),
        ({"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-02T00:00:00Z"}, "valid_to"),
        ({"n": -1}, "n"), ({"evidence": ["nobody"]}, "evidence"), ({"effect": "nobody"}, "effect"),
    ],
)  # fmt: skip
def test_what_makes_no_edge_is_refused_and_named(memory: Memory, wrong: dict[str, Any], where: str) -> None:
    named(memory, "a", "b")
    values: dict[str, Any] = {"cause": "a", "effect": "b", "uplift": 1, **wrong}
    with pytest.raises((BadInput, NotFound)) as caught:
        memory.causal.add(values.pop("cause"), values.pop("effect"), values.pop("uplift"), **values)
    assert caught.value.where == where
    assert memory.causal.count() == 0


def test_a_node_takes_its_edges_along_and_nothing_else(memory: Memory) -> None:
    named(memory, "a", "b", "c")
    skill = memory.skills.create(name="retry", id="retry")
    memory.causal.add(skill, "a", 1, id="gone 1")
    memory.causal.add("a", "skill:retry", 1, id="gone 2")
    memory.causal.add(skill, skill, 1, id="gone 3")
    memory.causal.add("a", "b", 1, id="stays")
    memory.skills.delete("retry")
    assert [edge.id for edge in memory.causal.list()] == ["stays"]
    with pytest.raises(Gone):
        memory.causal.get("gone 3")
    assert memory.causal.delete_variable(["b", "c"]) == 2
    assert memory.causal.list() == memory.causal.effects("a") == []
    assert memory.verify().ok


def test_a_fact_may_cause_and_be_caused(memory: Memory) -> None:
    named(memory, "a")
    fact = memory.facts.add("api", "runs on", "arm", id="f")
    memory.causal.add(fact, "a", 0.5, id="1")
    memory.causal.add("a", "fact:f", -0.5, id="2")
    memory.causal.add(fact, fact, 0, id="3")
    assert [edge.id for edge in memory.causal.effects("fact:f")] == ["1", "3"]
    assert memory.verify().ok
    assert memory.forget("f", kind="fact").records == {"fact": 1, "cause": 3}
    assert memory.causal.count() == 0
    assert memory.verify().ok


def test_variables_are_upserted_and_a_reference_to_nothing_is_missing(memory: Memory) -> None:
    first = memory.causal.variable("größe 🜁", description="in m", is_reward=True)
    assert memory.causal.variable("größe 🜁") == first
    assert memory.causal.variable("größe 🜁", tags=["x"]).description == "in m"
    assert not memory.causal.missing("größe 🜁")
    memory.causal.variable("user", ref=("Person", "Ada"))
    assert memory.causal.missing("user")
    assert [one.id for one in memory.causal.variables({"is_reward": True})] == [first.id]


def test_a_variable_that_stands_for_a_users_node_is_missing_while_the_node_is(memory: Memory) -> None:
    memory.graph.define("Person", {"name": str}, key="name")
    memory.graph.define("Room", {"number": int}, key="number")
    memory.graph.define("IN", {}, source="Person", target="Room")
    memory.graph.add("Person", {"name": "Ada"})
    memory.graph.add("Room", [{"number": 7}, {"number": -7}])
    there = [("Person", "Ada"), ("Room", 7), ("Room", "-7")]
    gone = [("Person", "Eve"), ("Room", 8), ("Room", "x"), ("Room", 2**63), ("IN", "Ada"), ("Nothing", "x")]
    for place, ref in enumerate([*there, *gone]):
        memory.causal.variable(f"v{place}", ref=ref)  # type: ignore[arg-type]
    assert [memory.causal.missing(f"v{place}") for place in range(9)] == [False] * 3 + [True] * 6
    memory.graph.delete("Person", "Ada")
    assert memory.causal.missing("v0")
    memory.graph.add("Person", {"name": "Ada"})
    assert not memory.causal.missing("v0")
    memory.graph.drop("IN")
    memory.graph.drop("Room")
    assert memory.causal.missing("v1")


def test_mechanisms_are_found_by_meaning_and_words(memory: Memory) -> None:
    named(memory, "a", "b")
    memory.causal.add("a", "b", 1, id="cache", mechanism="a cold cache slows the first call")
    memory.causal.add("a", "b", 1, id="retry", mechanism="a pause lets the server recover")
    memory.causal.add("a", "b", 1, id="none")
    memory.wait()
    assert memory.causal.similar("server pause", k=1)[0].record.id == "retry"
    assert len(memory.causal.similar("anything", k=3)) == 3
    assert memory.causal.similar("cold cache", where={"effect": "a"}).items == ()
    assert memory.verify().ok


# --- whose they are -----------------------------------------------------------------------------------


def test_a_bound_handle_does_not_pass_through_what_is_not_its_own(memory: Memory) -> None:
    ours, theirs = memory.as_agent("ours", shared=["team"]), memory.as_agent("theirs")
    memory.causal.variable("shared", agent="team")
    named(ours, "a", "b")
    named(theirs, "hidden")
    ours.causal.add("a", "shared", 1, id="1")
    ours.causal.add("shared", "b", 1, id="2")
    memory.causal.add(("variable", "ours", "a"), "hidden", 1, agent="theirs")
    memory.causal.add("hidden", ("variable", "ours", "b"), 1, agent="theirs")
    assert [str(path) for path in ours.causal.paths("a", "b")] == ["variable:a → variable:shared → variable:b"]
    assert len(memory.causal.paths("a", "b")) == 2
    assert [edge.id for edge in ours.causal.effects("a")] == ["1"]
    assert [str(one.node) for one in ours.causal.what_if("a")] == ["variable:shared", "variable:b"]
    with pytest.raises(NotFound):
        ours.causal.add("a", "hidden", 1)
    with pytest.raises(NotFound):
        ours.causal.delete_variable("shared")


# --- two times ----------------------------------------------------------------------------------------


def test_what_is_expired_later_is_not_known_before(memory: Memory) -> None:
    named(memory, "a", "b", "c")
    memory.causal.add("a", "b", 0.5, id="ab", valid_from="2026-01-01T00:00:00Z")
    memory.causal.add("b", "c", 0.5, id="bc")
    then = datetime.now(UTC)
    memory.causal.expire("ab", "2026-03-01T00:00:00Z")
    february, march = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"

    def counts(as_of: Any) -> tuple[int, ...]:
        return (
            len(memory.causal.effects("a", as_of=as_of)), len(memory.causal.causes("b", as_of=as_of)),
            len(memory.causal.paths("a", "c", as_of=as_of)), len(memory.causal.list(as_of=as_of)) - 1,
            len([one for one in memory.causal.what_if("a", as_of=as_of) if one.node.id == "c"]),
        )  # fmt: skip

    assert memory.causal.effects("a") == memory.causal.list({"id": "ab"}, as_of=datetime.now(UTC)) == []
    assert [edge.id for edge in memory.causal.list(order="id")] == ["ab", "bc"]
    assert counts((march, None)) == (0, 0, 0, 0, 0)
    assert counts((february, None)) == counts(february) == (1,) * 5
    assert counts(graphsvc.AsOf(valid=march, known=then)) == (1,) * 5
    assert counts(graphsvc.AsOf(known=then)) == (1,) * 5
    before = then - timedelta(days=1)
    assert memory.causal.effects("a", as_of=(None, before)) == []
    assert memory.causal.get("ab").valid_to is not None
    assert [event.what for event in memory.causal.history("ab")] == ["store", "amend"]
    head = memory.status()["head"]
    memory.causal.expire("ab", march)
    assert memory.status()["head"] == head
    with pytest.raises(BadInput):
        memory.causal.expire("ab", "2025-01-01T00:00:00Z")
    assert memory.verify().ok


MOMENTS = st.integers(0, 12)


@given(start=MOMENTS | st.none(), ends=st.lists(st.tuples(MOMENTS, MOMENTS | st.none()), max_size=5), valid=MOMENTS,
       known=MOMENTS, first=MOMENTS)  # fmt: skip
def test_an_edge_holds_when_a_plain_model_says_so(
    start: int | None, ends: list[tuple[int, int | None]], valid: int, known: int, first: int
) -> None:
    said = sorted([(first, ends[0][1] if ends else None), *((max(first, at), end) for at, end in ends[1:])],
                  key=lambda one: one[0])  # fmt: skip
    moments = tuple((at, FOREVER if end is None else end) for at, end in said)
    edge = CausalEdge(0, "", "", CausalNode("", "", ""), CausalNode("", "", ""), 0, 1, first, BEGINNING if start is None else start,
                moments[-1][1], moments if len(moments) > 1 else ())  # fmt: skip

    def plain(known: float) -> bool:
        heard = [end for at, end in said if at <= known]
        return bool(heard) and (start is None or start <= valid) and (heard[-1] is None or valid < heard[-1])

    assert edge.holds(valid, known) == plain(known)
    assert edge.holds(valid, None) == plain(math.inf)
    assert edge.holds(None, known) == (first <= known)


# --- following them -----------------------------------------------------------------------------------

NODES = [CausalNode("variable", "default", name) for name in ("12", "2", "30", "é", "1", "a b")]
EDGES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([-1.5, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]),
              st.sampled_from([0.0, 0.5, 0.75, 1.0])),
    max_size=14,
)  # fmt: skip


def adjacency(edges: list[tuple[int, int, float, float]]) -> Adjacent:
    adjacent = Adjacent()
    for row, (source, target, uplift, confidence) in enumerate(edges):
        adjacent._put(
            CausalEdge(row, f"e{row}", "default", NODES[source], NODES[target], uplift, confidence, 0, BEGINNING, FOREVER, ())
        )
    return adjacent


def every_path(edges: list[tuple[int, int, float, float]], source: int, depth: int) -> list[list[int]]:
    """Rows of the edges of every simple path from a node, by trying everything."""
    found: list[list[int]] = []

    def go(node: int, passed: set[int], rows: list[int]) -> None:
        if rows:
            found.append(rows)
        if len(rows) < depth:
            for row, (a, b, _, _) in enumerate(edges):
                if a == node and b not in passed:
                    go(b, passed | {b}, [*rows, row])

    go(source, {source}, [])
    return found


def compounded(rule: str, edges: list[tuple[int, int, float, float]], rows: list[int]) -> tuple[float, float]:
    uplifts, confidences = [edges[row][2] for row in rows], [edges[row][3] for row in rows]
    if rule == "product":
        return math.prod(uplifts), math.prod(confidences)
    if rule == "additive":
        return sum(uplifts), min(confidences)
    sign = math.prod(math.copysign(1, one) for one in uplifts if one)
    return min(map(abs, uplifts)) * sign, min(confidences)


@settings(max_examples=150, deadline=None)
@given(EDGES, st.sampled_from(list(RULES)), st.integers(1, 4), st.integers(1, 5))
def test_the_best_paths_are_those_that_trying_everything_finds(
    edges: list[tuple[int, int, float, float]], rule: str, k: int, depth: int
) -> None:
    adjacent = adjacency(edges)
    found = best_paths(RULES[rule], adjacent.out_of, adjacent.in_to, NODES[0], NODES[1], k, depth)
    every = [rows for rows in every_path(edges, 0, depth) if edges[rows[-1]][1] == 1]
    values = {tuple(rows): compounded(rule, edges, rows) for rows in every}
    expected = sorted(every, key=lambda rows: (-abs(values[tuple(rows)][0]) * values[tuple(rows)][1], len(rows), rows))
    assert found.complete
    assert [[int(step.id[1:]) for step in path.steps] for path in found] == expected[:k]
    for path, rows in zip(found, expected, strict=False):
        assert (path.uplift, path.confidence) == values[tuple(rows)]


@settings(max_examples=150, deadline=None)
@given(EDGES, st.sampled_from(list(RULES)), st.integers(1, 4))
def test_what_follows_is_what_trying_everything_finds(
    edges: list[tuple[int, int, float, float]], rule: str, depth: int
) -> None:
    reached, complete = downstream(RULES[rule], adjacency(edges).out_of, NODES[0], depth)
    best: dict[int, float] = {}
    for rows in every_path(edges, 0, depth):
        uplift, confidence = compounded(rule, edges, rows)
        node = edges[rows[-1]][1]
        best[node] = max(best.get(node, 0.0), abs(uplift) * confidence)
    assert complete
    assert {node: path.score for node, path in reached.items()} == {NODES[node]: score for node, score in best.items()}


def test_cycles_loops_and_parallel_edges_end(memory: Memory) -> None:
    names = [f"v{number}" for number in range(9)]
    named(memory, *names)
    pairs = itertools.product(names, repeat=2)
    memory.causal.add_many([{"cause": a, "effect": b, "uplift": 0.9, "confidence": 0.9} for a, b in pairs for _ in "xy"])
    found = memory.causal.paths("v0", "v8", k=5, max_depth=16)
    assert [len(path.steps) for path in found] == [1, 1, 2, 2, 2]
    assert found.complete
    assert len(memory.causal.what_if("v0", max_depth=4)) == 8
    assert len(memory.causal.effects("v0")) == 18  # two to itself among them
    with pytest.raises(BadInput):
        memory.causal.paths("v0", "v0")


def test_what_is_in_memory_is_what_was_written_while_it_was_made(memory: Memory) -> None:
    named(memory, "a", "b")
    memory.causal.add_many([{"cause": "a", "effect": "b", "uplift": 1, "id": f"c{number}"} for number in range(2_000)])
    stop = threading.Event()

    def write() -> None:
        for number in range(150):
            memory.causal.add("b", "a", 1, id=f"d{number}")
            memory.causal.delete(f"c{number}")
            memory.causal.expire(f"c{number + 500}", "2026-01-01T00:00:00Z")
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    log = memory._opened.log
    while not stop.is_set():
        log._adjacent = None  # as if nobody had asked yet
        log.adjacent()
    writer.join()
    afresh = Adjacent()
    with log.connection() as connection:
        afresh.read(connection)
    assert log.adjacent().edges == afresh.edges
    assert len(afresh.edges) == 2_000
    node = CausalNode("variable", "default", "a")
    assert {edge.id for edge in log.adjacent().out_of(node)} == {edge.id for edge in afresh.out_of(node)}


# --- travelling ---------------------------------------------------------------------------------------


def filled(memory: Memory) -> None:
    named(memory, "a", "größe", "c")
    memory.episodes.store(session="s", task="t", id="e1", output="said")
    memory.skills.create(name="retry", id="retry")
    memory.entities.upsert(kind="file", name="x", id="x")
    memory.causal.add("a", "größe", 0, id="1", mechanism="why it is so", evidence=["e1"])
    memory.causal.add("a", "größe", -1, id="2")
    memory.causal.add("episode:e1", "skill:retry", 0.5, id="3", mechanism="an episode taught it")
    memory.causal.add("entity:x", "entity:x", 0.5, id="4")
    memory.causal.expire("2")
    memory.causal.variable("c", ref=("Person", "1"))


def test_an_export_taken_in_gives_the_same_edges(path: FilePath, tmp_path: FilePath) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        filled(memory)
        memory.export(tmp_path / "out", vectors=True)
        before, digest = memory.causal.list(order="id"), memory.verify().digest
    with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
        assert import_memory(other, tmp_path / "out").skipped == []
        assert other.causal.list(order="id") == before
        checked = other.verify()
        assert (checked.ok, checked.digest) == (True, digest)
        assert import_memory(other, tmp_path / "out").stored == 0


def test_a_part_is_exported_with_the_edges_between_its_nodes_alone(memory: Memory, tmp_path: FilePath) -> None:
    filled(memory)
    report = memory.export(tmp_path / "out", where={"skill": {"id": "nobody"}})
    assert (report.records["skill"], report.records["variable"], report.records["cause"]) == (0, 3, 3)
    with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
        assert import_memory(other, tmp_path / "out").skipped == []
        assert [edge.id for edge in other.causal.list(order="id")] == ["1", "2", "4"]


def test_forgetting_a_node_forgets_what_was_said_of_its_effects(path: FilePath) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        filled(memory)
        memory.causal.add("a", "c", 1, id="5", mechanism="zanzibar quux")
        memory.causal.expire("5")
        memory.wait()
        assert memory.forget("e1", kind="episode").records == {"episode": 1, "cause": 1}
        assert memory.forget("5").records == {"cause": 1}
        with pytest.raises(Gone):
            memory.causal.get("3")
        assert memory.verify().ok
    for file in path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"zanzibar" not in content, file
            assert b"taught" not in content, file


def test_a_snapshot_restored_and_a_moved_graph_have_the_same_edges(path: FilePath, tmp_path: FilePath) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        filled(memory)
        digest = memory.verify().digest
        snapshot = memory.snapshot(tmp_path / "snapshot")
    graphsvc.restore(snapshot.path, tmp_path / "restored")
    for engine in ("ladybug", "kuzu"):  # two engines can't be opened in one process
        graphsvc.migrate(path, engine=engine)
    for place in (tmp_path / "restored", path):
        with graphsvc.open(place) as memory:
            checked = memory.verify()
            assert (checked.ok, checked.digest) == (True, digest)
            assert [str(one.node) for one in memory.causal.what_if("episode:e1")] == ["skill:retry"]


def test_what_is_in_memory_is_verified_and_repaired(memory: Memory) -> None:
    filled(memory)
    assert memory.verify().ok
    memory._opened.log.adjacent()._drop(min(memory._opened.log.adjacent().edges))
    assert [problem.part for problem in memory.verify().problems] == ["columns"]
    assert memory.repair().ok
    assert len(memory.causal.effects("a")) == 1


def test_records_made_anew_give_the_same_adjacency(memory: Memory) -> None:
    filled(memory)
    before = dict(memory._opened.log.adjacent().edges)
    memory._opened.log.rebuild()
    assert memory._opened.log.adjacent().edges == before
    assert micros(memory.causal.get("1").at) == before[min(before)].known
    assert memory.repair().ok


# --- what is no input, and what has no end --------------------------------------------------------------------------


def test_an_edge_that_has_ended_is_not_ended_anew(memory: Memory) -> None:
    named(memory, "v", "w")
    edge = memory.causal.add("v", "w", 0.5, valid_from="2020-01-01T00:00:00Z")
    memory.causal.expire(edge.id, at="2023-01-01T00:00:00Z")
    again = memory.causal.expire(edge.id)
    assert again.valid_to == datetime(2023, 1, 1, tzinfo=UTC)
    assert len(memory.causal.effects("v", as_of=("2024-01-01T00:00:00Z", None))) == 0
    moved = memory.causal.expire(edge.id, at="2022-01-01T00:00:00Z")
    assert moved.valid_to == datetime(2022, 1, 1, tzinfo=UTC), "said by name it may still be corrected"


@pytest.mark.parametrize("uplift", [1e308, -1e19, math.inf, math.nan])
def test_an_uplift_whose_products_are_no_numbers_is_refused(memory: Memory, uplift: float) -> None:
    named(memory, "v", "w")
    with pytest.raises(BadInput, match="uplift"):
        memory.causal.add("v", "w", uplift)


@pytest.mark.parametrize("ask", [
    lambda causal: causal.around([("variable", "default", ["x"])]), lambda causal: causal.around(5),
    lambda causal: causal.around("variable"), lambda causal: causal.paths("v", "w", rule=["product"]),
], ids=["a list for an id", "a number", "a text", "a list for a rule"])  # fmt: skip
def test_what_is_no_node_and_no_rule_is_bad_input(memory: Memory, ask: Any) -> None:
    named(memory, "v", "w")
    with pytest.raises(BadInput):
        ask(memory.causal)


def test_a_search_from_nodes_with_many_edges_ends_by_what_it_makes() -> None:
    asked = 0

    def out(node: CausalNode) -> list[CausalEdge]:
        nonlocal asked
        asked += 1
        depth = int(node.id.partition(".")[0]) + 1
        targets = [CausalNode("variable", "default", f"{depth}.{node.id.partition('.')[2]}{n:03}") for n in range(1_000)]
        return [CausalEdge(n, str(n), "default", node, target, 0.5, 1.0, 0, BEGINNING, FOREVER, ()) for n, target in enumerate(targets)]

    _, complete = downstream(RULES["weakest"], out, CausalNode("variable", "default", "0."), 4)
    assert not complete
    assert asked <= 101
