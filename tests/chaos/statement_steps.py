"""Statements on tables of one's own by a seed, in a process that may be killed, and gone on with where it was.

    python -m tests.chaos.statement_steps DIRECTORY ENGINE SEED STEPS [SEAM@before|after@N …]

Each step asks one thing, by its number alone: some are refused, some fail. After it an episode notes that it was done, and
how many statements the log held then, so that a run after a kill knows whether the next step is in the log already.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import graphsvc
from graphsvc.errors import GraphsvcError
from graphsvc.memory.statements import run
from graphsvc.store.graph import digest_of
from graphsvc.store.user_tables import SCHEMA

WORDS = ("alpha", "beta", "gamma", "Größe", "'quoted'", "back\\slash", "", "line\nbreak")


class Steps:
    """What each step asks."""

    def __init__(self, memory: graphsvc.Memory, seed: int) -> None:
        self.memory = memory
        self.seed = seed

    def cypher(self, text: str, **params: Any) -> Any:
        return run(self.memory._opened, self.memory._namespaces, text, params)

    def step(self, number: int) -> str:
        """One step; how it ended."""
        chance = random.Random(self.seed * 1_000_003 + number)
        asked: list[Callable[[random.Random], Any]] = [
            self.define, self.add, self.add, self.add, self.upsert, self.update, self.delete, self.join, self.join,
            self.rejoin, self.part, self.create, self.create_many, self.set, self.merge, self.unjoin, self.detach,
            self.alter, self.owned, self.kept, self.kept, self.kept_edges, self.kept_edges, self.drop if chance.random() < 0.3 else self.add, self.episode,
        ]  # fmt: skip
        try:
            (asked[number % 5 and 0] if number < 6 else chance.choice(asked))(chance)
        except GraphsvcError as error:
            return error.code
        return "ok"

    # tables: A has texts as keys and is searched, B numbers; R leads from A to A, S from A to B, T from B to episodes;
    # V and W, from V to V, keep their past

    def define(self, chance: random.Random) -> None:
        name = chance.choice("ABRSTVW")
        graph = self.memory.graph
        if name == "A":
            graph.define("A", {"id": str, "title": str, "n": int, "list": "INT64[]"}, key="id", searchable="title")
        elif name == "V":
            graph.define("V", {"id": str, "n": int, "note": str}, key="id", searchable="note", temporal=True)
        elif name == "W":
            graph.define("W", {"w": int}, source="V", target="V", temporal=True)
        elif name == "B":
            graph.define("B", {"id": int, "x": float, "at": "TIMESTAMP"}, key="id")
        else:
            source, target = {"R": ("A", "A"), "S": ("A", "B"), "T": ("B", "Episode")}[name]
            graph.define(name, {"w": int, "note": str}, source=source, target=target)

    def _nodes(self, chance: random.Random, table: str) -> list[dict[str, Any]]:
        size = chance.choice((1, 1, 3, 40))
        keys = chance.sample(range(60), size)
        if table == "A":
            return [{"id": f"a{key}", "title": f"{chance.choice(WORDS)} {key % 7}".strip() or None, "n": key,
                     "list": [key] * (key % 3)} for key in keys]  # fmt: skip
        return [{"id": key, "x": key / 7, "at": f"2026-01-01T00:00:{key % 60:02}Z"} for key in keys]

    def _edges(self, chance: random.Random, table: str) -> list[dict[str, Any]]:
        return [
            {"source": self._end(chance, "B" if table == "T" else "A"),
             "target": self._end(chance, {"R": "A", "S": "B", "T": "E"}[table]),
             "w": chance.randrange(9), "note": chance.choice(WORDS)}
            for _ in range(chance.choice((1, 1, 2, 30)))
        ]  # fmt: skip

    def _end(self, chance: random.Random, table: str) -> Any:
        key = chance.randrange(60 if table != "E" else 20)
        return {"A": f"a{key}", "B": key, "E": f"default/step{key}"}[table]

    def add(self, chance: random.Random) -> None:
        table = chance.choice("AB")
        self.memory.graph.add(table, self._nodes(chance, table))

    def upsert(self, chance: random.Random) -> None:
        table = chance.choice("AB")
        self.memory.graph.upsert(table, self._nodes(chance, table))

    def update(self, chance: random.Random) -> None:
        self.memory.graph.update("A", [{"id": f"a{chance.randrange(60)}", "title": chance.choice(WORDS) or None}])

    def delete(self, chance: random.Random) -> None:
        table = chance.choice("AB")
        keys = {chance.randrange(60) for _ in range(chance.choice((1, 2)))}
        self.memory.graph.delete(table, [f"a{key}" if table == "A" else key for key in sorted(keys)])

    def join(self, chance: random.Random) -> None:
        table = chance.choice("RST")
        self.memory.graph.add(table, self._edges(chance, table))

    def rejoin(self, chance: random.Random) -> None:
        table = chance.choice("RST")
        rows = {(row["source"], row["target"]): row for row in self._edges(chance, table)}
        self.memory.graph.upsert(table, list(rows.values()))

    def part(self, chance: random.Random) -> None:
        self.memory.graph.delete("R", (f"a{chance.randrange(60)}", f"a{chance.randrange(60)}"))

    def create(self, chance: random.Random) -> None:
        self.cypher("CREATE (:A {id: $id, title: $title, n: $n})", id=f"a{chance.randrange(60)}",
                    title=chance.choice(WORDS), n=chance.randrange(99))  # fmt: skip

    def create_many(self, chance: random.Random) -> None:
        rows = [{"id": key, "x": key / 3} for key in chance.sample(range(100), 4)]
        self.cypher("UNWIND $rows AS row CREATE (:B {id: row.id, x: row.x})", rows=rows)

    def set(self, chance: random.Random) -> None:
        self.cypher("MATCH (a:A) WHERE a.n % $of = 0 SET a.n = a.n + 1, a.title = a.title + '!'", of=chance.choice((2, 3, 5)))

    def merge(self, chance: random.Random) -> None:
        self.cypher("MERGE (b:B {id: $id}) ON CREATE SET b.x = 1.5 ON MATCH SET b.x = 2.5", id=chance.randrange(60))

    def unjoin(self, chance: random.Random) -> None:
        self.cypher("MATCH (a:A)-[r:R]->(:A) WHERE r.w = $w DELETE r", w=chance.randrange(9))

    def detach(self, chance: random.Random) -> None:
        self.cypher("MATCH (a:A) WHERE a.n = $n DETACH DELETE a", n=chance.randrange(60))

    def alter(self, chance: random.Random) -> None:
        self.cypher(chance.choice((
            "ALTER TABLE B ADD more STRING DEFAULT 'none'", "ALTER TABLE B DROP more", "ALTER TABLE B RENAME more TO less",
            "ALTER TABLE B RENAME less TO more", "ALTER TABLE A ADD extra INT64", "ALTER TABLE A DROP extra",
        )))  # fmt: skip

    def _when(self, chance: random.Random) -> dict[str, Any]:
        start = chance.randrange(2000, 2010)
        whole = {"valid_from": f"{start}-01-01T00:00:00Z", "valid_to": f"{start + chance.randrange(1, 6)}-01-01T00:00:00Z"}
        return chance.choice(({}, {"valid_from": whole["valid_from"]}, whole))

    def kept(self, chance: random.Random) -> None:
        graph, when = self.memory.graph, self._when(chance)
        keys = [f"v{key}" for key in chance.sample(range(40), chance.choice((1, 2, 30)))]
        op = chance.choice(("add", "add", "upsert", "upsert", "update", "delete"))
        if op == "delete":
            graph.delete("V", [{"id": key, **when} for key in keys[:1]])
            return
        rows = [{"id": key, "note": f"{chance.choice(WORDS)} {key}".strip(), **when} for key in keys]
        if op == "update":
            graph.update("V", [{**row, "n": chance.randrange(9)} for row in rows[:1]])
        else:
            (graph.add if op == "add" else graph.upsert)("V", rows)

    def kept_edges(self, chance: random.Random) -> None:
        graph, when = self.memory.graph, self._when(chance)
        ends = {"source": f"v{chance.randrange(40)}", "target": f"v{chance.randrange(40)}"}
        op = chance.choice(("add", "add", "upsert", "update", "delete"))
        if op == "delete":
            graph.delete("W", tuple(ends.values()))
        else:
            {"add": graph.add, "upsert": graph.upsert, "update": graph.update}[op]("W", {**ends, "w": chance.randrange(9), **when})

    def owned(self, chance: random.Random) -> None:
        self.cypher("MATCH (e:Episode) SET e.reward = 1.0")

    def drop(self, chance: random.Random) -> None:
        self.memory.graph.drop(chance.choice("ABRSTVW"))

    def episode(self, chance: random.Random) -> None:
        self.memory.episodes.delete(f"step{chance.randrange(20)}")


def statements(memory: graphsvc.Memory) -> int:
    """How many statements the log holds."""
    with memory._opened.log.connection() as connection:
        row = connection.execute("SELECT count(*) FROM log WHERE last = 1 AND (verb LIKE 'graph.%' OR verb = 'cypher.write')")
        return int(row.fetchone()[0])


def go_on(memory: graphsvc.Memory, seed: int, count: int) -> None:
    """Do the steps that aren't done yet."""
    steps = Steps(memory, seed)
    marks = [(int(one.id[4:]), one.metadata["statements"]) for one in memory.episodes.list(k=10_000)]
    with memory._opened.log.connection() as connection:
        gone = connection.execute("SELECT id FROM record WHERE kind = 'episode' AND state = 1").fetchall()
    done, held = max(marks, default=(-1, 0))
    if statements(memory) > held and done < count - 1:
        done += 1  # it was in the log when the process was killed
        mark(memory, done)
    assert all(int(id[4:]) <= done for (id,) in gone)
    for number in range(done + 1, count):
        steps.step(number)
        mark(memory, number)


def mark(memory: graphsvc.Memory, number: int) -> None:
    with suppress(GraphsvcError):  # gone, where a step deleted it before a kill
        memory.episodes.store(
            id=f"step{number}", session="steps", task=f"step {number % 5}", at=f"2026-01-01T00:{number % 60:02}:00Z",
            metadata={"statements": statements(memory)},
        )  # fmt: skip


def timeless(memory: graphsvc.Memory) -> str:
    """A digest of the graph, for the times at which something was known only their order: each run has its own clock."""
    graph = memory._opened.store.graph
    found = [(table, keys, values, table.startswith("_") and table != SCHEMA and values != ()) for table, keys, values in graph.user_contents()]
    times = sorted({time for _, _, values, kept in found if kept for time in values[-2:] if time is not None})
    places = {None: None, **{time: place for place, time in enumerate(times)}}
    users = [
        (table, keys, (*values[:-2], *(places[time] for time in values[-2:])) if kept else values)
        for table, keys, values, kept in found
    ]
    return graph.digest(own=True) + digest_of(users)


def main() -> None:
    from tests.chaos.killing import die_at

    path, engine, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    for place in sys.argv[5:]:
        at, when, nth = place.rsplit("@", 2)
        die_at(at, when, int(nth))
    with graphsvc.open(path, engine=engine, embedder="hashing") as memory:
        go_on(memory, seed, count)
        memory.wait()
        report = memory.verify()
        with memory._opened.log.connection() as connection:
            states = connection.execute("SELECT state, json_extract(body, '$.code') FROM outcome ORDER BY n").fetchall()
            found = connection.execute("SELECT parent, body FROM record WHERE kind = 'row' AND state = 0 ORDER BY parent")
            rows = [(parent, json.loads(body)["texts"]) for parent, body in found]
        print(json.dumps({
            "problems": [str(problem) for problem in report.problems], "digest": timeless(memory), "checked": report.checked,
            "outcomes": states, "rows": rows,
        }))  # fmt: skip


if __name__ == "__main__":
    main()
