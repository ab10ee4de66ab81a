"""Operations that answer more than once: over a WebSocket (graphql-transport-ws), and as an event stream (SSE)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from inspect import isawaitable
from typing import Any

import msgspec
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    OperationType,
    create_source_event_stream,
    execute_subscription_event,
)
from starlette.websockets import WebSocket, WebSocketDisconnect

from graphsvc.config import ServiceSettings
from graphsvc.errors import GraphsvcError
from graphsvc.service.access import Caller
from graphsvc.service.graphql.context import Context
from graphsvc.service.graphql.documents import Asked, Ready, Refused
from graphsvc.service.graphql.loaders import Loaders

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
"""How long a socket may be open before it says `connection_init`."""
PING_SECONDS = 20.0
QUIET_SECONDS = 12.0
"""After so long without an event, a stream says that it is alive."""

Prepare = Callable[[Context, Asked], Any]
"""Gives what may be done, `await`ed; raises Refused."""
Formatted = Callable[[ExecutionResult], Mapping[str, Any]]


async def results(ready: Ready, context: Context) -> AsyncGenerator[ExecutionResult]:
    """What an operation answers: one result, or of a subscription one for each event. Each takes a turn, and its time.

    Raises:
        Overloaded, QueryTimeout: the limits. Else what the events' source raises.
    """
    if ready.operation.operation is not OperationType.SUBSCRIPTION:
        yield await context.work(ready.execute(context))
        return
    executor = Executor.build(
        ready.schema, ready.document, None, context, dict(ready.variables or {}), ready.name,
    )  # fmt: skip
    if isinstance(executor, list):
        yield ExecutionResult(None, executor)
        return
    source: Any = create_source_event_stream(executor)
    if isawaitable(source):
        source = await source
    if isinstance(source, ExecutionResult):
        yield source
        return
    async with aclosing(source) as events:
        async for event in events:
            context.loaders = Loaders(context)  # what was read for one event is old at the next
            yield await context.work(_shown(executor.build_per_event_executor(event)))


async def _shown(executor: Executor[Context]) -> ExecutionResult:
    found = execute_subscription_event(executor)
    return await found if isawaitable(found) else found


def failed(error: Exception) -> ExecutionResult:
    """An error that ends an operation, as its result."""
    shown = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
    return ExecutionResult(None, [shown])


async def event_stream(ready: Ready, context: Context, formatted: Formatted) -> AsyncIterator[bytes]:
    """The results as server-sent events: `next` for each, then `complete`."""
    async with aclosing(results(ready, context)) as found:
        waiting: asyncio.Task[Any] | None = None
        try:
            while True:
                if waiting is None:
                    waiting = asyncio.ensure_future(_next(found))
                done, _ = await asyncio.wait((waiting,), timeout=QUIET_SECONDS)
                if not done:
                    yield b":\n\n"
                    continue
                error = waiting.exception()
                ended = isinstance(error, Exception)
                result = failed(error) if isinstance(error, Exception) else waiting.result()
                waiting = None
                if result is None:
                    break
                yield b"event: next\ndata: " + msgspec.json.encode(formatted(result), enc_hook=str) + b"\n\n"
                if ended:
                    break
            yield b"event: complete\ndata:\n\n"
        finally:
            if waiting is not None:
                waiting.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await waiting


async def _next(found: AsyncIterator[ExecutionResult]) -> ExecutionResult | None:
    async for result in found:
        return result
    return None


class Socket:
    """One WebSocket.

    Args:
        socket: not accepted yet. settings: of the service. prepare, formatted: as HTTP has them.
        authenticate: the caller of a key or token.
        context: makes the context of an operation.
    """

    def __init__(
        self,
        socket: WebSocket,
        settings: ServiceSettings,
        prepare: Prepare,
        formatted: Formatted,
        context: Callable[[Caller], Context],
        authenticate: Callable[[str], Caller],
    ) -> None:
        self._socket = socket
        self._most = settings.graphql_subscriptions
        self._prepare = prepare
        self._formatted = formatted
        self._context = context
        self._caller: Caller | None = socket.scope.get("state", {}).get("caller")
        self._authenticate = authenticate
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._known = False

    async def run(self) -> None:
        """Until it is closed."""
        if PROTOCOL not in self._socket.scope.get("subprotocols", ()):
            await self._socket.accept()
            await self._socket.close(4406, "Subprotocol not acceptable")
            return
        await self._socket.accept(PROTOCOL)
        alive = asyncio.create_task(self._keep_alive())
        try:
            async with asyncio.timeout(INIT_SECONDS) as patience:
                while True:
                    if not await self._take(await self._socket.receive_text()):
                        return
                    if self._known:
                        patience.reschedule(None)
        except TimeoutError:
            await self._socket.close(4408, "Connection initialisation timeout")
        except (WebSocketDisconnect, KeyError):
            pass  # KeyError: bytes where text was expected, after which starlette has nothing to give
        finally:
            for task in (alive, *self._operations.values()):
                task.cancel()
            await asyncio.gather(alive, *self._operations.values(), return_exceptions=True)

    async def _take(self, text: str) -> bool:
        """Take a message; whether the socket stays open."""
        try:
            message = msgspec.json.decode(text)
            kind = message["type"]
        except (msgspec.DecodeError, TypeError, KeyError, RecursionError):
            return await self._close(4400, "Invalid message")
        if kind == "connection_init":
            return await self._begin(message.get("payload"))
        if kind == "ping":
            await self._send({"type": "pong"})
            return True
        if kind == "pong":
            return True
        id = message.get("id")
        if kind not in ("subscribe", "complete") or not isinstance(id, str) or not id:
            return await self._close(4400, "Invalid message")
        if not self._known:
            return await self._close(4401, "Unauthorized")
        if kind == "complete":
            if (task := self._operations.pop(id, None)) is not None:
                task.cancel()
            return True
        return await self._subscribe(id, message.get("payload"))

    async def _begin(self, payload: Any) -> bool:
        if self._known:
            return await self._close(4429, "Too many initialisation requests")
        token = payload.get("authorization") or payload.get("Authorization") if isinstance(payload, dict) else None
        if isinstance(token, str):
            try:
                self._caller = self._authenticate(token.removeprefix("Bearer ").strip())
            except GraphsvcError:
                return await self._close(4403, "Forbidden")
        if self._caller is None:
            return await self._close(4401, "Unauthorized")
        self._known = True
        await self._send({"type": "connection_ack"})
        return True

    async def _subscribe(self, id: str, payload: Any) -> bool:
        if id in self._operations:
            return await self._close(4409, f"Subscriber for {id} already exists")
        if len(self._operations) >= self._most:
            await self._send({"id": id, "type": "error", "payload": [
                {"message": f"{self._most} operations are under way", "extensions": {"code": "rate_limited"}}
            ]})  # fmt: skip
            return True
        if not isinstance(payload, dict):
            return await self._close(4400, "Invalid message")
        assert self._caller is not None
        context = self._context(self._caller)
        self._operations[id] = asyncio.create_task(self._answer(id, payload, context))
        return True

    async def _answer(self, id: str, payload: dict[str, Any], context: Context) -> None:
        from graphsvc.service.graphql.http import checked

        try:
            ready = await self._prepare(context, checked(payload))
        except Refused as refusal:
            self._ended(id)
            await self._send({"id": id, "type": "error", "payload": refusal.told})
            return
        try:
            async with aclosing(results(ready, context)) as found:
                async for result in found:
                    await self._send({"id": id, "type": "next", "payload": self._formatted(result)})
            self._ended(id)
            await self._send({"id": id, "type": "complete"})
        except Exception as error:
            told = self._formatted(failed(error))
            self._ended(id)
            await self._send({"id": id, "type": "error", "payload": told["errors"]})
        finally:
            self._ended(id)

    def _ended(self, id: str) -> None:
        """Free the id of the operation that this task does, before its client hears of the end and may use it again."""
        if self._operations.get(id) is asyncio.current_task():
            del self._operations[id]

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._known:
                await self._send({"type": "ping"})

    async def _send(self, message: Mapping[str, Any]) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is closed: the receiving side ends all
            await self._socket.send_text(msgspec.json.encode(message, enc_hook=str).decode())

    async def _close(self, code: int, reason: str) -> bool:
        await self._socket.close(code, reason)
        return False
