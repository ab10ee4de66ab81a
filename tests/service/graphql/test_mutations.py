"""Mutations: what is written, once however often it is sent, and errors that a client can act on."""

from __future__ import annotations

import pytest

from graphsvc.service.access import Caller
from graphsvc.service.operations import Role

from .conftest import Asked

STORE = """mutation($input: StoreEpisodeInput!) {
  storeEpisode(input: $input) {
    __typename
    ... on StoreEpisodePayload {clientMutationId episode {id recordId agent task reward tags metadata}}
    ... on Error {code what where hint retryable}
  }
}"""


def test_a_stored_episode_comes_back_as_it_is(asked: Asked) -> None:
    given = {"session": "s", "task": "t", "reward": 0.5, "tags": ["b", "a"], "metadata": {"a": [1, {"b": None}]}}
    made = asked(STORE, input={**given, "id": "e", "wait": "SEARCHABLE", "clientMutationId": "7"})["storeEpisode"]
    assert made["clientMutationId"] == "7"
    episode = made["episode"]
    assert (episode["recordId"], episode["agent"], episode["tags"]) == ("e", "default", ["a", "b"])
    assert episode["metadata"] == given["metadata"]
    assert asked.run(asked.memory.episodes.get("e")).reward == 0.5


def test_the_same_id_and_content_is_one_write_and_other_content_a_conflict(asked: Asked) -> None:
    once = asked(STORE, input={"session": "s", "task": "t", "id": "e"})
    head = asked.run(asked.memory.status())["head"]
    assert asked(STORE, input={"session": "s", "task": "t", "id": "e"}) == once
    assert asked.run(asked.memory.status())["head"] == head
    other = asked(STORE, input={"session": "s", "task": "other", "id": "e"})["storeEpisode"]
    assert (other["__typename"], other["code"], other["where"]) == ("Conflict", "conflict", "id")
    asked.run(asked.memory.episodes.delete("e"))
    assert asked(STORE, input={"session": "s", "task": "t", "id": "e"})["storeEpisode"]["__typename"] == "Gone"


def test_a_client_mutation_id_like_a_uuid_makes_a_write_one(asked: Asked) -> None:
    given = {"session": "s", "task": "t", "clientMutationId": "01a21516-ada1-7a7a-b605-341fa9cd50a6"}
    once = asked(STORE, input=given)["storeEpisode"]
    assert asked(STORE, input=given)["storeEpisode"] == once
    assert asked.run(asked.memory.episodes.count()) == 1
    changed = asked(STORE, input={**given, "task": "other"})["storeEpisode"]
    assert changed["__typename"] == "Conflict"
    for _ in range(2):  # short ones are counters of clients that start at one again
        asked(STORE, input={**given, "clientMutationId": "1"})
    assert asked.run(asked.memory.episodes.count()) == 3


@pytest.mark.parametrize(
    ("mutation", "type", "code"),
    [
        ('amendEpisode(input: {id: "none", reward: 1})', "NotFound", "not_found"),
        ('amendEpisode(input: {id: "e"})', "BadInput", "bad_input"),
        ('deleteEpisodes(input: {id: ["none"]})', "NotFound", "not_found"),
        ('createSkill(input: {name: "a", prerequisites: ["none"]})', "NotFound", "not_found"),
        ('linkSkills(input: {source: "a", target: "a", type: PREREQUISITE})', "NotFound", "not_found"),
        ('addRows(input: {name: "None", rows: []})', "NotFound", "not_found"),
        ('writeCypher(input: {query: "CREATE (:Episode {key: \'x\'})"})', "NotAllowed", "owned_table"),
        ('writeCypher(input: {query: "no cypher"})', "NotAllowed", "not_allowed"),
        ('trim(input: {before: 1000000})', "NotRetained", "not_retained"),
        ('addCausalEdge(input: {cause: "none", effect: "none", uplift: 1})', "NotFound", "not_found"),
        ('storeEpisodes(input: {episodes: [{session: "s", task: "t", at: "yesterday"}]})', "BadInput", "bad_input"),
    ],
)
def test_errors_that_a_client_can_act_on_are_results(asked: Asked, mutation: str, type: str, code: str) -> None:
    asked(STORE, input={"session": "s", "task": "t", "id": "e"})
    found = asked(f"mutation {{done: {mutation} {{__typename ... on Error {{code what where hint retryable}}}}}}")
    assert (found["done"]["__typename"], found["done"]["code"]) == (type, code), found
    assert found["done"]["what"]


def test_two_namespaces_with_one_id_are_an_ambiguity_that_the_global_id_resolves(asked: Asked) -> None:
    for agent in ("a", "b"):
        asked(STORE, input={"session": "s", "task": "t", "id": "e", "agent": agent})
    query = '{episode(id: "e") {__typename ... on Error {code hint}}}'
    assert asked(query)["episode"]["__typename"] == "Ambiguous"
    whole = asked('{episode(id: "e", agent: "b") {... on Episode {id}}}')["episode"]["id"]
    amend = """mutation($id: ID!) {amendEpisode(input: {id: $id, reward: 1, critique: null}) {
      ... on AmendEpisodePayload {episode {agent reward}} ... on Error {code what}}}"""
    assert asked(amend, id=whole)["amendEpisode"]["episode"] == {"agent": "b", "reward": 1.0}
    delete = "mutation($id: ID!) {deleteEpisodes(input: {id: [$id]}) {... on DeleteEpisodesPayload {count}}}"
    assert asked(delete, id=whole)["deleteEpisodes"]["count"] == 1
    assert asked.run(asked.memory.episodes.get("e")).agent == "a"


def test_every_kind_of_record_can_be_written_and_read_back(asked: Asked) -> None:
    done = asked(
        """mutation {
          createSkills(input: {skills: [{name: "a", id: "a"}, {name: "b", id: "b"}],
                               links: [{source: "b", target: "a", type: PREREQUISITE}]}) {
            ... on CreateSkillsPayload {skills {recordId version}} ... on Error {what}}
          storeEpisode(input: {session: "s", task: "t", id: "e"}) {__typename}
          recordOutcome(input: {skill: "a", success: true, reward: 0.5, episode: "e"}) {
            ... on RecordOutcomePayload {skill {uses reward successRate}}}
          reviseSkill(input: {id: "a", code: "x"}) {... on ReviseSkillPayload {skill {version}}}
          upsertEntity(input: {kind: "file", name: "f", id: "f"}) {... on UpsertEntityPayload {entity {recordId}}}
          linkEpisode(input: {episode: "e", target: "f", type: ABOUT}) {... on LinkEpisodePayload {changed}}
          definePredicate(input: {name: "is", single: true}) {... on DefinePredicatePayload {predicate {single}}}
          addFact(input: {subject: "f", predicate: "is", object: "long", id: "x", episodes: ["e"]}) {
            ... on AddFactPayload {fact {object}} ... on Error {what}}
          correctFact(input: {id: "x", object: "short"}) {... on CorrectFactPayload {fact {object corrects}}}
          defineVariable(input: {name: "gain", isReward: true}) {... on DefineVariablePayload {variable {isReward}}}
          addCausalEdge(input: {cause: "skill:a", effect: "gain", uplift: 0.2, interval: [0.1, 0.3]}) {
            ... on AddCausalEdgePayload {causalEdge {low high causeNode {recordId}}} ... on Error {what}}
          giveFeedback(input: {answer: "t", used: {e: 1.0}}) {... on GiveFeedbackPayload {feedback {value}}}
        }"""
    )
    assert done["createSkills"]["skills"][1] == {"recordId": "b", "version": 1}
    assert done["recordOutcome"]["skill"] == {"uses": 1, "reward": 0.5, "successRate": 1.0}
    assert done["reviseSkill"]["skill"]["version"] == 2
    assert done["linkEpisode"]["changed"] is True
    assert done["definePredicate"]["predicate"]["single"] is True
    assert done["correctFact"]["fact"] == {"object": "short", "corrects": "x"}
    assert done["addCausalEdge"]["causalEdge"] == {"low": 0.1, "high": 0.3, "causeNode": {"recordId": "a"}}
    assert done["giveFeedback"]["feedback"] == [{"value": 1.0}]
    read = asked(
        """{
          skill(id: "b") {... on Skill {prerequisites {nodes {recordId} edges {values}}}}
          facts {nodes {subject object about {nodes {recordId}} evidence {nodes {recordId}}} totalCount}
          currentFacts(subject: "f") {object}
          factBeliefs(subject: "f") {fact {object} knownTo}
          variables {nodes {recordId causes {nodes {uplift}}}}
          predicates {name single}
          skillVersions(id: "a") {version code}
          skillPlan(id: "b") {recordId}
          feedbacks {record value}
          episodeHistory(id: "e") {verb what}
        }"""
    )
    assert read["skill"]["prerequisites"]["nodes"] == [{"recordId": "a"}]
    assert read["facts"]["totalCount"] == 1
    assert read["facts"]["nodes"][0]["about"]["nodes"] == [{"recordId": "f"}]
    assert read["variables"]["nodes"] == [{"recordId": "gain", "causes": {"nodes": [{"uplift": 0.2}]}}]
    assert [one["recordId"] for one in read["skillPlan"]] == ["a", "b"]
    assert [one["version"] for one in read["skillVersions"]] == [1, 2]


def test_administration_is_in_it_and_takes_the_role(asked: Asked) -> None:
    asked(STORE, input={"session": "s", "task": "secret", "id": "e"})
    forget = 'mutation {forget(input: {ids: ["e"]}) {__typename ... on ForgetPayload {report {forgotten {id}}} ... on Error {code}}}'
    refused = asked(forget, caller=Caller("w", Role.WRITER))["forget"]
    assert (refused["__typename"], refused["code"]) == ("Forbidden", "forbidden")
    assert asked(forget)["forget"]["report"]["forgotten"] == [{"id": "e"}]
    assert asked("{verify {ok} size snapshots status stats}")["verify"]["ok"] is True
