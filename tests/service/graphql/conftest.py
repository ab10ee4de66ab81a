"""A memory with something in it, and a way to ask its schema without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import graphql

import graphsvc
from graphsvc.memory.aio import AsyncMemory, AsyncOpening
from graphsvc.service.access import Caller
from graphsvc.service.gate import Gate
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.once import Once
from graphsvc.service.graphql.schema import Schemas
from graphsvc.service.operations import Role

OWNER = Caller("owner", Role.ADMIN, None, local=True)


class Asked:
    """A memory behind a gate: what is asked of it, and which operations that took.

    Attributes:
        memory: for what is quicker said in Python. calls: names of the operations of the last question.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, memory: AsyncMemory) -> None:
        self.run = loop.run_until_complete
        self.memory = memory
        self.gate = Gate(memory)
        self.schemas = Schemas(self.gate)
        self.once = Once()
        self.calls: list[str] = []
        self.gate.listeners.append(lambda call: self.calls.append(call.operation))

    def raw(self, query: str, caller: Caller = OWNER, agent: str | None = None, **variables: Any) -> Any:
        """Everything that comes back."""
        self.calls.clear()
        context = Context(self.gate, caller, agent, once=self.once)
        asked = graphql(self.schemas.of(caller), query, variable_values=variables, context_value=context)
        return self.run(asked)

    def __call__(self, query: str, caller: Caller = OWNER, agent: str | None = None, **variables: Any) -> Any:
        """The data, where there was no error."""
        found = self.raw(query, caller, agent, **variables)
        assert found.errors is None, found.errors
        return found.data


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    loop = asyncio.new_event_loop()

    async def opened() -> AsyncMemory:
        opening = graphsvc.aopen(tmp_path / "memory", embedder="hashing")
        assert isinstance(opening, AsyncOpening)
        return await opening

    memory = loop.run_until_complete(opened())
    yield Asked(loop, memory)
    loop.run_until_complete(memory.close())
    loop.close()


Ask = Callable[..., Any]
