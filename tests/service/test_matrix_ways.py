"""The matrix of who may what, by the ways that don't name an operation: an agent's tools, and subscriptions."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from graphql import ExecutionResult, parse, subscribe

from graphsvc.errors import GraphsvcError
from graphsvc.service.access import Caller
from graphsvc.service.gate import Gate
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.global_ids import global_id
from graphsvc.service.graphql.schema import Schemas
from graphsvc.service.mcp.tool import TOOLS, Asker
from graphsvc.service.operations import OPERATIONS, Operation, Role

from .test_matrix import callers, expected_to_be_forbidden, gate_of
from .test_mcp import CALLS

OWNER = Caller("owner", Role.ADMIN)
WATCHED = {
    "episodeStored": "subscription {episodeStored {agent}}",
    "changed": "subscription {changed {node {agent}}}",
    "lag": "subscription {lag {head}}",
    "progress": "subscription {progress {head}}",
}


def test_a_tool_is_refused_to_whom_what_it_does_isnt_for(path: Path) -> None:
    async def ends(gate: Gate, caller: Caller, name: str) -> str:
        try:
            await TOOLS[name](Asker(gate, caller), CALLS[name])
        except GraphsvcError as error:
            return error.code
        return "ok"

    async def main() -> None:
        async with gate_of(path) as gate:
            done: list[str] = []
            gate.listeners.append(lambda call: done.append(call.operation))
            does: dict[str, list[Operation]] = {}
            for name in CALLS:  # in their order: each finds what it needs
                done.clear()
                assert await ends(gate, OWNER, name) == "ok", name
                does[name] = [OPERATIONS[each] for each in done]
                assert does[name], name
            refused = 0
            for name, caller in itertools.product(CALLS, callers()):
                forbidden = any(expected_to_be_forbidden(each, caller) for each in does[name])
                code = await ends(gate, caller, name)
                assert (code == "forbidden") == forbidden, (name, caller.name, code)
                refused += forbidden
            assert set(CALLS) == set(TOOLS)
            assert refused > 40

    asyncio.run(main())


def test_a_subscription_tells_nothing_of_other_namespaces_and_how_far_the_whole_is_to_keys_for_all(path: Path) -> None:
    async def main() -> None:
        async with gate_of(path) as gate:
            schemas = Schemas(gate)
            for caller in callers():
                for name, query in WATCHED.items():
                    await told(gate, schemas, caller, name, query)

    async def told(gate: Gate, schemas: Schemas, caller: Caller, name: str, query: str) -> None:
        stream: Any = subscribe(schemas.of(caller), parse(query), context_value=Context(gate, caller))
        if not hasattr(stream, "__anext__"):
            stream = await stream
        assert not isinstance(stream, ExecutionResult), stream
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.02)  # it listens
        for agent in ("b", "x", "a"):
            await gate.call(OWNER, "episodes.store", session="s", task="told", agent=agent)
        try:
            found = (await asyncio.wait_for(first, 10)).data
        except GraphsvcError as error:
            assert (error.code, name in ("lag", "progress"), caller.namespaces is None) == ("forbidden", True, False)
            return
        finally:
            await stream.aclose()
        if name in ("lag", "progress"):
            assert caller.namespaces is None, (caller.name, name)
            return
        one = found[name] if name == "episodeStored" else found[name]["node"]
        assert one["agent"] == ("b" if caller.namespaces is None else "a"), (caller.name, name)

    asyncio.run(main())


def test_changes_of_one_node_are_told_to_whom_it_can_be_shown(path: Path) -> None:
    query = "subscription ($id: ID!) {nodeChanged(id: $id) {nodeId node {agent}}}"

    async def main() -> None:
        async with gate_of(path) as gate:
            schemas = Schemas(gate)
            for number, caller in enumerate(callers()):
                streams: list[Any] = []
                for agent in ("b", "a"):
                    given = {"id": global_id("episode", agent, f"ep-{agent}")}
                    stream: Any = subscribe(schemas.of(caller), parse(query), context_value=Context(gate, caller), variable_values=given)
                    streams.append(stream if hasattr(stream, "__anext__") else await stream)
                other, own = (asyncio.ensure_future(anext(stream)) for stream in streams)
                await asyncio.sleep(0.02)  # they listen
                for agent in ("b", "a"):
                    await gate.call(OWNER, "episodes.amend", f"ep-{agent}", agent=agent, critique=f"{number}")
                assert (await asyncio.wait_for(own, 10)).data["nodeChanged"]["node"]["agent"] == "a", caller.name
                if caller.namespaces is None:
                    assert (await asyncio.wait_for(other, 10)).data["nodeChanged"]["node"]["agent"] == "b", caller.name
                else:
                    await asyncio.sleep(0.02)
                    assert not other.done(), (caller.name, "b was written before a, and is another's")
                    other.cancel()
                await asyncio.gather(other, return_exceptions=True)
                for stream in streams:
                    await stream.aclose()

    asyncio.run(main())
