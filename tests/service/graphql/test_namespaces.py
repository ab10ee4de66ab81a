"""What one key may not see it can't see by ids, walks, errors or totals either."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from graphsvc.service.access import Caller
from graphsvc.service.graphql.global_ids import global_id
from graphsvc.service.graphql.http import formatted
from graphsvc.service.operations import Role

from .conftest import Asked

ANN = Caller("ann", Role.WRITER, ("a",))


@pytest.fixture
def both(asked: Asked) -> Asked:
    """Two namespaces, joined: an edge, an effect and a use lead from `a` into `b`."""
    memory = asked.memory

    async def fill() -> None:
        for agent in ("a", "b"):
            await memory.skills.create(name=f"skill of {agent}", id=f"k-{agent}", agent=agent)
            await memory.episodes.store(session="s", task=f"task of {agent}", id=f"e-{agent}", agent=agent)
            await memory.entities.upsert(kind="file", name=f"file of {agent}", id=f"f-{agent}", agent=agent)
            await memory.causal.variable(f"v-{agent}", agent=agent)
        await memory.episodes.link("e-a", "f-b", "about", agent="a")
        await memory.causal.add(("skill", "a", "k-a"), ("variable", "b", "v-b"), 0.5, agent="a")
        await memory.graph.define("Secret", {"name": "STRING"}, key="name")
        await memory.graph.add("Secret", [{"name": "of b"}])
        await memory.wait()

    asked.run(fill())
    return asked


EVERYTHING = """{
  episodes {totalCount nodes {task agent about {totalCount nodes {name}} joints {nodes {node {key properties}}}}}
  skills {totalCount nodes {name effects {totalCount nodes {effect effectNode {recordId}}}}}
  entities {totalCount nodes {name}} variables {totalCount nodes {recordId}} causalEdges {nodes {effect}}
  retrieve(text: "task") {items {record {task}}} recall(text: "skill") {items {record {recordId}}}
  searchSkills(text: "skill") {items {record {name}}} episodeStatistics {count}
}"""


def test_a_key_of_one_namespace_sees_nothing_of_another(both: Asked) -> None:
    found = both(EVERYTHING, caller=ANN)
    assert found["episodes"]["totalCount"] == found["skills"]["totalCount"] == found["variables"]["totalCount"] == 1
    assert found["episodes"]["nodes"][0]["about"] == {"totalCount": 0, "nodes": []}
    text = json.dumps(found["episodes"]) + json.dumps(found["retrieve"]) + json.dumps(found["recall"])
    assert "of b" not in text
    assert not re.search(r"\b[efkv]-b\b", text)  # whole: `e-b` may stand in a UUID


def test_a_global_id_of_another_namespace_is_as_one_of_nothing(both: Asked) -> None:
    query = "query($id: ID!) {node(id: $id) {id}}"
    ids = [global_id("episode", "b", "e-b"), global_id("episode", "b", "none"), global_id("episode", "a", "none"),
           global_id("table:Secret", "", "of b"), global_id("table:None", "", 1), global_id("nothing", "a", "x")]  # fmt: skip
    for id in ids:
        assert both(query, caller=ANN, id=id) == {"node": None}
    assert both(query, id=ids[0])["node"] == {"id": ids[0]}


@pytest.mark.parametrize("agent", ["b", "nobody"])
def test_another_namespace_is_refused_whether_or_not_there_is_one(both: Asked, agent: str) -> None:
    found: list[Any] = []
    for query in (
        f'{{episode(id: "e-b", agent: "{agent}") {{__typename ... on Error {{code}}}}}}',
        f'mutation {{storeEpisode(input: {{session: "s", task: "t", agent: "{agent}"}}) '
        "{__typename ... on Error {code}}}",
    ):
        found.append(next(iter(both(query, caller=ANN).values()))["__typename"])
    assert found == ["BadInput", "BadInput"]
    listed = both.raw(f'{{episodes(agent: ["{agent}"]) {{totalCount}}}}', caller=ANN)
    assert listed.data is None
    bound = both.raw("{episodes {totalCount}}", caller=ANN, agent=agent)
    assert bound.data is None


def test_types_of_tables_are_for_callers_of_all_namespaces(both: Asked) -> None:
    assert both("{tables {Secret {nodes {name}}}}")["tables"]["Secret"]["nodes"] == [{"name": "of b"}]
    assert both.schemas.of(ANN).get_type("Secret") is None
    refused = both.raw("{tables {Secret {nodes {name}}}}", caller=ANN)
    assert "Secret" not in str(refused.errors).replace("tables {Secret", "")
    for query in ('{cypher(query: "MATCH (n:Secret) RETURN n") {rows}}', "{pagerank {rows}}", "{userTables}"):
        found = both.raw(query, caller=ANN)
        assert found.data is None
        assert formatted(found)["errors"][0]["extensions"]["code"] == "forbidden"


def test_an_owner_may_ask_as_one_namespace(both: Asked) -> None:
    assert both("{episodes {nodes {task}}}", agent="b")["episodes"]["nodes"] == [{"task": "task of b"}]
    assert both("{episodes {totalCount}}")["episodes"]["totalCount"] == 2
