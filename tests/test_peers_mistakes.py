"""What the peers get wrong, each a test of ours (numbers as in the list of their mistakes)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import EmbeddingFailed, ModelNotFound


def many(count: int, **fields: object) -> list[dict[str, object]]:
    return [
        {"id": f"e{i}", "session": f"s{i % 7}", "task": f"task {i % 50} variant {i}", "output": f"output {i}",
         "reward": (i * 37 % 100) / 100, "success": i % 3 != 0, **fields}
        for i in range(count)
    ]  # fmt: skip


def test_1_a_reopened_memory_finds_what_it_found_before(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many(many(1000), wait="searchable")
        before = [hit.episode.id for hit in memory.episodes.retrieve("task 7 variant 7", k=10)]
    with graphsvc.open(path) as memory:
        after = [hit.episode.id for hit in memory.episodes.retrieve("task 7 variant 7", k=10)]
    assert len(before) == 10
    assert after == before


def test_2_episodes_stored_in_a_batch_are_found(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(many(300), wait="searchable")
    for wanted in (0, 150, 299):
        assert memory.episodes.retrieve(f"task {wanted % 50} variant {wanted}", k=1)[0].episode.id == f"e{wanted}"


@pytest.mark.parametrize("mode", ["blend", "vector"])
def test_3_a_filter_gives_k_results_whenever_k_match(memory: graphsvc.Memory, mode: Any) -> None:
    memory.episodes.store_many(many(2000), wait="searchable")
    where = {"reward": {"ge": 0.9}, "success": False}
    matching = memory.episodes.count(where)
    assert 10 < matching < 200
    for query in range(20):
        hits = memory.episodes.retrieve(f"something about number {query}", k=10, where=where, mode=mode)
        assert len(hits) == 10
        assert all(hit.episode.reward >= 0.9 and hit.episode.success is False for hit in hits)


def test_4_pruned_episodes_leave_no_dead_vectors(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many(many(500), wait="searchable")
    gone = memory.episodes.prune(min_reward=0.9, keep_min_per_task=0)
    hits = memory.episodes.retrieve("task 3 variant 53", k=10)
    assert len(gone) > 400
    assert len(hits) == 10
    assert not {hit.episode.id for hit in hits} & set(gone)
    assert memory.verify().ok


def test_5_an_episode_is_never_taken_for_a_skill(memory: graphsvc.Memory) -> None:
    text = "restart the message broker after an upgrade"
    memory.episodes.store(id="same", session="s", task=text)
    memory.skills.create(id="same", name="restartBroker", description="water the plants")
    memory.wait()
    assert [type(hit.record).__name__ for hit in memory.episodes.retrieve(text)] == ["Episode"]
    assert [type(hit.record).__name__ for hit in memory.skills.search(text)] == ["Skill"]


def test_9_a_dry_run_writes_nothing_and_a_batch_with_repeats_does_not_throw(memory: graphsvc.Memory) -> None:
    same = {"task": "the same task", "output": "read the manual\nturn the key", "success": True, "reward": 0.9}
    memory.episodes.store_many([{**row, **same} for row in many(60)])
    memory.wait()
    before = (memory.status()["head"], memory.verify().digest, memory.stats()["records"])
    planned = memory.skills.consolidate(dry_run=True)
    assert len(planned.by("created")) == 1
    assert (memory.status()["head"], memory.verify().digest, memory.stats()["records"]) == before
    assert memory.skills.count() == 0
    done = memory.skills.consolidate()
    assert [(one.id, one.code) for one in done.skills] == [(one.id, one.code) for one in planned.skills]

    skills = [{"id": f"k{i}", "name": f"skill {i}", "code": f"return {i}"} for i in range(200)]
    assert len(memory.skills.create_many(skills + skills[:5])) == 205
    assert len(memory.skills.create_many(skills)) == 200, "the same again is the same"
    memory.wait()
    assert memory.skills.count() == 201
    assert memory.skills.search("skill 150", k=1)[0].skill.id == "k150"
    assert memory.verify().ok


def test_12_kill_9_loses_nothing_acknowledged_and_a_store_is_one_commit(path: Path) -> None:
    program = textwrap.dedent(f"""
        import graphsvc, sys
        memory = graphsvc.open({str(path)!r}, embedder="hashing")
        for i in range(10**6):
            print(memory.episodes.store(session="s", task=f"task {{i}}").id, flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    with graphsvc.open(path) as memory:
        for id in acknowledged:
            assert memory.episodes.get(id).id == id
        report = memory.verify()
        assert report.ok, report.problems
        # One store, one entry of the log: record, references and edges are one commit.
        assert report.checked["log"] == memory.episodes.count()


def test_6_a_path_is_lost_to_no_name_within_another_and_an_uplift_of_zero_is_kept(memory: graphsvc.Memory) -> None:
    for name in ("12", "30", "2", "1"):
        memory.causal.variable(name)
    memory.causal.add("12", "30", 0.5, id="first")
    memory.causal.add("30", "2", 0, id="none")
    memory.causal.add("30", "1", -0.5, id="less")
    (path,) = memory.causal.paths("12", "2")
    assert [node.id for node in path.nodes] == ["12", "30", "2"]
    assert path.uplift == 0.0
    assert memory.causal.get("none").uplift == 0.0
    assert [edge.id for edge in memory.causal.causes("2")] == ["none"]
    assert {str(one.node): one.uplift for one in memory.causal.what_if("12")} == {
        "variable:30": 0.5, "variable:1": -0.25, "variable:2": 0.0,
    }  # fmt: skip
    memory.wait()
    row = memory._opened.store.graph.engine.execute("MATCH ()-[r:CAUSES {id: 'none'}]->() RETURN r.uplift AS u").one()
    assert row == [0.0]


def test_13_a_failing_model_is_an_error_and_never_replaced(path: Path) -> None:
    def failing(texts: object) -> np.ndarray:
        if list(texts) == ["query"]:  # type: ignore[call-overload]
            raise RuntimeError("out of memory")
        return np.ones((len(texts), 8), np.float32)  # type: ignore[arg-type]

    with graphsvc.open(path, embedder=failing) as memory:
        memory.episodes.store(session="s", task="task", wait="searchable")
        with pytest.raises(EmbeddingFailed, match="out of memory"):
            memory.episodes.retrieve("query")


def test_13_a_missing_model_is_an_error_that_says_what_to_install(path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        graphsvc.open(path, embedder="no-such/model")
    assert caught.value.code == "model_not_found"
    assert "no-such/model" in str(caught.value)
