"""kill -9 while episodes become skills: what was there stays, no skill is there by half, and run again it completes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.memory import consolidation

from .process import Child, Killed
from .test_kill import check

FAMILIES, SIZE = 150, 6

PROGRAM = """
import sys, graphsvc
import scipy.cluster.hierarchy, scipy.sparse.csgraph, scipy.spatial.distance  # what takes longest, before the clock
memory = graphsvc.open(sys.argv[1])
print("open", flush=True)
done = memory.skills.consolidate()
print("done", done.seconds, *(one.id for one in done.by("created")), flush=True)
memory.close()
"""


def fill(path: Path) -> list[str]:
    """Families of like attempts, in words of their own each; the ids."""
    letters = "abcdefghijklmnopqrst"
    words = ["".join(letters[(i * 7 + j * 3 + i // 20) % 20] * 2 for j in range(6)) + str(i) for i in range(FAMILIES)]
    rows = [
        {"id": f"e{i}-{j}", "session": f"s{j}", "task": f"{word} {word[::-1]} number {i}", "success": j != 5,
         "output": f"open {word}\\nread {word[::-1]} twice\\nclose {word} after {i}", "reward": 0.9 if j != 5 else 0.1,
         "at": f"2026-01-01T00:{i % 60:02}:{j:02}Z"}
        for i, word in enumerate(words)
        for j in range(SIZE)
    ]  # fmt: skip
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many(rows, wait="searchable")
        memory.wait()
    return [str(row["id"]) for row in rows]


def learnt(path: Path) -> list[Any]:
    """Every skill with its versions and evidence."""
    with graphsvc.open(path) as memory:
        skills = memory.skills.list(k=1000, order="id")
        return [
            (one, memory.skills.versions(one.id), [episode.id for episode in memory.skills.evidence(one.id)])
            for one in skills
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], float]:
    """What an undisturbed run gives, and how many seconds it takes."""
    path = tmp_path_factory.mktemp("whole") / "memory"
    fill(path)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    skills = learnt(path)
    assert len(skills) > 100
    return skills, float(done.stdout.splitlines()[-1].split()[1])


def a_round(path: Path, seconds: float, whole: list[Any]) -> int:
    """Kill a run, see that all is whole, and let another complete it; how many skills the first had made."""
    episodes = fill(path)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read().split()[2:]
    found = check(path)
    assert set(episodes) == set(found["critiques"])  # type: ignore[call-overload]
    after = learnt(path)
    assert not set(told) - {one.id for one, _, _ in after}, "what was told is there"
    assert all(each in whole for each in after), "none is there by half"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()[-1].split()) - 2 == len(whole) - len(after)
    assert learnt(path) == whole
    check(path)
    return len(after)


@pytest.mark.chaos
@pytest.mark.parametrize("round_", range(1))
def test_killed_while_consolidating_nothing_is_halved_and_the_next_run_completes(
    tmp_path: Path, whole: tuple[list[Any], float], round_: int
) -> None:
    skills, took = whole
    a_round(tmp_path / "memory", took * (0.6 + 0.2 * round_), skills)


@pytest.mark.chaos
@pytest.mark.slow
def test_twenty_kills_while_consolidating(tmp_path: Path, whole: tuple[list[Any], float]) -> None:
    skills, took = whole
    chance = random.Random(4)
    made = [a_round(tmp_path / str(number), took * chance.uniform(0.1, 1.0), skills) for number in range(20)]
    print("skills made before each kill:", json.dumps(made))


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("seam", "nth"),
    [
        ("graphsvc.log.consolidation:_update", 3),
        ("graphsvc.log.consolidation:_create", 70),
        ("graphsvc.store.graph:GraphProjection.apply", 2),
    ],
)
def test_killed_at_a_seam_of_consolidation_it_completes(
    tmp_path: Path, whole: tuple[list[Any], float], seam: str, nth: int
) -> None:
    path = tmp_path / "memory"
    fill(path)
    assert FAMILIES > 2 * consolidation.BATCH, "a run takes several transactions"
    if "_update" in seam:
        with graphsvc.open(path) as memory:
            memory.skills.consolidate(min_attempts=5, where={"id": {"ne": "e1-0"}})
            rows = [{"id": f"n{i}", "session": "n", "task": one.task, "output": one.output, "success": True, "reward": 1.0,
                     "at": "2026-01-02T00:00:00Z"}
                    for i, one in enumerate(memory.episodes.list({"session": "s0"}, k=1000, order="id"))]  # fmt: skip
            memory.episodes.store_many(rows, wait="searchable")
    child = Child(path, "kuzu", f"{seam}@after@{nth}")
    if child.opened:
        with pytest.raises(Killed):
            child.ask("skills.consolidate")
            child.ask("wait")
            child.close()
    assert child.process.returncode == -signal.SIGKILL, "the seam was reached"
    check(path)
    with graphsvc.open(path) as memory:
        memory.skills.consolidate()
        assert {one.action for one in memory.skills.consolidate().skills} == {"unchanged"}
        assert memory.verify().ok
    if "_update" not in seam:
        assert learnt(path) == whole[0]
