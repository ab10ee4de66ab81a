"""Causal edges: the graph of AgentDB's bench, its edges added one by one, and chains of depth 3 in it."""

from __future__ import annotations

import graphsvc
from benchmarks.figures import Figures, of_durations, timed
from benchmarks.section import Context

CHAINS = 10
"""That AgentDB gives at most."""
LAYERS, WIDTH, EDGES = 5, 8, 200


def edges() -> list[tuple[str, str]]:
    """All of three layers to the next, as there; then as many from the last but one as make 200."""
    found = [
        (node(layer, one), node(layer + 1, other))
        for layer in range(3) for one in range(WIDTH) for other in range(WIDTH)
    ]  # fmt: skip
    while len(found) < EDGES:
        found.append((node(3, len(found) % WIDTH), node(4, len(found) % WIDTH)))
    return found


def node(layer: int, place: int) -> str:
    return str(1000 + layer * 100 + place)


def measure(context: Context) -> Figures:
    chosen = edges()
    with graphsvc.open(context.work / "causal", embedder="hashing") as memory:
        causal = memory.causal
        for layer in range(LAYERS):
            for place in range(WIDTH):
                causal.variable(node(layer, place))
        memory.wait()

        def add(number: int) -> None:
            cause, effect = chosen[number % EDGES]
            causal.add(cause, effect, 0.1 + number % 10 / 50, confidence=0.8, n=10, mechanism=f"mech {number}")

        def chain(number: int) -> None:
            found = causal.paths(
                node(0, number % WIDTH), node(3, number * 3 % WIDTH), CHAINS, rule="additive", max_depth=3
            )
            assert len(found) == CHAINS

        def effects(number: int) -> None:
            assert len(causal.effects(node(0, number % WIDTH))) == WIDTH

        added = timed(EDGES, add)
        memory.wait()
        chained = timed(context.sizes.queries, chain)
        listed = timed(context.sizes.queries, effects)
    return {
        "causal.add": of_durations(added, fsync=True),
        "causal.chain": of_durations(chained),
        "causal.effects": of_durations(listed),
    }
