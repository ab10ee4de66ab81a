"""The hot index on disk: full, cut short, damaged, let go."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import graphsvc
from graphsvc.errors import Closed, StorageFull
from graphsvc.store import hot as module
from graphsvc.store import vectors as vectors_module
from graphsvc.store.hot import LEAST_SLOTS, PAGE, SHARE, HotIndex
from graphsvc.store.vectors import VectorStore

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


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]])
def test_cosines_are_of_the_positions_asked_for_whatever_order_they_were_added_in(
    hot: HotIndex, rows: list[int]
) -> None:
    hot.add(rows, [1, 2, 3], np.eye(DIMENSION, dtype=np.float32)[rows], [0, 0, 0])
    for row in range(3):
        cosines = hot.cosines(np.eye(DIMENSION, dtype=np.float32)[row], hot.positions(np.arange(3)))
        assert cosines.argmax() == row


def test_given_and_made_vectors_in_one_batch_are_those_of_their_records(path: Path) -> None:
    axes = np.eye(4, dtype=np.float32)

    def embedder(texts: Sequence[str]) -> list[list[float]]:
        return [axes[1 + ("last" in text)].tolist() for text in texts]

    with graphsvc.open(path, embedder=embedder) as memory:
        with memory._opened.store.vectors.follower.paused():
            memory.episodes.store(session="s", task="first", id="first")
            memory.episodes.store(session="s", task="given", id="given", vector=axes[0])
            memory.episodes.store(session="s", task="last", id="last")
        memory.wait()
        for id, vector in (("given", axes[0]), ("first", axes[1]), ("last", axes[2])):
            best = memory.episodes.retrieve("any", vector=vector, mode="vector")[0]
            assert (best.episode.id, best.score) == (id, 1)


def test_synced_slots_that_were_lost_vouch_for_none_that_come_after(hot: HotIndex) -> None:
    add(hot, 200)
    hot.sync()
    hot._slots["crc"][150:] = 0
    again = HotIndex(hot.path, DIMENSION, "model", 10_000)
    assert (len(again), again._synced) == (150, 150)
    again.close()


def test_a_directory_that_cant_be_synced_leaves_no_index_without_its_file(
    hot: HotIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    add(hot, 1000)
    monkeypatch.setattr(module, "sync_directory", fails)
    later = hot.renewed(np.arange(100))
    assert later.path == hot.path
    vectors = np.full((600, DIMENSION), 0.5, np.float32)
    later.add(list(range(100, 700)), [1] * 600, vectors, [0] * 600)  # it grows
    assert later.verify(np.arange(700)) == []
    later.close()


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


@pytest.mark.parametrize("in_lancedb", [True, False])
def test_a_damaged_vector_comes_back_when_the_index_is_compacted(path: Path, in_lancedb: bool) -> None:
    with graphsvc.open(path, embedder="hashing", vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        ids = [f"e{i}" for i in range(400)]
        memory.episodes.store_many([{"session": "s", "task": id, "id": id} for id in ids], wait="searchable")
        vectors = memory._opened.store.vectors
        vectors.flush_now()
        expected = memory.episodes.vector("e3")
        assert expected is not None
        ref = (memory.episodes.get("e3").agent, "e3")
        row = memory._opened.log.rows_of("episode", [ref])[ref]
        vectors.hot._slots["vector"][vectors.hot.positions(np.array([row]))] = 0.5
        if not in_lancedb:
            vectors.lance.delete([row])
        memory.episodes.delete(ids[10:])
        assert settled(memory, over=10 + LEAST_SLOTS) == 9 + in_lancedb
        found = memory.episodes.vector("e3")
        assert (found is not None) == in_lancedb, "rather none than a wrong one"
        assert memory.verify().ok == in_lancedb
    with graphsvc.open(path) as memory:
        memory.wait()
        found = memory.episodes.vector("e3")
        assert found is not None
        assert found.tolist() == expected.tolist()
        assert memory.verify().ok


@pytest.mark.parametrize("fails", ["reserving", "writing"])
def test_without_room_for_a_second_it_keeps_the_first(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    def of_successor(index: HotIndex) -> bool:
        return index.path.name.endswith(".compact")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    grow, sync = HotIndex._grow, HotIndex.sync
    if fails == "reserving":
        monkeypatch.setattr(HotIndex, "_grow", lambda self, n: full() if of_successor(self) else grow(self, n))
    else:
        monkeypatch.setattr(HotIndex, "sync", lambda self: full() if of_successor(self) else sync(self))
    with graphsvc.open(path, embedder="hashing", vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        ids = [f"e{i}" for i in range(700)]
        memory.episodes.store_many([{"session": "s", "task": id, "id": id} for id in ids], wait="searchable")
        memory.episodes.delete(ids[5:])
        deadline = time.monotonic() + 30
        while "keeps vectors that nobody needs" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "No space left on device" in caplog.text
        assert not list(path.glob("*.compact*"))
        assert [hit.episode.id for hit in memory.episodes.retrieve("e3", k=1)] == ["e3"]
        memory.episodes.store(session="s", task="another", wait="searchable")
        assert memory.verify().ok
        monkeypatch.undo()
        memory.episodes.store(session="s", task="and another", wait="searchable")
        assert settled(memory, over=7 + LEAST_SLOTS) == 7, "there is room again"


@pytest.mark.parametrize("budget", [1 << 30, 1000])
def test_a_search_takes_positions_and_vectors_from_one_index(
    path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    rng = np.random.default_rng(6)
    monkeypatch.setattr(vectors_module, "EXACT_ROWS", 10)
    with graphsvc.open(path, embedder="hashing", hot_index_bytes=budget, vector_optimize_every=2, query_cache_entries=0) as memory:
        rows = [{"session": "s", "task": f"the task {i}", "id": f"e{i}"} for i in range(300)]
        memory.episodes.store_many(rows, vectors=rng.normal(size=(300, 384)), wait="searchable")
        store = memory._opened.store.vectors
        store.flush_now()
        memory.episodes.store(session="s", task="one more", wait="searchable")
        store.flush_now()  # optimised: past the budget there is an approximate index
        assert store.lance.indexed == (budget == 1000)
        store.follower.close()  # nothing but this thread adds
        query = rng.normal(size=384)
        ways: list[dict[str, Any]] = [
            {"mode": "vector"}, {"mode": "blend"}, {"mode": "text"}, {"mode": "text", "min_similarity": -1.0},
            {"mode": "blend", "mmr": 0.5}, {"mode": "blend", "where": {"task": {"contains": "1"}}},
            {"mode": "vector", "half_life": 1e9},
        ]  # fmt: skip

        def ask() -> list[list[tuple[str, float]]]:
            found = [memory.episodes.retrieve("task 7 12", k=20, vector=query, **way) for way in ways]
            return [[(hit.episode.id, round(hit.score, 5)) for hit in hits] for hits in found]

        expected = ask()
        placed, comparing, swaps = VectorStore.placed, VectorStore.comparing, 0

        def swap() -> None:
            """Another index, with every vector elsewhere."""
            nonlocal swaps
            every, _ = store.wanted()
            store.hot = store.hot.renewed(every)
            mixed = rng.permutation(every)
            places = store.hot.positions(mixed)
            store.hot.add(mixed, store.hot.hashes(mixed), store.hot.vectors(places), [0] * len(mixed))
            swaps += 1

        def swapping(do: Any) -> Any:
            def done(*arguments: Any, **more: Any) -> Any:
                found = do(*arguments, **more)
                swap()
                return found

            return done

        monkeypatch.setattr(VectorStore, "placed", swapping(placed))
        monkeypatch.setattr(VectorStore, "comparing", swapping(comparing))
        assert ask() == expected
        assert swaps > len(ways)


def test_what_is_amended_meanwhile_keeps_the_vector_that_it_came_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []

    def embedder(texts: Sequence[str]) -> list[list[float]]:
        embedded.extend(texts)
        return [[1.0, float(len(text)), 0.0, 0.0] for text in texts]

    renewed = HotIndex.renewed

    def amending(self: HotIndex, rows: Any) -> Any:
        memory.episodes.amend("e1", critique="came meanwhile", vector=[0.0, 0.0, 1.0, 0.0])
        return renewed(self, rows)

    with graphsvc.open(path, embedder=embedder, vector_optimize_every=1, vector_flush_seconds=0.05) as memory:
        ids = [f"e{i}" for i in range(400)]
        memory.episodes.store_many([{"session": "s", "task": id, "id": id} for id in ids], wait="searchable")
        monkeypatch.setattr(HotIndex, "renewed", amending)
        embedded.clear()
        memory.episodes.delete(ids[3:])
        assert settled(memory, over=4 + LEAST_SLOTS) in (3, 4)
        memory.wait()
        found = memory.episodes.vector("e1")
        assert found is not None
        assert found.tolist() == [0, 0, 1, 0]
        assert not embedded


def test_opened_again_what_came_with_its_vector_is_not_embedded(path: Path) -> None:
    def embedder(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, float(len(text)), 0.0, 0.0] for text in texts]

    with graphsvc.open(path, embedder=embedder) as memory:
        for id in ("a", "b"):
            memory.episodes.store(session="s", task=id, id=id, wait="searchable")
        memory._opened.store.vectors.flush_now()
        memory._opened.store.vectors.follower.close()  # as if killed before it came to the next entry
        memory.episodes.amend("a", critique="amended", vector=[0.0, 0.0, 1.0, 0.0])
    with graphsvc.open(path) as memory:  # without the function
        memory.episodes.store(session="s", task="c", id="c", vector=[0.0, 0.0, 0.0, 1.0], wait="searchable")
        best = memory.episodes.retrieve("any", vector=[0.0, 0.0, 1.0, 0.0], mode="vector")[0]
        assert (best.episode.id, best.score) == ("a", 1)


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
