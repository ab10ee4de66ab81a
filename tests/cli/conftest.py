from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from typer.testing import CliRunner

from graphsvc.cli.app import app

ROOT = Path(__file__).parents[2]

Run = Callable[..., Any]

# Each invocation would make all commands anew, which takes longer than most of them.
typer.testing._get_command = functools.cache(typer.testing._get_command)


@pytest.fixture
def run(path: Path) -> Run:
    """Run a command in this process, on the memory of the test."""

    def run(*words: str, input: str | bytes | None = None, code: int | None = 0, **environment: str) -> Any:
        result = CliRunner().invoke(
            app, list(words), input=input, env={"GRAPHSVC_MEMORY": str(path), "COLUMNS": "200", **environment}
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def answer(run: Run) -> Run:
    """Run a command with --json and give what it answers."""

    def answer(*words: str, **options: Any) -> Any:
        return json.loads(run(*words, "--json", **options).stdout)

    return answer


@pytest.fixture
def error(run: Run) -> Run:
    """Run a command with --json that fails, and give its error."""

    def error(*words: str, code: int = 1, **options: Any) -> Any:
        result = run(*words, "--json", code=code, **options)
        assert result.stdout == ""
        return json.loads(result.stderr)["error"]

    return error


def environment() -> dict[str, str]:
    """Of a process that runs this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Start `graphsvc` as a process of its own."""

    def start(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "graphsvc", *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, env=environment(), **pipes)

    return start


@pytest.fixture
def process(start: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `graphsvc` as a process of its own, to its end."""

    def process(*words: str, input: bytes = b"") -> subprocess.CompletedProcess[str]:
        child = start(*words)
        out, err = child.communicate(input, timeout=300)
        return subprocess.CompletedProcess(words, child.returncode, out.decode(), err.decode())

    return process
