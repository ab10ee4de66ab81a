"""The hot index on disk: full, cut short, damaged, let go."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import graphsvc
from graphsvc.errors import Closed, StorageFull
from graphsvc.store import hot as module
from graphsvc.store.hot import LEAST_SLOTS, PAGE, SHARE, HotIndex

DIMENSION = 8


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[HotIndex]:
    index = HotIndex(tmp_path / "hot.index", DIMENSION, "model", 10_000)
    yield index
    index.close()


def add(index: HotIndex, count: int) -> None:
    vectors = np.eye(DIMENSION, dtype=np.float32)[np.arange(count) % DIMENSION]
    index.add(list(range(count)), list(range(1, count + 1)), vectors, [0] * count)


def test_its_room_on_the_disk_is_taken_before_it_is_mapped(hot: HotIndex) -> None:
    for count in (0, LEAST_SLOTS + 1):
        add(hot, count)
        status = hot.path.stat()
        assert status.st_blocks * 512 >= status.st_size, "a hole is a bus error once the disk is full"


def test_a_full_disk_is_storage_full_when_it_is_made_and_when_it_grows(
    hot: HotIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "posix_fallocate", full, raising=False)
    with pytest.raises(StorageFull):
        HotIndex(tmp_path / "other.index", DIMENSION, "model", 10_000)
    with pytest.raises(StorageFull):
        add(hot, LEAST_SLOTS + 1)
    assert len(hot) == 0


@pytest.mark.parametrize("size", [0, 100, PAGE, PAGE + 1000])
def test_cut_short_it_is_made_anew(path: Path, size: int) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(session="s", task="the task")
        memory.wait()
    os.truncate(path / "hot.index", size)
    with graphsvc.open(path) as memory:
        memory.wait()
        assert len(memory.episodes.retrieve("the task")) == 1
        assert memory.verify().ok


def test_compaction_does_not_vouch_for_a_damaged_slot(hot: HotIndex) -> None:
    add(hot, 1000)
    hot._slots["vector"][7] = 0.5
    hot.close(range(10))
    again = HotIndex(hot.path, DIMENSION, "model", 10_000)
    assert len(again) == 9
    rows = np.arange(10)
    assert np.flatnonzero(again.positions(rows) < 0).tolist() == [7], "fetched from LanceDB again"
    assert again.verify(rows) == []
    again.close()


def test_a_search_ends_in_the_index_that_it_began_in(hot: HotIndex) -> None:
    count = 2 * SHARE + 5  # so many that the helper takes part
    add(hot, count)
    query = np.arange(1, DIMENSION + 1, dtype=np.float32)
    rows = np.arange(count)
    places = hot.positions(rows)
    expected = hot.cosines(query, places).tolist()
    end = hot.comparing(query, places, shared=True)
    later = hot.renewed(rows[rows % 3 == 0])
    later.add([0], [1], np.ones((1, DIMENSION), np.float32) / np.float32(DIMENSION**0.5), [0])
    assert end().tolist() == expected == hot.cosines(query, places).tolist()
    assert later.positions(rows[:4]).tolist() == [len(later) - 1, -1, -1, 1]
    assert later.cosines(query, later.positions(rows[3:4])).tolist() == expected[3:4]
    later.close()
    assert hot.comparing(query, places, shared=True)().tolist() == expected, "without a helper, which is gone"
    again = HotIndex(hot.path, DIMENSION, "model", 10_000)
    assert len(again) == len(later)
    again.close()


def settled(memory: graphsvc.Memory, *, over: int = 0) -> int:
    """Slots of the hot index, once there are at most so many or half a minute has gone."""
    deadline = time.monotonic() + 30
    while (slots := len(memory._opened.store.vectors.hot)) > over and time.monotonic() < deadline:
        time.sleep(0.01)
    return slots


def test_what_nobody_needs_leaves_it_while_others_search(path: Path) -> None:
    rng = np.random.default_rng(5)
    with graphsvc.open(path, embedder="hashing", vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        true = {f"kept {i}": vector for i, vector in enumerate(rng.normal(size=(50, 384)).astype(np.float32))}
        memory.episodes.store_many(
            [{"session": "s", "task": task, "id": task} for task in true], vectors=np.array(list(true.values()))
        )
        query = rng.normal(size=384).astype(np.float32)
        expected = {
            task: float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)) for task, vector in true.items()
        }
        stop, wrong, asked = threading.Event(), [], 0

        def search() -> None:
            nonlocal asked
            while not stop.is_set():
                for where in (None, {"task": {"contains": "kept"}}):
                    for hit in memory.episodes.retrieve("kept", k=60, vector=query, mode="vector", where=where):
                        task = hit.episode.task
                        if task in expected and abs(hit.score - expected[task]) > 1e-5:
                            wrong.append((task, hit.score, expected[task]))
                    asked += 1

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        files = set()
        for round_ in range(6):
            ids = [f"{round_}-{i}" for i in range(400)]
            memory.episodes.store_many([{"session": "s", "task": "passing", "id": id} for id in ids], wait="searchable")
            memory.episodes.delete(ids)
            assert settled(memory, over=50 + LEAST_SLOTS) <= 50 + LEAST_SLOTS
            files.add((path / "hot.index").stat().st_ino)
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert asked > 6
        assert len(files) > 1
        assert memory.verify().ok
    with graphsvc.open(path) as memory:
        assert memory.verify().ok
        assert len(memory.episodes.retrieve("kept", k=60, vector=query)) == 50


def test_a_damaged_vector_that_compaction_leaves_out_comes_back_from_lancedb(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing", vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        ids = [f"e{i}" for i in range(400)]
        memory.episodes.store_many([{"session": "s", "task": id, "id": id} for id in ids], wait="searchable")
        memory._opened.store.vectors.flush_now()
        expected = memory.episodes.vector("e3")
        assert expected is not None
        hot, ref = memory._opened.store.vectors.hot, (memory.episodes.get("e3").agent, "e3")
        row = memory._opened.log.rows_of("episode", [ref])[ref]
        hot._slots["vector"][hot.positions(np.array([row]))] = 0.5
        memory.episodes.delete(ids[10:])
        assert settled(memory, over=10 + LEAST_SLOTS) in (9, 10), "without it, or with it back"
        deadline = time.monotonic() + 30
        while (found := memory.episodes.vector("e3")) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found is not None
        assert found.tolist() == expected.tolist()
        assert memory.verify().ok


def test_without_room_for_a_second_it_keeps_the_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: HotIndex, rows: Any) -> HotIndex:
        tried.append(rows)
        raise StorageFull("no room", where=str(self.path))

    tried: list[Any] = []
    monkeypatch.setattr(HotIndex, "renewed", full)
    with graphsvc.open(path, embedder="hashing", vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        ids = [f"e{i}" for i in range(700)]
        memory.episodes.store_many([{"session": "s", "task": id, "id": id} for id in ids], wait="searchable")
        memory.episodes.delete(ids[5:])
        deadline = time.monotonic() + 30
        while not tried and time.monotonic() < deadline:
            time.sleep(0.01)
        assert tried
        assert [hit.episode.id for hit in memory.episodes.retrieve("e3", k=1)] == ["e3"]
        memory.episodes.store(session="s", task="another", wait="searchable")
        assert memory.verify().ok
        monkeypatch.undo()


def test_closed_it_has_let_its_file_go(hot: HotIndex) -> None:
    add(hot, 10)
    hot.close()
    hot.close()
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(hot.path) not in maps.read_text()
    with pytest.raises(Closed):
        hot.cosines(np.ones(DIMENSION, np.float32), np.arange(10, dtype=np.int32))


def test_a_vector_that_lancedb_holds_otherwise_is_found(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many([{"session": "s", "task": f"task {i}"} for i in range(5)])
        memory.wait()
        vectors = memory._opened.store.vectors
        vectors.flush_now()
        rows, hashes, cut, held = vectors.lance.read([1, 2, 3])
        assert vectors.differing(np.arange(1, 6)) == []
        kept = [1, 3]
        wrong = np.array([row not in kept for row in rows.tolist()])
        held[wrong] = np.roll(held[wrong], 7, axis=1)
        vectors.lance.write(rows.tolist(), ["k"] * 3, ["episode"] * 3, hashes.tolist(), cut.tolist(), held)
        assert vectors.differing(np.arange(1, 6)) == [2]


def test_a_document_with_wrong_filter_fields_is_found_and_mended(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        for number in range(5):
            memory.episodes.store(id=f"e{number}", session="s", task=f"task {number}", reward=0.5)
        memory.wait()
        text = memory._opened.store.text
        row = next(row for row, key, _ in text.contents() if key.endswith("/e3"))
        wrong = msgspec.structs.replace(memory.episodes.get("e3"), reward=0.1)
        text._writer.delete_documents_by_term("row", row)
        text._add("episode", row, wrong)
        text._commit(text.applied)
        assert [problem.part for problem in memory.verify().problems] == ["text"]
        assert memory.repair().ok
        hits = memory.episodes.retrieve("task 3", mode="text", where={"reward": {"ge": 0.4}})
        assert "e3" in [hit.episode.id for hit in hits]
