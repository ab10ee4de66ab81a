"""Statements and verbs by a seed, amid them trims, reopenings and forgetting; what there is at the end, as JSON.

    python -m tests.chaos.trim_steps DIRECTORY ENGINE SEED STEPS
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import graphsvc
from graphsvc.errors import NotRetained
from graphsvc.log.trim import held_from

from .statement_steps import Steps, mark


def digest(memory: graphsvc.Memory) -> str:
    memory.wait()
    report = memory.verify()
    assert report.problems == [], report.problems
    return report.digest


def trim(memory: graphsvc.Memory, folder: Path, chance: random.Random) -> int:
    """Trim up to anywhere that the log was whole; how many entries went."""
    before, head = digest(memory), memory._opened.log.head
    memory.snapshot(folder / f"snapshot{len(memory.snapshots())}")
    point = head + 1 if chance.random() < 0.4 else chance.randrange(1, head + 1)
    while True:
        try:
            planned = memory.trim(before=point, dry_run=True)
            break
        except NotRetained:  # within a call, or between a statement and what follows from it
            point += 1
    done = memory.trim(before=point)
    assert (planned.entries, planned.base_entries, planned.base_bytes) == (done.entries, done.base_entries, done.base_bytes)
    assert digest(memory) == before
    return done.entries


def main() -> None:
    folder, engine, seed, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    chance, trimmed, digests = random.Random(seed), 0, dict[int, str]()
    memory = graphsvc.open(folder / "memory", engine=engine, embedder="hashing")
    for number in range(count):
        Steps(memory, seed).step(number)
        mark(memory, number)
        what = chance.random()
        if what < 0.1 or number == count - 8:
            trimmed += trim(memory, folder, chance)
        elif what < 0.15:
            memory.close()
            memory = graphsvc.open(folder / "memory", engine=engine)
        elif what < 0.18 and memory.episodes.count():
            memory.forget(memory.episodes.list(k=1)[0].id)
            digests.clear()  # what it overwrote may be called otherwise at the points before
        elif what < 0.3 or number > count - 4:
            digests[memory._opened.log.head] = digest(memory)
    last = digest(memory)
    for part in ("graph", "text", "vectors"):
        memory._opened.store.rebuild(part)
    assert digest(memory) == last
    with memory._opened.log.connection() as connection:
        held = held_from(connection)
    tables = sorted(memory.graph.schema())
    points = sorted(n for n in digests if n >= held)
    memory.close()
    for to in points[:1] + points[-1:]:
        graphsvc.restore(folder / "memory", folder / f"at{to}", to=to)
        with graphsvc.open(folder / f"at{to}") as restored:
            assert digest(restored) == digests[to], to
    print(json.dumps({"digest": last, "trimmed": trimmed, "points": len(points), "tables": tables}))


if __name__ == "__main__":
    main()
