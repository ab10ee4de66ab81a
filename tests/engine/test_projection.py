from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from histories import History, Step
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsvc.config import Settings
from graphsvc.errors import BadInput, EngineError, FollowerStopped, NewerFormat
from graphsvc.model.change import Change, NodeRef
from graphsvc.store import graph as module
from graphsvc.store import steps
from graphsvc.store.contents import Content, digest_of
from graphsvc.store.graph import GraphProjection, migrations

SETTINGS = Settings(graph_buffer_bytes=128 << 20)
ROWS, BULK, EITHER = 0.0, 1e9, 0.6
"""What a statement for one row is said to cost: so that each is written alone, all are in bulk, or it depends."""


@contextmanager
def opened(engine: str, one_row: float = EITHER) -> Iterator[GraphProjection]:
    before = dict(steps.ONE_ROW)
    steps.ONE_ROW[engine] = one_row
    with tempfile.TemporaryDirectory() as directory:
        projection = GraphProjection(Path(directory), engine, SETTINGS)
        try:
            yield projection
        finally:
            projection.close()
            steps.ONE_ROW.update(before)


def apply(projection: GraphProjection, changes: list[Change], cuts: list[int]) -> None:
    """Apply changes in batches that end at the cuts."""
    edges = sorted({0, len(changes), *(cut % (len(changes) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        projection.apply(changes[start:end])


def differences(projection: GraphProjection, expected: list[Content]) -> tuple[list[str], list[str]]:
    """What the graph has too much, and what it lacks."""
    found, wanted = sorted(map(repr, projection.contents())), sorted(map(repr, expected))
    return [one for one in found if one not in wanted], [one for one in wanted if one not in found]


STEPS = st.lists(st.tuples(*[st.integers(0, 1 << 16)] * 4), min_size=1, max_size=60)
CUTS = st.lists(st.integers(0, 1 << 16), max_size=8)


def check(engine: str, steps: list[Step], cuts: list[int], one_row: float) -> None:
    history = History.of(steps)
    expected = list(history.contents())
    with opened(engine, one_row) as projection:
        apply(projection, history.changes, cuts)
        assert differences(projection, expected) == ([], [])
        assert projection.applied == len(history.changes)
        assert projection.digest() == digest_of(expected)
        assert projection._sizes == {table: projection.counts()[table] for table in projection._sizes}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, CUTS, st.sampled_from([ROWS, BULK, EITHER]))
def test_any_history_in_any_batches_gives_what_plain_python_says(
    engine_name: str, steps: list[Step], cuts: list[int], one_row: float
) -> None:
    check(engine_name, steps, cuts, one_row)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, CUTS, st.sampled_from([ROWS, BULK, EITHER]))
def test_many_histories_in_any_batches_give_what_plain_python_says(
    engine_name: str, steps: list[Step], cuts: list[int], one_row: float
) -> None:
    check(engine_name, steps, cuts, one_row)


@pytest.mark.parametrize("one_row", [ROWS, BULK, EITHER])
def test_one_at_a_time_gives_the_same_digest_as_all_at_once(engine_name: str, one_row: float) -> None:
    history = History.random(seed=11, steps=120)
    digests = set()
    for cuts in ([], list(range(len(history.changes)))):
        with opened(engine_name, one_row) as projection:
            apply(projection, history.changes, cuts)
            digests.add(projection.digest())
    assert digests == {digest_of(history.contents())}


def test_a_digest_owes_nothing_to_order_and_something_to_everything_else() -> None:
    contents: list[Content] = list(History.random(seed=1, steps=50).contents())
    assert digest_of(contents) == digest_of(reversed(contents))
    table, ends, values = contents[0]
    others: list[list[Content]] = [
        contents[1:], [*contents, contents[0]], [("Task", ends, values), *contents[1:]],
        [(table, ("x", *ends[1:]), values), *contents[1:]], [(table, ends, (*values[:-1], "x")), *contents[1:]], [],
    ]  # fmt: skip
    assert len({digest_of(contents), *map(digest_of, others)}) == len(others) + 1


def test_a_change_is_applied_exactly_once(graph: GraphProjection) -> None:
    history = History.random(seed=2, steps=60)
    graph.apply(history.changes[:40])
    graph.apply(history.changes[:40])
    graph.apply(history.changes[20:50])
    graph.apply(history.changes[10:20])
    graph.apply([])
    assert graph.applied == 50
    graph.apply(history.changes)
    assert graph.digest() == digest_of(history.contents())


def test_a_gap_stops(graph: GraphProjection) -> None:
    history = History.random(seed=3, steps=20)
    with pytest.raises(FollowerStopped, match="change 1 is missing"):
        graph.apply(history.changes[1:])
    graph.apply(history.changes[:10])
    with pytest.raises(FollowerStopped, match="change 11 is missing"):
        graph.apply(history.changes[11:])
    with pytest.raises(FollowerStopped, match="change 12 is missing"):
        graph.apply([history.changes[10], history.changes[12]])
    assert graph.applied == 10


def test_what_was_applied_is_known_after_reopening(tmp_path: Path, engine_name: str) -> None:
    history = History.random(seed=4, steps=100)
    for end in (0, 30, 31, 100):
        projection = GraphProjection(tmp_path, engine_name, SETTINGS)
        projection.apply(history.changes[:end])
        projection.close()
    projection = GraphProjection(tmp_path, engine_name, SETTINGS)
    assert projection.applied == 100
    assert projection.digest() == digest_of(history.contents())
    projection.close()


def test_a_batch_that_fails_leaves_nothing(graph: GraphProjection) -> None:
    history = History.random(seed=5, steps=50)
    graph.apply(history.changes)
    before = graph.digest()
    new = NodeRef("Agent", "new", {"id": "new"})
    known = NodeRef("Task", next(key for table, key in history._named if table == "Task"))
    with pytest.raises(EngineError, match="primary key"):
        graph.apply([Change(verb="test", n=51, nodes=[new, known])])
    with pytest.raises(FollowerStopped, match="delete_node of Session"):
        graph.apply([Change(verb="test", n=51, nodes=[new], vanished=[NodeRef("Session", "nobody/nothing")])])
    assert graph.applied == 50
    assert graph.digest() == before
    graph.apply([Change(verb="test", n=51)])
    assert graph.applied == 51


def test_the_write_ahead_file_is_kept_small(tmp_path: Path, engine_name: str) -> None:
    steps = 600 if engine_name == "kuzu" else 2000  # Kuzu is checkpointed before most of what is deleted
    history = History.random(seed=6, steps=steps)
    projection = GraphProjection(tmp_path, engine_name, Settings(graph_checkpoint_bytes=1 << 20))
    sizes = []
    for start in range(0, steps, steps // 12):
        projection.apply(history.changes[start : start + steps // 12])
        sizes.append(projection.engine.wal_bytes())
    assert max(sizes) < 2 << 20
    assert any(after < before for before, after in pairwise(sizes))
    assert projection.digest() == digest_of(history.contents())
    projection.close()


def test_a_graph_of_a_newer_program_is_refused(tmp_path: Path, engine_name: str) -> None:
    projection = GraphProjection(tmp_path, engine_name, SETTINGS)
    with projection.engine.transaction() as transaction:
        transaction.execute("MATCH (a:_Applied) SET a._migration = 99")
    projection.close()
    with pytest.raises(NewerFormat):
        GraphProjection(tmp_path, engine_name, SETTINGS)


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations()
    failing = {**known, 1: [*known[1], "CREATE NODE TABLE Agent (x INT64, PRIMARY KEY (x))"]}
    monkeypatch.setattr(module, "migrations", lambda: failing)
    with pytest.raises(EngineError):
        GraphProjection(tmp_path, engine_name, SETTINGS)
    monkeypatch.setattr(module, "migrations", lambda: known)
    GraphProjection(tmp_path, engine_name, SETTINGS).close()
    extra = {**known, max(known) + 1: ["CREATE NODE TABLE Extra (x INT64, PRIMARY KEY (x))"]}
    monkeypatch.setattr(module, "migrations", lambda: extra)
    for _ in range(2):
        projection = GraphProjection(tmp_path, engine_name, SETTINGS)
        assert projection._migration() == max(extra)
        projection.close()


def neighbours(graph: GraphProjection, name: str, key: str) -> list[dict[str, Any]]:
    return graph.read(name, {"key": key}).dicts()


def test_an_episode_knows_its_relations(graph: GraphProjection) -> None:
    history = History.random(seed=8, steps=300)
    graph.apply(history.changes)
    pairs = {(source, target) for rel, source, target in history.next_pairs()}
    for key, episode in list(history.episodes.items())[:40]:
        found = neighbours(graph, "episode_relations", key)
        by = {name: sorted(row["key"] for row in found if row["relation"] == name) for name in
              ("previous", "next", "attempt", "skill")}  # fmt: skip
        others = (one for one in history.episodes.values() if one.agent == episode.agent and one.task == episode.task)
        assert by["previous"] == [source for source, target in pairs if target == key]
        assert by["next"] == [target for source, target in pairs if source == key]
        assert by["attempt"] == sorted(one.key for one in others if one.key != key)
        assert by["skill"] == sorted(ends[2] for ends in history.links if ends[:2] == ("USED", key))
        for row in found:
            if row["relation"] == "attempt":
                other = history.episodes[row["key"]]
                assert (row["reward"], row["success"]) == (other.reward, other.success)
                assert row["at"] == other.at.replace(tzinfo=None)
    assert neighbours(graph, "episode_relations", "nobody/nothing") == []


def test_a_skill_knows_its_neighbours(graph: GraphProjection) -> None:
    history = History.random(seed=9, steps=300)
    graph.apply(history.changes)
    seen = 0
    for key in history.skills:
        found = {(row["rel"], row["direction"], row["key"], row["name"], row["weight"])
                 for row in neighbours(graph, "skill_neighbours", key)}  # fmt: skip
        expected = set()
        for (rel, source, target), values in history.links.items():
            if rel != "USED" and source == key:
                expected.add((rel, "out", target, history.skills[target].name, values.get("weight")))
            if rel != "USED" and target == key:
                expected.add((rel, "in", source, history.skills[source].name, values.get("weight")))
        assert found == expected
        seen += len(expected)
    assert seen


def test_counts_are_those_of_every_table(graph: GraphProjection) -> None:
    history = History.random(seed=10, steps=200)
    graph.apply(history.changes)
    expected = dict.fromkeys(graph.counts(), 0)
    for table, _, _ in history.contents():
        expected[table] += 1
    assert graph.counts() == expected


def test_a_read_takes_exactly_its_parameters(graph: GraphProjection) -> None:
    with pytest.raises(BadInput):
        graph.read("episode_relations")
    with pytest.raises(BadInput):
        graph.read("episode_relations", {"key": "x", "agent": "y"})
