"""Skills: versions, outcomes, links, plans, choice, pruning."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, Conflict, Cycle, Gone, NotFound
from graphsvc.model.records import Outcome, Skill
from graphsvc.model.requests import TakeLinks, TakenLink
from graphsvc.model.skills import after_outcome, plan

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_new_code_makes_a_new_version_and_old_ones_stay(memory: graphsvc.Memory) -> None:
    skill = memory.skills.create(id="d", name="deploy", code="v1")
    assert memory.skills.revise("d", code="v2", description="better").version == 2
    assert memory.skills.revise("d", tags=["x"]).version == 2, "tags are no part of a version"
    assert memory.skills.revise("d", code="v2") == memory.skills.get("d")
    assert [version.code for version in memory.skills.versions("d")] == ["v1", "v2"]
    assert memory.skills.version("d", 1).name == skill.name
    with pytest.raises(NotFound):
        memory.skills.version("d", 3)
    with pytest.raises(BadInput, match="counted"):
        memory.skills.revise("d", uses=100)
    assert [event.what for event in memory.skills.history("d")] == ["store", "amend", "amend"]
    assert memory.verify().ok


def test_outcomes_update_the_statistics_and_the_same_one_counts_once(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="d", name="deploy")
    memory.skills.record_outcome("d", success=True, reward=0.9, latency_ms=300)
    memory.skills.record_outcome("d", success=False, reward=0.1, id="o1")
    skill = memory.skills.record_outcome("d", success=False, reward=0.1, id="o1")
    assert (skill.uses, skill.successes, skill.success_rate) == (2, 1, 0.5)
    assert skill.reward == pytest.approx(0.5)
    assert skill.latency_ms == 300
    with pytest.raises(Conflict):
        memory.skills.record_outcome("d", success=True, id="o1")
    with pytest.raises(NotFound):
        memory.skills.record_outcome("none", success=True)
    with pytest.raises(NotFound):
        memory.skills.record_outcome("d", success=True, episode="none")
    assert memory.skills.get("d").uses == 2
    assert memory.skills.statistics("d").count == 2


def test_an_episode_of_another_agent_may_have_used_a_skill(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="k", name="shared")
    memory.episodes.store(id="e", session="s", task="t", agent="builder")
    memory.skills.record_outcome("k", success=True, episode="e")
    assert memory.episodes.relations("e").skills == ("k",)
    assert memory.verify().ok
    with pytest.raises(NotFound):
        memory.as_agent("default").skills.record_outcome("k", success=True, episode="e")


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(-5, 5), st.none() | st.floats(0, 1e6)), max_size=30))
def test_running_means_are_means(uses: list[tuple[bool, float | None, float | None]]) -> None:
    skill = Skill(id="s", name="s", at=START)
    for number, (success, reward, latency) in enumerate(uses):
        outcome = Outcome(id=str(number), at=START, skill="s", success=success, reward=reward, latency_ms=latency)
        skill = Skill(**{**{f: getattr(skill, f) for f in skill.__struct_fields__}, **after_outcome(skill, outcome)})
    rewards = [reward for _, reward, _ in uses if reward is not None]
    assert (skill.uses, skill.successes, skill.rewards) == (len(uses), sum(use[0] for use in uses), len(rewards))
    if rewards:
        assert skill.reward == pytest.approx(sum(rewards) / len(rewards), abs=1e-9)


def test_a_plan_has_prerequisites_first_and_calls_may_run_in_circles(memory: graphsvc.Memory) -> None:
    for name in "abcd":
        memory.skills.create(id=name, name=name)
    memory.skills.link("d", "b", "prerequisite")
    memory.skills.link("d", "c", "prerequisite", weight=0.5)
    memory.skills.link("b", "a", "prerequisite")
    memory.skills.link("c", "a", "prerequisite")
    memory.skills.link("a", "d", "calls")
    memory.skills.link("a", "a", "calls")
    assert [skill.id for skill in memory.skills.plan("d")] == ["a", "b", "c", "d"]
    assert [skill.id for skill in memory.skills.plan("a")] == ["a"]
    assert not memory.skills.link("b", "a", "prerequisite"), "nothing changed"
    for target in ("a", "d"):
        with pytest.raises(Cycle):
            memory.skills.link("a", target, "prerequisite")
    with pytest.raises(BadInput):
        memory.skills.link("a", "a", "alternative")
    assert {(link.type, link.direction, link.id) for link in memory.skills.links("c")} == {
        ("prerequisite", "in", "d"),
        ("prerequisite", "out", "a"),
    }
    assert memory.skills.unlink("d", "c", "prerequisite")
    assert not memory.skills.unlink("d", "c", "prerequisite")
    assert [skill.id for skill in memory.skills.plan("d")] == ["a", "b", "d"]
    memory.skills.delete("b")
    assert [skill.id for skill in memory.skills.plan("d")] == ["d"]
    assert memory.verify().ok


@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12), max_size=4), max_size=12))
def test_in_a_plan_each_comes_after_all_that_it_needs(needs: dict[int, set[int]]) -> None:
    acyclic = {str(a): [str(b) for b in some if b < a] for a, some in needs.items()}
    order = plan("12", acyclic)
    assert order[-1] == "12"
    assert len(set(order)) == len(order)
    for skill in order:
        assert all(order.index(needed) < order.index(skill) for needed in acyclic.get(skill, ()))


def test_creating_with_a_missing_prerequisite_creates_nothing(memory: graphsvc.Memory) -> None:
    with pytest.raises(NotFound):
        memory.skills.create(name="orphan", prerequisites=["none"])
    with pytest.raises(NotFound):
        memory.skills.create_many([{"id": "x", "name": "x"}], links=[("x", "none", "calls")])
    assert memory.skills.count() == 0
    memory.skills.create_many([{"id": "x", "name": "x"}, {"id": "y", "name": "y"}], links=[("x", "y", "calls")])
    assert memory.verify().ok


def test_a_search_weighs_relevance_and_what_is_known_of_success(memory: graphsvc.Memory) -> None:
    for name in ("good", "bad"):
        memory.skills.create(id=name, name="rollOutRelease", description="roll out a release")
        for _ in range(20):
            memory.skills.record_outcome(name, success=name == "good", reward=float(name == "good"))
    memory.skills.create(id="other", name="waterPlants", description="water the plants")
    hits = memory.skills.search("roll out a release", k=3)
    assert [hit.skill.id for hit in hits] == ["good", "bad", "other"]
    parts = hits[0].parts
    assert hits[0].score == pytest.approx(
        0.7 * parts["similarity"] + 0.15 * parts["success"] + 0.1 * parts["reward"] + 0.05 * parts["uses"]
    )
    alone = memory.skills.search("roll out a release", k=2, weights={"similarity": 1})
    assert [hit.skill.id for hit in alone] == ["bad", "good"], "equally relevant: by id"
    assert memory.skills.search("roll out", where={"uses": {"lt": 5}}, k=5)[0].skill.id == "other"


def test_the_choice_samples_and_repeats_with_its_seed_and_writes_nothing(memory: graphsvc.Memory) -> None:
    for name, successes in (("often", 30), ("seldom", 3)):
        memory.skills.create(id=name, name="deploy", description="deploy a release")
        for number in range(32):
            memory.skills.record_outcome(name, success=number < successes)
    head = memory.status()["head"]
    chosen = [memory.skills.choose("deploy", rng=seed) for seed in range(30)]
    assert {hit.skill.id for hit in chosen if hit} == {"often"}
    memory.skills.create(id="new", name="deploy", description="deploy a release")
    chance = random.Random(3)
    tried = {hit.skill.id for _ in range(200) if (hit := memory.skills.choose("deploy", rng=chance))}
    assert "new" in tried, "what isn't known is tried"
    first, second = memory.skills.choose("deploy", rng=7), memory.skills.choose("deploy", rng=7)
    assert first == second
    assert memory.status()["head"] == head + 1


def test_no_skill_is_chosen_from_none(memory: graphsvc.Memory) -> None:
    assert memory.skills.choose("anything") is None


def test_pruning_spares_what_a_staying_skill_needs(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="base", name="base")
    memory.skills.create(id="used", name="used", prerequisites=["base"])
    memory.skills.create(id="idle", name="idle")
    memory.skills.record_outcome("used", success=True)
    assert memory.skills.prune(min_uses=1, dry_run=True) == ["idle"]
    assert memory.skills.prune(min_uses=1) == ["idle"]
    with pytest.raises(Gone):
        memory.skills.get("idle")
    assert memory.skills.prune(max_age=timedelta(days=1), min_uses=1) == []
    assert memory.verify().ok


def test_deleting_a_skill_takes_its_versions_and_outcomes_along(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="d", name="deploy", code="1")
    memory.skills.revise("d", code="2")
    memory.skills.record_outcome("d", success=True)
    memory.skills.delete("d")
    memory.wait()
    assert memory._opened.store.graph.counts()["SkillVersion"] == 0
    assert memory.verify().ok


def test_a_choice_can_be_kept_to_what_is_near(memory: graphsvc.Memory) -> None:
    for name in ("deploy the service", "water the plants"):
        memory.skills.create(id=name.split()[0], name=name, description=name)
    memory.wait()
    chosen = [memory.skills.choose("deploy the service", min_similarity=0.9, rng=seed) for seed in range(20)]
    assert {hit.skill.id for hit in chosen if hit} == {"deploy"}
    assert memory.skills.choose("bake bread", min_similarity=0.99) is None


def test_evidence_in_a_namespace_that_is_not_seen_is_not_shown(memory: graphsvc.Memory) -> None:
    seen, hidden = memory.as_agent("seen"), memory.as_agent("hidden")
    hidden.episodes.store(session="s", task="t", output="a secret", id="e")
    seen.skills.create(name="skill", id="k")
    memory._opened.log.submit(
        TakeLinks([TakenLink("DERIVED_FROM", ("skill", "seen", "k"), ("episode", "hidden", "e"), {})])
    )
    assert seen.skills.evidence("k") == []
    assert [episode.id for episode in memory.skills.evidence("k")] == ["e"]
