"""Something of everything in a memory, the same each time: tables of one's own, statements that failed, facts, causal edges."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import graphsvc
from graphsvc.errors import GraphsvcError

from .statement_steps import Steps, statements

AT = datetime(2026, 1, 1, tzinfo=UTC)


def fill(memory: graphsvc.Memory, steps: int = 25) -> None:
    """Add it."""
    for number in range(steps):
        Steps(memory, 11).step(number)
    with suppress(GraphsvcError):
        memory.graph.define("A", {"id": str, "title": str}, key="id", searchable="title")
    entities = [memory.entities.upsert(kind="file", name=f"f{i}") for i in range(4)]
    memory.graph.define("TELLS", {"w": int}, source="A", target="Entity")
    memory.graph.upsert("A", [{"id": f"t{i}", "title": f"tells of {i}"} for i in range(4)])
    ends = [{"source": f"t{i}", "target": entity.key, "w": i} for i, entity in enumerate(entities)]
    memory.graph.add("TELLS", ends + ends[:1])
    memory.facts.predicate("lives in", single=True)
    for number in range(8):
        memory.facts.add("Ada", "lives in", f"town {number}", AT.replace(year=2000 + number * 3 % 8))
    memory.facts.retract(memory.facts.list(k=1)[0].id)
    for name in ("speed", "cost", "joy"):
        memory.causal.variable(name, is_reward=name == "joy", ref=("A", "t0") if name == "cost" else None)
    for number, (cause, effect) in enumerate((("speed", "cost"), ("speed", "cost"), ("cost", "joy"))):
        memory.causal.add(cause, effect, 0.1 * number, confidence=0.5, mechanism=f"by {number}")
    memory.wait()
    with memory._opened.log.connection() as connection:
        states = {state for (state,) in connection.execute("SELECT state FROM outcome")}
    assert states == {"ok", "failed"}
    assert statements(memory) > 10
