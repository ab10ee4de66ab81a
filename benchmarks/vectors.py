"""The vectors that AgentDB's bench uses: seeded, in 100 clusters, of length 1; any number of them.

Its generator counts (mulberry32: the state after i steps is seed + i · constant), so that any part of the
sequence is made on its own. Where its own file is there the first vectors are read from it: the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSION = 384
CLUSTERS = 100
SPREAD = 0.6
SEED = 42
STEP = 0x6D2B79F5
PIECE = 2_000


def make(count: int, file: Path | None = None) -> Vectors:
    """The first `count` vectors, shape (count, 384)."""
    made = np.empty((count, DIMENSION), np.float32)
    known = 0
    if file is not None and file.exists():
        given = np.fromfile(file, np.float32).reshape(-1, DIMENSION)[:count]
        known = len(given)
        made[:known] = given
    centres = _unit(_gauss(0, CLUSTERS * DIMENSION).reshape(CLUSTERS, DIMENSION))
    for start in range(known, count, PIECE):
        end = min(start + PIECE, count)
        chance = _gauss((CLUSTERS + start) * DIMENSION, (end - start) * DIMENSION).reshape(-1, DIMENSION)
        centre = centres[np.arange(start, end) % CLUSTERS]
        made[start:end] = _unit((centre + chance * (SPREAD / np.sqrt(DIMENSION))).astype(np.float32))
    return made


def _gauss(start: int, count: int) -> NDArray[np.float64]:
    """Normally distributed numbers from place `start` of the sequence (Box and Muller, the cosine half)."""
    chance = _uniform(2 * start, 2 * count).reshape(count, 2)
    normal: NDArray[np.float64] = np.sqrt(-2 * np.log(1 - chance[:, 0])) * np.cos(2 * np.pi * chance[:, 1])
    return normal


def _uniform(start: int, count: int) -> NDArray[np.float64]:
    """mulberry32: 32-bit numbers from 0 to 1."""
    places = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    state = (places * np.uint64(STEP) + np.uint64(SEED)).astype(np.uint32)
    t = (state ^ state >> np.uint32(15)) * (state | np.uint32(1))
    t = t + (t ^ t >> np.uint32(7)) * (t | np.uint32(61)) ^ t
    uniform: NDArray[np.float64] = (t ^ t >> np.uint32(14)).astype(np.float64) / 2**32
    return uniform


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    single = vectors.astype(np.float32)
    norms = np.sqrt((single.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    unit: Vectors = (single / norms).astype(np.float32)
    return unit
