"""The wall before the engines: nothing that a read may not do gets through, and what only looks like it does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import wall

from graphsvc.config import Settings
from graphsvc.cypher.reads import Read
from graphsvc.cypher.rules import RULES
from graphsvc.cypher.syntax import Query
from graphsvc.errors import EngineError, MemoryLimit, NotAllowed
from graphsvc.store.engine import Engine, open_engine

Script = Callable[..., CompletedProcess[str]]

RUN = "import wall; wall.main(ENGINE, sys.argv[1], sys.argv[2])"
LIMITS = {"query_timeout", "buffer_full", "memory_limit", "engine_error"}


def outcomes(script: Script, tmp_path: Path, which: str) -> tuple[list[dict[str, Any]], int]:
    run = script(RUN, str(tmp_path / which), which, timeout=120)
    assert run.returncode == 0, run.stdout[-500:] + run.stderr[-2000:]
    *found, last = map(json.loads, run.stdout.splitlines())
    return found, last["grown"]


def test_every_hostile_statement_is_refused_by_its_rule_or_stopped(script: Script, tmp_path: Path) -> None:
    found, grown = outcomes(script, tmp_path, "hostile")
    assert len(found) >= 150
    wrong = [one for one in found if one["expected"] != "limits" and one.get("rule") != one["expected"]]
    assert not wrong
    unstopped = [one for one in found if one["expected"] == "limits" and one.get("code") not in LIMITS]
    assert not unstopped
    assert not [one for one in found if one["seconds"] > wall.TIMEOUT + 2]
    assert grown < 900 << 20


def test_every_benign_look_alike_runs(script: Script, tmp_path: Path) -> None:
    found, grown = outcomes(script, tmp_path, "benign")
    assert len(found) >= 50
    assert not [one for one in found if "rows" not in one]
    assert grown < 500 << 20


def test_every_rule_of_a_read_has_a_hostile_statement() -> None:
    writing = {"no_write", "own", "label", "order", "float", "chance", "place", "last_wins", "read_after_write", "default",
        "type", "escape"}  # fmt: skip
    assert wall.hostile().keys() - {"limits"} == RULES.keys() - writing - {"plan"}


CRASHES = (
    "RETURN upper(x -> x)",
    "MATCH (a:Person) RETURN a.score =~ 'x'",
    "RETURN interval('1 day') / 0",
    "RETURN make_date(99999, 1, 1)",
)
RAW = """
import wall
m = importlib.import_module(ENGINE)
database = m.Database(sys.argv[1], buffer_pool_size=64 << 20, max_db_size=8 << 30)
connection = m.Connection(database)
for statement in wall.SETUP: connection.execute(statement).close()
try: connection.execute(sys.argv[2]).get_all()
except RuntimeError: pass
print("survived")
"""


@pytest.mark.parametrize("statement", CRASHES)
def test_what_ends_the_process_of_a_raw_engine_is_refused(statement: str, script: Script, tmp_path: Path) -> None:
    run = script(RAW, str(tmp_path / "raw"), statement)
    assert run.returncode < 0
    assert "survived" not in run.stdout
    assert any(statement in statements for statements in wall.hostile().values())


def test_the_plan_is_a_wall_of_its_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphsvc.store import engine as seam

    monkeypatch.setattr(seam, "judged", lambda statement, **kwargs: Read(statement, Query(()), fixed=True))
    for statement in (
        "CREATE (:Person {name: 'x'})",
        "LOAD FROM '/etc/hostname' (file_format='csv') RETURN *",
        "COPY (MATCH (p:Person) RETURN p.name) TO 'stolen.csv'",
        "CALL timeout=0",
        "MATCH (p:Person) SET p.age = 0",
        "CALL show_attached_databases() RETURN *",
    ):
        # what writes, the read-only transaction refuses even to explain
        with pytest.raises((NotAllowed, EngineError), match=r"engine would do|read-only transaction"):
            engine.execute(statement, users=True)
    assert engine.execute("MATCH (p:Person) RETURN count(*)", users=True).rows == [[2]]


def test_a_write_gives_no_function_what_ends_the_process(engine: Engine) -> None:
    statement = "MATCH (p:Person) WHERE p.age =~ 'x' SET p.age = 1"
    with engine.transaction() as transaction:
        with pytest.raises(NotAllowed, match="surely a text"):
            transaction.execute(statement, users=True)
        transaction.execute(statement.replace("p.age =~", "p.name =~"), users=True)
    with pytest.raises(EngineError, match="years 1 to 9999"), engine.transaction() as transaction:
        transaction.execute("MATCH (p:Person) SET p.age = 2 RETURN make_date(99999, 1, 1)", users=True)
    assert engine.execute("MATCH (p:Person {age: 2}) RETURN count(*)").rows == [[0]]


GATHERS = "UNWIND range(1, 1000000) AS x UNWIND range(1, 9) AS y RETURN x, y, md5(cast(x * y AS STRING)) AS z"


def test_what_gathers_too_much_memory_is_stopped(tmp_path: Path, engine_name: str) -> None:
    settings = Settings(graph_buffer_bytes=1 << 30, graph_memory_bytes=16 << 20)
    engine = open_engine(engine_name, tmp_path / "graph", settings)
    engine._watch._limit = 64 << 20  # beyond the buffer pool, which is the larger part of it here
    try:
        with pytest.raises(MemoryLimit) as caught:
            engine.execute(GATHERS, users=True)
        assert caught.value.code == "memory_limit"
        assert engine.execute("RETURN 1", users=True).rows == [[1]]
    finally:
        engine.close()


FUZZ = "import wall; wall.fuzz(ENGINE, *sys.argv[1:])"


def fuzz(script: Script, tmp_path: Path, seconds: int, seed: int) -> dict[str, Any]:
    run = script(FUZZ, str(tmp_path / "fuzz"), str(seed), str(seconds), timeout=seconds + 90)
    last = run.stdout.splitlines()[-1] if run.stdout else ""
    assert run.returncode == 0, f"seed {seed}: {last}\n{run.stderr[-1500:]}"
    found: dict[str, Any] = json.loads(last)
    assert found["grown"] < (600 << 20) + seconds * (8 << 20)  # an engine keeps some 20 kB of every statement
    return found


def test_random_statements_end_write_read_and_hang_nothing(script: Script, tmp_path: Path) -> None:
    found = fuzz(script, tmp_path, 5, seed=7)
    assert found["counts"]["ran"] > 5


@pytest.mark.slow
def test_random_statements_for_five_minutes(script: Script, tmp_path: Path) -> None:
    found = fuzz(script, tmp_path, 300, seed=random.randrange(10**6))
    assert found["counts"]["ran"] > 200
