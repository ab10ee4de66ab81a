"""The commands that learn: consolidate, brief, feedback."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.cli import learning, skills
from graphsvc.memory.memory import Memory
from graphsvc.memory.skills import Skills

from ..test_consolidation import DEPLOYMENTS
from .conftest import Run


@pytest.mark.parametrize(("command", "verb"), [(skills.consolidate, Skills.consolidate), (learning.brief, Memory.brief)])
def test_what_a_command_takes_for_granted_is_what_its_verb_does(command: Any, verb: Any) -> None:
    ours, theirs = inspect.signature(command).parameters, inspect.signature(verb).parameters
    assert all(ours[name].default == theirs[name].default for name in ours.keys() & theirs.keys() - {"wait"})
    assert len(ours.keys() & theirs.keys()) > 4


@pytest.fixture
def deployed(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        memory.episodes.store_many(DEPLOYMENTS)
        memory.wait()


@pytest.mark.usefixtures("deployed")
def test_a_dry_run_tells_what_the_run_then_does(answer: Run, run: Run) -> None:
    planned = answer("skills", "consolidate", "--dry-run")
    assert planned["dry_run"]
    assert planned["counts"]["created"] == 1
    assert answer("skills", "list")["total"] == 0
    assert "nothing was written" in run("skills", "consolidate", "--dry-run").stdout
    done = answer("skills", "consolidate")
    assert [one["id"] for one in done["skills"]] == [one["id"] for one in planned["skills"]]
    id = done["skills"][0]["id"]
    assert [one["id"] for one in answer("skills", "evidence", id)["episodes"]] == ["e1", "e2", "e3", "e4", "e5"]
    assert answer("skills", "consolidate")["counts"] == {
        "created": 0, "updated": 0, "unchanged": 1, "deleted": 0, "nothing_shared": 0,
    }  # fmt: skip
    assert answer("skills", "consolidate", "--min-attempts", "9")["skills"] == []


@pytest.mark.usefixtures("deployed")
def test_a_brief_keeps_within_its_budget(answer: Run, run: Run, error: Run) -> None:
    found = answer("brief", "deploy the payment service to production", "--max-tokens", "60")
    assert 0 < found["tokens"] <= 60
    assert found["figures"][0]["evidence"]
    text = run("brief", "deploy the payment service to production").stdout
    assert "## Recommendation\n- run the migration first [e" in text
    assert error("brief", "deploy", "--max-tokens", "3")["where"] == "max_tokens"


@pytest.mark.usefixtures("deployed")
def test_feedback_is_given_listed_and_weighed(answer: Run, error: Run) -> None:
    kept = answer("feedback", "deploy it", "--used", "e1", "--used", "e2=0.25")["feedback"]
    assert [(one["record"], one["value"]) for one in kept] == [("e1", 1.0), ("e2", 0.25)]
    assert len(answer("feedbacks")["feedback"]) == 2
    assert [one["value"] for one in answer("feedbacks", "--record", "e2")["feedback"]] == [0.25]
    hits = answer("episodes", "retrieve", "deploy it", "--feedback", "1")["hits"]
    assert hits[0]["id"] == "e1"
    assert error("feedback", "deploy it", "--used", "e1=much")["where"] == "--used"
    assert error("feedback", "deploy it", "--used", "nobody")["code"] == "not_found"
