"""Briefings: quoted, counted, within the budget, the same from the same memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.briefing import NOTHING, TITLES, Brief

TASK = "deploy the payment service to production"


def fill(memory: graphsvc.Memory) -> None:
    good = "run the migration first\nkubectl apply -f service.yaml\ncheck the health endpoint"
    critique = "The pods restarted without end because the schema was old. Next time run the migration first."
    memory.episodes.store_many(
        [{"id": f"good-{i}", "session": "s", "task": TASK, "output": good, "success": True, "reward": 0.9} for i in range(3)]
        + [{"id": f"bad-{i}", "session": "s", "task": f"{TASK} again", "output": "kubectl apply", "success": False,
            "reward": 0.1, "critique": critique} for i in range(2)]
    )  # fmt: skip
    memory.wait()


def sentences(brief: Brief) -> list[Any]:
    return [sentence for name in TITLES for sentence in getattr(brief, name)]


def test_it_says_what_worked_what_failed_and_why_what_to_do_and_how_often(memory: graphsvc.Memory) -> None:
    fill(memory)
    brief = memory.brief(TASK)
    assert [one.text for one in brief.worked] == [
        "run the migration first", "kubectl apply -f service.yaml", "check the health endpoint",
    ]  # fmt: skip
    assert [one.text for one in brief.failed] == ["The pods restarted without end because the schema was old."]
    assert [one.text for one in brief.recommendation] == ["Next time run the migration first."]
    assert [one.text for one in brief.figures] == [
        "3 of 3 attempts at this very task succeeded.",
        "3 of 5 like attempts succeeded (60%), mean reward 0.58.",
    ]
    assert (brief.attempts, brief.judged, brief.successes, brief.success_rate) == (5, 5, 3, 0.6)
    assert str(brief).startswith(f"# {TASK}\n\n## What worked\n- run the migration first [good-0, good-1 +1]\n")
    assert brief.as_dict()["text"] == str(brief)
    assert not brief.empty


def test_every_sentence_names_its_evidence_and_stands_there(memory: graphsvc.Memory) -> None:
    fill(memory)
    memory.skills.consolidate(wait="searchable")
    brief = memory.brief(TASK)
    assert brief.recommendation[0].text.startswith("Use “deploy the payment service to production” (3 of 3 succeeded):")
    for name in ("worked", "failed"):
        for sentence in getattr(brief, name):
            episodes = [memory.episodes.get(id) for id in sentence.evidence]
            assert any(sentence.text in f"{episode.output}\n{episode.critique}" for episode in episodes)
    for sentence in sentences(brief):
        assert sentence.evidence
        for id in sentence.evidence:
            assert memory.history(id)
    lines = [line for line in str(brief).splitlines() if line.startswith("- ")]
    assert len(lines) == len(sentences(brief))
    assert all(re.search(r"\[[^\]]+\]$", line) for line in lines)


@pytest.mark.parametrize("max_tokens", [16, 20, 40, 80, 160, 500])
def test_it_keeps_within_the_budget_and_uses_it(memory: graphsvc.Memory, max_tokens: int) -> None:
    fill(memory)
    brief = memory.brief(TASK, max_tokens)
    assert brief.tokens == memory._opened.embedding.count_tokens(str(brief)) <= max_tokens
    if max_tokens >= 80:
        assert brief.figures, "what matters most finds room first"
    if max_tokens == 500:
        assert brief.dropped == 0
    else:
        assert memory.brief(TASK, 2 * max_tokens).dropped <= brief.dropped


def test_a_counter_of_the_users_is_used(memory: graphsvc.Memory) -> None:
    fill(memory)
    brief = memory.brief(TASK, 200, count=len)
    assert 0 < brief.tokens == len(str(brief)) <= 200
    assert memory.brief(TASK, 16, count=lambda text: 1000).text == "", "never more than the budget"


def test_a_function_as_embedder_needs_a_counter(path: Path) -> None:
    def embed(texts: Any) -> np.ndarray:
        return np.ones((len(texts), 4), np.float32)

    with graphsvc.open(path, embedder=embed) as memory:
        with pytest.raises(BadInput, match="counts no tokens"):
            memory.brief("anything")
        assert memory.brief("anything", count=len).empty


def test_the_models_own_tokenizer_counts(path: Path) -> None:
    with graphsvc.open(path) as memory:
        count = memory._opened.embedding.count_tokens
        assert count("deploy the service") == 3
        assert count("antidisestablishmentarianism") > 3
        long = "word " * 2000
        assert count(long) == 2000, "what the model wouldn't read is counted too"
        fill(memory)
        brief = memory.brief(TASK, 60)
        assert 0 < brief.tokens <= 60
        assert brief.tokens == count(str(brief))


def test_an_empty_memory_says_that_it_knows_nothing(memory: graphsvc.Memory) -> None:
    brief = memory.brief(TASK)
    assert brief.empty
    assert str(brief) == f"# {TASK}\n\n{NOTHING}\n"
    assert str(memory.brief(TASK, 16)).endswith(f"{NOTHING}\n")
    assert brief.as_dict()["success_rate"] is None


def test_the_same_memory_says_the_same_and_only_what_the_handle_sees(memory: graphsvc.Memory) -> None:
    fill(memory)
    memory.episodes.store(session="s", task=TASK, output="a secret way", success=True, agent="other")
    memory.wait()
    assert memory.brief(TASK) == memory.brief(TASK)
    assert "a secret way" in str(memory.brief(TASK))
    assert "a secret way" not in str(memory.as_agent("default").brief(TASK))
    assert "a secret way" not in str(memory.brief(TASK, agent="default"))
    assert memory.brief(TASK, where={"success": False}).worked == []


@pytest.mark.parametrize("wrong", [0, 15, True, 1.5, "many", None])
def test_a_budget_is_a_number_that_holds_something(memory: graphsvc.Memory, wrong: Any) -> None:
    with pytest.raises(BadInput, match="max_tokens"):
        memory.brief(TASK, wrong)
