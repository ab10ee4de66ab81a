"""`POST /call/{operation}`: any operation, its arguments and its result as `graphsvc.remote.wire` writes them.

A call may be sent again when its answer was lost. What is idempotent by itself, reads and writes with an id of their
own, is simply done again. Any other carries an `Idempotency-Key`: under one key a call is done once, and asked again it
gets the same answer, from what is remembered here for a while. What is remembered ends with the process, or with the
room for it; then `Graphsvc-Era` changes. A call that is sent again names the era that it was first sent in: of another
era it isn't done, for it may have been before, but answered with `outcome_unknown`. So nothing is ever done twice.
With `Graphsvc-Progress` the answer is a row of parts, each behind its length in four bytes: what was reported, and last
(status, result).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import graphsvc
from graphsvc.errors import BadInput, GraphsvcError, OutcomeUnknown
from graphsvc.model.records import Record
from graphsvc.remote import wire
from graphsvc.remote.wire import AGAIN, ERA, KEY, PROGRESS
from graphsvc.service.access import Caller, binding
from graphsvc.service.gate import WAITS, Gate
from graphsvc.service.gone import CLIENT_CLOSED, ClientGone, unless_gone
from graphsvc.service.limits import Turn
from graphsvc.service.operations import OPERATIONS
from graphsvc.service.problems import headers_of, status_of
from graphsvc.service.repeats import Repeats, begun

REPORTS = ("progress", "report")
"""Arguments that are called while a verb is at work."""
SMALL = 64 << 10
"""Bytes that are read on the loop; more take a thread."""

logger = logging.getLogger("graphsvc.service")

Place = tuple[Caller, str]
"""Who asked, with all that they may, and their key. Another caller's answer is nobody's, whatever the key: names aren't
enough, since a token's subject may have the name of a key, and a token of the same subject may reach less far."""


class Calls:
    """What answers the calls.

    Args:
        gate: that they pass. who: tells who a request comes from.
    """

    def __init__(self, gate: Gate, who: Callable[[Request], Caller]) -> None:
        self._gate = gate
        self._who = who
        self._era = secrets.token_hex(8)
        self._repeats: Repeats[Place] = Repeats(KEY, _weight, self._lost)

    async def hello(self, request: Request) -> Response:
        """What a client wants to know first: of which version this is, which memory, what the caller is bound to."""
        try:
            caller = self._who(request)
            agent, shared = binding(caller, None, ())
            memory = self._gate.memory
            said = {
                "version": graphsvc.__version__, "id": memory.id, "agent": agent, "shared": shared,
                "path": str(memory.path) if caller.local else None,
            }  # fmt: skip
        except GraphsvcError as error:
            return self._response(status_of(error), wire.encode(error), error)
        return self._response(200, wire.encode(said))

    async def call(self, request: Request) -> Response:
        """Do what a request asks."""
        try:
            caller = self._who(request)
            body = await request.body()
            name = request.path_params["operation"]
            alone = name in WAITS
            if request.headers.get(PROGRESS):
                parts: asyncio.Queue[bytes] = asyncio.Queue()
                task = self._begun(request, caller, name, body, parts)
                return self._response(200, _stream(task, parts, alone=alone))
            task = self._begun(request, caller, name, body, None)
            status, content = await (unless_gone(request, task) if alone else asyncio.shield(task))
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        except GraphsvcError as error:
            return self._response(status_of(error), wire.encode(error), error)
        return self._response(status, content, None if status == 200 else wire.decode(content))

    def _response(self, status: int, content: bytes | AsyncIterator[bytes], error: Any = None) -> Response:
        headers = {ERA: self._era, **(headers_of(error) if isinstance(error, GraphsvcError) else {})}
        if isinstance(content, bytes):
            return Response(content, status, headers, wire.MEDIA)
        return StreamingResponse(content, status, headers, wire.MEDIA)

    def _begun(
        self, request: Request, caller: Caller, name: str, body: bytes, parts: asyncio.Queue[bytes] | None
    ) -> asyncio.Task[tuple[int, bytes]]:
        """What does a call: begun now, or when it was asked before. It goes on also where who asked goes before."""
        turn: Turn | None = request.scope.get("state", {}).get("turn")

        def begin() -> asyncio.Task[tuple[int, bytes]]:
            return begun(self._done(caller, name, body, parts, turn), turn)

        key = request.headers.get(KEY)
        if key is None or name in WAITS:  # those lend their turn: nobody may hold another while it waits for theirs
            return begin()
        if not 8 <= len(key) <= 128:
            raise BadInput("a key has 8 to 128 characters", where=KEY)
        first = request.headers.get(AGAIN)
        if (caller, key) not in self._repeats and first is not None and first != self._era:
            raise OutcomeUnknown("it was sent before, and what came of that isn't known any more", where=name)
        return self._repeats.task((caller, key), name.encode() + b"\0" + body, begin)

    def _lost(self) -> None:
        self._era = secrets.token_hex(8)

    async def _done(
        self, caller: Caller, name: str, body: bytes, parts: asyncio.Queue[bytes] | None, turn: Turn | None
    ) -> tuple[int, bytes]:
        """Do a call: its status, and what is to be sent."""
        try:
            asked = wire.decode(body) if len(body) < SMALL else await run_in_threadpool(wire.decode, body)
            agent, shared, options = _checked(name, asked)
            if parts is not None:
                options |= _reporting(options, parts)
            result = await self._gate.call(caller, name, agent_bound=agent, shared_bound=shared, turn=turn, **options)
            small = result is None or isinstance(result, bool | int | Record)
            return 200, wire.encode(result) if small else await run_in_threadpool(wire.encode, result)
        except GraphsvcError as error:
            return status_of(error), wire.encode(error)
        except Exception:
            id = secrets.token_hex(6)
            logger.exception("call of %s failed, %s", name, id)
            hint = f"The service's log says why, under {id}."
            return 500, wire.encode(GraphsvcError("something went wrong in the service", where=name, hint=hint))


def _weight(task: asyncio.Task[tuple[int, bytes]]) -> int | None:
    status, content = task.result()
    return None if status in (429, 503) else len(content)


def _checked(name: str, asked: Any) -> tuple[str | None, tuple[str, ...], dict[str, Any]]:
    """Namespaces and options of a call. Raises BadInput where they aren't what the verb takes."""
    if not isinstance(asked, dict) or not set(asked) <= {"options", "agent", "shared"}:
        raise BadInput("expected options, agent and shared", where="body")
    options, agent, shared = asked.get("options", {}), asked.get("agent"), asked.get("shared", ())
    if not isinstance(options, Mapping) or not all(isinstance(option, str) for option in options):
        raise BadInput("options are named", where="options")
    if not isinstance(agent, str | None) or not isinstance(shared, tuple | list):
        raise BadInput("expected a name, and a list of names", where="agent")
    for option in (*REPORTS, "agent_bound", "shared_bound", "turn"):
        if option in options:
            raise BadInput("can't be sent", where=option)
    operation = OPERATIONS.get(name)
    if operation is None:
        return agent, tuple(shared), dict(options)
    signature = _signature(name)
    given = {**dict.fromkeys(set(REPORTS) & set(signature.parameters), _unheard), **options}
    try:
        signature.bind(None, **given)
    except TypeError as error:
        raise BadInput(str(error), where=name) from None
    return agent, tuple(shared), given


@functools.cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(OPERATIONS[name].verb)


def _unheard(*told: Any) -> None:
    pass


def _reporting(options: Mapping[str, Any], parts: asyncio.Queue[bytes]) -> dict[str, Any]:
    """The argument of a verb that it reports with, which sends what it is told."""
    loop, own = asyncio.get_running_loop(), threading.get_ident()

    def report(*told: Any) -> None:
        if threading.get_ident() == own:  # on the loop itself, later would be behind the end
            parts.put_nowait(wire.encode(told))
            return
        with suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(parts.put_nowait, wire.encode(told))

    return {option: report for option in REPORTS if option in options}


async def _stream(
    task: asyncio.Task[tuple[int, bytes]], parts: asyncio.Queue[bytes], *, alone: bool
) -> AsyncIterator[bytes]:
    """What is reported, and at last what came of it. `alone`: nobody else wants the task; it ends with this."""
    getting: asyncio.Future[bytes] | None = None
    try:
        while not task.done() or not parts.empty():
            getting = asyncio.ensure_future(parts.get())
            await asyncio.wait((task, getting), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                part = getting.result()
                yield len(part).to_bytes(4, "big") + part
            else:
                getting.cancel()
    finally:
        if getting is not None:
            getting.cancel()
        if alone:
            task.cancel()
    status, content = task.result()
    last = wire.encode((status, content))
    yield len(last).to_bytes(4, "big") + last


def routes(gate: Gate, who: Callable[[Request], Caller]) -> list[Route]:
    """The routes of calls."""
    calls = Calls(gate, who)
    return [
        Route("/call", calls.hello, methods=["GET"]),
        Route("/call/{operation}", calls.call, methods=["POST"]),
    ]
