"""All ways of filtering give the same answer: Python over records, columns, SQL, full text's own index."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphsvc
from graphsvc import F
from graphsvc.errors import BadInput
from graphsvc.log.filter_sql import rows_where
from graphsvc.model.filters import Compare, matches, parse
from graphsvc.model.kinds import KINDS

START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: list[Any] = [None, True, False, 0, 1, 2, 2.5, "a", "b", "abc", ["a", 1], [True], {"deep": 1}]


@pytest.fixture(scope="module")
def filled() -> Iterator[graphsvc.Memory]:
    with (
        tempfile.TemporaryDirectory() as folder,
        graphsvc.open(Path(folder) / "memory", embedder="hashing") as memory,
    ):
        memory.episodes.store_many(
            [
                {
                    "id": f"e{i:03}", "agent": ("x", "y")[i % 2], "session": f"s{i % 3}", "task": f"common task {i % 5}",
                    "output": ["", "abc", "b"][i % 3], "critique": [None, "a b", "b"][i % 3],
                    "reward": [None, 0.0, 0.5, -1.5, 2.0][i % 5], "success": [None, True, False][i % 3],
                    "tokens": [None, 0, 1, 2, 3][i % 5], "latency_ms": [None, 1.0, 2.5][i % 3],
                    "tags": [["a"], ["a", "b"], [], ["c"]][i % 4],
                    "metadata": {"v": VALUES[i % len(VALUES)]} if i % 7 else {}, "at": START + timedelta(days=i),
                }
                for i in range(130)
            ]
        )  # fmt: skip
        for i in range(0, 130, 10):
            memory.episodes.amend(f"e{i:03}", agent=("x", "y")[i % 2], tags=["b"], reward=0.5, session="s9")
        for i in range(5, 130, 25):
            memory.episodes.delete(f"e{i:03}")
        memory.wait()
        yield memory


numbers = st.sampled_from([-1.5, 0, 0.0, 0.5, 1, 1.0, 1.5, 2, 2.5, 3, 2**62])
days = st.integers(-1, 131).map(lambda day: (START + timedelta(days=day)).isoformat())
order = st.sampled_from(["gt", "ge", "lt", "le"])
plain = st.sampled_from([True, False, 0, 1, 2, 2.5, "a", "b", "abc"])
comparisons = st.one_of(
    st.tuples(st.sampled_from(["reward", "tokens", "latency_ms"]), st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]), numbers),
    st.tuples(st.sampled_from(["reward", "tokens"]), st.just("in"), st.lists(numbers, max_size=3)),
    st.tuples(st.just("at"), st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]), days),
    st.tuples(st.just("success"), st.sampled_from(["eq", "ne"]), st.booleans()),
    st.tuples(st.sampled_from(["session", "agent", "task"]), st.sampled_from(["eq", "ne", "contains"]),
              st.sampled_from(["s1", "s9", "x", "common task 2", "task", "none", "task ", " 2", "2 "])),
    st.tuples(st.sampled_from(["session", "id"]), st.just("in"), st.lists(st.sampled_from(["s1", "e001", "e017", "e020"]), max_size=3)),
    st.tuples(st.just("id"), st.sampled_from(["eq", "ne", "contains"]), st.sampled_from(["e001", "e02"])),
    st.tuples(st.sampled_from(["output", "critique"]), st.sampled_from(["eq", "ne", "contains"]), st.sampled_from(["", "b", "a"])),
    st.tuples(st.just("tags"), st.just("contains"), st.sampled_from(["a", "b", "zz"])),
    st.tuples(st.just("tags"), st.just("in"), st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)),
    st.tuples(st.sampled_from(["reward", "tags", "critique", "metadata.v", "metadata.v.deep", "success", "tokens", "session"]),
              st.just("exists"), st.booleans()),
    st.tuples(st.sampled_from(["metadata.v", "metadata.none"]), st.sampled_from(["eq", "ne", "contains"]), plain),
    st.tuples(st.just("metadata.v"), order, st.sampled_from([0, 1, 2.5, "a", "abc"])),
    st.tuples(st.just("metadata.v"), st.just("in"), st.lists(plain, max_size=3)),
)  # fmt: skip
filters = st.recursive(
    comparisons.map(lambda c: {c[0]: {c[1]: c[2]}}),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(where=filters)
def test_all_ways_give_the_same_records(filled: graphsvc.Memory, where: dict[str, Any]) -> None:
    wanted = parse(where, KINDS["episode"])
    everything = filled.episodes.list(k=1000, order="id")
    expected = sorted(episode.id for episode in everything if matches(wanted, episode))
    assert [episode.id for episode in filled.episodes.list(where, k=1000, order="id")] == expected
    assert filled.episodes.count(where) == len(expected)
    by_vector = filled.episodes.retrieve("common task", k=1000, where=where, mode="vector")
    assert sorted(hit.episode.id for hit in by_vector) == expected
    by_text = filled.episodes.retrieve("common task", k=1000, where=where, mode="text")
    assert sorted(hit.episode.id for hit in by_text) == expected, "every text holds the words"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(comparison=comparisons)
def test_sql_agrees_with_python_on_every_field(filled: graphsvc.Memory, comparison: tuple[str, str, Any]) -> None:
    field, op, value = comparison
    compare = parse({field: {op: value}}, KINDS["episode"])
    assert isinstance(compare, Compare)
    if compare.field.type in ("time", "tags"):
        return  # always answered from columns
    log = filled._opened.log
    with log.connection() as connection:
        rows = rows_where(connection, "episode", compare)
    expected = {episode.id for episode in filled.episodes.list(k=1000) if matches(compare, episode)}
    assert {record.id for record in log.records(rows).values()} == expected


def test_filters_in_python_say_the_same_as_json(filled: graphsvc.Memory) -> None:
    pairs = [
        (F.reward >= 0.5, {"reward": {"ge": 0.5}}),
        ((F.success == False) & F.tags.contains("a"), {"and": [{"success": False}, {"tags": "a"}]}),  # noqa: E712
        (~(F.metadata.v == 1) | F.session.is_in(["s1"]), {"or": [{"not": {"metadata.v": 1}}, {"session": ["s1"]}]}),
        (F.critique.exists(False), {"critique": None}),
        ((F.tokens < 2) & (F.tokens > 0) & (F.tokens != 5) & (F.tokens <= 1), {"tokens": 1}),
    ]
    for expression, json in pairs:
        assert filled.episodes.list(expression, k=1000) == filled.episodes.list(json, k=1000)
    with pytest.raises(BadInput):
        assert F.reward > 1


def test_a_deleted_record_is_in_no_way_of_searching(filled: graphsvc.Memory) -> None:
    ids = {hit.episode.id for hit in filled.episodes.retrieve("common task", k=1000)}
    assert "e005" not in ids
    assert len(ids) == filled.episodes.count()
    rows, _ = filled._opened.log.mask("episode", None, None)
    assert len(np.unique(rows)) == len(ids)


def test_equal_to_nothing_means_that_there_is_none(filled: graphsvc.Memory) -> None:
    count = filled.episodes.count
    assert count(F.critique == None) == count({"critique": {"eq": None}}) == count({"critique": None}) > 0  # noqa: E711
    assert count(F.critique != None) == count({"critique": {"exists": True}}) > 0  # noqa: E711
    assert count({"metadata.v": {"ne": None}}) == count({"metadata.v": {"exists": True}})


def test_a_part_of_a_task_is_compared_as_it_is_given(filled: graphsvc.Memory) -> None:
    assert filled.episodes.count({"task": {"contains": "task "}}) == filled.episodes.count()
    assert filled.episodes.count({"task": {"contains": "task  "}}) == 0
    assert filled.episodes.count({"task": " common task 1 "}) == filled.episodes.count({"task": "common task 1"}) > 0


def test_what_a_filter_cannot_say_is_refused(filled: graphsvc.Memory) -> None:
    with pytest.raises(BadInput, match="contains"):
        filled.episodes.count(F.tags == "a")
    for key in ("a\tb", 'a"b', "a\\b", "a\nb"):
        with pytest.raises(BadInput, match="control characters"):
            filled.episodes.count({f"metadata.{key}": 1})


def test_a_metadata_key_with_dots_is_named_in_quotes(memory: graphsvc.Memory) -> None:
    memory.episodes.store(id="flat", session="s", task="t", metadata={"a.b": {"c": 1}})
    memory.episodes.store(id="deep", session="s", task="t", metadata={"a": {"b": {"c": 1}}})
    for where in ({'metadata."a.b".c': 1}, {'metadata."a.b"."c"': 1}, F.metadata["a.b"].c == 1):
        assert [one.id for one in memory.episodes.list(where)] == ["flat"]
        assert [hit.record.id for hit in memory.episodes.retrieve("t", where=where)] == ["flat"]
    assert [one.id for one in memory.episodes.list({'metadata.a."b".c': 1})] == ["deep"]
    for wrong in ('metadata."a.b', 'metadata."a"b', "metadata.a..b", 'metadata.""', "metadata.", 'metadata."a\\b"', "metadata.a."):
        with pytest.raises(BadInput):
            memory.episodes.list({wrong: 1})
