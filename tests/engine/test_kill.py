"""kill -9 at any moment: the graph opens again at the end of a batch, and holds exactly what it says it holds.

Or it can't be opened, on Kuzu, and is built anew from the log: but never does it open and hold something else.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from histories import History, random_steps

from graphsvc.config import Settings
from graphsvc.errors import Corrupt
from graphsvc.store.contents import digest_of
from graphsvc.store.graph import GraphProjection

HERE = Path(__file__).parent
STEPS = 4000
SETTINGS = Settings(graph_buffer_bytes=128 << 20, graph_checkpoint_bytes=1 << 20)

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from histories import History
from graphsvc.config import Settings
from graphsvc.errors import Corrupt
from graphsvc.store.graph import GraphProjection
directory, engine, seed, steps, batch = Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
history = History.random(seed, steps)
graph = GraphProjection(directory, engine, Settings(graph_buffer_bytes=128 << 20, graph_checkpoint_bytes=1 << 20))
print("begin", flush=True)
for start in range(graph.applied, steps, batch):
    graph.apply(history.changes[start:start + batch])
    print(graph.applied, flush=True)
    if start // batch % 5 == 0: graph.engine.checkpoint()
graph.close()
"""


def apply_until_killed(engine: str, directory: Path, seed: int, batch: int, after: float) -> int:
    """Apply on in a process of its own until it is killed; the last number that it said was applied."""
    arguments = [str(HERE), str(directory), engine, str(seed), str(STEPS), str(batch)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begin\n"
        time.sleep(after)
        child.kill()
        said = child.stdout.read().split()
    return int(said[-1]) if said else 0


def kill_and_compare(engine: str, directory: Path, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    steps, history = random_steps(seed, STEPS), History()
    for number in range(rounds):
        where = f"seed {seed}, round {number}"
        said = apply_until_killed(engine, directory, seed, chance.choice((1, 7, 40)), chance.uniform(0, 1))
        try:
            projection = GraphProjection(directory, engine, SETTINGS)
        except Corrupt:
            # about 1 kill of 30 amid a checkpoint: Kuzu replays what the checkpoint has already written, and says so
            assert engine == "kuzu", where
            shutil.rmtree(directory)
            directory.mkdir()
            history = History()
            continue
        assert projection.applied >= max(said, len(history.changes)), f"{where}: what was applied is lost"
        for step in steps[len(history.changes) : projection.applied]:
            history.step(step)
        assert projection.digest() == digest_of(history.contents()), where
        projection.close()
        if projection.applied == STEPS:
            return


@pytest.mark.chaos
@pytest.mark.slow
def test_three_kills_leave_what_was_applied(tmp_path: Path, engine_name: str) -> None:
    kill_and_compare(engine_name, tmp_path, seed=1, rounds=3)


@pytest.mark.chaos
@pytest.mark.slow
def test_fifty_kills_leave_what_was_applied(tmp_path: Path, engine_name: str) -> None:
    for seed in range(5):
        directory = tmp_path / str(seed)
        directory.mkdir()
        kill_and_compare(engine_name, directory, seed=seed, rounds=10)


def replay_and_compare(engine: str, directory: Path, seed: int, steps: int) -> None:
    """Open copies of the files as they lie between batches: what a kill would leave, without waiting for chance."""
    chance = random.Random(seed)
    history, chosen = History(), random_steps(seed, steps)
    graph = GraphProjection(directory / "graph", engine, SETTINGS)
    while len(history.changes) < steps:
        start = len(history.changes)
        for step in chosen[start : start + chance.choice((1, 3, 9))]:
            history.step(step)
        graph.apply(history.changes[start:])
        if chance.random() < 0.2:
            copy = directory / f"copy {start}"
            shutil.copytree(directory / "graph", copy)
            opened = GraphProjection(copy, engine, SETTINGS)
            assert opened.applied == len(history.changes)
            assert opened.digest() == digest_of(history.contents()), f"seed {seed}, up to {opened.applied}"
            opened.close()
            shutil.rmtree(copy)
    graph.close()


def test_files_as_a_kill_leaves_them_hold_what_was_applied(tmp_path: Path, engine_name: str) -> None:
    (tmp_path / "graph").mkdir()
    replay_and_compare(engine_name, tmp_path, seed=3, steps=120)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_files_as_many_kills_leave_them_hold_what_was_applied(tmp_path: Path, engine_name: str, seed: int) -> None:
    (tmp_path / "graph").mkdir()
    replay_and_compare(engine_name, tmp_path, seed=100 + seed, steps=300)
