"""The gate: every request passes here, whatever way it came, and nothing reaches the memory but through it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphsvc.errors import GraphsvcError
from graphsvc.memory.aio import AsyncMemory
from graphsvc.service.access import Caller, authorize, binding
from graphsvc.service.limits import Turn
from graphsvc.service.operations import OPERATIONS

WAITS = frozenset({"changes", "wait", "progress"})
"""Operations that may do nothing but wait for what others do. All of them read."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was answered, as listeners (metrics, audit, slow log) are told of it.

    Attributes:
        caller: who asked. operation: its name. agent: the namespace that it was bound to; None: all.
        arguments: as given, by name. seconds: how long it took. error: None where it succeeded.
        result: what it answered.
    """

    caller: Caller
    operation: str
    agent: str | None
    arguments: Mapping[str, Any]
    seconds: float
    error: BaseException | None
    result: Any = None

    @property
    def code(self) -> str:
        """Of the error, empty where there is none. `cancelled`: ended from outside; a write may be done yet."""
        if self.error is None:
            return ""
        if isinstance(self.error, asyncio.CancelledError):
            return "cancelled"
        return self.error.code if isinstance(self.error, GraphsvcError) else "unexpected"


class Gate:
    """Authorises, binds to namespaces, runs, and tells who listens.

    Args:
        memory: an unbound handle of the memory that is served.
    """

    def __init__(self, memory: AsyncMemory) -> None:
        self.memory = memory
        self.listeners: list[Callable[[Call], None]] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._handles: dict[tuple[str | None, tuple[str, ...]], AsyncMemory] = {(None, ()): memory}

    def handle(self, caller: Caller, agent: str | None = None, shared: Sequence[str] = ()) -> AsyncMemory:
        """The memory as the caller may see it. Raises Forbidden for a namespace that isn't theirs."""
        bound = binding(caller, agent, tuple(shared))
        handle = self._handles.get(bound)
        if handle is None:
            if len(self._handles) >= 10_000:
                self._handles = {(None, ()): self.memory}
            own, others = bound
            assert own is not None
            handle = self._handles[bound] = self.memory.as_agent(own, shared=others)
        return handle

    async def call(
        self,
        caller: Caller,
        name: str,
        /,
        *args: Any,
        agent_bound: str | None = None,
        shared_bound: Sequence[str] = (),
        turn: Turn | None = None,
        **options: Any,
    ) -> Any:
        """Do an operation for a caller.

        Args:
            name: of the operation. args, options: of the verb.
            agent_bound, shared_bound: namespaces that the request asks to be bound to.
            turn: that is held for it alone; others have it while it only waits.

        Raises:
            Forbidden: the caller may not. Else what the verb raises.
        """
        started = time.perf_counter()
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        error: BaseException | None = None
        result: Any = None
        asked = name
        agent = agent_bound
        try:
            if name == "cypher" and options.get("write"):
                name = "cypher.write"
            authorize(caller, name)
            agent = binding(caller, agent_bound, tuple(shared_bound))[0]
            handle = self.handle(caller, agent_bound, shared_bound)
            if turn is None or asked not in WAITS:
                result = await _verb(handle, asked)(*args, **options)
            elif asked == "changes":
                result = await handle._changes(*args, resting=turn.resting, **options)
            else:
                async with turn.resting():
                    result = await _verb(handle, asked)(*args, **options)
            return result
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._under_way.discard(task)
            if self.listeners:
                arguments = {**dict(zip(_parameters(name), args, strict=False)), **options}
                call = Call(caller, name, agent, arguments, time.perf_counter() - started, error, result)
                for listener in self.listeners:
                    listener(call)

    async def close(self) -> None:
        """End what is under way yet, where nobody waits for it any more."""
        left = self._under_way - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@functools.cache
def _parameters(name: str) -> tuple[str, ...]:
    """The names of a verb's parameters, in their order."""
    operation = OPERATIONS.get(name)
    return tuple(inspect.signature(operation.verb).parameters)[1:] if operation is not None else ()


def _verb(memory: AsyncMemory, name: str) -> Callable[..., Any]:
    if name == "cypher.write":
        raise GraphsvcError("cypher.write is called as cypher with write=True")
    group, _, verb = name.rpartition(".")
    return getattr(getattr(memory, group) if group else memory, verb)  # type: ignore[no-any-return]
