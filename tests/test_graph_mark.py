"""The mark beside the graph: it stands for a kill, and for nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import GraphsvcError, StorageFull
from graphsvc.store import graph as module
from graphsvc.store.connection import Connection
from graphsvc.store.engine import Engine
from graphsvc.store.unclean import MARK, begin_use

GOOD: dict[str, Any] = {"session": "s", "task": "t"}


@pytest.fixture
def filled(path: Path) -> Path:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(**GOOD)
        memory.wait()
    assert not (path / MARK).exists()
    return path


def test_an_error_that_passes_while_the_graph_opens_costs_no_clean_graph(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = filled / "graph.kuzu"
    inode = graph.stat().st_ino
    marks: list[bool] = []
    real = module.open_engine

    def flaky(name: str, path: Path, settings: Any) -> Engine:
        marks.append((filled / MARK).exists())
        if len(marks) == 1:
            raise StorageFull("for a moment")
        return real(name, path, settings)

    monkeypatch.setattr(module, "open_engine", flaky)
    with graphsvc.open(filled) as memory:
        assert memory._opened.store.graph_follower._opened.wait(10)
        memory.wait()
        assert memory.verify().ok
        assert graph.stat().st_ino == inode, "the same file"
    assert marks == [True, True]
    assert not (filled / MARK).exists()


def test_a_graph_that_never_opened_is_clean_as_before(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Engine:
        raise StorageFull("for ever")

    with monkeypatch.context() as patch:
        patch.setattr(module, "open_engine", full)
        with graphsvc.open(filled) as memory, pytest.raises(GraphsvcError):
            memory.wait()
    assert not (filled / MARK).exists()
    assert (filled / "graph.kuzu").stat().st_size


def test_a_mark_that_a_kill_left_outlives_an_attempt_that_failed(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (filled / MARK).touch()

    def full(*_: Any) -> Engine:
        raise StorageFull("for ever")

    with monkeypatch.context() as patch:
        patch.setattr(module, "open_engine", full)
        with graphsvc.open(filled) as memory, pytest.raises(GraphsvcError):
            memory.wait()
    assert (filled / MARK).exists()
    with graphsvc.open(filled) as memory:
        memory.wait()
        assert memory.verify().ok


def test_a_mark_that_cannot_be_put_up_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        begin_use(tmp_path / "graph.kuzu")
    assert not (tmp_path / MARK).exists()


def test_after_a_commit_that_failed_the_mark_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Connection.run
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store(**GOOD)
        memory.wait()
        engine = memory._opened.store.graph.engine
        failed: list[str] = []

        def run(self: Connection, statement: str, parameters: dict[str, Any], timeout: float | None) -> Any:
            if statement == "COMMIT" and self is engine._writer and not failed:
                failed.append(statement)
                raise StorageFull("at COMMIT")
            return real(self, statement, parameters, timeout)

        monkeypatch.setattr(Connection, "run", run)
        memory.episodes.store(session="s", task="another")
        with pytest.raises(GraphsvcError):
            memory.wait()
    assert failed
    assert (path / MARK).exists(), "what a failed COMMIT left was replayed: not to be trusted"
    with graphsvc.open(path) as memory:
        memory.wait()
        assert memory.verify().ok
