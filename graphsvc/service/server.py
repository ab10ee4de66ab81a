"""uvicorn's server as it is stopped here: who only waits for news is sent away, what is under way may end."""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Awaitable, Callable
from socket import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

GOODBYE_SECONDS = 1.0
"""How long the other side of a closed connection may take to close it too, when the service ends: with TLS it is waited
for, and who keeps a connection for later doesn't look at it meanwhile."""
LOOK_SECONDS = 0.1
"""How often closed connections are looked at."""
AFTER_CUT_SECONDS = 2.0
"""How long requests may take to end when they were cut off."""

logger = logging.getLogger("graphsvc.http")
"""What connections log to."""


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a line is worth telling: that a request was cut off at the end is no defect, and has its own line."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


logger.addFilter(_is_told)


class State(ServerState):
    """What a server's connections share.

    Attributes:
        ending: whether it stops. A connection that was accepted before and is made only then (TLS takes a while, and so
            does a busy loop) isn't among those that are told, and would be served for as long as it asks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ending = False
        self._below: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def made(self, transport: Any) -> None:
        """Take note of a connection's transport."""
        self._below[transport] = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport

    def below(self, transport: Any) -> Any:
        """What a transport writes to.

        asyncio's of TLS forgets it when it is closed a second time, and can't be aborted then; nor does it count what
        lies there and wasn't taken yet.
        """
        return self._below.get(transport, transport)


class Server(uvicorn.Server):
    """Lets what is under way end when it is told to stop, for a while; then the connections are cut.

    Who is cut gets no answer, as when the process is killed: whether it was done isn't known.

    Args:
        config: of uvicorn. drain: seconds that what is under way may take. on_stop: called when connections were told.
    """

    def __init__(self, config: uvicorn.Config, drain: float, on_stop: Callable[[], Awaitable[None]]) -> None:
        config.timeout_graceful_shutdown = math.ceil(drain + AFTER_CUT_SECONDS)
        super().__init__(config)
        self.server_state: State = State()
        self._drain = drain
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop."""
        self.server_state.ending = True
        # Tasks begin when the WebSockets were told to come again: else those would hear of an error first.
        beside = [asyncio.ensure_future(each) for each in (self._told(), self._part(), self._cut())]
        try:
            await super().shutdown(sockets)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _told(self) -> None:
        try:
            await self._on_stop()
        except Exception:
            logger.exception("who waits for news couldn't be told that it ends")

    async def _part(self) -> None:
        """End connections that are closed here, and whose other side doesn't look."""
        loop, since = asyncio.get_running_loop(), weakref.WeakKeyDictionary[Any, float]()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for connection in list(self.server_state.connections):
                transport = connection.transport
                below = self.server_state.below(transport)
                if not transport.is_closing() or below.get_write_buffer_size():
                    since.pop(transport, None)
                elif loop.time() - since.setdefault(transport, loop.time()) >= GOODBYE_SECONDS:
                    below.abort()

    async def _cut(self) -> None:
        await asyncio.sleep(self._drain)
        for connection in list(self.server_state.connections):
            self.server_state.below(connection.transport).abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    async def _wait_tasks_to_complete(self) -> None:
        """As uvicorn's, but from Python 3.12 on that waits for who never shakes hands, too."""
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit:
            await asyncio.sleep(LOOK_SECONDS)
