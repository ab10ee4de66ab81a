"""Consolidation: skills from what successful attempts at like tasks have in common."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import BadInput, Gone
from graphsvc.memory.clusters import clusters
from graphsvc.memory.drafting import draft, is_code, steps_of
from graphsvc.memory.importing import import_jsonl
from graphsvc.model.records import Episode, Outcome, Skill
from graphsvc.model.skills import COUNTED, from_evidence

from .conftest import ROOT

START = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = "run the migration first\nkubectl apply -f service.yaml\ncheck the health endpoint"
BAD = "kubectl apply -f service.yaml"


def attempt(id: str, task: str, output: str = GOOD, *, success: bool = True, **more: Any) -> dict[str, Any]:
    number = int("".join(filter(str.isdigit, id)) or 0)
    return {
        "id": id, "session": f"s{number % 3}", "task": task, "output": output, "success": success,
        "reward": 0.9 if success else 0.1, "at": START + timedelta(minutes=number), "tags": ["ops", id], **more,
    }  # fmt: skip


DEPLOYMENTS = [
    attempt("e1", "deploy the payment service to production"),
    attempt("e2", "deploy the search service to production"),
    attempt("e3", "deploy the payment service to production"),
    attempt("e4", "deploy the payment service to production", BAD, success=False, critique="Run the migration first."),
    attempt("e5", "deploy the search service to production", BAD, success=False, critique="Run the migration first."),
]
OTHERS = [
    attempt("o6", "water the plants on the balcony", "fill the can\npour slowly"),
    attempt("o7", "summarise the quarterly sales figures", "read the table\nname the largest change"),
]


def ids(episodes: list[Episode]) -> list[str]:
    return [episode.id for episode in episodes]


def content(memory: graphsvc.Memory) -> list[Any]:
    """Everything that consolidation writes, in an order of its own."""
    skills = memory.skills.list(k=1000, order="id")
    return [(one, memory.skills.versions(one.id), ids(memory.skills.evidence(one.id))) for one in skills]


def test_a_skill_has_what_the_successes_shared_and_the_failures_lacked(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS + OTHERS)
    done = memory.skills.consolidate()
    [learnt] = done.by("created")
    assert (learnt.successes, learnt.failures, learnt.tasks) == (("e1", "e2", "e3"), ("e4", "e5"), 2)
    assert (done.episodes, done.successes, done.failures, done.pending) == (7, 5, 2, 0)
    skill = memory.skills.get(learnt.id)
    assert (skill.name, skill.code) == ("deploy the service to production", GOOD)
    assert "Drawn from 3 successes and 2 failures." in skill.description
    assert "The failures lacked: run the migration first | check the health endpoint" in skill.description
    assert "Said of a failure: Run the migration first." in skill.description
    assert skill.tags == ("consolidated", "ops")
    assert (skill.uses, skill.successes, skill.rewards, skill.version) == (5, 3, 5, 1)
    assert skill.reward == pytest.approx((3 * 0.9 + 2 * 0.1) / 5)
    assert skill.last_used == START + timedelta(minutes=5)
    assert ids(memory.skills.evidence(skill.id)) == ["e1", "e2", "e3", "e4", "e5"]
    assert skill.metadata["consolidation"]["steps"][1] == {
        "text": "kubectl apply -f service.yaml", "successes": 1.0, "failures": 1.0,
    }  # fmt: skip
    memory.wait()
    assert memory.skills.search("deploy a service")[0].skill == skill
    edges = [ends for table, ends, _ in memory._opened.store.graph.contents() if table == "DERIVED_FROM"]
    assert len(edges) == 5
    assert memory.verify().ok


def test_a_step_commoner_among_failures_is_none_of_the_skill(memory: graphsvc.Memory) -> None:
    task = "rotate the signing key"
    good = ["make a new key\nswitch the service over", "make a new key\nswitch the service over\nrevoke the old key",
            "make a new key\nrevoke the old key\nswitch the service over"]  # fmt: skip
    memory.episodes.store_many(
        [attempt(f"e{i}", task, output) for i, output in enumerate(good)]
        + [attempt(f"e{i}", task, "revoke the old key\npanic", success=False) for i in (5, 6, 7)]
    )
    [learnt] = memory.skills.consolidate(similarity=0.5).by("created")
    assert learnt.code == "make a new key\nswitch the service over"


def test_tasks_in_other_words_but_of_one_meaning_are_one_skill(memory: graphsvc.Memory) -> None:
    near, far = np.zeros((2, 384), np.float32)
    near[0] = far[1] = 1.0
    chance = np.random.default_rng(1)
    texts = ["ship the release", "bring the new version live", "roll out build 17"]
    episodes = [attempt(f"e{i}", text) for i, text in enumerate([*texts, "feed the cat", "feed the dog", "feed the fox"])]
    vectors = [(near if i < 3 else far) + chance.normal(0, 0.01, 384) for i in range(6)]
    memory.episodes.store_many(episodes, vectors=np.array(vectors))
    done = memory.skills.consolidate()
    assert [(one.successes, one.tasks) for one in done.by("created")] == [
        (("e0", "e1", "e2"), 3),
        (("e3", "e4", "e5"), 3),
    ]
    assert memory.skills.get(done.skills[1].id).name == "feed the cat", "two common words say too little"


def test_done_twice_it_adds_nothing_and_new_evidence_makes_a_version(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS)
    [first] = memory.skills.consolidate().skills
    before, head = content(memory), memory.status()["head"]
    again = memory.skills.consolidate()
    assert [(one.action, one.id, one.version) for one in again.skills] == [("unchanged", first.id, 1)]
    assert (content(memory), memory.status()["head"]) == (before, head)
    memory.episodes.store(**attempt("e9", "deploy the mail service to production"))
    [second] = memory.skills.consolidate().skills
    assert (second.action, second.id, second.version) == ("updated", first.id, 2)
    assert [version.description.splitlines()[-3] for version in memory.skills.versions(first.id)] == [
        "Drawn from 3 successes and 2 failures.", "Drawn from 4 successes and 2 failures.",
    ]  # fmt: skip
    assert memory.skills.get(first.id).uses == 6
    assert "e9" in ids(memory.skills.evidence(first.id))
    assert memory.skills.count() == 1
    assert memory.verify().ok


def test_deleted_evidence_drops_its_edge_and_the_next_run_counts_anew(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many([*DEPLOYMENTS, attempt("e8", "deploy the payment service to production")])
    [learnt] = memory.skills.consolidate().skills
    memory.episodes.delete(["e2", "e4"])
    assert ids(memory.skills.evidence(learnt.id)) == ["e1", "e3", "e5", "e8"]
    [after] = memory.skills.consolidate().skills
    assert (after.action, after.id, after.version) == ("updated", learnt.id, 2)
    assert memory.skills.get(learnt.id).uses == 4
    assert memory.verify().ok


def test_a_revised_skill_stays_revised_until_there_is_new_evidence(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS)
    [learnt] = memory.skills.consolidate().skills
    memory.skills.revise(learnt.id, name="deploy_service", tags=["mine"])
    assert memory.skills.consolidate().skills[0].action == "unchanged"
    assert memory.skills.get(learnt.id).name == "deploy_service"
    memory.episodes.store(**attempt("e9", "deploy the payment service to production"))
    assert memory.skills.consolidate().skills[0].version == 3
    assert memory.skills.get(learnt.id).tags == ("consolidated", "mine", "ops")
    assert memory.skills.version(learnt.id, 2).name == "deploy_service"


def test_a_deleted_skill_is_not_learnt_again(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS)
    [learnt] = memory.skills.consolidate().skills
    memory.skills.delete(learnt.id)
    assert [one.action for one in memory.skills.consolidate().skills] == ["deleted"]
    with pytest.raises(Gone):
        memory.skills.get(learnt.id)
    assert memory.verify().ok


def test_thresholds_say_which_attempts_count(memory: graphsvc.Memory) -> None:
    task = "deploy the payment service"
    now = datetime.now(UTC)
    memory.episodes.store_many(
        [
            attempt("e1", task, at=now - timedelta(days=30)),
            attempt("e2", task, at=now - timedelta(days=1)),
            attempt("e3", task, at=now, reward=0.5),
            attempt("e4", task, at=now, success=None, reward=0.8),
            attempt("e5", task, BAD, at=now, success=None, reward=0.2),
            attempt("e6", task, at=now, reward=None),
        ]
    )
    plan = {"dry_run": True, "min_attempts": 1}
    [all_] = memory.skills.consolidate(**plan).skills
    assert (all_.successes, all_.failures) == (("e1", "e2", "e4", "e6"), ("e5",))
    assert memory.skills.consolidate(**plan, min_reward=0.85).skills[0].successes == ("e1", "e2", "e6")
    assert memory.skills.consolidate(**plan, window="7d").skills[0].successes == ("e2", "e4", "e6")
    assert memory.skills.consolidate(**plan, where={"id": ["e1", "e6"]}).skills[0].successes == ("e1", "e6")
    assert memory.skills.consolidate(dry_run=True, min_attempts=5).skills == []
    for wrong in ({"min_attempts": 0}, {"min_attempts": True}, {"similarity": 0}, {"similarity": 1.5}, {"window": "x"},
                  {"min_reward": float("nan")}, {"wait": "soon"}):  # fmt: skip
        with pytest.raises(BadInput):
            memory.skills.consolidate(**wrong)


def test_within_a_window_new_evidence_still_finds_the_skill_of_the_old(memory: graphsvc.Memory) -> None:
    now = datetime.now(UTC)
    task = "deploy the payment service"
    memory.episodes.store_many([attempt(f"e{i}", task, at=now - timedelta(days=60 - i)) for i in range(3)])
    [old] = memory.skills.consolidate().skills
    memory.episodes.store(**attempt("e9", task, at=now))
    [new] = memory.skills.consolidate(window="7d").skills
    assert (new.action, new.id, len(new.successes)) == ("updated", old.id, 4)


def test_recorded_uses_and_evidence_are_counted_together_each_episode_once(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS)
    [learnt] = memory.skills.consolidate().skills
    memory.skills.record_outcome(learnt.id, success=True, reward=1.0)
    memory.episodes.store(**attempt("e9", "deploy the payment service to production"))
    assert memory.skills.record_outcome(learnt.id, success=True, reward=0.9, episode="e9").uses == 7
    memory.skills.consolidate()
    skill = memory.skills.get(learnt.id)
    assert (skill.uses, skill.successes) == (7, 5)
    assert skill.reward == pytest.approx((3 * 0.9 + 2 * 0.1 + 1.0 + 0.9) / 7)


def test_each_namespace_is_consolidated_by_itself(memory: graphsvc.Memory) -> None:
    for agent in ("builder", "tester"):
        memory.episodes.store_many(DEPLOYMENTS, agent=agent)
    bound = memory.as_agent("builder")
    assert [one.agent for one in bound.skills.consolidate(dry_run=True).skills] == ["builder"]
    assert [one.agent for one in memory.skills.consolidate(agent="tester").skills] == ["tester"]
    assert bound.skills.count() == 0
    assert [(one.agent, one.action) for one in memory.skills.consolidate().skills] == [
        ("builder", "created"),
        ("tester", "unchanged"),
    ]
    [own] = bound.skills.list()
    assert {episode.agent for episode in bound.skills.evidence(own.id)} == {"builder"}
    with pytest.raises(BadInput):
        bound.skills.consolidate(agent="tester")
    assert memory.verify().ok


def test_the_same_memory_gives_the_same_skills(tmp_path: Path) -> None:
    found = []
    for name in "ab":
        with graphsvc.open(tmp_path / name, embedder="hashing") as memory:
            memory.episodes.store_many(DEPLOYMENTS + OTHERS)
            done = memory.skills.consolidate(min_attempts=1)
            found.append((content(memory), [(one.action, one.id, one.code) for one in done.skills], memory.verify().digest))
    assert found[0] == found[1]


def test_successes_that_share_nothing_or_say_nothing_make_no_skill(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(
        [attempt(f"e{i}", "play the game called thirteen", "") for i in range(3)]
        + [attempt(f"e{i}", "play the game called chess", text) for i, text in ((4, "alpha"), (5, "beta"), (6, "gamma"))]
    )
    done = memory.skills.consolidate(similarity=0.3)
    assert {one.action for one in done.skills} == {"nothing shared"}
    assert memory.skills.count() == 0


def test_of_code_all_is_quoted(memory: graphsvc.Memory) -> None:
    codes = [f"def add(a, b):\n    total = a + b{i * ' '}\n    return total" for i in range(3)]
    memory.episodes.store_many([attempt(f"e{i}", "write a function that adds", code) for i, code in enumerate(codes)])
    [learnt] = memory.skills.consolidate().skills
    assert learnt.code in codes


def test_it_is_awaited_too_and_refused_when_closed(path: Path) -> None:
    async def run() -> tuple[int, int]:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store_many(DEPLOYMENTS)
            done = await memory.skills.consolidate(wait="graph")
            return len(done.by("created")), len(await memory.skills.evidence(done.skills[0].id))

    import asyncio

    assert asyncio.run(run()) == (1, 5)


# --- any memory -----------------------------------------------------------------------------------------------

WORDS = ("deploy the service", "water the plants", "write the report")
EPISODES = st.lists(
    st.tuples(
        st.sampled_from(WORDS), st.sampled_from(("now", "again", "")), st.sampled_from((GOOD, BAD, "fill the can", "")),
        st.sampled_from((True, False, None)), st.sampled_from((None, 0.1, 0.9)), st.sampled_from("ab"),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


@given(EPISODES, EPISODES)
@settings(max_examples=10, deadline=None)
def test_of_any_episodes_a_second_run_changes_nothing_and_no_evidence_is_anothers(first: Any, second: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, graphsvc.open(f"{folder}/m", embedder="hashing") as memory:
        for round_, rows in enumerate((first, second)):
            memory.episodes.store_many(
                [attempt(f"e{round_}{i}", f"{task} {more}", output, success=success, reward=reward, agent=agent)
                 for i, (task, more, output, success, reward, agent) in enumerate(rows)]
            )  # fmt: skip
            planned = memory.skills.consolidate(min_attempts=2, dry_run=True)
            done = memory.skills.consolidate(min_attempts=2)
            assert [(one.action, one.id, one.version) for one in planned.skills] == [
                (one.action, one.id, one.version) for one in done.skills
            ]
            said, head = content(memory), memory.status()["head"]
            again = memory.skills.consolidate(min_attempts=2)
            assert not again.by("created")
            assert not again.by("updated")
            assert (content(memory), memory.status()["head"]) == (said, head)
        for skill in memory.skills.list():
            evidence = memory.skills.evidence(skill.id, agent=skill.agent)
            assert {episode.agent for episode in evidence} == {skill.agent}
            assert skill.uses == sum(episode.success is not None for episode in evidence)
            assert skill.successes == sum(episode.success is True for episode in evidence)
        report = memory.verify()
        assert report.ok, report.problems


def test_others_write_and_delete_meanwhile(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(DEPLOYMENTS)
    ended = threading.Event()
    failed: list[BaseException] = []

    def write(name: str) -> None:
        number = 100
        try:
            while not ended.is_set():
                number += 1
                id = f"{name}{number}"
                memory.episodes.store(**attempt(id, "deploy the payment service to production"))
                if number % 3 == 0:
                    memory.episodes.delete(id)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "xy"]
    for writer in writers:
        writer.start()
    runs = [memory.skills.consolidate() for _ in range(8)]
    ended.set()
    for writer in writers:
        writer.join()
    assert not failed
    assert memory.skills.count() == 1
    assert len(runs[-1].skills[0].successes) > len(runs[0].skills[0].successes)
    memory.skills.consolidate()
    assert memory.skills.consolidate().skills[0].action == "unchanged"
    assert memory.verify().ok


ON_BOTH = """
import sys, graphsvc
from tests.test_consolidation import DEPLOYMENTS, OTHERS, attempt
with graphsvc.open(sys.argv[1], embedder="hashing", engine=sys.argv[2]) as memory:
    memory.episodes.store_many(DEPLOYMENTS + OTHERS)
    memory.skills.consolidate(min_attempts=1, wait="graph")
    memory.episodes.store(**attempt("e9", "deploy the payment service to production"))
    memory.episodes.delete("e1")
    memory.skills.consolidate(min_attempts=1)
    report = memory.verify()
    assert report.ok, report.problems
    print(report.digest)
"""


def test_both_engines_hold_the_same_skills_and_evidence(tmp_path: Path) -> None:
    digests = set()
    for engine in ("kuzu", "ladybug"):
        command = [sys.executable, "-c", ON_BOTH, str(tmp_path / engine), engine]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


# --- the parts ------------------------------------------------------------------------------------------------


def test_steps_leave_out_what_the_world_answered_and_code_is_known() -> None:
    trace = "Thought 1: I search the band.\nAction 1: Search[x]\nObservation 1: The band is\n\n```\n}\n"
    assert steps_of(trace) == ["Thought 1: I search the band.", "Action 1: Search[x]"]
    assert steps_of("def f(x):\n    # Adds one.\n    return x + 1", "def f(x):\n    # Adds one.") == ["    return x + 1"]
    assert not is_code(trace)
    assert is_code("    for x in y:\n        total += x\n    return total")
    assert is_code("fn main() {\n    let x = 1;\n}")
    assert not is_code("Make a new key.\nSwitch over.\nRevoke the old one.")


def test_a_draft_of_one_success_is_that_success() -> None:
    one = Episode(id="e", at=START, session="s", task="t", output="do this\nthen that")
    found = draft([one], [])
    assert found is not None
    assert found.code == "do this\nthen that"


@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0.3, 0.95))
@settings(max_examples=60, deadline=None)
def test_clusters_are_those_of_plain_average_linkage(seed: int, count: int, similarity: float) -> None:
    from sklearn.cluster import AgglomerativeClustering

    chance = np.random.default_rng(seed)
    middles = chance.normal(size=(5, 16))
    vectors = middles[chance.integers(0, 5, count)] + 0.7 * chance.normal(size=(count, 16))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = clusters(unit, similarity)
    distances = np.maximum(0, 1 - np.round((unit @ unit.T).astype(np.float64), 6))
    if count == 1:
        assert found.tolist() == [0]
        return
    plain = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - similarity + 1e-9
    ).fit_predict(distances)
    assert len(set(zip(found.tolist(), plain.tolist(), strict=True))) == len(set(found)) == len(set(plain))
    assert list(dict.fromkeys(found.tolist())) == list(range(len(set(found)))), "numbered as they come"


def test_a_component_too_large_for_a_matrix_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsvc.memory.clusters.MOST", 20)
    chance = np.random.default_rng(0)
    vectors = np.repeat(np.eye(2, 8), 60, axis=0) + 0.01 * chance.normal(size=(120, 8)) + 0.5  # cosine 0.77 across
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = clusters(unit, 0.6)
    assert set(labels) == {0}, "the parts of one cluster are joined again"
    apart = clusters(unit, 0.95)
    assert set(apart[:60]) == {0}
    assert set(apart[60:]) == {1}
    assert (apart == clusters(unit, 0.95)).all()


@given(st.lists(st.tuples(st.booleans() | st.none(), st.none() | st.floats(0, 1)), max_size=12), st.randoms())
def test_statistics_from_evidence_are_those_of_the_same_uses_in_any_order(uses: list[Any], chance: Any) -> None:
    episodes = [
        Episode(id=f"e{i}", at=START + timedelta(hours=i), session="s", task="t", success=success, reward=reward)
        for i, (success, reward) in enumerate(uses)
    ]
    outcome = Outcome(id="o", at=START, skill="k", success=False, reward=0.25, episode="e0")
    skill = Skill(id="k", at=START, name="k", uses=99, successes=50)
    values = from_evidence(skill, [outcome], episodes)
    counted = [(success, reward) for i, (success, reward) in enumerate(uses) if i and success is not None]
    assert set(values) == set(COUNTED)
    assert values["uses"] == 1 + len(counted)
    assert values["successes"] == sum(bool(success) for success, _ in counted)
    rewards = [0.25, *(reward for _, reward in counted if reward is not None)]
    assert values["reward"] == pytest.approx(sum(rewards) / len(rewards))
    chance.shuffle(episodes)
    assert from_evidence(skill, [outcome], episodes) == values


# --- how long -------------------------------------------------------------------------------------------------

SECONDS = 15.0


def families(count: int, size: int, spread: float) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Episodes in families of like vectors, each at a task of its own."""
    chance = np.random.default_rng(7)
    middles = np.repeat(chance.normal(size=(count // size, 384)), size, axis=0)
    vectors = middles + spread * chance.normal(size=(count, 384))
    steps = ["open the case {0}", "read part {1} of it", "compare it with number {0}", "write down result {1}", "close {0}"]
    episodes = [
        attempt(f"e{i}", f"task {i} of family {i // size}", "\n".join(s.format(i // size, i) for s in steps),
                success=i % 4 != 3)
        for i in range(count)
    ]  # fmt: skip
    return episodes, vectors.astype(np.float32)


def timed(memory: graphsvc.Memory, count: int, size: int, spread: float) -> tuple[Any, float]:
    episodes, vectors = families(count, size, spread)
    memory.episodes.store_many(episodes, vectors=vectors)
    memory.wait(timeout=300)
    began = time.perf_counter()
    done = memory.skills.consolidate()
    return done, time.perf_counter() - began


def test_two_thousand_episodes_are_consolidated_in_a_fifth_of_the_time(memory: graphsvc.Memory) -> None:
    done, seconds = timed(memory, 2_000, 10, 0.3)
    assert len(done.by("created")) == 200
    assert seconds < SECONDS / 5 + 3, "3 s to load the library"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "spread"), [(10, 0.3), (4, 0.3), (1, 0.3), (10_000, 0.5)])
def test_ten_thousand_episodes_are_consolidated_in_time(memory: graphsvc.Memory, size: int, spread: float) -> None:
    done, seconds = timed(memory, 10_000, size, spread)
    print(f"families of {size}: {seconds:.1f} s, {len(done.by('created'))} skills")
    assert seconds < SECONDS
    assert memory.verify().ok


@pytest.mark.slow
def test_real_episodes_are_consolidated_in_time_and_again_without_change(
    memory: graphsvc.Memory, shared_data: Path
) -> None:
    file = shared_data / "reflexion" / "episodes.jsonl.gz"
    if not file.exists():
        pytest.skip("no reflexion data here")
    import_jsonl(memory, file, fields={"id": "episode_id", "session": "session_id"}, rest="metadata")
    memory.wait(timeout=600)
    began = time.perf_counter()
    done = memory.skills.consolidate()
    seconds = time.perf_counter() - began
    print(f"{done.episodes:,} real episodes: {seconds:.1f} s, {len(done.by('created'))} skills")
    assert seconds < SECONDS
    assert len(done.by("created")) > 100
    head = memory.status()["head"]
    assert {one.action for one in memory.skills.consolidate().skills} <= {"unchanged", "nothing shared"}
    assert memory.status()["head"] == head
    assert memory.verify().ok
