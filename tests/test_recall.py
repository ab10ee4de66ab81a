"""Recall: every kind at once, each part of the utility visible and added up as the formula says."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import graphsvc
from graphsvc.errors import BadInput, NeedsUnbound, NotFound, TooLarge, UnknownField
from graphsvc.memory.retrieval import min_max
from graphsvc.model.requests import TakeLinks, TakenLink


def filled(memory: graphsvc.Memory) -> None:
    for number in range(30):
        memory.episodes.store(
            id=f"e{number}", session=f"s{number % 3}", task=f"deploy service number {number}",
            critique="the migration was forgotten" if number % 2 else None, reward=number / 30,
            success=number % 2 == 0, latency_ms=100.0 * number, at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
        )  # fmt: skip
    for number in range(10):
        memory.skills.create(
            id=f"k{number}", name=f"deploy_step_{number}", description=f"deploy the service, step {number}", code="run()"
        )
    memory.wait()


def test_kinds_compete_on_one_scale_and_the_parts_add_up(memory: graphsvc.Memory) -> None:
    filled(memory)
    found = memory.recall("deploy the service and its migration", 24)
    assert len(found) == 24
    assert {item.kind for item in found} == {"episode", "skill"}
    assert [item.utility for item in found] == sorted((item.utility for item in found), reverse=True)
    for item in found:
        blend = 0.75 * item.parts["vector"] + 0.25 * item.parts["text"]
        assert item.similarity == pytest.approx(blend)
        assert item.utility == pytest.approx(0.7 * item.similarity + 0.2 * item.uplift - 0.1 * item.latency)
        spent = getattr(item.record, "latency_ms", None) or 0.0
        assert item.latency == pytest.approx(min(spent / 1000, 1.0))


def test_the_scale_is_that_of_all_candidates_together(memory: graphsvc.Memory) -> None:
    filled(memory)
    found = memory.recall("deploy the service", 40, gamma=0.0)
    assert len(found) == 40
    for part, raw in (("vector", "cosine"), ("text", "bm25")):
        scaled = min_max(np.array([item.parts[raw] for item in found]))
        assert [item.parts[part] for item in found] == pytest.approx(scaled.tolist())


def test_one_kind_alone_ranks_as_its_own_retrieval_does(memory: graphsvc.Memory) -> None:
    filled(memory)
    found = memory.recall("deploy service number 7", 10, kinds="episode", beta=0.0, gamma=0.0, alpha=1.0)
    hits = memory.episodes.retrieve("deploy service number 7", 10)
    assert [item.record.id for item in found] == [hit.record.id for hit in hits]
    assert [item.utility for item in found] == pytest.approx([hit.score for hit in hits])


def test_slow_items_fall_behind_as_latency_weighs_more(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="slow", session="s", task="build it", latency_ms=5000)
    memory.episodes.store(id="fast", session="s", task="build it", latency_ms=10)
    memory.wait()
    assert [item.record.id for item in memory.recall("build it", 2)] == ["fast", "slow"]
    slow = next(item for item in memory.recall("build it", 2) if item.record.id == "slow")
    assert slow.latency == 1.0


def test_weights_come_from_settings_and_arguments_go_before_them(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing", recall_similarity=1.0, recall_latency=0.5) as memory:
        filled(memory)
        found = memory.recall("deploy", 3)
        assert (found.weights.similarity, found.weights.uplift, found.weights.latency) == (1.0, 0.2, 0.5)
        assert memory.recall("deploy", 3, gamma=0.0).weights.latency == 0.0


def test_a_filter_is_for_the_kinds_that_have_its_fields_or_for_each_by_name(memory: graphsvc.Memory) -> None:
    filled(memory)
    found = memory.recall("deploy", 40, where={"success": True})
    assert found.kinds == ("episode",)
    assert all(item.record.success for item in found)
    each = memory.recall("deploy", 40, where={"episode": {"success": False}, "skill": {"name": "deploy_step_3"}})
    assert {item.kind for item in each} == {"episode", "skill"}
    assert [item.record.id for item in each if item.kind == "skill"] == ["k3"]
    with pytest.raises(UnknownField):
        memory.recall("deploy", 5, kinds=["skill"], where={"success": True})
    with pytest.raises(UnknownField):
        memory.recall("deploy", 5, where={"nothing": 1})


def test_uplift_is_the_confident_mean_of_what_holds_now(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.causal.variable("solved", is_reward=True)
    memory.causal.variable("speed")
    past, soon = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    first = memory.causal.add("skill:k1", "solved", 0.6, confidence=0.9)
    second = memory.causal.add("skill:k1", "solved", -0.2, confidence=0.3)
    memory.causal.add("skill:k1", "solved", -5.0, valid_to=past)
    memory.causal.add("skill:k1", "solved", -5.0, valid_from=soon)
    memory.causal.add("skill:k1", "speed", -9.0)
    memory.causal.add("skill:k2", "solved", 7.0, confidence=1.0)
    items = {item.record.id: item for item in memory.recall("deploy the service", 40)}
    assert items["k1"].uplift == pytest.approx((0.9 * 0.6 - 0.3 * 0.2) / 1.2)
    assert items["k1"].evidence == (first.id, second.id)
    assert items["k2"].uplift == 1.0  # clipped
    assert items["k3"].uplift == 0.0
    assert "no_evidence" in items["k3"].flags
    assert "no_evidence" not in items["k1"].flags
    for item in items.values():
        assert item.utility == pytest.approx(0.7 * item.similarity + 0.2 * item.uplift - 0.1 * item.latency)
    fast = memory.recall("deploy the service", 40, goal="speed")
    assert fast.goal == "variable:speed"
    assert {item.record.id: item.uplift for item in fast}["k1"] == -1.0
    then = memory.recall("deploy the service", 40, as_of=datetime(2019, 1, 1, tzinfo=UTC))
    assert {item.record.id: item.uplift for item in then}["k1"] < 0


def test_an_uplift_of_zero_is_evidence(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.causal.variable("solved", is_reward=True)
    memory.causal.add("skill:k1", "solved", 0.0)
    item = next(item for item in memory.recall("deploy", 40) if item.record.id == "k1")
    assert (item.uplift, item.flags) == (0.0, ())


def test_an_episode_has_the_uplift_of_the_skill_that_it_is_evidence_of(memory: graphsvc.Memory) -> None:
    for number in range(8):
        memory.episodes.store(
            id=f"e{number}", session=f"s{number}", task="sort the list of numbers", output="use sorted()", reward=0.9,
            success=True,
        )  # fmt: skip
    memory.episodes.store(id="other", session="s", task="sort the list of names", reward=0.1, success=False)
    memory.wait()
    report = memory.skills.consolidate()
    memory.wait()
    (skill,) = memory.skills.list()
    memory.causal.variable("solved", is_reward=True)
    memory.causal.add(("skill", skill.id), "solved", 0.5)
    items = {item.record.id: item for item in memory.recall("sort the list", 20)}
    assert items["e3"].uplift == 0.5, report
    assert "no_evidence" in items["other"].flags
    memory.causal.add(("episode", "e3"), "solved", -0.25)
    own = {item.record.id: item for item in memory.recall("sort the list", 20)}
    assert (own["e3"].uplift, own["e4"].uplift) == (-0.25, 0.5)


def test_a_mechanism_is_recalled_and_is_its_own_evidence(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.causal.variable("solved", is_reward=True)
    edge = memory.causal.add("skill:k1", "solved", 0.4, mechanism="a dry run of the migration shows what is missing")
    memory.wait()
    best = memory.recall("dry run of the migration", 3)[0]
    assert (best.kind, best.record.id, best.uplift, best.evidence) == ("cause", edge.id, 0.4, (edge.id,))


def test_uplifts_are_those_of_the_edges_there_are_whatever_came_and_went(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.causal.variable("solved", is_reward=True)
    chance = random.Random(5)
    sources = [f"skill:k{number}" for number in range(6)] + [f"episode:e{number}" for number in range(6)]
    for round in range(30):
        edges = memory.causal.list(k=100)
        if edges and chance.random() < 0.4:
            memory.causal.delete([edge.id for edge in chance.sample(edges, min(2, len(edges)))])
        elif round % 7 == 6:
            memory._opened.log.rebuild()
        else:
            memory.causal.add(chance.choice(sources), "solved", chance.uniform(-1, 1), confidence=chance.uniform(0.1, 1))
        by_cause: dict[str, list[Any]] = {}
        for edge in memory.causal.list(k=100):
            by_cause.setdefault(edge.cause, []).append(edge)
        for item in memory.recall("deploy the service", 40, kinds=["skill", "episode"]):
            some = by_cause.get(item.record.id, [])
            sure = sum(edge.confidence for edge in some)
            wanted = sum(edge.confidence * edge.uplift for edge in some) / sure if some else 0.0
            assert item.uplift == pytest.approx(wanted), f"round {round}: {item.record.id}"
            assert sorted(item.evidence) == sorted(edge.id for edge in some)


def test_a_bound_handle_counts_no_edge_of_others(memory: graphsvc.Memory) -> None:
    for agent in ("ann", "bob"):
        memory.causal.variable("solved", is_reward=True, agent=agent)
        memory.skills.create(id="k", name="deploy", description="deploy the service", agent=agent)
        memory.causal.add(("skill", agent, "k"), ("variable", agent, "solved"), 0.5 if agent == "ann" else -0.5, agent=agent)
    memory.wait()
    ann = memory.as_agent("ann").recall("deploy", 5, kinds="skill")
    assert [(item.record.agent, item.uplift) for item in ann] == [("ann", 0.5)]


def test_nearness_is_of_steps_in_the_graph(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.entities.upsert(kind="file", name="api.py", id="api")
    memory.episodes.link("e5", "api", "about")
    memory.causal.add("skill:k1", "entity:api", 0.1, mechanism="deploy the api")
    memory.wait()
    found = memory.recall("deploy", 60, near=("Entity", "api"), nearness=0.5, gamma=0)
    near = {item.record.id: item.parts["nearness"] for item in found}
    assert near["e5"] == 0.5
    assert near["k1"] == 0.5
    assert near["e8"] == pytest.approx(1 / 3)  # by the session: e5, its neighbour in time
    mechanism = next(item for item in found if item.kind == "cause")
    assert mechanism.parts["nearness"] == 1.0  # it ends there
    blend = 0.75 * mechanism.parts["vector"] + 0.25 * mechanism.parts["text"]
    assert mechanism.similarity == pytest.approx(0.5 * blend + 0.5)
    both = memory.recall("deploy", 60, near=[("Entity", "api"), ("Skill", "k7")], gamma=0)
    assert {item.record.id: item.parts["nearness"] for item in both}["k7"] == 1.0
    with pytest.raises(NotFound):
        memory.recall("deploy", near=("Entity", "nobody"))


def test_searchable_rows_of_tables_of_ones_own_are_recalled(memory: graphsvc.Memory) -> None:
    filled(memory)
    memory.graph.define("Runbook", {"name": "STRING", "text": "STRING"}, key="name", searchable=["text"])
    memory.graph.add("Runbook", {"name": "rollback", "text": "roll the service back to the image of yesterday"})
    memory.wait()
    found = memory.recall("roll back to yesterday's image", 5)
    row = next(item for item in found if item.kind == "row")
    assert (row.record.table, row.record.node) == ("Runbook", "rollback")  # type: ignore[attr-defined]
    near = memory.recall("roll back", 50, near=("Runbook", "rollback"))
    assert next(item for item in near if item.kind == "row").parts["nearness"] == 1.0
    bound = memory.as_agent("default").recall("roll back to yesterday's image", 50)
    assert "row" not in {item.kind for item in bound}
    with pytest.raises(NeedsUnbound):
        memory.as_agent("default").recall("roll back", kinds="row")


def test_age_and_feedback_change_the_similarity_and_are_shown(memory: graphsvc.Memory) -> None:
    filled(memory)
    aged = memory.recall("deploy service", 5, half_life="10d", kinds="episode", gamma=0)
    assert all(0 < item.parts["recency"] < 1 for item in aged)
    memory.feedback("deploy service", {"e3": 1.0})
    weighed = memory.recall("deploy service", 30, feedback=0.9, kinds="episode", gamma=0)
    assert weighed[0].record.id == "e3"
    assert weighed[0].parts["feedback"] == pytest.approx(2 / 3)


def test_a_bound_handle_recalls_its_own_and_what_is_shared(memory: graphsvc.Memory) -> None:
    for agent in ("ann", "bob", "team"):
        memory.episodes.store(session="s", task="deploy", agent=agent)
    memory.wait()
    seen = memory.as_agent("ann", shared=["team"]).recall("deploy", 10)
    assert {item.record.agent for item in seen} == {"ann", "team"}
    with pytest.raises(BadInput):
        memory.as_agent("ann").recall("deploy", agent="bob")


def test_nothing_there_is_an_empty_answer_and_bad_arguments_are_named(memory: graphsvc.Memory) -> None:
    assert list(memory.recall("anything")) == []
    assert memory.recall("anything").arrow().num_rows == 0
    for options in ({"kinds": "person"}, {"kinds": []}, {"alpha": -1}, {"beta": "much"}, {"weight": 2}, {"k": 0}):
        with pytest.raises(BadInput):
            memory.recall("anything", **options)  # type: ignore[arg-type]
    with pytest.raises(TooLarge):
        memory.recall("anything", 1_000_000)
    with pytest.raises(BadInput):
        memory.recall("  ")


def test_stages_are_timed_and_the_answer_has_one_shape(memory: graphsvc.Memory) -> None:
    filled(memory)
    found = memory.recall("deploy", 4)
    assert {"candidates", "score", "records", "total"} <= found.timings.keys()
    assert found.timings["total"] >= found.timings["candidates"] > 0
    table = found.arrow()
    assert table.num_rows == 4
    assert table["kind"].to_pylist() == [item.kind for item in found]
    assert found.as_dict()["items"][0]["record"]["id"] == found[0].record.id


def test_what_is_not_embedded_yet_is_found_by_words_and_says_so(path: Path) -> None:
    ready = threading.Event()

    def slow(texts: list[str]) -> NDArray[np.float32]:
        if any("feed" in text for text in texts):
            ready.wait(30)
        return np.ones((len(texts), 8), np.float32)

    with graphsvc.open(path, embedder=slow, read_wait=0.2) as memory:
        memory.episodes.store(id="z", session="s", task="feed the zebra")
        store = memory._opened.store
        assert store.wait((store.text_follower,), memory._opened.log.head, 5)
        found = memory.recall("zebra", 3, vector=np.ones(8))
        ready.set()
        assert (found.pending, [item.record.id for item in found]) == (1, ["z"])
        assert found[0].flags[-1] == "pending"


def test_facts_that_are_not_believed_are_left_out_and_those_not_true_now_are_flagged(memory: graphsvc.Memory) -> None:
    def year(number: int) -> datetime:
        return datetime(number, 1, 1, tzinfo=UTC)

    memory.facts.predicate("is led by", single=True)
    early = memory.facts.add("team", "is led by", "Ada", valid_from=year(2010), at=year(2011))
    wrong = memory.facts.add("team", "is led by", "Max", valid_from=year(2015), at=year(2016))
    memory.facts.retract(wrong.id, at=year(2018))
    memory.facts.add("team", "is led by", "Zoë", valid_from=year(2020), at=year(2020))
    memory.facts.add("team", "is led by", "Eve", valid_from=year(2090), at=year(2021))
    memory.facts.add("team", "is led by", "Bob", valid_from=year(2020), at=year(2022))  # in the place of Zoë
    memory.wait()

    def found(as_of: object = None) -> dict[str, tuple[str, ...]]:
        items = memory.recall("who leads the team", 20, as_of=as_of)  # type: ignore[arg-type]
        return {item.record.object: item.flags[1:] for item in items}  # type: ignore[attr-defined]

    assert found() == {"Ada": ("past",), "Bob": (), "Eve": ("future",)}
    assert found(year(2016)) == {"Ada": ()}
    assert found(year(2025)) == {"Bob": ()}
    assert found((year(2016), year(2017))) == {"Max": ()}
    assert found((year(2016), year(2019))) == {"Ada": ()}
    assert found((year(2025), year(2021))) == {"Zoë": ()}
    assert found((None, year(2009))) == {}
    (item,) = memory.recall("team", 20, as_of=(year(2012), year(2017)))
    assert (item.record.id, item.record.until) == (early.id, year(2015))  # type: ignore[attr-defined]
    for valid in range(2009, 2027, 2):  # and the same as `facts.list` gives
        for known in range(2010, 2027, 2):
            listed = {fact.object for fact in memory.facts.list(as_of=(year(valid), year(known)))}
            assert set(found((year(valid), year(known)))) == listed


# --- kept answers ---------------------------------------------------------------------------------------


def test_an_answer_is_kept_and_never_stale(memory: graphsvc.Memory) -> None:
    memory.causal.variable("reward", is_reward=True)
    memory.skills.create(name="deploy", description="roll out a version", id="s1")
    memory.episodes.store(session="s", task="deploy", id="e1", metadata={"a": [1]}, wait="searchable")
    memory.wait()
    cache = memory._opened.retrieval.cache

    def kept(**options: Any) -> bool:
        hits = cache.hits
        found = memory.recall("deploy a version", **options)
        again = cache.hits > hits
        assert (set(found.timings) == {"total"}) == again
        return again

    assert not kept()
    assert kept()
    assert not kept(k=5)
    assert not kept(alpha=0.1)
    assert not kept(vector=np.ones(memory._opened.store.vectors.dimension))
    assert kept(vector=list(np.ones(memory._opened.store.vectors.dimension)))
    for write in (
        lambda: memory.causal.add("skill:s1", "reward", 0.5, id="c1"),
        lambda: memory.causal.variable("cost", is_reward=True),
        lambda: memory.episodes.amend("e1", critique="migrate first"),
        lambda: memory.facts.add("api", "runs on", "node-1", id="f1"),
        lambda: memory.entities.upsert(kind="file", name="a.py"),
        lambda: memory.episodes.delete("e1"),
    ):
        write()
        memory.wait()
        assert not kept(), write
        assert kept()
    assert not any(kept(**options) for options in ({"half_life": "1d"}, {"feedback": 0.5}, {"near": ("Skill", "s1")}) * 2)


def test_a_kept_answer_is_the_readers_own(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="deploy", id="e1", metadata={"a": [1]}, wait="searchable")
    memory.wait()
    for _ in range(3):
        found = memory.recall("deploy")
        record = found[0].record
        assert record.metadata == {"a": [1]}
        record.metadata["a"].append(2)
        found[0].parts.clear()
        found.timings.clear()
        assert memory.recall("deploy")[0].parts


def test_a_kept_answer_ends_when_an_edge_or_a_fact_does(memory: graphsvc.Memory) -> None:
    memory.causal.variable("reward", is_reward=True)
    memory.skills.create(name="deploy", description="roll out a version", id="s1")
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    memory.causal.add("skill:s1", "reward", 0.5, valid_to=soon, id="c1")
    memory.wait()
    assert memory.recall("deploy", kinds="skill")[0].uplift == 0.5
    assert memory.recall("deploy", kinds="skill")[0].uplift == 0.5
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.05)
    assert memory.recall("deploy", kinds="skill")[0].flags == ("no_evidence",)


def test_a_bound_handle_never_gets_what_another_was_answered(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="deploy", agent="b", id="e1", wait="searchable")
    memory.wait()
    assert [item.record.id for item in memory.recall("deploy")] == ["e1"]
    assert not memory.as_agent("a").recall("deploy")
    assert [item.record.id for item in memory.as_agent("a", shared=["b"]).recall("deploy")] == ["e1"]


def test_a_kept_answer_is_awaited_without_a_thread(path: Path) -> None:
    async def ask() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="deploy", id="e1", wait="searchable")
            await memory.wait()
            first = await memory.recall("deploy")
            coroutine = memory.recall("deploy")
            with pytest.raises(StopIteration) as done:
                coroutine.send(None)  # it ends at once, without waiting for anything
            assert done.value.value.records == first.records

    asyncio.run(ask())


def test_a_kept_answer_ends_when_an_import_brings_what_skills_were_derived_from(memory: graphsvc.Memory) -> None:
    memory.causal.variable("r", is_reward=True)
    memory.episodes.store(session="s", task="parse json", id="e")
    memory.skills.create(name="other", id="k")
    memory.causal.add("skill:k", "r", 0.9)
    memory.wait()
    for _ in range(2):
        assert [item.uplift for item in memory.recall("parse json", kinds="episode")] == [0.0]
    memory._opened.log.submit(
        TakeLinks([TakenLink("DERIVED_FROM", ("skill", "default", "k"), ("episode", "default", "e"), {})])
    )
    assert [item.uplift for item in memory.recall("parse json", kinds="episode")] == [0.9]
