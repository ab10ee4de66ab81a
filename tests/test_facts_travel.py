"""Facts on their way: out and in again, forgotten, copied, moved to the other engine, mended, killed."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import Gone, NotFound
from graphsvc.memory.importing import import_memory

ENGINES = ("kuzu", "ladybug")
SECRET = ("Xanadu", "the-secret-words")


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def fill(memory: graphsvc.Memory, count: int = 40) -> list[str]:
    """Facts of a few lines: cut, superseded, retracted, corrected, with entities and episodes; the same each time."""
    chance = random.Random(7)
    facts = memory.facts
    facts.predicate("lives in", single=True, description="where one sleeps")
    facts.predicate("likes", single=False)
    memory.episodes.store(session="s", task="t", id="e1", agent="ada")
    memory.entities.upsert(kind="person", name="Ada", agent="ada")
    memory.as_agent("ada").facts.predicate("lives in", single=True)
    ids = []
    for place in range(count):
        agent = ("default", "ada")[place % 2]
        fact = facts.add(
            ("person:Ada", "Bob")[chance.randrange(2)], ("lives in", "lives in", "likes")[chance.randrange(3)],
            f"town {chance.randrange(5)}", ("always", year(2000 + chance.randrange(6)))[chance.random() < 0.8],
            year(2010 + chance.randrange(9)) if chance.random() < 0.4 else None, source=("e1", "a letter")[place % 3 == 0],
            confidence=place / count, id=f"f{place}", agent=agent,
        )  # fmt: skip
        ids.append(fact.id)
        if place % 7 == 6:
            facts.retract(f"f{place - 3}", agent=("default", "ada")[(place - 3) % 2])
        if place % 11 == 10:
            facts.correct(fact.id, object="town 9", agent=agent)
    return ids


def state(memory: graphsvc.Memory) -> dict[str, Any]:
    """Everything that is asked of facts."""
    facts = memory.facts
    told = [
        (one.fact.id, one.valid_from, one.valid_to, one.known_from, one.known_to)
        for subject in ("person:Ada", "Bob") for one in facts.history(subject)
    ]  # fmt: skip
    return {"believed": facts.list(k=1_000, order="id"), "told": told, "predicates": facts.predicates(),
            "contradictions": [(one.held.id, one.overruled.id) for one in facts.contradictions()],
            "evidence": {fact.id: [one.id for one in facts.evidence(fact.id, agent=fact.agent)] for fact in facts.list(k=1_000)}}  # fmt: skip


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_facts_taken_in_are_the_same_whatever_came_first(memory: graphsvc.Memory, tmp_path: Path, format: Any) -> None:
    fill(memory)
    digest = memory.verify().digest
    memory.export(tmp_path / "copy", format=format)
    with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
        assert import_memory(other, tmp_path / "copy", batch=3).skipped_by_code == {}
        again = import_memory(other, tmp_path / "copy")
        assert (again.skipped_by_code, again.stored) == ({}, 0)
        found = other.verify()
        assert (found.problems, found.digest, state(other)) == ([], digest, state(memory))
        other.export(tmp_path / "again", format=format)
        newest = max(fact.at for fact in other.facts.list(k=1_000))
        assert other.facts.add("Bob", "lives in", "Rome").at > newest
    for file in (tmp_path / "copy").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_facts_of_two_memories_cut_each_other_where_they_meet(tmp_path: Path) -> None:
    for name, offset in (("a", 0), ("b", 1)):
        with graphsvc.open(tmp_path / name, embedder="hashing") as one:
            one.facts.predicate("lives in", single=True)
            for place in range(offset, 10, 2):
                one.facts.add("Ada", "lives in", f"town {place}", year(2000 + place), id=f"f{place}")
            one.export(tmp_path / f"{name}-export")
    with graphsvc.open(tmp_path / "both", embedder="hashing") as both:
        import_memory(both, tmp_path / "a-export", batch=2)
        assert import_memory(both, tmp_path / "b-export", batch=2).skipped_by_code == {}
        ends = {fact.id: fact.until and fact.until.year for fact in both.facts.list()}
        assert ends == {**{f"f{place}": 2001 + place for place in range(9)}, "f9": None}
        assert both.verify().problems == []
    with graphsvc.open(tmp_path / "late", embedder="hashing") as late:  # what is single is learnt after the facts
        late.facts.add("Ada", "lives in", "town x", year(2003), id="x")
        import_memory(late, tmp_path / "a-export")
        assert late.facts.get("x").until == year(2004)
        assert late.verify().problems == []


def test_forgotten_facts_leave_no_byte_and_give_back_what_they_cut(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    memory.episodes.store(session="s", task="t", id="e1")
    paris = memory.facts.add("Ada", "lives in", "Paris", year(2010))
    secret = memory.facts.add("Ada", "lives in", SECRET[0], year(2015), source=SECRET[1], metadata={"a": SECRET[1]})
    other = memory.facts.add(SECRET[1], "likes", SECRET[0], source="e1", wait="searchable")
    corrected = memory.facts.correct(secret.id, object="Rome", source="a letter", metadata={})
    assert memory.facts.get(paris.id).until == year(2015)
    report = memory.forget(["e1"], dry_run=True)
    assert [one.id for one in report.derived] == [other.id]
    memory.forget([secret.id, other.id])
    assert memory.verify().problems == []
    memory.forget(corrected.id)
    assert memory.facts.get(paris.id).until is None
    with pytest.raises(Gone):
        memory.facts.get(secret.id)
    assert [event.what for event in memory.history(secret.id)] == ["store", "amend", "forget"]
    assert memory.verify().problems == []
    memory.close()
    for file in memory.path.rglob("*"):
        for word in SECRET:
            assert not file.is_file() or word.encode() not in file.read_bytes(), (file, word)


def test_a_forgotten_predicate_is_many_and_stays_forgotten(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True, description=SECRET[1])
    for place in range(3):
        memory.facts.add("Ada", "lives in", f"town {place}", year(2010 + place))
    memory.forget("lives in", kind="predicate")
    assert {fact.until for fact in memory.facts.list()} == {None}
    with pytest.raises(Gone):
        memory.facts.predicate("lives in", single=True)
    memory.facts.add("Ada", "lives in", "town 3", year(2020))
    assert memory.facts.count() == 4
    assert memory.verify().problems == []


def test_repair_makes_facts_anew(memory: graphsvc.Memory) -> None:
    fill(memory)
    memory.wait()
    digest, before = memory.verify().digest, state(memory)
    with memory._opened.log.writer._connection as connection:
        connection.execute("DELETE FROM link")
        connection.execute("UPDATE record SET at = 0, parent = NULL WHERE kind = 'fact' AND row % 2")
        connection.execute("UPDATE record SET body = json_remove(body, '$.until') WHERE kind = 'fact' AND row % 3")
    assert not memory.verify().ok
    report = memory.repair()
    assert (report.problems, report.digest, state(memory)) == ([], digest, before)


def test_a_fact_cut_otherwise_than_its_line_says_is_found(memory: graphsvc.Memory) -> None:
    memory.facts.predicate("lives in", single=True)
    fact = memory.facts.add("Ada", "lives in", "Paris", year(2010))
    memory.facts.add("Ada", "lives in", "Rome", year(2015))
    with memory._opened.log.writer._connection as connection:
        connection.execute("UPDATE record SET body = json_remove(body, '$.until') WHERE id = ?", (fact.id,))
    assert any("cut otherwise" in str(problem) for problem in memory.verify().problems)


def test_a_snapshot_restored_to_any_point_says_what_was_said_then(memory: graphsvc.Memory, tmp_path: Path) -> None:
    fill(memory, 12)
    states = {memory.status()["head"]: state(memory)}
    memory.facts.retract("f11", agent="ada")
    memory.facts.predicate("lives in", single=False)
    states[memory.status()["head"]] = state(memory)
    memory.snapshot(tmp_path / "snapshot")
    for n, expected in states.items():
        graphsvc.restore(tmp_path / "snapshot", tmp_path / f"restored-{n}", to=n)
        with graphsvc.open(tmp_path / f"restored-{n}", embedder="hashing") as restored:
            assert (state(restored), restored.verify().problems) == (expected, [])


ON_ENGINE = """
import json, sys, graphsvc
from tests.test_facts_travel import fill
with graphsvc.open(sys.argv[1], embedder="hashing", **({"engine": sys.argv[2]} if sys.argv[2:] else {})) as memory:
    if not memory.facts.count():
        fill(memory)
    report = memory.verify()
    rows = memory._opened.store.graph.engine.execute(
        "MATCH (f:Fact)-[:EVIDENCE]->(e:Episode) RETURN f.id AS id, e.id AS episode ORDER BY id").rows
    print(json.dumps([[str(problem) for problem in report.problems], report.digest, [list(row) for row in rows]]))
"""


def on_engine(path: Path, *engine: str) -> list[Any]:
    """Fill, or only look; in a process of its own, for there is one engine to a process."""
    done = subprocess.run(
        [sys.executable, "-c", ON_ENGINE, str(path), *engine], capture_output=True, text=True, timeout=120, check=False,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_both_engines_hold_the_same_facts_and_one_moves_to_the_other(tmp_path: Path) -> None:
    first = on_engine(tmp_path / "memory", "kuzu")
    assert (first[0], bool(first[2])) == ([], True)
    graphsvc.migrate(tmp_path / "memory", engine="ladybug")
    assert on_engine(tmp_path / "memory") == first


WRITER = """
import sys, graphsvc
from datetime import UTC, datetime
memory = graphsvc.open(sys.argv[1], embedder="hashing", engine=sys.argv[2])
facts = memory.facts
facts.predicate("lives in", single=True)
print("open", flush=True)
start = facts.count()
for place in range(start, 10**6):
    fact = facts.add(f"p{place % 5}", "lives in", f"town {place}", datetime(2000 + place * 7 % 23, 1, 1, tzinfo=UTC))
    print("added", fact.id, flush=True)
    if place % 4 == 3:
        print("retracted", facts.retract(fact.id).id, flush=True)
"""


def killed(path: Path, engine: str, rounds: int) -> None:
    chance, told = random.Random(3), {"added": set[str](), "retracted": set[str]()}
    for _ in range(rounds):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), engine], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            seen = chance.randrange(20, 120)
            for line in child.stdout:
                seen -= 1
                if not seen:
                    child.kill()  # SIGKILL; what was printed before is read on
                verb, _, id = line.strip().partition(" ")
                if line.endswith("\n"):
                    told[verb].add(id)
        assert on_engine(path)[0] == []
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        bodies = dict(connection.execute("SELECT id, body FROM record WHERE kind = 'fact'").fetchall())
    assert told["added"] <= bodies.keys()
    assert all('"known_to":"' in bodies[id] for id in told["retracted"])


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ENGINES)
def test_killed_while_facts_are_added_none_acknowledged_is_lost_and_lines_are_whole(path: Path, engine: str) -> None:
    killed(path, engine, 1)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_killed_twenty_times_while_facts_are_added(path: Path, engine: str) -> None:
    killed(path, engine, 20)


MEMORIES = Path(__file__).parent / "memories"


def test_a_memory_from_before_facts_takes_them(tmp_path: Path) -> None:
    with tarfile.open(MEMORIES / "migration-1-kuzu.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    assert on_engine(tmp_path / "memory")[0] == []


def test_what_a_fact_points_to_may_go(memory: graphsvc.Memory) -> None:
    memory.episodes.store(session="s", task="t", id="e1")
    memory.facts.add("Ada", "likes", "tea", id="x", source="e1")
    memory.forget("e1")
    assert memory.facts.evidence("x") == []
    with pytest.raises(NotFound):
        memory.facts.evidence("y")
    assert memory.verify().problems == []


def test_a_trimmed_log_adds_up_to_the_same_facts(memory: graphsvc.Memory, tmp_path: Path) -> None:
    fill(memory)
    before = state(memory)
    memory.snapshot(tmp_path / "snapshot")
    memory.trim(before=memory.status()["head"] + 1)
    assert (state(memory), memory.verify().problems) == (before, [])
    memory.facts.predicate("lives in", single=False)
    memory.forget("f5")
    assert memory.verify().problems == memory.repair().problems == []
