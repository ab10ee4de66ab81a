"""What LanceDB keeps in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphsvc.store.lance import LanceVectors

COMMITS = 120


def growth(directory: Path, cache_bytes: int) -> int:
    """By how many bytes more is kept in memory after many commits than after half of them, of a table that doesn't grow."""
    vectors = LanceVectors(directory, 8, 1, cache_bytes)
    rows: list[Any] = list(range(20))
    sizes: list[int] = []
    for number in range(1, COMMITS + 1):
        values = np.full((20, 8), number, np.float32)
        vectors.write(rows, [f"k{row}" for row in rows], ["episode"] * 20, [number] * 20, [0] * 20, values)
        if number % 20 == 0:
            vectors.optimize()
        if number % (COMMITS // 2) == 0:
            sizes.append(int(vectors._session.size_bytes))
    assert vectors.count() == 20
    vectors.close()
    return sizes[1] - sizes[0]


def test_what_lancedb_keeps_grows_with_every_commit_up_to_what_it_is_allowed(tmp_path: Path) -> None:
    free = growth(tmp_path / "free", 1 << 30)
    assert free > 1_000 * COMMITS, "the trap: the bound isn't needed where this no longer grows"
    assert growth(tmp_path / "bounded", 64 << 10) < free / 4
