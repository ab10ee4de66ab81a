"""Tasks that wait for what other threads do: they hold no thread, and each loop is told once for all of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress


class Sleepers:
    """Those who wait for one thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asleep: defaultdict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] = defaultdict(set)

    async def until(self, done: Callable[[], bool], timeout: float) -> None:
        """Wait until `done` says so, which is asked whenever `rouse` was called; for `timeout` seconds at most."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    roused = loop.create_future()
                    with self._lock:
                        self._asleep[loop].add(roused)
                    try:
                        if done():  # asked when it would be roused already: what happens now isn't missed
                            return
                        await roused
                    finally:
                        self._drop(loop, roused)

    def _drop(self, loop: asyncio.AbstractEventLoop, roused: asyncio.Future[None]) -> None:
        with self._lock:
            asleep = self._asleep[loop]
            asleep.discard(roused)
            if not asleep:
                del self._asleep[loop]

    def rouse(self) -> None:
        """Have all look whether it is done."""
        with self._lock:
            taken, self._asleep = self._asleep, defaultdict(set)
        for loop, asleep in taken.items():
            with suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(_tell, asleep)


def _tell(asleep: Iterable[asyncio.Future[None]]) -> None:
    for roused in asleep:
        if not roused.done():
            roused.set_result(None)
