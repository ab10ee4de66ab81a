"""kill -9 during an import: nothing acknowledged is lost, all agrees, and run again it is as if never interrupted."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.memory import importing
from tests.cli.repositories import long_history

from .process import ENGINE

# Killed by itself within the n-th acknowledgement, where episodes are stored and nothing is joined yet, or by another
# at any time (n is 0).
CHILD = """
import json, os, signal, sys, graphsvc
from graphsvc.memory import importing
path, name, source, options, nth, engine = sys.argv[1:]
calls = [0]
def acknowledged(ids):
    print(json.dumps(list(ids)), flush=True)
    calls[0] += 1
    if calls[0] == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)
memory = graphsvc.open(path, embedder="hashing", engine=engine)
print("open", flush=True)
getattr(importing, name)(memory, source, acknowledged=acknowledged, **json.loads(options))
print("done", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
COUNT = 160
BATCH = 20
SOURCES = ("import_git", "import_junit", "import_table", "import_messages", "import_jsonl")


def at(number: int) -> str:
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"


def source_of(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Something to import, and with which options; the same each time."""
    options: dict[str, Any] = {"batch": BATCH}
    if name == "import_git":
        return long_history(folder / "project", COUNT)[0], options
    path = folder / "source"
    if name == "import_junit":
        cases = "".join(f'<testcase name="t{n}" time="1">{"<failure/>" * (n % 3 == 0)}</testcase>' for n in range(COUNT))
        path.write_text(f'<testsuite name="s" timestamp="2026-01-01T00:00:00+00:00">{cases}</testsuite>')
    elif name == "import_table":
        path.write_text("id,task,at,reward\n" + "".join(f"r{n},task {n % 9},{at(n)},0.{n % 9}\n" for n in range(COUNT)))
    elif name == "import_messages":
        talk = [
            {"id": f"c{n}", "messages": [{"role": "user", "content": f"ask {n}", "at": at(n)},
                                        {"role": "assistant", "content": f"answer {n}"}]}
            for n in range(COUNT)
        ]  # fmt: skip
        path.write_text("\n".join(map(json.dumps, talk)))
    else:
        rows = [{"session": f"s{n % 7}", "task": f"task {n}", "at": at(n)} for n in range(COUNT)]
        path.write_text("\n".join(map(json.dumps, rows)))
    return path, options


def import_and_die(path: Path, name: str, source: Path, options: dict[str, Any], nth: int, seconds: float) -> set[str]:
    """Import in a process that is killed; gives the ids that were acknowledged."""
    words = [str(path), name, str(source), json.dumps(options), str(nth), ENGINE]
    acknowledged: set[str] = set()
    with subprocess.Popen([sys.executable, "-c", CHILD, *words], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        if not nth:
            time.sleep(seconds)
            os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:
            if line.startswith("[") and line.endswith("\n"):
                acknowledged.update(json.loads(line))
    assert child.returncode == -signal.SIGKILL
    return acknowledged


def rounds_of_kills(name: str, folder: Path, rounds: int) -> None:
    source, options = source_of(name, folder)
    run = getattr(importing, name)
    with graphsvc.open(folder / "whole", embedder="hashing", engine=ENGINE) as whole:
        started = time.monotonic()
        assert run(whole, source, **options).stored == COUNT
        took = time.monotonic() - started
        digest = whole.verify().digest
    chance = random.Random(name)
    interrupted = 0
    for round_ in range(rounds):
        path = folder / f"memory{round_}"
        nth = chance.randrange(1, COUNT // BATCH) if round_ % 2 == 0 else 0
        acknowledged = import_and_die(path, name, source, options, nth, chance.uniform(0.0, took))
        interrupted += len(acknowledged) < COUNT
        with graphsvc.open(path, embedder="hashing", engine=ENGINE) as memory:
            there = {episode.id for episode in memory.episodes.list(k=COUNT)}
            assert acknowledged <= there, "acknowledged and lost"
            assert memory.verify().problems == []
            report = run(memory, source, **options)
            assert (report.already, report.stored) == (len(there), COUNT - len(there))
            found = memory.verify()
            assert (found.problems, found.digest) == ([], digest), f"round {round_}"
        shutil.rmtree(path)
    assert interrupted, "no kill came before the end"


@pytest.mark.chaos
@pytest.mark.parametrize("name", SOURCES)
def test_killed_while_importing_it_is_completed_by_the_next_run(tmp_path: Path, name: str) -> None:
    rounds_of_kills(name, tmp_path, 1)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_killed_twenty_times_while_importing_it_is_completed_by_the_next_run(tmp_path: Path, name: str) -> None:
    rounds_of_kills(name, tmp_path, 20)


MODULE, PYTHON = "argparse", {"private": True, "batch": 10}


def learnt(memory: graphsvc.Memory) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Code by skill, and who calls whom."""
    skills = memory.skills.list(k=1000)
    with memory._opened.log.connection() as connection:
        calls = connection.execute(
            "SELECT one.id, other.id FROM link JOIN record one ON one.row = source JOIN record other ON other.row = target "
            "WHERE rel = 'CALLS'"
        ).fetchall()
    return {skill.id: skill.code for skill in skills}, set(calls)


def rounds_of_kills_of_modules(folder: Path, rounds: int) -> None:
    with graphsvc.open(folder / "whole", embedder="hashing", engine=ENGINE) as whole:
        started = time.monotonic()
        count = importing.import_python(whole, [MODULE], **PYTHON).stored
        took, expected = time.monotonic() - started, learnt(whole)
    assert count > 100
    assert len(expected[1]) > 50
    chance = random.Random(MODULE)
    interrupted = 0
    for round_ in range(rounds):
        path = folder / f"memory{round_}"
        nth = 1 - round_ % 2  # a module is stored by one call; then its calls are joined
        acknowledged = import_and_die(path, "import_python", Path(MODULE), PYTHON, nth, chance.uniform(0.0, took))
        with graphsvc.open(path, embedder="hashing", engine=ENGINE) as memory:
            there = {skill.id for skill in memory.skills.list(k=1000)}
            assert acknowledged <= there, "acknowledged and lost"
            interrupted += learnt(memory) != expected
            assert memory.verify().problems == []
            report = importing.import_python(memory, [MODULE], **PYTHON)
            assert (report.already, report.stored) == (len(there), count - len(there))
            assert learnt(memory) == expected
            assert all(skill.version == 1 for skill in memory.skills.list(k=1000))
            assert memory.verify().problems == []
    assert interrupted, "no kill came before the end"


@pytest.mark.chaos
def test_killed_while_importing_a_module_it_is_completed_by_the_next_run(tmp_path: Path) -> None:
    rounds_of_kills_of_modules(tmp_path, 1)


@pytest.mark.chaos
@pytest.mark.slow
def test_killed_twenty_times_while_importing_a_module_it_is_completed_by_the_next_run(tmp_path: Path) -> None:
    rounds_of_kills_of_modules(tmp_path, 20)
