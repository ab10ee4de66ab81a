"""Runs everything else in this folder on Ladybug: importing both engines in one process crashes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif("GRAPHSVC_TEST_ENGINE" in os.environ, reason="this is the inner run")


def run(*arguments: str, engine: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "GRAPHSVC_TEST_ENGINE": engine},
        cwd=HERE.parents[1], capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def run_tests(marks: str, timeout: float) -> None:
    inner = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marks, str(HERE), engine="ladybug", timeout=timeout
    )
    assert inner.returncode == 0, inner.stdout[-6000:] + inner.stderr[-2000:]


def test_ladybug_keeps_the_contract_that_kuzu_keeps() -> None:
    run_tests("engine and not slow", timeout=600)


@pytest.mark.slow
def test_ladybug_keeps_it_in_the_long_run() -> None:
    run_tests("engine and slow", timeout=3600)


DIGEST = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from histories import History
from graphsvc.config import Settings
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection
history = History.random(seed=7, steps=300)
graph = GraphProjection(Path(sys.argv[2]), os.environ["GRAPHSVC_TEST_ENGINE"], Settings())
for start in range(0, len(history.changes), 37):
    graph.apply(history.changes[start:start + 37])
assert graph.digest() == digest_of(history.contents())
print(graph.digest())
graph.close()
"""


def test_both_engines_give_the_same_digest_for_the_same_log(tmp_path: Path) -> None:
    runs = [run("-c", DIGEST, str(HERE), str(tmp_path), engine=engine, timeout=120) for engine in ("kuzu", "ladybug")]
    assert [done.returncode for done in runs] == [0, 0], runs
    assert runs[0].stdout == runs[1].stdout
