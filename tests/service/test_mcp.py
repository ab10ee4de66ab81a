"""The memory as an agent's tools, by the official client: over standard input, over HTTP, and in one process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

import graphsvc
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.gate import Gate
from graphsvc.service.mcp.server import AT_THE_KEYBOARD, server
from graphsvc.service.mcp.tool import TOOLS
from graphsvc.service.operations import OPERATIONS

from ..conftest import ROOT

CALLS: dict[str, dict[str, Any]] = {
    "store_episode": {"session": "s", "task": "Deploy the API", "output": "kubectl apply", "critique": "Migrate first",
                      "reward": 0.2, "success": False, "tags": ["deploy"], "id": "e1"},
    "create_skill": {"name": "migrate", "description": "Bring the schema up to date", "id": "migrate"},
    "revise_skill": {"id": "migrate", "code": "alembic upgrade head"},
    "record_outcome": {"skill": "migrate", "success": True, "reward": 0.9, "id": "u1"},
    "define_variable": {"name": "reward", "is_reward": True},
    "define_predicate": {"name": "runs on", "single": True},
    "add_fact": {"subject": "api", "predicate": "runs on", "object": "node-1", "valid_from": "2025-01-01T00:00:00Z", "id": "f1"},
    "upsert_entity": {"kind": "service", "name": "api"},
    "link_episode": {"episode": "e1", "target": "service:api", "type": "about"},
    "add_cause": {"cause": "skill:migrate", "effect": "reward", "uplift": 0.4, "mechanism": "no old table", "id": "c1"},
    "feedback": {"text": "deploy", "used": {"e1": 1.0}},
    "recall": {"text": "deploy the API", "k": 5},
    "brief": {"task": "Deploy the API"},
    "retrieve_episodes": {"text": "deploy", "where": {"success": False}},
    "search_skills": {"text": "bring the schema up to date"},
    "choose_skill": {"text": "bring the schema up to date"},
    "plan_skill": {"id": "migrate"},
    "search_facts": {"text": "where does the api run"},
    "list_facts": {"subject": "api"},
    "causal_effects": {"of": "skill:migrate"},
    "causal_causes": {"of": "reward"},
    "causal_paths": {"start": "skill:migrate", "end": "reward"},
    "what_if": {"node": "skill:migrate"},
    "neighbours": {"table": "Episode", "id": "e1"},
    "statistics": {},
    "history": {"id": "e1"},
    "cypher_read": {"query": "MATCH (e:Episode) RETURN e.id AS id, e AS node"},
    "expire_cause": {"id": "c1"},
    "retract_fact": {"id": "f1"},
    "delete_episode": {"id": "e1"},
}  # fmt: skip


def run(body: Callable[[Client, AsyncMemory], Any], path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory, Client(server(Gate(memory), always=AT_THE_KEYBOARD)) as client:
            await body(client, memory)

    anyio.run(main)


async def call_every_tool(client: Client) -> dict[str, Any]:
    """Call each of the tools that the server lists; its answers by name, checked against the schemas that it tells."""
    told = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(told) == set(CALLS)
    answers = {}
    for name, arguments in CALLS.items():
        jsonschema.validate(arguments, told[name].input_schema)
        found = await client.call_tool(name, arguments)
        assert not found.is_error, (name, found.content)
        jsonschema.validate(found.structured_content, told[name].output_schema)
        assert json.loads(found.content[0].text) == found.structured_content  # type: ignore[union-attr]
        answers[name] = found.structured_content
    return answers


def check(answers: dict[str, Any]) -> None:
    assert answers["store_episode"]["episode"]["critique"] == "Migrate first"
    assert [hit["episode"]["id"] for hit in answers["retrieve_episodes"]["hits"]] == ["e1"]
    assert answers["record_outcome"]["skill"]["successes"] == 1
    assert answers["choose_skill"]["skill"]["code"] == "alembic upgrade head"
    assert answers["list_facts"]["facts"][0]["object"] == "node-1"
    assert answers["causal_paths"]["paths"][0]["uplift"] == 0.4
    assert {item["kind"] for item in answers["recall"]["items"]} >= {"episode", "skill"}
    assert answers["cypher_read"]["rows"][0]["id"] == "e1"
    assert answers["statistics"]["records"]["episodes"] == 1
    assert "Migrate first" in answers["brief"]["text"]
    assert answers["delete_episode"] == {"count": 1}


def test_every_tool_is_called_over_standard_input(path: Path) -> None:
    graphsvc.open(path, embedder="hashing").close()

    async def main() -> None:
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "graphsvc", "mcp", str(path)], cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        async with Client(stdio_client(parameters)) as client:
            check(await call_every_tool(client))

    anyio.run(main)
    with graphsvc.open(path) as memory:  # what was told to be on disk is
        assert memory.skills.get("migrate").code == "alembic upgrade head"


def test_every_tool_is_called_over_http(served: Callable[..., str]) -> None:
    url = served()

    async def main() -> None:
        async with Client(f"{url}/mcp") as client:
            check(await call_every_tool(client))

    anyio.run(main)


def test_15_answers_are_data_and_no_argument_is_ignored_and_the_first_run_works(path: Path) -> None:
    """Of the peers: answers are prose, arguments are ignored, the first run fails for a missing table."""

    async def body(client: Client, memory: AsyncMemory) -> None:
        first = await client.call_tool("retrieve_episodes", {"text": "anything"})
        assert first.structured_content == {"hits": [], "pending": 0}
        for number in range(4):
            await client.call_tool(
                "store_episode", {"session": "s", "task": "count", "reward": number / 4, "id": f"e{number}"}
            )
        found = await client.call_tool("retrieve_episodes", {"text": "count", "k": 2, "where": {"reward": {"ge": 0.5}}})
        assert {hit["episode"]["id"] for hit in found.structured_content["hits"]} == {"e2", "e3"}
        unknown = await client.call_tool("retrieve_episodes", {"text": "count", "limit": 2})
        assert unknown.is_error
        assert "[unknown_field] limit: no such argument" in unknown.content[0].text  # type: ignore[union-attr]
        wrong = await client.call_tool("retrieve_episodes", {"text": "count", "k": "many"})
        assert wrong.is_error
        assert "[bad_input]" in wrong.content[0].text  # type: ignore[union-attr]

    run(body, path)


def test_errors_are_told_with_code_and_what_to_do(path: Path) -> None:
    async def body(client: Client, memory: AsyncMemory) -> None:
        gone = await client.call_tool("plan_skill", {"id": "none"})
        assert gone.is_error
        assert gone.meta is not None
        assert gone.meta["graphsvc/error"]["code"] == "not_found"
        writes = await client.call_tool("cypher_read", {"query": "MATCH (e:Episode) DELETE e"})
        assert writes.is_error
        assert writes.meta is not None
        assert writes.meta["graphsvc/error"]["code"] == "not_allowed"
        with pytest.raises(MCPError, match="no such tool"):
            await client.call_tool("forget_everything", {})

    run(body, path)


def test_resources_and_prompts(path: Path) -> None:
    async def body(client: Client, memory: AsyncMemory) -> None:
        await memory.episodes.store(session="s", task="Deploy the API", critique="Migrate first", id="e/1",
                                        reward=0.1, success=False)
        await memory.skills.create(name="migrate", id="migrate")
        await memory.wait()
        uris = [each.uri for each in (await client.list_resources()).resources]
        assert uris == ["graphsvc://schema", "graphsvc://recent", "graphsvc://statistics"]

        async def look(uri: str) -> Any:
            return json.loads((await client.read_resource(uri)).contents[0].text)  # type: ignore[union-attr]

        assert "Episode" in json.dumps(await look("graphsvc://schema"))
        assert [episode["id"] for episode in await look("graphsvc://recent")] == ["e/1"]
        assert (await look("graphsvc://statistics"))["records"]["skills"] == 1
        assert (await look("graphsvc://episode/e%2F1"))["critique"] == "Migrate first"
        assert (await look("graphsvc://skill/migrate"))["name"] == "migrate"
        assert len((await client.list_resource_templates()).resource_templates) == 2
        for uri in ("graphsvc://nothing", "graphsvc://episode/none", "file:///etc/passwd"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)

        assert [each.name for each in (await client.list_prompts()).prompts] == ["before", "after"]
        before = await client.get_prompt("before", {"task": "Deploy the API"})
        assert "Migrate first" in before.messages[0].content.text  # type: ignore[union-attr]
        after = await client.get_prompt("after", {"task": "Deploy the API"})
        assert "store_episode" in after.messages[0].content.text  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="must be given"):
            await client.get_prompt("before", {})

    run(body, path)


def test_a_connection_bound_to_a_namespace_sees_only_that(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory:
            await memory.episodes.store(session="s", task="secret of b", agent="b", id="x")
            async with Client(server(Gate(memory), "a", always=AT_THE_KEYBOARD)) as client:
                await client.call_tool("store_episode", {"session": "s", "task": "of a", "id": "y"})
                found = await client.call_tool("retrieve_episodes", {"text": "secret of b"})
                assert [hit["episode"]["id"] for hit in found.structured_content["hits"]] == ["y"]
                told = [(await client.call_tool("history", {"id": id})).content[0].text for id in ("x", "z")]
                assert told[0].replace("'x'", "'z'").replace("x:", "z:") == told[1]
                whole = await client.call_tool("cypher_read", {"query": "MATCH (e:Episode) RETURN e.id"})
                assert whole.is_error

    anyio.run(main)


def test_every_tool_does_what_is_an_operation_and_is_described() -> None:
    source = (ROOT / "graphsvc/service/mcp/tools.py").read_text()
    used = {name for name in OPERATIONS if f'"{name}"' in source}
    assert len(used) >= 25
    for tool in TOOLS.values():
        assert tool.description, tool.name
        for name, field in tool.input_schema.get("properties", {}).items():
            assert "description" in json.dumps(field), f"{tool.name}: {name}"


def test_without_word_of_who_calls_no_tool_does_anything(path: Path) -> None:
    async def main() -> None:
        async with graphsvc.aopen(path, embedder="hashing") as memory, Client(server(Gate(memory))) as client:
            refused = await client.call_tool("store_episode", {"session": "s", "task": "t", "id": "x"})
            assert refused.is_error
            assert await memory.episodes.count() == 0

    anyio.run(main)
