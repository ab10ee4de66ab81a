"""Tables of one's own appear as types by themselves, and go when they go."""

from __future__ import annotations

import pytest
from graphql import validate_schema

from .conftest import Asked


@pytest.fixture
def people(asked: Asked) -> Asked:
    graph = asked.memory.graph

    async def fill() -> None:
        columns = {"name": "STRING", "age": "INT64", "id": "STRING", "born": "DATE", "tags": "STRING[]", "seen": "TIMESTAMP"}
        await graph.define("Person", columns, key="name")
        await graph.define("KNOWS", {"since": "INT64"}, source="Person", target="Person")
        await graph.define("TOOK_PART", {}, source="Person", target="Episode")
        rows = [{"name": f"p{n:02}", "age": n, "id": "x", "born": "2000-01-01", "tags": ["a"],
                 "seen": "2026-01-01T00:00:00Z"} for n in range(12)]  # fmt: skip
        await graph.add("Person", rows)
        await graph.add("KNOWS", [{"source": "p00", "target": f"p{n:02}", "since": n} for n in range(1, 12)])
        episode = await asked.memory.episodes.store(session="s", task="t", id="e")
        await asked.memory.wait()
        await graph.add("TOOK_PART", [{"source": "p00", "target": episode.key}])

    asked.run(fill())
    return asked


def test_rows_are_had_by_key_filter_and_page(people: Asked) -> None:
    page = """query($after: String, $filter: PersonFilter) {tables {Person(first: 5, after: $after, filter: $filter) {
      totalCount pageInfo {hasNextPage endCursor} nodes {name age}}}}"""
    names, after = [], None
    while True:
        found = people(page, after=after)["tables"]["Person"]
        names += [row["name"] for row in found["nodes"]]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert names == [f"p{n:02}" for n in range(12)]
    found = people(page, filter={"or": [{"age": {"ge": 10}}, {"name": {"in": ["p03"]}}], "id_2": {"eq": "x"}})
    assert [row["name"] for row in found["tables"]["Person"]["nodes"]] == ["p03", "p10", "p11"]
    assert found["tables"]["Person"]["totalCount"] == 3
    one = people('{tables {a: PersonByKey(key: "p01") {name id_2 born tags seen} b: PersonByKey(key: "none") {name}}}')
    assert one["tables"]["a"] == {
        "name": "p01", "id_2": "x", "born": "2000-01-01", "tags": ["a"], "seen": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert one["tables"]["b"] is None


def test_edges_are_pages_at_the_nodes_that_they_join(people: Asked) -> None:
    found = people(
        """{tables {PersonByKey(key: "p00") {
          KNOWS(first: 2) {totalCount pageInfo {endCursor} edges {values {since} node {name KNOWS_in {totalCount}}}}
          TOOK_PART {nodes {task TOOK_PART_in {nodes {name}}}}
        }}}"""
    )["tables"]["PersonByKey"]
    assert found["KNOWS"]["totalCount"] == 11
    assert [edge["values"]["since"] for edge in found["KNOWS"]["edges"]] == [1, 2]
    assert found["KNOWS"]["edges"][0]["node"] == {"name": "p01", "KNOWS_in": {"totalCount": 1}}
    assert found["TOOK_PART"]["nodes"] == [{"task": "t", "TOOK_PART_in": {"nodes": [{"name": "p00"}]}}]


def test_edges_of_all_rows_of_a_page_are_read_at_once(people: Asked) -> None:
    people("{tables {Person(first: 12) {nodes {name KNOWS {nodes {name KNOWS_in {nodes {age}}}}}}}}")
    assert len(people.calls) == 5, people.calls


def test_a_row_has_a_global_id(people: Asked) -> None:
    id = people('{tables {PersonByKey(key: "p07") {id}}}')["tables"]["PersonByKey"]["id"]
    query = "query($id: ID!) {node(id: $id) {__typename id ... on Person {age}}}"
    assert people(query, id=id)["node"] == {"__typename": "Person", "id": id, "age": 7}


def test_the_schema_follows_the_tables(people: Asked) -> None:
    schemas, graph = people.schemas, people.memory.graph
    from .conftest import OWNER

    before = schemas.of(OWNER)
    assert schemas.of(OWNER) is before
    people.run(graph.add("Person", [{"name": "new"}]))
    assert schemas.of(OWNER) is before, "rows are no change of the schema"
    people.run(graph.define("City", {"name": "STRING"}, key="name"))
    after = schemas.of(OWNER)
    assert after is not before
    assert validate_schema(after) == []
    assert after.get_type("City") is not None
    people.run(graph.drop("City"))
    assert schemas.of(OWNER).get_type("City") is None


def test_names_that_graphql_does_not_allow_or_has_already_are_changed(asked: Asked) -> None:
    graph = asked.memory.graph

    async def fill() -> None:
        for name in ("my table", "my-table", "größe", "Query", "Recalled", "PersonFilter", "Person", "日本"):
            await graph.define(name, {"key": "STRING", "a b": "INT64", "a-b": "INT64"}, key="key")
            await graph.add(name, [{"key": "k", "a b": 1, "a-b": 2}])

    asked.run(fill())
    found = asked("{tables {my_table {nodes {key a_b a_b_2}} my_table_2ByKey(key: \"k\") {a_b_2} Query_2 {totalCount}}}")
    assert sorted(found["tables"]["my_table"]["nodes"][0].values(), key=str) == [1, 2, "k"]
    assert found["tables"]["Query_2"]["totalCount"] == 1
