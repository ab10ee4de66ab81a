"""Feedback on what was retrieved: kept, listed, and weighed where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc.errors import Ambiguous, BadInput, NotFound
from graphsvc.model.records import Feedback
from graphsvc.model.texts import WEIGHT


def fill(memory: graphsvc.Memory, count: int = 4) -> None:
    memory.episodes.store_many([{"id": f"e{i}", "session": "s", "task": f"deploy service {i}"} for i in range(count)])
    memory.wait()


def test_feedback_on_hits_keeps_what_was_shown_and_what_was_said(path: Path) -> None:
    with graphsvc.open(path, embedder="hashing") as memory:
        fill(memory)
        hits = memory.episodes.retrieve("deploy service 2", k=3)
        kept = memory.feedback(hits, {hits[0].record.id: 1.0, hits[2].record.id: 0.25})
        assert [(one.record, one.value, one.rank) for one in kept] == [
            (hits[0].record.id, 1.0, 1), (hits[1].record.id, None, 2), (hits[2].record.id, 0.25, 3),
        ]  # fmt: skip
        assert {one.query for one in kept} == {"deploy service 2"}
        assert len({one.answer for one in kept}) == 1
        assert kept[0].score == hits[0].score
        memory.feedback("deploy service 9", ["e1"])
    with graphsvc.open(path) as memory:
        assert [one.query for one in memory.feedbacks()] == ["deploy service 9", *["deploy service 2"] * 3]
        assert [one.query for one in memory.feedbacks(1)] == ["deploy service 9"]
        assert len(memory.feedbacks(record="e1")) == 1 + sum(hit.record.id == "e1" for hit in hits)
        assert memory.verify().ok


def test_it_is_not_searched_and_has_no_place_in_the_graph(memory: graphsvc.Memory) -> None:
    fill(memory, 1)
    memory.wait()
    before = memory.verify().checked
    memory.feedback("an utterly unique question", ["e0"])
    memory.wait()
    after = memory.verify()
    assert after.ok
    assert {name: count - before[name] for name, count in after.checked.items()} == {
        "log": 1, "records": 1, "columns": 0, "graph": 0, "text": 0, "vectors": 0,
    }  # fmt: skip
    assert [hit.record.id for hit in memory.episodes.retrieve("an utterly unique question", mode="text")] == []


def test_retrieval_weighs_it_only_where_asked_to(memory: graphsvc.Memory) -> None:
    fill(memory)
    plain = memory.episodes.retrieve("deploy service")
    ids = [hit.record.id for hit in plain]
    for _ in range(5):
        memory.feedback("deploy service", {ids[-1]: 1.0, ids[0]: 0.0})
    again = memory.episodes.retrieve("deploy service")
    assert [(hit.record.id, hit.score) for hit in again] == [(hit.record.id, hit.score) for hit in plain]
    assert "feedback" not in again[0].parts
    weighed = memory.episodes.retrieve("deploy service", feedback=0.8)
    assert weighed[0].record.id == ids[-1]
    parts = {hit.record.id: hit.parts["feedback"] for hit in weighed}
    assert parts == {ids[-1]: pytest.approx(6 / 7), ids[0]: pytest.approx(1 / 7), ids[1]: 0.5, ids[2]: 0.5}
    relevance = WEIGHT * weighed[0].parts["vector"] + (1 - WEIGHT) * weighed[0].parts["text"]
    assert weighed[0].score == pytest.approx(0.8 * parts[ids[-1]] + 0.2 * relevance)
    memory.feedback("deploy service", {ids[-1]: 0.0})
    assert memory.episodes.retrieve("deploy service", feedback=0.8)[0].parts["feedback"] == pytest.approx(6 / 8)
    for wrong in (-0.1, 1.5, "much"):
        with pytest.raises(BadInput, match="feedback"):
            memory.episodes.retrieve("deploy service", feedback=wrong)


def test_skills_are_judged_and_weighed_alike(memory: graphsvc.Memory) -> None:
    for id in ("a", "b"):
        memory.skills.create(id=id, name="deploy", description="deploy a service")
    memory.wait()
    assert memory.skills.search("deploy")[0].skill.id == "a"
    memory.feedback("deploy", {"b": True}, kind="skill")
    hits = memory.skills.search("deploy", weights={"similarity": 0.5, "feedback": 0.5})
    assert [(hit.skill.id, round(hit.parts["feedback"], 3)) for hit in hits] == [("b", 0.667), ("a", 0.5)]
    assert "feedback" not in memory.skills.search("deploy")[0].parts
    assert memory.feedback(hits, ["a"])[1].kind == "skill"


def test_feedback_about_a_deleted_record_does_no_harm(memory: graphsvc.Memory) -> None:
    fill(memory)
    hits = memory.episodes.retrieve("deploy service 1")
    memory.feedback(hits, ["e1"])
    memory.episodes.delete("e1")
    assert memory.feedback(hits, ["e1"])[0].value == 1.0, "it was useful, whatever became of it"
    memory.wait()
    found = memory.episodes.retrieve("deploy service 1", feedback=0.9)
    assert "e1" not in [hit.record.id for hit in found]
    assert len(memory.feedbacks(record="e1")) == 2
    assert memory.verify().ok


def test_each_namespace_gives_and_sees_its_own(memory: graphsvc.Memory) -> None:
    for agent in ("a", "b", "team"):
        memory.episodes.store(id="x", session="s", task="deploy it", agent=agent)
    memory.wait()
    a, b = (memory.as_agent(name, shared=["team"]) for name in "ab")
    hits = a.episodes.retrieve("deploy it")
    with pytest.raises(Ambiguous):
        a.feedback(hits, ["x"])
    own = a.episodes.retrieve("deploy it", agent="a")
    team = a.episodes.retrieve("deploy it", agent="team")
    assert {one.agent for one in [*a.feedback(own, ["x"]), *a.feedback(team, ["x"])]} == {"a"}
    assert [one.owner for one in a.feedbacks()] == ["team", "a"]
    assert b.feedbacks() == []
    assert b.episodes.retrieve("deploy it", agent="team", feedback=0.5)[0].parts["feedback"] == 0.5
    assert a.episodes.retrieve("deploy it", agent="team", feedback=0.5)[0].parts["feedback"] == pytest.approx(2 / 3)
    assert memory.episodes.retrieve("deploy it", agent="a", feedback=0.5)[0].parts["feedback"] == pytest.approx(2 / 3)
    assert [one.agent for one in memory.feedback(memory.episodes.retrieve("deploy it", agent="b"), ["x"])] == ["b"]
    assert len(memory.feedbacks()) == 3
    assert memory.verify().ok


@pytest.mark.parametrize(
    ("answer", "used", "options", "error"),
    [
        ("q", ["none"], {}, NotFound),
        ("q", "e0", {}, BadInput),
        ("q", [], {}, BadInput),
        ("q", {"e0": 1.5}, {}, BadInput),
        ("q", {"e0": "good"}, {}, BadInput),
        ("q", {"e0": float("nan")}, {}, BadInput),
        ("q", [7], {}, BadInput),
        ("  ", ["e0"], {}, BadInput),
        (None, ["e0"], {}, BadInput),
        ("q", ["e0"], {"kind": "outcome"}, BadInput),
        ("q", ["e0", "none"], {}, NotFound),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_kept(
    memory: graphsvc.Memory, answer: Any, used: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    fill(memory, 1)
    with pytest.raises(error):
        memory.feedback(answer, used, **options)
    with pytest.raises(BadInput, match="none of the hits"):
        memory.feedback(memory.episodes.retrieve("deploy service"), ["other"])
    assert memory.feedbacks() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None, max_examples=8)
def test_how_useful_something_was_is_bounded_and_smoothed(values: list[float]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory, graphsvc.open(f"{directory}/m", embedder="hashing") as memory:
        memory.episodes.store(id="e", session="s", task="t")
        for value in values:
            memory.feedback("t", {"e": value})
        part = memory.episodes.retrieve("t", feedback=1.0)[0].parts["feedback"]
        assert part == pytest.approx((1 + sum(values)) / (2 + len(values)))
        assert 0 < part < 1
        assert all(isinstance(one, Feedback) for one in memory.feedbacks())
