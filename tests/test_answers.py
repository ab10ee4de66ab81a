"""Answers are those of the question asked, of the memory as it is, and the caller's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import BadInput, Closed, GraphsvcError, NotFound
from graphsvc.memory.retrieval import _reciprocal_ranks
from graphsvc.store.hot import SHARE
from graphsvc.store.text import FEW_ROWS


def axis(place: int) -> Any:
    vector = np.zeros(384)
    vector[place] = 1
    return vector


def test_a_filter_never_gets_another_filters_answer(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(
        [{"session": "s", "task": f"deploy {i}", "metadata": {"n": value}} for i, value in enumerate([5, 5, "5", True, 1])]
    )
    memory.wait()

    def found(value: Any) -> int:
        return len(memory.episodes.retrieve("deploy", where={"metadata.n": value}))

    assert (found(np.int64(5)), found("5"), found(5.0), found(1), found(True)) == (2, 1, 2, 1, 1)
    assert found(np.int64(5)) == 2


BAD: dict[str, Callable[[graphsvc.Memory], Any]] = {
    "text": lambda m: m.episodes.retrieve(["x"]),  # type: ignore[arg-type]
    "mode": lambda m: m.episodes.retrieve("x", mode={}),  # type: ignore[arg-type]
    "weight": lambda m: m.episodes.retrieve("x", weight=[1]),  # type: ignore[arg-type]
    "text of a search": lambda m: m.skills.search(["x"]),  # type: ignore[arg-type]
    "vectors": lambda m: m.episodes.store_many([{"session": "s", "task": "t"}], vectors=5),
    "vectors of skills": lambda m: m.skills.create_many([{"name": "q"}], vectors=5),
    "links": lambda m: m.skills.create_many([{"name": "q"}], links=5),  # type: ignore[arg-type]
    "links[0]": lambda m: m.skills.create_many([{"name": "q"}], links=[("a", "b")]),  # type: ignore[list-item]
    "links[0] ": lambda m: m.skills.create_many([{"name": "q"}], links=[("a", "b", [])]),  # type: ignore[list-item]
    "rng": lambda m: m.skills.choose("x", rng=np.random.default_rng(0)),  # type: ignore[arg-type]
    "prerequisites": lambda m: m.skills.create(name="x", prerequisites="abc"),
    "prerequisites ": lambda m: m.skills.create(name="x", prerequisites=5),  # type: ignore[arg-type]
    "vector": lambda m: m.episodes.retrieve("x", vector=np.ones((192, 2))),
    "skills[0].uses": lambda m: m.skills.create_many([{"name": "q", "uses": 10}]),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD.keys())
def test_a_value_of_the_wrong_type_is_an_error_of_ours(memory: graphsvc.Memory, call: Any) -> None:
    with pytest.raises(BadInput) as caught:
        call(memory)
    assert caught.value.where
    assert (memory.episodes.count(), memory.skills.count()) == (0, 0)


def test_calls_have_no_weight_and_say_so(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="a", name="a")
    with pytest.raises(BadInput) as caught:
        memory.skills.link("a", "a", "calls", weight=0.5)
    assert caught.value.where == "weight"


def test_a_vector_given_anew_counts_from_the_next_query_on(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="v", session="s", task="vec one", vector=axis(0), wait="searchable")
    memory.skills.create(id="k", name="vec skill", vector=axis(0), wait="searchable")
    question = memory._opened.store.vectors.encode_query(["vec"])[0]
    for turn in range(12):
        given = axis(turn % 2)
        memory.episodes.amend("v", vector=given)
        expected = pytest.approx(float(question @ given), abs=1e-5)
        assert memory.episodes.retrieve("vec")[0].parts["cosine"] == expected
        memory.wait()
        assert memory.episodes.retrieve("vec")[0].parts["cosine"] == expected
        memory.skills.revise("k", vector=given)
        assert memory.skills.search("vec")[0].parts["cosine"] == expected


def test_a_record_not_embedded_yet_takes_the_lowest_cosine_of_the_others(path: Path) -> None:
    gate = threading.Event()

    def embed(texts: Sequence[str]) -> Any:
        if any("SLOW" in text for text in texts):
            gate.wait(20)
        return np.array([np.random.default_rng([*text.encode()]).random(8) + 0.5 for text in texts])

    with graphsvc.open(path, embedder=embed, read_wait=0.1) as memory:
        memory.episodes.store_many([{"session": "s", "task": f"deploy thing {i}"} for i in range(5)], wait="searchable")
        memory.episodes.store(id="slow", session="s", task="deploy SLOW thing")
        hits = memory.episodes.retrieve("deploy", vector=np.ones(8))
        gate.set()
    cosines = {hit.episode.id: hit.parts["cosine"] for hit in hits}
    slow = cosines.pop("slow")
    assert slow == min(cosines.values()) > 0.5


def test_age_never_lifts_a_record_of_negative_cosine(memory: graphsvc.Memory) -> None:
    old = datetime.now(UTC) - timedelta(days=300)
    near = 0.5 * axis(1)
    memory.episodes.store(id="old", session="y", task="n1", vector=-axis(0), at=old)
    memory.episodes.store(id="new", session="y", task="n2", vector=near - 0.9 * axis(0), wait="searchable")
    hits = memory.episodes.retrieve("x", mode="vector", vector=axis(0), half_life="30d")
    assert [hit.episode.id for hit in hits] == ["new", "old"]


def test_a_fresh_record_is_found_behind_many_older_and_nearer_ones(memory: graphsvc.Memory) -> None:
    old = datetime.now(UTC) - timedelta(days=300)
    rows = [{"session": "w", "task": f"o{i}", "at": old} for i in range(40)]
    memory.episodes.store_many(rows, vectors=[axis(0) + 0.001 * i * axis(1) for i in range(40)])
    memory.episodes.store(id="fresh", session="w", task="fresh", vector=axis(0) + 0.06 * axis(1), wait="searchable")
    for k in (1, 20):
        hits = memory.episodes.retrieve("x", k=k, mode="vector", vector=axis(0), half_life="30d")
        assert hits[0].episode.id == "fresh"


def test_a_least_similarity_holds_in_every_mode(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="near", session="s", task="deploy the service", vector=axis(0))
    memory.episodes.store(id="far", session="s", task="deploy the service again", vector=axis(1), wait="searchable")
    for mode in ("blend", "vector", "text", "rrf"):
        hits = memory.episodes.retrieve("deploy", mode=mode, vector=axis(0), min_similarity=0.5)  # type: ignore[arg-type]
        assert [hit.episode.id for hit in hits] == ["near"]
        assert hits[0].parts["cosine"] == pytest.approx(1.0)


def test_what_a_caller_does_to_an_answer_stays_with_that_caller(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="a", session="s", task="deploy", metadata={"r": {"d": 1}}, wait="searchable")
    for _ in range(3):
        hit = memory.episodes.retrieve("deploy")[0]
        assert "evil" not in hit.parts
        assert hit.episode.metadata == {"r": {"d": 1}}
        hit.parts["evil"] = 1
        hit.episode.metadata["r"]["evil"] = 1


def test_a_kept_answer_never_answers_what_is_not_right(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="a", session="s", task="deploy", reward=1.0, wait="searchable")
    assert len(memory.episodes.retrieve("deploy", 1, where={"and": [{"reward": 1}]})) == 1
    for wrong in ({"k": True}, {"k": 1.0}, {"mmr": True}, {"where": {"and": {"reward": 1}}}, {"weight": "1"}):
        with pytest.raises(BadInput):
            memory.episodes.retrieve("deploy", **({"k": 1, "where": {"and": [{"reward": 1}]}} | wrong))  # type: ignore
    with pytest.raises(GraphsvcError):
        nested: dict[str, Any] = {"reward": 1}
        for _ in range(500):
            nested = {"not": nested}
        memory.episodes.retrieve("deploy", where=nested)


def test_a_filter_changed_after_it_was_given_is_another(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="a", session="s", task="deploy", reward=1.0, wait="searchable")
    where: dict[str, Any] = {"reward": {"in": [0.0, 1.0]}}
    assert len(memory.episodes.retrieve("deploy", where=where)) == 1
    where["reward"]["in"].pop()
    assert len(memory.episodes.retrieve("deploy", where=where)) == 0


def test_a_kept_answer_is_awaited_without_a_thread(path: Path) -> None:
    async def ask() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(id="a", session="s", task="deploy", metadata={"n": 1}, wait="searchable")
            await memory.skills.create(id="k", name="deploy", wait="searchable")
            first = [await memory.episodes.retrieve("deploy"), await memory.skills.search("deploy")]
            memory._threads.quick.shutdown()
            again = [await memory.episodes.retrieve("deploy"), await memory.skills.search("deploy")]
            assert again == first
            again[0][0].record.metadata["n"] = 2
            assert (await memory.episodes.retrieve("deploy"))[0].record.metadata == {"n": 1}
            with pytest.raises(Closed):
                await memory.episodes.retrieve("another")

    asyncio.run(ask())


def test_a_vector_comes_in_its_row_and_is_given_back(memory: graphsvc.Memory) -> None:
    rows = [{"id": f"e{i}", "session": "s", "task": f"t{i}", "vector": 3 * axis(i)} for i in range(3)]
    memory.episodes.store_many(rows, wait="searchable")
    memory.skills.create_many([{"id": "k", "name": "k", "vector": axis(5).tolist()}], wait="searchable")
    for i in range(3):
        assert memory.episodes.vector(f"e{i}").tolist() == axis(i).tolist()  # type: ignore[union-attr]
    assert memory.skills.vector("k").tolist() == axis(5).tolist()  # type: ignore[union-attr]
    found = memory.episodes.retrieve_many(["x", "y"], 1, mode="vector", vectors=[axis(2), axis(0)])
    assert [hits[0].record.id for hits in found] == ["e2", "e0"]
    assert memory.skills.search_many(["k", "x"]) == [memory.skills.search("k"), memory.skills.search("x")]
    assert memory.skills.search_many(["k"], vectors=[axis(5)])[0][0].parts["cosine"] == pytest.approx(1)
    with pytest.raises(NotFound):
        memory.episodes.vector("none")
    with pytest.raises(BadInput) as caught:
        memory.episodes.store_many(rows, vectors=[axis(0)] * 3)
    assert caught.value.where == "episodes[0].vector"
    with pytest.raises(BadInput):
        memory.episodes.retrieve_many(["x", "y"], vectors=[axis(0)])
    with pytest.raises(GraphsvcError):
        memory.entities.upsert_many([{"kind": "file", "name": "f", "vector": axis(0)}])


def test_candidates_get_the_same_bm25_few_or_many(memory: graphsvc.Memory) -> None:
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(30)]
    rows = [{"session": "s", "task": " ".join(rng.choice(words, rng.integers(2, 12)))} for _ in range(700)]
    memory.episodes.store_many(rows, vectors=rng.normal(size=(700, 384)), wait="searchable")
    text, log = memory._opened.store.text, memory._opened.log
    every, _ = log.mask("episode", None, None)
    for question in ("w1", "w2 w3 w4", " ".join(words), "nothing of it"):
        found, scores = text.search("episode", question, 700, filter=None, agents=None, rows=every)
        true = np.zeros(len(every))
        true[np.searchsorted(every, found)] = scores
        for count in (1, FEW_ROWS, FEW_ROWS + 1, 700):
            places = np.sort(rng.choice(len(every), count, replace=False))
            assert text.scores(question, every[places]).tolist() == true[places].tolist()


def test_cosines_are_the_same_however_the_work_was_shared(memory: graphsvc.Memory) -> None:
    rng = np.random.default_rng(4)
    count = 3 * SHARE + 17
    rows = [{"session": "s", "task": f"t{i}"} for i in range(count)]
    memory.episodes.store_many(rows, vectors=rng.normal(size=(count, 384)), wait="searchable")
    hot = memory._opened.store.vectors.hot
    query = rng.normal(size=384).astype(np.float32)
    every = np.arange(count, dtype=np.int32)
    alone = hot.cosines(query, every).tolist()

    def shared(places: Any) -> list[float]:
        ends = [hot.comparing(query, places, shared=True) for _ in range(3)]
        answers = [end().tolist() for end in ends]
        assert answers[0] == answers[1] == answers[2]
        return list(answers[0])

    for _ in range(20):
        assert shared(every) == alone
        assert shared(every[::-1]) == alone[::-1]
    assert shared(every[5:40]) == alone[5:40]
    hot.comparing(query, every, shared=True)  # begun, and never ended
    assert shared(every) == alone


def test_equal_values_have_equal_ranks() -> None:
    ranks = _reciprocal_ranks(np.array([0.5, 0.9, 0.5, 0.1]), np.ones(4, bool))
    assert (1 / ranks - 60).round(6).tolist() == [2, 1, 2, 4]


def test_the_same_content_gives_the_same_answer_however_it_came(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = [
        {"id": f"e{i}", "session": "s", "task": " ".join(rng.choice([f"w{j}" for j in range(12)], 3)),
             "at": "2024-01-01T00:00:00Z"}
        for i in range(1500)
    ]  # fmt: skip
    answers = []
    for name, size in (("one", 1500), ("many", 125)):
        with graphsvc.open(tmp_path / name, embedder="hashing") as memory:
            for start in range(0, len(rows), size):
                memory.episodes.store_many(rows[start : start + size])
                memory.wait()
            answers.append([
                [(hit.episode.id, hit.score) for hit in memory.episodes.retrieve(f"w{q} w{q + 1}", k=5, mode=mode)]
                for q in range(11) for mode in ("text", "blend")
            ])  # fmt: skip
    assert answers[0] == answers[1]


def test_an_outcome_is_the_same_whatever_numbers_it_came_in(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="k", name="k")
    for success, reward in ((True, 1), (np.bool_(True), 1.0), (True, np.float32(1))):
        skill = memory.skills.record_outcome("k", success=success, reward=reward, id="o")
        assert (skill.uses, skill.reward) == (1, 1.0)
    with pytest.raises(GraphsvcError):
        memory.skills.record_outcome("k", success=1)  # type: ignore[arg-type]


def test_a_bound_handle_shows_nothing_of_a_namespace_that_it_does_not_see(memory: graphsvc.Memory) -> None:
    memory.skills.create(id="secret", name="secret skill", code="SECRET", agent="private")
    memory.skills.create(id="team", name="team skill", agent="team")
    memory.as_agent("team", shared=["private"]).skills.link("team", "secret", "prerequisite")
    alice = memory.as_agent("alice", shared=["team"])
    alice.skills.create(id="mine", name="mine", prerequisites=["team"])
    with pytest.raises(NotFound, match="doesn't see"):
        alice.skills.plan("mine")
    assert [skill.id for skill in memory.skills.plan("mine")] == ["secret", "team", "mine"]
    episode = alice.episodes.store(session="s", task="use the skill")
    memory.skills.record_outcome("secret", success=True, agent="private", episode=episode.id)
    assert memory.episodes.relations(episode.id).skills == ("secret",)
    assert alice.episodes.relations(episode.id).skills == ()


def test_binding_again_never_widens_what_is_seen(memory: graphsvc.Memory) -> None:
    alice = memory.as_agent("alice", shared=["team"])
    assert alice.as_agent("team").agent == "team"
    for agent, shared in (("private", []), ("alice", ["private"])):
        with pytest.raises(BadInput, match="doesn't see"):
            alice.as_agent(agent, shared=shared)


def test_a_closed_handle_is_closed_while_another_is_open(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as first:
        second = graphsvc.open(path)
        bound = second.as_agent("alice")
        second.close()
        second.close()
        for call in (second.episodes.count, second.status, bound.skills.count, second.wait):
            with pytest.raises(Closed):
                call()
        with pytest.raises(Closed):
            second.episodes.store(session="s", task="t")
        assert first.episodes.count() == 0
