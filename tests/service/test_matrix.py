"""Every operation, by every role, of every reach, through the gate on a memory of two namespaces: nobody sees or
changes what isn't theirs, and nobody can tell whether it is there.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import graphsvc
from graphsvc.errors import BadInput, Forbidden, GraphsvcError, NeedsUnbound
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.access import Caller
from graphsvc.service.events import Events
from graphsvc.service.gate import Gate
from graphsvc.service.operations import OPERATIONS, Operation, Role

MARK = "quokka"
"""Stands in every text of B, and in no question."""
IDS = {"episodes": "ep", "skills": "sk", "entities": "en", "facts": "fa", "causal": "ca", "": "ep"}
LABELS = {"ep": "Episode", "sk": "Skill", "en": "Entity"}
REACHES: dict[str, tuple[str, ...] | None] = {"a": ("a",), "a and c": ("a", "c"), "all": None}


async def filled(memory: AsyncMemory) -> None:
    """The same in A, B and C, but for what B's texts say and a number after the ids, which no other has."""
    for agent in ("a", "b", "c"):
        word = MARK if agent == "b" else "wombat"
        own = memory.as_agent(agent)
        await own.episodes.store(
            session=f"s-{agent}", task=f"zebra {word}", output=word, critique=f"zebra {word}", id=f"ep-{agent}", success=True,
            reward=0.9, tags=[word],
        )  # fmt: skip
        await own.episodes.store(session=f"s-{agent}", task=f"zebra {word}", id="same", output=word)
        await own.skills.create(name=f"zebra {word}", description=word, code=word, id=f"sk-{agent}")
        await own.entities.upsert(kind="animal", name=f"zebra {word}", id=f"en-{agent}", description=word)
        await own.episodes.link(f"ep-{agent}", f"en-{agent}", "about")
        await own.facts.add(f"zebra {word}", f"is {word}", word, id=f"fa-{agent}", episodes=[f"ep-{agent}"])
        await own.causal.variable(f"va-{agent}", description=word)
        await own.causal.add(f"va-{agent}", f"skill:sk-{agent}", 0.5, id=f"ca-{agent}", mechanism=f"zebra {word}")
    await memory.wait()


@asynccontextmanager
async def gate_of(path: Path) -> AsyncIterator[Gate]:
    async with graphsvc.aopen(path, embedder="hashing") as memory:
        await filled(memory)
        yield Gate(memory)


def arguments(operation: Operation, whose: str) -> dict[str, Any]:
    """What the operation needs, with ids of a namespace."""
    group = operation.name.rpartition(".")[0]
    kind = IDS.get(group, "ep")
    id = f"{kind}-{whose}"
    node: Any = ("Episode", f"ep-{whose}") if group == "graph" else f"skill:sk-{whose}"
    known: Mapping[str, Any] = {
        "id": id, "ids": [id], "text": "zebra", "texts": ["zebra"], "task": "zebra", "number": 1, "n": 1, "of": f"va-{whose}",
        "a": f"va-{whose}", "b": node, "node": node if group == "graph" else f"va-{whose}", "nodes": [node], "start": node,
        "end": ("Skill", f"sk-{whose}"), "name": f"va-{whose}" if group == "causal" else f"zebra-{whose}",
        "query": "MATCH (n) RETURN n", "answer": "zebra", "used": [f"ep-{whose}"], "session": "s", "episode": f"ep-{whose}",
        "target": f"en-{whose}" if group == "episodes" else f"sk-{whose}", "type": "about" if group == "episodes" else "alternative",
        "source": f"sk-{whose}", "skill": f"sk-{whose}", "success": True, "kind": "animal", "subject": "zebra", "predicate": "is",
        "object": "x", "cause": f"va-{whose}", "effect": node, "uplift": 0.1, "columns": {"id": "STRING"}, "rows": [],
        "episodes": [{"session": "s", "task": "zebra"}], "skills": [{"name": f"n-{whose}"}],
        "entities": [{"kind": "animal", "name": f"n-{whose}"}], "facts": [{"subject": "s", "predicate": "p", "object": "o"}],
        "edges": [{"cause": f"va-{whose}", "effect": node, "uplift": 0.1}], "keys": [], "embedder": "hashing", "report": print,
        "path": "/nowhere", "before": 1, "after": 0, "names": [("episode", whose, f"ep-{whose}")], "table": "Episode", "graph": None, "nodes_": "N", "scores": None, "column": "x",
    }  # fmt: skip
    if operation.name == "skills.choose":
        return {"text": "zebra", "rng": 1}
    needed = inspect.signature(operation.verb).parameters
    return {
        name: known[name]
        for name, parameter in list(needed.items())[1:]
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def plain(value: Any) -> str:
    """All that an answer says."""
    if hasattr(value, "as_dicts"):
        value = value.as_dicts()
    try:
        return repr(msgspec.to_builtins(value, enc_hook=lambda each: vars(each) if hasattr(each, "__dict__") else repr(each)))
    except TypeError:  # networkx's graphs
        return repr(value)


async def outcome(gate: Gate, caller: Caller, name: str, options: dict[str, Any], **bound: Any) -> tuple[str, str]:
    """How a call ends: by an error's code and text, or by what it answers."""
    try:
        answer = await gate.call(caller, name, **options, **bound)
    except GraphsvcError as error:
        return error.code, str(error)
    return "ok", plain(answer)


def expected_to_be_forbidden(operation: Operation, caller: Caller) -> bool:
    return (
        caller.role < operation.role
        or (operation.unbound and caller.namespaces is not None)
        or (operation.files and not caller.local)
    )


def callers() -> Iterator[Caller]:
    for role, (name, reach) in itertools.product(Role, REACHES.items()):
        yield Caller(f"{role.name} of {name}", role, reach, identity="k")


STOPS_OR_LASTS = {"interrupt", "progress", "repair", "verify", "warm", "reembed", "forget", "size"}
"""Of the whole memory: tried with callers who may not; with those who may they have tests of their own."""


def test_every_operation_is_refused_to_whom_it_isnt_for(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            refused = allowed = 0
            for operation, caller in itertools.product(OPERATIONS.values(), callers()):
                options = arguments(operation, "a")
                if operation.name == "cypher.write":
                    options["write"] = True
                name = "cypher" if operation.name == "cypher.write" else operation.name
                if expected_to_be_forbidden(operation, caller):
                    code, text = await outcome(gate, caller, name, options)
                    assert code == "forbidden", (operation.name, caller.name, text)
                    refused += 1
                elif operation.role is Role.READER:
                    code, text = await outcome(gate, caller, name, options)
                    assert code not in ("forbidden", "needs_unbound"), (operation.name, caller.name, text)
                    allowed += 1
            assert refused > 300
            assert allowed > 300

    asyncio.run(main())


def test_what_has_no_namespace_needs_a_key_for_all_whatever_is_asked_for(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            bound = Caller("k", Role.ADMIN, ("a",), local=True)
            for operation in (each for each in OPERATIONS.values() if each.unbound and each.name != "cypher.write"):
                for asked in ({}, {"agent_bound": "a"}):
                    with pytest.raises(Forbidden, match="no namespace"):
                        await gate.call(bound, operation.name, **arguments(operation, "a"), **asked)
            # Behind the gate the memory refuses it again.
            with pytest.raises(NeedsUnbound):
                await gate.handle(bound).cypher("MATCH (n) RETURN n")

    asyncio.run(main())


@pytest.mark.parametrize("reach", ["a", "a and c"])
def test_no_read_tells_what_is_in_another_namespace_or_whether_it_is_there(path: Path, reach: str) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            everything = Caller("owner", Role.READER)
            caller = Caller("k", Role.READER, REACHES[reach])
            seen = 0
            for operation in OPERATIONS.values():
                if expected_to_be_forbidden(operation, caller) or operation.name == "wait":
                    continue
                theirs, nobodys = arguments(operation, "b"), arguments(operation, "x")
                seen += MARK in (await outcome(gate, everything, operation.name, theirs))[1]  # and it is kept, in caches
                got = await outcome(gate, caller, operation.name, theirs)
                assert MARK not in got[1], (operation.name, got)
                none = await outcome(gate, caller, operation.name, nobodys)
                assert without_times(got[1]) == without_times(none[1].replace("-x", "-b")), (operation.name, got, none)
                assert got[0] == none[0]
            assert seen > 25, seen  # so many would have told

    asyncio.run(main())


def without_times(text: str) -> str:
    """What is measured in each answer differs."""
    return re.sub(r"'timings': {[^}]*}", "", text)


def test_naming_another_namespace_is_refused_alike_whether_or_not_there_is_one(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            caller = Caller("k", Role.WRITER, ("a", "c"))
            for name in ("b", "never was"):
                for bound in ({"agent_bound": name}, {"agent_bound": "a", "shared_bound": [name]}):
                    with pytest.raises(Forbidden, match="not a namespace of this key"):
                        await gate.call(caller, "episodes.retrieve", "zebra", **bound)
                for operation in OPERATIONS.values():
                    takes = inspect.signature(operation.verb).parameters
                    if "agent" not in takes or expected_to_be_forbidden(operation, caller):
                        continue
                    with pytest.raises(BadInput) as caught:
                        await gate.call(caller, operation.name, **arguments(operation, "a"), agent=name)
                    assert MARK not in str(caught.value), operation.name

    asyncio.run(main())


def test_an_id_that_others_have_too_is_ones_own(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            for agent in ("a", "b", "c"):
                own = Caller(agent, Role.WRITER, (agent,))
                assert (await gate.call(own, "episodes.get", "same")).agent == agent
                assert (await gate.call(own, "graph.node", ("Episode", "same"))).key == f"{agent}/same"
            # C may read A, and finds its own first; what it writes is its own.
            both = Caller("c", Role.WRITER, ("c", "a"))
            await gate.call(both, "episodes.delete", "same")
            assert (await gate.call(Caller("a", Role.READER, ("a",)), "episodes.get", "same")).agent == "a"

    asyncio.run(main())


def test_no_write_reaches_another_namespace(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            owner, caller = Caller("owner", Role.READER), Caller("k", Role.WRITER, ("a",))
            before = await told_of_b(gate, owner)
            for operation in OPERATIONS.values():
                if operation.role is not Role.WRITER or expected_to_be_forbidden(operation, caller):
                    continue
                theirs, nobodys = arguments(operation, "b"), arguments(operation, "x")
                if operation.name in ("episodes.prune", "skills.prune", "skills.consolidate"):
                    theirs = nobodys = {"min_reward": 1.0} if operation.name == "episodes.prune" else {}
                got = await outcome(gate, caller, operation.name, theirs)
                none = await outcome(gate, caller, operation.name, nobodys)
                assert MARK not in got[1], (operation.name, got)
                assert got[0] == none[0], (operation.name, got, none)
            await gate.memory.wait()
            assert await told_of_b(gate, owner) == before

    asyncio.run(main())


async def told_of_b(gate: Gate, owner: Caller) -> list[Any]:
    """All that B has."""
    found = []
    for kind in ("episodes", "skills", "entities", "facts", "causal"):
        found.append(plain(await gate.call(owner, f"{kind}.list", agent="b")))
    found.append(plain(await gate.call(owner, "history", "ep-b", agent="b")))
    return found


def test_figures_of_the_whole_memory_are_for_keys_of_all_namespaces(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            bound = Caller("k", Role.READER, ("a",))
            for name in ("status", "stats"):
                with pytest.raises(Forbidden):
                    await gate.call(bound, name)
            with pytest.raises(Forbidden):
                await anext(Events(gate).status(bound, until_done=True))
            assert await gate.call(bound, "episodes.count") == 2
            assert (await gate.call(Caller("owner", Role.READER), "stats"))["records"]["episodes"] == 6

    asyncio.run(main())
