"""What came under a key or id of its caller's, for as long as it may be sent again: each is done once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from graphsvc.errors import Conflict
from graphsvc.service.limits import Turn

SECONDS = 300.0
CALLS = 20_000
BYTES = 64 << 20

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class Sent:
    """What came once.

    Attributes:
        digest: of what was asked. task: that does it, or did. at: when it first came. size: bytes that it holds.
    """

    digest: bytes
    task: asyncio.Task[Any]
    at: float
    size: int = 0


class Repeats(Generic[K]):
    """Calls by their places: who asked, with all that they may, and the key. Another caller's answer is nobody's.

    Args:
        key: what the key is called, for errors.
        weigh: bytes that the result of a task holds; None where nothing was done, and it may simply be asked again.
        on_lost: called when an answer was forgotten before its time, for lack of room.
    """

    def __init__(
        self, key: str, weigh: Callable[[asyncio.Task[Any]], int | None], on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self._key = key
        self._weigh = weigh
        self._on_lost = on_lost
        self._sent: dict[K, Sent] = {}
        self._size = 0

    def __contains__(self, place: K) -> bool:
        return place in self._sent

    def task(self, place: K, asked: bytes, begin: Callable[[], asyncio.Task[T]]) -> asyncio.Task[T]:
        """The task that does it: begun now, or when it came before.

        Raises:
            Conflict: other things were asked for under this key.
        """
        digest = hashlib.blake2b(asked, digest_size=16).digest()
        sent = self._sent.get(place)
        if sent is None:
            sent = self._sent[place] = Sent(digest, begin(), time.monotonic())
            sent.task.add_done_callback(lambda task: self._keep(place, task))
            self._make_room()
        elif sent.digest != digest:
            raise Conflict("another call came under it", where=self._key, hint="Draw one for each call.")
        return sent.task

    def _keep(self, place: K, task: asyncio.Task[Any]) -> None:
        sent = self._sent.get(place)
        if sent is None or sent.task is not task:
            return
        size = None if task.cancelled() else self._weigh(task)
        if size is None:
            del self._sent[place]
            return
        sent.size = size
        self._size += size
        self._make_room()

    def _make_room(self) -> None:
        """Forget what is old; what isn't, where there is no room. What isn't done yet stays."""
        now, count, size, lost = time.monotonic(), len(self._sent), self._size, []
        for place, sent in self._sent.items():
            old = now - sent.at > SECONDS
            if not old and count <= CALLS and size <= BYTES:
                break
            if sent.task.done():
                lost.append((place, old))
                count, size = count - 1, size - sent.size
        for place, old in lost:
            self._size -= self._sent.pop(place).size
            if not old:
                self._on_lost()


def begun(work: Awaitable[T], turn: Turn | None) -> asyncio.Task[T]:
    """A task that goes on where who asked goes, holding the request's turn to its end."""
    task: asyncio.Task[T] = asyncio.ensure_future(work)
    if turn is not None:
        turn.share()
        task.add_done_callback(lambda _: turn.leave())
    return task
