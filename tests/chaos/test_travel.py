"""kill -9 while a memory travels: the old state is there or the new one, and whichever it is verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import graphsvc
from graphsvc.store.directory import read_manifest

from . import everything
from .test_kill import check

EPISODES = 500

SNAPSHOT = """
import sys, threading, graphsvc
memory = graphsvc.open(sys.argv[1])
def write():
    for i in range(10**6):
        memory.episodes.store(session="w", task=f"written {i}")
threading.Thread(target=write, daemon=True).start()
memory.wait()
print("go", flush=True)
memory.snapshot(sys.argv[2])
print("done", flush=True)
threading.Event().wait()
"""
RESTORE = """
import sys, graphsvc
print("go", flush=True)
graphsvc.restore(sys.argv[1], sys.argv[2], to=int(sys.argv[3]))
print("done", flush=True)
"""
MIGRATE = """
import sys, graphsvc
print("go", flush=True)
graphsvc.migrate(sys.argv[1], engine=sys.argv[2])
print("done", flush=True)
"""


@pytest.fixture
def filled(path: Path) -> Path:
    with graphsvc.open(path, embedder="hashing") as memory:
        for start in range(0, EPISODES, 50):
            ids = [one.id for one in memory.episodes.store_many(
                [{"session": f"s{i % 9}", "task": f"task {i}"} for i in range(start, start + 50)]
            )]  # fmt: skip
            memory.episodes.amend(ids[0], critique="amended")
            memory.episodes.delete(ids[1])
        everything.fill(memory)
    return path


def killed_after(seconds: float, program: str, *words: str) -> bool:
    """Run a program, kill it so many seconds after it says go; whether it was done before."""
    with subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        return child.stdout.read() == "done\n"


def duration(program: str, *words: str) -> float:
    """How long the program takes from go to done, undisturbed."""
    with subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        began = time.monotonic()
        assert child.stdout.readline() == "done\n"
        took = time.monotonic() - began
        child.kill()
    return took


def in_rounds(rounds: int, took: float, one: Callable[[int, float], bool]) -> None:
    """Kill at instants spread over the time that it took when measured, denser at its beginning, since it may be faster
    now; some must come before the end.
    """
    chance = random.Random(rounds)
    ended = [one(number, took * ((number + chance.random()) / rounds) ** 2) for number in range(rounds)]
    assert not all(ended), "a kill came in the middle"


def while_a_snapshot_is_taken(filled: Path, tmp_path: Path, rounds: int) -> None:
    def one(number: int, seconds: float) -> bool:
        target = tmp_path / f"snapshot-{number}"
        done = killed_after(seconds, SNAPSHOT, str(filled), str(target))
        check(filled)
        assert target.exists() or not done
        if target.exists():
            graphsvc.restore(target, tmp_path / f"again-{number}")
            assert len(check(tmp_path / f"again-{number}")["critiques"]) >= EPISODES - EPISODES // 50  # type: ignore[arg-type]
        with graphsvc.open(filled) as memory:  # what was left is no obstacle
            memory.snapshot(tmp_path / f"next-{number}")
            assert not done or memory.snapshots()[-2]["path"] == str(target)
        if not target.exists():
            with graphsvc.open(filled) as memory:
                memory.snapshot(target)
            assert not list(tmp_path.glob("*.unfinished"))
        graphsvc.verify_snapshot(target)
        return done

    in_rounds(rounds, duration(SNAPSHOT, str(filled), str(tmp_path / "undisturbed")), one)


def while_one_is_restored(filled: Path, tmp_path: Path, rounds: int) -> None:
    with graphsvc.open(filled) as memory:
        memory.snapshot(tmp_path / "snapshot")
        to = memory.status()["head"] - 10

    def one(number: int, seconds: float) -> bool:
        target = tmp_path / f"again-{number}"
        done = killed_after(seconds, RESTORE, str(tmp_path / "snapshot"), str(target), str(to))
        assert target.exists() or not done
        if not target.exists():
            graphsvc.restore(tmp_path / "snapshot", target, to=to)
        assert not list(tmp_path.glob("*.unfinished"))
        found = check(target)
        with graphsvc.open(target) as memory:
            assert memory.status()["head"] == to
        return done and bool(found)

    words = (str(tmp_path / "snapshot"), str(tmp_path / "undisturbed"), str(to))
    in_rounds(rounds, duration(RESTORE, *words), one)


def while_the_engine_changes(filled: Path, tmp_path: Path, rounds: int) -> None:
    digest = check(filled)["digest"]

    def one(number: int, seconds: float) -> bool:
        manifest = read_manifest(filled)
        assert manifest is not None
        other = "ladybug" if manifest.engine == "kuzu" else "kuzu"
        done = killed_after(seconds, MIGRATE, str(filled), other)
        manifest = read_manifest(filled)
        assert manifest is not None
        assert manifest.engine == other or not done
        time.sleep(0.2)  # the process of the engine ends with the one that was killed
        assert check(filled)["digest"] == digest
        assert {name.name.split(".")[1] for name in filled.glob("graph.*")} == {manifest.engine}
        return done

    took = duration(MIGRATE, str(filled), "ladybug")
    in_rounds(rounds, took, one)


TRAVELS = (while_a_snapshot_is_taken, while_one_is_restored, while_the_engine_changes)


@pytest.mark.chaos
@pytest.mark.parametrize("travel", TRAVELS)
def test_killed_on_its_travels_a_memory_is_the_old_one_or_the_new_one(
    filled: Path, tmp_path: Path, travel: Callable[[Path, Path, int], None]
) -> None:
    travel(filled, tmp_path, 2)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("travel", TRAVELS)
def test_killed_twenty_times_on_its_travels_it_is_the_old_one_or_the_new_one(
    filled: Path, tmp_path: Path, travel: Callable[[Path, Path, int], None]
) -> None:
    travel(filled, tmp_path, 20)
