"""Gathering vectors by likeness: average-linkage clusters, whatever their number.

Two clusters are joined while the mean cosine of their pairs is at least the threshold (Sokal, Michener 1958). Then
some pair of them is as alike, so no cluster reaches beyond a connected component of the graph of such pairs: the
components are found first, in blocks, and only within each is a matrix of distances made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from graphsvc.store.hot import Vectors

BLOCK = 1_000
MOST = 2_000
"""Distinct vectors of which a matrix of all distances is made. Larger components are halved by k-means until they
fit; what lies at the border of two halves isn't joined across it."""

Labels = NDArray[np.int64]


def clusters(vectors: Vectors, similarity: float) -> Labels:
    """The cluster of each vector, numbered in the order of their first members.

    Args:
        vectors: unit vectors, shape (n, dimension).
        similarity: mean cosine that the members of two clusters must have for these to be one.

    Returns:
        Whole numbers from 0, shape (n,). The same vectors in the same order give the same numbers.
    """
    if not len(vectors):
        return np.zeros(0, np.int64)
    firsts, same = _distinct(vectors)
    distinct = vectors[firsts]
    labels = np.arange(len(distinct), dtype=np.int64)
    for members in _components(distinct, similarity):
        for part in _halved(distinct, members):
            labels[part] = part[_within(distinct[part], similarity)]
    return np.unique(labels[same], return_inverse=True)[1].astype(np.int64)


def _distinct(vectors: Vectors) -> tuple[Labels, Labels]:
    """Places of the vectors that are unlike all before them, and which of these each vector equals."""
    rows = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.shape[1] * vectors.itemsize))).ravel()
    _, firsts, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return firsts[order].astype(np.int64), places[inverse].astype(np.int64)


def _components(vectors: Vectors, similarity: float) -> Iterator[NDArray[np.int64]]:
    """Connected components, of two and more vectors, of the graph of pairs that are alike enough."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(vectors)
    labels = np.arange(count, dtype=np.int64)
    for start in range(0, count, BLOCK):
        rows = vectors[start : start + BLOCK]
        for other in range(start, count, BLOCK):
            left, right = np.nonzero(np.round(rows @ vectors[other : other + BLOCK].T, 6) >= similarity)
            edges = (labels[left + start], labels[right + other])
            graph = coo_array((np.ones(len(left), np.int8), edges), shape=(count, count))
            labels = connected_components(graph, directed=False)[1][labels].astype(np.int64)
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) > 1:
            yield members


def _halved(vectors: Vectors, members: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members in parts of at most `MOST`, the alike together."""
    if len(members) <= MOST:
        return [members]
    from sklearn.cluster import KMeans

    side = KMeans(2, n_init=1, random_state=0, max_iter=20).fit_predict(vectors[members])
    if side.all() or not side.any():  # hardly differing vectors: any halves are as good
        side = np.arange(len(members)) % 2
    parts = [members[side == which] for which in (0, 1)]
    return [small for part in parts for small in _halved(vectors, part)]


def _within(vectors: Vectors, similarity: float) -> NDArray[np.int64]:
    """For each vector the place of the first member of its cluster."""
    from sklearn.cluster import AgglomerativeClustering

    distances = np.maximum(0.0, 1.0 - np.round((vectors @ vectors.T).astype(np.float64), 6))
    np.fill_diagonal(distances, 0.0)
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1.0 - similarity + 1e-9
    )
    found = model.fit_predict(distances)
    _, firsts, inverse = np.unique(found, return_index=True, return_inverse=True)
    places: NDArray[np.int64] = firsts[inverse]
    return places
