"""The hot index on disk: full, cut short, damaged, let go."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import graphsvc
from graphsvc.errors import Closed, StorageFull
from graphsvc.store import hot as module
from graphsvc.store.hot import LEAST_SLOTS, PAGE, HotIndex

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
