"""Gathering vectors by likeness: average-linkage clusters, whatever their number.

Two clusters are joined while the mean cosine of their pairs is at least the threshold (Sokal, Michener 1958). Then
some pair of them is as alike, so no cluster reaches beyond a connected component of the graph of such pairs: the
components are found first, in blocks, and only within each is a matrix of distances made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsvc.store.hot import Vectors

BLOCK = 1_000
MOST = 2_000
"""Distinct vectors of which a matrix of all distances is made. Larger components are halved by k-means until they
fit, and the clusters of their parts are joined by the mean cosine of their pairs, whatever their sizes."""

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
        parts = _halved(distinct, members)
        for part in parts:
            labels[part] = part[_linked(distinct[part] @ distinct[part].T, similarity)]
        if len(parts) > 1:
            labels[members] = _joined(distinct[members], labels[members], similarity)
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
    from scipy.cluster.vq import ClusterError, kmeans2

    try:
        _, side = kmeans2(vectors[members], 2, iter=20, minit="++", missing="raise", rng=np.random.default_rng(0))
    except ClusterError:  # hardly differing vectors, all on one side: any halves are as good
        side = np.arange(len(members)) % 2
    parts = [members[side == which] for which in (0, 1)]
    return [small for part in parts for small in _halved(vectors, part)]


def _joined(vectors: Vectors, labels: Labels, similarity: float) -> Labels:
    """Labels of which those are made one whose clusters are alike enough; the mean cosine is that of their means."""
    names, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) > MOST:
        return labels
    means = np.zeros((len(names), vectors.shape[1]))
    np.add.at(means, inverse, vectors)
    means /= sizes[:, None]
    return names[_linked(means @ means.T, similarity)][inverse]


def _linked(cosines: NDArray[np.floating[Any]], similarity: float) -> NDArray[np.int64]:
    """By average linkage, for each thing the place of the first of its cluster."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(cosines) == 1:
        return np.zeros(1, np.int64)
    distances = np.maximum(0.0, 1.0 - np.round(cosines.astype(np.float64), 6))
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    found = fcluster(tree, 1.0 - similarity + 1e-9, "distance")
    _, firsts, inverse = np.unique(found, return_index=True, return_inverse=True)
    places: NDArray[np.int64] = firsts[inverse]
    return places
