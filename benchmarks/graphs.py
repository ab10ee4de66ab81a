"""The graph that all sides walk: random, the same for everyone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RandomGraph:
    """Nodes 0 to `count` - 1, of which each belongs to one of a hundred groups; most edges stay within one.

    Attributes:
        count: of nodes. source, target, weight: of edges.
    """

    count: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def nodes(self) -> pa.Table:
        """Rows of the nodes."""
        return pa.table({"id": np.arange(self.count), "name": [f"node {n}" for n in range(self.count)]})

    @property
    def edges(self) -> pa.Table:
        """Rows of the edges."""
        return pa.table({"source": self.source, "target": self.target, "weight": self.weight})


def random_graph(count: int, edges: int, *, within: float = 0.5) -> RandomGraph:
    """`within`: share of edges that stay within a group."""
    chance = np.random.default_rng(20_251_101)
    source = chance.integers(0, count, edges)
    size = max(1, count // 100)
    near = source // size * size + chance.integers(0, size, edges)
    target = np.where(chance.random(edges) < within, np.minimum(near, count - 1), chance.integers(0, count, edges))
    return RandomGraph(count, source, target, chance.random(edges))


def pairs(count: int, number: int) -> list[tuple[int, int]]:
    """Nodes to find a way between."""
    chance = np.random.default_rng(7)
    return [(int(a), int(b)) for a, b in chance.integers(0, count, (number, 2))]
