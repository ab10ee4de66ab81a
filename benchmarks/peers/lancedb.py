"""LanceDB alone: one table of episodes with their vectors, exact search, its own full text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.episodes import batches, episode, episodes, question
from benchmarks.figures import Figure, Figures, of_durations, timed
from benchmarks.section import Context
from benchmarks.vectors import Vectors

K = 10
ROWS = "reward >= 0.9 AND success = false"
MANY_ROWS = "reward >= 0.2"
SINGLE_STORES = 100
"""Each makes new files: more of them only measure how many there are."""


def measure(context: Context) -> Figures:
    import lancedb

    path = context.work / "lancedb"
    database = lancedb.connect(str(path))
    figures = _storing(context, database)
    for name in ("small", "middle", "large"):
        figures |= _searching(context, database, path, name, getattr(context.sizes, name))
    shutil.rmtree(path)
    return figures


def _rows(values: list[dict[str, Any]], vectors: Vectors) -> Any:
    import pyarrow as pa

    texts = [f"{row['task']}\n{row['critique']}\n{row['output']}" for row in values]
    columns: dict[str, Any] = {
        name: [row[name] for row in values] for name in values[0] if name not in ("tags", "metadata")
    }
    flat = pa.array(vectors.reshape(-1))
    vector = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table({**columns, "text": texts, "vector": vector})


def _storing(context: Context, database: Any) -> Figures:
    sizes = context.sizes
    count = sizes.bulk * (sizes.bulk_rounds + 1)
    vectors = context.vectors(count)
    table = database.create_table("storing", _rows([episode(0)], vectors[:1]))

    def store(number: int) -> None:
        table.add(_rows([episode(number)], vectors[number : number + 1]))

    def store_many(number: int) -> None:
        start = number * sizes.bulk
        table.add(_rows(episodes(start, sizes.bulk), vectors[start : start + sizes.bulk]))

    single = of_durations(timed(min(sizes.stores, SINGLE_STORES), store, warm_up=2), fsync=False)
    bulk = of_durations(timed(sizes.bulk_rounds, store_many), fsync=False, note="searchable, scanned")
    return {"store.1.alone": single, "store.1.followed": single, "bulk": bulk}


def _searching(context: Context, database: Any, path: Path, name: str, count: int) -> Figures:
    sizes = context.sizes
    vectors = context.vectors(count + sizes.queries + sizes.warm_up)
    asked = vectors[count:]
    table = None
    for start, length in batches(count):
        rows = _rows(episodes(start, length), vectors[start : start + length])
        if table is None:
            table = database.create_table(name, rows)
        else:
            table.add(rows)
    assert table is not None, "there is at least one batch"
    table.create_fts_index("text", stem=True, replace=True)
    table.optimize()

    def nearest(number: int, where: str | None = None) -> Any:
        query = table.search(asked[number], vector_column_name="vector").distance_type("dot")
        if where:
            query = query.where(where, prefilter=True)
        return query.limit(K).to_list()

    def by_words(number: int) -> Any:
        return table.search(question(number), query_type="fts").limit(K).to_list()

    def figure(call: Any) -> Figure:
        return of_durations(timed(sizes.queries, call, warm_up=sizes.warm_up))

    figures = {
        f"retrieve.vector.{name}": figure(nearest),
        f"retrieve.text.{name}": figure(by_words),
        f"retrieve.rare.{name}": figure(lambda number: nearest(number, ROWS)),
        f"retrieve.broad.{name}": figure(lambda number: nearest(number, MANY_ROWS)),
    }
    if name == "middle":
        taken = sum(file.stat().st_blocks * 512 for file in (path / f"{name}.lance").rglob("*") if file.is_file())
        figures["bytes.total"] = Figure(round(taken / count, 1), n=count)
    return figures
