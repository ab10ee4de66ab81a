"""Chains of causal edges: how their effects compound, the best of them, and what follows from a node.

Pure functions over a way to look up edges. The search for the k best is best-first: what is still to come is bounded
from above by walks to the goal, so that paths come out best first and the rest is never looked at. A path passes no
node twice; nodes are compared as they are, kind, namespace and id.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphsvc.log.adjacent import CausalEdge, CausalNode

MAX_STEPS = 100_000
"""How many beginnings of paths a search makes before it gives what it has: some 500 bytes each."""


@dataclass(frozen=True, slots=True)
class CausalPath:
    """A chain of causal edges, and what it comes to.

    Attributes:
        steps: the edges. uplift, confidence: compounded by the rule that was asked for.
        score: what it is ranked by: |uplift| · confidence.
    """

    steps: tuple[CausalEdge, ...]
    uplift: float
    confidence: float
    score: float

    @property
    def nodes(self) -> tuple[CausalNode, ...]:
        """The nodes along it, first and last included."""
        return (self.steps[0].source, *(step.target for step in self.steps))

    def __str__(self) -> str:
        return " → ".join(map(str, self.nodes))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "nodes": [str(node) for node in self.nodes],
            "edges": [step.id for step in self.steps],
            "uplift": self.uplift,
            "confidence": self.confidence,
            "score": self.score,
        }


@dataclass(frozen=True, slots=True)
class CausalPaths(Sequence[CausalPath]):
    """Paths, best first. `complete` is false where the search ended at its limit: there may be better ones."""

    items: tuple[CausalPath, ...]
    complete: bool = True

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[CausalPath]:
        return iter(self.items)


# --- rules ------------------------------------------------------------------------------------------------

Potential = tuple[float, ...]
"""The most that walks to the goal can still add: larger is more in every part."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How effects along a path compound.

    Attributes:
        name: what it is asked for by. about: its formula, and where it comes from.
        start: uplift and confidence of no edge at all. extend: those with one edge more.
        unit: the potential of having arrived. through: that of an edge and what lies behind it.
        bound: the highest score that a beginning and a potential allow.
    """

    name: str
    about: str
    start: tuple[float, float]
    extend: Callable[[float, float, CausalEdge], tuple[float, float]]
    unit: Potential
    through: Callable[[CausalEdge, Potential], Potential]
    bound: Callable[[float, float, Potential], float]


def _weaker(uplift: float, other: float) -> float:
    """The smaller of two by size, with the sign of their product."""
    size = min(abs(uplift), abs(other))
    return -size if (uplift < 0) != (other < 0) and size else size


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "product",
            "uplift = Π uplift, confidence = Π confidence: path coefficients of linear systems (Wright 1921), each "
            "edge an independent claim.",
            (1.0, 1.0),
            lambda uplift, confidence, edge: (uplift * edge.uplift, confidence * edge.confidence),
            (1.0,),
            lambda edge, rest: (abs(edge.uplift) * edge.confidence * rest[0],),
            lambda uplift, confidence, rest: abs(uplift) * confidence * rest[0],
        ),
        Rule(
            "weakest",
            "|uplift| = min |uplift| with the sign of the product, confidence = min confidence: a chain is as strong "
            "as its weakest link (the min of fuzzy logic, Zadeh 1965; the widest path).",
            (math.inf, 1.0),
            lambda uplift, confidence, edge: (_weaker(uplift, edge.uplift), min(confidence, edge.confidence)),
            (math.inf, 1.0),
            lambda edge, rest: (min(abs(edge.uplift), rest[0]), min(edge.confidence, rest[1])),
            lambda uplift, confidence, rest: min(abs(uplift), rest[0]) * min(confidence, rest[1]),
        ),
        Rule(
            "additive",
            "uplift = Σ uplift, confidence = min confidence: what AgentDB's causal chains do.",
            (0.0, 1.0),
            lambda uplift, confidence, edge: (uplift + edge.uplift, min(confidence, edge.confidence)),
            (0.0, 0.0, 1.0),
            lambda edge, rest: (edge.uplift + rest[0], -edge.uplift + rest[1], min(edge.confidence, rest[2])),
            lambda uplift, confidence, rest: (
                max(abs(uplift + rest[0]), abs(uplift - rest[1])) * min(confidence, rest[2])
            ),
        ),
    )
}
"""The rules by name."""


# --- the search -------------------------------------------------------------------------------------------

Look = Callable[[CausalNode], list[CausalEdge]]
"""Edges at a node, of those that are to be followed."""


def best_paths(
    rule: Rule, out: Look, into: Look, source: CausalNode, target: CausalNode, k: int, depth: int
) -> CausalPaths:
    """The k best simple paths of at most `depth` edges; equal ones shorter first, then by the age of their edges."""
    potentials = _potentials(rule, into, target, depth - 1)
    found: list[CausalPath] = []
    heap: list[_Entry] = [(-math.inf, 0, (), source, rule.start, (), frozenset((source,)))]
    steps = 0
    while heap and len(found) < k:
        _, length, rows, node, (uplift, confidence), edges, passed = heapq.heappop(heap)
        if node == target:
            found.append(_path(edges, uplift, confidence))
            continue
        edges_on = out(node)
        steps += 1 + len(edges_on)
        if steps > MAX_STEPS:
            return CausalPaths(tuple(found), complete=False)
        left = potentials[depth - length - 1]
        for edge in edges_on:
            rest = left.get(edge.target)
            if rest is not None and edge.target not in passed:
                value = rule.extend(uplift, confidence, edge)
                heapq.heappush(
                    heap,
                    (-rule.bound(*value, rest), length + 1, (*rows, edge.row), edge.target, value, (*edges, edge),
                     passed | {edge.target}),
                )  # fmt: skip
    return CausalPaths(tuple(found))


_Entry = tuple[
    float, int, tuple[int, ...], CausalNode, tuple[float, float], tuple[CausalEdge, ...], frozenset[CausalNode]
]
"""A beginning of a path: its bound, negated; its length; rows of its edges, by which what is equal is ordered; where it
has come to; uplift and confidence; its edges; the nodes that it passed."""


def _potentials(rule: Rule, into: Look, target: CausalNode, depth: int) -> list[dict[CausalNode, Potential]]:
    """For each number of edges that are left, up to `depth`, the nodes that the goal can be reached from, and the
    potential there.

    Walks are looked at, not paths: they are easily had, and no path can be better than all walks.
    """
    through = rule.through
    layers: list[dict[CausalNode, Potential]] = [{target: rule.unit}]
    grown = {target}  # whose potential the last edge made larger
    for _ in range(depth):
        last = layers[-1]
        layer = dict(last)
        for node in grown:
            rest = last[node]
            for edge in into(node):
                before = edge.source
                if before != target:
                    one = through(edge, rest)
                    known = layer.get(before)
                    layer[before] = one if known is None or known == one else tuple(map(max, known, one))
        grown = {node for node, potential in layer.items() if last.get(node) != potential}
        layers.append(layer)
    return layers


def downstream(rule: Rule, out: Look, source: CausalNode, depth: int) -> tuple[dict[CausalNode, CausalPath], bool]:
    """For each node that follows within `depth` edges the simple path that carries most; whether all were looked at.

    Under `product`, while no edge multiplies by more than one, a worse and no shorter path to a node is given up:
    whatever follows from it follows better from the other.
    """
    best: dict[CausalNode, tuple[tuple[float, int, tuple[int, ...]], CausalPath]] = {}
    shortest: dict[CausalNode, int] = {}
    heap: list[_Entry] = [(-math.inf, 0, (), source, rule.start, (), frozenset((source,)))]
    steps = 0
    narrow = rule.name == "product" and _never_grows(out, source, depth)
    while heap:
        score, length, rows, node, (uplift, confidence), edges, passed = heapq.heappop(heap)
        if edges:
            rank = (score, length, rows)
            if node not in best or rank < best[node][0]:
                best[node] = (rank, _path(edges, uplift, confidence))
            if narrow and shortest.get(node, depth + 1) <= length:
                continue
            shortest[node] = length
        if length == depth:
            continue
        edges_on = out(node)
        steps += 1 + len(edges_on)
        if steps > MAX_STEPS:
            return _paths_of(best), False
        for edge in edges_on:
            if edge.target not in passed:
                value = rule.extend(uplift, confidence, edge)
                heapq.heappush(
                    heap,
                    (-abs(value[0]) * value[1], length + 1, (*rows, edge.row), edge.target, value, (*edges, edge),
                     passed | {edge.target}),
                )  # fmt: skip
    return _paths_of(best), True


def _paths_of(
    best: dict[CausalNode, tuple[tuple[float, int, tuple[int, ...]], CausalPath]],
) -> dict[CausalNode, CausalPath]:
    return {node: path for node, (_, path) in sorted(best.items(), key=lambda item: item[1][0])}


def _never_grows(out: Look, source: CausalNode, depth: int) -> bool:
    seen, frontier = {source}, [source]
    for _ in range(depth):
        edges = [edge for node in frontier for edge in out(node)]
        if any(abs(edge.uplift) * edge.confidence > 1 for edge in edges):
            return False
        frontier = list({edge.target for edge in edges} - seen)
        seen.update(frontier)
    return True


def _path(edges: tuple[CausalEdge, ...], uplift: float, confidence: float) -> CausalPath:
    return CausalPath(edges, uplift, confidence, abs(uplift) * confidence)
