"""kill -9 while forgetting, exporting and taking in: the old state or the new one, and run again it is completed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import graphsvc
from graphsvc.memory.exported import check as check_export
from graphsvc.memory.exported import read_contents
from graphsvc.memory.importing import import_memory

from . import everything
from .process import ENGINE, Child, Killed

SECRET = b"Zorblaxquo"
ROUNDS = pytest.param(20, marks=pytest.mark.slow)


def check(path: Path) -> tuple[str, set[str]]:
    """Verify; the graph's digest, and the ids of all episodes."""
    with graphsvc.open(path, create=False, max_results=100_000) as memory:
        report = memory.verify()
        assert report.problems == []
        return report.digest, {episode.id for episode in memory.episodes.list(k=100_000)}


def told_in(directory: Path) -> list[str]:
    return [
        path.name for path in directory.rglob("*") if path.is_file() and SECRET.lower() in path.read_bytes().lower()
    ]


def fill(path: Path) -> list[str]:
    with graphsvc.open(path, embedder="hashing", engine=ENGINE) as memory:
        memory.episodes.store_many(
            [{"session": f"s{i % 9}", "task": f"task {i % 40}", "output": f"did {i}", "id": f"e{i}"} for i in range(800)]
        )
        secrets = [{"session": "s1", "task": f"{SECRET.decode()} {i}", "id": f"secret{i}"} for i in range(40)]
        memory.episodes.store_many(secrets)
        memory.skills.create(name="keep", id="keep")
        everything.fill(memory)
    return [f"secret{i}" for i in range(40)]


def finished(path: Path, secrets: list[str]) -> bool:
    """Whether it was forgotten; all or none are, and then no file tells of it, once the memory was opened."""
    _, ids = check(path)
    left = [id for id in secrets if id in ids]
    assert len(ids) == 800 + len(left)
    assert left in ([], secrets)
    assert bool(told_in(path)) == bool(left)
    return not left


@pytest.mark.chaos
@pytest.mark.parametrize("rounds", [1, ROUNDS])
def test_killed_while_forgetting_it_is_finished_at_the_next_opening(path: Path, rounds: int) -> None:
    chance = random.Random(7)
    done = 0
    secrets = fill(path)
    for _ in range(rounds):
        child = Child(path)
        assert child.process.stdin is not None
        child.process.stdin.write(f'{{"verb": "forget", "with": {{"ids": {secrets}}}}}\n'.replace("'", '"'))
        child.process.stdin.flush()
        time.sleep(chance.uniform(0.005, 0.4))
        child.kill()
        if finished(path, secrets):
            done += 1
            with graphsvc.open(path) as memory:
                secrets = [f"secret{done}-{i}" for i in range(40)]
                memory.episodes.store_many(
                    [{"session": "s1", "task": f"{SECRET.decode()} {id}", "id": id} for id in secrets]
                )
                memory.wait()
    with graphsvc.open(path) as memory:
        memory.forget(secrets)
    assert finished(path, secrets)


SEAMS = (
    ("graphsvc.log.state:State.append", "after"),
    ("graphsvc.log.log:Log._publish", "before"),
    ("graphsvc.store.hot:HotIndex.compact", "after"),
    ("graphsvc.store.lance:discard", "after"),
    ("graphsvc.store.text:discard", "before"),
    ("graphsvc.log.log:Log._renew_columns", "before"),
    ("graphsvc.memory.opened:finish", "before"),
    ("graphsvc.log.log:Log.clean", "after"),
)
QUICK = "graphsvc.log.log:Log._renew_columns"


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("seam", "when"),
    [pytest.param(*one, marks=[] if one[0] == QUICK else [pytest.mark.slow], id=one[0]) for one in SEAMS],
)
def test_killed_at_a_seam_of_forgetting_nothing_is_left_after_the_next_opening(
    path: Path, seam: str, when: str
) -> None:
    secrets = fill(path)
    child = Child(path, ENGINE, f"{seam}@{when}@1")
    with pytest.raises(Killed):
        child.ask("forget", ids=secrets)
    if not finished(path, secrets):
        with graphsvc.open(path) as memory:
            memory.forget(secrets)
        assert finished(path, secrets)


def run_and_kill(program: str, seconds: float, *words: object) -> None:
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)


EXPORT = """
import sys, graphsvc
memory = graphsvc.open(sys.argv[1])
print("open", flush=True)
memory.export(sys.argv[2], format=sys.argv[3], vectors=True)
"""


@pytest.mark.chaos
@pytest.mark.parametrize("rounds", [1, ROUNDS])
def test_killed_while_exporting_nothing_that_looks_whole_is_left(path: Path, tmp_path: Path, rounds: int) -> None:
    fill(path)
    chance = random.Random(8)
    for number in range(rounds):
        target = tmp_path / f"copy{number}"
        format = ("jsonl", "parquet")[number % 2]
        run_and_kill(EXPORT, chance.uniform(0, 0.15), path, target, format)
        if target.exists():
            check_export(target, read_contents(target))
        else:
            with graphsvc.open(path) as memory:
                memory.export(target, format=format, vectors=True)
                assert read_contents(target).files["episode"].count == 840
    check(path)


IMPORT = """
import sys, graphsvc
from graphsvc.memory.importing import import_memory
memory = graphsvc.open(sys.argv[1], embedder="hashing", engine=sys.argv[3])
print("open", flush=True)
import_memory(memory, sys.argv[2], batch=20)
"""


@pytest.mark.chaos
@pytest.mark.parametrize("rounds", [1, ROUNDS])
def test_killed_while_taking_in_it_is_completed_when_run_again(path: Path, tmp_path: Path, rounds: int) -> None:
    fill(path)
    with graphsvc.open(path) as memory:
        memory.export(tmp_path / "copy", vectors=True)
        digest = memory.verify().digest
    chance = random.Random(9)
    for number in range(rounds):
        target = tmp_path / f"memory{number}"
        run_and_kill(IMPORT, chance.uniform(0.01, 0.3), target, tmp_path / "copy", ENGINE)
        with graphsvc.open(target, embedder="hashing", engine=ENGINE) as memory:
            report = import_memory(memory, tmp_path / "copy")
            assert report.skipped == []
            assert report.stored + report.already == report.read - report.links
            memory.export(tmp_path / f"again{number}", vectors=True)
        assert check(target)[0] == digest
        for file in (tmp_path / "copy").iterdir():
            assert file.read_bytes() == (tmp_path / f"again{number}" / file.name).read_bytes()
