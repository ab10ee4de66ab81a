"""Walks as of a pair of times: causal edges, facts, and what keeps none."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput, NotTemporal


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


PAIRS = [
    (valid and year(valid), known and year(known))
    for valid in (None, *range(2009, 2022, 3))
    for known in (None, *range(2010, 2023, 3))
    if (valid, known) != (None, None)
]


def joined(part: Any) -> set[tuple[str, str, str]]:
    return {(edge.label, str(edge.source.key), str(edge.target.key)) for edge in part.edges}


@pytest.fixture(params=["kept in memory", "past the budget"])
def budget(request: pytest.FixtureRequest) -> int:
    return 1 << 30 if request.param == "kept in memory" else 0


@pytest.fixture
def timed(path: Path, budget: int) -> Any:
    with graphsvc.open(path, embedder="hashing", adjacency_bytes=budget) as memory:
        yield memory


def test_a_walk_as_of_a_time_takes_the_causal_edges_that_held_then_as_known_then(timed: graphsvc.Memory) -> None:
    chance = random.Random(3)
    for name in "abcde":
        timed.causal.variable(name)
    moments = [datetime.now(UTC)]
    for at in range(12):
        source, target = chance.sample("abcde", 2)
        begin, end = sorted(chance.sample(range(2008, 2022), 2))
        timed.causal.add(
            source, target, 0.5, id=f"c{at}", valid_from=year(begin), valid_to=None if at % 3 else year(end)
        )
        if at % 4 == 3:
            moments.append(datetime.now(UTC))
    for id, end in (("c1", 2016), ("c2", 2017), ("c1", 2018)):
        timed.causal.expire(id, year(end))
        moments.append(datetime.now(UTC))
    timed.skills.create(id="k", name="k")
    timed.causal.add("skill:k", "a", 0.1, valid_from=year(2012))
    every = [("Variable", name) for name in "abcde"] + [("Skill", "k")]
    pairs = [(valid, known) for valid in (None, year(2010), year(2013), year(2017)) for known in (None, *moments) if valid or known]
    for pair in pairs:
        held = timed.causal.list(k=100, as_of=pair)
        wanted = {
            ("CAUSES", f"{edge.cause_agent}/{edge.cause}", f"{edge.effect_agent}/{edge.effect}") for edge in held
        }
        part = timed.graph.subgraph(every, depth=0, as_of=pair)
        assert joined(part) == wanted
        assert len(part.edges) == len(held)
        for start in "ae":
            onward = {edge.effect for edge in held if edge.cause == start} - {start}
            near = timed.graph.neighbours(("Variable", start), direction="out", as_of=pair)
            assert {node.id for node in near} == onward
            way = timed.graph.shortest_path(("Skill", "k"), ("Variable", start), direction="out", as_of=pair)
            assert way is None or all(edge.properties["id"] in {one.id for one in held} for edge in way.edges)
    assert len(joined(timed.graph.subgraph(every, depth=0))) >= len(joined(timed.graph.subgraph(every, depth=0, as_of=year(2012))))


def test_a_walk_as_of_a_time_passes_facts_that_were_believed_then(timed: graphsvc.Memory) -> None:
    for name in ("team", "ada", "max", "zoë"):
        timed.entities.upsert(kind="thing", name=name, id=name)
    episode = timed.episodes.store(session="s", task="look at the team", id="seen")
    timed.episodes.link("seen", "team", "about")
    timed.facts.predicate("led by", single=True)
    timed.facts.add("team", "led by", "ada", id="f1", valid_from=year(2010), at=year(2011), source=episode)
    timed.facts.add("team", "led by", "max", id="f2", valid_from=year(2013), at=year(2014))
    timed.facts.retract("f2", at=year(2018))
    timed.facts.add("team", "led by", "zoë", id="f3", valid_from=year(2016), at=year(2019))
    timed.wait()
    for pair in PAIRS:
        believed = {fact.id for fact in timed.facts.list(as_of=pair)}
        near = timed.graph.neighbours(("Entity", "team"), as_of=pair)
        assert {node.id for node in near if node.label == "Fact"} == believed
        assert {node.label for node in near} <= {"Fact"}, "an episode's ABOUT keeps no times"
        seen = timed.graph.neighbours(("Episode", "seen"), as_of=pair, rel="EVIDENCE")
        assert {node.id for node in seen} == believed & {"f1"}
    for start in ("f1", "f2"):
        assert timed.graph.neighbours(("Fact", start), as_of=(year(2010), year(2010))).items == ()


def test_a_walk_over_what_keeps_no_times_is_refused_where_a_time_is_asked_for(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="e1", session="s", task="t")
    memory.graph.define("Person", {"name": str}, key="name")
    memory.graph.define("KNOWS", {}, source="Person", target="Person")
    memory.graph.add("Person", [{"name": "Ada"}, {"name": "Max"}])
    memory.graph.add("KNOWS", {"source": "Ada", "target": "Max"})
    memory.wait()
    for node, rel in ((("Episode", "e1"), "NEXT"), (("Person", "Ada"), ["CAUSES", "KNOWS"])):
        with pytest.raises(NotTemporal):
            memory.graph.neighbours(node, rel=rel, as_of=year(2020))
        with pytest.raises(NotTemporal):
            memory.graph.paths(node, rel=rel, as_of=(None, year(2020)))
        assert memory.graph.neighbours(node, as_of=year(2020)).items == ()
        assert memory.graph.neighbours(node, rel=rel, as_of=None) is not None
    with pytest.raises(BadInput):
        memory.graph.neighbours(("Episode", "e1"), as_of="yesterday-ish")
