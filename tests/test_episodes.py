"""Episodes: retrieval, lessons, figures, waits, queue, asynchronous use, namespaces."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import Ambiguous, BadInput, FollowerStopped, NotFound, Overloaded, WaitTimeout
from graphsvc.model.texts import WEIGHT
from graphsvc.store.lance import LanceVectors

from .chaos.test_kill import check

CRITIQUES = [
    ("Deploy the API to staging", "Forgot to run the migration before the rollout", 0.1),
    ("Deploy the web front end", "Forgot to run the migration before the roll out", 0.2),
    ("Deploy the billing service", "The health check timed out because the port was wrong", 0.3),
    ("Write the quarterly report", "Numbers of the wrong quarter were used", 0.0),
]


@pytest.fixture
def runs(memory: graphsvc.Memory) -> graphsvc.Memory:
    for number, (task, critique, reward) in enumerate(CRITIQUES):
        memory.episodes.store(id=f"f{number}", session="a", task=task, critique=critique, reward=reward, success=False)
        memory.episodes.store(
            id=f"s{number}", session="b", task=task, output=f"did it with plan {number}", reward=1.0, success=True
        )
    return memory


def test_the_blend_is_the_convex_sum_of_its_scaled_parts(runs: graphsvc.Memory) -> None:
    hits = runs.episodes.retrieve("run the migration for the API", k=8)
    for hit in hits:
        assert hit.score == pytest.approx(WEIGHT * hit.parts["vector"] + (1 - WEIGHT) * hit.parts["text"])
        assert -1 <= hit.parts["cosine"] <= 1
        assert hit.parts["bm25"] >= 0
    for part in ("vector", "text"):
        assert {min(hit.parts[part] for hit in hits), max(hit.parts[part] for hit in hits)} == {0.0, 1.0}
    leaning = runs.episodes.retrieve("run the migration for the API", k=8, weight=1.0)
    assert [hit.parts["cosine"] for hit in leaning] == sorted((hit.parts["cosine"] for hit in leaning), reverse=True)


def test_what_only_the_vectors_found_has_its_true_bm25_too(memory: graphsvc.Memory) -> None:
    near = np.eye(memory.stats()["vectors"]["dimension"], dtype=np.float32)
    for number in range(140):
        words = "common " * (1 + number % 5) + "filler " * number
        memory.episodes.store(id=f"e{number:03}", session="s", task=words, vector=near[int(number >= 130)])
    memory.wait()
    true = {hit.episode.id: hit.score for hit in memory.episodes.retrieve("common", k=140, mode="text")}
    blend = memory.episodes.retrieve("common", k=10, vector=near[1], weight=1.0)
    assert len(true) == 140
    assert any(sorted(true.values())[-100] > hit.parts["bm25"] for hit in blend), "what the text list did not hold"
    for hit in blend:
        assert hit.parts["bm25"] == pytest.approx(true[hit.episode.id])


def test_a_list_whose_scores_are_all_equal_counts_half(memory: graphsvc.Memory) -> None:
    for name in "cab":
        memory.episodes.store(id=name, session="s", task="the very same words", at="2026-01-01T00:00:00Z")
    hits = memory.episodes.retrieve("same words", k=3)
    assert [hit.episode.id for hit in hits] == ["a", "b", "c"], "ties go by id"
    assert [hit.score for hit in hits] == [0.5] * 3


def test_reciprocal_rank_fusion_and_pure_modes_by_argument(runs: graphsvc.Memory) -> None:
    fused = runs.episodes.retrieve("migration", k=3, mode="rrf")
    assert fused[0].score <= 2 / 61
    assert all("migration" in (hit.episode.critique or "") for hit in runs.episodes.retrieve("migration", mode="text"))
    by_vector = runs.episodes.retrieve("migration", k=8, mode="vector")
    assert [hit.score for hit in by_vector] == [hit.parts["cosine"] for hit in by_vector]
    assert all(hit.parts["cosine"] >= 0.2 for hit in runs.episodes.retrieve("migration", min_similarity=0.2))


def test_diversity_puts_near_repeats_later(memory: graphsvc.Memory) -> None:
    for number in range(5):
        memory.episodes.store(id=f"same{number}", session="s", task="restart the queue worker now")
    memory.episodes.store(id="other", session="s", task="restart the database")
    plain = [hit.episode.id for hit in memory.episodes.retrieve("restart the queue worker", k=2)]
    diverse = [hit.episode.id for hit in memory.episodes.retrieve("restart the queue worker", k=2, mmr=0.3)]
    assert "other" not in plain
    assert diverse[1] == "other"


def test_recency_halves_with_each_half_life(memory: graphsvc.Memory) -> None:
    now = datetime.now(UTC)
    for days in (0, 30, 60):
        memory.episodes.store(id=f"d{days}", session="s", task="the same task", at=now - timedelta(days=days))
    hits = memory.episodes.retrieve("the same task", k=3, half_life="30d")
    assert [hit.parts["recency"] for hit in hits] == pytest.approx([1, 0.5, 0.25], abs=0.01)
    assert [hit.episode.id for hit in hits] == ["d0", "d30", "d60"]


def test_stemmed_words_are_found(runs: graphsvc.Memory) -> None:
    assert runs.episodes.retrieve("migrations", mode="text")[0].episode.id in ("f0", "f1")


def test_many_queries_at_once_give_what_one_by_one_gives(runs: graphsvc.Memory) -> None:
    texts = ["migration", "health check", "report"]
    assert runs.episodes.retrieve_many(texts, k=3) == [runs.episodes.retrieve(text, k=3) for text in texts]


def test_an_answer_is_cached_and_never_stale(runs: graphsvc.Memory) -> None:
    first = runs.episodes.retrieve("migration", k=3)
    hits = runs.stats()["query_cache"]["hits"]
    assert runs.episodes.retrieve("migration", k=3) == first
    assert runs.stats()["query_cache"]["hits"] == hits + 1
    runs.skills.create(name="unrelated")
    assert runs.episodes.retrieve("migration", k=3) == first
    assert runs.stats()["query_cache"]["hits"] == hits + 2, "a skill evicts no episodes"
    runs.episodes.amend("f0", critique="nothing of that kind")
    again = runs.episodes.retrieve("migration", k=3)
    assert "f0" not in [hit.episode.id for hit in again if hit.parts["bm25"] > 0]
    assert runs.stats()["query_cache"]["hits"] >= 2


def test_critiques_that_say_the_same_are_one_lesson(runs: graphsvc.Memory) -> None:
    lessons = runs.episodes.critiques("Deploy the API", k=5)
    migration = next(lesson for lesson in lessons if "migration" in lesson.text)
    assert set(migration.episodes) == {"f0", "f1"}
    assert migration.reward == pytest.approx(0.15)
    assert all(lesson.text in {critique for _, critique, _ in CRITIQUES} for lesson in lessons)


def test_strategies_are_outputs_of_successes(runs: graphsvc.Memory) -> None:
    lessons = runs.episodes.strategies("Deploy the API to staging", k=2)
    assert len(lessons) <= 2
    assert all(id.startswith("s") for lesson in lessons for id in lesson.episodes)


def test_statistics_with_the_trend_of_the_last_seven_days(memory: graphsvc.Memory) -> None:
    now = datetime.now(UTC)
    for days, success, reward in ((1, True, 1.0), (2, True, 0.8), (10, False, 0.0), (20, None, None)):
        memory.episodes.store(
            session="s", task="t", success=success, reward=reward, tokens=10, at=now - timedelta(days=days)
        )
    memory.episodes.store(session="s", task="another", success=True, reward=5.0)
    figures = memory.episodes.statistics("t")
    assert (figures.count, figures.judged, figures.successes) == (4, 3, 2)
    assert figures.success_rate == pytest.approx(2 / 3)
    assert figures.reward == pytest.approx(0.6)
    assert (figures.best_reward, figures.latency_ms, figures.tokens) == (1.0, None, 10.0)
    assert (figures.trend.recent, figures.trend.earlier) == (2, 2)
    assert figures.trend.success_rate == pytest.approx(1.0)
    assert figures.trend.reward == pytest.approx(0.9)
    assert memory.episodes.statistics("never").count == 0


def test_relations_follow_the_session_in_time_whatever_the_order_of_arrival(memory: graphsvc.Memory) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for day in (3, 1, 2):
        memory.episodes.store(id=f"d{day}", session="s", task=f"task {day % 2}", at=start + timedelta(days=day))
    skill = memory.skills.create(id="k", name="skill")
    memory.skills.record_outcome(skill.id, success=True, episode="d2")
    relations = memory.episodes.relations("d2")
    assert (relations.before, relations.after, relations.skills) == ("d1", "d3", ("k",))
    assert memory.episodes.relations("d1").attempts == ("d3",)
    memory.episodes.amend("d2", at=start)
    assert memory.episodes.relations("d2").after == "d1"
    memory.episodes.delete("d1")
    assert memory.episodes.relations("d2").after == "d3"
    assert memory.verify().ok


def test_pruning_keeps_the_best_of_each_task_and_a_dry_run_writes_nothing(memory: graphsvc.Memory) -> None:
    for task in ("a", "b"):
        for tenth in range(5):
            memory.episodes.store(id=f"{task}{tenth}", session="s", task=task, reward=tenth / 10)
    head = memory.status()["head"]
    dry = memory.episodes.prune(min_reward=0.35, keep_min_per_task=3, dry_run=True)
    assert memory.status()["head"] == head
    assert sorted(dry) == ["a0", "a1", "b0", "b1"]
    assert sorted(memory.episodes.prune(min_reward=0.35, keep_min_per_task=3)) == sorted(dry)
    assert memory.episodes.prune(min_reward=0.35, max_age="30d", keep_min_per_task=0) == [], "both must be met"


def test_a_vector_given_is_used_as_it_is(memory: graphsvc.Memory) -> None:
    vector = np.zeros(384)
    vector[7] = 3.0
    memory.episodes.store(id="given", session="s", task="unlike its vector", vector=vector, wait="searchable")
    memory.episodes.store(session="s", task="something else", wait="searchable")
    hit = memory.episodes.retrieve("anything", k=1, mode="vector", vector=vector)[0]
    assert (hit.episode.id, hit.score) == ("given", 1.0)
    memory.episodes.amend("given", critique="a new text calls for a new vector")
    assert memory.episodes.retrieve("anything", k=1, mode="vector", vector=vector)[0].score < 1.0
    assert memory.verify().ok


def test_scores_do_not_depend_on_how_the_changes_were_gathered(tmp_path: Path) -> None:
    answers = []
    for name, apart in (("together", False), ("one by one", True)):
        with graphsvc.open(tmp_path / name, embedder="hashing") as memory:
            for number in range(8):
                task = f"deploy service {number} with care"
                memory.episodes.store(id=f"e{number}", session="s", task=task, at="2026-01-01T00:00:00Z")
                if apart:
                    memory._opened.store.text_follower.wait(memory.status()["head"], 5.0)
            hits = memory.episodes.retrieve("deploy service 3", k=8)
            answers.append([(hit.episode.id, hit.score, hit.parts["bm25"]) for hit in hits])
    assert answers[0] == answers[1]


def test_what_the_model_did_not_read_is_counted_and_stays_counted(path: Path) -> None:
    with graphsvc.open(path) as memory:
        memory.episodes.store(session="s", task="short")
        memory.episodes.store(session="s", task="long", output="many words in a row " * 100)
        memory.wait()
        assert memory.stats()["vectors"]["truncated"] == 1
        for mode in ("blend", "vector", "rrf"):
            for hits in (memory.episodes.retrieve("short", mode=mode), memory.episodes.retrieve("short", mode=mode)):  # type: ignore[arg-type]
                assert {hit.episode.task: hit.parts.get("unread", 0) > 100 for hit in hits} == {"short": False, "long": True}
                assert hits.unread == 0
        asked = "many words in a row " * 100
        assert memory.episodes.retrieve(asked).unread == memory.episodes.retrieve(asked).unread > 100, "kept, too"
        assert memory.episodes.retrieve(asked, mode="text").unread == 0, "words are all read"
    with graphsvc.open(path) as memory:
        memory.wait()
        assert memory.stats()["vectors"]["truncated"] == 1


def test_a_damaged_row_number_in_the_hot_index_is_not_believed(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many([{"id": f"e{i}", "session": "s", "task": f"task {i}"} for i in range(20)])
        memory.wait()
        assert memory.verify().ok
    data = bytearray((path / "hot.index").read_bytes())
    data[4096 + 5] ^= 0x40  # in the first slot's row number: it becomes trillions
    (path / "hot.index").write_bytes(data)
    with graphsvc.open(path) as memory:
        memory.wait()
        assert memory.episodes.retrieve("task 0", k=1)[0].episode.id == "e0"
        assert memory.verify().ok


def test_a_hit_says_what_it_is_not(runs: graphsvc.Memory) -> None:
    hit = runs.episodes.retrieve("migration", k=1)[0]
    with pytest.raises(BadInput, match="not a skill"):
        assert hit.skill


# --- waits --------------------------------------------------------------------------------------------


def slow_embedder(seconds: float) -> Any:
    gate = threading.Event()

    def embed(texts: Any) -> np.ndarray:
        if any("backlog" in text for text in texts):
            gate.wait(seconds)
        return np.array([[1.0, len(text)] for text in texts])

    embed.gate = gate  # type: ignore[attr-defined]
    return embed


def test_what_is_not_embedded_yet_is_found_by_filter_and_words_and_said_to_be_pending(path: Path) -> None:
    embedder = slow_embedder(1)
    with graphsvc.open(path, embedder=embedder, read_wait=0.3) as memory:
        memory.episodes.store_many([{"id": f"p{i}", "session": "s", "task": f"backlog entry {i}"} for i in range(200)])
        assert memory.episodes.count() == 200
        began = time.monotonic()
        hits = memory.episodes.retrieve("entry 7", k=5)
        assert time.monotonic() - began < 20
        assert hits.pending > 0
        assert len(hits) == 5
        assert hits[0].parts["pending"] == 1.0
        assert memory.status()["pending"] > 0
        embedder.gate.set()
        memory.wait()
        assert memory.episodes.retrieve("entry 7", k=5).pending == 0
        assert memory.status()["pending"] == 0


def test_waiting_for_searchable_ends_with_an_error_that_says_that_it_is_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphsvc.memory.verbs.WAIT_SECONDS", 0.2)
    embedder = slow_embedder(5)
    with graphsvc.open(path, embedder=embedder) as memory:
        with pytest.raises(WaitTimeout, match="stored as entry"):
            memory.episodes.store(id="late", session="s", task="backlog", wait="searchable")
        assert memory.episodes.get("late").task == "backlog"
        embedder.gate.set()


def test_a_full_queue_makes_callers_wait_and_then_says_when_to_come_back(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing", queue_limit=1, queue_wait=0.0) as memory:
        outcomes: list[str] = []

        def store(number: int) -> None:
            for _ in range(30):
                try:
                    memory.episodes.store(session="s", task=f"task {number}")
                    outcomes.append("stored")
                except Overloaded as error:
                    outcomes.append("overloaded" if error.retry_after > 0 and error.retryable else "odd")

        threads = [threading.Thread(target=store, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 480
        assert "odd" not in outcomes
        assert memory.episodes.count() == outcomes.count("stored")


def test_writers_at_once_all_succeed_and_readers_are_not_held_up(memory: graphsvc.Memory) -> None:
    slowest = [0.0]
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            began = time.monotonic()
            memory.episodes.count({"success": True})
            slowest[0] = max(slowest[0], time.monotonic() - began)

    def write(name: int) -> None:
        for number in range(50):
            memory.episodes.store(session=f"s{name}", task=f"task {number}", success=True)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert memory.episodes.count() == 400
    assert slowest[0] < 5.0
    assert memory.verify().ok


def test_a_follower_that_meets_what_it_cannot_apply_stops_loudly_and_repair_mends_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="one", wait="graph")

        def refuse(changes: object) -> None:
            raise KeyError("no such table")

        with monkeypatch.context() as patch:
            patch.setattr(memory._opened.store.graph_follower, "_apply", refuse)
            memory.episodes.store(session="s", task="two")
            with pytest.raises(FollowerStopped, match="entry 2"):
                memory.wait()
        assert "graph" in memory.status()["errors"]
        report = memory.verify()
        assert any(problem.part == "graph" for problem in report.problems)
        assert memory.repair().ok


# --- asynchronous -------------------------------------------------------------------------------------


async def test_body(path: Path) -> None:
    async with graphsvc.aopen(path, embedder="hashing") as memory:
        stored = await asyncio.gather(
            *(memory.episodes.store(session="s", task=f"task {number}", id=f"e{number}") for number in range(100))
        )
        assert len({episode.id for episode in stored}) == 100
        await memory.wait()
        hits = await memory.episodes.retrieve("task 42", k=1)
        assert hits[0].episode.id == "e42"
        with pytest.raises(BadInput):
            await memory.episodes.store(session="s", task="")
        with pytest.raises(NotFound):
            await memory.episodes.get("none")
        skill = await memory.skills.create(name="do it")
        assert (await memory.skills.record_outcome(skill.id, success=True)).successes == 1
        assert (await memory.as_agent("other").episodes.count()) == 0
        assert (await memory.verify()).ok
    again = await graphsvc.aopen(path)
    assert await again.episodes.count() == 100
    await again.close()
    await again.close()


test_body.__test__ = False  # type: ignore[attr-defined]


def test_asynchronous_use_is_the_same_awaited(path: Path) -> None:
    asyncio.run(test_body(path))


# --- namespaces ---------------------------------------------------------------------------------------


def test_a_bound_handle_writes_its_namespace_and_sees_it_and_what_is_shared(memory: graphsvc.Memory) -> None:
    alice, bob = memory.as_agent("alice", shared=["team"]), memory.as_agent("bob")
    alice.episodes.store(id="x", session="s", task="hers")
    bob.episodes.store(id="x", session="s", task="his")
    memory.episodes.store(id="t", session="s", task="everyone's", agent="team")
    memory.wait()
    assert {hit.episode.task for hit in alice.episodes.retrieve("task", k=9)} == {"hers", "everyone's"}
    assert {hit.episode.task for hit in bob.episodes.retrieve("task", k=9)} == {"his"}
    assert memory.episodes.count() == 3
    assert (alice.episodes.get("x").task, bob.episodes.get("x").task) == ("hers", "his")
    with pytest.raises(Ambiguous, match="alice"):
        memory.episodes.get("x")
    assert memory.episodes.get("x", agent="bob").task == "his"
    with pytest.raises(NotFound) as caught:
        bob.episodes.get("t")
    assert "team" not in str(caught.value), "another namespace's ids are not told"
    with pytest.raises(NotFound):
        alice.episodes.delete("t")
    with pytest.raises(BadInput):
        alice.episodes.store(session="s", task="t", agent="bob")
    with pytest.raises(BadInput):
        alice.episodes.retrieve("task", agent="bob")
    alice.episodes.prune(max_age=0, keep_min_per_task=0)
    assert memory.episodes.count() == 2
    with pytest.raises(NotFound):
        bob.history("t")


def test_odd_names_of_agents_and_ids_never_meet(memory: graphsvc.Memory) -> None:
    for agent, id in (("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("ä ö", "🚀'\"`")):
        memory.episodes.store(agent=agent, id=id, session="s", task=f"{agent} {id}")
    assert memory.verify().ok
    assert memory.episodes.get("🚀'\"`", agent="ä ö").agent == "ä ö"


# --- engines ------------------------------------------------------------------------------------------


def test_the_same_log_gives_an_equal_digest_on_both_engines(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many(
            [
                {"id": f"e{i}", "session": f"s{i % 4}", "task": f"t{i % 9}", "reward": i / 7, "tags": ["é"]}
                for i in range(300)
            ]
        )
        memory.episodes.prune(min_reward=9, keep_min_per_task=2)
        memory.episodes.amend("e299", session="moved", metadata={"b": 1, "a": [None, 2.5]})
        first = memory.skills.create(name="first")
        second = memory.skills.create(name="second", prerequisites=[first.id])
        memory.skills.record_outcome(second.id, success=False, reward=0.1, episode="e299")
        memory.skills.revise(first.id, code="new")
        digest = memory.verify().digest
    other = path.with_name("other")
    shutil.copytree(path, other)
    (other / "graph.kuzu").unlink()
    manifest = json.loads((other / "graphsvc.json").read_text())
    (other / "graphsvc.json").write_text(json.dumps({**manifest, "engine": "ladybug"}))
    assert check(other)["digest"] == digest


# --- past the budget of memory ------------------------------------------------------------------------


def test_past_the_memory_budget_lance_answers_and_k_still_come_back(path: Path) -> None:
    chance = np.random.default_rng(5)
    centres = chance.standard_normal((40, 32))
    vectors = centres[np.arange(25_000) % 40] + 0.3 * chance.standard_normal((25_000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def embedder(texts: Any) -> np.ndarray:
        return np.tile(vectors[0], (len(texts), 1))

    with graphsvc.open(path, embedder=embedder, hot_index_bytes=1000, vector_optimize_every=5) as memory:
        memory.episodes.store_many(
            [{"id": f"e{i}", "session": "s", "task": f"t{i}", "reward": i % 10 / 10} for i in range(25_000)],
            vectors=vectors,
        )
        memory.wait(timeout=120)
        store = memory._opened.store.vectors
        store.flush_now()
        assert store.over_budget
        lance: LanceVectors = store.lance
        if not lance.indexed:
            lance.build_index()
        found = 0
        for query in range(20):
            exact = set(np.argsort(-(vectors @ vectors[query]))[:10].tolist())
            hits = memory.episodes.retrieve("q", k=10, mode="vector", vector=vectors[query])
            found += len(exact & {int(hit.episode.id[1:]) for hit in hits})
        assert found >= 180, f"recall@10 {found / 200}"
        gone = [hit.episode.id for hit in memory.episodes.retrieve("q", k=20, mode="vector", vector=vectors[1])]
        memory.episodes.delete(gone)
        memory.episodes.store(id="fresh", session="s", task="t", vector=vectors[1])
        memory.wait()
        left = memory.episodes.retrieve("q", k=20, mode="vector", vector=vectors[1])
        assert len(left) == 20
        assert left[0].episode.id == "fresh", "searchable before LanceDB has it"
        assert not {hit.episode.id for hit in left} & set(gone)
        rare = memory.episodes.retrieve("q", k=10, mode="vector", vector=vectors[3], where={"reward": 0.9})
        assert len(rare) == 10
        assert all(hit.episode.reward == 0.9 for hit in rare)


def test_a_critique_that_says_nothing_is_no_lesson(memory: graphsvc.Memory) -> None:
    for id, critique in (("a", ""), ("b", "look first"), ("c", None)):
        memory.episodes.store(id=id, session="s", task="cross the road", critique=critique, success=False)
    memory.wait()
    assert [lesson.text for lesson in memory.episodes.critiques("cross the road")] == ["look first"]


def test_a_search_that_others_write_into_spoils_no_later_one(memory: graphsvc.Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {"e0": "alpha apples", "e1": "beta bananas", "e2": "gamma grapes", "e3": "delta dates"}
    for id, task in tasks.items():
        memory.episodes.store(session="s", task=task, id=id, wait="searchable")
    vectors = memory._opened.store.vectors
    real = vectors.encode_one

    def between(text: str) -> Any:
        """One goes and one comes between the filter and the comparison: as many rows, but others."""
        monkeypatch.setattr(vectors, "encode_one", real)
        memory.episodes.delete("e0")
        memory.episodes.store(session="s", task="epsilon elderberries", id="e4", wait="searchable")
        return real(text)

    monkeypatch.setattr(vectors, "encode_one", between)
    memory.episodes.retrieve("whatever", 4, mode="vector")
    for task in (*list(tasks.values())[1:], "epsilon elderberries"):
        best = memory.episodes.retrieve(task, 1, mode="vector")[0]
        assert (best.episode.task, best.score) == (task, pytest.approx(1.0, abs=1e-5))


def test_answers_that_are_kept_take_no_more_than_the_setting_says(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing", query_cache_bytes=1_000_000) as memory:
        memory.episodes.store_many([{"session": "s", "task": f"task {n}", "output": "x" * 5_000} for n in range(40)])
        memory.wait()
        for number in range(60):
            memory.episodes.retrieve(f"task {number}", 5)
        kept = memory.stats()["query_cache"]
        assert 5 < kept["entries"] < 60
        assert 500_000 < kept["bytes"] <= 1_000_000
        before = kept["entries"]
        memory.episodes.retrieve("another", 40)  # of 200 kB: not kept
        assert memory.stats()["query_cache"]["entries"] == before
        memory.episodes.retrieve("task 59", 5)
        assert memory.stats()["query_cache"]["hits"] == 1
