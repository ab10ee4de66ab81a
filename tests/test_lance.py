"""What LanceDB keeps in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphsvc.store.lance import LanceVectors

COMMITS = 120


def kept(directory: Path, cache_bytes: int) -> int:
    """Bytes that stay in memory after many commits to a table that doesn't grow."""
    vectors = LanceVectors(directory, 8, 1, cache_bytes)
    rows: list[Any] = list(range(20))
    for number in range(COMMITS):
        values = np.full((20, 8), number, np.float32)
        vectors.write(rows, [f"k{row}" for row in rows], ["episode"] * 20, [number] * 20, [0] * 20, values)
        if number % 20 == 19:
            vectors.optimize()
    assert vectors.count() == 20
    found = int(vectors._session.size_bytes)
    vectors.close()
    return found


def test_what_lancedb_keeps_grows_with_every_commit_up_to_what_it_is_allowed(tmp_path: Path) -> None:
    assert kept(tmp_path / "bounded", 64 << 10) <= 64 << 10
    assert kept(tmp_path / "free", 1 << 30) > 128 << 10, "the trap: it isn't needed where this no longer grows"
