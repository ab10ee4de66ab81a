"""Records as tables: what retrieval gives as Arrow, and what may be stored from tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.results import PARTS
from graphsvc.model.kinds import KINDS

FIELDS = list(KINDS["episode"].fields)
EPISODES: list[dict[str, Any]] = [
    {"id": "a", "session": "s", "task": "sort the mail", "tags": ["x", "y"], "metadata": {"k": [1, "t"]}, "reward": 1.0},
    {"id": "b", "session": "s", "task": "sort the letters", "success": False, "tokens": 3, "critique": "too slow"},
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[graphsvc.Memory]:
    with graphsvc.open(tmp_path / "memory", embedder="hashing") as memory:
        memory.episodes.store_many(EPISODES, wait="searchable")
        memory.skills.create(id="k", name="sort", description="sort things", wait="searchable")
        yield memory


def test_hits_as_a_table_have_the_same_columns_whatever_was_found(memory: graphsvc.Memory) -> None:
    full = memory.episodes.retrieve("sort the mail").arrow()
    assert full.column_names == ["score", *(f"part_{name}" for name in PARTS), *FIELDS]
    assert full.schema.field("tags").type == pa.list_(pa.string())
    assert full.schema.field("at").type == pa.timestamp("us", "UTC")
    nothing = memory.episodes.retrieve("sort", where={"reward": {"gt": 9}}).arrow()
    assert nothing.schema == full.schema == memory.episodes.retrieve("sort", mode="vector", k=1).arrow().schema
    assert nothing.num_rows == 0
    for skills in (memory.skills.search("sort"), memory.skills.search("sort", where={"name": "nothing"})):
        assert skills.arrow().schema.field("uses").type == pa.int64()


def test_every_part_that_a_score_has_is_a_column(memory: graphsvc.Memory) -> None:
    hits = [
        *memory.episodes.retrieve("sort", mmr=0.5, half_life="30d", feedback=0.5), *memory.skills.search("sort"),
        *memory.episodes.retrieve("sort", mode="rrf"), memory.skills.choose("sort", rng=1),
    ]  # fmt: skip
    assert {name for hit in hits if hit for name in hit.parts} <= set(PARTS)


def test_what_came_out_as_a_table_goes_in_as_one(memory: graphsvc.Memory, tmp_path: Path) -> None:
    table = memory.episodes.retrieve("sort the mail").arrow().select(FIELDS)
    for name, items in (
        ("table", table), ("reader", table.to_reader()), ("batch", table.to_batches()[0]), ("pandas", table.to_pandas()),
    ):  # fmt: skip
        with graphsvc.open(tmp_path / name, embedder="hashing") as other:
            other.episodes.store_many(items)
            assert [other.episodes.get(id) for id in "ab"] == [memory.episodes.get(id) for id in "ab"], name


class Polars:
    """A DataFrame as polars has it: its to_dict takes no orientation."""

    columns = ("session", "task", "reward")

    def to_dict(self, *, as_series: bool = True) -> dict[str, list[Any]]:
        return {"session": ["p"], "task": ["t"], "reward": [0.5]}

    def iter_rows(self, *, named: bool = False) -> Iterator[dict[str, Any]]:
        assert named
        yield {"session": "p", "task": "t", "reward": 0.5}


class Lazy:
    columns = ("session", "task")

    def collect(self) -> Polars:
        return Polars()


def test_a_polars_frame_is_a_table_and_a_lazy_one_is_told_to_be_collected(memory: graphsvc.Memory) -> None:
    assert memory.episodes.store_many(Polars())[0].reward == 0.5
    with pytest.raises(BadInput, match="collect"):
        memory.episodes.store_many(Lazy())
    with pytest.raises(BadInput, match="metadata"):
        memory.episodes.store_many(pa.table({"session": ["s"], "task": ["t"], "metadata": ["{no json"]}))


def test_reads_are_answered_while_many_tasks_wait_for_a_slow_model(tmp_path: Path) -> None:
    def slow(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        time.sleep(0.4 * (texts != ["graphsvc"]))
        return np.ones((len(texts), 4), np.float32)

    async def run() -> float:
        async with graphsvc.aopen(tmp_path / "memory", embedder=slow) as memory:
            await memory.episodes.store(id="a", session="s", task="first")
            storing = [
                asyncio.create_task(memory.episodes.store(session="s", task=f"t{i}", wait="searchable")) for i in range(8)
            ]
            storing.append(asyncio.create_task(memory.wait()))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await memory.episodes.get("a")
            elapsed = time.monotonic() - began
            assert not all(task.done() for task in storing)
            await asyncio.gather(*storing)
            return elapsed

    assert asyncio.run(run()) < 0.3
