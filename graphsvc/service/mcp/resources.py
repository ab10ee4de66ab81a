"""What an agent may look at without a tool, and words to begin with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from graphsvc.errors import BadInput, NotFound
from graphsvc.service.mcp.tool import Asker

RECENT = 20


@dataclass(frozen=True, slots=True)
class Resource:
    """Something to look at.

    Attributes:
        uri: where; with `{id}` it is a template. name, description: for people. read: gives it, as JSON has it.
    """

    uri: str
    name: str
    description: str
    read: Callable[..., Awaitable[Any]]


async def _schema(ask: Asker) -> Any:
    return (await ask("schema", counts=False)).as_dict()


async def _recent(ask: Asker) -> Any:
    return msgspec.to_builtins(list(await ask("episodes.list", k=RECENT)))


async def _statistics(ask: Asker) -> Any:
    kinds = ("episodes", "skills", "entities", "facts", "causal")
    return {
        "records": {kind: await ask(f"{kind}.count") for kind in kinds},
        "episodes": msgspec.to_builtins(await ask("episodes.statistics")),
    }


async def _episode(ask: Asker, id: str) -> Any:
    return msgspec.to_builtins(await ask("episodes.get", id))


async def _skill(ask: Asker, id: str) -> Any:
    return msgspec.to_builtins(await ask("skills.get", id))


RESOURCES = (
    Resource("graphsvc://schema", "Schema", "Tables of the graph: their columns, types and ends.", _schema),
    Resource("graphsvc://recent", "Recent episodes", f"The {RECENT} latest episodes.", _recent),
    Resource("graphsvc://statistics", "Statistics", "How many records there are, and how attempts went.", _statistics),
    Resource("graphsvc://episode/{id}", "Episode", "One episode.", _episode),
    Resource("graphsvc://skill/{id}", "Skill", "One skill, in its current version.", _skill),
)


async def read(ask: Asker, uri: str) -> str:
    """A resource, as a JSON text. Raises NotFound where there is none, and what the memory raises."""
    for resource in RESOURCES:
        start, braces, _ = resource.uri.partition("{id}")
        if not braces and uri == resource.uri:
            return msgspec.json.encode(await resource.read(ask), enc_hook=str).decode()
        if braces and uri.startswith(start) and len(uri) > len(start):
            found = await resource.read(ask, unquote(uri.removeprefix(start)))
            return msgspec.json.encode(found, enc_hook=str).decode()
    raise NotFound("no such resource", where=uri)


# --- prompts --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prompt:
    """Words to begin with.

    Attributes:
        name, description: for people. arguments: each with what it means; all must be given. say: gives the words.
    """

    name: str
    description: str
    arguments: Mapping[str, str]
    say: Callable[..., Awaitable[str]]


async def _before(ask: Asker, task: str) -> str:
    known = await ask("brief", task)
    return (
        f"You are about to do this task:\n\n{task}\n\nThis is what is known of tasks like it:\n\n{known}\n\n"
        "Do the task. Do again what worked, and don't repeat what failed."
    )


async def _after(ask: Asker, task: str) -> str:
    return (
        f"You have just done this task:\n\n{task}\n\nRemember it with the tool store_episode: what you did (output), "
        "whether it worked (success), how well (reward, 0 to 1), and a critique: what went wrong and what to do "
        "instead, in one or two sentences that help whoever does it next. Of each skill that you used, say how it "
        "went with record_outcome."
    )


PROMPTS = (
    Prompt("before", "Begin a task with what is known of it.", {"task": "What is to be done."}, _before),
    Prompt("after", "Reflect on a task and remember it.", {"task": "What was done."}, _after),
)


async def say(ask: Asker, name: str, given: Mapping[str, str] | None) -> tuple[Prompt, str]:
    """A prompt and its words. Raises NotFound, BadInput."""
    prompt = next((prompt for prompt in PROMPTS if prompt.name == name), None)
    if prompt is None:
        raise NotFound("no such prompt", where=name)
    given = given or {}
    for argument in prompt.arguments:
        if not isinstance(given.get(argument), str) or not given[argument].strip():
            raise BadInput("must be given", where=argument)
    for argument in given:
        if argument not in prompt.arguments:
            raise BadInput("no such argument", where=argument)
    return prompt, await prompt.say(ask, **given)
