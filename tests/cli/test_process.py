"""The command line as a real process: quick to help, stopped by Ctrl-C, killed and begun again."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc

from .conftest import environment

LINES = 4_000
FED = 1_500
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Episodes, half of them without an id."""
    path = tmp_path / "many.jsonl"
    with path.open("w") as out:
        for number in range(LINES):
            row: dict[str, Any] = {"session": f"s{number % 7}", "task": f"task {number % 100}", "output": f"{number}"}
            if number % 2:
                row["id"] = f"e{number}"
            out.write(json.dumps(row) + "\n")
    return path


def durable(path: Path) -> int:
    """Episodes that are in memory.sqlite, seen from outside."""
    connection = sqlite3.connect(f"file:{path / 'memory.sqlite'}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM record").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


def half_way(start: Start, path: Path, file: Path) -> subprocess.Popen[bytes]:
    """An import that has stored some, and waits for more on its standard input."""
    child = start("import", "jsonl", "-", "--memory", str(path), "--batch", "50")
    assert child.stdin is not None
    with file.open("rb") as lines:
        for _ in range(FED):
            child.stdin.write(lines.readline())
    child.stdin.flush()
    deadline = time.monotonic() + 60
    while not durable(path):
        assert time.monotonic() < deadline, "it stored nothing"
        time.sleep(0.02)
    return child


def end(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return child.communicate(timeout=60)
    except BrokenPipeError:  # what was to be written finds no reader
        assert child.stdout is not None
        assert child.stderr is not None
        return child.stdout.read(), child.stderr.read()


@pytest.mark.chaos
def test_an_import_killed_on_the_way_is_completed_by_importing_again(
    path: Path, file: Path, start: Start, process: Callable[..., Any]
) -> None:
    graphsvc.open(path, embedder="hashing").close()
    child = half_way(start, path, file)
    child.send_signal(signal.SIGKILL)
    end(child)
    before = durable(path)
    assert 0 < before <= FED
    result = process("import", "jsonl", str(file), "--memory", str(path), "--json")
    report = json.loads(result.stdout)
    assert (report["already"], report["stored"]) == (before, LINES - before)
    assert process("verify", "--memory", str(path)).returncode == 0
    assert json.loads(process("stats", "--memory", str(path), "--json").stdout)["records"]["episodes"] == LINES


@pytest.mark.chaos
def test_ctrl_c_ends_an_import_cleanly_and_keeps_what_was_stored(
    path: Path, file: Path, start: Start, process: Callable[..., Any]
) -> None:
    graphsvc.open(path, embedder="hashing").close()
    child = half_way(start, path, file)
    child.send_signal(signal.SIGINT)
    out, err = end(child)
    assert child.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err + out
    assert process("verify", "--memory", str(path)).returncode == 0


def test_help_comes_within_five_times_half_a_second(process: Callable[..., Any]) -> None:
    begun = time.monotonic()
    assert process("--help").returncode == 0
    assert time.monotonic() - begun < 5 * 0.5


def test_help_loads_no_engine_and_no_model() -> None:
    from .conftest import environment

    script = (
        "import sys; sys.argv = ['graphsvc', '--help']\n"
        "from graphsvc.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & set('kuzu lancedb tantivy numpy pyarrow torch onnxruntime'.split())))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_json_through_a_pipe_is_one_document_and_nothing_else(path: Path, process: Callable[..., Any]) -> None:
    result = process("init", str(path), "--embedder", "hashing", "--json")
    assert json.loads(result.stdout)["created"] is True
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_reader_that_leaves_early_is_no_error_with_a_trace(path: Path, start: Start) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many({"session": "s", "task": f"t{n}", "output": "x" * 2_000} for n in range(500))
    child = start("episodes", "list", "-k", "500", "--json", "--memory", str(path))
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    assert b"Traceback" not in child.stderr.read()
    child.wait(60)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_progress_bar_is_for_terminals_and_not_for_json(words: list[str], path: Path, start: Start) -> None:
    graphsvc.open(path, embedder="hashing").close()
    ours, theirs = pty.openpty()
    child = start("import", "python", "json", "--memory", str(path), *words, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the other end is closed
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert (b"Importing" in shown) == (not words)
    assert b"Importing" not in out


def test_an_answer_that_cannot_be_written_is_a_coded_error_and_what_was_stored_is_there(path: Path) -> None:
    graphsvc.open(path, embedder="hashing").close()
    store = f"store --session s --task t --id e --memory {path}"
    for words, redirect in (
        (store, ">&-"), ("version", ">/dev/full"), ("--help", ">/dev/full"), ("--help", ">&-"), ("version --json", "<&- >&-"),
    ):  # fmt: skip
        if "/dev/full" in redirect and not os.path.exists("/dev/full"):
            continue
        done = at_shell(f"{words} {redirect}")
        assert done.returncode == 1, (words, redirect, done.stderr)
        assert "answer_lost" in done.stderr
        assert "acknowledged is safe" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    with graphsvc.open(path) as memory:
        assert memory.episodes.get("e").task == "t"


def test_standard_error_that_is_closed_changes_no_exit_code(path: Path) -> None:
    assert at_shell(f"stats --memory {path} 2>&-").returncode == 1
    assert at_shell("version 2>&-").stdout.startswith("graphsvc ")


def at_shell(words: str) -> subprocess.CompletedProcess[str]:
    from .conftest import environment

    line = f"{sys.executable} -m graphsvc {words}"
    return subprocess.run(["sh", "-c", line], env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.chaos
def test_sigterm_ends_an_import_like_ctrl_c_with_its_own_code(
    path: Path, file: Path, start: Start, process: Callable[..., Any]
) -> None:
    graphsvc.open(path, embedder="hashing").close()
    child = half_way(start, path, file)
    child.terminate()
    out, err = end(child)
    assert child.returncode == 143
    assert b"[terminated]" in err
    assert b"acknowledged is safe" in err
    assert b"Traceback" not in err + out
    assert process("verify", "--memory", str(path)).returncode == 0


def test_a_directory_that_cannot_be_read_is_our_own_error_and_doctor_looks_at_it(path: Path) -> None:
    from .conftest import environment

    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    lesser = [] if os.getuid() else bound
    if lesser and not shutil.which("setpriv"):
        pytest.skip("root may read everything, and nothing here takes that away")
    path.mkdir()
    path.chmod(0)
    try:
        for words, code, said in (("stats", 1, "read_only"), ("init", 1, "read_only"), ("doctor", 3, "Check its")):
            done = subprocess.run(
                [*lesser, sys.executable, "-m", "graphsvc", words, "--memory", str(path), "--json"],
                env={**environment(), "GRAPHSVC_EMBEDDER": "hashing"}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == code, done.stderr
            assert said in done.stdout + done.stderr
    finally:
        path.chmod(0o700)


def test_what_a_shell_completes_knows_the_commands_of_a_group() -> None:
    asked = {"_GRAPHSVC_COMPLETE": "complete_bash", "COMP_WORDS": "graphsvc facts ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "graphsvc"], env={**environment(), **asked}, capture_output=True, text=True, check=False
    )
    assert {"add", "list", "retract"} <= set(done.stdout.split())


def test_help_names_every_group_and_a_group_every_command() -> None:
    def shown(*words: str) -> str:
        command = [sys.executable, "-m", "graphsvc", *words, "--help"]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout

    assert all(f" {name} " in shown() for name in ("episodes", "facts", "causal", "demo", "recall"))
    assert all(f" {name} " in shown("facts") for name in ("add", "predicate", "history"))
