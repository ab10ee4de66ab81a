"""Many records from a table, and found ones as a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.model.kinds import KINDS


def test_found_episodes_as_a_table_can_be_stored_in_another_memory(tmp_path: Path) -> None:
    with (
        graphsvc.open(tmp_path / "a", embedder="hashing") as one,
        graphsvc.open(tmp_path / "b", embedder="hashing") as other,
    ):
        one.episodes.store(session="s", task="Deploy it", tags=["b", "a"], metadata={"k": [1, {"x": None}]}, tokens=3)
        one.episodes.store(session="s", task="Deploy that", critique="slow", reward=0.5, success=False)
        one.wait()
        hits = one.episodes.retrieve("deploy")
        table = hits.arrow().select(list(KINDS["episode"].fields))
        assert sorted(map(repr, other.episodes.store_many(table))) == sorted(map(repr, hits.records))
        found = one.skills.search("deploy").arrow()
        assert found.num_rows == 0
        assert found.schema.field("uses").type == pa.int64()


def test_a_table_of_hits_has_the_same_columns_whatever_was_found(tmp_path: Path) -> None:
    with graphsvc.open(tmp_path / "a", embedder="hashing") as memory:
        nothing = memory.episodes.retrieve("deploy").arrow()
        memory.episodes.store(session="s", task="Deploy it", wait="searchable")
        for options in ({}, {"mode": "vector"}, {"mode": "text"}, {"mode": "rrf"}):
            assert memory.episodes.retrieve("deploy", **options).arrow().schema == nothing.schema
        assert nothing.schema.field("reward").type == pa.float64()
        assert nothing.schema.field("at").type == pa.timestamp("us", "UTC")


class Polars:
    """What of a polars.DataFrame is looked at; its to_dict gives columns and takes no orient."""

    columns = ("session", "task", "reward")

    def iter_rows(self, *, named: bool) -> Iterator[dict[str, Any]]:
        assert named
        yield {"session": "s", "task": "t", "reward": None}

    def to_dict(self) -> dict[str, list[Any]]:
        raise AssertionError("not by columns")


class Lazy:
    """What of a polars.LazyFrame is looked at."""

    def collect(self) -> None: ...

    def collect_schema(self) -> None: ...


def test_tables_of_every_kind_are_stored(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pylist([{"session": "s", "task": "t", "metadata": '{"a": 1}'}])
    with graphsvc.open(tmp_path / "a", embedder="hashing") as memory:
        assert memory.episodes.store_many(Polars())[0].reward is None
        assert memory.episodes.store_many(batch)[0].metadata == {"a": 1}
        reader = pa.RecordBatchReader.from_batches(batch.schema, [batch, batch])
        assert len(memory.episodes.store_many(reader)) == 2
        with pytest.raises(BadInput, match="LazyFrame"):
            memory.episodes.store_many(Lazy())
        with pytest.raises(BadInput, match=r"no JSON"):
            memory.episodes.store_many(pa.Table.from_pylist([{"session": "s", "task": "t", "metadata": "{"}]))
        assert memory.episodes.count() == 4
