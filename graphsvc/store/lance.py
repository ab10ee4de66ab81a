"""The home of the embeddings: a LanceDB table, one row a record.

LanceDB never calls fsync, so we do: the vector follower's number moves only after `sync`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import Corrupt, NoResources
from graphsvc.store.directory import lacks_resources

DIRECTORY = "vectors.lance"
Read = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.float32]]

FETCH = 1_000
OLD = timedelta(seconds=1)
"""Versions older than this are nobody's: the memory has one owner."""


class LanceVectors:
    """Vectors on disk by row number. Nothing is imported or opened before it is needed.

    Args:
        directory: of the memory.
        dimension: of the vectors.
        generation: number of the embedding that the memory is in; each has its own table.
        cache_bytes: that LanceDB may keep in memory of how its files are made. By itself it keeps up to 1 GiB, 8 kB
            more with every commit: what it read of versions that are gone stays there (lance-format/lance#7718).
    """

    def __init__(self, directory: Path, dimension: int, generation: int, cache_bytes: int = 64 << 20) -> None:
        self.path = directory / DIRECTORY
        self.dimension = dimension
        self.name = f"g{generation}"
        self._cache_bytes = cache_bytes
        self._session: Any = None
        self._table: Any = None
        self._synced: set[str] = set()

    @property
    def table(self) -> Any:
        """The table, opened or made."""
        if self._table is None:
            self._table = self._open()
        return self._table

    def _open(self) -> Any:
        import lancedb
        import pyarrow as pa

        schema = pa.schema(
            [
                pa.field("row", pa.int64(), nullable=False),
                pa.field("key", pa.string()),
                pa.field("kind", pa.string()),
                pa.field("hash", pa.uint64()),
                pa.field("cut", pa.uint32()),
                pa.field("vector", pa.list_(pa.float32(), self.dimension)),
            ]
        )
        try:
            self._session = lancedb.Session(metadata_cache_size_bytes=self._cache_bytes)
            database = lancedb.connect(str(self.path), session=self._session)
            table = database.create_table(self.name, schema=schema, exist_ok=True)
            if table.schema.field("vector").type != schema.field("vector").type:
                raise ValueError("vectors of another dimension")
        except (ValueError, OSError, RuntimeError) as error:
            if lacks_resources(error):
                raise NoResources(f"the vectors can't be opened: {error}", where=str(self.path)) from error
            raise Corrupt(f"the vectors can't be opened ({error})", where=str(self.path)) from error
        return table

    def write(
        self,
        rows: Sequence[int],
        keys: Sequence[str],
        kinds: Sequence[str],
        hashes: Sequence[int],
        cut: Sequence[int],
        vectors: Any,
    ) -> None:
        """Insert or replace vectors, shape (n, dimension), by row; `cut` as in the hot index."""
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        data = pa.table(
            {
                "row": pa.array(rows, pa.int64()),
                "key": pa.array(keys, pa.string()),
                "kind": pa.array(kinds, pa.string()),
                "hash": pa.array(hashes, pa.uint64()),
                "cut": pa.array(cut, pa.uint32()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, self.dimension),
            },
            schema=self.table.schema,
        )
        merge = self.table.merge_insert("row").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(data)

    def delete(self, rows: Iterable[int]) -> None:
        """Remove the vectors of these rows."""
        numbers = [int(row) for row in rows]
        for start in range(0, len(numbers), FETCH):
            self.table.delete(f"row IN ({', '.join(map(str, numbers[start : start + FETCH]))})")

    def read(self, rows: Iterable[int]) -> Read:
        """Row numbers, text hashes, tokens cut and vectors of those rows that have one."""
        numbers = [int(row) for row in rows]
        columns = ["row", "hash", "cut", "vector"]
        if 2 * len(numbers) > self.count() > FETCH:  # most of the table: read once, not searched a hundred times
            found = _unpacked([self._scan(None, columns)], self.dimension)
            asked = np.isin(found[0], numbers)
            return found[0][asked], found[1][asked], found[2][asked], found[3][asked]
        tables = []
        for start in range(0, len(numbers), FETCH):
            wanted = f"row IN ({', '.join(map(str, numbers[start : start + FETCH]))})"
            tables.append(self._scan(wanted, columns))
        return _unpacked(tables, self.dimension)

    def contents(self) -> dict[int, int]:
        """Text hash by row, of all rows."""
        table = self._scan(None, ["row", "hash"])
        return dict(zip(table["row"].to_pylist(), table["hash"].to_pylist(), strict=True))

    def _scan(self, where: str | None, columns: list[str]) -> Any:
        query = self.table.search().select(columns)
        if where:
            query = query.where(where)
        return query.limit(max(1, self.table.count_rows())).to_arrow()

    def nearest(self, query: NDArray[np.float32], kind: str, limit: int) -> NDArray[np.int64]:
        """Row numbers of about the nearest vectors of a kind, by the approximate index where there is one."""
        search = self.table.search(query, vector_column_name="vector").distance_type("dot")
        search = search.where(f"kind = '{kind}'", prefilter=True).select(["row"]).limit(limit)
        if self.indexed:
            search = search.nprobes(64).ef(max(4 * limit, 128)).refine_factor(4)
        rows: NDArray[np.int64] = search.to_arrow()["row"].to_numpy()
        return rows

    @property
    def indexed(self) -> bool:
        """Whether there is an approximate index."""
        return any("vector" in index.columns for index in self.table.list_indices())

    def build_index(self) -> None:
        """Build the approximate index (IVF of HNSW graphs, vectors quantised to 8 bits, refined exactly)."""
        from lancedb.index import HnswSq

        self.table.create_index("vector", config=HnswSq(distance_type="dot"), replace=True)

    def optimize(self) -> None:
        """Join small files, drop old versions, bring indices up to date."""
        from lancedb.index import BTree

        if not any("row" in index.columns for index in self.table.list_indices()):
            self.table.create_index("row", config=BTree())
        self.table.optimize(cleanup_older_than=OLD)

    def count(self) -> int:
        """Rows in the table."""
        return int(self.table.count_rows())

    def sync(self) -> None:
        """Have the disk hold every file: each that is new since the last time, and the directories."""
        seen: set[str] = set()
        for folder, _, files in os.walk(self.path):
            fresh = False
            for name in files:
                path = os.path.join(folder, name)
                seen.add(path)
                if path not in self._synced:
                    _fsync(path)
                    fresh = True
            if fresh:
                _fsync(folder)
        self._synced = seen

    def drop(self) -> None:
        """Remove this generation's table."""
        self._table = None
        shutil.rmtree(self.path / f"{self.name}.lance", ignore_errors=True)

    def close(self) -> None:
        """Let go of the table, and of what is kept of it."""
        self._table = self._session = None


def discard(directory: Path) -> None:
    """Remove all vectors, to be gathered anew."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)


def _fsync(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # LanceDB cleaned it up meanwhile
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unpacked(tables: list[Any], dimension: int) -> Read:
    import pyarrow as pa

    if not tables:
        empty = np.empty((0, dimension), np.float32)
        return np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint32), empty
    table = pa.concat_tables(tables).combine_chunks()
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["vector"].chunks]
    vectors = np.concatenate(flat).reshape(-1, dimension) if flat else np.empty((0, dimension), np.float32)
    return table["row"].to_numpy(), table["hash"].to_numpy(), table["cut"].to_numpy(), vectors
