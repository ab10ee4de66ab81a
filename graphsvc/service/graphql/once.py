"""Mutations that came with a client's id, for as long as they may be sent again: each is done once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from graphsvc.errors import Conflict, GraphsvcError
from graphsvc.service.access import Caller
from graphsvc.service.limits import Turn
from graphsvc.service.problems import status_of

SECONDS = 300.0
CALLS = 20_000
BYTES = 64 << 20

Place = tuple[Caller, str, str]
"""Who asked, with all that they may, the mutation, and the client's id. Another caller's answer is nobody's."""


@dataclass(slots=True)
class Sent:
    """A mutation that came with an id.

    Attributes:
        digest: of what was asked. task: that does it, or did. at: when it first came. size: bytes that it holds.
    """

    digest: bytes
    task: asyncio.Task[Any]
    at: float
    size: int = 0


class Once:
    """Does each mutation once, however often it is sent; what it gave is kept for a while, within bounds."""

    def __init__(self) -> None:
        self._sent: dict[Place, Sent] = {}
        self._size = 0

    async def do(self, place: Place, asked: Any, turn: Turn | None, begin: Callable[[], Awaitable[Any]]) -> Any:
        """What `begin` gives, or gave when this came before. It goes on where who asked goes, holding the turn.

        Raises:
            Conflict: where other things were asked for under this id.
        """
        text = msgspec.json.encode(asked, enc_hook=repr, order="deterministic")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        sent = self._sent.get(place)
        if sent is None:
            task = asyncio.ensure_future(_awaited(begin()))
            sent = self._sent[place] = Sent(digest, task, time.monotonic())
            if turn is not None:
                turn.share()
                task.add_done_callback(lambda _: turn.leave())
            task.add_done_callback(lambda task: self._keep(place, task))
            self._make_room()
        elif sent.digest != digest:
            hint = "Draw an id for each call."
            raise Conflict("another call came under this id", where="clientMutationId", hint=hint)
        return await asyncio.shield(sent.task)

    def _keep(self, place: Place, task: asyncio.Task[Any]) -> None:
        """Keep what came of it, unless nothing was done and it may simply be asked again."""
        sent = self._sent.get(place)
        if sent is None or sent.task is not task:
            return
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (isinstance(error, GraphsvcError) and status_of(error) in (429, 503)):
            self._forget(place)
            return
        sent.size = 1_000 if error is not None else _size(task.result())
        self._size += sent.size
        self._make_room()

    def _make_room(self) -> None:
        now = time.monotonic()
        while self._sent:
            place, sent = next(iter(self._sent.items()))
            old = now - sent.at > SECONDS
            if (not old and len(self._sent) <= CALLS and self._size <= BYTES) or not sent.task.done():
                return
            self._forget(place)

    def _forget(self, place: Place) -> None:
        self._size -= self._sent.pop(place).size


def _size(given: Any) -> int:
    """About as many bytes as it holds."""
    try:
        return len(msgspec.json.encode(getattr(given, "rows", given), enc_hook=repr))
    except (TypeError, ValueError):  # keys of a kind that JSON hasn't
        return len(repr(given))


async def _awaited(done: Awaitable[Any]) -> Any:
    return await done
