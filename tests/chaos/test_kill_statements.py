"""kill -9 amid statements on tables of one's own: each is done once or not at all, and both engines come to the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT

ENGINES = ("kuzu", "ladybug")
SEAMS = (
    "graphsvc.log.state:State.flush",
    "graphsvc.log.writer:Writer._answer",
    "graphsvc.store.statements:Run.run",
    "graphsvc.store.ledger:LogLedger.conclude",  # after it: between the outcome and the graph's commit
    "graphsvc.store.ledger:LogLedger.answered",
    "graphsvc.store.graph:GraphProjection._commit",
)


def steps(path: Path, engine: str, seed: int, count: int, *seams: str) -> dict[str, Any] | None:
    """Run the steps in a process of its own; what there is at the end, None if it was killed."""
    command = [sys.executable, "-m", "tests.chaos.statement_steps", str(path), engine, str(seed), str(count), *seams]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def kill_and_compare(tmp_path: Path, engine: str, seed: int, count: int, kills: int) -> dict[str, Any]:
    """Steps with kills at seams, then to the end."""
    chance = random.Random(seed)
    killed = 0
    for _ in range(kills):
        seam, when = chance.choice(SEAMS), chance.choice(("before", "after"))
        if steps(tmp_path / engine, engine, seed, count, f"{seam}@{when}@{chance.randrange(2, 25)}") is not None:
            break
        killed += 1
    assert killed, "a seam was reached"
    found = steps(tmp_path / engine, engine, seed, count)
    assert found is not None
    return found


def compare(tmp_path: Path, seed: int, count: int, kills: int) -> None:
    whole = steps(tmp_path / "whole", "kuzu", seed, count)
    assert whole is not None
    assert whole["problems"] == []
    assert len({state for state, _ in whole["outcomes"]}) == 2, "some are done, some fail"
    for engine in ENGINES:
        found = kill_and_compare(tmp_path, engine, seed, count, kills)
        assert found == {**whole, "checked": {**whole["checked"], **_counted(found)}}, f"{engine}, seed {seed}"


def _counted(found: dict[str, Any]) -> dict[str, int]:
    """What a kill may change: how many entries and records there are, for an episode is stored again where it was gone."""
    return {name: found["checked"][name] for name in ("log", "records")}


@pytest.mark.chaos
def test_killed_amid_statements_both_engines_come_to_the_same(tmp_path: Path) -> None:
    compare(tmp_path, seed=11, count=40, kills=2)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_often_amid_statements_both_engines_come_to_the_same(tmp_path: Path, seed: int) -> None:
    compare(tmp_path, seed=100 + seed, count=120, kills=6)
