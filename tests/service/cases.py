"""One case for each operation at least: calls in their order, of which every way to a memory must make the same.

Each case is one call, so that the same ones run awaited. `seen` has the results of those before, by operation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa

from graphsvc import AsOf, F

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(days=30)
Seen = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A call: the operation's name, what makes it, and the code of the error that it must raise, if one."""

    operation: str
    call: Callable[[Any, Seen], Any]
    fails: str = ""


def graph() -> nx.MultiDiGraph:
    """Two people and who knows whom."""
    made = nx.MultiDiGraph()
    made.add_node("zoe", age=50)
    made.add_node("yann", age=51)
    made.add_edge("zoe", "yann", since=2001)
    return made


def vector(seed: int, size: int = 384) -> Any:
    """A vector that is the same each time."""
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def cases(directory: Path) -> list[Case]:
    """All cases, in their order; files are written below the directory."""
    return [*_episodes(), *_skills(), *_entities(), *_facts(), *_causal(), *_tables(), *_graph(), *_memory(directory)]


def _episodes() -> list[Case]:
    good = {"session": "s1", "at": AT}
    rows = [
        {"id": f"e{n}", "session": "s2", "task": f"Deploy service {n % 3}", "output": f"step one\nstep two of {n}",
         "success": n % 2 == 0, "reward": n / 10, "at": AT + timedelta(hours=n), "critique": f"Check the port {n}"}
        for n in range(6)
    ]  # fmt: skip
    frame = pd.DataFrame({"id": ["f1", "f2"], "session": "s3", "task": ["Read a table", "Write a table"], "at": AT})
    return [
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="Deploy the API", id="a", tags=("x", "y"),
             metadata={"deep": {"list": [1, 2.5, None]}, "große": "ß"}, vector=vector(1), success=True, reward=1.0)),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="Deploy the API", id="a", tags=("x", "y"),
             metadata={"deep": {"list": [1, 2.5, None]}, "große": "ß"}, vector=vector(1), success=True, reward=1.0)),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="Another", id="a"), "conflict"),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="made an id", agent="other")),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="", id="b"), "bad_input"),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="t", id=""), "bad_input"),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="t", id=0), "bad_input"),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="x", latency_ms=-1.0), "bad_input"),
        Case("episodes.store", lambda m, _: m.episodes.store(**good, task="x", metadata={"big": 1 << 70}), "bad_input"),
        Case("episodes.store_many", lambda m, _: m.episodes.store_many(rows, wait="searchable")),
        Case("episodes.store_many", lambda m, _: m.episodes.store_many(frame)),
        Case("episodes.store_many", lambda m, _: m.episodes.store_many(pa.Table.from_pylist(
             [{"id": "t1", "session": "s3", "task": "From Arrow", "at": AT}]), wait="graph")),
        Case("episodes.store_many", lambda m, _: m.episodes.store_many(dict(row, id=f"g{row['id']}") for row in rows[:1])),
        Case("episodes.amend", lambda m, _: m.episodes.amend("e1", critique="Open the port first", reward=0.4)),
        Case("episodes.amend", lambda m, _: m.episodes.amend("e1", nothing=1), "unknown_field"),
        Case("wait", lambda m, _: m.wait(timeout=30)),
        Case("episodes.get", lambda m, _: m.episodes.get("a")),
        Case("episodes.get", lambda m, _: m.episodes.get("nope"), "not_found"),
        Case("episodes.get", lambda m, _: m.episodes.get(5), "bad_input"),
        Case("episodes.list", lambda m, _: m.episodes.list({"session": "s2"}, k=3, order="oldest")),
        Case("episodes.list", lambda m, _: m.episodes.list((F.reward >= 0.2) & ~(F.success == True))),  # noqa: E712
        Case("episodes.list", lambda m, _: m.episodes.list({"rewards": 1}), "unknown_field"),
        Case("episodes.count", lambda m, _: m.episodes.count({"at": {"ge": AT + timedelta(hours=3)}})),
        Case("episodes.history", lambda m, _: m.episodes.history("e1")),
        Case("episodes.retrieve", lambda m, _: m.episodes.retrieve("deploy service", 4)),
        Case("episodes.retrieve", lambda m, _: m.episodes.retrieve("deploy", 3, where=F.success == True, vector=vector(1))),  # noqa: E712
        Case("episodes.retrieve", lambda m, _: m.episodes.retrieve("deploy", vector=[1.0, 2.0]), "bad_input"),
        Case("episodes.retrieve_many", lambda m, _: m.episodes.retrieve_many(["deploy", "table"], k=2, mode="text")),
        Case("episodes.vector", lambda m, _: m.episodes.vector("a")),
        Case("episodes.critiques", lambda m, _: m.episodes.critiques("deploy service", 3)),
        Case("episodes.strategies", lambda m, _: m.episodes.strategies("deploy service")),
        Case("episodes.statistics", lambda m, _: m.episodes.statistics(where={"session": "s2"})),
        Case("episodes.relations", lambda m, _: m.episodes.relations("e2")),
        Case("episodes.link", lambda m, _: m.episodes.link("a", "e0", "evidence")),
        Case("episodes.link", lambda m, _: m.episodes.link("a", "e0", "sideways"), "bad_input"),
        Case("episodes.evidence", lambda m, _: m.episodes.evidence("a")),
        Case("episodes.unlink", lambda m, _: m.episodes.unlink("a", "e0", "evidence")),
        Case("episodes.delete", lambda m, _: m.episodes.delete(["t1", "f1"])),
        Case("episodes.get", lambda m, _: m.episodes.get("t1"), "gone"),
        Case("episodes.prune", lambda m, _: m.episodes.prune(min_reward=0.05, keep_min_per_task=0, dry_run=True)),
        Case("episodes.prune", lambda m, _: m.episodes.prune(), "bad_input"),
    ]  # fmt: skip


def _skills() -> list[Case]:
    many = [
        {"id": f"k{n}", "name": f"skill {n}", "description": f"does thing {n}", "code": "run()", "at": AT} for n in range(3)
    ]
    return [
        Case("skills.create", lambda m, _: m.skills.create(name="migrate", description="Migrate first", code="migrate()",
             id="mig", at=AT, tags={"db"}, vector=vector(2))),
        Case("skills.create", lambda m, _: m.skills.create(name="deploy", id="dep", at=AT, prerequisites=["mig"])),
        Case("skills.create_many", lambda m, _: m.skills.create_many(many, links=[("k0", "k1", "prerequisite")])),
        Case("skills.create", lambda m, _: m.skills.create(name="x", prerequisites=["nope"]), "not_found"),
        Case("skills.revise", lambda m, _: m.skills.revise("mig", code="migrate(all=True)")),
        Case("skills.record_outcome", lambda m, _: m.skills.record_outcome(
             "mig", success=True, reward=0.9, episode="e0", id="o1", at=LATER)),
        Case("skills.record_outcome", lambda m, _: m.skills.record_outcome("mig", success=False, at=LATER)),
        Case("skills.link", lambda m, _: m.skills.link("k1", "k2", "prerequisite")),
        Case("skills.link", lambda m, _: m.skills.link("k2", "k0", "prerequisite"), "cycle"),
        Case("wait", lambda m, _: m.wait()),
        Case("changes", lambda m, _: m.changes(0, kinds=["skill"])),
        Case("get_many", lambda m, _: m.get_many([("episode", "default", "a"), ("episode", "default", "none")])),
        Case("page", lambda m, _: m.page("episode", 2)),
        Case("page", lambda m, _: m.page("nothing"), "bad_input"),
        Case("causal.around", lambda m, _: m.causal.around([("skill", "default", "mig")])),
        Case("skills.get", lambda m, _: m.skills.get("mig")),
        Case("skills.list", lambda m, _: m.skills.list(order="id")),
        Case("skills.count", lambda m, _: m.skills.count(F.uses > 0)),
        Case("skills.history", lambda m, _: m.skills.history("mig")),
        Case("skills.search", lambda m, _: m.skills.search("migrate the database", 2)),
        Case("skills.search_many", lambda m, _: m.skills.search_many(["thing", "deploy"], k=1)),
        Case("skills.vector", lambda m, _: m.skills.vector("mig")),
        Case("skills.choose", lambda m, _: m.skills.choose("migrate", rng=7)),
        Case("skills.evidence", lambda m, _: m.skills.evidence("mig")),
        Case("skills.links", lambda m, _: m.skills.links("k1")),
        Case("skills.plan", lambda m, _: m.skills.plan("k0")),
        Case("skills.statistics", lambda m, _: m.skills.statistics("mig")),
        Case("skills.version", lambda m, _: m.skills.version("mig", 1)),
        Case("skills.version", lambda m, _: m.skills.version("mig", 9), "not_found"),
        Case("skills.versions", lambda m, _: m.skills.versions("mig")),
        Case("skills.consolidate", lambda m, _: m.skills.consolidate(min_attempts=2, min_reward=0.0, dry_run=True)),
        Case("skills.unlink", lambda m, _: m.skills.unlink("k1", "k2", "prerequisite")),
        Case("skills.delete", lambda m, _: m.skills.delete("k2")),
        Case("skills.prune", lambda m, _: m.skills.prune(min_uses=1, max_age=0, dry_run=True)),
    ]  # fmt: skip


def _entities() -> list[Case]:
    return [
        Case("entities.upsert", lambda m, _: m.entities.upsert(kind="service", name="api", description="The API", at=AT)),
        Case("entities.upsert_many", lambda m, _: m.entities.upsert_many(
             [{"kind": "person", "name": "ann", "at": AT}, {"kind": "city", "name": "Rome", "at": AT}])),
        Case("entities.get", lambda m, s: m.entities.get(s["entities.upsert"].id)),
        Case("entities.list", lambda m, _: m.entities.list(order="id")),
        Case("entities.count", lambda m, _: m.entities.count(kind_is("service"))),
        Case("episodes.link", lambda m, s: m.episodes.link("a", s["entities.upsert"].id, "about", wait="graph")),
        Case("episodes.about", lambda m, _: m.episodes.about("a")),
        Case("entities.episodes", lambda m, s: m.entities.episodes(s["entities.upsert"].id)),
        Case("entities.history", lambda m, s: m.entities.history(s["entities.upsert"].id)),
        Case("entities.delete", lambda m, s: m.entities.delete(s["entities.upsert_many"][1].id)),
    ]  # fmt: skip


def kind_is(kind: str) -> dict[str, Any]:
    """The filter of a kind of entities."""
    return {"kind": kind}


def _facts() -> list[Case]:
    many = [
        {"id": "f3", "subject": "bob", "predicate": "likes", "object": "tea", "at": AT},
        {"id": "f4", "subject": "bob", "predicate": "lives in", "object": "Oslo", "valid_from": AT, "at": AT},
    ]
    return [
        Case("facts.predicate", lambda m, _: m.facts.predicate("lives in", single=True, description="home")),
        Case("facts.add", lambda m, s: m.facts.add(s["entities.upsert_many"][0], "lives in", "Paris", "2026-01-01T00:00:00Z",
             id="f1", at=AT, confidence=0.9, episodes=["e0"], vector=vector(3))),
        Case("facts.add", lambda m, _: m.facts.add("bob", "lives in", "Rome", "2026-02-01T00:00:00Z", id="f2", at=AT)),
        Case("facts.add", lambda m, _: m.facts.add("bob", "lives in", "X", LATER, AT), "bad_input"),
        Case("facts.add_many", lambda m, _: m.facts.add_many(many)),
        Case("wait", lambda m, _: m.wait()),
        Case("changes", lambda m, _: m.changes(0, kinds=["skill"])),
        Case("get_many", lambda m, _: m.get_many([("episode", "default", "a"), ("episode", "default", "none")])),
        Case("page", lambda m, _: m.page("episode", 2)),
        Case("page", lambda m, _: m.page("nothing"), "bad_input"),
        Case("causal.around", lambda m, _: m.causal.around([("skill", "default", "mig")])),
        Case("facts.get", lambda m, _: m.facts.get("f1")),
        Case("facts.list", lambda m, _: m.facts.list(subject="bob", as_of=AsOf(valid="2026-02-10T00:00:00Z"))),
        Case("facts.list", lambda m, _: m.facts.list(as_of=("2026-02-10T00:00:00Z", None))),
        Case("facts.current", lambda m, _: m.facts.current("bob", "lives in")),
        Case("facts.count", lambda m, _: m.facts.count()),
        Case("facts.history", lambda m, _: m.facts.history("bob", "lives in")),
        Case("facts.evidence", lambda m, _: m.facts.evidence("f1")),
        Case("facts.contradictions", lambda m, _: m.facts.contradictions()),
        Case("facts.predicates", lambda m, _: m.facts.predicates()),
        Case("facts.search", lambda m, _: m.facts.search("where does bob live", 3)),
        Case("facts.correct", lambda m, _: m.facts.correct("f3", object="coffee", at=LATER)),
        Case("facts.retract", lambda m, _: m.facts.retract("f4", LATER)),
    ]  # fmt: skip


def _causal() -> list[Case]:
    many = [{"id": "c2", "cause": "load", "effect": "errors", "uplift": 0.4, "confidence": 0.5}]
    return [
        Case("causal.variable", lambda m, _: m.causal.variable("load", description="requests a second")),
        Case("causal.variable", lambda m, _: m.causal.variable("errors", is_reward=True)),
        Case("causal.variable", lambda m, _: m.causal.variable("spare")),
        Case("causal.add", lambda m, s: m.causal.add(s["skills.get"], "load", -0.3, id="c1", interval=(-0.5, -0.1), n=12,
             mechanism="fewer retries", evidence=["e0"], valid_from=AT)),
        Case("causal.add_many", lambda m, _: m.causal.add_many(many)),
        Case("causal.add", lambda m, _: m.causal.add("nope", "load", 1.0), "not_found"),
        Case("wait", lambda m, _: m.wait()),
        Case("changes", lambda m, _: m.changes(0, kinds=["skill"])),
        Case("get_many", lambda m, _: m.get_many([("episode", "default", "a"), ("episode", "default", "none")])),
        Case("page", lambda m, _: m.page("episode", 2)),
        Case("page", lambda m, _: m.page("nothing"), "bad_input"),
        Case("causal.around", lambda m, _: m.causal.around([("skill", "default", "mig")])),
        Case("causal.get", lambda m, _: m.causal.get("c1")),
        Case("causal.list", lambda m, _: m.causal.list()),
        Case("causal.count", lambda m, _: m.causal.count()),
        Case("causal.history", lambda m, _: m.causal.history("c1")),
        Case("causal.effects", lambda m, _: m.causal.effects("load")),
        Case("causal.causes", lambda m, _: m.causal.causes(("variable", "errors"))),
        Case("causal.paths", lambda m, _: m.causal.paths("skill:mig", "errors")),
        Case("causal.what_if", lambda m, _: m.causal.what_if("skill:mig")),
        Case("causal.similar", lambda m, _: m.causal.similar("retries", 2)),
        Case("causal.variables", lambda m, _: m.causal.variables()),
        Case("causal.missing", lambda m, _: m.causal.missing("load")),
        Case("causal.expire", lambda m, _: m.causal.expire("c1", LATER)),
        Case("causal.delete", lambda m, _: m.causal.delete("c2")),
        Case("causal.delete_variable", lambda m, _: m.causal.delete_variable("spare")),
    ]  # fmt: skip


def _tables() -> list[Case]:
    people = pd.DataFrame({"name": ["ann", "ben", "cid"], "age": [30, 40, 50], "born": [date(1990, 1, 2)] * 3})
    write = "MERGE (p:Person {name: $name}) SET p.age = $age"
    return [
        Case("graph.define", lambda m, _: m.graph.define("Person", {"name": str, "age": int, "born": date, "rank": float},
             key="name")),
        Case("graph.define", lambda m, _: m.graph.define("KNOWS", {"since": int}, source="Person", target="Person")),
        Case("graph.define", lambda m, _: m.graph.define("Spare", {"id": int}, key="id")),
        Case("graph.define", lambda m, _: m.graph.define("Episode", {"id": int}, key="id"), "owned_table"),
        Case("graph.add", lambda m, _: m.graph.add("Person", people)),
        Case("graph.add", lambda m, _: m.graph.add("KNOWS", [{"source": "ann", "target": "ben", "since": 2000}])),
        Case("graph.upsert", lambda m, _: m.graph.upsert("Person", [{"name": "dee", "age": 4}, {"name": "ann", "age": 31}])),
        Case("graph.update", lambda m, _: m.graph.update("Person", pa.table({"name": ["ben"], "age": [41]}))),
        Case("graph.delete", lambda m, _: m.graph.delete("Person", ["dee"])),
        Case("graph.drop", lambda m, _: m.graph.drop("Spare")),
        Case("graph.schema", lambda m, _: m.graph.schema()),
        Case("graph.from_networkx", lambda m, _: m.graph.from_networkx(graph(), nodes="Person", edges="KNOWS", key="name")),
        Case("schema", lambda m, _: m.schema()),
        Case("cypher", lambda m, _: m.cypher("MATCH (p:Person) RETURN p.name AS name, p.age, p.born ORDER BY name")),
        Case("cypher", lambda m, _: m.cypher("MATCH w = (a:Person)-[k:KNOWS]->(b) RETURN a, k, b, w, [a.age] AS ages "
             "ORDER BY a.name")),
        Case("cypher", lambda m, _: m.cypher("UNWIND range(1, $n) AS x RETURN x, CAST(x AS DOUBLE) AS half", {"n": np.int64(20_000)})),
        Case("cypher", lambda m, _: m.cypher("RETURN $a AS a, $t AS t, $d AS d", {"a": [1, 2], "t": AT, "d": Decimal("1.50")})),
        Case("cypher", lambda m, _: m.cypher("RETURN nothing"), "bad_statement"),
        Case("cypher", lambda m, _: m.cypher("MATCH (p:Person) DELETE p"), "not_allowed"),
        Case("cypher.write", lambda m, _: m.cypher(write, {"name": "eve", "age": 22}, write=True)),
        Case("cypher.write", lambda m, _: m.cypher("CREATE (e:Episode {key: 'x'})", write=True), "owned_table"),
        Case("graph.outcome", lambda m, _: m.graph.outcome(1), "not_found"),
    ]  # fmt: skip


def _graph() -> list[Case]:
    own = {"tables": "Person", "rel": "KNOWS"}
    return [
        Case("graph.node", lambda m, _: m.graph.node(("Episode", "a"))),
        Case("graph.node", lambda m, _: m.graph.node(("Person", "nope")), "not_found"),
        Case("graph.neighbours", lambda m, _: m.graph.neighbours(("Episode", "e2"), depth=2)),
        Case("graph.joints", lambda m, _: m.graph.joints([("Person", "ann")])),
        Case("graph.rows", lambda m, _: m.graph.rows("Person", k=1)),
        Case("graph.nodes", lambda m, _: m.graph.nodes("Person")),
        Case("graph.neighbours", lambda m, s: m.graph.neighbours(s["graph.node"], where={"Episode": F.success == True})),  # noqa: E712
        Case("graph.subgraph", lambda m, _: m.graph.subgraph([("Person", "ann")], depth=2)),
        Case("graph.paths", lambda m, _: m.graph.paths(("Person", "ann"), ("Person", "ben"))),
        Case("graph.shortest_path", lambda m, _: m.graph.shortest_path(("Episode", "e0"), ("Episode", "e2"))),
        Case("graph.all_shortest_paths", lambda m, _: m.graph.all_shortest_paths(("Person", "ann"), ("Person", "ben"))),
        Case("graph.cheapest_path", lambda m, _: m.graph.cheapest_path(("Person", "ann"), ("Person", "ben"), weight="since",
             rel="KNOWS")),
        Case("graph.to_networkx", lambda m, _: m.graph.to_networkx(**own)),
        *(
            Case(f"graph.{name}", lambda m, _, name=name: getattr(m.graph, name)(**own))
            for name in ("pagerank", "degree", "components", "communities", "label_propagation", "k_core", "triangles",
                         "closeness", "betweenness")
        ),
        Case("graph.similarity", lambda m, _: m.graph.similarity(("Person", "ann"), **own)),
        Case("graph.write_back", lambda m, s: m.graph.write_back(s["graph.pagerank"], "rank")),
        Case("graph.pagerank", lambda m, _: m.graph.pagerank(tables="Nothing"), "unknown_field"),
    ]  # fmt: skip


def _memory(directory: Path) -> list[Case]:
    return [
        Case("wait", lambda m, _: m.wait()),
        Case("changes", lambda m, _: m.changes(0, kinds=["skill"])),
        Case("get_many", lambda m, _: m.get_many([("episode", "default", "a"), ("episode", "default", "none")])),
        Case("page", lambda m, _: m.page("episode", 2)),
        Case("page", lambda m, _: m.page("nothing"), "bad_input"),
        Case("causal.around", lambda m, _: m.causal.around([("skill", "default", "mig")])),
        Case("recall", lambda m, _: m.recall("deploy the service", 5, as_of=AT + timedelta(days=1))),
        Case("recall", lambda m, _: m.recall("deploy", kinds="nothing"), "bad_input"),
        Case("brief", lambda m, _: m.brief("Deploy service 1", 200)),
        Case("history", lambda m, _: m.history("mig")),
        Case("feedback", lambda m, s: m.feedback(s["episodes.retrieve"], [s["episodes.retrieve"][0].record.id])),
        Case("feedback", lambda m, _: m.feedback("what was asked", {"e1": 0.5})),
        Case("feedbacks", lambda m, _: m.feedbacks(record="e1")),
        Case("status", lambda m, _: m.status()),
        Case("stats", lambda m, _: sorted_keys(m.stats())),
        Case("size", lambda m, _: sorted_keys(m.size())),
        Case("warm", lambda m, _: m.warm()),
        Case("interrupt", lambda m, _: m.interrupt()),
        Case("progress", lambda m, _: m.progress(lambda lag: None)),
        Case("forget", lambda m, _: m.forget("f2", kind="episode", dry_run=True)),
        Case("forget", lambda m, _: m.forget("f2", kind="episode")),
        Case("reembed", lambda m, _: m.reembed("hashing")),
        Case("verify", lambda m, _: m.verify()),
        Case("repair", lambda m, _: m.repair()),
        Case("snapshots", lambda m, _: m.snapshots()),
        Case("export", lambda m, _: m.export(directory / "out")),
        Case("graph.save", lambda m, _: m.graph.save(directory / "people.graphml", tables="Person", rel="KNOWS")),
        Case("graph.load", lambda m, _: m.graph.load(directory / "people.graphml", nodes="Human", edges="MET")),
        Case("snapshot", lambda m, _: engine_of(m.snapshot(directory / "snap"))),
        Case("trim", lambda m, _: m.trim(before=5, dry_run=True)),
    ]  # fmt: skip


def engine_of(answer: Any) -> Any:
    """Of a snapshot, which has the memory's own id: what all have alike."""

    async def awaited() -> Any:
        return (await answer).engine

    return awaited() if hasattr(answer, "__await__") else answer.engine


def sorted_keys(answer: Any) -> Any:
    """The names in an answer whose figures hang on the machine."""

    async def awaited() -> Any:
        return sorted(await answer)

    return sorted(answer) if isinstance(answer, dict) else awaited()
