"""Snapshots, restoring, migrating and sizes at the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import graphsvc

from .conftest import Run


@pytest.fixture
def stored(path: Path) -> Path:
    with graphsvc.open(path, embedder="hashing") as memory:
        for number in range(5):
            memory.episodes.store(id=f"e{number}", session="s", task=f"task {number}")
    return path


def test_a_memory_is_copied_and_comes_back_as_it_was(stored: Path, tmp_path: Path, answer: Run, run: Run) -> None:
    taken = answer("snapshot", str(tmp_path / "monday"))
    assert (taken["n"], taken["path"]) == (5, str(tmp_path / "monday"))
    assert answer("snapshots")["snapshots"][0]["present"] is True
    assert answer("snapshots", "--verify")["snapshots"][0]["problem"] is None
    restored = answer("restore", str(tmp_path / "monday"), str(tmp_path / "again"), "--to", "3")
    assert restored["n"] == 3
    assert len(answer("episodes", "list", "--memory", str(tmp_path / "again"))["episodes"]) == 3
    assert "the memory at entry 5" in run("restore", str(tmp_path / "monday"), str(tmp_path / "whole")).stdout


def test_a_damaged_snapshot_ends_with_3_and_can_not_be_restored(
    stored: Path, tmp_path: Path, run: Run, error: Run
) -> None:
    run("snapshot", str(tmp_path / "monday"))
    (tmp_path / "monday" / "memory.sqlite").write_bytes(b"not a database")
    told = json.loads(run("snapshots", "--verify", "--json", code=3).stdout)
    assert "memory.sqlite" in told["snapshots"][0]["problem"]
    failed = error("restore", str(tmp_path / "monday"), str(tmp_path / "again"))
    assert (failed["code"], failed["where"]) == ("corrupt", str(tmp_path / "monday" / "memory.sqlite"))
    assert error("restore", str(tmp_path / "monday"), str(tmp_path / "again"), "--to", "9")["code"] == "corrupt"
    assert error("snapshot", str(tmp_path / "monday"))["code"] == "bad_input"


def test_the_graph_moves_to_another_engine(stored: Path, answer: Run, run: Run) -> None:
    assert answer("migrate", "--engine", "ladybug")["before"] == "kuzu"
    assert "kuzu, before ladybug; 5 entries" in run("migrate", "--engine", "kuzu").stdout
    assert answer("size")["kinds"]["episode"]["live"] == 5


def test_the_log_is_trimmed_once_a_snapshot_holds_it(stored: Path, tmp_path: Path, answer: Run, run: Run, error: Run) -> None:
    assert error("trim", "--before", "5")["code"] == "needs_snapshot"
    assert error("trim", "--before", "0")["where"] == "before"
    answer("snapshot", str(tmp_path / "monday"))
    assert error("trim", "--before", "9")["code"] == "not_retained"
    planned = answer("trim", "--before", "5", "--dry-run")
    assert (planned["entries"], planned["dry_run"]) == (4, True)
    assert "nothing was changed" in run("trim", "--before", "5", "--dry-run").stdout
    done = answer("trim", "--before", "5")
    assert (done["entries"], done["base_entries"], done["snapshot"]) == (4, 1, str(tmp_path / "monday"))
    assert answer("snapshots")["snapshots"][0]["holds_trimmed"] is True
    assert answer("stats")["trimmed"] == {"before": 5, "snapshot": str(tmp_path / "monday")}
    assert "5, trimmed before 5" in run("stats").stdout
    assert "trim" in run("episodes", "history", "e1").stdout
    failed = error("restore", str(stored), str(tmp_path / "again"), "--to", "2")
    assert failed["code"] == "not_retained"
    assert str(tmp_path / "monday") in failed["hint"]
    assert answer("verify")["ok"] is True
