"""The log under its worst callers: refusals within a group, repair beside writers, damage, locks of others."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import Corrupt, GraphsvcError, NotFound, Overloaded, WriterStopped
from graphsvc.log import database
from graphsvc.log.episodes import CHUNK_BYTES
from graphsvc.log.log import READ_BYTES
from graphsvc.model.requests import AmendEpisode, Delete


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[graphsvc.Memory]:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        yield memory


def together(memory: graphsvc.Memory, *calls: Any) -> list[Any]:
    """Have the calls decided in one group: the writer is held until all of them wait."""
    answers: list[Any] = [None] * len(calls)

    def run(place: int, call: Any) -> None:
        try:
            answers[place] = call()
        except GraphsvcError as error:
            answers[place] = error

    threads = []
    log = memory._opened.log
    with log.held():
        for place, call in enumerate(calls):
            thread = threading.Thread(target=run, args=(place, call))
            thread.start()
            threads.append(thread)
            while log.writer.depth < place + 1:
                assert thread.is_alive(), f"call {place} came to an end without the writer: {answers[place]}"
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return answers


def test_calls_of_a_group_are_decided_in_order_and_in_one_commit(memory: graphsvc.Memory) -> None:
    stored = together(memory, *(lambda i=i: memory.episodes.store(id=f"e{i}", session="s", task="t") for i in range(5)))
    assert [episode.id for episode in stored] == ["e0", "e1", "e2", "e3", "e4"]
    log = memory._opened.log
    assert len({change.at for change in log.read(0, 100)}) == 1


def test_a_refusal_within_a_group_takes_back_nothing_of_the_calls_before_it(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="old", session="s", task="t")
    answers = together(
        memory,
        lambda: memory.episodes.delete("old"),
        lambda: memory._opened.log.submit(_bad_amend()),
        lambda: memory.episodes.store(id="new", session="s", task="t"),
        lambda: memory._opened.log.submit(_bad_amend()),
        lambda: memory.episodes.store(id="newer", session="s", task="t"),
        lambda: memory._opened.log.submit(_bad_amend()),
        lambda: memory._opened.log.submit(Delete("episode", [("default", "new")])),
    )
    assert [isinstance(answer, NotFound) for answer in answers] == [False, True, False, True, False, True, False]
    memory.wait()
    assert memory.verify().ok
    assert [episode.id for episode in memory.episodes.list()] == ["newer"]


def _bad_amend() -> AmendEpisode:
    return AmendEpisode(("default", "nobody"), {"reward": 1.0})


steps = st.lists(
    st.tuples(st.sampled_from(["store", "delete", "move", "skill", "refused"]), st.integers(0, 5), st.integers(0, 2)),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(st.lists(steps, min_size=1, max_size=4))
def test_groups_with_refusals_leave_what_the_same_calls_leave_one_by_one(tmp_path_factory: Any, groups: Any) -> None:
    folder = tmp_path_factory.mktemp("groups")
    digests = []
    for name in ("together", "alone"):
        with graphsvc.open(folder / name, embedder="hashing", group_limit=1_000 if name == "together" else 1) as memory:
            for number, group in enumerate(groups):
                calls = [_call(memory, number, place, *step) for place, step in enumerate(group)]
                if name == "together":
                    together(memory, *calls)
                else:
                    for call in calls:
                        with contextlib.suppress(GraphsvcError):
                            call()
            report = memory.verify()
            assert report.ok, report.problems
            digests.append(report.digest)
    assert digests[0] == digests[1]


def _call(memory: graphsvc.Memory, group: int, place: int, verb: str, id: int, session: int) -> Any:
    log = memory._opened.log
    at = f"2026-01-01T00:{group:02}:{place:02}Z"
    if verb == "store":
        return lambda: memory.episodes.store(id=f"e{id}", session=f"s{session}", task=f"t{session}", at=at)
    if verb == "delete":
        return lambda: log.submit(Delete("episode", [("default", f"e{id}")]))
    if verb == "move":
        return lambda: log.submit(AmendEpisode(("default", f"e{id}"), {"session": f"s{session}", "task": "moved"}))
    if verb == "skill":
        return lambda: memory.skills.create(id=f"k{id}", name="n", at=at)
    # Refused half-way: the first of two has gone from counts and session when the second isn't found.
    return lambda: log.submit(Delete("episode", [("default", f"e{id}"), ("default", "nobody")]))


def test_tags_can_be_filtered_by_while_they_are_stored(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many([{"session": "s", "task": "t", "tags": ["x"]} for _ in range(5_000)])
    ended = threading.Event()
    failures: list[BaseException] = []

    def count() -> None:
        try:
            while not ended.is_set():
                assert memory.episodes.count({"tags": {"contains": "x"}}) >= 5_000
        except BaseException as error:
            failures.append(error)

    counting = [threading.Thread(target=count) for _ in range(2)]
    for thread in counting:
        thread.start()
    for number in range(400):
        memory.episodes.store(session="s", task="t", tags=["x"], id=f"more{number}")
    memory.episodes.amend("more0", tags=["y"])
    memory.episodes.delete("more1")
    ended.set()
    for thread in counting:
        thread.join()
    assert not failures
    assert memory.episodes.count({"tags": {"contains": "x"}}) == 5_398
    assert memory.episodes.count({"tags": {"exists": True}}) == 5_399


def test_repair_beside_writers_mends_what_is_wrong_and_loses_nothing(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store_many([{"id": f"old{i}", "session": "s", "task": f"t{i % 7}"} for i in range(300)])
        ended = threading.Event()
        stored: list[str] = []

        def store(name: str) -> None:
            number = 0
            while not ended.is_set():
                stored.append(memory.episodes.store(id=f"{name}{number}", session=name, task="t").id)
                number += 1

        threads = [threading.Thread(target=store, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for round in range(3):
            with contextlib.closing(sqlite3.connect(memory.path / database.FILE, timeout=30)) as other, other:
                other.execute("UPDATE record SET body = json_set(body, '$.task', 'altered') WHERE id = 'old3'")
                other.execute("DELETE FROM history")
            report = memory.repair()
            assert report.ok, (round, report.problems)
            assert any("records" in line for line in report.mended)
        ended.set()
        for thread in threads:
            thread.join()
        assert all(memory.episodes.get(id).id == id for id in stored)
        assert memory.episodes.get("old3").task == "t3"
        assert memory.verify().ok


def test_verify_beside_writers_finds_nothing_wrong(memory: graphsvc.Memory) -> None:
    ended = threading.Event()

    def store() -> None:
        while not ended.is_set():
            memory.episodes.store(session="s", task="t", tags=["x"])

    thread = threading.Thread(target=store)
    thread.start()
    try:
        for _ in range(3):
            assert memory.verify().ok
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("what", ["missing", "empty", "another's"])
def test_a_log_that_is_gone_isn_t_made_anew(tmp_path: Path, what: str) -> None:
    for name in ("memory", "other"):
        with graphsvc.open(tmp_path / name, embedder="hashing") as memory:
            memory.episodes.store(session="s", task="t")
    path = tmp_path / "memory" / database.FILE
    path.unlink()
    if what == "empty":
        path.touch()
    elif what == "another's":
        path.write_bytes((tmp_path / "other" / database.FILE).read_bytes())
    before = {file: file.read_bytes() for file in (tmp_path / "memory").rglob("*") if file.is_file()}
    with pytest.raises(Corrupt, match=r"missing or empty|another memory"):
        graphsvc.open(tmp_path / "memory")
    after = {file: file.read_bytes() for file in (tmp_path / "memory").rglob("*") if file.is_file()}
    assert {file.name for file in after} - {file.name for file in before} <= {f"{database.FILE}-wal", f"{database.FILE}-shm"}
    assert all(after[file] == content for file, content in before.items() if file.name != "graphsvc.lock")


def test_a_log_without_its_manifest_isn_t_given_another_model(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store(session="s", task="t")
    (tmp_path / "memory" / "graphsvc.json").rename(tmp_path / "graphsvc.json")
    for name in ("graph.kuzu", "vectors.lance"):  # with the projections, and with nothing but the log
        with pytest.raises(Corrupt, match=r"graphsvc\.json"):
            graphsvc.open(tmp_path / "memory")
        for path in (tmp_path / "memory").glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(tmp_path / "memory" / "text.tantivy")
    with pytest.raises(Corrupt, match=r"graphsvc\.json"):
        graphsvc.open(tmp_path / "memory")
    (tmp_path / "graphsvc.json").rename(tmp_path / "memory" / "graphsvc.json")
    with graphsvc.open(tmp_path / "memory") as memory:
        assert memory.episodes.count() == 1


def _altered(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path / "memory" / database.FILE)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_an_altered_entry_of_the_log_is_found_and_never_applied(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="t", critique="right")
    _altered(tmp_path, "UPDATE log SET body = replace(body, 'right', 'wrong')")
    with graphsvc.open(tmp_path / "memory") as memory:
        report = memory.repair()
        assert [(problem.part, problem.what) for problem in report.problems] == [("log", "entries aren't what was written")]
        assert memory.episodes.get("e").critique == "right"
        with pytest.raises(Corrupt, match="entry 1"):
            memory.history("e")


def test_records_that_can_t_be_read_are_made_anew_when_a_memory_opens(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="t")
    _altered(tmp_path, "UPDATE record SET body = '{' WHERE kind = 'episode'")
    (tmp_path / "memory" / "hot.columns").unlink()
    with graphsvc.open(tmp_path / "memory") as memory:
        assert memory.episodes.get("e").task == "t"
        assert memory.verify().ok


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM history", "UPDATE record SET at = 0", "UPDATE record SET parent = 'x'", "UPDATE record SET task = 'x'",
     "UPDATE record SET text_hash = 1", "UPDATE record SET hash = x'00'"],
)  # fmt: skip
def test_every_column_of_the_records_is_verified_and_mended(tmp_path: Path, damage: str) -> None:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="t")
        memory.episodes.amend("e", reward=0.5)
    _altered(tmp_path, damage)
    with graphsvc.open(tmp_path / "memory") as memory:
        assert next(problem.part for problem in memory.verify().problems) == "records"
        assert memory.repair().ok
    with graphsvc.open(tmp_path / "memory") as memory:
        assert memory.verify().ok


def test_a_lock_that_another_process_holds_passes(memory: graphsvc.Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory._opened.log.writer._connection.execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(sqlite3.connect(memory.path / database.FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Overloaded, match="another process"):
            memory.episodes.store(session="s", task="t")
        other.execute("ROLLBACK")
    assert memory.episodes.store(id="after", session="s", task="t").id == "after"
    assert memory.episodes.count() == 1


def test_a_follower_is_given_no_more_at_once_than_an_engine_can_take(tmp_path: Path) -> None:
    size = 200_000
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store_many([{"session": "s", "task": "t", "input": "x" * size} for _ in range(150)])
        log = memory._opened.log
        assert log.head == -(-150 // (CHUNK_BYTES // size))
        assert len({change.call for change in log.read(0, 100)}) == 1
        n = 0
        while changes := log.read(n, 1_000):
            assert sum(len(put.record) for change in changes for put in change.puts) <= READ_BYTES
            n = changes[-1].n
        assert n == log.head
        assert len(log.read(0, 1_000, max_bytes=1)) == 1
        memory.wait()
        assert memory.verify().ok


def test_as_many_values_as_a_filter_may_have_are_compared_with(memory: graphsvc.Memory) -> None:
    memory.episodes.store_many([{"session": "s", "task": "t", "metadata": {"n": i, "t": f"t{i}"}} for i in range(50)])
    assert memory.episodes.count({"metadata.n": {"in": list(range(25, 9_000))}}) == 25
    assert memory.episodes.count({"metadata.t": {"in": [f"t{i}" for i in range(40, 9_000)]}}) == 10
    assert memory.episodes.count({"metadata.n": {"in": [True, 1.0, "t1", 2]}}) == 2


def test_writes_of_tasks_that_come_while_the_writer_is_held_are_answered_after(tmp_path: Path) -> None:
    async def run() -> int:
        async with graphsvc.aopen(tmp_path / "memory", embedder="hashing") as memory:
            log = memory._memory._opened.log
            held = log.held()
            await asyncio.to_thread(held.__enter__)
            storing = [asyncio.create_task(memory.episodes.store(session="s", task=f"t{i}")) for i in range(20)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in storing)
            await asyncio.to_thread(held.__exit__, None, None, None)
            await asyncio.gather(*storing)
            return await memory.episodes.count()

    assert asyncio.run(run()) == 20


def test_a_tag_s_postings_come_back_from_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tags = [sorted({f"g{n}" for n in rng.integers(0, 30, 3)}) for _ in range(500)]
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store_many([{"session": "s", "task": "t", "tags": each} for each in tags])
    with graphsvc.open(tmp_path / "memory") as memory:
        for name in {name for each in tags for name in each}:
            assert memory.episodes.count({"tags": {"contains": name}}) == sum(name in each for each in tags)


def test_a_defect_in_the_writer_s_thread_leaves_nobody_waiting(memory: graphsvc.Memory, monkeypatch: Any) -> None:
    def fail(changes: Any, events: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(memory._opened.log.writer, "_publish", fail)
    memory.episodes.store(id="committed", session="s", task="t")  # on disk, so it is acknowledged
    with pytest.raises(WriterStopped, match="a defect"):
        memory.episodes.store(session="s", task="t")
    monkeypatch.setattr(memory._opened.log.writer, "_stopped", None)
    monkeypatch.setattr(memory._opened.log.writer, "_commit", fail)
    with pytest.raises(WriterStopped, match="unexpected"):
        memory.episodes.store(session="s", task="t")
