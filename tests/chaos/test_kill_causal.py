"""kill -9 while causal edges are added, expired and deleted, and nodes with them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .test_kill import ENGINES, check

WRITER = """
import sys, graphsvc
memory = graphsvc.open(sys.argv[1], engine=sys.argv[2], embedder="hashing")
causal, run = memory.causal, sys.argv[3]
names = [causal.variable(f"{run} größe {i}").id for i in range(6)]
print("open", flush=True)
for i in range(10**6):
    one, other = (causal.add(names[i % 6], names[end % 6], (i % 3 - 1) / 2, mechanism=f"because {i}", id=f"{run}-{i}-{end}")
                  for end in (i // 6, i + 1))
    print("added", one.id, one.uplift, flush=True)
    causal.expire(other.id, "2026-01-01T00:00:00Z")
    print("expired", other.id, other.uplift, flush=True)
    if i % 9 == 8:
        print("deleting", one.id, flush=True)
        causal.delete(one.id)
        print("deleted", one.id, flush=True)
    if i % 20 == 19:
        name = causal.variable(f"{run} short {i}").id
        causal.add_many([dict(cause=name, effect=end, uplift=0, id=f"{run}-gone-{i}-{end}") for end in (*names, name)])
        causal.delete_variable(name)
        print("gone", f"{run}-gone-{i}-{name}", flush=True)
"""


def write_and_kill(path: Path, engine: str, seconds: float, run: int, said: dict[str, Any]) -> None:
    """Write until the process is killed, and note what was acknowledged: an uplift, None for what went."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), engine, f"run{run}"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                verb, rest = line.rstrip("\n").split(" ", 1)
                id, _, uplift = rest.rpartition(" ") if verb in ("added", "expired") else (rest, "", "")
                if verb == "deleting":
                    said.pop(id)  # it may be there or not
                else:
                    said[id] = (verb, float(uplift)) if uplift else (verb, None)


def rounds_of_kills(path: Path, engine: str, rounds: int) -> None:
    chance = random.Random(5)
    said: dict[str, Any] = {}
    for run in range(rounds):
        write_and_kill(path, engine, chance.uniform(0.1, 1.0), run, said)
        found: dict[str, Any] = check(path)
        for id, (verb, uplift) in said.items():
            assert found["uplifts"].get(id) == uplift, f"round {run}: {verb} {id}"
            assert (id in found["expired"]) == (verb == "expired"), id
    assert len(said) > 10 * rounds


@pytest.mark.chaos
@pytest.mark.parametrize("engine", ENGINES)
def test_killed_while_causal_edges_change_nothing_acknowledged_is_lost_or_halved(path: Path, engine: str) -> None:
    rounds_of_kills(path, engine, 1)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_twenty_kills_while_causal_edges_change(path: Path, engine: str) -> None:
    rounds_of_kills(path, engine, 20)
