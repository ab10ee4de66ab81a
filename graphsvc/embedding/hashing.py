"""The `hashing` embedder: words and character trigrams hashed into 384 signed buckets.

It knows spelling, not meaning: texts with common words are near, and that is all. It is for tests and for
machines without a model, and is never chosen unless asked for by name. (Feature hashing: Weinberger et al.,
2009, arXiv:0902.2206.)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphsvc.embedding.vectors import Embedded, unit_rows

DIMENSION = 384
WORD_WEIGHT, TRIGRAM_WEIGHT = 2.0, 0.5
"""Powers of two: sums are exact, so a vector doesn't depend on the texts that it is computed with."""

_WORD = re.compile(r"\w+")


class HashingRuntime:
    """Deterministic on every machine, whatever PYTHONHASHSEED is."""

    name = "hashing"

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Unit vectors of `texts`, [n, 384]; `tokens` counts words."""
        words = [_WORD.findall(text.lower()) for text in texts]
        rows = _words(words) + _trigrams(words)
        for row in np.flatnonzero(~rows.any(axis=1)).tolist():
            rows[row, _checksum(texts[row]) % DIMENSION] = 1.0
        counts = np.array([len(found) for found in words], dtype=np.int32)
        return Embedded(unit_rows(rows, len(texts), DIMENSION, "hashing"), counts, counts.copy())

    def close(self) -> None:
        """Nothing to end."""


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _words(words: list[list[str]]) -> NDArray[np.float64]:
    hashes = np.array([_checksum(word) for found in words for word in found], dtype=np.uint64)
    row = np.repeat(np.arange(len(words)), [len(found) for found in words])
    return _gathered(hashes, row, len(words), WORD_WEIGHT)


def _trigrams(words: list[list[str]]) -> NDArray[np.float64]:
    """Trigrams of the words with a space at each end, all texts in one go."""
    padded = [f" {' '.join(found)} " for found in words]
    encoded = "".join(padded).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(encoded, dtype=np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(words)), [len(text) for text in padded])
    inside = row[:-2] == row[2:]
    grams = (points[:-2] * 0x9E3779B1 + points[1:-1]) * 0x85EBCA77 + points[2:]
    return _gathered(grams[inside], row[:-2][inside], len(words), TRIGRAM_WEIGHT)


def _gathered(
    hashes: NDArray[np.uint64], row: NDArray[np.intp], count: int, weight: float
) -> NDArray[np.float64]:
    """[count, DIMENSION]: the weight of every hash added to, or taken from, its bucket in its row."""
    mixed = hashes * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: the high bits are well mixed
    sign = np.where(mixed >> np.uint64(63), weight, -weight)
    bucket = ((mixed >> np.uint64(32)) & np.uint64(0x7FFFFFFF)) % np.uint64(DIMENSION)
    flat = row * DIMENSION + bucket.astype(np.intp)
    sums = np.bincount(flat, weights=sign, minlength=count * DIMENSION).astype(np.float64)
    return sums.reshape(count, DIMENSION)
