"""The process that does the work: it opens the memory, serves it, and closes it in order when it is told to stop.

It is started by the supervisor, whose socket it serves and to whom it tells how it is, a line at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from graphsvc.config import ServiceSettings
from graphsvc.errors import GraphsvcError
from graphsvc.memory.aio import AsyncOpening
from graphsvc.remote.attach import aown
from graphsvc.service.app import application
from graphsvc.service.connections import connection
from graphsvc.service.logs import set_up
from graphsvc.service.server import Server
from graphsvc.service.tls import context

BEAT_SECONDS = 1.0
"""How often it says that it is alive."""


class Order(msgspec.Struct, frozen=True):
    """What a worker is told on its standard input.

    Attributes:
        directory: of the memory. settings: of the service. listener, tell: descriptors of the socket to serve, and of
        the pipe to the supervisor. restarts: how often a worker was started again before this one.
    """

    directory: str
    settings: dict[str, Any]
    listener: int
    tell: int
    restarts: int


class Told:
    """The pipe to the supervisor. A supervisor that is gone needn't be told."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, **what: Any) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(what).encode() + b"\n")


class _Server(Server):
    """Says that it is ready before it answers anybody: from then on it may be silent for a short time only."""

    def __init__(
        self, config: uvicorn.Config, drain: float, on_stop: Callable[[], Awaitable[None]], tell: Told
    ) -> None:
        super().__init__(config, drain, on_stop)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell(ready=True)


class Stop:
    """What SIGTERM and SIGINT do while uvicorn doesn't take them: before it serves, and after.

    It raises them again when it has served: where they ended the process then, the memory wouldn't be closed. Nor may
    one that comes late end it: a service manager tells every process, and the supervisor tells the worker.

    Attributes:
        server: that ends, once there is one.
    """

    def __init__(self) -> None:
        self.server: Server | None = None
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self._asked = True
        self.end()

    def over(self) -> None:
        """Take no more: what is left is Python's own end, in which a handler would be none."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def end(self) -> None:
        """Have the server end if that was asked."""
        if self.server is not None and self._asked:
            self.server.should_exit = True


async def serve(order: Order, tell: Told, stop: Stop) -> None:
    """Serve until SIGTERM, SIGINT, or until the supervisor is gone.

    Raises:
        InUse: another process owns it. What `graphsvc.open` raises.
    """
    settings = ServiceSettings(**order.settings)
    listener = socket.socket(fileno=order.listener)
    beat = asyncio.create_task(_beat(tell))
    async with AsyncOpening(lambda: aown(Path(order.directory), {"create": False})) as memory:
        secured = context(settings)
        app = application(memory, settings, restarts=order.restarts)
        server = _Server(uvicorn.Config(
            app, lifespan="on", log_config=None, access_log=False, server_header=False, http=connection(settings),
            ws="websockets-sansio", ws_max_size=settings.max_body_bytes, timeout_keep_alive=settings.keep_alive,
            proxy_headers=False,  # anybody can write X-Forwarded-For
            ssl_context_factory=(lambda *_: secured) if secured is not None else None,
        ), settings.drain, app.state.stop, tell)  # fmt: skip
        stop.server = server
        stop.end()
        orphaned = asyncio.create_task(_orphaned(server))
        if settings.warm:
            await memory.warm()
        try:
            await server.serve(sockets=[listener])
        finally:
            orphaned.cancel()
    beat.cancel()


async def _beat(tell: Told) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        tell(alive=True)


async def _orphaned(server: Server) -> None:
    """End when the supervisor does: its end of standard input is closed then, however it ended."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    server.should_exit = True


def main() -> None:
    """Take the order and serve."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    tell, stop = Told(order.tell), Stop()
    set_up(ServiceSettings(**order.settings))
    try:
        asyncio.run(serve(order, tell, stop))
    except GraphsvcError as error:
        tell(failed=error.as_dict())
        sys.exit(1)
    finally:
        stop.over()


if __name__ == "__main__":
    main()
