"""Connections: what uvicorn takes from them, within limits that it has none of its own for.

The head of a request, what stands between the parts of a body and after them, requests sent ahead, and connections are
limited in size and number; a head and a reader of answers in time. Bodies are limited in `limits.Body`.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from typing import Any, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from graphsvc.config import ServiceSettings
from graphsvc.errors import BadInput, GraphsvcError, Overloaded, RequestTimeout, TooLarge, Unavailable
from graphsvc.service.problems import problem
from graphsvc.service.server import State, logger

HEADERS = 100
"""Headers of a request at most."""
AHEAD = 16
"""Requests that may be sent ahead on a connection before the first is answered (pipelining)."""
FILES = 1_000
"""That the memory and what is beside it may have open while there are as many connections as may be."""
LINGER_SECONDS = 2.0
"""How long the rest of a body is still taken, and thrown away, after its request was refused: a connection that is
closed with data unread is reset, and its sender may never see the answer."""

HEAD_TOO_LARGE = 431


class Refused(Exception):
    """Raised within the parser, to end it."""


def connection(settings: ServiceSettings) -> type[asyncio.Protocol]:
    """The kind of connection that uvicorn is to make, of which there may be as many as the process may open files."""
    limits = {"settings": settings, "most": allow_files(settings.connections)}
    return cast("type[asyncio.Protocol]", type("LimitedConnection", (Connection,), limits))


def allow_files(connections: int) -> int:
    """Have the process allowed to open a file for each connection, and those of the memory; how many connections that
    is then: the system may allow fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # there may be a limit beside the one that is told
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
        return min(connections, max(soft - FILES, soft // 2))
    return connections


class Connection(HttpToolsProtocol):
    """A connection with limits."""

    settings: ServiceSettings
    most: int
    server_state: State

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.server_state.made(transport)
        self.logger = logger
        self._in_head = True
        self._held = 0
        self._upgraded = False
        self._refusal: Response | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if self.server_state.ending:
            self._end(problem(Unavailable("the service is ending", hint="Try again later.")))
        elif len(self.connections) > self.most:
            self._end(problem(Overloaded("as many connections as may be")))
        else:
            self._start("head", self.settings.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(*self._timers)
        super().connection_lost(exc)

    # --- what comes ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._held += len(data)  # set to nothing by whatever the parser makes of it
        super().data_received(data)
        if self._upgraded or self.transport.is_closing():
            return
        if self._held > self.settings.max_header_bytes:
            with contextlib.suppress(Refused):
                self._refuse(TooLarge("more than a head may have", where="head"), HEAD_TOO_LARGE)
            self.send_400_response("")
        elif self._in_head and "head" not in self._timers:
            self._start("head", self.settings.header_timeout)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: it came after who calls was decided, and changes nothing
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            self._refuse(TooLarge(f"more than {HEADERS} headers", where="head"), HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._in_head, self._held = False, 0
        self._stop("head")
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.settings.max_header_bytes:
            self._refuse(TooLarge("more than a head may have", where="head"), HEAD_TOO_LARGE)
        if len(self.pipeline) >= AHEAD:
            self._refuse(TooLarge(f"more than {AHEAD} requests sent ahead", where="connection"), 400)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held = 0
        super().on_message_complete()
        if "linger" in self._timers:
            self._stop("linger")
            self._rest()

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        self._stop(*self._timers)
        super().handle_websocket_upgrade()

    # --- what goes -------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._start("linger", LINGER_SECONDS)

    def _rest(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("write", self.settings.write_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("write")

    # --- refusals --------------------------------------------------------------------------------------------

    def _refuse(self, error: GraphsvcError, status: int) -> None:
        """Note why, and, within the parser, end it: uvicorn calls `send_400_response` then."""
        self._refusal = problem(error)
        self._refusal.status_code = status
        raise Refused

    def send_400_response(self, msg: str) -> None:
        """Answer what isn't HTTP, or is too much of it, and end the connection."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False  # what came whole before is answered, and the connection ended then
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
        self._end(self._refusal or problem(BadInput("that isn't HTTP", where="request")))

    def _end(self, response: Response) -> None:
        lines = [f"HTTP/1.1 {response.status_code} Refused".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body))
        self.transport.close()

    # --- time ------------------------------------------------------------------------------------------------

    def _start(self, what: str, seconds: float) -> None:
        self._stop(what)
        self._timers[what] = self.loop.call_later(seconds, self._late, what)

    def _stop(self, *names: str) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    def _late(self, what: str) -> None:
        self._timers.pop(what, None)
        if self.transport.is_closing():
            return
        if what == "head" and self._held:
            self._end(problem(RequestTimeout("the head didn't come in time", where="head")))
        elif what == "write":
            # What the system holds of the answer is thrown away too, rather than offered for minutes.
            kept = self.transport.get_extra_info("socket")
            if kept is not None:
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()
