"""The wall before the engines: nothing that a read may not do gets through, and what only looks like it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import wall

from graphsvc.cypher.rules import RULES
from graphsvc.errors import MemoryLimit, NotAllowed
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
        "type"}  # fmt: skip
    assert wall.hostile().keys() - {"limits"} == RULES.keys() - writing - {"plan"}


CRASHES = (
    "MATCH (a:Person)-[p:KNOWS* WSHORTEST(w)]->(b:Person) RETURN cost(p)",
    "RETURN upper(x -> x)",
    "RETURN split_part('a,b', ',', 0)",
    "RETURN list_sum(NULL)",
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
    if "cost(p)" not in statement:  # Kuzu survives it on some builds
        assert run.returncode < 0, statement
    assert any(statement in statements for statements in wall.hostile().values())


def test_the_plan_is_a_wall_of_its_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphsvc.store import engine as seam

    monkeypatch.setattr(seam, "check_read", lambda *args, **kwargs: None)
    for statement in (
        "CREATE (:Person {name: 'x'})",
        "LOAD FROM '/etc/hostname' (file_format='csv') RETURN *",
        "COPY (MATCH (p:Person) RETURN p.name) TO 'stolen.csv'",
        "CALL timeout=0",
        "MATCH (p:Person) SET p.age = 0",
        "CALL show_attached_databases() RETURN *",
    ):
        with pytest.raises(NotAllowed, match="engine would do") as caught:
            engine.execute(statement, users=True)
        assert caught.value.rule == "plan"
    assert engine.execute("MATCH (p:Person) RETURN count(*)", users=True).rows == [[2]]


def test_what_gathers_too_much_memory_is_stopped(tmp_path: Path, engine_name: str) -> None:
    from graphsvc.config import Settings

    settings = Settings(graph_buffer_bytes=1 << 30, graph_memory_bytes=16 << 20)
    engine = open_engine(engine_name, tmp_path / "graph", settings)
    engine._watch._limit = 64 << 20
    try:
        with pytest.raises(MemoryLimit) as caught:
            engine.execute("UNWIND range(1, 9000000) AS x RETURN x, x AS y, x AS z, md5(cast(x AS STRING))", users=True)
        assert caught.value.code == "memory_limit"
        assert engine.execute("RETURN 1", users=True).rows == [[1]]
    finally:
        engine.close()
