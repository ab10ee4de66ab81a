"""The graph that statements are let loose on, in a process that must outlive them, and how they are judged there."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from graphsvc.config import Settings
from graphsvc.errors import GraphsvcError
from graphsvc.store.engine import Engine, open_engine
from graphsvc.store.watch import resident

DATA = Path(__file__).parents[1] / "cypher"
TIMEOUT = 0.5
SETUP = (
    "CREATE NODE TABLE Person (id INT64, name STRING, age INT64, score DOUBLE, tags STRING[], born DATE, seen TIMESTAMP, "
    "emb DOUBLE[3], PRIMARY KEY (id))",
    "CREATE NODE TABLE City (name STRING, size INT64, PRIMARY KEY (name))",
    "CREATE NODE TABLE _Hidden (k INT64, v STRING, PRIMARY KEY (k))",
    "CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64, w DOUBLE)",
    "CREATE REL TABLE LIVES (FROM Person TO City)",
    "CREATE NODE TABLE Part (pid INT64, cost DOUBLE, PRIMARY KEY (pid))",
    "CREATE NODE TABLE Whole (wid INT64, cost STRING, PRIMARY KEY (wid))",
    "CREATE REL TABLE MADE_OF (FROM Whole TO Part, n INT64)",
    "CREATE REL TABLE FITS (FROM Part TO Part, n STRING)",
    "CREATE (:Whole {wid: 1, cost: 'more than anybody would pay'})-[:MADE_OF {n: 2}]->(:Part {pid: 1, cost: 1.5})",
    "MATCH (p:Part) CREATE (p)-[:FITS {n: 'well'}]->(:Part {pid: 2, cost: 2.5})",
    "UNWIND range(1, 40) AS i CREATE (:Person {id: i, name: 'p' + cast(i AS STRING), age: i * 2, score: i / 3.0, "
    "tags: ['a', 'b'], born: date('2000-01-01'), seen: timestamp('2020-01-01 00:00:00'), emb: [1.0, 2.0, 3.0]})",
    "CREATE (:City {name: 'X', size: 10}), (:City {name: 'Y', size: 20}), (:_Hidden {k: 1, v: 'secret'})",
    "MATCH (a:Person), (b:Person) WHERE b.id > a.id AND b.id <= a.id + 3 CREATE (a)-[:KNOWS {since: a.id, w: 1.0}]->(b)",
    "MATCH (a:Person), (c:City) WHERE (a.id % 2 = 0) = (c.name = 'X') CREATE (a)-[:LIVES]->(c)",
)
PARAMETERS: dict[str, Any] = {
    "nothing": None, "big": 10**12, "n": 1, "key": "id", "label": "Person", "type": "KNOWS", "column": "name",
    "secret": [[1]], "ids": [1, 2, 3], "prefix": "p", "rows": [{"id": 1, "text": "DROP TABLE Person"}],
}  # fmt: skip
STATE = (
    "CALL show_tables() RETURN name, type ORDER BY name",
    "CALL table_info('Person') RETURN name, type",
    "MATCH (p:Person) RETURN p.id, p.name, p.age, p.score, p.tags, p.born, p.seen ORDER BY p.id",
    "MATCH (c:City) RETURN c.name, c.size ORDER BY c.name",
    "MATCH (h:_Hidden) RETURN h.k, h.v",
    "MATCH (a)-[k]->(b) RETURN label(k), count(*), sum(k.since) ORDER BY label(k)",
)


def hostile() -> dict[str, list[str]]:
    """Statements by the rule that refuses them."""
    sections = tomllib.loads((DATA / "hostile.toml").read_text(encoding="utf-8"))
    return {rule: section["statements"] for rule, section in sections.items()}


def benign() -> list[str]:
    found: list[str] = tomllib.loads((DATA / "benign.toml").read_text(encoding="utf-8"))["statements"]
    return found


def opened(engine: str, directory: Path) -> Engine:
    """An engine with the graph in it, in a directory of its own, where it may be written what isn't allowed."""
    directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory)
    found = open_engine(
        engine, directory / "graph", Settings(graph_buffer_bytes=128 << 20, graph_memory_bytes=256 << 20)
    )
    with found.transaction() as transaction:
        for statement in SETUP:
            transaction.execute(statement)
    return found


def state(engine: Engine) -> str:
    """Everything that a statement might have changed, but for limits."""
    rows = [engine.execute(statement).rows for statement in STATE]
    files = sorted(path.name for path in Path.cwd().iterdir())
    return repr((rows, files))


class Peak:
    """The most memory that the process took, looked at while it runs."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, resident() or 0)
            time.sleep(0.02)


def run(engine: Engine, statement: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """What became of a user's statement: rows, or the error's code and rule; and how long it took."""
    from graphsvc.cypher.tokens import parameters_of

    secret = [["password"]]  # what LOAD FROM would find in the frames of whoever calls
    began = time.monotonic()
    try:
        wanted = parameters_of(statement)
        values = {name: value for name, value in {**PARAMETERS, **(parameters or {})}.items() if name in wanted}
        rows = engine.execute(statement, values, timeout=TIMEOUT, limit=100, users=True).rows
        found: dict[str, Any] = {"rows": len(rows)}
    except GraphsvcError as error:
        found = {"code": error.code, "rule": getattr(error, "rule", ""), "what": str(error)}
    assert secret
    return {**found, "seconds": round(time.monotonic() - began, 3), "statement": statement}


def main(engine_name: str, directory: str, which: str) -> None:
    """Run the statements of a data file, and tell what became of each, as JSON lines."""
    engine = opened(engine_name, Path(directory))
    peak, base, before = Peak(), resident() or 0, state(engine)
    sections = hostile() if which == "hostile" else {"": benign()}
    for rule, statements in sections.items():
        for statement in statements:
            print(json.dumps({"expected": rule, **run(engine, statement)}), flush=True)
    assert state(engine) == before
    engine.close()
    print(json.dumps({"grown": peak.most - base}))


def fuzz(engine_name: str, directory: str, seed: str, seconds: str) -> None:
    """Random statements for so long; what was run is told before it runs, so that the last one is known."""
    from statements import Maker, mutated

    engine = opened(engine_name, Path(directory))
    chance = random.Random(int(seed))
    maker, corpus = Maker(chance), [*benign(), *(one for all in hostile().values() for one in all)]
    peak, base, before = Peak(), resident() or 0, state(engine)
    counts: Counter[str] = Counter()
    end, longest = time.monotonic() + float(seconds), 0.0
    while time.monotonic() < end:
        statement = maker.statement() if chance.random() < 0.7 else mutated(chance.choice(corpus), corpus, chance)
        print(json.dumps({"statement": statement}), flush=True)
        found = run(engine, statement)
        counts[found.get("rule") or found.get("code", "ran")] += 1
        longest = max(longest, found["seconds"])
        if found["seconds"] > TIMEOUT + 2:
            raise AssertionError(f"took {found['seconds']} s: {statement}")
        if sum(counts.values()) % 500 == 0 and state(engine) != before:
            raise AssertionError(f"something was written before: {statement}")
    assert state(engine) == before
    engine.close()
    print(json.dumps({"grown": peak.most - base, "counts": dict(counts), "longest": longest}))


if __name__ == "__main__":
    (fuzz if len(sys.argv) > 4 else main)(*sys.argv[1:])
