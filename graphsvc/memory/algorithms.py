"""Algorithms over the whole graph: what is central, what belongs together, what is alike. `memory.graph`.

They run on the adjacency in memory, as sparse matrices (scipy, scikit-network), and so give the same on both engines.
Kuzu has some of them built in, on a graph that it projects first (of 100,000 edges, in one run of the bench: PageRank
421 ms against 33 here, Louvain 1,184 against 213, components 315 against 54, core numbers 317 against 199), and Ladybug
has none. Nodes stand in the order of table and key, sums are made in
that order, and what needs chance takes a seed: the same graph gives the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphsvc.errors import BadInput
from graphsvc.memory.retrieval import check_k
from graphsvc.memory.scores import Scores
from graphsvc.memory.statements import check_unbound
from graphsvc.memory.walks import Filters, Names, Ref, Walks, Wanted, check_number, weights
from graphsvc.store.adjacency import Adjacency

Floats = NDArray[np.float64]
Method = Literal["louvain", "leiden"]
BATCH = 64
"""Nodes that ways are counted from at once."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The part of the graph that an algorithm is about.

    Attributes:
        adjacency: that it was taken from. numbers: of its nodes there, in the order of table and key.
        places: of each number among them, -1 for others.
        source, target: places of the ends of each edge. weight: of each edge.
    """

    adjacency: Adjacency
    numbers: NDArray[np.int64]
    places: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: Floats

    def __len__(self) -> int:
        return len(self.numbers)

    def matrix(self, *, lightest: bool = False) -> Any:
        """Row: source, column: target. The weights of parallel edges are added up, or the `lightest` counts."""
        from scipy import sparse

        shape = (len(self), len(self))
        if not lightest:
            return sparse.csr_array((self.weight, (self.source, self.target)), shape=shape)
        order = np.lexsort((self.weight, self.target, self.source))
        source, target, weight = self.source[order], self.target[order], self.weight[order]
        first = np.ones(len(order), bool)
        first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
        return sparse.csr_array((weight[first], (source[first], target[first])), shape=shape)

    def joined(self) -> Any:
        """1 where two different nodes are joined, in whichever direction."""
        apart = self.source != self.target
        both = Matrix(
            self.adjacency, self.numbers, self.places,
            np.concatenate([self.source[apart], self.target[apart]]),
            np.concatenate([self.target[apart], self.source[apart]]),
            np.ones(2 * int(apart.sum())),
        )  # fmt: skip
        return both.matrix(lightest=True)

    def scores(self, name: str, values: NDArray[Any]) -> Scores:
        """A value for each node, as a result."""
        nodes = self.adjacency.nodes
        labels = [nodes.tables[code] for code in nodes.table[self.numbers].tolist()]
        return Scores(labels, [nodes.keys[number] for number in self.numbers.tolist()], values, name)


class Algorithms(Walks):
    """Figures for every node of the graph, or of a part of it.

    Arguments that all share: `tables`: only these node tables. `rel`: only these types of edges. `where`, `edges`:
    filters as of traversal. `weight`: column of edges that counts instead of 1; `default`: for edges without a value.
    """

    def pagerank(
        self, *, damping: float = 0.85, start: Mapping[Ref, float] | None = None, tolerance: float = 1e-10,
        weight: str | None = None, default: float = 1.0, tables: Names = None, rel: Names = None,
        where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """PageRank (Brin and Page 1998): how much of a random walk along the edges is spent at each node; sums to 1.

        Args:
            damping: chance that the walk goes on, from 0 to less than 1. start: where it starts anew, shares by node;
            everywhere alike if not given. tolerance: change of all values together at which it ends.
        """
        if not 0 <= check_number(damping, "damping") < 1:
            raise BadInput(f"{damping!r} isn't from 0 to less than 1", where="damping")
        check_number(tolerance, "tolerance")
        graph = self._matrix(Wanted(rel, "both", tables, where, edges), weight, default)
        if not len(graph):
            return graph.scores("pagerank", np.empty(0))
        jump = np.full(len(graph), 1 / len(graph)) if start is None else self._shares(graph, start)
        matrix = graph.matrix()
        out = matrix.sum(axis=1)
        dangling = out == 0
        onward = (matrix.multiply(np.divide(1, out, out=np.zeros_like(out), where=~dangling)[:, None])).T.tocsr()
        ranks = jump.copy()
        for _ in range(10_000):
            before = ranks
            ranks = damping * (onward @ before + before[dangling].sum() * jump) + (1 - damping) * jump
            if np.abs(ranks - before).sum() < tolerance:
                break
        return graph.scores("pagerank", ranks / ranks.sum())

    def degree(
        self, *, direction: str = "both", weight: str | None = None, default: float = 1.0, tables: Names = None,
        rel: Names = None, where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """How many edges each node has, or their weights added up. In both directions a loop counts twice."""
        graph = self._matrix(Wanted(rel, direction, tables, where, edges), weight, default)
        values = np.zeros(len(graph))
        if direction != "in":
            values += np.bincount(graph.source, graph.weight, len(graph))
        if direction != "out":
            values += np.bincount(graph.target, graph.weight, len(graph))
        return graph.scores("degree", values)

    def components(
        self, *, strong: bool = False, tables: Names = None, rel: Names = None, where: Filters = None,
        edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """Which nodes hang together: the number of each node's component, from 0, the largest first.

        Args:
            strong: along the edges, each from each (Tarjan 1972); else in whichever direction.
        """
        from scipy.sparse.csgraph import connected_components

        graph = self._matrix(Wanted(rel, "both", tables, where, edges))
        connection = "strong" if strong else "weak"
        _, labels = connected_components(graph.matrix(), directed=True, connection=connection)
        return graph.scores("component", _by_size(labels))

    def communities(
        self, *, method: Method = "louvain", resolution: float = 1.0, seed: int = 0, weight: str | None = None,
        default: float = 1.0, tables: Names = None, rel: Names = None, where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """Communities of high modularity, whatever the edges' direction: the number of each node's, the largest first.

        Args:
            method: "louvain" (Blondel et al. 2008), or "leiden" (Traag et al. 2019), whose communities hang together.
            resolution: above 1 gives smaller communities; from 0. seed: of the chance that breaks ties, from 0 to
            4,294,967,295.
        """
        if method not in ("louvain", "leiden"):
            raise BadInput(f"{method!r} is neither louvain nor leiden", where="method")
        check_number(resolution, "resolution")
        check_seed(seed)
        graph = self._matrix(Wanted(rel, "both", tables, where, edges), weight, default)
        matrix = graph.matrix()
        both = (matrix + matrix.T).tocsr()
        if both.nnz == 0:
            return graph.scores("community", np.arange(len(graph)))
        from sknetwork.clustering import Leiden, Louvain

        chosen = Louvain if method == "louvain" else Leiden
        found = chosen(resolution=resolution, random_state=seed).fit_predict(_matrix(both))
        return graph.scores("community", _by_size(found))

    def label_propagation(
        self, *, weight: str | None = None, default: float = 1.0, tables: Names = None, rel: Names = None,
        where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """Communities by label propagation (Raghavan et al. 2007): each node takes the label that most neighbours have.

        Faster than `communities`, and coarser. Nodes take their turns in the order of table and key.
        """
        graph = self._matrix(Wanted(rel, "both", tables, where, edges), weight, default)
        matrix = graph.matrix()
        both = (matrix + matrix.T).tocsr()
        if both.nnz == 0:
            return graph.scores("community", np.arange(len(graph)))
        from sknetwork.clustering import PropagationClustering

        return graph.scores("community", _by_size(PropagationClustering(n_iter=100).fit_predict(_matrix(both))))

    def k_core(
        self, *, tables: Names = None, rel: Names = None, where: Filters = None, edges: Filters = None
    ) -> Scores:
        """Core numbers (Seidman 1983): the largest k for which a node is among nodes that have k neighbours each."""
        graph = self._matrix(Wanted(rel, "both", tables, where, edges))
        joined = graph.joined()
        if joined.nnz == 0:
            return graph.scores("core", np.zeros(len(graph), np.int64))
        from sknetwork.topology import get_core_decomposition

        return graph.scores("core", np.asarray(get_core_decomposition(_matrix(joined)), np.int64))

    def triangles(
        self, *, tables: Names = None, rel: Names = None, where: Filters = None, edges: Filters = None
    ) -> Scores:
        """How many triangles each node is a corner of, whatever the edges' direction."""
        graph = self._matrix(Wanted(rel, "both", tables, where, edges))
        joined = graph.joined()
        counts = joined.multiply(joined @ joined).sum(axis=1) / 2
        return graph.scores("triangles", np.asarray(counts).round().astype(np.int64))

    def closeness(
        self, *, direction: str = "in", weight: str | None = None, default: float = 1.0, tables: Names = None,
        rel: Names = None, where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """Closeness (Freeman 1979, Wasserman and Faust 1994): how near a node is to those that reach it, 0 to 1.

        Args:
            direction: "in": from others to it, "out": from it to others, "both": whatever the edges' direction.
            weight: column that says how long an edge is.
        """
        from scipy.sparse.csgraph import dijkstra

        graph = self._matrix(Wanted(rel, direction, tables, where, edges), weight, default)
        matrix = graph.matrix(lightest=True)
        if direction == "both":
            matrix = _shorter(matrix, matrix.T.tocsr())
        elif direction == "in":
            matrix = matrix.T.tocsr()
        values = np.zeros(len(graph))
        for first in range(0, len(graph), BATCH):
            some = np.arange(first, min(first + BATCH, len(graph)))
            far = dijkstra(matrix, indices=some, unweighted=weight is None)
            reached = np.isfinite(far)
            others, total = reached.sum(axis=1) - 1, np.where(reached, far, 0).sum(axis=1)
            near = np.divide(others, total, out=np.zeros(len(some)), where=total > 0)
            values[some] = near * others / max(1, len(graph) - 1)
        return graph.scores("closeness", values)

    def betweenness(
        self, *, directed: bool = True, sample: int | None = None, seed: int = 0, weight: str | None = None,
        default: float = 1.0, tables: Names = None, rel: Names = None, where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """Betweenness (Freeman 1977, Brandes 2001): the share of shortest ways between others that lead through a node.

        Args:
            directed: along the edges only. sample: count from so many nodes, chosen by `seed` (from 0 to
            4,294,967,295), and scale up; from all if not given, which takes time that grows with nodes times edges.
            weight: column that says how long an edge is; that takes networkx, and far longer.
        """
        graph = self._matrix(Wanted(rel, "both", tables, where, edges), weight, default)
        count, seed = len(graph), check_seed(seed)
        starts = np.arange(count)
        if sample is not None and check_k(sample, 1 << 31, "sample") < count:
            starts = np.sort(np.random.default_rng(seed).choice(count, sample, replace=False))
        if count < 3:
            return graph.scores("betweenness", np.zeros(count))
        if weight is None:
            apart = graph.matrix(lightest=True) if directed else graph.joined()
            values = _dependencies(apart, starts)
        else:
            values = _weighted_dependencies(graph, directed, starts)
        return graph.scores("betweenness", values * count / len(starts) / ((count - 1) * (count - 2)))

    def similarity(
        self, node: Ref, k: int = 10, *, measure: str = "jaccard", direction: str = "both", tables: Names = None,
        rel: Names = None, where: Filters = None, edges: Filters = None,
    ) -> Scores:  # fmt: skip
        """The k nodes whose neighbours are most like those of a node, best first; only those that share any.

        Args:
            measure: "jaccard": shared by all that either has; "cosine": shared by the root of the product of both
            counts. direction: which neighbours count.
        """
        if measure not in ("jaccard", "cosine"):
            raise BadInput(f"{measure!r} is neither jaccard nor cosine", where="measure")
        limit = check_k(k, self._opened.settings.max_results)
        graph = self._matrix(Wanted(rel, direction, tables, where, edges))
        place = self._place(graph, node)
        matrix = graph.matrix(lightest=True)
        matrix.data[:] = 1
        if direction == "in":
            matrix = matrix.T.tocsr()
        elif direction == "both":
            matrix = graph.joined()
        sizes = np.asarray(matrix.sum(axis=1)).ravel()
        shared = np.asarray((matrix @ matrix[[place]].T).todense()).ravel()
        whole = sizes + sizes[place] - shared if measure == "jaccard" else np.sqrt(sizes * sizes[place])
        values = np.divide(shared, whole, out=np.zeros(len(graph)), where=whole > 0)
        values[place] = 0
        best = np.lexsort((np.arange(len(graph)), -values))[:limit]
        found = graph.scores("similarity", values)
        return found.taken(best[values[best] > 0])

    # --- how it is done ----------------------------------------------------------------------------------

    def _matrix(self, wanted: Wanted, weight: str | None = None, default: float = 1.0) -> Matrix:
        """The part of the graph that is asked for."""
        check_unbound(self._namespaces)
        with self._whole(wanted) as adjacency:
            search = self._search(adjacency, wanted, set())
            numbers = np.array(adjacency.nodes.ordered(adjacency.alive_nodes()), np.int64)
            if search.tables is not None or search.node_tests:
                numbers = numbers[search.passing_nodes(numbers)]
            places = np.full(len(adjacency.nodes), -1, np.int64)
            places[numbers] = np.arange(len(numbers))
            chosen = adjacency.alive_edges()
            inside = (places[adjacency.source[chosen]] >= 0) & (places[adjacency.target[chosen]] >= 0)
            chosen = chosen[inside & adjacency.of_types(chosen, search.rels)]
            if search.edge_tests:
                chosen = chosen[search.passing_edges(chosen)]
            length = np.ones(len(chosen)) if weight is None else weights(adjacency, chosen, weight, default)
            source, target = places[adjacency.source[chosen]], places[adjacency.target[chosen]]
            order = np.lexsort((length, target, source))
            return Matrix(adjacency, numbers, places, source[order], target[order], length[order])

    def _place(self, graph: Matrix, ref: Ref) -> int:
        place = int(graph.places[self._number(graph.adjacency, ref, "node")])
        if place < 0:
            raise BadInput("the node isn't in the part of the graph that is asked for", where="node")
        return place

    def _shares(self, graph: Matrix, start: Mapping[Ref, float]) -> Floats:
        if not isinstance(start, Mapping):
            raise BadInput(f"expected shares by node, got {type(start).__name__}", where="start")
        shares = np.zeros(len(graph))
        for ref, share in start.items():
            shares[self._place(graph, ref)] += check_number(share, "start")
        if not shares.any():
            raise BadInput("shares are not all 0", where="start")
        shares /= shares.max()
        return np.asarray(shares / shares.sum())


def check_seed(seed: Any) -> int:
    """What chance starts from: 32 bits, as numpy's older generators take it. Raises BadInput."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 32:
        raise BadInput(f"expected a whole number from 0 to {(1 << 32) - 1:,}, got {seed!r}", where="seed")
    return int(seed)


def _by_size(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Groups numbered anew: the largest first, of equally large ones that with the first node."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[inverse]


def _matrix(array: Any) -> Any:
    """A sparse array as the matrix that scikit-network takes."""
    from scipy import sparse

    matrix = sparse.csr_matrix(array)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return matrix


def _shorter(a: Any, b: Any) -> Any:
    """Of two sparse arrays of lengths the shorter of each; what isn't there has no length."""
    from scipy import sparse

    a, b = a.tocoo(), b.tocoo()
    row, column = np.concatenate([a.row, b.row]), np.concatenate([a.col, b.col])
    data = np.concatenate([a.data, b.data])
    order = np.lexsort((data, column, row))
    row, column, data = row[order], column[order], data[order]
    first = np.ones(len(row), bool)
    first[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    return sparse.csr_array((data[first], (row[first], column[first])), shape=a.shape)


def _dependencies(matrix: Any, starts: NDArray[np.int64]) -> Floats:
    """How many shortest ways from some nodes lead through each, each start's shared out among its ways (Brandes 2001).

    A batch of starts goes through the graph level by level, together.
    """
    onward = matrix.copy()
    onward.data[:] = 1
    back = onward.T.tocsr()
    total = np.zeros(matrix.shape[0])
    for first in range(0, len(starts), BATCH):
        some = starts[first : first + BATCH]
        columns = np.arange(len(some))
        ways = np.zeros((matrix.shape[0], len(some)))
        ways[some, columns] = 1
        seen = ways > 0
        levels = [ways]
        while True:
            fresh = back @ levels[-1]
            fresh[seen] = 0
            if not fresh.any():
                break
            seen |= fresh > 0
            ways = ways + fresh
            levels.append(fresh)
        credit = np.zeros_like(ways)
        for nearer, further in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
            reached = further > 0
            share = np.divide(1 + credit, ways, out=np.zeros_like(ways), where=reached)
            credit += (onward @ share) * nearer
        credit[some, columns] = 0
        total += credit.sum(axis=1)
    return np.asarray(total)


def _weighted_dependencies(graph: Matrix, directed: bool, starts: NDArray[np.int64]) -> Floats:
    import networkx as nx

    made = nx.DiGraph() if directed else nx.Graph()
    made.add_nodes_from(range(len(graph)))
    order = np.argsort(-graph.weight, kind="stable")  # of parallel edges the lightest is the last to be set
    ends = zip(graph.source[order].tolist(), graph.target[order].tolist(), graph.weight[order].tolist(), strict=True)
    made.add_weighted_edges_from(ends)
    everyone = list(range(len(graph)))
    found = nx.betweenness_centrality_subset(made, starts.tolist(), everyone, normalized=False, weight="weight")
    scale = 1 if directed else 2  # networkx counts each way once where edges have no direction
    return np.array([found[place] * scale for place in everyone])
