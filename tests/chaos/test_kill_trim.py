"""kill -9 while the log is trimmed: it is the old one or the new one, and nothing else has changed."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import graphsvc
from graphsvc.log import trim

from . import everything
from .process import ENGINE, Child, Killed
from .test_kill_forget import check

ROUNDS = pytest.param(20, marks=pytest.mark.slow)


def fill(path: Path, tmp_path: Path) -> int:
    """A memory with a past and a snapshot of it; its head."""
    with graphsvc.open(path, embedder="hashing", engine=ENGINE) as memory:
        for start in range(0, 1_500, 30):
            memory.episodes.store_many(
                [{"session": f"s{i % 9}", "task": f"task {i % 90}", "id": f"e{i}", "output": "did it " * 20}
                 for i in range(start, start + 30)]
            )  # fmt: skip
            memory.episodes.amend(f"e{start}", critique="amended")
            memory.episodes.delete(f"e{start + 1}")
        everything.fill(memory)
        memory.snapshot(tmp_path / "snapshot")
        return int(memory.status()["head"])


def held_from(path: Path) -> int:
    with closing(sqlite3.connect(path / "memory.sqlite")) as connection:
        return trim.held_from(connection)


def is_whole(path: Path, expected: tuple[str, set[str]], *points: int) -> int:
    """It is what it was, and nothing unfinished is left; where its log begins."""
    assert check(path) == expected
    assert not (path / trim.DRAFT).exists()
    assert held_from(path) in points
    return held_from(path)


@pytest.mark.chaos
@pytest.mark.parametrize("rounds", [1, ROUNDS])
def test_killed_while_trimming_the_log_is_the_old_one_or_the_new_one(path: Path, tmp_path: Path, rounds: int) -> None:
    head = fill(path, tmp_path)
    expected = check(path)
    chance, held, done = random.Random(3), 0, 0
    for number in range(rounds):
        before = 2 + (head - 1) * (number + 1) // rounds
        child = Child(path)
        child.ask("wait")
        assert child.process.stdin is not None
        child.process.stdin.write(json.dumps({"verb": "trim", "with": {"before": before}}) + "\n")
        child.process.stdin.flush()
        time.sleep(chance.uniform(0.0, 0.3))
        child.kill()
        found = is_whole(path, expected, held, before - 1)
        done, held = done + (found > held), found
    assert rounds < 10 or 0 < done < rounds, f"kills before and after the end: {done} of {rounds} were trimmed"


SEAMS = (
    ("graphsvc.store.snapshot:verify", "after", False),
    ("graphsvc.log.trim:fold_one", "after", False),
    ("graphsvc.memory.trimming:Retold", "after", False),
    ("graphsvc.store.retold:Retold.check", "before", False),
    ("graphsvc.memory.trimming:stage", "after", False),
    ("graphsvc.memory.trimming:_catch_up", "before", False),
    ("graphsvc.log.log:put_in_place", "before", False),
    ("graphsvc.log.log:put_in_place", "after", True),
    ("graphsvc.log.log:clean", "before", True),
    ("graphsvc.log.log:clean", "after", True),
)
QUICK = ("graphsvc.log.log:put_in_place", "after", True)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("seam", "when", "trimmed"),
    [pytest.param(*one, marks=[] if one == QUICK else [pytest.mark.slow]) for one in SEAMS],
)
def test_killed_at_a_seam_of_trimming_it_is_one_or_the_other(
    path: Path, tmp_path: Path, seam: str, when: str, trimmed: bool
) -> None:
    head = fill(path, tmp_path)
    expected = check(path)
    child = Child(path, ENGINE, f"{seam}@{when}@1")
    with pytest.raises(Killed):
        child.ask("trim", before=head - 10)
    assert is_whole(path, expected, head - 11 if trimmed else 0) == (head - 11 if trimmed else 0)
    with graphsvc.open(path) as memory:
        again = memory.trim(before=head - 10)
        assert (again.entries == 0) == trimmed
    assert is_whole(path, expected, head - 11)
