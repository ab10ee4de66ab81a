"""uvicorn's server as it is stopped here: who only waits for news is sent away, what is under way may end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from socket import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

AFTER_CUT_SECONDS = 2.0
"""How long requests may take to notice that their connections were cut."""


class State(ServerState):
    """What a server's connections share.

    Attributes:
        ending: whether it stops. A connection that was accepted before and is made only then (TLS takes a while, and so
            does a busy loop) isn't among those that are told, and would be served for as long as it asks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ending = False


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
        cut = asyncio.get_running_loop().call_later(self._drain, self._cut)
        # As a task it begins when the WebSockets were told to come again: else they would hear of an error first.
        told = asyncio.ensure_future(self._on_stop())
        try:
            await super().shutdown(sockets)
            await told
        finally:
            cut.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            any_kind: Any = connection
            any_kind.transport.abort()
