"""Measures of a ranking against the documents known to be right, each from 0 to 1.

With `right` the documents that answer a question, all of equal worth: the reciprocal rank is 1 / rank of the first
right one among ten, else 0; recall@k the share of `right` that is among the first k; nDCG@10 the gain, 1 / log2(1 +
rank) of the right ones among ten, over that of the best possible ten (Järvelin, Kekäläinen 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from math import log2

DEPTH = 10


def reciprocal_rank(found: Sequence[str], right: Set[str]) -> float:
    return next((1 / rank for rank, id in enumerate(found[:DEPTH], 1) if id in right), 0.0)


def recall(found: Sequence[str], right: Set[str], k: int) -> float:
    return sum(id in right for id in found[:k]) / len(right)


def gain(found: Sequence[str], right: Set[str]) -> float:
    got = sum(1 / log2(1 + rank) for rank, id in enumerate(found[:DEPTH], 1) if id in right)
    return got / sum(1 / log2(1 + rank) for rank in range(1, min(len(right), DEPTH) + 1))


MEASURES: Mapping[str, Callable[[Sequence[str], Set[str]], float]] = {
    "MRR@10": reciprocal_rank,
    "recall@5": lambda found, right: recall(found, right, 5),
    "recall@10": lambda found, right: recall(found, right, 10),
    "nDCG@10": gain,
}
