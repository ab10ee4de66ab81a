"""Batches and entries that the engine's memory doesn't take at once: applied in smaller transactions, exactly once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from histories import History

from graphsvc.config import Settings
from graphsvc.errors import BufferFull, FollowerStopped, StorageFull
from graphsvc.model.change import Change, NodeRef, Put
from graphsvc.model.names import key_of, task_key
from graphsvc.model.records import Episode
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection
from graphsvc.store.steps import Step

SMALL = Settings(graph_buffer_bytes=32 << 20)


class Narrow(GraphProjection):
    """A graph whose engine takes few rows at once, and fails for want of room at some writes."""

    rows = 3
    writes = 0
    full_at: frozenset[int] = frozenset()

    def _write(self, steps: Iterable[Step], n: int, done: int = 0, **more: Any) -> bool:
        steps = list(steps)
        if sum(len(step.rows) for step in steps) > self.rows:
            raise BufferFull("so many rows don't fit")
        self.writes += 1
        if self.writes in self.full_at:
            raise StorageFull("no room")
        return super()._write(steps, n, done, **more)


def bulk(n: int, count: int, size: int) -> Change:
    """One entry of many large episodes."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    episodes = [
        Episode(id=f"{n}-{i}", agent="a", at=at, session="s", task=f"task {n} {i}", input="x" * size)
        for i in range(count)
    ]
    nodes = [
        NodeRef("Task", key_of("a", task_key(one.task)), {"id": task_key(one.task), "agent": "a", "text": one.task})
        for one in episodes
    ]
    if n == 1:
        nodes.append(NodeRef("Session", key_of("a", "s"), {"id": "s", "agent": "a"}))
    puts = [Put("episode", row, msgspec.Raw(msgspec.json.encode(one))) for row, one in enumerate(episodes)]
    return Change(verb="test", n=n, puts=puts, nodes=nodes)


def test_a_batch_and_an_entry_larger_than_the_engines_memory_are_applied(tmp_path: Path, engine_name: str) -> None:
    graph = GraphProjection(tmp_path, engine_name, SMALL)
    graph.apply([bulk(1, 300, 60_000), bulk(2, 300, 60_000), bulk(3, 5, 10)])
    assert graph.applied == 3
    assert graph.counts()["Episode"] == graph.counts()["IN_SESSION"] == graph.counts()["ATTEMPTS"] == 605
    assert graph._sizes["Episode"] == 605
    graph.close()


def test_in_pieces_of_any_size_a_history_gives_the_same(tmp_path: Path, engine_name: str, settings: Settings) -> None:
    history = History.random(seed=21, steps=25)
    for rows in (1, 4):
        (tmp_path / str(rows)).mkdir()
        graph = Narrow(tmp_path / str(rows), engine_name, settings)
        graph.rows = rows
        graph.apply(history.changes)
        assert graph.digest() == digest_of(history.contents())
        assert graph._sizes == {table: graph.counts()[table] for table in graph._sizes}
        graph.close()


def test_an_entry_broken_off_between_pieces_is_gone_on_with_after_reopening(
    tmp_path: Path, engine_name: str, settings: Settings
) -> None:
    entries = [bulk(1, 6, 10), bulk(2, 2, 10)]
    graph = Narrow(tmp_path, engine_name, settings)
    graph.full_at = frozenset({2})
    with pytest.raises(StorageFull):
        graph.apply(entries)
    assert (graph.applied, graph.counts()["Task"]) == (0, 3)
    graph.close()
    graph = Narrow(tmp_path, engine_name, settings)
    graph.full_at = frozenset({2})
    with pytest.raises(StorageFull):
        graph.apply(entries)
    graph.apply(entries)
    assert graph.applied == 2
    assert graph.counts()["Episode"] == graph.counts()["Task"] == graph.counts()["ATTEMPTS"] == 8
    graph.close()


def test_a_row_that_never_fits_stops_with_the_setting_to_raise(
    tmp_path: Path, engine_name: str, settings: Settings
) -> None:
    graph = Narrow(tmp_path, engine_name, settings)
    graph.rows = 0
    with pytest.raises(FollowerStopped, match="graph_buffer_bytes"):
        graph.apply([bulk(1, 2, 10)])
    graph.close()
