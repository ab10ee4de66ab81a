"""What an owner serves on its Unix socket: calls by its own user, who may do anything, and name files."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.memory.aio import AsyncMemory, Threads
from graphsvc.memory.memory import Memory
from graphsvc.memory.namespaces import Namespaces
from graphsvc.memory.opened import Opened, check_same
from graphsvc.remote import wire
from graphsvc.service import rpc
from graphsvc.service.access import Caller
from graphsvc.service.gate import Call, Gate
from graphsvc.service.operations import Role
from graphsvc.service.problems import status_of
from graphsvc.service.server import logger
from graphsvc.service.sharing import user_of

LOCAL = Caller("attached", Role.ADMIN, None, local=True)
"""Who calls over the socket."""


class OwnUser(cast("type[Any]", AutoHTTPProtocol)):  # type: ignore[misc]
    """HTTP with callers of this user, and root, alone."""

    def connection_made(self, transport: Any) -> None:
        """Somebody connected."""
        super().connection_made(transport)
        self.logger = logger
        connection: socket.socket = transport.get_extra_info("socket")
        if self.server_state.ending or user_of(connection) not in (None, 0, os.getuid()):
            transport.abort()  # before anything was read


def application(opened: Opened, listeners: list[Callable[[Call], None]]) -> tuple[Starlette, Threads]:
    """The application that answers calls, and the threads that it works on. `listeners` are told of each call."""
    threads = Threads(opened.settings.readers)
    gate = Gate(AsyncMemory(Memory(opened, Namespaces(), owner=False), threads))
    gate.listeners = listeners

    async def attach(request: Request) -> Response:
        try:
            asked = wire.decode(await request.body())
            if not isinstance(asked, dict) or not isinstance(asked.get("settings"), dict):
                raise BadInput("expected embedder and settings", where="body")
            await run_in_threadpool(check_same, opened, asked.get("embedder"), asked["settings"])
        except GraphsvcError as error:
            return Response(wire.encode(error), status_of(error), media_type=wire.MEDIA)
        return Response(wire.encode(None), media_type=wire.MEDIA)

    return Starlette(routes=[Route("/attach", attach, methods=["POST"]), *rpc.routes(gate, lambda _: LOCAL)]), threads
