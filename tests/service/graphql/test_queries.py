"""Queries: pages, filters, walks from one record to others, and how few calls they take."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from .conftest import Asked

STORE = "mutation($input: StoreEpisodesInput!) {storeEpisodes(input: $input) {... on StoreEpisodesPayload {episodes {id}} ... on Error {code}}}"


def stored(asked: Asked, count: int) -> list[str]:
    episodes = [
        {"id": f"e{number:03}", "session": f"s{number % 3}", "task": f"task {number}", "reward": number / count,
         "success": number % 2 == 0, "at": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
         "tags": ["even"] if number % 2 == 0 else [], "metadata": {"place": {"n": number}}}
        for number in range(count)
    ]  # fmt: skip
    made = asked(STORE, input={"episodes": episodes})["storeEpisodes"]["episodes"]
    return [episode["id"] for episode in made]


def linked(asked: Asked, count: int) -> None:
    """Episodes that used skills, skills that make a difference, entities and facts that they are about."""
    stored(asked, count)
    memory = asked.memory

    async def link() -> None:
        await memory.skills.create_many([{"name": f"skill {n}", "id": f"k{n}"} for n in range(10)])
        await memory.causal.variable("gain", is_reward=True)
        for n in range(10):
            await memory.causal.add(f"skill:k{n}", "gain", n / 10, evidence=[f"e{n:03}"])
        await memory.entities.upsert(kind="file", name="a.py", id="a.py")
        for n in range(count):
            await memory.skills.record_outcome(f"k{n % 10}", success=True, episode=f"e{n:03}")
            await memory.episodes.link(f"e{n:03}", "a.py", "about")
        await memory.facts.add("a.py", "is", "long", episodes=["e001"])
        await memory.wait()

    asked.run(link())


def pages(asked: Asked, query: str, step: int, **variables: Any) -> list[list[str]]:
    """All pages, one after another, as the own ids on each."""
    found, after = [], None
    while True:
        page = asked(query, first=step, after=after, **variables)["episodes"]
        found.append([node["recordId"] for node in page["nodes"]])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


PAGE = """query($first: Int, $after: String, $filter: EpisodeFilter, $order: EpisodeOrder) {
  episodes(first: $first, after: $after, filter: $filter, order: $order) {
    totalCount pageInfo {hasNextPage endCursor} nodes {recordId}
  }
}"""


def test_pages_show_each_once_in_order_and_say_when_they_end(asked: Asked) -> None:
    stored(asked, 25)
    every = [f"e{number:03}" for number in range(25)]
    for step in (1, 7, 24, 25, 26):
        assert list(itertools.chain(*pages(asked, PAGE, step))) == every[::-1]
        assert list(itertools.chain(*pages(asked, PAGE, step, order={"by": "REWARD", "descending": False}))) == every


def test_a_page_goes_on_where_the_one_before_ended_though_records_come_and_go(asked: Asked) -> None:
    stored(asked, 10)
    first = asked(PAGE, first=4)["episodes"]
    assert [node["recordId"] for node in first["nodes"]] == ["e009", "e008", "e007", "e006"]
    asked.run(asked.memory.episodes.delete("e006"))
    asked.run(asked.memory.episodes.store(session="s", task="new", id="new"))
    then = asked(PAGE, first=4, after=first["pageInfo"]["endCursor"])["episodes"]
    assert [node["recordId"] for node in then["nodes"]] == ["e005", "e004", "e003", "e002"]


def test_last_and_before_page_backwards(asked: Asked) -> None:
    stored(asked, 10)
    query = """query($before: String) {episodes(last: 4, before: $before) {
        pageInfo {hasNextPage hasPreviousPage startCursor} nodes {recordId}}}"""
    last = asked(query)["episodes"]
    assert [node["recordId"] for node in last["nodes"]] == ["e003", "e002", "e001", "e000"]
    assert last["pageInfo"]["hasNextPage"] is False
    assert last["pageInfo"]["hasPreviousPage"] is True
    before = asked(query, before=last["pageInfo"]["startCursor"])["episodes"]
    assert [node["recordId"] for node in before["nodes"]] == ["e007", "e006", "e005", "e004"]
    assert before["pageInfo"]["hasNextPage"] is True


@pytest.mark.parametrize(
    ("filter", "passing"),
    [
        ({"success": {"eq": True}, "reward": {"ge": 0.5}}, [6, 8, 10]),
        ({"or": [{"recordId": {"eq": "e001"}}, {"not": {"reward": {"lt": 0.8}}}]}, [1, 10, 11]),
        ({"tags": {"contains": "even"}, "session": {"in": ["s0"]}}, [0, 6]),
        ({"metadata": [{"path": "place.n", "ge": 3, "lt": 5}]}, [3, 4]),
        ({"at": {"lt": "2026-01-01T00:00:02Z"}}, [0, 1]),
        ({"critique": {"exists": True}}, []),
        ({"task": {"contains": "task 1"}, "and": [{"reward": {"ne": 10 / 12}}]}, [1, 11]),
    ],
)
def test_filters_are_those_of_the_embedded_interface(asked: Asked, filter: Any, passing: list[int]) -> None:
    stored(asked, 12)
    page = asked(PAGE, first=100, filter=filter, order={"by": "AT", "descending": False})["episodes"]
    assert [node["recordId"] for node in page["nodes"]] == [f"e{number:03}" for number in passing]
    assert page["totalCount"] == len(passing)


WALK = """query($first: Int) {
  episodes(first: $first) {
    nodes {
      recordId
      next {recordId}
      about {nodes {name facts {nodes {predicate evidence {nodes {recordId}}}}}}
      skills(first: 3) {
        totalCount
        edges {values node {name effects {nodes {uplift effectNode {recordId} evidenceEpisodes {recordId}}}}}
      }
    }
  }
}"""


def test_one_query_walks_from_episodes_to_skills_and_causes(asked: Asked) -> None:
    linked(asked, 12)
    nodes = asked(WALK, first=12)["episodes"]["nodes"]
    by_id = {node["recordId"]: node for node in nodes}
    one = by_id["e004"]["skills"]
    assert one["totalCount"] == 1
    assert one["edges"][0]["values"]["uses"] == 1
    assert one["edges"][0]["node"]["name"] == "skill 4"
    (effect,) = one["edges"][0]["node"]["effects"]["nodes"]
    assert effect == {
        "uplift": 0.4, "effectNode": {"recordId": "gain"}, "evidenceEpisodes": [{"recordId": "e004"}],
    }  # fmt: skip
    assert by_id["e004"]["next"] == {"recordId": "e007"}
    assert by_id["e011"]["next"] is None
    (entity,) = by_id["e000"]["about"]["nodes"]
    assert entity["name"] == "a.py"
    assert entity["facts"]["nodes"] == [{"predicate": "is", "evidence": {"nodes": [{"recordId": "e001"}]}}]


def test_a_nested_query_takes_as_few_calls_for_a_hundred_episodes_as_for_two(asked: Asked) -> None:
    linked(asked, 100)
    taken = []
    for first in (2, 100):
        assert len(asked(WALK, first=first)["episodes"]["nodes"]) == first
        taken.append(list(asked.calls))
    assert set(taken[0]) == set(taken[1])
    assert len(taken[1]) <= 14, taken[1]


def test_a_nested_query_takes_as_few_statements_for_a_hundred_episodes_as_for_two(asked: Asked) -> None:
    linked(asked, 100)
    log = asked.memory._memory._opened.log
    statements: list[str] = []
    counts = []
    for first in (2, 100):
        connections = []
        while True:  # every connection that the pool holds now tells of its statements
            connection = log.pool.connection()
            opened = connection.__enter__()
            connections.append((connection, opened))
            opened.set_trace_callback(statements.append)
            if len(connections) >= 4:
                break
        for connection, _ in connections:
            connection.__exit__(None, None, None)
        statements.clear()
        asked(WALK, first=first)
        counts.append(len(statements))
    assert 0 < counts[1] <= counts[0] + 4, counts


def test_global_ids_bring_back_what_they_stand_for(asked: Asked) -> None:
    ids = stored(asked, 3)
    linked_id = asked('{episode(id: "e001") {... on Episode {id}}}')["episode"]["id"]
    assert linked_id == ids[1]
    query = "query($ids: [ID!]!) {nodes(ids: $ids) {id __typename ... on Episode {recordId}}}"
    found = asked(query, ids=[ids[2], "nonsense", "g:bm9uc2Vuc2U", ids[0]])["nodes"]
    assert [node and node["recordId"] for node in found] == ["e002", None, None, "e000"]
    assert asked.calls == ["get_many"]
    assert asked("query($id: ID!) {episode(id: $id) {... on Episode {recordId}}}", id=ids[1])["episode"] == {
        "recordId": "e001"
    }


def test_what_retrieval_recall_and_briefings_give_is_what_the_memory_gives(asked: Asked) -> None:
    linked(asked, 20)
    memory = asked.memory
    hits = asked.run(memory.episodes.retrieve("task 7", 5))
    found = asked('{retrieve(text: "task 7", k: 5) {items {score parts record {recordId}} pending unread}}')["retrieve"]
    assert [(hit["record"]["recordId"], hit["score"], hit["parts"]) for hit in found["items"]] == [
        (hit.record.id, hit.score, hit.parts) for hit in hits
    ]
    recalled = asked.run(memory.recall("skill 3", goal="gain"))
    query = '{recall(text: "skill 3", goal: "gain") {items {kind utility uplift record {recordId} flags} weights {uplift}}}'
    found = asked(query)["recall"]
    assert [(item["kind"], item["record"]["recordId"], item["utility"]) for item in found["items"]] == [
        (item.kind, item.record.id, item.utility) for item in recalled.items
    ]
    text = asked.run(memory.brief("task 7")).text
    assert asked('{brief(task: "task 7") {text worked {text evidence}}}')["brief"]["text"] == text


def test_walks_and_paths_are_those_of_the_memory(asked: Asked) -> None:
    linked(asked, 12)
    found = asked(
        """{
          causalPaths(a: "skill:k3", b: "gain") {complete items {uplift nodes {id record {__typename}}}}
          whatIf(node: "skill:k4") {items {uplift node {id}}}
          effects(of: "skill:k5") {uplift}
          neighbours(node: {table: "Skill", key: "k1"}, rel: ["USED"]) {items {label record {recordId}}}
          shortestPath(start: {table: "Episode", key: "e001"}, end: {table: "Variable", key: "gain"}) {
            nodes {label properties} edges {label}
          }
          episodeStatistics(filter: {success: {eq: true}}) {count successes trend {days}}
        }"""
    )
    assert found["causalPaths"]["items"][0]["uplift"] == 0.3
    assert found["causalPaths"]["items"][0]["nodes"][0] == {"id": "k3", "record": {"__typename": "Skill"}}
    assert found["whatIf"]["items"] == [{"uplift": 0.4, "node": {"id": "gain"}}]
    assert found["effects"] == [{"uplift": 0.5}]
    assert [one["record"]["recordId"] for one in found["neighbours"]["items"]] == ["e001", "e011"]
    assert [edge["label"] for edge in found["shortestPath"]["edges"]] == ["USED", "CAUSES"]
    assert found["shortestPath"]["nodes"][0]["properties"]["task"] == "task 1"
    assert found["episodeStatistics"]["count"] == 6


def test_waiting_says_that_it_is_done(asked: Asked) -> None:
    assert asked("{wait(timeout: 5)}") == {"wait": True}


def test_a_key_that_is_none_is_refused(asked: Asked) -> None:
    found = asked.raw('{pagerank(start: [{node: {table: "Skill", key: {}}, value: 1}]) {name}}')
    assert found.errors[0].original_error.where == "start"
    query = 'mutation {writeBackScores(input: {column: "c", scores: [{node: {globalId: "5"}, value: 1}]}) {... on Error {where}}}'
    assert asked(query)["writeBackScores"] == {"where": "scores"}
