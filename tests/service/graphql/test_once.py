"""Every mutation is done once under a client's id, however often it is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from graphsvc.errors import Conflict, NotFound, Overloaded
from graphsvc.service.access import Caller
from graphsvc.service.graphql.fields import MAKING
from graphsvc.service.graphql.once import Once
from graphsvc.service.graphql.verbs import MUTATIONS
from graphsvc.service.operations import Role
from graphsvc.service.repeats import CALLS

from .conftest import Asked

CALLER = Caller("k", Role.WRITER)


def inputs(tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each mutation with an input that it takes, in an order in which each finds what it needs."""
    return [
        ("storeEpisode", {"session": "s", "task": "t"}),
        ("storeEpisodes", {"episodes": [{"session": "s", "task": "t", "id": "e1"}, {"session": "s", "task": "u"}]}),
        ("amendEpisode", {"id": "e1", "reward": 0.5}),
        ("createSkill", {"name": "made"}),
        ("createSkills", {"skills": [{"name": "a", "id": "a"}, {"name": "b", "id": "b"}, {"name": "c"}]}),
        ("reviseSkill", {"id": "a", "code": "x"}),
        ("recordOutcome", {"skill": "a", "success": True, "episode": "e1"}),
        ("linkSkills", {"source": "a", "target": "b", "type": "PREREQUISITE"}),
        ("unlinkSkills", {"source": "a", "target": "b", "type": "PREREQUISITE"}),
        ("upsertEntity", {"kind": "file", "name": "f", "id": "f"}),
        ("upsertEntities", {"entities": [{"kind": "file", "name": "g"}]}),
        ("linkEpisode", {"episode": "e1", "target": "f", "type": "ABOUT"}),
        ("unlinkEpisode", {"episode": "e1", "target": "f", "type": "ABOUT"}),
        ("definePredicate", {"name": "is", "single": True}),
        ("addFact", {"subject": "f", "predicate": "is", "object": "old", "id": "f1"}),
        ("addFacts", {"facts": [{"subject": "f", "predicate": "has", "object": "x"}]}),
        ("correctFact", {"id": "f1", "object": "new"}),
        ("addFact", {"subject": "f", "predicate": "was", "object": "old", "id": "f2"}),
        ("retractFact", {"id": "f2"}),
        ("defineVariable", {"name": "v"}),
        ("addCausalEdge", {"cause": "skill:a", "effect": "v", "uplift": 0.5, "id": "c1"}),
        ("addCausalEdges", {"edges": [{"cause": "skill:b", "effect": "v", "uplift": 0.5, "id": "c2"}]}),
        ("expireCausalEdge", {"id": "c1"}),
        ("deleteCausalEdges", {"id": ["c1", "c2"]}),
        ("deleteVariables", {"name": "v"}),
        ("giveFeedback", {"answer": "an-answer", "used": ["e1"]}),
        ("defineTable", {"name": "Person", "columns": {"name": "STRING", "age": "INT64"}, "key": "name"}),
        ("defineTable", {"name": "KNOWS", "columns": {}, "source": "Person", "target": "Person"}),
        ("addRows", {"name": "Person", "rows": [{"name": "Ada", "age": 1}, {"name": "Eve", "age": 2}]}),
        ("addRows", {"name": "KNOWS", "rows": [{"source": "Ada", "target": "Eve"}]}),
        ("upsertRows", {"name": "Person", "rows": [{"name": "Bob", "age": 3}]}),
        ("updateRows", {"name": "Person", "rows": [{"name": "Bob", "age": 4}]}),
        ("writeCypher", {"query": "CREATE (:Person {name: 'Kim', age: 5})"}),
        ("addNetworkx", {"graph": {"nodes": [{"id": "n", "age": 1}], "links": []}, "nodes": "Person", "edges": "KNOWS", "key": "name"}),
        ("writeBackScores", {"column": "age", "scores": [{"node": {"table": "Person", "key": "Ada"}, "value": 7}]}),
        ("saveGraph", {"path": str(tmp_path / "g.graphml"), "tables": ["Person"]}),
        ("loadGraph", {"path": str(tmp_path / "p.csv"), "table": "Person"}),
        ("deleteRows", {"name": "Person", "keys": ["Kim"]}),
        ("dropTable", {"name": "KNOWS"}),
        ("consolidateSkills", {}),
        ("deleteSkills", {"id": ["b"]}),
        ("pruneSkills", {"minUses": 1}),
        ("pruneEpisodes", {"minReward": 0.1}),
        ("deleteEntities", {"id": ["f"]}),
        ("snapshot", {"path": str(tmp_path / "snapshot")}),
        ("trim", {"before": 1, "dryRun": True}),
        ("export", {"path": str(tmp_path / "export")}),
        ("deleteEpisodes", {"id": ["e1"]}),
        ("forget", {"ids": ["e1"]}),
        ("repair", {}),
        ("warm", {}),
        ("reembed", {"embedder": "hashing"}),
        ("interrupt", {}),
    ]


def test_every_mutation_is_done_once_under_a_clients_id(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,age\nZoe,9\n")
    asked_for = inputs(tmp_path)
    assert {name for name, _ in asked_for} == {name for name, _ in MUTATIONS.values()}
    drawn = {MUTATIONS[name][0] for name in MAKING}
    for number, (name, input) in enumerate(asked_for):
        title = name[0].upper() + name[1:]
        query = f"mutation($input: {title}Input!) {{{name}(input: $input) {{__typename ... on {title}Payload {{clientMutationId}} ... on Error {{what where}}}}}}"
        given = {**input, "clientMutationId": f"{number:04}-of-this-client"}
        first = asked(query, input=given)
        assert first[name]["__typename"] == f"{title}Payload", (name, first)
        head = asked.run(asked.memory.status())["head"]
        assert asked(query, input=given) == first, name
        assert asked.calls == [] or name in drawn, name
        assert asked.run(asked.memory.status())["head"] == head, name


def test_other_content_under_an_id_is_a_conflict_and_another_callers_id_is_theirs(asked: Asked) -> None:
    query = "mutation($input: GiveFeedbackInput!) {giveFeedback(input: $input) {__typename}}"
    asked("mutation {storeEpisode(input: {session: \"s\", task: \"t\", id: \"e\"}) {__typename}}")
    given = {"answer": "an-answer", "used": ["e"], "clientMutationId": "the-id-of-a-client"}
    assert asked(query, input=given)["giveFeedback"]["__typename"] == "GiveFeedbackPayload"
    other = {**given, "answer": "another"}
    assert asked(query, input=other)["giveFeedback"]["__typename"] == "Conflict"
    assert asked(query, CALLER, input=other)["giveFeedback"]["__typename"] == "GiveFeedbackPayload"


def test_who_asks_again_while_it_is_done_or_went_away_gets_what_came_of_it() -> None:
    async def main() -> None:
        once, began, go = Once(), [], asyncio.Event()

        async def work() -> int:
            began.append(1)
            await go.wait()
            return 7

        def ask() -> asyncio.Task[Any]:
            return asyncio.ensure_future(once.do((CALLER, "m", "x"), {"a": 1}, None, work))

        gone, other = ask(), ask()
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        go.set()
        assert (await other, await ask(), len(began)) == (7, 7, 1)
        with pytest.raises(Conflict):
            await once.do((CALLER, "m", "x"), {"a": 2}, None, work)

    asyncio.run(main())


def test_what_wasnt_done_for_want_of_room_is_tried_again_and_what_cant_be_done_isnt() -> None:
    async def main() -> None:
        once, raised = Once(), iter([Overloaded("full"), NotFound("none"), AssertionError("asked a third time")])

        async def work() -> None:
            raise next(raised)

        for error in (Overloaded, NotFound, NotFound):
            with pytest.raises(error):
                await once.do((CALLER, "m", "x"), {}, None, work)

    asyncio.run(main())


def test_what_is_kept_is_bounded() -> None:
    async def main() -> None:
        once = Once()

        async def work() -> str:
            return "x"

        async def long() -> str:
            await asyncio.sleep(60)
            return "x"

        first = asyncio.ensure_future(once.do((CALLER, "m", "long"), 0, None, long))
        await asyncio.sleep(0)
        for number in range(CALLS + 10):
            await once.do((CALLER, "m", str(number)), number, None, work)
        await asyncio.sleep(0)
        kept = once._repeats._sent
        assert len(kept) == CALLS, "what isn't done yet keeps nothing else from being forgotten"
        assert (CALLER, "m", "long") in kept
        assert (CALLER, "m", "0") not in kept
        assert once._repeats._size == sum(sent.size for sent in kept.values())
        kept[CALLER, "m", "long"].task.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (CALLER, "m", "long") not in once._repeats

    asyncio.run(main())
