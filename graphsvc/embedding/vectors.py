"""What embedding gives: unit vectors, token counts, and the identity of what made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import EmbeddingFailed

UNKNOWN = -1
"""Token count of an embedder that doesn't tell: a callable."""


@dataclass(frozen=True)
class Identity:
    """Which embedder makes the vectors.

    Attributes:
        name: as the user asked for it.
        fingerprint: two vectors are comparable if and only if their fingerprints are equal. It is made from
            what the model's files say, never from where they lie.
        dimension: length of a vector.
        max_tokens: how many tokens the model sees of a text; None if there is no limit.
    """

    name: str
    fingerprint: str
    dimension: int
    max_tokens: int | None


@dataclass
class Embedded:
    """The vectors of n texts.

    Attributes:
        vectors: [n, dimension], rows of length 1.
        tokens: [n], tokens of each text, the model's start and end marks included; words for the hashing
            embedder; `UNKNOWN` for a callable.
        kept: [n], how many of them the model saw. `kept < tokens` means that the text was truncated.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    kept: NDArray[np.int32]


def unit_rows(output: Any, count: int, dimension: int | None, who: str) -> NDArray[np.float32]:
    """`output` as [count, dimension] rows of length 1, float32; any dimension if None.

    Raises:
        EmbeddingFailed: not numbers, another shape, a value that isn't finite, a row of zeros.
    """
    try:
        given = np.asarray(output)
    except Exception as error:
        kind = type(output).__name__
        raise EmbeddingFailed(f"gave {kind}, which isn't an array of numbers: {error}", where=who) from error
    if given.dtype.kind not in "fiu":
        kind = type(output).__name__
        raise EmbeddingFailed(f"gave {kind} of {given.dtype}, not an array of numbers", where=who)
    rows = given.astype(np.float64)
    if rows.ndim != 2 or rows.shape[0] != count or rows.shape[1] != (dimension or rows.shape[1]):
        wanted = f"[{count}, {dimension or 'd'}]"
        raise EmbeddingFailed(f"gave an array of shape {list(rows.shape)}, not {wanted}", where=who)
    if rows.shape[1] == 0:
        raise EmbeddingFailed("gave vectors of no dimensions", where=who)
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise EmbeddingFailed(f"gave a value that isn't finite, for text {bad}", where=who)
    # scaled by the largest value first: squares of the tiniest floats would vanish
    largest = np.abs(rows).max(axis=1, keepdims=True) if count else np.ones((0, 1))
    if (largest == 0).any():
        raise EmbeddingFailed(f"gave a vector of zeros, for text {int(np.argmin(largest))}", where=who)
    rows = rows / largest
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
