"""Runs kills that don't say which engine on Ladybug, too: importing both engines in one process crashes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_kill_forget.py", "test_kill_import.py", "test_kill_trim.py")

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif("GRAPHSVC_TEST_ENGINE" in os.environ, reason="this is the inner run"),
]


def run_tests(marks: str, some: str, timeout: float) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marks, "-k", some)
    inner = subprocess.run(
        [sys.executable, *words, *(str(HERE / name) for name in FILES)],
        env={**os.environ, "GRAPHSVC_TEST_ENGINE": "ladybug"},
        cwd=HERE.parents[1], capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert inner.returncode == 0, inner.stdout[-6000:] + inner.stderr[-2000:]


def test_ladybug_stands_kills_while_forgetting_importing_and_trimming() -> None:
    run_tests("not slow", "(while and forgetting) or (while and git) or (while and trimming)", timeout=300)


@pytest.mark.slow
def test_ladybug_stands_them_in_the_long_run() -> None:
    run_tests("slow", "killed", timeout=6 * 3600)
