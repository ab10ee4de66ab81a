"""Many at a time: pages, records by their ids, edges at many nodes, rows of tables of one's own."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import graphsvc
from graphsvc.cli.app import app
from graphsvc.errors import BadInput, NeedsUnbound, NotFound, TooLarge, UnknownField


def filled(memory: graphsvc.Memory, rewards: list[float | None]) -> None:
    memory.episodes.store_many(
        {"session": "s", "task": f"task {n}", "id": f"e{n}", "reward": reward, "at": "2026-01-01T00:00:00Z"}
        for n, reward in enumerate(rewards)
    )


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("step", [1, 2, 5])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rewards=st.lists(st.sampled_from([None, 0.0, 0.5, 1.0, -1.0]), min_size=1, max_size=8))
def test_pages_either_way_are_the_whole_order(
    tmp_path_factory: pytest.TempPathFactory, rewards: list[float | None], step: int, descending: bool
) -> None:
    with graphsvc.open(tmp_path_factory.mktemp("pages") / "memory", embedder="hashing") as memory:
        filled(memory, rewards)
        sign = -1 if descending else 1
        known = [(sign * reward, n) for n, reward in enumerate(rewards) if reward is not None]
        order = [f"e{n}" for _, n in sorted(known)] + [f"e{n}" for n, one in enumerate(rewards) if one is None]
        forth: list[str] = []
        after = None
        while True:
            page = memory.page("episode", step, order="reward", descending=descending, after=after)
            assert page.total == len(rewards)
            assert page.more_before is bool(forth)
            forth += [record.id for record in page.items]
            if not page.more_after:
                break
            after = page.cursors[-1]
        assert forth == order
        back: list[list[str]] = []
        before = None
        while True:
            page = memory.page("episode", step, order="reward", descending=descending, before=before, last=True)
            back.insert(0, [record.id for record in page.items])
            if not page.more_before:
                break
            before = page.cursors[0]
        assert list(itertools.chain(*back)) == order


def test_a_cursor_whose_record_was_deleted_still_says_where_to_go_on(memory: graphsvc.Memory) -> None:
    filled(memory, [0.5] * 6)
    page = memory.page("episode", 3, order="reward")
    memory.episodes.delete(page.items[-1].id)
    assert [one.id for one in memory.page("episode", 3, order="reward", after=page.cursors[-1]).items] == ["e3", "e4", "e5"]


def test_a_page_shows_facts_that_are_believed_and_what_the_handle_sees(memory: graphsvc.Memory) -> None:
    memory.facts.add("a", "is", "b", id="f1")
    memory.facts.add("a", "is", "c", id="f2", agent="other")
    memory.facts.retract("f1")
    assert [one.id for one in memory.page("fact").items] == ["f2"]
    assert memory.as_agent("default").page("fact").total == 0
    assert [one.id for one in memory.as_agent("other").page("fact").items] == ["f2"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "row"}, BadInput), ({"kind": "episode", "order": "task"}, BadInput),
        ({"kind": "episode", "after": "no cursor"}, BadInput), ({"kind": "episode", "where": {"none": 1}}, UnknownField),
        ({"kind": "episode", "k": 10**9}, TooLarge), ({"kind": "episode", "k": 0}, BadInput),
    ],
)  # fmt: skip
def test_what_is_no_page_is_refused(memory: graphsvc.Memory, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        memory.page(**options)


def test_records_of_any_kind_are_read_at_once_and_only_those_that_are_seen(memory: graphsvc.Memory) -> None:
    filled(memory, [1.0])
    memory.skills.create(name="k", id="k", agent="other")
    named = [("skill", "other", "k"), ("episode", "default", "e0"), ("episode", "default", "none"), ("skill", "other", "k")]
    assert [one and one.id for one in memory.get_many(named)] == ["k", "e0", None, "k"]
    assert [one and one.id for one in memory.as_agent("default").get_many(named)] == [None, "e0", None, None]
    assert memory.get_many([]) == []
    for wrong in ("episode", [("episode", "e0")], [("nothing", "default", "x")], [("episode", "default", 1)]):
        with pytest.raises(BadInput):
            memory.get_many(wrong)  # type: ignore[arg-type]


def test_edges_at_many_nodes_are_those_at_each(memory: graphsvc.Memory) -> None:
    filled(memory, [1.0, 0.0])
    for n in range(3):
        memory.skills.create(name=f"k{n}", id=f"k{n}")
        memory.skills.record_outcome(f"k{n}", success=True, episode=f"e{n % 2}")
    memory.causal.variable("gain")
    memory.causal.add("skill:k0", "gain", 0.1, id="c0")
    memory.causal.add("skill:k0", "gain", -0.7, id="c1")
    memory.wait()
    found = memory.graph.joints([("Episode", "e0", "default"), ("Episode", "none", "default"), ("Episode", "e1")], rel="USED")
    assert [[joint.node.id for joint in joints] for joints in found] == [["k0", "k2"], [], ["k1"]]
    assert {joint.direction for joints in found for joint in joints} == {"out"}
    assert found[0][0].values["uses"] == 1
    named = [("skill", "default", "k0"), ("skill", "default", "k1"), ("variable", "default", "gain")]
    assert [[edge.id for edge in edges] for edges in memory.causal.around(named)] == [["c1", "c0"], [], []]
    assert memory.causal.around(named, direction="in")[2] == memory.causal.causes("gain")
    assert memory.as_agent("other").causal.around(named) == [[], [], []]
    assert memory.as_agent("other").graph.joints([("Episode", "e0", "default")]) == [[]]
    with pytest.raises(BadInput):
        memory.causal.around(["gain"])  # type: ignore[list-item]


def test_rows_of_a_table_are_paged_by_key(memory: graphsvc.Memory) -> None:
    memory.graph.define("Person", {"name": str, "age": int}, key="name")
    memory.graph.add("Person", [{"name": f"p{n}", "age": n} for n in range(7)])
    page = memory.graph.rows("Person", {"age": {"ge": 2}}, 3)
    assert ([row["name"] for row in page.items], page.total, page.more_after) == (["p2", "p3", "p4"], 5, True)
    then = memory.graph.rows("Person", {"age": {"ge": 2}}, 3, after=page.cursors[-1])
    assert ([row["name"] for row in then.items], then.more_after, then.more_before) == (["p5", "p6"], False, True)
    assert [row["age"] for row in memory.graph.rows("Person", keys=["p6", "none", "p1"]).items] == [1, 6]
    assert [row["name"] for row in memory.graph.rows("Person", k=2, last=True).items] == ["p5", "p6"]
    with pytest.raises(BadInput):
        memory.graph.rows("Episode")
    with pytest.raises((NotFound, UnknownField)):
        memory.graph.rows("None")
    with pytest.raises(NeedsUnbound):
        memory.as_agent("a").graph.rows("Person")


def test_they_are_awaited_and_commanded_too(path: Path) -> None:
    async def use() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="t", id="e", reward=1.0)
            await memory.causal.variable("gain")
            await memory.causal.add("episode:e", "gain", 0.5, id="c")
            await memory.graph.define("Person", {"name": str}, key="name")
            await memory.graph.add("Person", {"name": "Ada"})
            assert (await memory.page("episode")).total == 1
            assert len(await memory.get_many([("episode", "default", "e")])) == 1
            assert len(await memory.causal.around([("episode", "default", "e")])) == 1
            assert (await memory.graph.rows("Person")).total == 1
            await memory.wait()
            assert len(await memory.graph.joints([("Episode", "e")])) == 1

    asyncio.run(use())

    def told(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--memory", str(path), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert told("page", "episode", "--order", "reward")["items"][0]["id"] == "e"
    assert told("get", "episode:e", "skill:none")["records"][1] is None
    assert told("causal", "around", "episode:e")["edges"][0][0]["id"] == "c"
    assert told("graph", "joints", "Episode:e")["joints"][0][0]["rel"] == "ATTEMPTS"
    assert told("graph", "rows", "Person")["items"] == [{"name": "Ada"}]
